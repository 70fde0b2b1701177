package dev.vrift.coordinator;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import dev.vrift.health.CgroupLeftovers;
import dev.vrift.platform.Processes;
import dev.vrift.platform.RunPaths;
import dev.vrift.wire.Json;
import dev.vrift.wire.JsonReader;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Map;
import java.util.Set;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** The kernel's cgroups where this machine lets us make some, and the rules for finding a place on copies of their files. */
class CgroupTest {
  private static final long MIB = 1 << 20;
  @TempDir Path temp;

  private CgroupPlaces places(String mountinfo, String cgroup) throws IOException {
    Files.writeString(temp.resolve("mountinfo"), mountinfo.replace("@", temp.toString()));
    Files.writeString(temp.resolve("cgroup"), cgroup);
    return CgroupPlaces.of(temp.resolve("mountinfo"), temp.resolve("cgroup"));
  }

  private Path unified(String path, String controllers, String below) throws IOException {
    Path dir = Files.createDirectories(temp.resolve("v2").resolve(path));
    Files.writeString(dir.resolve("cgroup.controllers"), controllers + "\n");
    Files.writeString(dir.resolve("cgroup.subtree_control"), below + "\n");
    Files.writeString(dir.resolve("cgroup.procs"), "");
    return dir;
  }

  @Test
  void versionOneIsUsedWhereLimitsAre() throws IOException {
    Path memory = Files.createDirectories(temp.resolve("memory/job"));
    Files.createDirectories(temp.resolve("freezer/job"));
    CgroupPlaces p =
        places("30 1 0:1 / @/memory rw - cgroup cgroup rw,memory\n31 1 0:2 / @/freezer rw - cgroup cgroup rw,freezer\n", "4:memory:/job\n3:freezer:/job\n");
    assertNull(p.none());
    assertEquals(1, p.places().size());
    assertEquals(memory, p.places().get(0).dir());
    assertFalse(p.places().get(0).unified());
  }

  @Test
  void versionTwoIsUsedFromTheNearestDirectoryThatGivesMemoryToItsChildren() throws IOException {
    unified("user", "cpu memory pids", "cpu memory pids");
    unified("user/scope", "memory pids", "");
    CgroupPlaces p = places("30 1 0:1 / @/v2 rw - cgroup2 cgroup2 rw\n", "0::/user/scope\n");
    assertNull(p.none());
    assertEquals(temp.resolve("v2/user"), p.places().get(0).dir());
    assertEquals(Set.of("cpu", "memory", "pids"), p.places().get(0).controllers());
    assertTrue(p.places().get(0).unified());
  }

  @Test
  void withoutDelegationThereIsAReason() throws IOException {
    unified("user", "memory", "");
    CgroupPlaces p = places("30 1 0:1 / @/v2 rw - cgroup2 cgroup2 rw\n", "0::/user\n");
    assertNotNull(p.none());
    assertTrue(p.none().contains("not delegated"), p.none());
    assertTrue(places("nonsense\n", "4:memory:/job\nnonsense\n").none().contains("no hierarchy"));
  }

  @Test
  void aCoordinatorStartedInAProjectsCgroupBelongsBesideIt() throws IOException {
    Path base = Files.createDirectories(temp.resolve("memory/job"));
    String name = "vrift-0123456789abcdef-fedcba9876543210";
    Files.createDirectories(base.resolve(name));
    CgroupPlaces p = places("30 1 0:1 / @/memory rw - cgroup cgroup rw,memory\n", "4:memory:/job/" + name + "\n");
    assertEquals(base, p.base().get(0));
    assertEquals(base, p.places().get(0).dir());
  }

  @Test
  void limitsHoldAndSharedMemoryIsCountedIn() throws Exception {
    CgroupPlaces places = CgroupPlaces.ours();
    assumeTrue(places.none() == null, String.valueOf(places.none()));
    assumeTrue(places.places().stream().anyMatch(p -> p.controllers().contains("memory")), "no memory controller");
    RunPaths run = new RunPaths(temp.resolve("run"));
    ProjectCgroup group = new ProjectCgroup(places, run, "00000000000000aa");
    Path shm = Path.of("/dev/shm/vrift-cgroup-test-" + Processes.pid());
    // A process that waits for a line, then fills 16 MiB of shared memory, waits again, then wants more than its limit.
    Process p =
        new ProcessBuilder("sh", "-c", "read x; dd if=/dev/zero of=" + shm + " bs=1M count=16 2>/dev/null; echo filled; read x; "
            + "dd if=/dev/zero of=" + shm + " bs=1M count=256 2>/dev/null; echo end $?").redirectErrorStream(true).start();
    try (var out = new java.io.BufferedReader(new java.io.InputStreamReader(p.getInputStream()))) {
      group.enter((int) p.pid(), new ProjectCgroup.Limits(64 * MIB, 50, 100));
      long before = (Long) described(group).get("memory_bytes");
      assertEquals(64 * MIB, described(group).get("memory_limit_bytes"));
      p.getOutputStream().write('\n');
      p.getOutputStream().flush();
      assertEquals("filled", out.readLine());
      long after = (Long) described(group).get("memory_bytes");
      assertTrue(after - before >= 16 * MIB, "only " + (after - before) + " bytes were charged for 16 MiB of shared memory");
      p.getOutputStream().write('\n');
      p.getOutputStream().flush();
      String end = out.readLine();
      assertTrue(end == null || !end.equals("end 0"), "256 MiB went into a limit of 64");
    } finally {
      p.destroyForcibly().waitFor();
      Files.deleteIfExists(shm);
      group.remove();
    }
    String name = CgroupLeftovers.name(run, "00000000000000aa");
    assertTrue(places.places().stream().noneMatch(x -> Files.exists(x.dir().resolve(name))), "removed");
  }

  private static Map<String, Object> described(ProjectCgroup group) throws Exception {
    Json out = new Json().object();
    group.describe(out);
    return JsonReader.object(out.end().toString());
  }
}
