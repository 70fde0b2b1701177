package dev.vrift.it;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Callable;
import java.util.concurrent.TimeUnit;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** A place of its own for one test with real daemons: runtime, state and cache directory under one temporary directory with a short path. */
final class Bed implements AutoCloseable {
  private static final long LIMIT_S = 90;
  private static final int SOON_MS = 30_000;

  final Path base;
  final Map<String, String> env = new HashMap<>();

  Bed() throws IOException {
    base = Files.createTempDirectory(Path.of("/tmp"), "vrift-it-").toRealPath();
    Files.createDirectory(base.resolve("home"));
    env.put("VRIFT_RUNTIME_DIR", base.resolve("run").toString());
    env.put("XDG_STATE_HOME", base.resolve("state").toString());
    env.put("XDG_CACHE_HOME", base.resolve("cache").toString());
    env.put("HOME", base.resolve("home").toString());
  }

  static String vrift() {
    return Path.of(System.getProperty("vrift.dist")).toAbsolutePath() + "/bin/vrift";
  }

  Path project(String name) throws IOException {
    return Files.createDirectories(base.resolve(name)).toRealPath();
  }

  Path cas() {
    return Path.of(env.get("XDG_CACHE_HOME"), "vrift/cas");
  }

  Process start(Path in, Path out, List<String> command) throws IOException {
    ProcessBuilder builder = new ProcessBuilder(command).directory(in.toFile()).redirectErrorStream(true).redirectOutput(out.toFile());
    builder.environment().keySet().removeIf(k -> k.startsWith("VRIFT") || k.startsWith("XDG_") || k.equals("LD_PRELOAD"));
    builder.environment().putAll(env);
    return builder.start();
  }

  /** Runs a command to its end; {@code expected} below 0: any code. Its output. */
  String run(Path in, int expected, String... command) throws IOException, InterruptedException {
    Path out = Files.createTempFile(base, "out", "");
    Process p = start(in, out, List.of(command));
    assertTrue(p.waitFor(LIMIT_S, TimeUnit.SECONDS), String.join(" ", command) + " takes too long");
    String text = Files.readString(out, java.nio.charset.StandardCharsets.ISO_8859_1);
    Files.delete(out);
    if (expected >= 0) {
      assertEquals(expected, p.exitValue(), String.join(" ", command) + ": " + text);
    }
    return text;
  }

  String vrift(Path in, int expected, String... words) throws IOException, InterruptedException {
    List<String> command = new ArrayList<>(List.of(vrift()));
    command.addAll(List.of(words));
    return run(in, expected, command.toArray(String[]::new));
  }

  /** A shell script under {@code vrift run}. */
  String build(Path in, int expected, String script) throws IOException, InterruptedException {
    return vrift(in, expected, "run", "--", "sh", "-c", script);
  }

  static long number(String json, String key) {
    Matcher m = Pattern.compile("\"" + key + "\":(-?\\d+)").matcher(json);
    assertTrue(m.find(), key + " is not in " + json);
    return Long.parseLong(m.group(1));
  }

  /** The status object of one project, or "" when it has none. */
  String status(Path project) throws IOException, InterruptedException {
    String all = vrift(base, -1, "status", "--json");
    int at = all.indexOf("\"root\":\"" + project + "\"");
    int next = at < 0 ? -1 : all.indexOf("\"root\":", at + 1);
    return at < 0 ? "" : all.substring(at, next < 0 ? all.length() : next);
  }

  void serving(Path project) throws Exception {
    until(project + " is served", () -> status(project).contains("\"state\":\"serving\""));
  }

  static void until(String what, Callable<Boolean> condition) throws Exception {
    long deadline = System.nanoTime() + SOON_MS * 1_000_000L;
    while (!condition.call()) {
      assertTrue(System.nanoTime() < deadline, "not within " + SOON_MS + " ms: " + what);
      Thread.sleep(50);
    }
  }

  @Override
  public void close() throws Exception {
    vrift(base, -1, "stop", "--all");
    new ProcessBuilder("rm", "-rf", base.toString()).start().waitFor();
  }
}
