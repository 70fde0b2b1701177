package dev.vrift.it;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.vrift.wire.JsonReader;
import dev.vrift.wire.WireException;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.DirectoryStream;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import java.util.concurrent.Callable;
import java.util.concurrent.TimeUnit;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/** The installed program from outside: start, race, death, stop, undo. Everything of ours is pointed to a temporary directory. */
@Timeout(180)
class LifeCycleIT {
  private static final int SOON_MS = 20_000;
  private static final int LIMIT_S = 60;
  @TempDir Path temp;
  private Path vrift;
  private Path project;

  record Result(int code, String out, String err, long ms) {}

  @BeforeEach
  void prepare() throws IOException {
    vrift = Path.of(System.getProperty("vrift.dist")).resolve("bin/vrift").toAbsolutePath();
    temp = temp.toRealPath();
    project = makeProject("project");
    Files.createDirectories(temp.resolve("home"));
  }

  private Path makeProject(String name) throws IOException {
    Path p = Files.createDirectories(temp.resolve(name).resolve("src")).getParent();
    for (int i = 0; i < 40; i++) {
      Files.writeString(p.resolve("src/f" + i), "content " + i + "\n");
    }
    return p;
  }

  @AfterEach
  void end() throws Exception {
    for (int pid : daemons()) {
      signal(pid, "CONT");
    }
    vrift("stop", "--all");
    for (int pid : daemons()) {
      signal(pid, "KILL");
    }
  }

  private ProcessBuilder builder(Path where, String... words) {
    List<String> command = new ArrayList<>(List.of(vrift.toString()));
    command.addAll(List.of(words));
    ProcessBuilder b = new ProcessBuilder(command).directory(where.toFile());
    Map<String, String> env = b.environment();
    env.keySet().removeIf(k -> k.startsWith("VRIFT") || k.startsWith("XDG_") || k.equals("LD_PRELOAD"));
    env.put("HOME", temp.resolve("home").toString());
    env.put("VRIFT_RUNTIME_DIR", temp.resolve("run").toString());
    env.put("XDG_STATE_HOME", temp.resolve("state").toString());
    env.put("XDG_CACHE_HOME", temp.resolve("cache").toString());
    return b;
  }

  private Result vriftIn(Path where, String... words) throws IOException, InterruptedException {
    Path out = Files.createTempFile(temp, "out", "");
    Path err = Files.createTempFile(temp, "err", "");
    long start = System.nanoTime();
    Process p = builder(where, words).redirectOutput(out.toFile()).redirectError(err.toFile()).start();
    p.getOutputStream().close();
    assertTrue(p.waitFor(LIMIT_S, TimeUnit.SECONDS), String.join(" ", words) + " does not end");
    long ms = (System.nanoTime() - start) / 1_000_000;
    Result r = new Result(p.exitValue(), Files.readString(out), Files.readString(err), ms);
    Files.delete(out);
    Files.delete(err);
    return r;
  }

  private Result vrift(String... words) throws IOException, InterruptedException {
    return vriftIn(project, words);
  }

  /** Pids of daemons with our runtime directory, zombies not counted. */
  private Set<Integer> daemons() throws IOException {
    Set<Integer> out = new TreeSet<>();
    try (DirectoryStream<Path> in = Files.newDirectoryStream(Path.of("/proc"), "[0-9]*")) {
      for (Path p : in) {
        try {
          String line = Files.readString(p.resolve("cmdline"), StandardCharsets.ISO_8859_1);
          if (line.contains("\0--run-dir\0" + temp.resolve("run") + "\0")) {
            out.add(Integer.valueOf(p.getFileName().toString()));
          }
        } catch (IOException e) {
          continue;
        }
      }
    }
    return out;
  }

  /** Started before it is needed, of no project yet. */
  private static boolean isSpare(int pid) {
    try {
      return Files.readString(Path.of("/proc/" + pid + "/cmdline"), StandardCharsets.ISO_8859_1).contains("\0--root\0(spare)");
    } catch (IOException e) {
      return true; // it has just ended
    }
  }

