package dev.vrift.it;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.vrift.platform.Hash;
import dev.vrift.platform.RunPaths;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Assumptions;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Garbage, another user, squatted names: real daemons stay up, serve the others, give nothing away and follow nothing out. */
class HostileIT {
  private static final long TIMEOUT_S = 100;
  private static final String FRAMES = System.getProperty("vrift.fuzz.frames", "20000");
  private static final int FILES_MODE_MASK = 077;

  @TempDir(factory = ContentsIT.ShortTemp.class) Path temp;
  private final List<Process> daemons = new ArrayList<>();
  private Path root;
  private Path run;
  private RunPaths.Project paths;

  @BeforeEach
  void tree() throws IOException {
    root = Files.createDirectory(temp.toRealPath().resolve("p"));
    run = Files.createDirectory(temp.resolve("run"), PosixFilePermissions.asFileAttribute(PosixFilePermissions.fromString("rwx------")));
    paths = new RunPaths(run).project(Hash.hex(Hash.hash64(RunPaths.bytes(root), 0)));
    Files.writeString(root.resolve("f"), "text");
  }

  @AfterEach
  void end() throws Exception {
    ProcessBuilder stop = new ProcessBuilder(Bed.vrift(), "stop", "--all"); // a project's daemon that is alone for long has started a vriftd
    stop.environment().put("VRIFT_RUNTIME_DIR", run.toString());
    stop.environment().put("XDG_STATE_HOME", temp.resolve("state").toString());
    stop.redirectErrorStream(true).redirectOutput(ProcessBuilder.Redirect.DISCARD).start().waitFor(TIMEOUT_S, TimeUnit.SECONDS);
    for (Process p : daemons) {
      p.destroyForcibly().waitFor();
    }
    var shared = paths.shared();
    if (shared.isPresent()) {
      Files.deleteIfExists(shared.get().vdirPath());
      Files.deleteIfExists(shared.get().boardPath());
    }
    for (Path file : paths.begun().values()) {
      Files.deleteIfExists(file);
    }
  }

  private Process start(String... words) throws IOException {
    Path lib = Path.of(System.getProperty("vrift.dist")).toAbsolutePath().resolve("lib/vrift");
    List<String> command =
        new ArrayList<>(
            List.of(
                lib.resolve("java").toString(), "-XX:+UseSerialGC", "-Xms4m", "-Xmx64m", "-XX:+ExitOnOutOfMemoryError", "-Dvrift.home=" + lib, "-jar",
                lib.resolve("vrift.jar").toString()));
    command.addAll(List.of(words));
    ProcessBuilder b = new ProcessBuilder(command);
    b.environment().put("XDG_STATE_HOME", temp.resolve("state").toString());
    b.environment().put("XDG_CACHE_HOME", temp.resolve("cache").toString());
    b.environment().put("HOME", temp.toString());
    b.environment().remove("LD_PRELOAD");
    Process p = b.redirectErrorStream(true).redirectOutput(ProcessBuilder.Redirect.appendTo(temp.resolve("log").toFile())).start();
    daemons.add(p);
    return p;
  }

  private Process daemon() throws Exception {
    Process p = start("vdir_d", "--run-dir", run.toString(), "--root", root.toString());
    awaitSocket(p, paths.socket());
    return p;
  }

  private void awaitSocket(Process p, Path socket) throws Exception {
    long until = System.currentTimeMillis() + TIMEOUT_S * 1000;
    while (!Files.exists(socket)) {
      assertTrue(p.isAlive() && System.currentTimeMillis() < until, () -> "no socket; " + log());
      Thread.sleep(10);
    }
  }

  private String log() {
    try {
      String all = Files.readString(temp.resolve("log"));
      return all.substring(Math.max(0, all.length() - 3000));
    } catch (IOException e) {
      return e.toString();
    }
  }

  private record Ran(int code, String text) {}

  private Ran command(String... words) throws Exception {
    Path out = temp.resolve("out");
    Process p = new ProcessBuilder(words).redirectErrorStream(true).redirectOutput(out.toFile()).start();
    assertTrue(p.waitFor(TIMEOUT_S, TimeUnit.SECONDS), "it does not end: " + String.join(" ", words));
    return new Ran(p.exitValue(), Files.readString(out));
  }

  private static String tool(String name) {
    return Path.of(System.getProperty("vrift.dist")).toAbsolutePath().resolveSibling("native/test/" + name).toString();
  }

  private static void asRoot() {
    Assumptions.assumeTrue(new com.sun.security.auth.module.UnixSystem().getUid() == 0, "another user can be tried by root only");
  }

  /** Runs a shell command as nobody; it can reach what its modes allow. */
  private Ran asNobody(String script) throws Exception {
    Files.setPosixFilePermissions(temp, PosixFilePermissions.fromString("rwxr-xr-x"));
    return command("setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", "sh", "-c", script);
  }

  private long rssKb(Process p) throws IOException {
    for (String line : Files.readAllLines(Path.of("/proc/" + p.pid() + "/status"))) {
      if (line.startsWith("VmRSS:")) {
        return Long.parseLong(line.replaceAll("[^0-9]", ""));
      }
    }
    return 0;
  }

