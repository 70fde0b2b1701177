package dev.vrift.cas;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.vrift.cas.CasServiceTest.MemoryIndex;
import dev.vrift.platform.Processes;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.FileTime;
import java.util.List;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class CollectorTest {
  private static final IngestPolicy NOW = new IngestPolicy(false, 1 << 20, Long.MAX_VALUE, 0, 50, 0, Long.MAX_VALUE);
  private static final String ID = "00000000000000aa";
  private static final CollectionPolicy ALL = new CollectionPolicy(-1, 0, false);

  @TempDir Path temp;
  private ContentStore store;
  private Path root;
  private boolean session;

  @BeforeEach
  void set() throws Exception {
    store = ContentStore.open(temp.resolve("cas"));
    root = Files.createDirectory(temp.resolve("project"));
  }

  private CasService service(MemoryIndex index) throws CasException {
    return new CasService(store, index, ID, ContentStore.bytes(root), NOW, () -> session);
  }

  private Digest add(String content) throws Exception {
    return ContentStoreTest.add(store, temp, content.getBytes()).digest();
  }

  private CollectionReport collect(CollectionPolicy policy) throws CasException {
    return new Collector(store, 0).collect(policy);
  }

  private boolean there(Digest d) throws CasException {
    return store.verify(d, -1) == ContentStore.Health.GOOD;
  }

  private void age(Digest d, long seconds) throws Exception {
    Files.setLastModifiedTime(store.path(d), FileTime.fromMillis(System.currentTimeMillis() - seconds * 1000));
  }

  @Test
  void takesWhatNobodyReferencesAndSaysSoBefore() throws Exception {
    Files.writeString(root.resolve("kept"), "kept");
    MemoryIndex index = new MemoryIndex();
    try (CasService service = service(index)) {
      service.ingest(true);
    }
    Digest kept = index.entries.get("kept").known().digest();
    Digest loose = add("nobody needs this");
    CollectionReport dry = collect(new CollectionPolicy(-1, 0, true));
    assertEquals(List.of(2L, 1L, 1L, 17L), List.of(dry.blobs(), dry.unreferenced(), dry.takenBlobs(), dry.takenBytes()));
    assertTrue(there(loose));
    CollectionReport r = collect(ALL);
    assertEquals("", r.refused());
    assertEquals(1, r.takenBlobs());
    assertEquals(4, r.leftBytes());
    assertFalse(there(loose));
    assertTrue(there(kept));
    assertEquals(4, StoreUsage.read(store).bytes());
  }

  @Test
  void youngOnesStayAndTheLeastRecentlyUsedGoFirst() throws Exception {
    Digest old = add("oldest one");
    Digest middle = add("middle one");
    Digest fresh = add("fresh one!");
    age(old, 3000);
    age(middle, 2000);
    assertEquals(0, new Collector(store, 3_600_000).collect(ALL).takenBlobs());
    assertEquals(1, collect(new CollectionPolicy(25, 0, true)).takenBlobs());
    assertEquals(1, collect(new CollectionPolicy(-1, 2_500_000, false)).takenBlobs());
    assertFalse(there(old));
    assertEquals(1, collect(new CollectionPolicy(15, 0, false)).takenBlobs());
    assertFalse(there(middle));
    assertTrue(there(fresh));
    assertFalse(add("fresh one!").equals(middle));
    age(fresh, 5000);
    add("fresh one!"); // found there: touched
    assertEquals(0, collect(new CollectionPolicy(-1, 1_000_000, false)).takenBlobs());
  }

  /** What a running command's project ingested since it began stays, though the file was rewritten; afterwards it goes. */
  @Test
  void aRunningSessionHoldsWhatItIngested() throws Exception {
    MemoryIndex index = new MemoryIndex();
    session = true;
    try (CasService service = service(index)) {
      Files.writeString(root.resolve("out"), "first output");
      service.ingest(true);
      Digest first = index.entries.get("out").known().digest();
      Files.writeString(root.resolve("out"), "second output");
      service.ingest(true);
      Digest second = index.entries.get("out").known().digest();
      assertEquals(0, collect(ALL).takenBlobs());
      assertTrue(there(first));
      session = false;
      service.ingest(true);
      assertEquals(1, collect(ALL).takenBlobs());
      assertFalse(there(first));
      assertTrue(there(second));
    }
  }

  /** The collector has moved the blob away; ingest comes in before its second look, from either side of the race. */
  @Test
  void anIngestBetweenTheTwoLooksKeepsItsContent() throws Exception {
    MemoryIndex index = new MemoryIndex();
    Files.writeString(root.resolve("same"), "the same content");
    try (CasService service = service(index)) {
      Digest d = add("the same content");
      Collector collector = new Collector(store, 0);
      collector.beforeSecondLook = () -> assertEquals(1, service.ingest(true).stored()); // away: it publishes its own
      CollectionReport r = collector.collect(ALL);
      assertEquals(1, r.spared());
      assertTrue(there(d));
      Digest other = add("other content");
      collector = new Collector(store, 0);
      PendingJournal journal = new PendingJournal(store, ID);
      collector.beforeSecondLook =
          () -> {
            try {
              journal.add(other); // it found the blob before it was moved away
            } catch (CasException e) {
              throw new AssertionError(e);
            }
          };
      assertEquals(1, collector.collect(ALL).spared());
      assertTrue(there(other));
      journal.clear();
      assertEquals(1, collect(ALL).takenBlobs());
      assertEquals(List.of(), ContentStore.names(store.trash()));
    }
  }

  @Test
  void aJournalIsHeldAfterItsDaemonDiedAndGoesWithTheNextReferences() throws Exception {
    Digest d = add("published by one that was killed");
    Files.write(store.references().resolve(ID + ".pending.999999999-1"), d.bytes());
    assertEquals(0, collect(ALL).takenBlobs());
    MemoryIndex index = new MemoryIndex();
    try (CasService service = service(index)) {
      service.ingest(true);
    }
    assertEquals(1, collect(ALL).takenBlobs());
  }

  @Test
  void everyLengthOfAJournalKeepsTheWholeRecords() throws Exception {
    Digest one = add("one");
    Digest two = add("two");
    byte[] both = java.util.Arrays.copyOf(one.bytes(), 64);
    System.arraycopy(two.bytes(), 0, both, 32, 32);
    for (int length = 0; length <= 64; length++) {
      Files.write(store.references().resolve(ID + ".pending.999999999-1"), java.util.Arrays.copyOf(both, length));
      assertEquals(2 - length / 32, collect(new CollectionPolicy(-1, 0, true)).takenBlobs(), "length " + length);
    }
  }

  /** Any byte changed and any length of the references: nothing is taken, not even what nobody needs. */
  @Test
  void damagedReferencesStopTheCollector() throws Exception {
    Files.writeString(root.resolve("a"), "content a");
    MemoryIndex index = new MemoryIndex();
    try (CasService service = service(index)) {
      service.ingest(true);
    }
    Path file = References.file(store, ID);
    byte[] good = Files.readAllBytes(file);
    add("loose");
    for (int i = 0; i < good.length; i++) {
      byte[] bad = good.clone();
      bad[i] ^= (byte) (1 << i % 8);
      Files.write(file, i % 2 == 0 ? bad : java.util.Arrays.copyOf(good, i));
      CollectionReport r = collect(ALL);
      assertEquals(0, r.takenBlobs(), "byte " + i);
      assertTrue(r.refused().contains(ID), r.refused());
    }
    assertEquals(1, CasStat.of(store).damagedReferences());
    try (CasService service = service(index)) { // its daemon comes and writes them anew
      service.ingest(true);
    }
    assertEquals(1, collect(ALL).takenBlobs());
  }

  @Test
  void whatADeadCollectorMovedAwayIsPutBack() throws Exception {
    Digest d = add("moved away");
    Path aside = store.trash().resolve(d.hex() + ".12345");
    Files.move(store.path(d), aside);
    Files.writeString(store.trash().resolve("strange"), "x");
    assertEquals(1, Collector.recoverIfIdle(store));
    assertTrue(there(d));
    Files.move(store.path(d), aside);
    CollectionReport r = collect(new CollectionPolicy(Long.MAX_VALUE, 0, false));
    assertEquals(1, r.recovered());
    assertTrue(there(d));
    assertEquals(List.of(), ContentStore.names(store.trash()));
  }

  @Test
  void oneCollectorAtATime() throws Exception {
    add("loose");
    int lock = Processes.lock(ContentStore.bytes(store.collectorLock()));
    assertTrue(lock >= 0);
    CollectionReport r = collect(ALL);
    assertEquals(0, r.takenBlobs());
    assertTrue(r.refused().contains("another"), r.refused());
    Processes.close(lock);
    assertEquals(1, collect(ALL).takenBlobs());
  }

  @Test
  void projectsGoneForAMonthAreForgotten() throws Exception {
    Files.writeString(root.resolve("a"), "content a");
    MemoryIndex index = new MemoryIndex();
    try (CasService service = service(index)) {
      service.ingest(true);
    }
    Files.delete(root.resolve("a"));
    Files.delete(root);
    assertEquals(0, collect(ALL).takenBlobs()); // perhaps it is only unmounted
    Files.setLastModifiedTime(References.file(store, ID), FileTime.fromMillis(System.currentTimeMillis() - 31L * 24 * 3_600_000));
    assertEquals(List.of(root.toString()), collect(new CollectionPolicy(-1, 0, true)).staleProjects());
    CollectionReport r = collect(ALL);
    assertEquals(List.of(root.toString()), r.staleProjects());
    assertEquals(1, r.takenBlobs());
  }

  @Test
  void theStoreLimitStopsIngestAndNothingElse() throws Exception {
    add("x".repeat(1000));
    collect(new CollectionPolicy(Long.MAX_VALUE, 0, false)); // counts
    Files.writeString(root.resolve("a"), "content a");
    MemoryIndex index = new MemoryIndex();
    try (CasService service = new CasService(store, index, ID, ContentStore.bytes(root), NOW.withMaxStore(1000))) {
      IngestReport r = service.ingest(true);
      assertEquals(0, r.stored());
      assertTrue(r.stopped().contains("vrift gc"), r.stopped());
    }
    collect(ALL);
    try (CasService service = new CasService(store, index, ID, ContentStore.bytes(root), NOW.withMaxStore(1000))) {
      assertEquals(1, service.ingest(true).stored());
    }
  }
}
