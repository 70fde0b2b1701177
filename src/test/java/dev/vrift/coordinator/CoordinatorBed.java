package dev.vrift.coordinator;

import static org.junit.jupiter.api.Assertions.assertEquals;

import dev.vrift.health.CgroupLeftovers;
import dev.vrift.health.DaemonProbe;
import dev.vrift.layout.Opcode;
import dev.vrift.platform.Processes;
import dev.vrift.platform.RunPaths;
import dev.vrift.wire.Fields;
import dev.vrift.wire.JsonReader;
import dev.vrift.wire.WireException;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Callable;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/** A real vriftd process over stand-ins for the projects' daemons. */
@Timeout(120)
abstract class CoordinatorBed {
  static final int ANSWER_MS = 20_000;
  static final int SOON_MS = 20_000;
  @TempDir Path temp;
  RunPaths run;
  Path home;
  Path root;
  Process vriftd;
  final List<Integer> seen = new ArrayList<>();

  @BeforeEach
  void start() throws Exception {
    run = new RunPaths(Files.createDirectory(temp.resolve("run")));
    Files.setPosixFilePermissions(run.dir(), PosixFilePermissions.fromString("rwx------"));
    home = Files.createDirectory(temp.resolve("home"));
    root = Files.createDirectory(temp.resolve("project")).toRealPath();
    // The "java" of this installation: keeps the command line of the real daemon, runs the stand-in.
    Path java = home.resolve("java");
    Files.writeString(
        java,
        "#!/bin/bash\nwhile [ \"$1\" != vdir_d ]; do shift; done\nexec " + System.getProperty("java.home") + "/bin/java -Xshare:auto -XX:+UseSerialGC"
            + " -Dvrift.jni=" + System.getProperty("vrift.jni") + " -cp target/classes:target/test-classes dev.vrift.coordinator.FakeDaemon \"$@\"\n");
    Files.writeString(java, Files.readString(java).replace("target/", Path.of("target").toAbsolutePath() + "/"));
    Files.setPosixFilePermissions(java, PosixFilePermissions.fromString("rwx------"));
    vriftd = coordinator();
  }

  Process coordinator() throws Exception {
    ProcessBuilder b =
        new ProcessBuilder(
            System.getProperty("java.home") + "/bin/java", "-XX:+UseSerialGC", "--enable-native-access=ALL-UNNAMED", "-Dvrift.home=" + home,
            "-Dvrift.jni=" + System.getProperty("vrift.jni"), "-cp", "target/classes", "dev.vrift.Main", "vriftd", "--run-dir", run.dir().toString());
    b.environment().put("XDG_STATE_HOME", temp.resolve("state").toString());
    b.environment().put("VRIFT_VDIR_D_QUARANTINE_SECONDS", "2");
    b.redirectErrorStream(true).redirectOutput(ProcessBuilder.Redirect.appendTo(temp.resolve("vriftd.log").toFile()));
    Process p = b.start();
    until("vriftd answers", () -> DaemonProbe.ping(run.socket(), 1000) == p.pid());
    return p;
  }

  @AfterEach
  void end() {
    vriftd.destroyForcibly();
    for (int pid : seen) {
      if (DaemonProbe.isDaemon(pid, root.toString())) {
        int fd = Processes.pidfd(pid);
        Processes.signal(fd, Processes.SIGKILL);
        Processes.poll(new int[] {fd}, ANSWER_MS);
        Processes.close(fd);
      }
    }
    String prefix = CgroupLeftovers.name(run, "");
    CgroupLeftovers.remove(CgroupLeftovers.places(run), name -> name.startsWith(prefix));
  }

  static void until(String what, Callable<Boolean> condition) throws Exception {
    long deadline = Processes.monotonicMs() + SOON_MS;
    Exception last = null;
    while (Processes.monotonicMs() < deadline) {
      try {
        if (condition.call()) {
          return;
        }
      } catch (WireException | IOException e) {
        last = e;
      }
      Thread.sleep(20);
    }
    throw new AssertionError("not within " + SOON_MS + " ms: " + what, last);
  }

  int open(Opcode how) throws WireException {
    int pid = (int) DaemonProbe.ask(run.socket(), how, new Fields().put("root", root.toString()), ANSWER_MS).fields().number("pid", 0);
    seen.add(pid);
    return pid;
  }

  RunPaths.Project project() {
    return run.of(root.toString());
  }

  static void kill(int pid, int signal) {
    int fd = Processes.pidfd(pid);
    Processes.signal(fd, signal);
    Processes.close(fd);
  }

  /** The answer to STATUS for our project. */
  Map<?, ?> status() throws WireException {
    Map<String, Object> report = JsonReader.object(DaemonProbe.report(run.socket(), Opcode.STATUS, new Fields(), ANSWER_MS));
    assertEquals(1L, report.get("schema_version"));
    List<?> projects = (List<?>) report.get("projects");
    return projects.isEmpty() ? Map.of() : (Map<?, ?>) projects.get(0);
  }
}
