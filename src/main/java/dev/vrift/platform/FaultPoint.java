package dev.vrift.platform;

import java.nio.charset.StandardCharsets;
import java.util.Locale;

/**
 * The named fault points of the Java code, for tests (docs/FAULTS.md); the java lines of native/core/vr_fault_points.def say the same, and a test
 * compares. {@link #hit} at a step of the code is one load and one predicted branch unless a test armed something. Any thread.
 */
public enum FaultPoint {
  /** The fault file was read and what it says is armed. */
  FAULTS_TAKEN;

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
