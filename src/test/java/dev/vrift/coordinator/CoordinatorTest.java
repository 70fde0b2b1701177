package dev.vrift.coordinator;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.vrift.health.DaemonProbe;
import dev.vrift.layout.Opcode;
import dev.vrift.platform.Processes;
import dev.vrift.platform.RunPaths;
import dev.vrift.wire.Fields;
import dev.vrift.wire.WireException;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.ConcurrentSkipListSet;
import org.junit.jupiter.api.Test;

/** What vriftd does for projects: starting, adopting, stopping, refusing. */
class CoordinatorTest extends CoordinatorBed {
  @Test
  void manyOpensStartOneDaemon() throws Exception {
    Set<Integer> pids = new ConcurrentSkipListSet<>();
    Set<String> refused = new ConcurrentSkipListSet<>();
    List<Thread> threads = new ArrayList<>();
    for (int i = 0; i < 20; i++) {
      Thread t = new Thread(() -> {
        try {
          pids.add(open(Opcode.OPEN));
        } catch (WireException e) {
          refused.add(e.toString());
        }
      });
      t.start();
      threads.add(t);
    }
    for (Thread t : threads) {
      t.join();
    }
    assertEquals(Set.of(), refused);
    assertEquals(1, pids.size(), pids.toString());
    int pid = pids.iterator().next();
    assertTrue(pid > 0);
    assertEquals("serving", status().get("state"));
    assertEquals((long) pid, status().get("pid"));
    String environment = Files.readString(Path.of("/proc/" + pid + "/environ"), java.nio.charset.StandardCharsets.ISO_8859_1);
    assertFalse(environment.contains("LD_PRELOAD"));
    assertEquals("/", Files.readSymbolicLink(Path.of("/proc/" + pid + "/cwd")).toString());
  }

  @Test
  void aKilledDaemonIsReplacedAndARestartReplacesToo() throws Exception {
    int first = open(Opcode.OPEN);
    kill(first, Processes.SIGKILL);
    until("another pid answers", () -> {
      int now = DaemonProbe.ping(project().socket(), 500);
      seen.add(now);
      return now != first;
    });
    int second = open(Opcode.OPEN);
    assertNotEquals(first, second);
    int third = open(Opcode.RESTART);
    assertNotEquals(second, third);
    assertEquals(-1, Processes.startTime(second));
  }

  @Test
  void aDaemonThatStopsByItselfIsNotStartedAgain() throws Exception {
    int pid = open(Opcode.OPEN);
    DaemonProbe.ask(project().socket(), Opcode.STOP, new Fields(), ANSWER_MS);
    until("it is dead", () -> Processes.startTime(pid) < 0);
    Thread.sleep(1000);
    assertFalse(DaemonProbe.locked(project().lock()));
    assertEquals(Map.of(), status());
    assertNotEquals(pid, open(Opcode.OPEN));
  }

  @Test
  void deathAfterDeathEndsInQuarantineUntilRestart() throws Exception {
    Files.createFile(root.resolve("die"));
    assertThrows(WireException.class, () -> open(Opcode.OPEN));
    until("quarantine", () -> "quarantined".equals(status().get("state")));
    WireException e = assertThrows(WireException.class, () -> open(Opcode.OPEN));
    assertTrue(e.getMessage().contains("vrift restart"), e.getMessage());
    Files.delete(root.resolve("die"));
    assertTrue(open(Opcode.RESTART) > 0);
    assertEquals("serving", status().get("state"));
  }

  @Test
  void aSuccessorAdoptsAndTerminationLeavesTheDaemonsAlone() throws Exception {
    int pid = open(Opcode.OPEN);
    kill((int) vriftd.pid(), Processes.SIGKILL);
    vriftd.waitFor();
    vriftd = coordinator();
    until("adopted", () -> Long.valueOf(pid).equals(status().get("pid")));
    assertEquals(pid, open(Opcode.OPEN));
    vriftd.destroy();
    vriftd.waitFor();
    assertFalse(Files.exists(run.socket(), LinkOption.NOFOLLOW_LINKS));
    assertEquals(pid, DaemonProbe.ping(project().socket(), 1000));
    vriftd = coordinator();
    assertEquals(pid, open(Opcode.OPEN));
    kill(pid, Processes.SIGKILL);
    until("an adopted one is replaced, too", () -> {
      int now = DaemonProbe.ping(project().socket(), 500);
      seen.add(now);
      return now != pid;
    });
  }

