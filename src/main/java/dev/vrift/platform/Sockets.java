package dev.vrift.platform;

/**
 * Unix stream sockets as plain descriptors, close-on-exec. Every function returns a negative errno instead of throwing. Paths are bytes
 * without a terminating zero and may be longer than {@code sun_path}: they are then reached through /proc/self/fd of their directory.
 * Thread-safe; a descriptor is owned by whoever got it.
 */
public final class Sockets {
  static {
    NativeLibrary.load();
  }

  public static final int EINTR = 4;
  public static final int EAGAIN = 11;
  public static final int ENOENT = 2;
  public static final int EPIPE = 32;
  public static final int ECONNRESET = 104;
  public static final int ETIMEDOUT = 110;
  public static final int ECONNREFUSED = 111;

  private Sockets() {}

  /** Binds (mode 0600, an old name is unlinked first) and listens. Descriptor or -errno. */
  public static native int listen(byte[] path, int backlog);

  /** Waits for a connection. Descriptor or -errno; -EINVAL after {@link #shutdown} of the listener. */
  public static native int accept(int fd);

  /** Connects within {@code timeoutMs}; a full backlog is retried until then. Descriptor or -errno. */
  public static native int connect(byte[] path, int timeoutMs);

  /** Stores the peer's pid and effective uid (SO_PEERCRED) in {@code pidUid}. 0 or -errno. */
  public static native int peer(int fd, int[] pidUid);

  /** Reads what is there, at most {@code length} bytes, waiting {@code timeoutMs} (-1: for ever). Bytes, 0 at end, -errno. */
  public static int read(int fd, byte[] buffer, int offset, int length, int timeoutMs) {
    return read(fd, buffer, offset, length, timeoutMs, null);
  }

  /** The same; a descriptor that is passed along replaces {@code passed[0]}, which is closed if it is one (not -1). Null: none is taken. */
  public static native int read(int fd, byte[] buffer, int offset, int length, int timeoutMs, int[] passed);

  /** Writes all of it within {@code timeoutMs}. {@code length} or -errno. Never raises SIGPIPE. */
  public static int write(int fd, byte[] buffer, int offset, int length, int timeoutMs) {
    return write(fd, buffer, offset, length, timeoutMs, -1);
  }

  /** The same with a duplicate of the descriptor {@code passing}, unless that is -1. */
  public static native int write(int fd, byte[] buffer, int offset, int length, int timeoutMs, int passing);

  /** Ends both directions; wakes threads blocked in {@link #read} or {@link #accept}. 0 or -errno. */
  public static native int shutdown(int fd);

  public static native int close(int fd);

  /** strerror of an errno value. */
  public static native String message(int errno);
}
