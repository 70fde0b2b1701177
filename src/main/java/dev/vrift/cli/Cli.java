package dev.vrift.cli;

import java.util.Arrays;
import java.util.List;

/** The command line behind the launcher. Reports go to standard output, everything else to standard error. */
public final class Cli {
  private Cli() {}

  /** Returns the exit code. */
  public static int main(String[] args) {
    String command = args.length == 0 ? "" : args[0];
    List<String> words = args.length == 0 ? List.of() : Arrays.asList(args).subList(1, args.length);
    try {
      if (!Help.knows(command)) {
        String meant = Help.nearest(command);
        throw new Failure(
            Failure.USAGE,
            "there is no command '" + command + "'" + (meant == null ? "" : " (did you mean '" + meant + "'?)") + ". Type: vrift --help");
      }
      if (words.contains("--help") || words.contains("-h")) {
        System.out.print(Help.of(command));
        return 0;
      }
      int code = run(command, words, Place.find());
      System.out.flush();
      return System.out.checkError() ? Failure.NEGATIVE : code;
    } catch (Failure e) {
      System.err.println("vrift: " + e.getMessage());
      return e.code();
    } catch (InterruptedException e) {
      return 130;
    } catch (RuntimeException | LinkageError e) {
      System.err.println("vrift: " + command + " failed: " + e + ". This is a mistake in vrift; `vrift doctor` may know more");
      return Failure.OURS;
    }
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
