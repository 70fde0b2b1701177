package dev.vrift.coordinator;

import dev.vrift.health.CgroupLeftovers;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;

/**
 * Where cgroups for projects can be made: our own directories in the hierarchies that limit something (docs/SUPERVISION.md section 4). Immutable;
 * nothing is written by looking.
 */
final class CgroupPlaces {
  /** A directory whose children may hold a project each; the controllers that limit something there. */
  record Place(Path dir, boolean unified, Set<String> controllers) {}

  private static final Set<String> WANTED = Set.of("memory", "cpu", "pids");

  private final List<Place> places;
  private final List<Path> base;
  private final String none;

  private CgroupPlaces(List<Place> places, List<Path> base, String none) {
    this.places = List.copyOf(places);
    this.base = List.copyOf(base);
    this.none = none;
  }

  /** Of this process. Never throws: a machine without cgroups has no places, and {@link #none} says why. */
  static CgroupPlaces ours() {
    return of(Path.of("/proc/self/mountinfo"), Path.of("/proc/self/cgroup"));
  }

  /** {@code mountinfo} and {@code cgroup} have the format of the files of these names in /proc. */
  static CgroupPlaces of(Path mountinfo, Path cgroup) {
    List<Place> places = new ArrayList<>();
    List<Path> base = new ArrayList<>();
    List<String> refused = new ArrayList<>();
    try {
      Map<String, Path[]> mounts = mounts(mountinfo);
      for (String line : Files.readAllLines(cgroup, StandardCharsets.UTF_8)) {
        String[] f = line.split(":", 3);
        Path[] mount = f.length == 3 ? mounts.get(f[1]) : null;
        if (mount == null) {
          continue;
        }
        Path own = resolve(mount, f[2]);
        if (own == null) {
          continue;
        }
        boolean unified = f[1].isEmpty();
        Set<String> limits = unified ? controllers(own) : wanted(f[1]);
        if (!unified && limits.isEmpty()) {
          continue;
        }
        own = leaveProject(own);
        base.add(own);
        Place p = unified ? unified(own) : new Place(own, false, limits);
        if (p == null || !Files.isWritable(p.dir())) {
          refused.add((unified ? "v2" : f[1]) + " at " + own);
        } else {
          places.add(p);
        }
      }
    } catch (IOException | RuntimeException e) {
      return new CgroupPlaces(List.of(), base, "cgroups cannot be looked at: " + e.getMessage());
    }
    String why = refused.isEmpty() ? "no hierarchy with memory, cpu or pids is mounted" : "not delegated to this user: " + String.join(", ", refused);
    return new CgroupPlaces(places, base, places.isEmpty() ? why : null);
  }

  /** Controllers (or "" for v2) to the mount's root within its hierarchy and its mount point. */
  private static Map<String, Path[]> mounts(Path mountinfo) throws IOException {
    Map<String, Path[]> out = new LinkedHashMap<>();
    for (String line : Files.readAllLines(mountinfo, StandardCharsets.UTF_8)) {
      int dash = line.indexOf(" - ");
      String[] before = line.split(" ");
      String[] after = dash < 0 ? new String[0] : line.substring(dash + 3).split(" ");
      if (before.length < 5 || after.length < 3 || !after[0].startsWith("cgroup")) {
        continue;
      }
      Path[] where = {Path.of(before[3]), Path.of(before[4])};
      if (after[0].equals("cgroup2")) {
        out.putIfAbsent("", where);
      } else {
        StringBuilder names = new StringBuilder();
        for (String option : after[2].split(",")) {
          if (!option.equals("rw") && !option.equals("ro")) {
            names.append(names.isEmpty() ? "" : ",").append(option);
          }
        }
        out.putIfAbsent(names.toString(), where);
      }
    }
    return out;
  }

  private static Path resolve(Path[] mount, String own) {
    Path path = Path.of(own).normalize();
    if (!path.startsWith(mount[0])) {
      return null;
    }
    Path dir = mount[1].resolve(mount[0].relativize(path)).normalize();
    return Files.isDirectory(dir, LinkOption.NOFOLLOW_LINKS) ? dir : null;
  }

  /** A coordinator that was started out of a project's daemon belongs beside it, not below. */
  private static Path leaveProject(Path own) {
    return CgroupLeftovers.isOurs(own) ? own.getParent() : own;
  }

  private static Set<String> wanted(String list) {
    Set<String> out = new java.util.TreeSet<>(List.of(list.split("[ ,\n]+")));
    out.retainAll(WANTED);
    return out;
  }

  private static Set<String> controllers(Path dir) {
    try {
      return wanted(Files.readString(dir.resolve("cgroup.controllers")));
    } catch (IOException e) {
      return Set.of();
    }
  }

  /** v2: the nearest directory from ours upward that we may write and whose children have the memory controller. */
  private static Place unified(Path own) {
    for (Path dir = own; dir != null && Files.isWritable(dir) && Files.exists(dir.resolve("cgroup.procs")); dir = dir.getParent()) {
      try {
        Set<String> below = wanted(Files.readString(dir.resolve("cgroup.subtree_control")));
        if (below.contains("memory")) {
          return new Place(dir, true, below);
        }
      } catch (IOException e) {
        return null;
      }
    }
    return null;
  }

  List<Place> places() {
    return places;
  }

  /** Where a coordinator belongs, one directory for each hierarchy. */
  List<Path> base() {
    return base;
  }

  /** Why there are no places, or null. */
  String none() {
    return none;
  }
}
