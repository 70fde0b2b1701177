package dev.vrift.meta;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.vrift.platform.FileStat;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.TreeMap;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class LmdbMetaStoreTest {
  private static final byte[] ROOT = "/a/root".getBytes(StandardCharsets.UTF_8);

  @TempDir Path temp;

  private Path dir() {
    return temp.resolve("lmdb");
  }

  static FileStat stat(long ino, long size, long mtime) {
    return new FileStat(7, ino, size, 8, 0, 0100644, 1, 1000, 1000, 4096, mtime, 1, mtime + 1, 2, mtime + 2, 3, mtime - 5, 4);
  }

  static byte[] path(String s) {
    return s.getBytes(StandardCharsets.UTF_8);
  }

  /** Everything in the store, one line per record. */
  static Map<String, String> dump(MetaStore store) throws MetaException {
    Map<String, String> out = new TreeMap<>();
    store.loadAll(
        (address, length) -> {
          MetaBatch.forEach(
              address,
              length,
              i -> out.put(
                  new String(i.path(), StandardCharsets.ISO_8859_1),
                  i.stat() + " " + i.state() + " " + new String(i.target(), StandardCharsets.ISO_8859_1) + " " + Arrays.toString(i.content()) + i.stored()));
          return true;
        });
    return out;
  }

  private static void put(MetaStore store, String name, FileStat stat) throws MetaException {
    try (MetaBatch b = new MetaBatch(1 << 16)) {
      assertTrue(b.put(path(name), stat, 1, null, 1));
      store.apply(b);
    }
  }

  @Test
  void keepsWhatWasPutUntilItIsDeleted() throws Exception {
    byte[] odd = {'d', '/', (byte) 0xff, (byte) 0x80, 'x'};
    byte[] longPath = path("p/".repeat(1500) + "end");
    try (LmdbMetaStore store = LmdbMetaStore.open(dir(), ROOT); MetaBatch b = new MetaBatch(1 << 16)) {
      assertEquals(MetaStore.Origin.FRESH, store.origin());
      b.put(odd, stat(1, 10, 100), 5, null, 3);
      b.put(longPath, stat(2, 20, 200), 1, path("to/somewhere"), 3);
      b.put(path(""), stat(3, 30, 300), 1, null, 3);
      b.put(path("gone"), stat(4, 40, 400), 1, null, 3);
      store.apply(b);
      b.clear();
      b.delete(path("gone"), 4);
      b.delete(path("never there"), 4);
      store.apply(b);
      store.putValue("epoch", new byte[] {1, 2, 3});
    }
    try (LmdbMetaStore store = LmdbMetaStore.open(dir(), ROOT); MetaBatch b = new MetaBatch(1 << 16)) {
      assertEquals(MetaStore.Origin.LOADED, store.origin());
      assertArrayEquals(new byte[] {1, 2, 3}, store.value("epoch"));
      assertNull(store.value("no such key"));
      Map<String, String> all = dump(store);
      assertEquals(3, all.size());
      assertEquals(6, store.info().records()); // three paths; root, schema and epoch
      assertTrue(store.get(longPath, b));
      List<MetaBatch.Item> items = new ArrayList<>();
      b.forEach(items::add);
      assertEquals(1, items.size());
      assertArrayEquals(longPath, items.getFirst().path());
      assertArrayEquals(path("to/somewhere"), items.getFirst().target());
      assertEquals(stat(2, 20, 200), items.getFirst().stat());
      assertTrue(store.get(odd, b));
      assertFalse(store.get(path("gone"), b));
    }
  }

  @Test
  void contentLastsAsLongAsTheVersionOfTheFile() throws Exception {
    byte[] digest = new byte[32];
    new Random(1).nextBytes(digest);
    try (LmdbMetaStore store = LmdbMetaStore.open(dir(), ROOT); MetaBatch b = new MetaBatch(1 << 16)) {
      put(store, "f", stat(1, 10, 100));
      b.content(path("f"), stat(1, 10, 100), digest, true, 1);
      store.apply(b);
      put(store, "f", stat(1, 10, 100)); // seen again, unchanged
      List<MetaBatch.Item> items = new ArrayList<>();
      store.get(path("f"), b);
      b.forEach(items::add);
      assertArrayEquals(digest, items.getLast().content());
      assertTrue(items.getLast().stored());
      assertEquals(1, items.getLast().state());
      put(store, "f", stat(1, 10, 101)); // another version
      store.get(path("f"), b);
      b.forEach(items::add);
      assertNull(items.getLast().content());
    }
  }

  @Test
  void aMalformedBatchChangesNothing() throws Exception {
    try (LmdbMetaStore store = LmdbMetaStore.open(dir(), ROOT); MetaBatch b = new MetaBatch(1 << 16)) {
      Random random = new Random(5);
      int refused = 0;
      for (int round = 0; round < 300; round++) {
        b.clear();
        b.put(path("a"), stat(1, 1, 1), 1, null, 1);
        b.put(path("bb"), stat(2, 2, 2), 1, null, 1);
        // Lengths, version and op of the second item, at random.
        int second = b.length() / 2;
        int at = second + new int[] {24, 25, 26, 27, 28, 64, 80 + 20, 80 + 21, 80 + 22, 80 + 23}[random.nextInt(10)];
        Lmdb.view(b.address(), b.capacity()).put(at, (byte) (random.nextInt(255) + 1 ^ 0x40));
        try {
          store.apply(b);
        } catch (MetaException e) {
          assertEquals(MetaException.Kind.ARGUMENT, e.kind());
          refused++;
        }
      }
      assertTrue(refused > 200, refused + " refused");
    }
  }

  @Test
  void theMapGrows() throws Exception {
    try (LmdbMetaStore store = LmdbMetaStore.open(dir(), ROOT, 1 << 20); MetaBatch b = new MetaBatch(1 << 20)) {
      long before = store.info().mapSize();
      for (int i = 0; i < 40_000; i++) {
        if (!b.put(path("some/dir/file" + i), stat(i, i, i), 1, null, 1)) {
          store.apply(b);
          b.clear();
          b.put(path("some/dir/file" + i), stat(i, i, i), 1, null, 1);
        }
      }
      store.apply(b);
      assertTrue(store.info().mapSize() > before);
      assertTrue(store.info().pages() * 4096 < store.info().mapSize() * 8 / 10);
      assertEquals(40_002, store.info().records());
    }
    try (LmdbMetaStore store = LmdbMetaStore.open(dir(), ROOT)) {
      assertEquals(MetaStore.Origin.LOADED, store.origin());
      assertEquals(40_000, dump(store).size());
    }
  }

  /** Random puts and deletes of all sizes, with reopenings: the verifier accepts everything LMDB writes. */
  @Test
  void theVerifierAcceptsEveryStateThatLmdbMakes() throws Exception {
    Random random = new Random(77);
    Map<String, FileStat> model = new TreeMap<>();
    for (int session = 0; session < 12; session++) {
      try (LmdbMetaStore store = LmdbMetaStore.open(dir(), ROOT, 1 << 20); MetaBatch b = new MetaBatch(1 << 20)) {
        assertEquals(session == 0 ? MetaStore.Origin.FRESH : MetaStore.Origin.LOADED, store.origin(), store.reason());
        assertEquals(model.size(), dump(store).size());
        for (int commit = 0; commit < 40; commit++) {
          b.clear();
          int n = random.nextInt(session % 3 == 2 ? 400 : 120);
          for (int i = 0; i < n; i++) {
            int k = random.nextInt(3000);
            String name = k % 50 == 0 ? "long/".repeat(120 + k / 8) + k : "d" + k % 37 + "/f" + k;
            if (random.nextInt(session % 3 == 2 ? 2 : 5) == 0) {
              b.delete(path(name), 1);
              model.remove(name);
            } else {
              FileStat s = stat(k, random.nextInt(), commit);
              if (!b.put(path(name), s, 1, k % 7 == 0 ? path("t".repeat(k)) : null, 1)) {
                break;
              }
              model.put(name, s);
            }
          }
          store.apply(b);
        }
      }
    }
    assertTrue(model.size() > 500);
  }

  /** The data file with bytes changed at random: set aside, or opened with exactly what was in it. */
  @Test
  void aDamagedFileIsSetAsideOrRightNeverBelieved() throws Exception {
    try (LmdbMetaStore store = LmdbMetaStore.open(dir(), ROOT); MetaBatch b = new MetaBatch(1 << 20)) {
      for (int round = 0; round < 6; round++) {
        b.clear();
        for (int i = 0; i < 300; i++) {
          b.put(path("src/module" + i % 9 + "/file" + i), stat(i, i * 3L, round), 1, i % 20 == 0 ? path("x".repeat(300)) : null, 1);
        }
        store.apply(b);
      }
    }
    byte[] good = Files.readAllBytes(dir().resolve("data.mdb"));
    Map<String, String> truth;
    try (LmdbMetaStore store = LmdbMetaStore.open(dir(), ROOT)) {
      truth = dump(store);
      assertEquals(300, truth.size());
    }
    Random random = new Random(20261124);
    int aside = 0;
    int right = 0;
    for (int round = 0; round < 700; round++) {
      byte[] bytes = good.clone();
      int flips = 1 + random.nextInt(3);
      for (int i = 0; i < flips; i++) {
        int at = round % 4 == 0 ? random.nextInt(2) * 4096 + random.nextInt(160) : round % 4 == 1 ? random.nextInt(good.length / 4096) * 4096 + random.nextInt(64) : random.nextInt(good.length);
        bytes[at] ^= (byte) (1 << random.nextInt(8));
      }
      if (round % 50 == 49) {
        bytes = Arrays.copyOf(good, random.nextInt(good.length));
      }
      Path d = temp.resolve("r" + round).resolve("lmdb");
      Files.createDirectories(d);
      Files.write(d.resolve("data.mdb"), bytes);
      try (LmdbMetaStore store = LmdbMetaStore.open(d, ROOT); MetaBatch b = new MetaBatch(1 << 16)) {
        if (store.origin() == MetaStore.Origin.LOADED) {
          assertEquals(truth, dump(store));
          right++;
        } else {
          assertEquals(0, dump(store).size());
          aside++;
        }
        b.put(path("after"), stat(1, 1, 1), 1, null, 1);
        store.apply(b); // and it can be written, whichever it is
      }
    }
    assertTrue(aside > 150 && right > 20, "set aside " + aside + ", right " + right);
    System.out.println("lmdb damage: " + aside + " set aside, " + right + " opened and equal, 0 wrong");
  }

  @Test
  void anotherRootOrSchemaIsSetAsideAndOnlyAFewAreKept() throws Exception {
    for (int i = 0; i < 6; i++) {
      try (LmdbMetaStore store = LmdbMetaStore.open(dir(), path("/root" + i))) {
        assertEquals(i == 0 ? MetaStore.Origin.FRESH : MetaStore.Origin.REPLACED, store.origin());
        assertEquals(i > 0, store.reason().contains("another root"));
      }
    }
    try (LmdbMetaStore store = LmdbMetaStore.open(dir(), path("/root5"))) {
      store.putValue("schema", path("2"));
    }
    try (LmdbMetaStore store = LmdbMetaStore.open(dir(), path("/root5"))) {
      assertTrue(store.reason().contains("schema"), store.reason());
    }
    List<Path> kept = LmdbMetaStore.damaged(dir());
    assertEquals(LmdbMetaStore.DAMAGED_KEPT, kept.size());
    assertEquals("lmdb.damaged-6", kept.getLast().getFileName().toString());
  }

  @Test
  void aPredecessorThatKeepsTheLockIsLeftItsFileAndWaitedForASecond() throws Exception {
    try (LmdbMetaStore first = LmdbMetaStore.open(dir(), ROOT)) {
      put(first, "mine", stat(1, 1, 1));
      long start = System.nanoTime();
      try (LmdbMetaStore second = LmdbMetaStore.open(dir(), ROOT)) {
        long ms = TimeUnit.NANOSECONDS.toMillis(System.nanoTime() - start);
        assertTrue(ms >= 900 && ms < 5000, ms + " ms");
        assertEquals(MetaStore.Origin.REPLACED, second.origin());
        put(first, "stale", stat(2, 2, 2)); // goes into the directory set aside
        put(second, "new", stat(3, 3, 3));
        assertEquals(List.of("new"), List.copyOf(dump(second).keySet()));
      }
    }
  }

  @Test
  void aClosedStoreSaysSo() throws Exception {
    LmdbMetaStore store = LmdbMetaStore.open(dir(), ROOT);
    store.close();
    store.close();
    assertThrows(MetaException.class, () -> store.value("x"));
    assertThrows(MetaException.class, () -> put(store, "x", stat(1, 1, 1)));
  }

  /** A child JVM commits in a loop and says after each commit that it did; it is killed; everything it said is there. */
  @Test
  void everyAcknowledgedCommitSurvivesKill9() throws Exception {
    int last = -1;
    for (int round = 0; round < 4; round++) {
      Process child =
          new ProcessBuilder(
                  ProcessHandle.current().info().command().orElseThrow(), "-Xmx64m", "--enable-native-access=ALL-UNNAMED",
                  "-cp", System.getProperty("java.class.path"), "-Dvrift.jni=" + System.getProperty("vrift.jni"),
                  "-Dvrift.lmdb=" + System.getProperty("vrift.lmdb"), Committer.class.getName(), dir().toString(), String.valueOf(last + 1))
              .redirectError(ProcessBuilder.Redirect.INHERIT)
              .start();
      try (BufferedReader out = new BufferedReader(new InputStreamReader(child.getInputStream(), StandardCharsets.UTF_8))) {
        int stop = 40 + new Random(round).nextInt(400);
        for (int i = 0; i < stop; i++) {
          last = Integer.parseInt(out.readLine());
        }
        child.toHandle().destroyForcibly(); // leaves the pipe open, unlike Process.destroyForcibly
        for (String line = out.readLine(); line != null; line = out.readLine()) {
          last = Integer.parseInt(line);
        }
      }
      assertTrue(child.waitFor(10, TimeUnit.SECONDS));
      try (LmdbMetaStore store = LmdbMetaStore.open(dir(), ROOT)) {
        assertEquals(MetaStore.Origin.LOADED, store.origin(), store.reason());
        Map<String, String> all = dump(store);
        for (int i = 0; i <= last; i++) {
          assertTrue(all.containsKey("file" + i), "commit " + i + " of " + last + " is lost");
          assertTrue(all.containsKey("twin" + i), "half of commit " + i);
        }
        for (String name : all.keySet()) {
          assertTrue(all.containsKey(name.replace("twin", "file")) && all.containsKey(name.replace("file", "twin")), name);
        }
      }
    }
  }

  /** The child of the test above. Arguments: directory, first number. */
  static final class Committer {
    public static void main(String[] args) throws Exception {
      try (LmdbMetaStore store = LmdbMetaStore.open(Path.of(args[0]), ROOT); MetaBatch b = new MetaBatch(1 << 16)) {
        for (int i = Integer.parseInt(args[1]); ; i++) {
          b.clear();
          b.put(path("file" + i), stat(i, i, i), 1, null, 1);
          b.put(path("twin" + i), stat(i, i, i), 1, null, 1);
          store.apply(b);
          System.out.println(i);
        }
      }
    }
  }
}
