package dev.vrift.it;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import java.util.concurrent.TimeUnit;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/** The store of contents with real daemons: collecting beside builds, healing from the other project, the keeper, clones. */
@Timeout(240)
class StoreIT {
  private static final int ROUNDS = Integer.getInteger("vrift.gc.rounds", 6);
  private static final int XFS_MIB = 320;

  private Bed bed;

  @BeforeEach
  void open() throws IOException {
    bed = new Bed();
    bed.env.put("VRIFT_CAS_GRACE_SECONDS", "0");
  }

  @AfterEach
  void close() throws Exception {
    bed.close();
  }

  private List<Path> blobs() throws IOException {
    try (Stream<Path> all = Files.walk(bed.cas().resolve("sha256"))) {
      return new ArrayList<>(all.filter(Files::isRegularFile).toList());
    }
  }

  private static void damage(Path blob) throws IOException {
    byte[] bytes = Files.readAllBytes(blob);
    bytes[bytes.length / 2] ^= 1;
    Files.setPosixFilePermissions(blob, PosixFilePermissions.fromString("rw-------"));
    Files.write(blob, bytes);
    Files.setPosixFilePermissions(blob, PosixFilePermissions.fromString("r--------"));
  }

  @Test
  void aContentIsHealedFromAProjectWithoutADaemon() throws Exception {
    Path a = bed.project("a");
    Path b = bed.project("b");
    Files.writeString(a.resolve("f"), "in both projects\n");
    Files.writeString(b.resolve("g"), "in both projects\n");
    for (Path p : List.of(a, b)) {
      bed.vrift(p, 0, "init");
      bed.vrift(p, 0, "cas", "ingest", "--all");
    }
    Files.delete(a.resolve("f"));
    bed.vrift(b, 0, "stop", "--all");
    assertEquals(1, blobs().size());
    damage(blobs().getFirst());
    String report = bed.vrift(a, 0, "cas", "verify", "--json");
    assertEquals(List.of(1L, 1L, 0L), List.of(Bed.number(report, "bad_count"), Bed.number(report, "healed_count"), Bed.number(report, "damaged")));
    assertEquals("in both projects\n", Files.readString(blobs().getFirst()));
    Files.delete(b.resolve("g"));
    Files.delete(blobs().getFirst());
    assertEquals(1, Bed.number(bed.vrift(a, 1, "cas", "verify", "--json"), "damaged")); // nobody has it: said, not hidden
  }

  /** Builds, ingest and collecting at once in two projects; afterwards nothing that is referenced is missing. Long: -Dvrift.gc.rounds=1000. */
  @Test
  @Timeout(7200)
  void buildsIngestAndCollectionsAtOnce() throws Exception {
    long seed = Long.getLong("vrift.gc.seed", 5);
    System.out.println("gc beside builds: seed " + seed + ", " + ROUNDS + " rounds");
    Random random = new Random(seed);
    List<Path> projects = List.of(bed.project("a"), bed.project("b"));
    for (Path p : projects) {
      bed.vrift(p, 0, "init");
    }
    long taken = 0;
    for (int round = 0; round < ROUNDS; round++) {
      List<Process> running = new ArrayList<>();
      for (Path p : projects) {
        String script = "for i in 1 2 3 4 5 6; do printf 'content %s' $(( (i * " + (1 + random.nextInt(9)) + " + " + round + ") % 11 )) > out$i; done";
        running.add(bed.start(p, bed.base.resolve("log"), List.of(Bed.vrift(), "run", "--", "sh", "-c", script)));
        running.add(bed.start(p, bed.base.resolve("log"), List.of(Bed.vrift(), "cas", "ingest", "--all")));
      }
      String gc = bed.vrift(bed.base, -1, "gc", "--run", "--json");
      taken += Bed.number(gc, "taken");
      for (Process p : running) {
        assertTrue(p.waitFor(60, TimeUnit.SECONDS));
        assertEquals(0, p.exitValue(), Files.readString(bed.base.resolve("log")));
      }
      String verify = bed.vrift(bed.base, -1, "cas", "verify", "--json");
      assertEquals(0, Bed.number(verify, "bad_count") + Bed.number(verify, "missing_count"), "round " + round + ": " + verify);
      if (round % 100 == 99) {
        System.out.println("gc beside builds: " + (round + 1) + " rounds, " + taken + " taken");
      }
    }
    taken += Bed.number(bed.vrift(bed.base, 0, "gc", "--run", "--json"), "taken");
    assertTrue(taken > 0, "nothing was ever taken");
    System.out.println("gc beside builds: " + taken + " taken, 0 missing");
  }

