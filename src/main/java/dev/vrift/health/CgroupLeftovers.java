package dev.vrift.health;

import dev.vrift.platform.Hash;
import dev.vrift.platform.RunPaths;
import java.io.IOException;
import java.nio.file.DirectoryStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.function.Predicate;

/** Names of the projects' cgroup directories, and the removal of those without a process. The kernel refuses to remove one that has any. */
public final class CgroupLeftovers {
  private CgroupLeftovers() {}

  /** The name of the directory of a project of this runtime directory. */
  public static String name(RunPaths run, String id) {
    return "vrift-" + Hash.hex(Hash.hash64(RunPaths.bytes(run.dir()), 0)) + "-" + id;
  }

  /** Whether a directory's name is one that we give. */
  public static boolean isOurs(Path dir) {
    Path name = dir.getFileName();
    return name != null && name.toString().matches("vrift-[0-9a-f]{16}-[0-9a-f]{16}");
  }

  /** Where the last vriftd made its projects' directories; empty if it made none. */
  public static List<Path> places(RunPaths run) {
    try {
      return Files.readAllLines(run.cgroups()).stream().filter(l -> l.startsWith("@/")).map(l -> Path.of(l.substring(1))).toList();
    } catch (IOException | RuntimeException e) {
      return List.of();
    }
  }

  /** Removes the directories in {@code places} that have no process and that {@code which} names. How many. */
  public static int remove(List<Path> places, Predicate<String> which) {
    int removed = 0;
    for (Path place : places) {
      try (DirectoryStream<Path> in = Files.newDirectoryStream(place, "vrift-*")) {
        for (Path dir : in) {
          if (isOurs(dir) && which.test(dir.getFileName().toString()) && removeEmpty(dir)) {
            removed++;
          }
        }
      } catch (IOException e) {
        continue; // that hierarchy is gone
      }
    }
    return removed;
  }

  private static boolean removeEmpty(Path dir) {
    try {
      return Files.deleteIfExists(dir);
    } catch (IOException e) {
      return false; // in use
    }
  }
}
