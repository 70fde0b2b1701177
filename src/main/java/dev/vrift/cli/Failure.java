package dev.vrift.cli;

/** A command cannot do what it was asked to. The message says what, why and what to type; the code is the exit code. */
final class Failure extends Exception {
  private static final long serialVersionUID = 1L;
  static final int NEGATIVE = 1;
  static final int USAGE = 2;
  static final int OURS = 125;

  private final int code;

  Failure(int code, String message) {
    super(message);
    this.code = code;
  }

  int code() {
    return code;
  }

  static Failure usage(String message, String command) {
    return new Failure(USAGE, message + ". Type: vrift " + command + " --help");
  }
}
