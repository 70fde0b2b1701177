package dev.vrift.cli;

import dev.vrift.health.DaemonProbe;
import dev.vrift.health.ProjectReport;
import dev.vrift.layout.Opcode;
import dev.vrift.platform.RunPaths;
import dev.vrift.wire.Fields;
import dev.vrift.wire.Json;
import dev.vrift.wire.JsonReader;
import dev.vrift.wire.WireException;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** {@code vrift status}. Asks, and looks at what lies in the runtime directory; never starts anything. */
final class StatusCommand {
  private static final int ANSWER_MS = 3000;

  private StatusCommand() {}

  static int run(Place place, List<String> words) throws Failure {
    Arguments a = Arguments.parse("status", words, 0, "--json");
    place.needRun();
    String document = document(place.run());
    if (a.has("--json")) {
      System.out.println(document);
    } else {
      print(place, document);
    }
    return 0;
  }

  /** The report: vriftd's own, completed by projects that only have a directory. {@code vriftd} is null when there is none. */
  static String document(RunPaths run) {
    String vriftd = null;
    Map<String, String> projects = new LinkedHashMap<>();
    try {
      Map<String, Object> report = JsonReader.object(DaemonProbe.report(run.socket(), Opcode.STATUS, new Fields(), ANSWER_MS));
      vriftd = text(report.get("vriftd"));
      if (report.get("projects") instanceof List<?> list) {
        for (Object p : list) {
          if (p instanceof Map<?, ?> m && m.get("id") instanceof String id) {
            projects.put(id, text(p));
          }
        }
      }
    } catch (WireException e) {
      vriftd = null;
    }
    for (RunPaths.Project p : run.all()) {
      if (!projects.containsKey(p.id())) {
        String report = ProjectReport.of(p, null);
        if (report != null) {
          projects.put(p.id(), report);
        }
      }
    }
    Json out = new Json().object().field("schema_version", 1).key("vriftd").raw(vriftd == null ? "null" : vriftd);
    out.key("projects").array();
    projects.values().forEach(out::raw);
    return out.end().end().toString();
  }

  /** A parsed value as JSON again. */
  static String text(Object value) {
    Json out = new Json();
    write(out, value);
    return out.toString();
  }

  private static void write(Json out, Object value) {
    switch (value) {
      case Map<?, ?> m -> {
        out.object();
        m.forEach((k, v) -> {
          out.key((String) k);
          write(out, v);
        });
        out.end();
      }
      case List<?> l -> {
        out.array();
        l.forEach(v -> write(out, v));
        out.end();
      }
      case Long n -> out.value(n);
      case Boolean b -> out.value(b);
      case Double d -> out.raw(d.toString());
      case null -> out.value((String) null);
      default -> out.value(value.toString());
    }
  }

  private static void print(Place place, String document) throws Failure {
    try {
      Map<String, Object> report = JsonReader.object(document);
      if (report.get("vriftd") instanceof Map<?, ?> v) {
        System.out.println("vriftd " + v.get("version") + ", pid " + v.get("pid"));
      } else if (java.nio.file.Files.exists(place.run().stopped())) {
        System.out.println("vriftd is not running: stopped by `vrift stop --all`; the next `vrift run` starts it");
      } else {
        System.out.println("vriftd is not running; the next `vrift run` starts it");
      }
      List<?> projects = report.get("projects") instanceof List<?> l ? l : List.of();
      if (projects.isEmpty()) {
        System.out.println("no projects");
      }
      for (Object o : projects) {
        project((Map<?, ?>) o);
      }
    } catch (WireException e) {
      throw new Failure(Failure.OURS, e.getMessage());
    }
  }

  private static void project(Map<?, ?> p) {
    System.out.println();
    System.out.println(p.get("root"));
    Object reason = p.get("reason");
    String state = p.get("state") + (reason == null || reason.equals("") ? "" : ": " + reason);
    System.out.println("  " + state);
    if (p.get("supervision") instanceof Map<?, ?> s) {
      supervision(s);
    }
    if (p.get("pid") instanceof Long pid && pid > 0) {
      System.out.println(
          "  pid " + pid + ", " + p.get("entries") + " entries, generation " + p.get("generation") + ", staging "
              + Human.bytes(p.get("staging_bytes")));
    }
    for (Object note : p.get("limits") instanceof List<?> l ? l : List.of()) {
      System.out.println("  limit: " + note);
    }
  }

  /** What vriftd has to say that the state does not. */
  private static void supervision(Map<?, ?> s) {
    if ("quarantined".equals(s.get("state")) && s.get("quarantine_left_ms") instanceof Long left) {
      System.out.println("  not started for " + (left + 999) / 1000 + " s more: " + s.get("last_failure") + ". Type: vrift restart");
    } else if ("fencing".equals(s.get("state")) || "waiting".equals(s.get("state"))) {
      System.out.println("  " + s.get("state") + ": " + s.get("last_failure"));
    }
    if (s.get("deaths") instanceof Long n && n > 0) {
      System.out.println("  its daemon died " + n + (n == 1 ? " time" : " times") + " since vriftd came up");
    }
    if (s.get("memory_bytes") instanceof Long used && used > 0) {
      System.out.println("  memory " + Human.bytes(used) + " of " + Human.bytes(s.get("memory_limit_bytes")) + " (cgroup)");
    } else if (s.get("cgroup_problem") != null) {
      System.out.println("  no memory and processor limits: " + s.get("cgroup_problem"));
    }
  }
}
