package dev.vrift.coordinator;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import dev.vrift.health.CgroupLeftovers;
import dev.vrift.health.DaemonProbe;
import dev.vrift.layout.Opcode;
import dev.vrift.platform.Processes;
import dev.vrift.wire.Fields;
import dev.vrift.wire.WireException;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;

/** Daemons that hang, cannot be killed, or were there before: docs/SUPERVISION.md sections 2 and 4. */
class SupervisionTest extends CoordinatorBed {
  private static final int SIGSTOP = 19;
  private static final Path FREEZER = Path.of("/sys/fs/cgroup/freezer");

  private Map<?, ?> supervision() throws WireException {
    return status().get("supervision") instanceof Map<?, ?> m ? m : Map.of();
  }

  private void successorOf(int pid) throws Exception {
    until("a successor answers", () -> {
      int now = DaemonProbe.ping(project().socket(), 500);
      seen.add(now);
      return now != pid;
    });
  }

  @Test
  void aStoppedDaemonIsReplacedWhileACommandRuns() throws Exception {
    Files.createFile(root.resolve("sessions"));
    int pid = open(Opcode.OPEN);
    Thread.sleep(DaemonWatch.EVERY_SESSION_MS + 200); // the next PING learns of the session
    long start = Processes.monotonicMs();
    kill(pid, SIGSTOP);
    successorOf(pid);
    assertTrue(Processes.monotonicMs() - start < 8_000, "took " + (Processes.monotonicMs() - start) + " ms");
    assertEquals(-1, Processes.startTime(pid), "the stopped one is dead");
  }

  @Test
  void aLauncherThatGotNoAnswerHurriesTheReplacement() throws Exception {
    int pid = open(Opcode.OPEN);
    DaemonProbe.ping(project().socket(), ANSWER_MS);
    Thread.sleep(DaemonWatch.EVERY_SESSION_MS + 500); // no session: the next PING is 10 s away
    kill(pid, SIGSTOP);
    long start = Processes.monotonicMs();
    DaemonProbe.ask(run.socket(), Opcode.OPEN, new Fields().put("root", root.toString()).put("silent", pid), ANSWER_MS);
    successorOf(pid);
    assertTrue(Processes.monotonicMs() - start < 7_000, "took " + (Processes.monotonicMs() - start) + " ms");
  }

  @Test
  void whatCannotBeKilledIsFencedAndHealsByItself() throws Exception {
    assumeTrue(Files.isWritable(FREEZER), "no v1 freezer that we may write: nothing unkillable can be made here");
    Path frozen = FREEZER.resolve("vrift-test-" + Processes.pid());
    int pid = open(Opcode.OPEN);
    Files.createDirectory(frozen);
    try {
      Files.writeString(frozen.resolve("cgroup.procs"), Integer.toString(pid));
      Files.writeString(frozen.resolve("freezer.state"), "FROZEN");
      WireException refused =
          assertThrows(WireException.class, () -> DaemonProbe.ask(run.socket(), Opcode.RESTART, new Fields().put("root", root.toString()), ANSWER_MS));
      assertTrue(refused.getMessage().contains("does not die"), refused.getMessage());
      until("fencing", () -> "fencing".equals(status().get("state")) && "fencing".equals(supervision().get("state")));
      long asked = Processes.monotonicMs();
      assertThrows(WireException.class, () -> open(Opcode.OPEN));
      assertTrue(Processes.monotonicMs() - asked < 2_000, "refused at once");
      // A coordinator that comes later finds the same daemon, and starts no other beside it.
      kill((int) vriftd.pid(), Processes.SIGKILL);
      vriftd.waitFor();
      vriftd = coordinator();
      until("fencing again", () -> "fencing".equals(supervision().get("state")));
      assertTrue(Processes.startTime(pid) >= 0 && DaemonProbe.locked(project().lock()));
      Files.writeString(frozen.resolve("freezer.state"), "THAWED");
      successorOf(pid);
      assertEquals("serving", status().get("state"));
      assertFalse(DaemonProbe.isDaemon(pid, root.toString()));
    } finally {
      Files.writeString(frozen.resolve("freezer.state"), "THAWED");
      until("the cgroup is empty", () -> Files.readString(frozen.resolve("cgroup.procs")).isBlank());
      Files.delete(frozen);
    }
  }

  @Test
  void quarantineIsOverAfterItsTime() throws Exception {
    Files.createFile(root.resolve("die"));
    assertThrows(WireException.class, () -> open(Opcode.OPEN));
    until("quarantine", () -> "quarantined".equals(supervision().get("state")));
    assertTrue((Long) supervision().get("quarantine_left_ms") <= 2_000);
    assertEquals((long) RestartPolicy.MAX_DEATHS + 1, supervision().get("starts"));
    Files.delete(root.resolve("die"));
    until("healed by time", () -> open(Opcode.OPEN) > 0);
    assertEquals("serving", status().get("state"));
  }

  @Test
  void aDaemonThatIsStillStartingIsFoundByItsLockAndNotDoubled() throws Exception {
    Files.createFile(root.resolve("slow"));
    Thread asker = new Thread(() -> assertThrows(WireException.class, () -> open(Opcode.OPEN)));
    asker.start();
    until("it has the lock", () -> DaemonProbe.holderOf(project(), root.toString()) > 0);
    int pid = DaemonProbe.holderOf(project(), root.toString());
    seen.add(pid);
    assertFalse(Files.exists(project().socket()), "it is not ready yet");
    kill((int) vriftd.pid(), Processes.SIGKILL);
    vriftd.waitFor();
    asker.join();
    vriftd = coordinator();
    assertEquals(pid, open(Opcode.OPEN));
    assertEquals(0L, supervision().get("starts"));
  }

