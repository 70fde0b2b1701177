package dev.vrift.cli;

import dev.vrift.platform.Trouble;
import dev.vrift.staging.Salvage;
import dev.vrift.wire.Json;
import java.io.IOException;
import java.nio.file.FileAlreadyExistsException;
import java.nio.file.Path;
import java.time.Instant;
import java.util.List;

/** {@code vrift salvage}: works on the files themselves, with or without a daemon. */
final class SalvageCommand {
  private SalvageCommand() {}

  static int run(Place place, List<String> words) throws Failure {
    Arguments a = Arguments.parse("salvage", words, 2, "--json", "--all", "--force", "--to=");
    String what = a.choice("salvage", List.of("list", "restore", "drop"));
    if (a.rest().size() > 1 && (what.equals("list") || a.has("--all"))) {
      throw Failure.usage("salvage " + what + ": '" + a.rest().get(1) + "' is one word too many", "salvage");
    }
    place.project();
    Salvage salvage = new Salvage(Path.of(place.root()));
    try {
      switch (what) {
        case "list" -> list(salvage, a.has("--json"));
        case "restore" -> restore(salvage, a);
        case "drop" -> drop(salvage, a);
        default -> throw new IllegalStateException(what);
      }
      return 0;
    } catch (FileAlreadyExistsException e) {
      throw new Failure(Failure.NEGATIVE, e.getFile() + " is there already; --force replaces it, --to FILE puts it elsewhere");
    } catch (IOException e) {
      throw new Failure(Failure.NEGATIVE, "salvage: " + Trouble.of(e));
    }
  }

  private static void list(Salvage salvage, boolean json) throws IOException {
    List<Salvage.Item> items = salvage.list();
    if (!json) {
      for (Salvage.Item i : items) {
        System.out.println(
            i.name() + "\t" + i.kind() + "\t" + Human.bytes(i.bytes()) + "\t" + Instant.ofEpochMilli(i.time()) + "\t" + line(i.path()));
      }
      if (items.isEmpty()) {
        System.out.println("nothing was salvaged");
      }
      return;
    }
    Json out = new Json().object().field("schema_version", 1).key("items").array();
    for (Salvage.Item i : items) {
      out.object().field("name", i.name()).field("path", i.path()).field("path_encoded", i.encoded()).field("kind", i.kind()).field("pid", i.pid());
      out.field("bytes", i.bytes()).field("time", Instant.ofEpochMilli(i.time()).toString()).field("restorable", i.restorable()).end();
    }
    System.out.println(out.end().end());
  }

  /** One line whatever is in it. */
  private static String line(String text) {
    return text.replaceAll("\\p{Cntrl}", "?");
  }

  private static String name(Arguments a, String verb) throws Failure {
    if (a.rest().size() < 2) {
      throw Failure.usage("salvage " + verb + " needs a name from `vrift salvage list`", "salvage");
    }
    return a.rest().get(1);
  }

  private static void restore(Salvage salvage, Arguments a) throws IOException, Failure {
    String to = a.value("--to=");
    Path target = to == null ? null : Path.of(System.getProperty("user.dir")).resolve(to).normalize();
    Path where = salvage.restore(name(a, "restore"), target, a.has("--force"));
    System.out.println(a.has("--json") ? new Json().object().field("schema_version", 1).field("restored", where.toString()).end() : "restored " + line(where.toString()));
  }

  private static void drop(Salvage salvage, Arguments a) throws IOException, Failure {
    if (a.has("--all")) {
      dropped(a, salvage.dropAll());
      return;
    }
    String name = name(a, "drop");
    if (!salvage.drop(name)) {
      throw new Failure(Failure.NEGATIVE, "there is no '" + name + "' in the salvage area. Type: vrift salvage list");
    }
    dropped(a, 1);
  }

  private static void dropped(Arguments a, int count) {
    System.out.println(a.has("--json") ? new Json().object().field("schema_version", 1).field("dropped", count).end() : count + " dropped");
  }
}
