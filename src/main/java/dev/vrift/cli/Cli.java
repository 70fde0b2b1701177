package dev.vrift.cli;

/** The command line; its commands follow. */
public final class Cli {
  private Cli() {}

  public static int main(String[] args) {
    System.err.println("vrift: this command is not built yet");
    return 125;
  }
}
