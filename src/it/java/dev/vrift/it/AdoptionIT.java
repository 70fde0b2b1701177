package dev.vrift.it;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.vrift.platform.Hash;
import dev.vrift.platform.RunPaths;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.DirectoryStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/** Real daemons: a project's dies, and its successor goes on with the same VDir (docs/ADOPTION.md). */
@Timeout(240)
class AdoptionIT {
  /** Who lived this long has a successor at once. */
  private static final long CALM_MS = 5_500;
  private static final int FILES = 400;

  private Bed bed;
  private Path project;
  private RunPaths.Project paths;
  private Process run;

  @BeforeEach
  void begin() throws Exception {
    bed = new Bed();
    project = bed.project("p");
    for (int i = 0; i < FILES; i++) {
      Path dir = Files.createDirectories(project.resolve("d" + i % 8));
      Files.writeString(dir.resolve("f" + i), "content " + i);
    }
    String id = Hash.hex(Hash.hash64(RunPaths.bytes(project), 0));
    paths = new RunPaths(Path.of(bed.env.get("VRIFT_RUNTIME_DIR"))).project(id);
  }

  @AfterEach
  void end() throws Exception {
    if (run != null) {
      Files.createFile(bed.base.resolve("end"));
      assertTrue(run.waitFor(60, TimeUnit.SECONDS), "the build does not end");
    }
    Path vdir = paths.shared().map(RunPaths.Shared::vdirPath).orElse(null);
    List<Path> begun = List.copyOf(paths.begun().values());
    bed.vrift(bed.base, -1, "stop", "--all");
    for (Path p : begun) {
      assertFalse(Files.exists(p), p + " was left in shared memory");
    }
    assertTrue(vdir == null || !Files.exists(vdir));
    assertEquals(List.of(), List.copyOf(paths.begun().keySet()), "markers were left");
    assertEquals(List.of(), spares(), "a spare daemon was left");
    bed.close();
  }

  /** A command that looks at files until the end of the test. */
  private void build() throws Exception {
    String script = "while [ ! -e " + bed.base.resolve("end") + " ]; do ls -l d0 d1 >/dev/null; sleep 0.02; done";
    run = bed.start(project, bed.base.resolve("build.out"), List.of(Bed.vrift(), "run", "--", "sh", "-c", script));
    bed.serving(project);
  }

  private int daemon() throws Exception {
    return (int) Bed.number(bed.status(project), "pid");
  }

  private static void signal(long pid, String name) throws IOException, InterruptedException {
    assertEquals(0, new ProcessBuilder("kill", "-" + name, Long.toString(pid)).start().waitFor());
  }

  private List<Long> processes(String part) throws IOException {
    List<Long> out = new ArrayList<>();
    try (DirectoryStream<Path> in = Files.newDirectoryStream(Path.of("/proc"), "[0-9]*")) {
      for (Path p : in) {
        try {
          String line = Files.readString(p.resolve("cmdline"), StandardCharsets.ISO_8859_1);
          if (line.contains("\0--run-dir\0" + bed.env.get("VRIFT_RUNTIME_DIR") + "\0") && line.contains(part)) {
            out.add(Long.valueOf(p.getFileName().toString()));
          }
        } catch (IOException e) {
          continue; // it has just ended
        }
      }
    }
    return out;
  }

  private List<Long> spares() throws IOException {
    return processes("\0--root\0(spare)");
  }

  private long coordinator() throws IOException {
    List<Long> all = processes("\0vriftd\0");
    return all.size() == 1 ? all.get(0) : 0;
  }

  private String successorOf(int pid) throws Exception {
    Bed.until("a successor serves", () -> {
      String s = bed.status(project);
      return s.contains("\"state\":\"serving\"") && Bed.number(s, "pid") != pid;
    });
    return bed.status(project);
  }

  /** Memory is what the tree is, and knows it. */
  private void isTrue() throws Exception {
    String report = bed.vrift(project, 0, "verify", "--json");
    assertTrue(report.contains("\"differences\":[]"), report);
    assertTrue(Bed.number(report, "checked") > FILES / 2, report);
  }

