package dev.vrift.meta;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.file.Path;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class MetaWriterTest {
  @TempDir Path temp;

  private static MetaBatch batch(String name) {
    MetaBatch b = new MetaBatch(1 << 12);
    assertTrue(b.put(LmdbMetaStoreTest.path(name), LmdbMetaStoreTest.stat(1, 1, 1), 1, null, 1));
    return b;
  }

  @Test
  void whatWasOfferedIsThereAfterClose() throws Exception {
    try (LmdbMetaStore store = LmdbMetaStore.open(temp.resolve("lmdb"), LmdbMetaStoreTest.path("/r"))) {
      try (MetaWriter writer = new MetaWriter(store, "test")) {
        for (int i = 0; i < 500; i++) {
          assertTrue(writer.offer(batch("f" + i)));
        }
      }
      assertEquals(500, LmdbMetaStoreTest.dump(store).size());
    }
  }

  /** A store that hangs, then fails. */
  private static final class Stuck implements MetaStore {
    final CountDownLatch go = new CountDownLatch(1);

    @Override
    public Origin origin() {
      return Origin.FRESH;
    }

    @Override
    public String reason() {
      return "";
    }

    @Override
    public void apply(long address, int length) throws MetaException {
      try {
        go.await();
      } catch (InterruptedException e) {
        Thread.currentThread().interrupt();
      }
      throw new MetaException(MetaException.Kind.DAMAGED, "made up");
    }

    @Override
    public int loadAll(BatchConsumer consumer) {
      return 0;
    }

    @Override
    public boolean get(byte[] path, MetaBatch into) {
      return false;
    }

    @Override
    public void putValue(String key, byte[] value) {}

    @Override
    public byte[] value(String key) {
      return null;
    }

    @Override
    public void sync() {}

    @Override
    public Info info() {
      return new Info(0, 0, 0, 0, 0);
    }

    @Override
    public void close() {}
  }

  @Test
  void aStuckStoreNeverBlocksTheOwnerAndAFailureAsksForARebuild() throws Exception {
    Stuck stuck = new Stuck();
    try (MetaWriter writer = new MetaWriter(stuck, "test", 4096)) {
      long start = System.nanoTime();
      int taken = 0;
      for (int i = 0; i < 100; i++) {
        taken += writer.offer(batch("f" + i)) ? 1 : 0;
      }
      assertTrue(System.nanoTime() - start < TimeUnit.SECONDS.toNanos(2));
      assertTrue(taken > 5 && taken < 100, taken + " taken");
      assertTrue(writer.takeRebuildNeeded());
      assertFalse(writer.takeRebuildNeeded());
      stuck.go.countDown();
      assertTrue(writer.drain(5000));
      assertTrue(writer.storeDamaged());
      assertFalse(writer.offer(batch("more")));
      assertEquals("made up", writer.report().failure());
      assertEquals(0, writer.report().queuedBytes());
    }
  }
}
