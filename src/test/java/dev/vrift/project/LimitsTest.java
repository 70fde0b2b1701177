package dev.vrift.project;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.vrift.config.Config;
import dev.vrift.platform.RunPaths;
import dev.vrift.vdir.EngineReport;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.FileTime;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class LimitsTest {
  private static final String A = "00000000000000aa";
  private static final String B = "00000000000000bb";

  @TempDir Path temp;

  private Limits limits(long staging, long user) {
    Map<String, String> env =
        Map.of("VRIFT_QUOTA_MAX_STAGING_BYTES", Long.toString(staging), "VRIFT_QUOTA_USER_STAGING_BYTES", Long.toString(user));
    return new Limits(Config.load(temp.resolve("none"), temp.resolve("none"), null, env, List.of()));
  }

  private static EngineReport report(int at, long value) {
    long[] words = new long[EngineReport.WORDS];
    words[at] = value;
    return EngineReport.of(words);
  }

  @Test
  void aProjectIsPausedAtItsOwnLimitAndGoesOnWhenATenthIsFree() {
    Limits l = limits(1000, 1L << 40);
    UserUsage.Others none = new UserUsage.Others(0, 0);
    assertFalse(l.pause(1000, none));
    assertTrue(l.pause(1001, none));
    assertTrue(l.pause(950, none), "it must not flutter");
    assertTrue(l.notes(EngineReport.none(), "").getFirst().contains("quota.max_staging_bytes (1000)"));
    assertFalse(l.pause(900, none));
    assertEquals(List.of(), l.notes(EngineReport.none(), ""));
  }

  @Test
  void ofAUsersProjectsOnlyThoseWithMoreThanTheirSharePause() {
    UserUsage.Others heavy = new UserUsage.Others(900, 1);
    assertFalse(limits(1L << 40, 1000).pause(200, heavy), "less than half");
    assertTrue(limits(1L << 40, 1000).pause(900, new UserUsage.Others(200, 1)));
    assertTrue(limits(1L << 40, 1000).pause(600, new UserUsage.Others(600, 1)));
    assertFalse(limits(1L << 40, 1000).pause(90, heavy), "within the total");
  }

  @Test
  void everyLimitReachedIsNamed() {
    Limits l = limits(1000, 1000);
    assertTrue(l.notes(report(25, 1), "").getFirst().contains("/dev/shm"));
    assertTrue(l.notes(report(18, 1), "").getFirst().contains("max_user_watches"));
    assertTrue(l.notes(EngineReport.none(), "no room").getFirst().contains("no room"));
  }

  @Test
  void daemonsSeeEachOthersUsageWhileItIsFresh() throws Exception {
    RunPaths run = new RunPaths(temp);
    for (String id : List.of(A, B)) {
      Files.createDirectories(run.projects().resolve(id));
    }
    UserUsage a = new UserUsage(run, A);
    UserUsage b = new UserUsage(run, B);
    assertEquals(new UserUsage.Others(0, 0), a.others());
    b.publish(500);
    a.publish(300);
    assertEquals(new UserUsage.Others(500, 1), a.others());
    Path file = run.projects().resolve(B).resolve("usage");
    for (String wrong : List.of("staging=-1\n", "x", "", "staging=99999999999999999999\n", "staging=5\n".repeat(20))) {
      Files.writeString(file, wrong);
      assertEquals(new UserUsage.Others(0, 0), a.others(), wrong);
    }
    Files.writeString(file, "staging=7\n");
    Files.setLastModifiedTime(file, FileTime.fromMillis(System.currentTimeMillis() - 61_000));
    assertEquals(new UserUsage.Others(0, 0), a.others(), "of one that died");
  }

  @Test
  void theVdirsOfAUsersOtherProjectsCount() throws Exception {
    Files.write(temp.resolve("vrift_vdir_0000000000000001"), new byte[100]);
    Files.write(temp.resolve("vrift_vdir_0000000000000002"), new byte[50]);
    Files.write(temp.resolve("vrift_board_0000000000000002"), new byte[1000]);
    assertEquals(150, UserUsage.otherVdirs(temp, null));
    assertEquals(50, UserUsage.otherVdirs(temp, "vrift_vdir_0000000000000001"));
    assertEquals(0, UserUsage.otherVdirs(temp.resolve("absent"), null));
  }
}
