package dev.vrift.cli;

import dev.vrift.health.DaemonProbe;
import dev.vrift.health.ProjectReport;
import dev.vrift.health.UserChecks;
import dev.vrift.layout.Opcode;
import dev.vrift.platform.RunPaths;
import dev.vrift.wire.Fields;
import dev.vrift.wire.Json;
import dev.vrift.wire.WireException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;

/** {@code vrift restart}, and the asking that {@code init} shares with it. The launcher has started vriftd already. */
final class RestartCommand {
  static final int OPEN_MS = 25_000;

  private RestartCommand() {}

  static int run(Place place, List<String> words) throws Failure {
    Arguments a = Arguments.parse("restart", words, 1, "--json"); // the launcher has gone to the project that is named
    RunPaths.Project p = place.project();
    open(place, Opcode.RESTART);
    if (a.has("--json")) {
      System.out.println(json(p));
    } else {
      System.out.println("restarted the daemon of " + place.root());
    }
    return 0;
  }

  /** Asks vriftd for a running daemon. */
  static void open(Place place, Opcode how) throws Failure {
    try {
      DaemonProbe.ask(place.run().socket(), how, new Fields().put("root", place.root()), OPEN_MS);
    } catch (WireException e) {
      throw new Failure(
          Failure.NEGATIVE,
          e.kind() == WireException.Kind.ABSENT
              ? absent(place)
              : "no daemon for " + place.root() + ": " + e.getMessage());
    }
  }

  private static String absent(Place place) {
    String why = UserChecks.whyNoFileIn(place.run().dir());
    Path log = place.dirs().log("vriftd");
    return "vriftd could not be started; " + (why != null ? why + "; commands run natively. To do: " : Files.exists(log) ? "see " + log + ", or type: " : "type: ") + "vrift doctor";
  }

  static String json(RunPaths.Project p) {
    String project = ProjectReport.of(p, null);
    return new Json().object().field("schema_version", 1).key("project").raw(project == null ? "null" : project).end().toString();
  }
}
