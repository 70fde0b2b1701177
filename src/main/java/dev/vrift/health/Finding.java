package dev.vrift.health;

/**
 * What a check of {@code vrift doctor} found. {@code id} is stable; {@code remedy} is what a fix does, or what to type; {@code repair} does it, or is null
 * when only people can. A repair returns null when it worked, else why not.
 */
public record Finding(String id, Severity severity, String text, String remedy, Repair repair) {

  /** How bad it is. Only ERROR makes the exit code 1. */
  public enum Severity { OK, WARNING, ERROR }

  /** A repair without questions. */
  public interface Repair {
    String run();
  }

  static Finding ok(String id, String text) {
    return new Finding(id, Severity.OK, text, null, null);
  }

  static Finding warning(String id, String text, String remedy, Repair repair) {
    return new Finding(id, Severity.WARNING, text, remedy, repair);
  }

  static Finding error(String id, String text, String remedy, Repair repair) {
    return new Finding(id, Severity.ERROR, text, remedy, repair);
  }
}
