package dev.vrift.platform;

/** The version of this program, as in the file VERSION; a test compares. */
public final class Version {
  public static final String TEXT = "0.1.0";

  private Version() {}
}
