package dev.vrift.cli;

import dev.vrift.health.DaemonProbe;
import dev.vrift.health.DaemonStop;
import dev.vrift.health.Leftovers;
import dev.vrift.platform.RunPaths;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;

/** {@code vrift stop}. Nothing running is success. */
final class StopCommand {
  private StopCommand() {}

  static int run(Place place, List<String> words) throws Failure {
    Arguments a = Arguments.parse("stop", words, 0, "--all");
    place.needRun();
    if (!Files.isDirectory(place.run().dir())) {
      System.out.println("nothing is running");
      return 0;
    }
    return a.has("--all") ? all(place.run()) : one(place);
  }

  private static int one(Place place) throws Failure {
    RunPaths.Project p = place.project();
    if (!Files.isDirectory(p.dir())) {
      System.out.println("no daemon is running for " + place.root());
      return 0;
    }
    mark(p.stopped());
    DaemonStop.Outcome outcome = DaemonStop.project(p);
    if (outcome == DaemonStop.Outcome.ALIVE) {
      throw new Failure(Failure.NEGATIVE, "the daemon of " + place.root() + " does not die (is it in uninterruptible sleep?)");
    }
    sweepStaging(Path.of(place.root()));
    System.out.println(outcome == DaemonStop.Outcome.NONE ? "no daemon is running for " + place.root() : "stopped " + place.root());
    return 0;
  }

  static int all(RunPaths run) throws Failure {
    mark(run.stopped());
    List<String> alive = new ArrayList<>();
    int before = 0;
    for (RunPaths.Project p : run.all()) {
      before += DaemonProbe.locked(p.lock()) ? 1 : 0;
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
    System.out.println("everything is stopped (" + before + (before == 1 ? " project was" : " projects were") + " served)");
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
      throw new Failure(Failure.NEGATIVE, "cannot write " + file + ": " + e.getMessage());
    }
  }
}
