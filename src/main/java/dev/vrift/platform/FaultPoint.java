package dev.vrift.platform;

import java.nio.charset.StandardCharsets;
import java.util.Locale;

/**
 * The named fault points of the Java code, for tests (docs/FAULTS.md); the java lines of native/core/vr_fault_points.def say the same, and a test
 * compares. {@link #hit} at a step of the code is one load and one predicted branch unless a test armed something. Any thread.
 */
public enum FaultPoint {
  // What each means is in the table.
  FAULTS_TAKEN,
  VDIR_LOCKED,
  VDIR_OPENED,
  VDIR_PUBLISHED,
  VDIR_STORES_BEGUN,
  VDIR_LISTENING,
  VDIR_READY,
  VDIR_STOPPING,
  VDIR_UNSTAGED,
  VDIR_RETIRED,
  VDIR_CLOSED,
  TURN_DONE,
  TASKS_DONE,
  CHANGES_HANDED_OVER,
  SESSION_BEGINS,
  SESSION_HUNG_UP,
  SYNC_DRAINED,
  META_OPENED,
  META_PRELOADED,
  BATCH_TAKEN,
  META_APPLYING,
  META_DAMAGED,
  BLOB_COPIED,
  BLOB_SEALED,
  SWEEP_RECORDS_DONE,
  SWEEP_DONE,
  COORDINATOR_LOCKED,
  COORDINATOR_LISTENING,
  COORDINATOR_READY,
  COORDINATOR_ADOPTED,
  DAEMON_STARTED,
  DAEMON_READY,
  DAEMON_DEAD;

  /** Something is armed. Written by {@link Faults} only. */
  static volatile boolean on;

  private final byte[] lower = name().toLowerCase(Locale.ROOT).getBytes(StandardCharsets.US_ASCII);

  /** The step named by this point is reached. Returns, unless what is armed ends the process. */
  public void hit() {
    if (on) {
      Faults.hit(lower);
    }
  }
}