  @Test
  void hostileMessagesToAProjectsDaemon() throws Exception {
    Process p = daemon();
    Ran r = command(tool("fuzz_wire"), paths.socket().toString(), FRAMES, "4711");
    System.out.println("vdir_d: " + r.text().trim() + "; " + rssKb(p) / 1024 + " MiB resident");
    assertEquals(0, r.code(), () -> r.text() + log());
    assertTrue(p.isAlive(), this::log);
    assertTrue(rssKb(p) < 300_000, "memory is bounded: " + rssKb(p) + " kB");
  }

  @Test
  void hostileMessagesToTheCoordinator() throws Exception {
    Process p = start("vriftd", "--run-dir", run.toString());
    awaitSocket(p, run.resolve("vriftd.sock"));
    Ran r = command(tool("fuzz_wire"), run.resolve("vriftd.sock").toString(), FRAMES, "4712", "vriftd");
    System.out.println("vriftd: " + r.text().trim() + "; " + rssKb(p) / 1024 + " MiB resident");
    assertEquals(0, r.code(), () -> r.text() + log());
    assertTrue(p.isAlive(), this::log);
    assertEquals("text", Files.readString(root.resolve("f")));
    p.destroy();
    assertTrue(p.waitFor(20, TimeUnit.SECONDS), this::log);
  }

  @Test
  void anotherUserReachesNothing() throws Exception {
    asRoot();
    daemon();
    RunPaths.Shared shared = paths.shared().orElseThrow();
    for (Path file : List.of(shared.vdirPath(), shared.boardPath(), paths.socket(), paths.dir(), run)) {
      int mode = (Integer) Files.getAttribute(file, "unix:mode", java.nio.file.LinkOption.NOFOLLOW_LINKS);
      assertEquals(0, mode & FILES_MODE_MASK, file + " is open to others");
    }
    for (String script :
        List.of("cat " + shared.vdirPath(), "cat " + shared.boardPath(), "truncate -s 0 " + shared.boardPath(), "ls " + run, "cat " + paths.map(), "rm " + shared.vdirPath())) {
      Ran r = asNobody(script);
      assertTrue(r.code() != 0, () -> "nobody may: " + script + ": " + r.text());
    }
    assertTrue(Files.exists(shared.vdirPath()) && Files.size(shared.boardPath()) > 0);
    // Even where directory and socket are laid open by hand, the first byte of another user is not looked at.
    Files.setPosixFilePermissions(run, PosixFilePermissions.fromString("rwxr-xr-x"));
    Files.setPosixFilePermissions(run.resolve("p"), PosixFilePermissions.fromString("rwxr-xr-x"));
    Files.setPosixFilePermissions(paths.dir(), PosixFilePermissions.fromString("rwxr-xr-x"));
    Files.setPosixFilePermissions(paths.socket(), PosixFilePermissions.fromString("rwxrwxrwx"));
    Path copy = Files.copy(Path.of(tool("fuzz_wire")), temp.resolve("fuzz_wire"));
    Files.setPosixFilePermissions(copy, PosixFilePermissions.fromString("rwxr-xr-x"));
    Ran r = asNobody(copy + " " + paths.socket() + " 1 1");
    assertTrue(r.code() == 1 && r.text().contains(" 0 pings"), r.text());
    assertTrue(log().contains("belongs to user 65534"), this::log);
  }

  @Test
  void squattedNamesAreRefusedNotRepaired() throws Exception {
    asRoot();
    for (String how : List.of("mkdir -m 777", "mkdir -m 755", "ln -s /tmp", "mkfifo", "touch", "foreign")) {
      Path squat = temp.resolve("squat");
      if (how.equals("foreign")) {
        Files.createDirectory(squat);
        Files.setAttribute(squat, "unix:uid", 65534);
      } else {
        assertEquals(0, command("sh", "-c", how + " " + squat).code());
      }
      if (how.equals("mkdir -m 777")) {
        Files.setPosixFilePermissions(squat, PosixFilePermissions.fromString("rwxrwxrwx"));
      }
      Object before = Files.getAttribute(squat, "unix:mode", java.nio.file.LinkOption.NOFOLLOW_LINKS);
      Process p = start("vdir_d", "--run-dir", squat.toString(), "--root", root.toString());
      assertTrue(p.waitFor(TIMEOUT_S, TimeUnit.SECONDS), how);
      assertTrue(p.exitValue() != 0, () -> how + " was used; " + log());
      assertEquals(before, Files.getAttribute(squat, "unix:mode", java.nio.file.LinkOption.NOFOLLOW_LINKS), how + " was repaired");
      assertTrue(log().contains(squat.toString()), () -> how + ": no word about it: " + log());
      assertFalse(Files.exists(squat.resolve("p").resolve(paths.id()).resolve("vdir_d.sock")), how);
      command("rm", "-rf", squat.toString());
      Files.deleteIfExists(temp.resolve("log"));
    }
  }
}
