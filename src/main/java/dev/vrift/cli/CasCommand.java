package dev.vrift.cli;

import dev.vrift.layout.Opcode;
import dev.vrift.wire.Fields;
import java.util.List;
import java.util.Map;

/** {@code vrift cas}: this project's daemon does the work. */
final class CasCommand {
  private static final int WORK_MS = 3_600_000;
  private static final int ANSWER_MS = 60_000;

  private CasCommand() {}

  static int run(Place place, List<String> words) throws Failure {
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
    String json = place.report(Opcode.CAS, fields, limit);
    Map<String, Object> report = ReportCommands.parse(json);
    if (a.has("--json")) {
      System.out.println(json.strip());
    } else {
      ReportCommands.tree("", report);
    }
    return Human.number(report.get("damaged")) > 0 ? Failure.NEGATIVE : 0;
  }
}