  private static void signal(int pid, String name) throws IOException, InterruptedException {
    new ProcessBuilder("kill", "-" + name, Integer.toString(pid)).start().waitFor();
  }

  private Map<String, Object> status() throws IOException, InterruptedException, WireException {
    Result r = vrift("status", "--json");
    assertEquals(0, r.code(), r.err());
    return JsonReader.object(r.out());
  }

  /** The project's object in the status report; empty when it is not there. */
  private Map<?, ?> entry(Path root) throws IOException, InterruptedException, WireException {
    for (Object o : (List<?>) status().get("projects")) {
      if (root.toString().equals(((Map<?, ?>) o).get("root"))) {
        return (Map<?, ?>) o;
      }
    }
    return Map.of();
  }

  private static void until(String what, Callable<Boolean> condition) throws Exception {
    long deadline = System.nanoTime() + SOON_MS * 1_000_000L;
    while (!condition.call()) {
      assertTrue(System.nanoTime() < deadline, "not within " + SOON_MS + " ms: " + what);
      Thread.sleep(50);
    }
  }

  private void serving(Path root) throws Exception {
    until(root + " is served", () -> "serving".equals(entry(root).get("state")));
  }

  private List<Path> left() throws IOException {
    try (Stream<Path> all = Files.walk(temp)) {
      return all.filter(p -> !p.startsWith(project.resolve("src")) && !p.startsWith(temp.resolve("other"))).sorted().toList();
    }
  }

  @Test
  void twentyStartersStartOneOfEach() throws Exception {
    List<Process> all = new ArrayList<>();
    for (int i = 0; i < 20; i++) {
      all.add(builder(project, "run", "--", "sh", "-c", "sleep 1; exit 3").redirectErrorStream(true).redirectOutput(ProcessBuilder.Redirect.DISCARD).start());
    }
    for (Process p : all) {
      assertTrue(p.waitFor(LIMIT_S, TimeUnit.SECONDS));
      assertEquals(3, p.exitValue());
    }
    serving(project);
    assertEquals(2, daemons().stream().filter(p -> !isSpare(p)).count(), "one vriftd, one vdir_d");
    Result log = vrift("logs", "--all");
    assertEquals(1, log.out().split(" serves " + temp.resolve("run"), -1).length - 1, log.out());
  }

  @Test
  void statusHasWhatProgramsRelyOn() throws Exception {
    assertEquals(0, vrift("init").code());
    Map<String, Object> report = status();
    assertEquals(1L, report.get("schema_version"));
    assertTrue(((Map<?, ?>) report.get("vriftd")).get("pid") instanceof Long);
    Map<?, ?> p = entry(project);
    assertEquals("serving", p.get("state"));
    for (String key : List.of("id", "pid", "generation", "entries", "vdir_path", "socket", "staging_bytes")) {
      assertTrue(p.get(key) != null, key);
    }
    assertTrue(Files.exists(Path.of((String) p.get("vdir_path"))));
    assertTrue(Files.exists(Path.of((String) p.get("socket"))));
    assertTrue(daemons().contains(((Long) p.get("pid")).intValue()));
    for (String[] words : new String[][] {{"stats"}, {"explain", "src/f1"}, {"verify"}, {"doctor"}, {"config", "show"}, {"cas", "stat"}, {"salvage", "list"}}) {
      List<String> command = new ArrayList<>(List.of(words));
      command.add("--json");
      Result r = vrift(command.toArray(new String[0]));
      assertEquals(0, r.code(), command + r.err());
      assertEquals(1L, JsonReader.object(r.out()).get("schema_version"), command.toString());
    }
  }

