package dev.vrift.cli;

import dev.vrift.layout.Opcode;
import dev.vrift.layout.StatReason;
import dev.vrift.wire.Fields;
import dev.vrift.wire.JsonReader;
import dev.vrift.wire.WireException;
import java.nio.file.Path;
import java.util.List;
import java.util.Locale;
import java.util.Map;

/** Reports of this project's daemon: {@code stats}, {@code explain}, {@code verify}. */
final class ReportCommands {
  private static final int ANSWER_MS = 5_000;
  /** A whole comparison of millions of files takes its time. */
  private static final int VERIFY_MS = 600_000;
  private static final int SHOWN = 50;

  private ReportCommands() {}

  static int stats(Place place, List<String> words) throws Failure {
    Arguments a = Arguments.parse("stats", words, 0, "--json", "--zero");
    String json = place.report(Opcode.STATS, new Fields().put("zero", a.has("--zero") ? 1 : 0), ANSWER_MS);
    if (a.has("--json")) {
      System.out.println(json.strip());
      return 0;
    }
    Map<String, Object> report = parse(json);
    Map<?, ?> counters = report.get("counters") instanceof Map<?, ?> m ? m : Map.of();
    long total = Human.number(counters.get(StatReason.TOTAL.name()));
    System.out.printf(Locale.ROOT, "%12d  questions about paths inside the project%n", total);
    for (StatReason r : StatReason.values()) {
      long n = Human.number(counters.get(r.name()));
      if (r != StatReason.TOTAL && n != 0) {
        boolean question = r.ordinal() < StatReason.MUTATIONS.ordinal();
        System.out.printf(Locale.ROOT, "%12d  %-8s%s%n", n, question ? Human.percent(n, total) : "", r.text());
      }
    }
    return 0;
  }

  static int explain(Place place, List<String> words) throws Failure {
    Arguments a = Arguments.parse("explain", words, 1, "--json");
    Path path = Path.of(System.getProperty("user.dir")).resolve(a.first("explain", "a path")).normalize();
    Path root = Path.of(place.project() == null ? "/" : place.root());
    if (!path.startsWith(root)) {
      throw new Failure(Failure.NEGATIVE, path + " is outside the project " + root + ": vrift leaves it to the kernel");
    }
    String json = place.report(Opcode.EXPLAIN, new Fields().put("path", root.relativize(path).toString()), ANSWER_MS);
    if (a.has("--json")) {
      System.out.println(json.strip());
    } else {
      tree("", parse(json));
    }
    return 0;
  }

  static int verify(Place place, List<String> words) throws Failure {
    Arguments a = Arguments.parse("verify", words, 0, "--json");
    String json = place.report(Opcode.VERIFY, new Fields(), VERIFY_MS);
    Map<String, Object> report = parse(json);
    List<?> differences = report.get("differences") instanceof List<?> l ? l : List.of();
    if (a.has("--json")) {
      System.out.println(json.strip());
    } else {
      int shown = 0;
      for (Object d : differences) {
        if (d instanceof Map<?, ?> m && shown++ < SHOWN) {
          System.out.println(m.get("path") + ": " + m.get("field") + " is " + m.get("memory") + " in memory, " + m.get("kernel") + " on disk");
        }
      }
      if (differences.size() > SHOWN) {
        System.out.println("and " + (differences.size() - SHOWN) + " more");
      }
      System.out.println(report.get("checked") + " entries compared, " + differences.size() + " differences");
    }
    return differences.isEmpty() ? 0 : Failure.NEGATIVE;
  }

  static Map<String, Object> parse(String json) throws Failure {
    try {
      return JsonReader.object(json);
    } catch (WireException e) {
      throw new Failure(Failure.OURS, "the daemon's report cannot be read: " + e.getMessage() + ". Type: vrift restart");
    }
  }

  /** Any report as indented {@code key: value} lines; the schema version is for programs. */
  static void tree(String indent, Map<?, ?> report) {
    report.forEach(
        (key, value) -> {
          if (key.equals("schema_version")) {
            return;
          }
          if (value instanceof Map<?, ?> m) {
            System.out.println(indent + key + ":");
            tree(indent + "  ", m);
          } else if (value instanceof List<?> l) {
            System.out.println(indent + key + (l.isEmpty() ? ": none" : ":"));
            for (Object o : l) {
              if (o instanceof Map<?, ?> m) {
                tree(indent + "  ", m);
              } else {
                System.out.println(indent + "  " + o);
              }
            }
          } else {
            System.out.println(indent + key + ": " + value);
          }
        });
  }
}
