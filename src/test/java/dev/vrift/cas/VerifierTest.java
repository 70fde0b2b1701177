package dev.vrift.cas;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.vrift.cas.CasServiceTest.MemoryIndex;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Damage of every kind in a store of two projects: none is served, all of it is set aside, all of it is healed where some project has the content. */
class VerifierTest {
  private static final IngestPolicy NOW = new IngestPolicy(false, 1 << 20, Long.MAX_VALUE, 0, 50, 0, Long.MAX_VALUE);

  @TempDir Path temp;
  private ContentStore store;
  private final MemoryIndex first = new MemoryIndex();
  private final MemoryIndex second = new MemoryIndex();

  @BeforeEach
  void twoProjects() throws Exception {
    store = ContentStore.open(temp.resolve("cas"));
    ingest("one", "00000000000000a1", first, "shared", "own-of-one");
    ingest("two", "00000000000000a2", second, "shared", "own-of-two");
  }

  private void ingest(String name, String id, MemoryIndex index, String... contents) throws Exception {
    Path root = Files.createDirectories(temp.resolve(name));
    for (String c : contents) {
      Files.writeString(root.resolve("file-" + c), content(c));
    }
    try (CasService service = new CasService(store, index, id, ContentStore.bytes(root), NOW)) {
      service.ingest(true);
    }
  }

  private static String content(String name) {
    return "content of " + name + " " + "z".repeat(50);
  }

  private Digest digest(MemoryIndex index, String name) {
    return index.entries.get("file-" + name).known().digest();
  }

  private VerifyReport verify() throws CasException {
    return new Verifier(store, Long.MAX_VALUE, new Random(1)).verify(1, Long.MAX_VALUE, true);
  }

  private void overwrite(Digest d, byte[] bytes) throws Exception {
    Files.deleteIfExists(store.path(d));
    Files.write(store.path(d), bytes);
    Files.setPosixFilePermissions(store.path(d), PosixFilePermissions.fromString("r--------"));
  }

  private void healed(Digest d, String name) throws Exception {
    assertArrayEquals(content(name).getBytes(), new VerifyingReader(store).read(d, 1000));
  }

  @Test
  void everyLengthAndEveryBitOfABlobIsSetAsideAndHealedFromTheOtherProject() throws Exception {
    Digest d = digest(first, "shared");
    byte[] good = content("shared").getBytes();
    Files.delete(temp.resolve("one/file-shared")); // the first project has it no more, the second does
    int rounds = 0;
    for (int length = 0; length < good.length + 3; length++) {
      if (length != good.length) {
        overwrite(d, Arrays.copyOf(good, length));
        setAsideAndHealed(d);
        rounds++;
      }
    }
    for (int bit = 0; bit < good.length * 8; bit++) {
      byte[] bad = good.clone();
      bad[bit / 8] ^= (byte) (1 << bit % 8);
      overwrite(d, bad);
      setAsideAndHealed(d);
      rounds++;
    }
    System.out.println("blobs: " + rounds + " damaged, all set aside, all healed from another project");
  }

  private void setAsideAndHealed(Digest d) throws Exception {
    VerifyReport r = verify();
    assertEquals(List.of(d.toString()), r.bad());
    assertEquals(List.of(d.toString()), r.healed());
    assertEquals(3, r.checked()); // nothing else was touched
    healed(d, "shared");
  }

  @Test
  void missingMisnamedLinkedAndStrangeOnesToo() throws Exception {
    Digest shared = digest(first, "shared");
    Digest one = digest(first, "own-of-one");
    Digest two = digest(second, "own-of-two");
    Files.delete(store.path(shared)); // missing
    Files.delete(store.path(two));
    Files.move(store.path(one), store.path(two)); // misnamed
    Files.writeString(store.path(one).resolveSibling("not-a-digest"), "stray");
    Files.createDirectory(store.blobs().resolve("zz"));
    VerifyReport r = verify();
    assertEquals(List.of(two.toString()), r.bad());
    assertEquals(2, r.missing().size());
    assertEquals(3, r.healed().size());
    assertEquals(2, r.strays().size());
    healed(shared, "shared");
    healed(one, "own-of-one");
    healed(two, "own-of-two");

    Files.createLink(temp.resolve("handle"), store.path(one)); // somebody else holds a name of it
    Files.delete(store.path(two));
    Files.createDirectory(store.path(two));
    Files.delete(store.path(shared));
    Files.createSymbolicLink(store.path(shared), temp.resolve("one/file-shared"));
    VerifyReport again = verify();
    assertEquals(3, again.bad().size(), again.toString());
    assertEquals(3, again.healed().size());
    assertEquals(1, Files.getAttribute(store.path(one), "unix:nlink"));
    healed(shared, "shared");
    healed(two, "own-of-two");
    assertEquals(List.of(), verify().bad());
  }

  @Test
  void whatNobodyHasAnyMoreIsNotInvented() throws Exception {
    Digest one = digest(first, "own-of-one");
    Files.writeString(temp.resolve("one/file-own-of-one"), content("own-of-0ne")); // same size, other bytes
    Files.delete(store.path(one));
    VerifyReport r = verify();
    assertEquals(List.of(one.toString()), r.missing());
    assertEquals(List.of(), r.healed());
    assertNull(new VerifyingReader(store).read(one, 1000));
    assertEquals(2, ContentStoreTest.all(store).size()); // the other bytes were not stored under any name
  }

  /** References that name a path outside, a link or a secret heal nothing from there. */
  @Test
  void referencesThatLieHealNothing() throws Exception {
    Digest one = digest(first, "own-of-one");
    Path file = temp.resolve("one/file-own-of-one");
    Files.move(file, temp.resolve("outside"));
    Files.createSymbolicLink(file, temp.resolve("outside"));
    Files.copy(temp.resolve("outside"), temp.resolve("one/.env"));
    MemoryIndex lying = new MemoryIndex();
    for (String path : List.of("../outside", "file-own-of-one", ".env", "", "/etc/passwd", "x\0y")) {
      lying.record(path.getBytes(), first.entries.get("file-own-of-one").stat(), new ContentIndex.Known(one, true));
    }
    References.write(store, "00000000000000a1", ContentStore.bytes(temp.resolve("one")), lying);
    Files.delete(store.path(one));
    assertEquals(List.of(), verify().healed());
    assertFalse(Files.exists(store.path(one)));
  }

  @Test
  void aSampleReadsAPart() throws Exception {
    for (int i = 0; i < 200; i++) {
      ContentStoreTest.add(store, temp, ("blob " + i).getBytes());
    }
    assertEquals(20, new Verifier(store, Long.MAX_VALUE, new Random(2)).verify(1, 20, false).checked());
    long tenth = new Verifier(store, Long.MAX_VALUE, new Random(3)).verify(0.1, Long.MAX_VALUE, false).checked();
    assertTrue(tenth > 2 && tenth < 60, tenth + " of 203");
  }

  @Test
  void theRateIsBounded() throws Exception {
    byte[] big = new byte[200_000];
    ContentStoreTest.add(store, temp, big);
    long start = System.nanoTime();
    new Verifier(store, 1_000_000, new Random(4)).verify(1, Long.MAX_VALUE, false);
    long ms = (System.nanoTime() - start) / 1_000_000;
    assertTrue(ms >= 150, ms + " ms for 200 kB at 1 MB/s");
  }
}
