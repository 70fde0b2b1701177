package dev.vrift.cas;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.vrift.platform.FileCalls;
import dev.vrift.platform.FileStat;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class CasServiceTest {
  private static final IngestPolicy NOW = new IngestPolicy(false, 1 << 20, Long.MAX_VALUE, 0, 50, 0, Long.MAX_VALUE);

  @TempDir Path temp;
  private ContentStore store;
  private Path root;

  static final class MemoryIndex implements ContentIndex {
    record Entry(FileStat stat, Known known) {}

    final Map<String, Entry> entries = new ConcurrentHashMap<>();

    private static String key(byte[] path) {
      return new String(path, StandardCharsets.ISO_8859_1);
    }

    @Override
    public Known find(byte[] path, FileStat stat) {
      Entry e = entries.get(key(path));
      return e != null && e.stat.sameVersion(stat) ? e.known : null;
    }

    @Override
    public void record(byte[] path, FileStat stat, Known known) {
      entries.put(key(path), new Entry(stat, known));
    }

    @Override
    public void forEach(Visitor visitor) {
      entries.forEach((k, e) -> visitor.visit(k.getBytes(StandardCharsets.ISO_8859_1), e.stat, e.known));
    }
  }

  @BeforeEach
  void set() throws Exception {
    store = ContentStore.open(temp.resolve("cas"));
    root = Files.createDirectory(temp.resolve("project"));
  }

  private CasService service(Path root, MemoryIndex index, IngestPolicy policy) throws CasException {
    return new CasService(store, index, String.format("%016x", root.hashCode()), ContentStore.bytes(root), policy);
  }

  private void write(String name, String content) throws IOException {
    Path p = root.resolve(name);
    Files.createDirectories(p.getParent());
    Files.writeString(p, content);
  }

  @Test
  void ingestsWhatItMayAndNothingElse() throws Exception {
    write("src/a.c", "int a;");
    write("src/copy.c", "int a;");
    write("big", "b".repeat(2 << 20));
    write("empty", "");
    for (String secret : List.of(".env", ".env.local", "tls/server.pem", "id_ed25519", "deep/credentials.json", ".npmrc", "home/.ssh/config", "x.KEY")) {
      write(secret, "top secret " + secret);
    }
    write(".vrift/staging/x", "staged");
    write(".git/objects/ab/cdef", "an object");
    write("sub/.git/objects/ab/cdef", "an object");
    write(".git/HEAD", "ref: x");
    Files.createSymbolicLink(root.resolve("link"), root.resolve("src/a.c"));
    Files.createSymbolicLink(root.resolve("loop"), Path.of("."));
    MemoryIndex index = new MemoryIndex();
    try (CasService service = service(root, index, NOW)) {
      IngestReport r = service.ingest(false);
      assertEquals("", r.stopped());
      assertEquals(3, r.stored()); // "int a;", "", "ref: x"
      assertEquals(1, r.already());
      assertEquals(1, r.hashed());
      assertEquals(8, r.secret());
      assertEquals(0, r.failed() + r.changed() + r.unreadable());
      assertEquals(3, ContentStoreTest.all(store).size());
      for (Digest d : ContentStoreTest.all(store)) {
        assertFalse(new String(new VerifyingReader(store).read(d, 1 << 22)).contains("secret"));
      }
      IngestReport again = service.ingest(false);
      assertEquals(5, again.known());
      assertEquals(0, again.readBytes());
      IngestReport all = service.ingest(true);
      assertEquals(1, all.stored());
      assertEquals(2 << 20, all.storedBytes());
    }
  }

  @Test
  void aNameThatIsNotUtf8IsIngested() throws Exception {
    byte[] name = {'f', (byte) 0xff, (byte) 0xfe};
    byte[] path = (root + "/").getBytes();
    byte[] whole = java.util.Arrays.copyOf(path, path.length + 3);
    System.arraycopy(name, 0, whole, path.length, 3);
    int fd = FileCalls.open(whole, FileCalls.CREATE_NEW, 0644);
    assertTrue(fd >= 0);
    FileCalls.write(fd, "odd".getBytes(), 3);
    FileCalls.close(fd);
    MemoryIndex index = new MemoryIndex();
    try (CasService service = service(root, index, NOW)) {
      assertEquals(1, service.ingest(true).stored());
    }
    assertTrue(index.entries.containsKey(new String(name, StandardCharsets.ISO_8859_1)));
    FileCalls.unlink(whole); // JUnit could not
  }

  @Test
  void twoProjectsShareABlob() throws Exception {
    write("same", "content of both");
    write("own", "only here");
    Path second = Files.createDirectory(temp.resolve("second"));
    Files.writeString(second.resolve("other-name"), "content of both");
    try (CasService a = service(root, new MemoryIndex(), NOW); CasService b = service(second, new MemoryIndex(), NOW)) {
      a.ingest(true);
      IngestReport r = b.ingest(true);
      assertEquals(0, r.stored());
      assertEquals(1, r.already());
      CasStat s = CasStat.of(store);
      assertEquals(2, s.blobs());
      assertEquals(2, s.projects());
      assertEquals(15 + 15 + 9, s.logicalBytes());
      assertEquals(15, s.savedAcrossProjects());
      assertEquals(15, s.savedBytes());
      assertEquals(0, s.unreferencedBytes());
      b.forget();
      assertEquals(0, CasStat.of(store).savedAcrossProjects());
    }
  }

  @Test
  void aSourceThatChangesDuringIngestIsNotRecorded() throws Exception {
    MemoryIndex index = new MemoryIndex();
    int fd = FileCalls.open(ContentStore.bytes(root), FileCalls.DIRECTORY, 0);
    int uid = (int) Files.getAttribute(root, "unix:uid");
    Ingest ingest = new Ingest(store, index, fd, uid, null);
    List<ThrowingRunnable> changes =
        List.of(
            () -> Files.writeString(root.resolve("f"), "anothercontent"),
            () -> Files.writeString(root.resolve("f"), "longer than it was before"),
            () -> Files.delete(root.resolve("f")),
            () -> {
              Files.writeString(root.resolve("g"), "firstcontent 1");
              Files.move(root.resolve("g"), root.resolve("f"), java.nio.file.StandardCopyOption.REPLACE_EXISTING);
            });
    for (ThrowingRunnable change : changes) {
      for (IngestPolicy policy : List.of(NOW, new IngestPolicy(false, 3, Long.MAX_VALUE, 0, 0, 0, Long.MAX_VALUE))) {
        Files.writeString(root.resolve("f"), "firstcontent 1");
        ingest.beforeSecondLook =
            () -> {
              try {
                change.run();
              } catch (Exception e) {
                throw new AssertionError(e);
              }
            };
        assertEquals(Ingest.Outcome.CHANGED, ingest.file("f".getBytes(), policy));
        ingest.beforeSecondLook = () -> {};
      }
    }
    assertTrue(index.entries.isEmpty());
    assertEquals(0, ContentStoreTest.all(store).size());
    assertEquals(List.of(), ContentStore.names(store.temporaries()));
    Files.writeString(root.resolve("f"), "young");
    assertEquals(Ingest.Outcome.YOUNG, ingest.file("f".getBytes(), IngestPolicy.BACKGROUND));
    FileCalls.close(fd);
  }

  private interface ThrowingRunnable {
    void run() throws Exception;
  }

  @Test
  void pathsCannotLeaveTheRoot() throws Exception {
    Files.writeString(temp.resolve("outside"), "outside");
    Files.createSymbolicLink(root.resolve("up"), temp);
    MemoryIndex index = new MemoryIndex();
    int fd = FileCalls.open(ContentStore.bytes(root), FileCalls.DIRECTORY, 0);
    Ingest ingest = new Ingest(store, index, fd, (int) Files.getAttribute(root, "unix:uid"), null);
    for (String path : List.of("../outside", "up/outside", temp.resolve("outside").toString(), "", "x\0y", ".", "up/../up/outside")) {
      Ingest.Outcome o = ingest.file(path.getBytes(), NOW);
      assertTrue(o == Ingest.Outcome.UNREADABLE || o == Ingest.Outcome.EXCLUDED, path + ": " + o);
    }
    assertTrue(index.entries.isEmpty());
    FileCalls.close(fd);
  }

  @Test
  void verifyFindsBadAndMissingBlobsAndHealsThem() throws Exception {
    write("a", "content a");
    write("b", "content b");
    write("c", "content c");
    MemoryIndex index = new MemoryIndex();
    try (CasService service = service(root, index, NOW)) {
      service.ingest(true);
      Digest a = index.entries.get("a").known.digest();
      Digest b = index.entries.get("b").known.digest();
      Digest c = index.entries.get("c").known.digest();
      Files.delete(store.path(a));
      Files.delete(store.path(b));
      Files.writeString(store.path(b), "CONTENT b");
      Files.delete(store.path(c));
      Files.delete(root.resolve("c")); // nobody can heal this one
      VerifyReport r = new Verifier(store, Long.MAX_VALUE).verify(1, Long.MAX_VALUE, true);
      assertEquals(List.of(b.toString()), r.bad());
      assertEquals(2, r.missing().size());
      assertEquals(2, r.healed().size());
      assertEquals(ContentStore.Health.GOOD, store.verify(a, -1));
      assertEquals(ContentStore.Health.GOOD, store.verify(b, -1));
      assertEquals(1, CasStat.of(store).quarantined());
    }
  }

  @Test
  void whatBecameQuietIsIngestedInTheBackgroundAndAlmostFullDisksStopIt() throws Exception {
    MemoryIndex index = new MemoryIndex();
    write("x", "background");
    try (CasService service = service(root, index, NOW)) {
      service.changed("x".getBytes());
      long end = System.currentTimeMillis() + 10_000;
      while (index.entries.isEmpty() && System.currentTimeMillis() < end) {
        Thread.sleep(20);
      }
      assertEquals(1, index.entries.size());
    }
    try (CasService service = service(root, new MemoryIndex(), new IngestPolicy(false, 1 << 20, Long.MAX_VALUE, 0, 0, Long.MAX_VALUE, Long.MAX_VALUE))) {
      IngestReport r = service.ingest(true);
      assertEquals(0, r.files());
      assertTrue(r.stopped().contains("free"), r.stopped());
    }
  }

  @Test
  void damagedReferencesTellNothing() throws Exception {
    write("a", "content a");
    try (CasService service = service(root, new MemoryIndex(), NOW)) {
      service.ingest(true);
    } // which would write its references anew while they are damaged
    Path file = store.references().resolve(ContentStore.names(store.references()).getFirst());
    byte[] good = Files.readAllBytes(file);
    for (int i = 0; i < good.length; i++) {
      byte[] bad = good.clone();
      bad[i] ^= 1;
      Files.write(file, bad);
      assertEquals(0, CasStat.of(store).projects(), "byte " + i);
    }
    Files.write(file, good);
    assertEquals(1, CasStat.of(store).projects());
    assertNull(Digest.parse("ABC"));
  }

  /** More contents than one pass of the statistics takes: several passes give the same sums. */
  @Test
  void statisticsOfManyContentsAreExact() throws Exception {
    MemoryIndex one = new MemoryIndex();
    MemoryIndex two = new MemoryIndex();
    java.util.Random random = new java.util.Random(4);
    for (int i = 0; i < 150_000; i++) {
      byte[] digest = new byte[32];
      random.nextBytes(digest);
      FileStat stat = new FileStat(1, i, 10, 0, 0, 0100644, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0);
      ContentIndex.Known known = new ContentIndex.Known(Digest.of(digest), true);
      one.record(("p" + i).getBytes(), stat, known);
      if (i % 3 == 0) {
        one.record(("q" + i).getBytes(), stat, known);
        two.record(("p" + i).getBytes(), stat, known);
      }
    }
    References.write(store, "0000000000000001", "/one".getBytes(), one);
    References.write(store, "0000000000000002", "/two".getBytes(), two);
    CasStat s = CasStat.of(store);
    assertEquals(2, s.projects());
    assertEquals(2_500_000, s.logicalBytes());
    assertEquals(1_500_000, s.referencedBytes());
    assertEquals(1_000_000, s.savedBytes());
    assertEquals(500_000, s.savedAcrossProjects());
  }
}
