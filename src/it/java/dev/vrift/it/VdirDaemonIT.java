package dev.vrift.it;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.vrift.platform.Hash;
import dev.vrift.platform.RunPaths;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** A real {@code vdir_d} without vriftd, asked by {@code native/test/vdir_client.c}, which compares every answer with lstat. */
class VdirDaemonIT {
  private static final long TIMEOUT_S = 120;
  private static final int MANY = 100_000;

  @TempDir(factory = ContentsIT.ShortTemp.class) Path temp;
  private final List<Process> daemons = new ArrayList<>();
  private Path root;
  private RunPaths.Project paths;

  @BeforeEach
  void tree() throws IOException {
    root = Files.createDirectory(temp.toRealPath().resolve("p"));
    Path run =
        Files.createDirectory(temp.resolve("run"), PosixFilePermissions.asFileAttribute(PosixFilePermissions.fromString("rwx------")));
    String id = Hash.hex(Hash.hash64(RunPaths.bytes(root), 0));
    paths = new RunPaths(run).project(id);
    Files.createDirectory(root.resolve("d0"));
    Files.writeString(root.resolve("d0/f0"), "text");
    Files.createSymbolicLink(root.resolve("link"), Path.of("d0"));
    Files.createSymbolicLink(root.resolve("loop"), Path.of("loop"));
  }

  @AfterEach
  void end() throws Exception {
    for (Process p : daemons) {
      p.destroyForcibly().waitFor();
    }
    // What a killed one left in shared memory.
    var shared = paths.shared();
    if (shared.isPresent()) {
      Files.deleteIfExists(shared.get().vdirPath());
      Files.deleteIfExists(shared.get().boardPath());
    }
    for (Path file : paths.begun().values()) {
      Files.deleteIfExists(file);
    }
  }

  private Process start() throws IOException {
    Path lib = Path.of(System.getProperty("vrift.dist")).toAbsolutePath().resolve("lib/vrift");
    ProcessBuilder b =
        new ProcessBuilder(
            lib.resolve("java").toString(), "-XX:+UseSerialGC", "-Xmx64m", "-Dvrift.home=" + home(lib), "-jar", lib.resolve("vrift.jar").toString(), "vdir_d",
            "--run-dir", temp.resolve("run").toString(), "--root", root.toString());
    b.environment().put("XDG_STATE_HOME", temp.resolve("state").toString());
    b.environment().put("XDG_CACHE_HOME", temp.resolve("cache").toString());
    b.environment().put("HOME", temp.toString());
    b.environment().remove("LD_PRELOAD");
    Process p = b.redirectErrorStream(true).redirectOutput(ProcessBuilder.Redirect.appendTo(temp.resolve("log").toFile())).start();
    daemons.add(p);
    return p;
  }

  /** An installation without the launcher: a lone daemon then cannot start a vriftd, which would replace what these tests kill. */
  private Path home(Path lib) throws IOException {
    Path home = temp.resolve("home");
    if (!Files.exists(home)) {
      Files.createSymbolicLink(home, lib);
    }
    return home;
  }

  private Process served() throws Exception {
    Files.deleteIfExists(paths.socket());
    Process p = start();
    long end = System.currentTimeMillis() + TIMEOUT_S * 1000;
    while (!Files.exists(paths.socket())) {
      assertTrue(p.isAlive() && System.currentTimeMillis() < end, () -> "no socket; " + log());
      Thread.sleep(10);
    }
    return p;
  }

  private String log() {
    try {
      return Files.readString(temp.resolve("log"));
    } catch (IOException e) {
      return e.toString();
    }
  }

  private long[] client(String... words) throws Exception {
    Path tool = Path.of(System.getProperty("vrift.dist")).toAbsolutePath().resolveSibling("native/test/vdir_client");
    List<String> command = new ArrayList<>(List.of(tool.toString(), paths.dir().toString(), root.toString()));
    command.addAll(List.of(words));
    Path out = temp.resolve("out");
    Process p = new ProcessBuilder(command).redirectErrorStream(true).redirectOutput(out.toFile()).start();
    assertTrue(p.waitFor(TIMEOUT_S, TimeUnit.SECONDS), "the client does not end");
    String text = Files.readString(out);
    assertEquals(0, p.exitValue(), () -> text + log());
    Matcher m = Pattern.compile("known=(\\d+) native=(\\d+) wrong=(\\d+)").matcher(text);
    assertTrue(m.find(), text);
    return new long[] {Long.parseLong(m.group(1)), Long.parseLong(m.group(2)), Long.parseLong(m.group(3))};
  }

  @Test
  void everyAnswerIsTrueUnderUnseenChangesAndAfterAKill() throws Exception {
    Process first = served();
    long seed = System.nanoTime() & 0x7fffffff;
    System.out.println("VdirDaemonIT seed " + seed);
    long[] n = client("random", "120", Long.toString(seed));
    assertTrue(n[0] > 1_000, "only " + n[0] + " answers came from memory");
    RunPaths.Shared before = paths.shared().orElseThrow();
    first.destroyForcibly().waitFor();
    Files.writeString(root.resolve("d0-while-dead"), "x");
    served();
    n = client("random", "60", Long.toString(seed + 1));
    assertTrue(n[0] > 500, "only " + n[0] + " answers came from memory after the kill");
    RunPaths.Shared after = paths.shared().orElseThrow();
    assertEquals(before.board(), after.board(), "the board outlives a daemon");
    assertNotEquals(before.vdir(), after.vdir());
    assertFalse(Files.exists(before.vdirPath()), "the dead daemon's VDir was left behind");
  }

  @Test
  void aDirectoryOfAHundredThousandFiles() throws Exception {
    Path many = Files.createDirectory(root.resolve("many"));
    for (int i = 0; i < MANY; i++) {
      Files.createFile(many.resolve("file-" + i));
    }
    served();
    long[] n = client("all", "90");
    assertTrue(n[0] > MANY / 2, n[0] + " of " + MANY + " answered from memory, " + n[1] + " native");
  }

  @Test
  void damageIsFoundAndTheVdirMadeAnew() throws Exception {
    served();
    client("all", "10");
    client("flip");
    long[] n = client("all", "10");
    assertTrue(n[0] > 0, "nothing is answered after the rebuild");
  }

  @Test
  void aSecondDaemonLeavesAndTermLeavesNothing() throws Exception {
    Process first = served();
    RunPaths.Shared shared = paths.shared().orElseThrow();
    assertTrue(Files.exists(shared.vdirPath()));
    assertEquals("rw-------", PosixFilePermissions.toString(Files.getPosixFilePermissions(shared.boardPath())));
    Process second = start();
    assertTrue(second.waitFor(TIMEOUT_S, TimeUnit.SECONDS));
    assertEquals(3, second.exitValue(), this::log);
    assertTrue(first.isAlive());
    client("all", "5");
    first.destroy();
    assertTrue(first.waitFor(10, TimeUnit.SECONDS), this::log);
    assertFalse(Files.exists(shared.vdirPath()) || Files.exists(shared.boardPath()), "shared memory was left");
    assertFalse(Files.exists(paths.socket()) || Files.exists(paths.map(), LinkOption.NOFOLLOW_LINKS), "the socket or the map link was left");
  }
}