  @Test
  void theKeeperOfVriftdCollectsAndHeals() throws Exception {
    bed.env.put("VRIFT_CAS_KEEP_SECONDS", "1");
    bed.env.put("VRIFT_CAS_MAX_BYTES", "100000");
    Path a = bed.project("a");
    Files.writeString(a.resolve("keep"), "needed\n");
    Files.writeString(a.resolve("f"), "x".repeat(90_000));
    bed.vrift(a, 0, "init");
    bed.vrift(a, 0, "cas", "ingest", "--all");
    Files.writeString(a.resolve("f"), "y".repeat(60_000));
    bed.vrift(a, -1, "cas", "ingest", "--all"); // the first content is needed no more
    Bed.until("within the limit", () -> blobs().stream().mapToLong(p -> p.toFile().length()).sum() <= 100_000);
    Path needed = blobs().stream().filter(p -> p.toFile().length() == 7).findFirst().orElseThrow();
    damage(needed);
    Files.writeString(a.resolve("new"), "something new\n");
    bed.vrift(a, 0, "cas", "ingest", "--all");
    Bed.until("healed", () -> Files.exists(needed) && Files.readString(needed).equals("needed\n"));
    Path log = bed.base.resolve("state/vrift/log/vriftd.log");
    Bed.until("vriftd says so", () -> Files.readString(log).contains("healed 1")); // the keeper speaks after the content is there
    assertTrue(Files.readString(log).contains("over the limit"));
  }

  @Test
  void onXfsContentsAreClonedNotCopied() throws Exception {
    clones("xfs", "mkfs.xfs", "-q", "-m", "reflink=1");
  }

  @Test
  void onBtrfsContentsAreClonedNotCopied() throws Exception {
    clones("btrfs", "mkfs.btrfs", "-q");
  }

  /** A file system with clones: 96 MiB are kept without another 96 MiB, and stay what they were when the file is changed. */
  private void clones(String kind, String... mkfs) throws Exception {
    assumeTrue("root".equals(System.getProperty("user.name")), "mounting needs root");
    assumeTrue(works("which", mkfs[0]), mkfs[0] + " is not installed");
    Path image = bed.base.resolve("image");
    Path mount = Files.createDirectory(bed.base.resolve("m"));
    assumeTrue(works("truncate", "-s", XFS_MIB + "M", image.toString()));
    List<String> make = new ArrayList<>(List.of(mkfs));
    make.add(image.toString());
    assumeTrue(works(make.toArray(String[]::new)), String.join(" ", make) + " does not work here");
    assumeTrue(works("mount", "-o", "loop", image.toString(), mount.toString()), kind + " cannot be mounted here");
    try {
      bed.env.put("XDG_CACHE_HOME", mount.resolve("cache").toString());
      Path p = Files.createDirectory(mount.resolve("p"));
      byte[] big = new byte[96 << 20];
      new Random(7).nextBytes(big);
      Files.write(p.resolve("big"), big);
      assertTrue(works("sync", "-f", p.toString()));
      bed.vrift(p, 0, "init");
      long before = p.toFile().getFreeSpace();
      String report = bed.vrift(p, 0, "cas", "ingest", "--all", "--json");
      assertTrue(report.contains("\"stopped\":\"less than 1024 MiB"), report); // a small disk: nothing is kept on it
      bed.env.put("VRIFT_CAS_MIN_FREE_BYTES", "0");
      bed.vrift(p, 0, "restart");
      report = bed.vrift(p, 0, "cas", "ingest", "--all", "--json");
      assertTrue(Bed.number(report, "stored_bytes") >= big.length, report);
      assertTrue(works("sync", "-f", p.toString()));
      long used = before - p.toFile().getFreeSpace();
      assertTrue(used < 16 << 20, used + " bytes more are used: that was a copy");
      try (var f = new java.io.RandomAccessFile(p.resolve("big").toFile(), "rw")) {
        f.write(new byte[1 << 20]);
      }
      Path blob = blobs().stream().filter(b -> b.toFile().length() == big.length).findFirst().orElseThrow();
      assertFalse(Files.isSameFile(blob, p.resolve("big")));
      assertEquals(1, Files.getAttribute(blob, "unix:nlink"));
      assertEquals(0, Bed.number(bed.vrift(p, 0, "cas", "verify", "--json"), "bad_count"));
    } finally {
      bed.vrift(bed.base, -1, "stop", "--all");
      works("umount", "-l", mount.toString());
    }
  }

  private static boolean works(String... command) throws Exception {
    return new ProcessBuilder(command).redirectErrorStream(true).redirectOutput(ProcessBuilder.Redirect.DISCARD).start().waitFor() == 0;
  }
}
