package dev.vrift.cli;

import dev.vrift.layout.Opcode;
import dev.vrift.layout.StatReason;
import dev.vrift.wire.Fields;
import dev.vrift.wire.JsonReader;
import dev.vrift.wire.WireException;
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
    String word = a.first("explain", "a path");
    if (word.isEmpty()) {
      throw Failure.usage("explain needs a path, not an empty word", "explain");
    }
    place.project();
    byte[] path = PathWord.beneath(place.root(), word);
    if (path == null) {
      throw new Failure(Failure.NEGATIVE, word + " is outside the project " + place.root() + ": vrift leaves it to the kernel");
    }
    String json = place.report(Opcode.EXPLAIN, new Fields().put("path", path), ANSWER_MS);
    if (a.has("--json")) {
      System.out.println(json.strip());
    } else {
      summary(word, parse(json));
    }
    return 0;
  }

  /** The answer in words, then everything that led to it. */
  private static void summary(String word, Map<String, Object> report) {
    boolean answered = Boolean.TRUE.equals(report.get("answered"));
    String state = report.get("entry") instanceof Map<?, ?> e ? String.valueOf(e.get("state")) : null;
    boolean there = state != null && !(" " + state + " ").contains(" gone ");
    System.out.println(word + (answered ? " is answered from memory: " + (there ? "it exists" : "it does not exist") : " is not answered from memory now"));
    for (Object reason : report.get("reasons") instanceof List<?> l ? l : List.of()) {
      System.out.println("  because " + reason);
    }
    System.out.println();
    report.remove("reasons");
    report.remove("answered");
    tree("  ", report);
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
