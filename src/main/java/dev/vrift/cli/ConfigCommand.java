package dev.vrift.cli;

import dev.vrift.config.Config;
import dev.vrift.config.Setting;
import dev.vrift.wire.Json;
import java.nio.file.Path;
import java.util.List;
import java.util.Locale;

/** {@code vrift config show}. Needs no daemon. */
final class ConfigCommand {
  private ConfigCommand() {}

  static int run(Place place, List<String> words) throws Failure {
    Arguments a = Arguments.parse("config", words, 1, "--json", "--set=");
    a.choice("config", List.of("show"));
    Path root = place.rootProblem() == null && !place.root().isEmpty() ? Path.of(place.root()) : null;
    Config c = Config.load(Config.SYSTEM, place.dirs().config(), root, System.getenv(), a.all("--set="));
    if (a.has("--json")) {
      json(c);
    } else {
      for (Setting s : Setting.values()) {
        System.out.printf(Locale.ROOT, "%-26s = %-12d # %s (%s)%n", s.key(), c.get(s), s.text(), c.origin(s));
      }
    }
    c.problems().forEach(p -> System.err.println("vrift: " + p));
    return c.problems().isEmpty() ? 0 : Failure.NEGATIVE;
  }

  private static void json(Config c) {
    Json out = new Json().object().field("schema_version", 1).key("settings").array();
    for (Setting s : Setting.values()) {
      out.object().field("key", s.key()).field("value", c.get(s)).field("origin", c.origin(s));
      out.field("default", s.standard()).field("variable", s.variable()).end();
    }
    out.end().key("problems").array();
    c.problems().forEach(out::value);
    System.out.println(out.end().end());
  }
}
