package dev.vrift.platform;

/**
 * Private directories (docs/PROTOCOL.md section 1). Native, so that it costs a daemon's start nothing. Thread-safe.
 */
public final class SafeDir {
  static {
    NativeLibrary.load();
  }

  /** Results of {@link #check} and {@link #make} beside 0 and -errno. */
  public static final int NOT_A_DIRECTORY = 1;
  public static final int NOT_OURS = 2;
  public static final int NOT_PRIVATE = 3;

  private SafeDir() {}

  /** By lstat: 0 if it is a directory (not a link to one), ours, without bits for group or other; else the reason, or -errno. */
  public static native int check(byte[] path);

  /** Creates it 0700 if absent (the parent must exist), then {@link #check}s it. */
  public static native int make(byte[] path);

  /** What to tell people about a result that is not 0. */
  public static String explain(String path, int result) {
    return switch (result) {
      case NOT_A_DIRECTORY -> path + " is not a directory (or is a symbolic link); vrift refuses it. Remove it, or set VRIFT_RUNTIME_DIR";
      case NOT_OURS -> path + " belongs to another user; vrift refuses it. Set VRIFT_RUNTIME_DIR to a directory of yours";
      case NOT_PRIVATE -> path + " is open to group or others; vrift refuses it. Type: chmod 700 '" + path + "'";
      default -> path + ": " + Sockets.message(result);
    };
  }
}
