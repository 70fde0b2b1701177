package dev.vrift.layout;

/**
 * Why a question was, or was not, answered from memory. One question is counted under exactly one reason, so the counters add
 * up to {@link #TOTAL}. The ordinal is the index in {@code vr_board_dyn.stats}.
 */
public enum StatReason {
  TOTAL("questions about paths inside the project"),
  HIT("answered from memory: exists"),
  HIT_ENOENT("answered from memory: does not exist"),
  HIT_READLINK("answered from memory: symlink target"),
  HIT_REALPATH("answered from memory: real path"),
  HIT_ACCESS("answered from memory: permission"),
  NATIVE_EARLY("native: one of the process's first calls"),
  NATIVE_NO_VDIR("native: no VDir could be mapped"),
  NATIVE_LEASE("native: the daemon's lease had run out"),
  NATIVE_EDGE("native: waiting for a drain after an edge from outside"),
  NATIVE_G("native: a change of the whole project was under way"),
  NATIVE_SLOT("native: a change of this path was under way"),
  NATIVE_UNVERIFIED("native: the entry was not verified"),
  NATIVE_UNKNOWN("native: not known, and its directory not complete"),
  NATIVE_PATH("native: a path form that memory does not answer"),
  NATIVE_FLAGS("native: flags or fields that memory does not answer"),
  NATIVE_LEAKY("native: this program makes system calls of its own"),
  NATIVE_CREDENTIALS("native: other credentials or namespaces"),
  NATIVE_CORRUPT("native: a check failed"),
  NATIVE_RETRY("native: the entry kept changing"),
  MUTATIONS("recorded changes"),
  MUTATIONS_NO_RECORD("changes that found no free record"),
  STAGED("files staged"),
  COMMITTED("staged files committed"),
  PROMOTED("staged files promoted"),
  DEMOTED("staged files demoted"),
  STAGE_REFUSED("writable opens that were not staged"),
  EDGES("edges from outside"),
  BLIND("programs started that cannot be seen"),
  VERIFIED("answers compared by VRIFT_VERIFY"),
  VERIFY_DIFFS("answers that differed");

  private final String text;

  StatReason(String text) {
    this.text = text;
  }

  /** What the counter counts, for people. */
  public String text() {
    return text;
  }
}
