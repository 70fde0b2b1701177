package dev.vrift.coordinator;

import dev.vrift.platform.Log;
import dev.vrift.platform.Processes;
import dev.vrift.platform.RunPaths;
import dev.vrift.platform.Sockets;
import dev.vrift.platform.UserDirs;
import dev.vrift.wire.Fields;
import dev.vrift.wire.WireException;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.ArrayList;
import java.util.List;

/** Starts {@code vdir_d} processes. Thread-safe. */
final class VdirStarter {
  private static final long LOG_MAX_BYTES = 1 << 20;
  private static final String[] FLAGS = {
    "-XX:+UseSerialGC", "-Xms4m", "-Xmx64m", "-Xss256k", "-XX:-UsePerfData", "-XX:+DisableAttachMechanism", "-Xlog:disable",
    "-XX:+ExitOnOutOfMemoryError", "-Dstdout.encoding=UTF-8", "-Dstderr.encoding=UTF-8"
  };

  /** Its place on the command line of one that has no project yet: as many bytes as the longest root that it can take. */
  private static final String NO_ROOT = "(spare)" + ".".repeat(1017);

  /** A process that was started and is not ready yet; {@code control}, where it takes its order and says that it is ready, is the receiver's to close. */
  record Started(int pid, int control) {}

  private final String home;
  private final RunPaths run;
  private final UserDirs dirs;
  private final byte[][] environment;
  private final SpareDaemon spare;

  /** {@code home} is the installed version's directory. The environment is ours: the launcher has scrubbed it. */
  VdirStarter(String home, RunPaths run, UserDirs dirs) throws IOException {
    this.home = home;
    this.run = run;
    this.dirs = dirs;
    this.environment = environment();
    this.spare = new SpareDaemon(() -> spawn(NO_ROOT, dirs.log("vriftd"))); // that log is our own: not turned over while we write it
  }

  /** The installed version's directory that daemons are started from. */
  String home() {
    return home;
  }

  private static byte[][] environment() throws IOException {
    byte[] all = Files.readAllBytes(Path.of("/proc/self/environ"));
    List<byte[]> out = new ArrayList<>();
    int from = 0;
    for (int i = 0; i < all.length; i++) {
      if (all[i] == 0) {
        if (i > from && !startsWith(all, from, "LD_") && !startsWith(all, from, "JAVA_")) {
          out.add(java.util.Arrays.copyOfRange(all, from, i));
        }
        from = i + 1;
      }
    }
    return out.toArray(new byte[0][]);
  }

  private static boolean startsWith(byte[] all, int from, String prefix) {
    for (int i = 0; i < prefix.length(); i++) {
      if (from + i >= all.length || all[from + i] != prefix.charAt(i)) {
        return false;
      }
    }
    return true;
  }

  /** One that is started before it is needed. */
  SpareDaemon spare() {
    return spare;
  }

  /** Starts the daemon of a project, the spare one if there is one, and hands it the watch queue kept. Throws {@link IOException} saying why it could not. */
  Started start(RunPaths.Project project, String root, KeptWatch kept) throws IOException {
    Path log = logFile(project.id());
    Started s = RunPaths.bytes(root).length <= NO_ROOT.length() ? spare.take() : null;
    if (s != null) {
      if (order(s, root, log, kept)) {
        return s;
      }
      Processes.close(s.control());
      Processes.killChild(s.pid());
    }
    s = spawn(root, log);
    order(s, root, log, kept); // one that has died is found by its silence
    return s;
  }

  private static boolean order(Started s, String root, Path log, KeptWatch kept) {
    try {
      kept.order(s.control(), new Fields().put("root", root).put("log", RunPaths.bytes(log)));
      return true;
    } catch (WireException e) {
      Log.warn("pid " + s.pid() + " takes no order: " + e.getMessage());
      return false;
    }
  }

  private Started spawn(String root, Path log) throws IOException {
    List<String> command = new ArrayList<>();
    command.add(home + "/java");
    command.addAll(List.of(FLAGS));
    command.add("-XX:SharedArchiveFile=" + home + "/vrift.jsa");
    command.add("-Dvrift.home=" + home);
    String jni = System.getProperty("vrift.jni");
    if (jni != null) {
      command.add("-Dvrift.jni=" + jni);
    }
    command.addAll(List.of("-jar", home + "/vrift.jar", "vdir_d", "--run-dir", run.dir().toString(), "--root", root, "--ready-fd"));
    byte[][] argv = new byte[command.size()][];
    for (int i = 0; i < argv.length; i++) {
      argv[i] = RunPaths.bytes(command.get(i));
    }
    int[] result = new int[2];
    int r = Processes.spawnDaemon(argv[0], argv, environment, RunPaths.bytes(log), result);
    if (r < 0) {
      throw new IOException("cannot start " + command.get(0) + ": " + Sockets.message(r));
    }
    return new Started(result[0], result[1]);
  }

  private Path logFile(String id) throws IOException {
    Path log = dirs.log(id);
    Files.createDirectories(log.getParent(), PosixFilePermissions.asFileAttribute(PosixFilePermissions.fromString("rwx------")));
    if (Files.exists(log) && Files.size(log) > LOG_MAX_BYTES) {
      Files.move(log, log.resolveSibling(id + ".log.1"), StandardCopyOption.REPLACE_EXISTING);
    }
    return log;
  }
}
