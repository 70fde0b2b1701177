package dev.vrift.health;

import dev.vrift.layout.Opcode;
import dev.vrift.platform.Processes;
import dev.vrift.platform.RunPaths;
import dev.vrift.platform.SafeDir;
import dev.vrift.platform.Trouble;
import dev.vrift.platform.UserDirs;
import dev.vrift.platform.Version;
import dev.vrift.wire.Fields;
import dev.vrift.wire.WireException;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.ArrayList;
import java.util.List;

/** The checks of {@code vrift doctor}. They only look; what they would change is in the findings. */
public final class Doctor {
  private static final long MIN_WATCHES = 65_536;
  private static final int ANSWER_MS = 500;
  /** Younger files in /dev/shm may be just about to be named in a map link. */
  private static final long SETTLED_MS = 60_000;
  private static final Path SHM = Path.of("/dev/shm");

  private final RunPaths run;
  private final String runProblem;
  private final Path home;
  private final String root;
  private final UserDirs dirs;
  private final List<Finding> found = new ArrayList<>();

  /** {@code runProblem} is the launcher's, or null; {@code root} may be empty (no project here). */
  public Doctor(RunPaths run, String runProblem, Path home, String root, UserDirs dirs) {
    this.run = run;
    this.runProblem = runProblem;
    this.home = home;
    this.root = root;
    this.dirs = dirs;
  }

  /** Runs every check, in the order in which problems are worth repairing. */
  public List<Finding> examine() {
    installation();
    runDirectory();
    if (runProblem == null) {
      stopped();
      sockets();
      versions();
      orphanedMemory();
    }
    UserChecks user = new UserChecks(found);
    if (runProblem == null) {
      user.runDirectory(run.dir());
    }
    user.settings(dirs, root);
    user.directories(dirs);
    limits();
    user.sharedMemory();
    if (runProblem == null) {
      user.gone(run, dirs);
      user.projects(run);
    }
    staging();
    if (found.stream().noneMatch(f -> f.severity() != Finding.Severity.OK)) {
      found.add(Finding.ok("all", "nothing is wrong"));
    }
    return List.copyOf(found);
  }

  private void installation() {
    for (String name : List.of("libvrift_shim.so", "libvrift_jni.so", "liblmdb.so", "vrift.jar", "java")) {
      Path file = home.resolve(name);
      if (!Files.isReadable(file)) {
        found.add(Finding.error("installation", file + " is missing or cannot be read", "build or install vrift again", null));
      }
    }
    if (!Files.exists(home.resolve("vrift.jsa"))) {
      found.add(Finding.warning("archive", "there is no class archive: daemons start slower", "build or install vrift again", null));
    }
    if (Runtime.version().feature() < 25) {
      found.add(Finding.error("jdk", "Java " + Runtime.version() + " is too old", "build vrift again with JAVA_HOME set to a JDK 25", null));
    }
    loadable();
  }

  /** Whether the dynamic linker takes the library: a short program is run with it. */
  private void loadable() {
    Path library = home.resolve("libvrift_shim.so");
    if (!Files.isReadable(library)) {
      return;
    }
    ProcessBuilder b = new ProcessBuilder("/bin/true");
    b.environment().clear();
    b.directory(home.toFile()); // a path with a space or a colon cannot be written into the variable
    b.environment().put("LD_PRELOAD", "./".concat(library.getFileName().toString()));
    b.environment().put("VRIFT", "0");
    b.redirectErrorStream(true);
    try {
      Process p = b.start();
      String said = new String(p.getInputStream().readAllBytes(), java.nio.charset.StandardCharsets.UTF_8).strip();
      int code = p.waitFor();
      if (code != 0 || !said.isEmpty()) {
        found.add(
            Finding.error(
                "library", "the library cannot be loaded: " + (said.isEmpty() ? "exit code " + code : said), "build or install vrift again", null));
      }
    } catch (IOException e) {
      found.add(Finding.warning("library", "could not be tried: " + Trouble.of(e).lines().findFirst().orElse(""), "look whether /bin/true is there, and at ulimit -n and -u", null));
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
    }
  }

  private void runDirectory() {
    if (runProblem == null) {
      return;
    }
    int state = SafeDir.check(RunPaths.bytes(run.dir()));
    Finding.Repair repair = null;
    if (state == SafeDir.NOT_PRIVATE) {
      repair = () -> {
        try {
          Files.setPosixFilePermissions(run.dir(), PosixFilePermissions.fromString("rwx------"));
          return null;
        } catch (IOException e) {
          return Trouble.of(e);
        }
      };
    }
    found.add(Finding.error("run-dir", runProblem, repair == null ? "do as it says" : "chmod 700 " + run.dir(), repair));
  }

  private void stopped() {
    if (Files.exists(run.stopped())) {
      found.add(
          Finding.warning("stopped", "vrift was stopped by `vrift stop --all`", "the next `vrift run`, `init` or `restart` ends that", null));
    }
  }

