package dev.vrift.it;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.concurrent.TimeUnit;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Metadata and contents with real daemons: two projects, one store; a killed daemon; undo. Everything lies in a temporary directory. */
class ContentsIT {
  private static final long TIMEOUT_S = 60;

  @TempDir(factory = ShortTemp.class) Path temp;
  private Path a;
  private Path b;

  /** A socket's path may have 107 bytes only. */
  static final class ShortTemp implements org.junit.jupiter.api.io.TempDirFactory {
    @Override
    public Path createTempDirectory(
        org.junit.jupiter.api.extension.AnnotatedElementContext element, org.junit.jupiter.api.extension.ExtensionContext extension) throws IOException {
      return Files.createTempDirectory(Path.of("/tmp"), "vrift-it-");
    }
  }

  @BeforeEach
  void projects() throws Exception {
    Files.createDirectory(temp.resolve("home"));
    a = project("a");
    b = project("b");
  }

  private Path project(String name) throws Exception {
    Path p = Files.createDirectory(temp.resolve(name)).toRealPath();
    Files.writeString(p.resolve("same-in-both-" + name), "these bytes are in both projects\n");
    Files.writeString(p.resolve("own"), "only in " + name + "\n");
    Files.writeString(p.resolve(".env"), "PASSWORD=secret of " + name + "\n");
    vrift(p, 0, "init");
    return p;
  }

  @AfterEach
  void end() throws Exception {
    vrift(temp, -1, "stop", "--all");
  }

  private String vrift(Path in, int expected, String... words) throws Exception {
    List<String> command = new java.util.ArrayList<>(List.of(System.getProperty("vrift.dist") + "/bin/vrift"));
    command.addAll(List.of(words));
    Path out = Files.createTempFile(temp, "out", "");
    ProcessBuilder builder = new ProcessBuilder(command).directory(in.toFile()).redirectErrorStream(true).redirectOutput(out.toFile());
    builder.environment().put("VRIFT_RUNTIME_DIR", temp.resolve("run").toString());
    builder.environment().put("XDG_STATE_HOME", temp.resolve("state").toString());
    builder.environment().put("XDG_CACHE_HOME", temp.resolve("cache").toString());
    builder.environment().put("HOME", temp.resolve("home").toString());
    Process p = builder.start();
    assertTrue(p.waitFor(TIMEOUT_S, TimeUnit.SECONDS), String.join(" ", words) + " takes too long");
    String text = Files.readString(out);
    Files.delete(out);
    if (expected >= 0) {
      assertEquals(expected, p.exitValue(), String.join(" ", words) + ": " + text);
    }
    return text;
  }

  private static long number(String json, String key) {
    Matcher m = Pattern.compile("\"" + key + "\":(\\d+)").matcher(json);
    assertTrue(m.find(), key + " is not in " + json);
    return Long.parseLong(m.group(1));
  }

  /** The status object of one project. */
  private String status(Path project) throws Exception {
    String all = vrift(project, 0, "status", "--json");
    int at = all.indexOf("\"root\":\"" + project + "\"");
    assertTrue(at >= 0, all);
    int next = all.indexOf("\"root\":", at + 1);
    return all.substring(at, next < 0 ? all.length() : next);
  }

  @Test
  void twoProjectsKeepACommonContentOnceAndNoSecret() throws Exception {
    assertEquals(1, number(vrift(a, 0, "cas", "ingest", "--all", "--json"), "secret"));
    vrift(b, 0, "cas", "ingest", "--all", "--json");
    String stat = vrift(b, 0, "cas", "stat", "--json");
    assertEquals(2, number(stat, "projects"), stat);
    assertTrue(number(stat, "saved_across_projects") >= 33, stat);
    int found = 0;
    try (var blobs = Files.walk(temp.resolve("cache"))) {
      for (Path blob : blobs.filter(Files::isRegularFile).toList()) {
        String text = new String(Files.readAllBytes(blob), java.nio.charset.StandardCharsets.ISO_8859_1);
        assertFalse(text.contains("PASSWORD"), blob.toString());
        found += text.equals("these bytes are in both projects\n") ? 1 : 0;
      }
    }
    assertEquals(1, found);
    assertEquals(0, number(vrift(a, 0, "cas", "verify", "--json"), "damaged"));
  }

  @Test
  void aKilledDaemonComesBackWithItsMetadata() throws Exception {
    vrift(a, 0, "cas", "ingest", "--all", "--json");
    String before = status(a);
    long pid = number(before, "pid");
    ProcessHandle.of(pid).orElseThrow().destroyForcibly();
    String after = before;
    long end = System.currentTimeMillis() + TIMEOUT_S * 1000;
    while (number(after, "pid") == pid || !after.contains("\"contents\":\"open\"")) {
      assertTrue(System.currentTimeMillis() < end, after);
      Thread.sleep(100);
      String now = vrift(a, -1, "status", "--json");
      after = now.contains("\"contents\"") ? status(a) : before;
    }
    assertTrue(after.contains("\"metadata\":{\"state\":\"loaded\""), after);
    assertEquals(number(before, "epoch") + 1, number(after, "epoch"));
    // A successor that goes on with the VDir has the names, and fresher.
    assertEquals(after.contains("\"adopted\":true"), number(after, "preloaded_bytes") == 0, after);
    String again = vrift(a, 0, "cas", "ingest", "--all", "--json");
    assertEquals(0, number(again, "read_bytes"), again);
  }

  @Test
  void damagedMetadataAreSetAsideAndTheProjectServed() throws Exception {
    vrift(a, 0, "stop", "--all");
    Path data;
    try (var walk = Files.walk(temp.resolve("state"))) {
      data = walk.filter(p -> p.endsWith("data.mdb") && Files.exists(p)).findFirst().orElseThrow();
    }
    Path project = data.getParent().getParent();
    byte[] bytes = Files.readAllBytes(data);
    java.util.Arrays.fill(bytes, 4096, bytes.length, (byte) 0x5a);
    Files.write(data, bytes);
    vrift(a, 0, "init");
    vrift(b, 0, "init");
    for (Path p : List.of(a, b)) {
      vrift(p, 0, "cas", "stat");
      assertTrue(status(p).contains("\"state\":\"serving\""));
    }
    assertTrue(Files.isDirectory(project.resolve("lmdb.damaged-1")));
    assertTrue((status(a) + status(b)).contains("\"state\":\"replaced\""));
  }
}
