package dev.vrift.cli;

import dev.vrift.health.DaemonProbe;
import dev.vrift.health.DaemonStop;
import dev.vrift.health.Leftovers;
import dev.vrift.platform.RunPaths;
import dev.vrift.platform.Trouble;
import dev.vrift.wire.Json;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;

/** {@code vrift stop}. Nothing running is success. */
final class StopCommand {
  private StopCommand() {}

  static int run(Place place, List<String> words) throws Failure {
    Arguments a = Arguments.parse("stop", words, 0, "--all", "--json");
    place.needRun();
    if (!Files.isDirectory(place.run().dir())) {
      say(a, List.of(), "nothing is running");
      return 0;
    }
    return a.has("--all") ? all(place.run(), a) : one(place, a);
  }

  private static void say(Arguments a, List<String> stopped, String text) {
    if (!a.has("--json")) {
      System.out.println(text);
      return;
    }
    Json out = new Json().object().field("schema_version", 1).key("stopped").array();
    stopped.forEach(out::value);
    System.out.println(out.end().end());
  }

  private static int one(Place place, Arguments a) throws Failure {
    RunPaths.Project p = place.project();
    if (!Files.isDirectory(p.dir())) {
      say(a, List.of(), "no daemon is running for " + place.root());
      return 0;
    }
    mark(p.stopped());
    DaemonStop.Outcome outcome = DaemonStop.project(p);
    if (outcome == DaemonStop.Outcome.ALIVE) {
      throw new Failure(Failure.NEGATIVE, "the daemon of " + place.root() + " does not die (is it in uninterruptible sleep?)");
    }
    sweepStaging(Path.of(place.root()));
    boolean none = outcome == DaemonStop.Outcome.NONE;
    say(a, none ? List.of() : List.of(place.root()), (none ? "no daemon is running for " : "stopped ") + place.root());
    return 0;
  }

  private static int all(RunPaths run, Arguments a) throws Failure {
    mark(run.stopped());
    List<String> alive = new ArrayList<>();
    List<String> served = new ArrayList<>();
    for (RunPaths.Project p : run.all()) {
      if (DaemonProbe.locked(p.lock())) {
        served.add(p.root().orElse(p.id()));
      }
    }
    if (!DaemonStop.coordinator(run)) {
      alive.add("vriftd");
    }
    for (RunPaths.Project p : run.all()) {
      if (DaemonStop.project(p) == DaemonStop.Outcome.ALIVE) {
        alive.add(p.root().orElse(p.id()));
      }
      p.root().ifPresent(r -> sweepStaging(Path.of(r)));
    }
    if (!alive.isEmpty()) {
      throw new Failure(Failure.NEGATIVE, "still alive: " + String.join(", ", alive) + ". Type: vrift doctor");
    }
    say(a, served, "everything is stopped (" + served.size() + (served.size() == 1 ? " project was" : " projects were") + " served)");
    return 0;
  }

  /** Directories of staging that are empty; files in them are a living writer's, or for the next daemon's sweep. */
  private static void sweepStaging(Path root) {
    Path staging = root.resolve(".vrift").resolve("staging");
    try (var projects = Files.newDirectoryStream(staging)) {
      for (Path project : projects) {
        try (var owners = Files.newDirectoryStream(project)) {
          owners.forEach(Leftovers::removeIfEmpty);
        } catch (IOException e) {
          continue;
        }
        Leftovers.removeIfEmpty(project);
      }
    } catch (IOException e) {
      return;
    }
    Leftovers.removeIfEmpty(staging);
  }

  private static void mark(Path file) throws Failure {
    try {
      Files.write(file, new byte[0]);
    } catch (IOException e) {
      throw new Failure(Failure.NEGATIVE, "cannot write " + Trouble.of(e));
    }
  }
}
