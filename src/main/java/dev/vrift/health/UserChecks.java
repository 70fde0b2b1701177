package dev.vrift.health;

import dev.vrift.config.Config;
import dev.vrift.layout.BoardLayout;
import dev.vrift.layout.Opcode;
import dev.vrift.platform.RunPaths;
import dev.vrift.platform.Trouble;
import dev.vrift.platform.UserDirs;
import dev.vrift.wire.Fields;
import dev.vrift.wire.JsonReader;
import dev.vrift.wire.WireException;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;

/** What {@code vrift doctor} looks at outside the runtime directory: directories of the user, settings, /dev/shm, and what vriftd says about projects. */
public final class UserChecks {
  /** A board and the smallest VDir, with its state file. */
  private static final long LEAST_SHM_BYTES = BoardLayout.SIZE + (8L << 20);
  private static final long MIN_SHM_BYTES = BoardLayout.SIZE + (64L << 20);
  private static final Path SHM = Path.of("/dev/shm");
  private static final int ANSWER_MS = 3000;

  private final List<Finding> found;

  UserChecks(List<Finding> found) {
    this.found = found;
  }

  void directories(UserDirs dirs) {
    directory("state-dir", dirs.state(), "no daemon can serve", "XDG_STATE_HOME");
    directory("cache-dir", dirs.cache(), "contents are not kept", "XDG_CACHE_HOME");
  }

  private void directory(String id, Path dir, String effect, String variable) {
    Path there = dir;
    while (there.getParent() != null && !Files.exists(there)) {
      there = there.getParent();
    }
    String why = !Files.isDirectory(there) ? " is no directory" : !Files.isWritable(there) || there.startsWith("/proc") ? " cannot be written" : null;
    if (why != null) {
      found.add(
          Finding.error(id, dir + " cannot be made: " + there + why + "; " + effect, "set " + variable + " (or HOME) to a directory of yours, then: vrift stop --all", null));
    }
  }

  void runDirectory(Path run) {
    String why = Files.isDirectory(run) ? whyNoFileIn(run) : null;
    if (why != null) {
      found.add(
          Finding.error("run-dir", why + "; no daemon can start there, and without one commands run natively",
              "make room or have it mounted read-write, or set VRIFT_RUNTIME_DIR to another directory of yours", null));
    }
  }

  /** A daemon makes files there: its socket, its lock, the copy of the library. Null if that can be done; nothing is left behind. */
  public static String whyNoFileIn(Path run) {
    try {
      Path trial = Files.createTempFile(run, ".doctor", null);
      try {
        Files.write(trial, new byte[4096]);
      } finally {
        Files.delete(trial);
      }
      return null;
    } catch (IOException e) {
      return "no file can be made in " + run + ": " + Trouble.of(e);
    }
  }

  void settings(UserDirs dirs, String root) {
    Config c = Config.load(Config.SYSTEM, dirs.config(), root.isEmpty() ? null : Path.of(root), System.getenv(), List.of());
    for (String problem : c.problems()) {
      found.add(Finding.warning("config", problem, "correct it (vrift config show lists every setting), then: vrift restart", null));
    }
  }

  void sharedMemory() {
    if (!Files.isWritable(SHM)) {
      found.add(
          Finding.error("shm", SHM + (Files.isDirectory(SHM) ? " cannot be written (mounted read-only?)" : " is not there") + ": commands run natively",
              "as root: mount -o remount,rw /dev/shm, or mount -t tmpfs tmpfs /dev/shm", null));
      return;
    }
    try {
      long free = Files.getFileStore(SHM).getUsableSpace();
      String text = "only " + (free >> 20) + " MiB are free in /dev/shm: ";
      String remedy = "as root: mount -o remount,size=50% /dev/shm; of a container: docker run --shm-size=1g";
      if (free < LEAST_SHM_BYTES) {
        found.add(Finding.error("shm-size", text + "no more projects can be served", remedy, null));
      } else if (free < MIN_SHM_BYTES) {
        found.add(Finding.warning("shm-size", text + "enough for small projects (about 300 bytes a file), larger ones stay native", remedy, null));
      }
    } catch (IOException e) {
      found.add(Finding.error("shm", Trouble.of(e), "as root: mount -t tmpfs tmpfs /dev/shm", null));
    }
  }

  /** Directories that were removed, and what is kept for them. */
  void gone(RunPaths run, UserDirs dirs) {
    for (GoneProjects.Gone g : GoneProjects.find(run, dirs)) {
      found.add(
          Finding.warning("gone-project", g.root() + " is gone (removed, moved, or its disk is away); its database and its share of the contents are kept",
              "forgets it, unless it is back (vriftd does after 30 days)", () -> {
            List<String> failed = g.forget(run, dirs);
            return failed.isEmpty() ? null : String.join(", ", failed);
          }));
    }
  }

  /** Projects that vriftd does not get to serve, with its reason. */
  void projects(RunPaths run) {
    try {
      Map<String, Object> report = JsonReader.object(DaemonProbe.report(run.socket(), Opcode.STATUS, new Fields(), ANSWER_MS));
      for (Object o : report.get("projects") instanceof List<?> l ? l : List.of()) {
        if (o instanceof Map<?, ?> p && p.get("supervision") instanceof Map<?, ?> s && List.of("waiting", "quarantined", "fencing").contains(s.get("state"))) {
          found.add(
              Finding.error("daemon", p.get("root") + " is not served (" + s.get("state") + "): " + s.get("last_failure") + reason(p), "vrift restart in that project, when the cause is gone", null));
        }
        if (o instanceof Map<?, ?> p && p.get("limits") instanceof List<?> notes) {
          for (Object note : notes) {
            found.add(Finding.warning("limit", p.get("root") + ": " + note, "raise it (vrift's own limits: vrift config show); until then builds are native where it matters", null));
          }
        }
      }
    } catch (WireException e) {
      return; // no vriftd, which is no fault; or it does not answer, which is said elsewhere
    }
  }

  private static String reason(Map<?, ?> project) {
    return project.get("reason") instanceof String r && !r.isEmpty() ? "; " + r : "";
  }
}
