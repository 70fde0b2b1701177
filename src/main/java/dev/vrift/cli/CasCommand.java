package dev.vrift.cli;

import dev.vrift.health.DaemonProbe;
import dev.vrift.layout.Opcode;
import dev.vrift.platform.Processes;
import dev.vrift.wire.Fields;
import dev.vrift.wire.WireException;
import java.nio.file.Files;
import java.util.List;
import java.util.Map;

/** {@code vrift cas}: this project's daemon does the work. */
final class CasCommand {
  private static final int WORK_MS = 3_600_000;
  private static final int PING_MS = 1_000;
  private static final int START_MS = 3_000;
  private static final int LOOK_MS = 50;
  private static final int ANSWER_MS = 60_000;

  private CasCommand() {}

  static int run(Place place, List<String> words) throws Failure, InterruptedException {
    Arguments a = Arguments.parse("cas", words, 1, "--json", "--all");
    String what = a.first("cas", "ingest, stat or verify");
    Fields fields = new Fields().put("command", what);
    int limit = WORK_MS;
    switch (what) {
      case "ingest" -> fields.put("all", a.has("--all") ? 1 : 0);
      case "stat" -> limit = ANSWER_MS;
      case "verify" -> limit = WORK_MS;
      default -> throw Failure.usage("cas cannot '" + what + "'", "cas");
    }
    if (a.has("--all") && !what.equals("ingest")) {
      throw Failure.usage("--all belongs to ingest", "cas");
    }
    awaken(place);
    String json = place.report(Opcode.CAS, fields, limit);
    Map<String, Object> report = ReportCommands.parse(json);
    if (a.has("--json")) {
      System.out.println(json.strip());
    } else {
      ReportCommands.tree("", report);
    }
    return Human.number(report.get("damaged")) > 0 ? Failure.NEGATIVE : 0;
  }

  /**
   * A project whose daemon is not up gets one. vriftd may itself be starting (a `vrift run` that just ended asked for it); it is waited for,
   * unless people stopped it. If there is none in the end, the request itself says so.
   */
  private static void awaken(Place place) throws Failure, InterruptedException {
    long end = Processes.monotonicMs() + START_MS;
    try {
      DaemonProbe.ping(place.project().socket(), PING_MS);
      return;
    } catch (WireException absent) {
      // below
    }
    while (!Files.exists(place.run().stopped()) && Processes.monotonicMs() < end) {
      try {
        DaemonProbe.ask(place.run().socket(), Opcode.OPEN, new Fields().put("root", place.root()), RestartCommand.OPEN_MS);
        return;
      } catch (WireException e) {
        if (e.kind() != WireException.Kind.ABSENT) {
          return;
        }
        Thread.sleep(LOOK_MS);
      }
    }
  }
}
