package dev.vrift.cli;

import dev.vrift.health.Doctor;
import dev.vrift.health.Finding;
import dev.vrift.wire.Json;
import java.nio.file.Path;
import java.util.List;
import java.util.Locale;

/** {@code vrift doctor}. */
final class DoctorCommand {
  private DoctorCommand() {}

  static int run(Place place, List<String> words) throws Failure {
    Arguments a = Arguments.parse("doctor", words, 0, "--json", "--fix");
    List<Finding> findings = new Doctor(place.run(), place.runProblem(), Path.of(place.home()), place.root(), place.dirs()).examine();
    Json out = new Json().object().field("schema_version", 1).key("findings").array();
    boolean bad = false;
    for (Finding f : findings) {
      boolean tried = a.has("--fix") && f.repair() != null;
      String failure = tried ? f.repair().run() : null;
      boolean fixed = tried && failure == null;
      bad |= f.severity() == Finding.Severity.ERROR && !fixed;
      out.object().field("id", f.id()).field("severity", f.severity().name().toLowerCase(Locale.ROOT)).field("text", f.text());
      out.field("remedy", f.remedy()).field("fixable", f.repair() != null).field("fixed", fixed).end();
      if (!a.has("--json")) {
        print(f, tried, failure);
      }
    }
    if (a.has("--json")) {
      System.out.println(out.end().end());
    }
    return bad ? Failure.NEGATIVE : 0;
  }

  private static void print(Finding f, boolean tried, String failure) {
    System.out.println(f.severity().name().toLowerCase(Locale.ROOT) + " [" + f.id() + "] " + f.text());
    if (f.remedy() == null) {
      return;
    }
    if (tried) {
      System.out.println(failure == null ? "  done: " + f.remedy() : "  failed: " + f.remedy() + ": " + failure);
    } else {
      System.out.println(f.repair() == null ? "  to do: " + f.remedy() : "  --fix: " + f.remedy());
    }
  }
}
