package dev.vrift.health;

import dev.vrift.cas.ContentRoots;
import dev.vrift.platform.RunPaths;
import dev.vrift.platform.UserDirs;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.stream.Stream;

/**
 * Projects whose directory is gone: removed, moved, or on a disk that is not there. Their database and their references keep room in the store that
 * nobody gets back by himself. {@code vrift doctor --fix} forgets them at once, vriftd after {@link #QUIET_MS}: nothing is lost that a scan does not find again.
 */
public final class GoneProjects {
  /** So long nothing of a project must have been written before vriftd forgets it without being asked, ms. */
  public static final long QUIET_MS = 30L * 24 * 3600 * 1000;

  private GoneProjects() {}

  /** One of them. {@code quietMs}: since anything was last written for it. */
  public record Gone(RunPaths.Project project, String root, long quietMs) {
    /** What could not be removed; empty: it is forgotten, or has come back and stays. The caller has seen no daemon; one that starts meanwhile keeps everything. */
    public List<String> forget(RunPaths run, UserDirs dirs) {
      return isGone(root) ? Leftovers.forget(run, dirs, project, root) : List.of();
    }
  }

  /** True only if it is sure: a path that may not be looked at is not gone. */
  public static boolean isGone(String root) {
    return Files.notExists(Path.of(root), LinkOption.NOFOLLOW_LINKS);
  }

  /** All of them that have no daemon, from the runtime directory and from the store of contents (which outlives a boot). */
  public static List<Gone> find(RunPaths run, UserDirs dirs) {
    Map<String, String> roots = new TreeMap<>();
    ContentRoots.of(dirs.cas()).forEach((id, root) -> {
      if (root.startsWith("/") && root.indexOf('\0') < 0 && run.of(root).id().equals(id)) {
        roots.put(id, root);
      }
    });
    run.all().forEach(p -> p.root().ifPresent(root -> roots.put(p.id(), root)));
    List<Gone> out = new ArrayList<>();
    roots.forEach((id, root) -> {
      RunPaths.Project p = run.project(id);
      if (isGone(root) && !DaemonProbe.locked(p.lock())) {
        out.add(new Gone(p, root, quiet(dirs, p)));
      }
    });
    return out;
  }

  private static long quiet(UserDirs dirs, RunPaths.Project p) {
    long last =
        Stream.of(dirs.project(p.id()).resolve("lmdb/data.mdb"), dirs.cas().resolve("refs").resolve(p.id()), dirs.log(p.id()), p.dir())
            .mapToLong(f -> f.toFile().lastModified()).max().orElse(0); // 0: not there
    return System.currentTimeMillis() - last;
  }
}