  private void sockets() {
    stale("vriftd", run.socket(), run.lock(), List.of(run.socket(), run.pid()));
    for (RunPaths.Project p : run.all()) {
      stale(p.root().orElse(p.id()), p.socket(), p.lock(), List.of(p.socket(), p.dir().resolve("pid")));
    }
  }

  private void stale(String what, Path socket, Path lock, List<Path> files) {
    if (!Files.exists(socket, LinkOption.NOFOLLOW_LINKS)) {
      return;
    }
    if (!DaemonProbe.locked(lock)) {
      found.add(
          Finding.warning(
              "stale-socket", socket + " has no daemon (" + what + "); it died", "removes the socket",
              () -> files.stream().map(Leftovers::delete).reduce(false, Boolean::logicalOr) ? null : "could not be removed"));
      return;
    }
    try {
      DaemonProbe.ping(socket, ANSWER_MS);
    } catch (WireException e) {
      found.add(
          Finding.error("silent", "the daemon behind " + socket + " (" + what + ") does not answer: " + e.getMessage(),
              "vrift stop --all, or vrift restart in that project", null));
    }
  }

  private void versions() {
    List<Path> sockets = new ArrayList<>(List.of(run.socket()));
    run.all().forEach(p -> sockets.add(p.socket()));
    for (Path s : sockets) {
      try {
        Fields f = DaemonProbe.ask(s, Opcode.PING, new Fields(), ANSWER_MS).fields();
        String version = f.text("version");
        if (version != null && !version.equals(Version.TEXT)) {
          found.add(
              Finding.warning("version-skew", "the daemon behind " + s + " is of version " + version + ", this is " + Version.TEXT,
                  "vrift stop --all; running commands go on natively", null));
        }
      } catch (WireException e) {
        continue; // said by sockets()
      }
    }
  }

  private void orphanedMemory() {
    try {
      for (Path f : OrphanedMemory.find(run, SETTLED_MS)) {
        found.add(
            Finding.warning("orphaned-memory", f + " (" + Files.size(f) / 1024 + " KiB) belongs to no living daemon", "removes it",
                () -> Leftovers.delete(f) ? null : "could not be removed"));
      }
    } catch (IOException e) {
      found.add(Finding.error("shm", "/dev/shm cannot be looked at: " + Trouble.of(e), "as root: mount -t tmpfs tmpfs /dev/shm", null));
    }
  }

  private void limits() {
    long watches = number("/proc/sys/fs/inotify/max_user_watches");
    if (watches >= 0 && watches < MIN_WATCHES) {
      found.add(
          Finding.warning("inotify-watches", "only " + watches + " directories of this user can be watched; beyond half of that, paths stay native",
              "as root: sysctl fs.inotify.max_user_watches=524288", null));
    }
    long queue = number("/proc/sys/fs/inotify/max_queued_events");
    if (queue >= 0 && queue < 16_384) {
      found.add(
          Finding.warning("inotify-queue", "only " + queue + " events can wait; bursts cost a rescan",
              "as root: sysctl fs.inotify.max_queued_events=65536", null));
    }
  }

  private static long number(String file) {
    // One read(): a sysctl file gives its text at offset 0 only, and Files.readString begins with a single byte.
    try (java.io.FileInputStream in = new java.io.FileInputStream(file)) {
      byte[] text = new byte[64];
      int n = in.read(text);
      return Long.parseLong(new String(text, 0, Math.max(0, n), java.nio.charset.StandardCharsets.US_ASCII).strip());
    } catch (IOException | NumberFormatException e) {
      return -1;
    }
  }

  /** Staging files of dead processes in the project here, when there is no daemon that would sweep them. */
  private void staging() {
    if (root.isEmpty() || runProblem != null || DaemonProbe.locked(run.of(root).lock())) {
      return;
    }
    Path ours = Path.of(root, ".vrift");
    if (Files.exists(ours, LinkOption.NOFOLLOW_LINKS) && !Files.isDirectory(ours, LinkOption.NOFOLLOW_LINKS)) {
      found.add(Finding.error("project", ours + " is not a directory: commands run natively here", "remove it", null));
    }
    Path staging = ours.resolve("staging");
    try (var all = Files.walk(staging, 3)) {
      long orphans =
          all.filter(p -> p.getFileName().toString().endsWith(".tmp") && !alive(p.getParent().getFileName().toString())).count();
      if (orphans > 0) {
        found.add(
            Finding.warning("orphaned-staging", orphans + " files were being written by programs that are dead",
                "vrift init: its daemon moves them to the salvage area", null));
      }
    } catch (IOException | java.io.UncheckedIOException e) {
      return;
    }
  }

  private static boolean alive(String directory) {
    try {
      return directory.startsWith("pid_") && Processes.startTime(Integer.parseInt(directory.substring(4))) >= 0;
    } catch (NumberFormatException e) {
      return false;
    }
  }
}
