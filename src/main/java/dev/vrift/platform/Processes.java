package dev.vrift.platform;

/**
 * Processes, descriptors that name them, locks and descriptors to wait on. Functions return a negative errno instead of throwing unless
 * said otherwise. Paths and strings are bytes without a terminating zero. Thread-safe; a descriptor is owned by whoever got it.
 */
public final class Processes {
  static {
    NativeLibrary.load();
  }

  public static final int SIGKILL = 9;
  public static final int SIGTERM = 15;

  private Processes() {}

  public static native int pid();

  public static native int uid();

  /** A descriptor that becomes readable when the process has exited (pidfd_open). */
  public static native int pidfd(int pid);

  /** Sends through a pidfd: never hits another process that got the same number. */
  public static native int signal(int pidfd, int signal);

  /** SIGKILL to a child that was not reaped (its number cannot be another's), and reaps it. 0 or -errno. */
  public static native int killChild(int pid);

  /** Start time in clock ticks since boot (field 22 of /proc/pid/stat), -1: no such process. */
  public static native long startTime(int pid);

  /** User and system time in clock ticks, -1: no such process. */
  public static native long cpuTime(int pid);

  /** State letter of /proc/pid/stat ({@code 'R'}, {@code 'T'}, {@code 'Z'}…), -1: no such process. */
  public static native int stateOf(int pid);

  /** Reaps a child that has exited. Its wait status, or -errno (-ECHILD: not our child; -EAGAIN: still running). */
  public static native int reap(int pid);

  /**
   * Starts a daemon as a child in its own session: stdin /dev/null, stdout and stderr appended to {@code log}, cwd /, umask 077, default
   * signals, nice 0, every other descriptor closed but one end of a pair of sockets, whose number is appended to {@code argv} as last argument.
   * {@code result[0]} is the pid, {@code result[1]} our end: one byte {@code R} when ready, end of file when it died; it takes the order (docs/WIRE.md). 0 or -errno.
   */
  public static native int spawnDaemon(byte[] program, byte[][] argv, byte[][] environment, byte[] log, int[] result);

  /** Closes a descriptor. */
  public static native int close(int fd);

  /** Reads one byte from a descriptor that {@link #poll} said is ready. 1, 0 at end of file, -errno. */
  public static native int readByte(int fd, byte[] one);

  /** Writes {@code R} to a ready descriptor handed down by a starter and closes it. */
  public static native int ready(int fd);

  /**
   * Opens (0600, O_NOFOLLOW) and locks a file exclusively by flock, without waiting. Descriptor, or -EAGAIN when another holds it. Only the
   * holder may remove the file; who locked a removed one tries again.
   */
  public static native int lock(byte[] path);

  /** Non-blocking eventfd, 0. */
  public static native int eventfd();

  /** Makes an eventfd readable. */
  public static native int wake(int eventfd);

  /** Makes an eventfd unreadable again. */
  public static native int unwake(int eventfd);

  /** Waits until one of at most 16 descriptors is readable (or broken). Bit i for {@code fds[i]}, 0 after {@code timeoutMs} (-1: none), -errno. */
  public static native int poll(int[] fds, int timeoutMs);

  /** Whether a descriptor is an inotify instance. */
  public static native boolean isInotify(int fd);

  /** Standard output and standard error go to the end of that file (made 0600, no link followed) from now on. 0 or -errno. */
  public static native int logTo(byte[] file);

  /** The argument on our command line, as others see it, that is {@code from} becomes {@code to}, which is not longer. 0 or -errno. */
  public static native int renameArgument(byte[] from, byte[] to);

  /** CLOCK_MONOTONIC in milliseconds. */
  public static native long monotonicMs();
}
