package dev.vrift.health;

import dev.vrift.platform.Processes;
import dev.vrift.platform.RunPaths;
import java.io.IOException;
import java.nio.file.DirectoryStream;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import java.util.regex.Pattern;

/** Files of ours in /dev/shm that belong to no living daemon. */
public final class OrphanedMemory {
  private static final Pattern SHARED = Pattern.compile("vrift_(vdir|board|state)_[0-9a-f]{16}");
  private static final Path SHM = Path.of("/dev/shm");

  private OrphanedMemory() {}

  /**
   * Those that no map link of a living daemon names and no process maps (a daemon of another runtime directory, a program that still runs), older than
   * that: younger ones may be just about to be named. Only with a candidate are other processes looked at.
   */
  public static List<Path> find(RunPaths run, long olderThanMs) throws IOException {
    Set<Path> alive = new HashSet<>();
    for (RunPaths.Project p : run.all()) {
      if (DaemonProbe.locked(p.lock())) {
        p.shared().ifPresent(s -> {
          alive.add(s.vdirPath());
          alive.add(s.boardPath());
          p.state(s.vdir()).ifPresent(alive::add);
        });
      }
    }
    List<Path> found = new ArrayList<>();
    try (DirectoryStream<Path> in = Files.newDirectoryStream(SHM, "vrift_*")) {
      for (Path f : in) {
        if (!alive.contains(f) && ours(f, olderThanMs) && !Users.maps(f)) {
          found.add(f);
        }
      }
    }
    return found;
  }

  private static boolean ours(Path f, long olderThanMs) throws IOException {
    if (!SHARED.matcher(f.getFileName().toString()).matches() || !Files.isRegularFile(f, LinkOption.NOFOLLOW_LINKS)) {
      return false;
    }
    Integer uid = (Integer) Files.getAttribute(f, "unix:uid", LinkOption.NOFOLLOW_LINKS);
    long age = System.currentTimeMillis() - Files.getLastModifiedTime(f, LinkOption.NOFOLLOW_LINKS).toMillis();
    return uid == Processes.uid() && age > olderThanMs;
  }
}
