package dev.vrift.staging;

import dev.vrift.platform.NativeLibrary;

/**
 * Staged records and files, natively ({@code native/jni/staging.c}). {@code board} is the address of a whole mapped board; it is checked
 * on every call. Paths are bytes without a terminating zero. Thread-safe; nothing is kept between calls.
 */
final class StagingNative {
  static {
    NativeLibrary.load();
  }

  /** Fields of one record in the result of {@link #records}. */
  static final int INDEX = 0;
  static final int STATE = 1;
  static final int GOOD = 2;
  static final int PID = 3;
  static final int TIME = 4;
  static final int FD = 5;
  static final int STAMP = 6;
  static final int FLAGS = 7;
  static final int FIELDS = 8;

  /** Results of {@link #sweep}. */
  static final int NOTHING = 0;
  static final int BUSY = 1;
  static final int PLACED = 2;
  static final int FINISHED = 3;
  static final int ROLLED_BACK = 4;

  private StagingNative() {}

  /** All records that are not free, {@link #FIELDS} numbers each. One that is not GOOD has only an index and a state. */
  static native long[] records(long board);

  /** Target path of a live record, relative to the root, or null. */
  static native byte[] path(long board, int index);

  /**
   * Looks after one record. Busy: its writer is at work. Placed: its owner lives but had closed it unseen, so it went to its target.
   * Finished: its owner is dead and it had been placed. Rolled back: its owner died writing; the bytes are in salvage. The last two free it.
   */
  static native int sweep(long board, byte[] root, int index);

  /** Renames a live writer's file to its target. 1: it is there. */
  static native int promote(long board, byte[] root, int index);

  /** Frees a record that is still the one of that state's generation. */
  static native int free(long board, int index, int state);

  /** Sets staged_count to 0 if it is still {@code seen}. */
  static native void clearCount(long board, int seen);

  static native int count(long board);

  /** 1: a process has the file open for writing; 0: none; -errno: not to be told. Only for staging files. */
  static native int hasWriter(byte[] path);

  /** rename(2) that never replaces. 0 or -errno. */
  static native int moveNew(byte[] from, byte[] to);

  /** CLOCK_BOOTTIME in nanoseconds: the clock of record times. */
  static native long bootNanos();
}
