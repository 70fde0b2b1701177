package dev.vrift.vdir;

import dev.vrift.platform.NativeLibrary;

/**
 * The sole writer of a project's VDir (docs/PROTOCOL.md sections 6 and 8; the C side is native/core/vr_engine.h). A handle is owned by the
 * apply thread, which makes every call on it, except those marked "any thread", which are valid until the process ends. Functions return
 * 0 or more, or -errno.
 */
public final class Engine {
  static {
    NativeLibrary.load();
  }

  /** Number of words {@link #counters} fills: 64 statistics by StatReason, then the words named by the constants below. */
  public static final int COUNTERS = 64 + 9;

  public static final int OVERFLOW = 64 + 1;
  public static final int CORRUPT = 64 + 2;
  public static final int WANT = 64 + 3;
  public static final int NO_STAGE = 64 + 4;
  public static final int STAGED_COUNT = 64 + 5;
  public static final int LOADS = 64 + 6;
  public static final int VERIFY_DIFFS = 64 + 7;
  public static final int FAULTS = 64 + 8;

  private Engine() {}

  /** Words of a report, as {@link EngineReport} reads them. */
  public static native int reportWords();

  /**
   * Makes a VDir for {@code root}; nothing is known to clients before {@link #publish}. With the watch queue {@code watch} of a predecessor that died, and
   * its number: goes on with that one's VDir if it can (docs/ADOPTION.md). The descriptor is taken; -1: none. Handle or -errno, with a sentence in {@code
   * reason} on failure, or why it did not go on.
   */
  public static native long open(
      byte[] root, byte[] map, long maxFiles, long maxBytes, int maxWatches, int hint, int watch, long watchId, byte[] reason);

  /** Any thread: the descriptor of the watch queue, which stays the engine's, and in {@code number[0]} its number. */
  public static native int watch(long handle, long[] number);

  /** Any thread: VDir and state are a predecessor's. */
  public static native boolean adopted(long handle);

  public static native int publish(long handle);

  /** One turn: drains, cleans, then verifies and scans for up to {@code budgetUs}; renews the lease if {@code serve}. */
  public static native int turn(long handle, boolean serve, int budgetUs, long[] report);

  /** Waits: bit 0 an event (only if {@code events}), bit 1 {@code wakeFd}, bit 2 the mount table. */
  public static native int await(long handle, int wakeFd, boolean events, int timeoutMs);

  /** The same while clients are at work: drains of an empty queue are done meanwhile. Returns when a turn is due. */
  public static native int hurry(long handle, int wakeFd, int timeoutMs);

  /** Any thread, after {@code wakeFd} was written: whoever is in {@link #hurry} looks at it. */
  public static native void ring(long handle);

  public static native void distrust(long handle);

  /** Number of bad buckets and entries. */
  public static native long scrub(long handle);

  public static native int rebuild(long handle);

  /**
   * Withdraws the lease; {@code unlinkFiles}: both files and the map link go. Memory stays, because other threads may still look at it; the
   * process is about to end.
   */
  public static native void retire(long handle, boolean unlinkFiles);

  /** Enters names known from before: u16 length and bytes each, parents first. Number entered. */
  public static native int preload(long handle, byte[] names, int length);

  /** Compares up to {@code max} entries with the tree; the format of {@code out} is in vr_engine.h. Bytes. */
  public static native int compare(long handle, int[] cursor, int max, byte[] out, long[] checked);

  /** Entries that changed, into native memory; the format is in vr_engine.h. Bytes. */
  public static native int changes(long handle, long address, int length);

  /** Publishes the verdict of a program; {@code key} is that of {@link #identity}. */
  public static native int program(long handle, long[] key, int verdict);

  /** Any thread, no handle: dev, ino, size, mtime, ctime, mtime_ns, ctime_ns of a file. */
  public static native int identity(byte[] path, long[] key);

  /** Any thread: number of the newest drain begun. */
  public static native long drainStarted(long handle);

  /** State for reports: the ordinal of ProjectState. */
  public static native void projectState(long handle, int state);

  /** Any thread: address of the board's mapping, {@link dev.vrift.layout.BoardLayout#SIZE} bytes. */
  public static native long board(long handle);

  /** Any thread: address of the {@code struct vr_board}. */
  public static native long boardStruct(long handle);

  /** Any thread: fills {@link #COUNTERS} words. */
  public static native int counters(long handle, long[] out);

  /** Any thread. */
  public static native void zeroStats(long handle);

  /** Any thread: adds to (or with a negative number takes from) the number of reasons against new staging. */
  public static native void addNoStage(long handle, int count);

  /** Any thread: takes the pids of programs that want to be classified. */
  public static native int takeClassify(long handle, int[] pids);

  /** Any thread; slow: frees records of descriptors that have left their process. */
  public static native int freeEscaped(long handle);

  /** What memory has of a path; 14 words, see native/jni/engine.c. */
  public static native int explain(long handle, byte[] relative, long[] out);
}