  @Test
  void countersAddUp() throws Exception {
    assertEquals(0, vrift("init").code());
    for (int i = 0; i < 3; i++) {
      assertEquals(0, vrift("run", "--", "ls", "-lR", ".").code());
    }
    Map<String, Object> report = JsonReader.object(vrift("stats", "--json").out());
    Map<?, ?> counters = (Map<?, ?>) report.get("counters");
    long sum = 0;
    for (dev.vrift.layout.StatReason r : dev.vrift.layout.StatReason.values()) {
      if (r != dev.vrift.layout.StatReason.TOTAL && r.ordinal() < dev.vrift.layout.StatReason.MUTATIONS.ordinal()) {
        sum += (Long) counters.get(r.name());
      }
    }
    assertTrue(sum > 0);
    assertEquals(counters.get("TOTAL"), sum);
  }

  @Test
  void killedDaemonsComeBack() throws Exception {
    assertEquals(0, vrift("init").code());
    int first = ((Long) entry(project).get("pid")).intValue();
    signal(first, "KILL");
    until("another daemon serves", () -> "serving".equals(entry(project).get("state")) && !Long.valueOf(first).equals(entry(project).get("pid")));
    int vriftd = ((Long) ((Map<?, ?>) status().get("vriftd")).get("pid")).intValue();
    long second = (Long) entry(project).get("pid");
    signal(vriftd, "KILL");
    assertEquals(0, vriftIn(makeProject("other"), "run", "--", "sleep", "1").code());
    until("a new vriftd has adopted the project", () -> status().get("vriftd") instanceof Map<?, ?> v && !Long.valueOf(vriftd).equals(v.get("pid")));
    assertEquals(second, entry(project).get("pid"));
  }

  @Test
  void aRunBringsItsDaemonBackAfterBothWereKilled() throws Exception {
    assertEquals(0, vrift("init").code());
    Process run = builder(project, "run", "--", "sleep", "8").redirectErrorStream(true).redirectOutput(ProcessBuilder.Redirect.DISCARD).start();
    until("its session is there", () -> Long.valueOf(1).equals(entry(project).get("sessions")));
    Set<Integer> before = daemons();
    for (int pid : before) {
      signal(pid, "KILL");
    }
    until("the running command has a session again", () -> Long.valueOf(1).equals(entry(project).get("sessions")));
    assertTrue(daemons().stream().noneMatch(before::contains));
    run.destroy();
    assertTrue(run.waitFor(LIMIT_S, TimeUnit.SECONDS));
    assertEquals(143, run.exitValue());
  }

  @Test
  void stoppedDaemonsCostNothingMuch() throws Exception {
    assertEquals(0, vrift("init").code());
    for (int pid : daemons()) {
      signal(pid, "STOP");
    }
    long best = Long.MAX_VALUE;
    for (int i = 0; i < 5; i++) {
      Result r = vrift("run", "--", "sh", "-c", "exit 3");
      assertEquals(3, r.code());
      best = Math.min(best, r.ms());
    }
    assertTrue(best < 100, best + " ms");
    for (int pid : daemons()) {
      signal(pid, "CONT");
    }
    serving(project);
  }

  @Test
  void stopLeavesNothingRunningAndIsObeyed() throws Exception {
    assertEquals(0, vrift("stop", "--all").code(), "nothing to stop is success");
    assertEquals(0, vrift("init").code());
    Map<?, ?> p = entry(project);
    String board = (String) p.get("board_path");
    Process running = builder(project, "run", "--", "sleep", "4").redirectErrorStream(true).redirectOutput(ProcessBuilder.Redirect.DISCARD).start();
    until("its session is there", () -> Long.valueOf(1).equals(entry(project).get("sessions")));
    Result stop = vrift("stop", "--all");
    assertEquals(0, stop.code(), stop.err());
    assertEquals(Set.of(), daemons());
    assertFalse(Files.exists(Path.of((String) p.get("vdir_path"))));
    assertFalse(Files.exists(Path.of(board)));
    assertFalse(Files.exists(Path.of((String) p.get("socket")), LinkOption.NOFOLLOW_LINKS));
    assertTrue(status().get("vriftd") == null);
    running.waitFor();
    assertEquals(0, running.exitValue());
    assertEquals(Set.of(), daemons(), "a command that was running starts nothing");
    assertEquals(0, vrift("stop", "--all").code());
    assertEquals(0, vrift("run", "--", "sleep", "1").code());
    serving(project);
    assertEquals(0, vrift("stop").code());
    until("only vriftd is left", () -> daemons().size() == 1);
    Thread.sleep(500);
    assertEquals(1, daemons().size());
    assertEquals(0, vrift("restart").code());
    serving(project);
  }