  @Test
  void aBusyDaemonIsNotKilledForBeingSlow() throws Exception {
    Files.createFile(root.resolve("busy"));
    int pid = open(Opcode.OPEN);
    kill((int) vriftd.pid(), Processes.SIGKILL);
    vriftd.waitFor();
    vriftd = coordinator();
    Thread.sleep(6_000); // three PINGs unanswered
    assertTrue(DaemonProbe.isDaemon(pid, root.toString()));
    Files.delete(root.resolve("busy"));
    assertEquals(pid, open(Opcode.OPEN));
  }

  @Test
  void aDaemonOfAnotherVersionIsReplacedWhenItsCoordinatorIs() throws Exception {
    Files.writeString(root.resolve("home"), home.toString());
    int pid = open(Opcode.OPEN);
    kill((int) vriftd.pid(), Processes.SIGKILL);
    vriftd.waitFor();
    vriftd = coordinator();
    assertEquals(pid, open(Opcode.OPEN), "of the same home: adopted");
    Files.writeString(root.resolve("home"), "/somewhere/else");
    int other = open(Opcode.RESTART);
    Files.writeString(root.resolve("home"), home.toString());
    kill((int) vriftd.pid(), Processes.SIGKILL);
    vriftd.waitFor();
    vriftd = coordinator();
    successorOf(other);
    assertFalse(DaemonProbe.isDaemon(other, root.toString()), "dead before its successor came");
  }

  @Test
  void aHungProjectDoesNotHoldUpAnother() throws Exception {
    Path other = Files.createDirectory(temp.resolve("other")).toRealPath();
    Files.createFile(root.resolve("slow"));
    Files.createFile(root.resolve("hang"));
    for (int i = 0; i < 40; i++) {
      new Thread(() -> {
        try {
          open(Opcode.OPEN);
        } catch (WireException e) {
          return;
        }
      }).start();
    }
    until("it is being started", () -> "starting".equals(supervision().get("state")) || !supervision().isEmpty());
    long start = Processes.monotonicMs();
    int pid = (int) DaemonProbe.ask(run.socket(), Opcode.OPEN, new Fields().put("root", other.toString()), ANSWER_MS).fields().number("pid", 0);
    long took = Processes.monotonicMs() - start;
    int fd = Processes.pidfd(pid);
    Processes.signal(fd, Processes.SIGKILL);
    Processes.close(fd);
    assertTrue(took < 3_000, took + " ms");
  }

  @Test
  void eachDaemonHasACgroupThatGoesWithIt() throws Exception {
    CgroupPlaces places = CgroupPlaces.ours();
    assumeTrue(places.none() == null, String.valueOf(places.none()));
    int pid = open(Opcode.OPEN);
    String name = CgroupLeftovers.name(run, project().id());
    assertTrue(Files.readString(Path.of("/proc/" + pid + "/cgroup")).contains("/" + name), "pid " + pid);
    assertFalse(Files.readString(Path.of("/proc/" + vriftd.pid() + "/cgroup")).contains("vrift-"));
    assertTrue(String.valueOf(supervision().get("cgroup")).endsWith(name));
    assertTrue((Long) supervision().get("memory_bytes") > 0);
    DaemonProbe.ask(run.socket(), Opcode.FORGET, new Fields().put("root", root.toString()), ANSWER_MS);
    assertEquals(List.of(), left(places, name));
    // One that a killed vriftd and a killed daemon left is removed by the next one's health loop.
    int again = open(Opcode.OPEN);
    kill((int) vriftd.pid(), Processes.SIGKILL);
    vriftd.waitFor();
    kill(again, Processes.SIGKILL);
    until("dead", () -> Processes.startTime(again) < 0);
    assertNotEquals(List.of(), left(places, name));
    vriftd = coordinator();
    until("swept", () -> left(places, name).isEmpty());
  }

  private static List<Path> left(CgroupPlaces places, String name) {
    return places.places().stream().map(p -> p.dir().resolve(name)).filter(Files::exists).toList();
  }

  @Test
  void stopWinsOverAStartThatIsUnderWay() throws Exception {
    Files.createFile(root.resolve("slow"));
    Thread asker = new Thread(() -> assertThrows(WireException.class, () -> open(Opcode.OPEN)));
    asker.start();
    until("it has the lock", () -> DaemonProbe.holderOf(project(), root.toString()) > 0);
    int pid = DaemonProbe.holderOf(project(), root.toString());
    Files.createFile(run.stopped());
    DaemonProbe.ask(run.socket(), Opcode.STOP, new Fields(), ANSWER_MS);
    assertEquals(0, vriftd.waitFor());
    asker.join();
    assertTrue(Processes.startTime(pid) < 0 || Processes.stateOf(pid) == 'Z');
    assertFalse(DaemonProbe.locked(project().lock()));
  }

  @Test
  void anotherCoordinatorIsNotStartedWhileAStopIsInForce() throws IOException, InterruptedException {
    vriftd.destroyForcibly().waitFor();
    Files.createFile(run.stopped());
    Process p =
        new ProcessBuilder(System.getProperty("java.home") + "/bin/java", "-Dvrift.home=" + home, "-Dvrift.jni=" + System.getProperty("vrift.jni"), "-cp",
                "target/classes", "dev.vrift.Main", "vriftd", "--run-dir", run.dir().toString()).redirectErrorStream(true).start();
    String said = new String(p.getInputStream().readAllBytes(), java.nio.charset.StandardCharsets.UTF_8);
    assertEquals(0, p.waitFor());
    assertTrue(said.contains("was stopped"), said);
  }
}
