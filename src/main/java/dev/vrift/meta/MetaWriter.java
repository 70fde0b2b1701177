package dev.vrift.meta;

import dev.vrift.layout.MetaLayout;
import dev.vrift.platform.FaultPoint;
import java.util.ArrayDeque;

/**
 * Writes batches to a {@link MetaStore} on a thread of its own. {@link #offer} never blocks beyond the queue's monitor (held for a few
 * instructions): a full queue or a failing store drops the batch and sets "rebuild needed", which the owner answers by offering
 * everything again when it has time. Owns the batches it is given; does not own the store.
 */
public final class MetaWriter implements AutoCloseable {
  /** Bytes of batches that may wait. */
  public static final int QUEUE_BYTES = 16 << 20;
  /** A sync to disk at most this often, in milliseconds, and only after commits. */
  static final long SYNC_EVERY_MS = 10_000;
  /** How long {@link #close} waits for what is queued, in milliseconds. */
  static final long CLOSE_WAIT_MS = 2_000;
  /** After a failed write the store is left alone for this long, in milliseconds. */
  static final long RETRY_AFTER_MS = 5_000;

  /** Commits and drops since the start; the last failure ("" if none). */
  public record Report(long committedBatches, long droppedBatches, long queuedBytes, boolean rebuildNeeded, String failure) {}

  private final MetaStore store;
  private final Thread thread;
  private final long queueBytes;
  private final ArrayDeque<MetaBatch> queue = new ArrayDeque<>();
  private long queued;
  private boolean writing;
  private boolean closing;
  private boolean rebuildNeeded;
  private boolean damaged;
  private long notBefore = Long.MIN_VALUE;
  private long committed;
  private long dropped;
  private String failure = "";

  public MetaWriter(MetaStore store, String projectId) {
    this(store, projectId, QUEUE_BYTES);
  }

  MetaWriter(MetaStore store, String projectId, long queueBytes) {
    this.store = store;
    this.queueBytes = queueBytes;
    this.thread = new Thread(null, this::run, "vrift-meta-" + projectId, 256 << 10);
    thread.setDaemon(true);
    thread.start();
  }

  /** Takes the batch over and closes it in the end. False: it was dropped, and {@link #takeRebuildNeeded} is now true. */
  public boolean offer(MetaBatch batch) {
    int length = batch.length();
    synchronized (this) {
      if (!closing && !damaged && queued + length <= queueBytes && now() >= notBefore) {
        queue.add(batch);
        queued += length;
        notifyAll();
        return true;
      }
      dropped++;
      rebuildNeeded = true;
    }
    batch.close();
    return false;
  }

  /** True once after something was dropped: the owner then offers the whole tree again. */
  public synchronized boolean takeRebuildNeeded() {
    boolean out = rebuildNeeded && !damaged && now() >= notBefore;
    if (out) {
      rebuildNeeded = false;
    }
    return out;
  }

  /** The store has to be opened anew (it will be set aside then); this writer is of no more use. */
  public synchronized boolean storeDamaged() {
    return damaged;
  }

  public synchronized Report report() {
    return new Report(committed, dropped, queued, rebuildNeeded, failure);
  }

  /** Waits until everything offered so far is committed or dropped. False after {@code timeoutMs}. */
  public synchronized boolean drain(long timeoutMs) throws InterruptedException {
    long end = now() + timeoutMs;
    while (!queue.isEmpty() || writing) {
      long left = end - now();
      if (left <= 0) {
        return false;
      }
      wait(left);
    }
    return true;
  }

  private static long now() {
    return System.nanoTime() / 1_000_000;
  }

  private void run() {
    long lastSync = now();
    boolean unsynced = false;
    try {
      while (true) {
        MetaBatch batch = next(unsynced ? Math.max(1, lastSync + SYNC_EVERY_MS - now()) : 0);
        if (batch != null) {
          unsynced |= write(batch);
        } else if (closed()) {
          return;
        }
        if (unsynced && now() - lastSync >= SYNC_EVERY_MS) {
          sync();
          unsynced = false;
          lastSync = now();
        }
      }
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
    } finally {
      discardAll();
    }
  }

  /** The next batch; null on time-out or when closing with an empty queue. 0: no time-out. */
  private synchronized MetaBatch next(long timeoutMs) throws InterruptedException {
    if (queue.isEmpty() && !closing) {
      wait(timeoutMs);
    }
    MetaBatch batch = queue.poll();
    writing = batch != null;
    return batch;
  }

  private synchronized boolean closed() {
    return closing && queue.isEmpty();
  }

  private boolean write(MetaBatch batch) {
    MetaException problem = null;
    int length = batch.length();
    try {
      FaultPoint.META_APPLYING.hit();
      store.apply(batch);
    } catch (MetaException e) {
      problem = e;
    } finally {
      batch.close();
    }
    synchronized (this) {
      queued -= length;
      writing = false;
      if (problem == null) {
        committed++;
      } else {
        dropped++;
        rebuildNeeded = true;
        failure = problem.getMessage();
        damaged |= problem.kind() == MetaException.Kind.DAMAGED;
        notBefore = now() + RETRY_AFTER_MS;
      }
      notifyAll();
    }
    return problem == null;
  }

  private void sync() {
    try {
      store.sync();
    } catch (MetaException e) {
      synchronized (this) {
        failure = e.getMessage();
      }
    }
  }

  private synchronized void discardAll() {
    closing = true;
    for (MetaBatch b : queue) {
      b.close();
      dropped++;
      rebuildNeeded = true;
    }
    queue.clear();
    queued = 0;
    notifyAll();
  }

  /** Writes what is queued, at most {@value #CLOSE_WAIT_MS} ms, then ends the thread. The store is closed by its owner afterwards. */
  @Override
  public void close() {
    synchronized (this) {
      closing = true;
      notifyAll();
    }
    try {
      thread.join(CLOSE_WAIT_MS);
      if (thread.isAlive()) {
        thread.interrupt();
      }
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
    }
  }

  static {
    assert MetaLayout.BATCH_MAX <= QUEUE_BYTES;
  }
}