  @Test
  void aSilentHolderOfTheProjectIsReplaced() throws Exception {
    Files.createFile(root.resolve("hang"));
    int hung = open(Opcode.OPEN);
    kill((int) vriftd.pid(), Processes.SIGKILL);
    vriftd.waitFor();
    Files.delete(root.resolve("hang"));
    vriftd = coordinator();
    int next = open(Opcode.OPEN);
    assertNotEquals(hung, next);
    assertEquals(next, DaemonProbe.ping(project().socket(), 1000));
  }

  @Test
  void stopEndsEverything() throws Exception {
    int pid = open(Opcode.OPEN);
    DaemonProbe.ask(run.socket(), Opcode.STOP, new Fields(), ANSWER_MS);
    assertEquals(0, vriftd.waitFor());
    assertTrue(Processes.startTime(pid) < 0 || Processes.stateOf(pid) == 'Z');
    assertFalse(Files.exists(run.socket(), LinkOption.NOFOLLOW_LINKS));
    assertFalse(Files.exists(project().socket(), LinkOption.NOFOLLOW_LINKS));
    assertFalse(Files.exists(run.pid()));
  }

  @Test
  void forgetLeavesNothingOfTheProject() throws Exception {
    int pid = open(Opcode.OPEN);
    Files.createDirectories(temp.resolve("state/vrift/projects").resolve(project().id()).resolve("lmdb"));
    DaemonProbe.ask(run.socket(), Opcode.FORGET, new Fields().put("root", root.toString()), ANSWER_MS);
    assertTrue(Processes.startTime(pid) < 0);
    assertFalse(Files.exists(project().dir()));
    assertFalse(Files.exists(temp.resolve("state/vrift/projects")));
    DaemonProbe.ask(run.socket(), Opcode.FORGET, new Fields().put("root", root.toString()), ANSWER_MS);
  }

  @Test
  void nonsenseIsRefusedWithAReason() throws Exception {
    for (String bad : new String[] {"/", "relative", "/nonexistent-vrift", temp + "/./project", ""}) {
      WireException e =
          assertThrows(WireException.class, () -> DaemonProbe.ask(run.socket(), Opcode.OPEN, new Fields().put("root", bad), ANSWER_MS), bad);
      assertEquals(WireException.Kind.REFUSED, e.kind());
    }
    Files.createSymbolicLink(temp.resolve("alias"), root);
    assertThrows(
        WireException.class,
        () -> DaemonProbe.ask(run.socket(), Opcode.OPEN, new Fields().put("root", temp.toRealPath().resolve("alias").toString()), ANSWER_MS));
    assertThrows(WireException.class, () -> DaemonProbe.ask(run.socket(), Opcode.OPEN, new Fields(), ANSWER_MS));
    assertThrows(WireException.class, () -> DaemonProbe.ask(run.socket(), Opcode.SYNC, new Fields(), ANSWER_MS));
    Fields other = new Fields().put("id", project().id()).put("root", root.toString()).put("pid", 1);
    assertThrows(WireException.class, () -> DaemonProbe.ask(run.socket(), Opcode.REGISTER, other, ANSWER_MS));
    assertEquals(vriftd.pid(), DaemonProbe.ping(run.socket(), 1000));
  }

  @Test
  void aSecondCoordinatorLeavesAtOnce() throws Exception {
    Process second =
        new ProcessBuilder(vriftd.info().command().orElseThrow(), "-Dvrift.home=" + home, "-Dvrift.jni=" + System.getProperty("vrift.jni"), "-cp",
                "target/classes", "dev.vrift.Main", "vriftd", "--run-dir", run.dir().toString())
            .redirectErrorStream(true)
            .start();
    String said = new String(second.getInputStream().readAllBytes(), java.nio.charset.StandardCharsets.UTF_8);
    assertEquals(0, second.waitFor());
    assertTrue(said.contains("another vriftd"), said);
    assertEquals(vriftd.pid(), DaemonProbe.ping(run.socket(), 1000));
  }
}
