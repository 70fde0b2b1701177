package dev.vrift.platform;

import java.io.File;

/**
 * Loads {@code libvrift_jni.so} once. It lies in {@code ${vrift.home}}; {@code -Dvrift.jni=FILE} overrides. Classes with native
 * methods call {@link #load} from their static initialiser. Throws {@link UnsatisfiedLinkError} with the path and the remedy.
 */
public final class NativeLibrary {
  private static boolean loaded;

  private NativeLibrary() {}

  /** Idempotent, thread-safe. */
  public static synchronized void load() {
    if (loaded) {
      return;
    }
    String file = System.getProperty("vrift.jni");
    if (file == null) {
      String home = System.getProperty("vrift.home");
      if (home == null) {
        throw new UnsatisfiedLinkError(
            "neither vrift.jni nor vrift.home is set: start vrift through bin/vrift, or pass -Dvrift.jni=/path/libvrift_jni.so");
      }
      file = home.concat("/libvrift_jni.so");
    }
    System.load(new File(file).getAbsolutePath());
    loaded = true;
  }
}