  private void settled() throws Exception {
    Thread.sleep(CALM_MS);
    Bed.until("a spare daemon is there", () -> spares().size() == 1);
  }

  @Test
  void killedAndServedAgainByASpareWithTheSameVdir() throws Exception {
    build();
    settled();
    for (int i = 0; i < 3; i++) {
      int first = daemon();
      long spare = spares().get(0);
      String map = Files.readSymbolicLink(paths.map()).toString();
      long generation = Bed.number(bed.status(project), "generation");
      signal(first, "KILL");
      String status = successorOf(first);
      assertTrue(status.contains("\"adopted\":true"), status);
      assertEquals(spare, Bed.number(status, "pid"), "the spare one was not taken");
      assertEquals(map, Files.readSymbolicLink(paths.map()).toString());
      assertTrue(Bed.number(status, "generation") > generation);
      assertTrue(processes("\0--root\0" + project + "\0").contains(spare), "its command line names the project");
      isTrue();
      settled();
    }
  }

  @Test
  void changedWhileNobodyLived() throws Exception {
    build();
    settled();
    int first = daemon();
    long vriftd = coordinator();
    signal(vriftd, "STOP");
    try {
      signal(first, "KILL");
      for (int i = 0; i < FILES; i += 3) {
        Files.writeString(project.resolve("d" + i % 8 + "/f" + i), "changed while nobody lived");
      }
      Files.createDirectories(project.resolve("new/below"));
      Files.writeString(project.resolve("new/below/f"), "x");
      Files.move(project.resolve("d7"), project.resolve("moved"));
      Files.delete(project.resolve("d1/f1"));
    } finally {
      signal(vriftd, "CONT");
    }
    String status = successorOf(first);
    assertTrue(status.contains("\"adopted\":true"), status);
    String seen = bed.build(project, 0, "cat d0/f0 new/below/f; ls d7 d1/f1 2>&1; ls moved | wc -l");
    assertTrue(seen.contains("changed while nobody lived") && seen.contains(Integer.toString(FILES / 8)), seen);
    assertEquals(2, seen.split("No such file", -1).length - 1, seen);
    isTrue();
  }

  @Test
  void theCoordinatorIsKilledInBetween() throws Exception {
    build();
    settled();
    int first = daemon();
    long vriftd = coordinator();
    signal(vriftd, "KILL");
    Bed.until("another vriftd is there", () -> coordinator() != 0 && coordinator() != vriftd);
    Bed.until("the daemon gives it its watch queue", () -> bed.vrift(project, 0, "logs", "--all").split("pid " + first + " registers", -1).length > 2);
    assertEquals(first, daemon());
    Bed.until("a spare daemon is there", () -> spares().size() == 1);
    signal(first, "KILL");
    String status = successorOf(first);
    assertTrue(status.contains("\"adopted\":true"), status);
    isTrue();
  }

  @Test
  void bothKilledMeansEverythingAnew() throws Exception {
    build();
    settled();
    int first = daemon();
    RunPaths.Shared shared = paths.shared().orElseThrow();
    Path state = paths.state(shared.vdir()).orElseThrow();
    assertTrue(Files.exists(state));
    signal(coordinator(), "KILL");
    signal(first, "KILL");
    Files.writeString(project.resolve("d0/f0"), "changed");
    String status = successorOf(first);
    assertTrue(status.contains("\"adopted\":false"), status);
    RunPaths.Shared after = paths.shared().orElseThrow();
    assertEquals(shared.board(), after.board());
    assertNotEquals(shared.vdir(), after.vdir());
    assertFalse(Files.exists(shared.vdirPath()) || Files.exists(state), "what the dead one had was left behind");
    isTrue();
  }

  @Test
  void withoutASpareAProcessIsStarted() throws Exception {
    bed.env.put("VRIFT_VRIFTD_SPARE", "0");
    build();
    Thread.sleep(CALM_MS);
    assertEquals(List.of(), spares());
    int first = daemon();
    signal(first, "KILL");
    String status = successorOf(first);
    assertTrue(status.contains("\"adopted\":true"), status);
    isTrue();
  }
}