  @Test
  void undoLeavesNothingAtAll() throws Exception {
    Path bare = temp.resolve("home");
    List<Path> before = left();
    assertEquals(0, vrift("init").code());
    assertEquals(0, vrift("run", "--", "sh", "-c", "echo x >src/new; cat src/*").code());
    assertEquals(0, vrift("cas", "ingest", "--all").code());
    Path vdir = Path.of((String) entry(project).get("vdir_path"));
    Result r = vrift("init", "--undo");
    assertEquals(0, r.code(), r.err());
    until("no daemon is left", () -> daemons().isEmpty());
    assertFalse(Files.exists(vdir));
    assertEquals(before, left().stream().filter(p -> !p.equals(temp.resolve("state")) && !p.equals(temp.resolve("cache"))).toList());
    assertTrue(Files.exists(bare));
  }

  @Test
  void undoOfOneProjectLeavesTheOther() throws Exception {
    Path other = makeProject("other");
    assertEquals(0, vrift("init").code());
    assertEquals(0, vriftIn(other, "init").code());
    long pid = (Long) entry(other).get("pid");
    assertNotEquals(entry(project).get("vdir_path"), entry(other).get("vdir_path"));
    assertEquals(0, vrift("init", "--undo").code());
    assertEquals(Map.of(), entry(project));
    assertEquals(pid, entry(other).get("pid"));
    assertFalse(Files.exists(project.resolve(".vrift")));
    assertEquals(0, vriftIn(other, "init", "--undo").code());
    until("no daemon is left", () -> daemons().isEmpty());
  }

  @Test
  void doctorRepairsWhatTheDeadLeft() throws Exception {
    assertEquals(0, vrift("init").code());
    for (int pid : daemons()) {
      signal(pid, "STOP");
    }
    for (int pid : daemons()) {
      signal(pid, "KILL");
    }
    until("all dead", () -> daemons().isEmpty());
    Result seen = vrift("doctor");
    assertTrue(seen.out().contains("[stale-socket]") && seen.out().contains("--fix:"), seen.out());
    assertTrue(Files.exists(temp.resolve("run/vriftd.sock"), LinkOption.NOFOLLOW_LINKS), "looking changes nothing");
    Result fixed = vrift("doctor", "--fix", "--json");
    assertEquals(0, fixed.code(), fixed.out());
    assertFalse(Files.exists(temp.resolve("run/vriftd.sock"), LinkOption.NOFOLLOW_LINKS));
    assertFalse(vrift("doctor").out().contains("[stale-socket]"));
  }

  @Test
  void wrongCommandLinesAreTwo() throws Exception {
    for (String[] words : new String[][] {{"statsu"}, {"status", "--nonsense"}, {"explain"}, {"config"}, {"cas", "what"}, {"salvage", "restore"}, {"stop", "now"}}) {
      Result r = vrift(words);
      assertEquals(2, r.code(), String.join(" ", words) + r.err());
      assertTrue(r.err().contains("--help"), r.err());
    }
    assertTrue(vrift("statsu").err().contains("'stats'"));
    for (String c : List.of("init", "status", "stats", "explain", "verify", "stop", "restart", "logs", "doctor", "config", "cas", "salvage", "run", "version")) {
      Result r = vrift(c, "--help");
      assertEquals(0, r.code(), c + r.err());
      assertTrue(r.out().startsWith("vrift " + c), c);
    }
    assertEquals(1, vrift("stats").code(), "no daemon");
  }
}
