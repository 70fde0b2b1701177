package dev.vrift;

import dev.vrift.cli.Cli;
import dev.vrift.coordinator.Coordinator;
import dev.vrift.project.VdirDaemon;

/** The one entry: {@code vriftd …}, {@code vdir_d …} or {@code cli …}. */
public final class Main {
  private Main() {}

  public static void main(String[] args) {
    String role = args.length == 0 ? "" : args[0];
    String[] rest = args.length == 0 ? args : java.util.Arrays.copyOfRange(args, 1, args.length);
    int code;
    switch (role) {
      case "vriftd":
        code = Coordinator.main(rest);
        break;
      case "vdir_d":
        code = VdirDaemon.main(rest);
        break;
      case "cli":
        code = Cli.main(rest);
        break;
      default:
        System.err.println("vrift: this jar is started by bin/vrift");
        code = 125;
    }
    System.exit(code);
  }
}
