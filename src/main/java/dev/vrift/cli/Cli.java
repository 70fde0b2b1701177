package dev.vrift.cli;

import dev.vrift.platform.Spelling;
import dev.vrift.wire.Json;
import java.util.Arrays;
import java.util.List;

/** The command line behind the launcher. Reports go to standard output, everything else to standard error. */
public final class Cli {
  private Cli() {}

  /** Returns the exit code. */
  public static int main(String[] args) {
    Printed out = Printed.begin();
    int code = answer(args);
    String missing = out.failure();
    if (missing == null) {
      return code;
    }
    if (!missing.isEmpty()) {
      System.err.println("vrift: cannot write standard output: " + missing);
    }
    return code == 0 ? Failure.NEGATIVE : code;
  }

  private static int answer(String[] args) {
    String command = args.length == 0 ? "" : args[0];
    List<String> words = args.length == 0 ? List.of() : Arrays.asList(args).subList(1, args.length);
    try {
      if (!Help.knows(command)) {
        throw new Failure(Failure.USAGE, "there is no command '" + command + "'" + Spelling.hint(command, Help.names()) + ". Type: vrift --help");
      }
      if (words.contains("--help") || words.contains("-h")) {
        System.out.print(Help.of(command));
        return 0;
      }
      return run(command, words, Place.find());
    } catch (Failure e) {
      return failed(e.getMessage(), e.code(), Arrays.asList(args));
    } catch (InterruptedException e) {
      return 130;
    } catch (LinkageError e) {
      return failed("the installation is damaged (" + e.getMessage() + "). Build or install vrift again; commands run natively meanwhile", Failure.OURS, Arrays.asList(args));
    } catch (RuntimeException e) {
      return failed(command + " failed: " + e + ". This is a mistake in vrift; `vrift doctor` may know more", Failure.OURS, Arrays.asList(args));
    }
  }

  /** People read standard error; programs that asked for JSON get a document whatever happens. */
  private static int failed(String message, int code, List<String> words) {
    System.err.println("vrift: " + message);
    int end = words.indexOf("--");
    if ((end < 0 ? words : words.subList(0, end)).stream().anyMatch(w -> w.equals("--json") || w.startsWith("--json="))) {
      Json out = new Json().object().field("schema_version", 1).key("error").object().field("message", message).field("code", code);
      System.out.println(out.end().end());
    }
    return code;
  }

  private static int run(String command, List<String> words, Place place) throws Failure, InterruptedException {
    return switch (command) {
      case "init" -> InitCommand.run(place, words);
      case "status" -> StatusCommand.run(place, words);
      case "stats" -> ReportCommands.stats(place, words);
      case "explain" -> ReportCommands.explain(place, words);
      case "verify" -> ReportCommands.verify(place, words);
      case "stop" -> StopCommand.run(place, words);
      case "restart" -> RestartCommand.run(place, words);
      case "logs" -> LogsCommand.run(place, words);
      case "doctor" -> DoctorCommand.run(place, words);
      case "config" -> ConfigCommand.run(place, words);
      case "cas" -> CasCommand.run(place, words);
      case "gc" -> GcCommand.run(place, words);
      case "salvage" -> SalvageCommand.run(place, words);
      default -> throw new IllegalStateException(command);
    };
  }
}
