package dev.vrift.platform;

import java.nio.charset.StandardCharsets;
import java.nio.file.Path;

/**
 * Arms the fault points of a daemon, for tests. A daemon that was started with {@code VRIFT_FAULT_FILES=1} in its environment takes the file
 * {@code faults} of its directory in the runtime directory, at its start and whenever a new one appears (looked for every 10 ms): it must be a
 * regular file of our own with no rights for others, and is removed as it is taken. Without that variable nothing is ever read or armed.
 */
public final class Faults {
  static {
    NativeLibrary.load();
  }

  private static final String ALLOWED = "VRIFT_FAULT_FILES";
  private static final int LOOK_MS = 10;
  private static final long STACK_BYTES = 128 * 1024;
  private static final int ENOENT = 2;

  private static volatile boolean allowed;

  private Faults() {}

  /** To be called once, early, by a daemon. {@code directory} is the vriftd's or the project's in the runtime directory. */
  public static void start(Path directory) {
    if (!"1".equals(System.getenv(ALLOWED))) {
      return;
    }
    allowed = true;
    byte[] file = RunPaths.bytes(directory.resolve("faults"));
    look(file);
    Thread watcher = new Thread(null, () -> watch(file), "faults", STACK_BYTES);
    watcher.setDaemon(true);
    watcher.start();
  }

  private static void watch(byte[] file) {
    try {
      while (true) {
        Thread.sleep(LOOK_MS);
        look(file);
      }
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
    }
  }

  private static void look(byte[] file) {
    byte[] text = new byte[4096];
    int r = take(file, text);
    if (r >= 0) {
      FaultPoint.on = armed();
      Log.warn("fault points armed by a test: ".concat(new String(text, 0, r, StandardCharsets.US_ASCII).trim()));
      FaultPoint.FAULTS_TAKEN.hit();
    } else if (r != -ENOENT) {
      Log.warn("fault file not taken: ".concat(Sockets.message(r)));
    }
  }

  /** True in a daemon that tests may arm. */
  public static boolean allowed() {
    return allowed;
  }

  /** Every point that fired in this process and how often: {@code name=n} lines. */
  public static native byte[] fired();

  /** Names of all points of a component, one a line. */
  static native byte[] names(byte[] component);

  /** Arms what a file says and removes it. Its length, whose bytes are in {@code text}; or -errno: -ENOENT no file, -EPERM not ours, -EINVAL. */
  static native int take(byte[] file, byte[] text);

  private static native boolean armed();

  static native void hit(byte[] name);
}
