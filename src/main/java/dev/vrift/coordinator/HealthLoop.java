package dev.vrift.coordinator;

import dev.vrift.health.CgroupLeftovers;
import dev.vrift.health.DaemonProbe;
import dev.vrift.health.GoneProjects;
import dev.vrift.health.Leftovers;
import dev.vrift.health.OrphanedMemory;
import dev.vrift.platform.Log;
import dev.vrift.platform.RunPaths;
import dev.vrift.platform.UserDirs;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Set;

/**
 * Every 10 s: removes what dead daemons left (docs/SUPERVISION.md section 6). Whether the living ones respond is looked at by each project's own thread. Its
 * thread waits for nobody: it touches the runtime directory, /dev/shm and cgroups, and no project.
 */
final class HealthLoop {
  static final int EVERY_MS = 10_000;
  /** Rounds between two looks for projects that are gone: an hour. */
  private static final int FORGET_EVERY = 360;

  private final RunPaths run;
  private final Registry registry;
  private final CgroupPlaces places;
  private final UserDirs dirs;
  private int rounds;
  private final Set<String> suspects = new HashSet<>();
  private final Set<String> emptyCgroups = new HashSet<>();
  private final Set<Path> orphans = new HashSet<>();

  HealthLoop(RunPaths run, UserDirs dirs, Registry registry, CgroupPlaces places) {
    this.run = run;
    this.dirs = dirs;
    this.registry = registry;
    this.places = places;
  }

  void start() {
    Thread t = new Thread(null, this::loop, "health", 256 * 1024);
    t.setDaemon(true);
    t.start();
  }

  private void loop() {
    Leftovers.removeUnusedLibraries(run);
    while (true) {
      try {
        round();
        if (rounds++ % FORGET_EVERY == 0) {
          forgetGone();
        }
        Thread.sleep(EVERY_MS);
      } catch (InterruptedException e) {
        return;
      } catch (RuntimeException e) {
        Log.error("health loop", e);
      }
    }
  }

  /** What was an orphan in the round before and still is, goes. */
  private void round() {
    List<String> supervised = new ArrayList<>();
    for (ProjectSupervisor s : registry.all()) {
      supervised.add(s.project().id());
    }
    Set<String> before = Set.copyOf(suspects);
    suspects.clear();
    for (RunPaths.Project p : run.all()) {
      if (supervised.contains(p.id()) || !hasRuntime(p) || DaemonProbe.locked(p.lock())) {
        continue;
      }
      if (!before.contains(p.id())) {
        suspects.add(p.id());
      } else if (Leftovers.removeRuntimeOfDead(p)) {
        Log.warn("removed what a dead daemon of " + p.root().orElse(p.id()) + " had left");
      }
    }
    sweepCgroups(supervised);
    sweepMemory();
  }

  /** What nobody has used for a month and whose directory is gone would keep room in the store for ever. */
  private void forgetGone() {
    for (GoneProjects.Gone g : GoneProjects.find(run, dirs)) {
      if (g.quietMs() >= GoneProjects.QUIET_MS) {
        List<String> failed = g.forget(run, dirs);
        Log.info("forgot " + g.root() + ", which is gone" + (failed.isEmpty() ? "" : "; not removed: " + String.join(", ", failed)));
      }
    }
  }

  /** Files in /dev/shm of daemons that were killed while they replaced one. */
  private void sweepMemory() {
    Set<Path> before = Set.copyOf(orphans);
    orphans.clear();
    try {
      for (Path f : OrphanedMemory.find(run, EVERY_MS)) {
        orphans.add(f);
        if (before.contains(f) && Leftovers.delete(f)) {
          Log.warn("removed " + f + ", which belonged to no living daemon");
        }
      }
    } catch (IOException e) {
      Log.warn("/dev/shm cannot be read: " + e.getMessage());
    }
  }

  /** Also those of other runtime directories: one that has been empty for a whole round has nobody who will fill it. */
  private void sweepCgroups(List<String> supervised) {
    Set<String> before = Set.copyOf(emptyCgroups);
    emptyCgroups.clear();
    List<String> kept = supervised.stream().map(id -> CgroupLeftovers.name(run, id)).toList();
    int removed =
        CgroupLeftovers.remove(places.places().stream().map(CgroupPlaces.Place::dir).toList(), name -> {
          emptyCgroups.add(name);
          return before.contains(name) && !kept.contains(name);
        });
    if (removed > 0) {
      Log.info("removed " + removed + " empty cgroup directories");
    }
  }

  private static boolean hasRuntime(RunPaths.Project p) {
    return Files.exists(p.map(), LinkOption.NOFOLLOW_LINKS) || Files.exists(p.socket(), LinkOption.NOFOLLOW_LINKS);
  }
}
