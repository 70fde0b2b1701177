package dev.vrift.vdir;

/** What a turn reported, in the order of {@code struct vr_report}. Immutable. */
public record EngineReport(
    long drain, long entries, long dirs, long watches, long bytesUsed, long fileSize, long generation, long vdirId, long boardId,
    long unverified, long scans, long settles, long dirty, long events, long verified, long settled, long reaped, long overflows,
    long limitedDirs, long corrupt, long busy, long nativeWhy, long stagedDead, long escaped, long magic, long limited,
    long rebuilds, long complete, long repaired, long patrols, long forgotten, long rebuildUs, long drifts, long cuts, long badRecords, long classify,
    long adopted, long adoptUs, long adoptable) {
  /** Words in {@code struct vr_report}. */
  public static final int WORDS = 39;

  /** {@link #nativeWhy}: the root is not at its path any more. */
  public static final long ROOT_MOVED = 3;

  /** {@link #nativeWhy}: there is no room for the VDir. */
  public static final long SPACE = 5;

  private static final String[] WHY = {
    "", "this filesystem's changes cannot be watched exactly", "this mount moves access times at every read",
    "the project's root is no longer at its path", "the user's inotify watches are used up", "shared memory is full"
  };

  public static EngineReport of(long[] w) {
    return new EngineReport(
        w[0], w[1], w[2], w[3], w[4], w[5], w[6], w[7], w[8], w[9], w[10], w[11], w[12], w[13], w[14], w[15], w[16], w[17], w[18], w[19],
        w[20], w[21], w[22], w[23], w[24], w[25], w[26], w[27], w[28], w[29], w[30], w[31], w[32], w[33], w[34], w[35], w[36], w[37], w[38]);
  }

  public static EngineReport none() {
    return of(new long[WORDS]);
  }

  /** Everything known has been read and verified. */
  public boolean settledDown() {
    return complete != 0;
  }

  /** Why the whole project is native, or an empty text. */
  public String why() {
    return nativeWhy >= 0 && nativeWhy < WHY.length ? WHY[(int) nativeWhy] : "reason " + nativeWhy;
  }
}
