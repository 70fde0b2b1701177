package dev.vrift.project;

import dev.vrift.cas.CasException;
import dev.vrift.cas.CasService;
import dev.vrift.cas.ContentStore;
import dev.vrift.cas.IngestPolicy;
import dev.vrift.cas.StoreUsage;
import dev.vrift.meta.LmdbMetaStore;
import dev.vrift.meta.MetaBatch;
import dev.vrift.meta.MetaException;
import dev.vrift.meta.MetaStore;
import dev.vrift.meta.MetaWriter;
import dev.vrift.platform.FaultPoint;
import dev.vrift.platform.Log;
import dev.vrift.platform.Processes;
import dev.vrift.vdir.Engine;
import dev.vrift.wire.Answer;
import dev.vrift.wire.Fields;
import dev.vrift.wire.Json;
import dev.vrift.wire.WireException;
import java.nio.file.Path;
import java.util.concurrent.ArrayBlockingQueue;
import java.util.concurrent.TimeUnit;
import java.util.function.BooleanSupplier;

/**
 * What a daemon keeps beyond its life: the project's metadata (LMDB) and contents (the user's store). Everything is opened and written on a
 * thread of its own; the apply thread only hands over what changed ({@link #collect}) and never waits. Every part may be missing: then
 * builds go on, and {@link #describe} says why.
 */
public final class Persistence implements AutoCloseable {
  /** Gets names known from before, as {@code vr_engine_preload} wants them. Any thread; returns when they were taken. */
  public interface Names {
    void enter(byte[] names, int length);
  }

  /** Bytes of changes taken in one turn. */
  static final int CHANGES_BYTES = 64 << 10;
  private static final int INBOX = 64;
  private static final int NAMES_BYTES = 1 << 20;
  /** An empty batch wakes the thread. */
  private static final int WAKE_BYTES = 4096;
  private static final long POLL_MS = 5_000;
  private static final long CLOSE_WAIT_MS = 1_000;
  private static final long OPEN_WAIT_MS = 15_000;
  private static final String OPENING = "opening";
  private static final String EPOCH = "epoch";
  private static final int REGULAR = 0100000;
  private static final int TYPE_MASK = 0170000;

  private final Path stateDir;
  private final Path casDir;
  private final String id;
  private final byte[] root;
  private final Names names;
  private final IngestPolicy policy;
  private final boolean background;
  private final long maxStore;
  private final ArrayBlockingQueue<MetaBatch> inbox = new ArrayBlockingQueue<>(INBOX);
  private final Thread thread;
  private final long changes = MetaBatch.allocate(CHANGES_BYTES);
  private volatile BooleanSupplier session = () -> false;
  private volatile boolean closing;
  private volatile MetaStore store;
  private volatile MetaWriter writer;
  private volatile CasService cas;
  private volatile String metaState = OPENING;
  private volatile String casState = OPENING;
  private volatile long epoch;
  private volatile long preloaded;
  private StoredContents contents;

  private Persistence(Path stateDir, Path casDir, String id, byte[] root, Names names, IngestPolicy policy, boolean background, long maxStore) {
    this.maxStore = maxStore;
    this.policy = policy;
    this.background = background;
    this.stateDir = stateDir;
    this.casDir = casDir;
    this.id = id;
    this.root = root;
    this.names = names;
    this.thread = new Thread(null, this::run, "state-" + id, 512 << 10);
    thread.setDaemon(true);
  }

  /**
   * Starts opening in the background. {@code stateDir}: the project's ({@code lmdb} is made in it); {@code root}: bytes of the real root; {@code
   * names} may be null.
   */
  public static Persistence start(Path stateDir, Path casDir, String id, byte[] root, Names names) {
    return start(stateDir, casDir, id, root, names, IngestPolicy.BACKGROUND, true, 0);
  }

  /** {@code background}: contents are kept by themselves, as far as {@code policy} says; else only when a command asks. {@code maxStore}: see StoreUsage. */
  public static Persistence start(
      Path stateDir, Path casDir, String id, byte[] root, Names names, IngestPolicy policy, boolean background, long maxStore) {
    Persistence p = new Persistence(stateDir, casDir, id, root, names, policy, background, maxStore);
    p.thread.start();
    return p;
  }

  /** Apply thread: takes at most {@link #CHANGES_BYTES} of changes. Until the store is open they stay with the engine. True: there may be more. */
  public boolean collect(long engine) {
    if (!ready()) {
      return false;
    }
    int n = Engine.changes(engine, changes, CHANGES_BYTES);
    accept(n);
    return n > CHANGES_BYTES / 4;
  }

  private boolean ready() {
    return writer != null && changes != 0 && inbox.remainingCapacity() > 0;
  }

  /** For tests: changes as the engine writes them. False: not open yet, or busy. */
  boolean offer(byte[] engineChanges) {
    if (!ready()) {
      return false;
    }
    accept(MetaBatch.fill(changes, engineChanges, CHANGES_BYTES));
    return true;
  }

  private void accept(int n) {
    if (n <= 0) {
      return;
    }
    MetaBatch batch;
    try {
      batch = new MetaBatch(MetaBatch.capacityForChanges(n));
    } catch (OutOfMemoryError e) {
      return; // these changes are not kept; the next start sees the tree anyway
    }
    if (!batch.setChanges(changes, n, epoch) || !inbox.offer(batch)) {
      batch.close();
    }
  }

  private void run() {
    openMeta();
    openCas();
    try {
      while (!closing || !inbox.isEmpty()) {
        MetaBatch batch = inbox.poll(POLL_MS, TimeUnit.MILLISECONDS);
        MetaWriter w = writer;
        if (batch != null) {
          FaultPoint.BATCH_TAKEN.hit();
          tellCas(batch);
          if (w == null) {
            batch.close();
          } else {
            w.offer(batch);
          }
        }
        if (w != null && w.storeDamaged()) {
          reopen();
        }
      }
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
    }
  }

  private void openMeta() {
    try {
      MetaStore opened = LmdbMetaStore.open(stateDir.resolve("lmdb"), root);
      FaultPoint.META_OPENED.hit();
      byte[] last = opened.value(EPOCH);
      epoch = (last == null || last.length != Long.BYTES ? 0 : java.nio.ByteBuffer.wrap(last).getLong()) + 1;
      opened.putValue(EPOCH, java.nio.ByteBuffer.allocate(Long.BYTES).putLong(epoch).array());
      if (opened.origin() == MetaStore.Origin.REPLACED) {
        Log.warn("the metadata of " + id + " were set aside and are rebuilt from the tree: " + opened.reason());
      }
      if (names != null && opened.origin() == MetaStore.Origin.LOADED) {
        preload(opened);
      }
      FaultPoint.META_PRELOADED.hit();
      store = opened;
      metaState = opened.origin().name().toLowerCase(java.util.Locale.ROOT);
      writer = new MetaWriter(opened, id);
    } catch (MetaException | RuntimeException | UnsatisfiedLinkError e) {
      metaState = "unavailable: " + e.getMessage();
      Log.warn("no metadata are kept for " + id + ", the tree is read at each start: " + e.getMessage());
    }
  }

  private void preload(MetaStore from) throws MetaException {
    byte[] buffer = new byte[NAMES_BYTES];
    long[] bytes = new long[1];
    from.loadAll(
        (address, length) -> {
          int n = MetaBatch.names(address, length, buffer);
          if (n > 0) {
            try {
              names.enter(buffer, n);
            } catch (IllegalStateException e) {
              return false; // the apply thread is busy or ending: the scan finds them all the same
            }
            bytes[0] += n;
          }
          return !closing;
        });
    preloaded = bytes[0];
  }

  private void openCas() {
    MetaStore s = store;
    if (s == null) {
      casState = "unavailable: it needs the metadata store";
      return;
    }
    try {
      contents = new StoredContents(s, epoch);
      ContentStore content = ContentStore.open(casDir);
      cas = new CasService(content, contents, id, root, policy.withMaxStore(StoreUsage.limit(content, maxStore)), () -> session.getAsBoolean());
      casState = "open";
    } catch (CasException | RuntimeException e) {
      casState = "unavailable: " + e.getMessage();
      Log.warn("no contents are kept for " + id + ": " + e.getMessage());
    }
  }

  /** Damage seen while running: set aside by the next open, which verifies every page. What is lost comes back at the next start. */
  private void reopen() {
    closeParts();
    openMeta();
    openCas();
  }

  private void tellCas(MetaBatch batch) {
    CasService c = cas;
    if (c != null && background) {
      batch.forEach(
          i -> {
            if ((i.stat().mode() & TYPE_MASK) == REGULAR) {
              c.changed(i.path());
            }
          });
    }
  }

  /** Adds to the daemon's status object. */
  public void describe(Json out) {
    MetaStore s = store;
    MetaWriter w = writer;
    out.key("metadata").object().field("state", metaState).field("epoch", epoch).field("preloaded_bytes", preloaded);
    if (s != null && w != null) {
      MetaStore.Info i = s.info();
      MetaWriter.Report r = w.report();
      out.field("records", i.records()).field("bytes", i.pages() * i.pageSize()).field("map_bytes", i.mapSize()).field("commits", i.commits());
      out.field("queued_bytes", r.queuedBytes()).field("dropped_batches", r.droppedBatches()).field("failure", r.failure());
    }
    out.end().field("contents", casState);
  }

  /** Why nothing is kept in the store at the moment, or "". Any thread. */
  public String contentsProblem() {
    CasService c = cas;
    String state = casState;
    return c != null ? c.stopped() : state.startsWith("unavailable") ? state : "";
  }

  /** While {@code open} holds, what the project ingested stays in the store. Any thread. */
  public void holdWhile(BooleanSupplier open) {
    session = open;
  }

  /** The CAS request of the wire: command ingest (all=0/1). May take as long as it needs. */
  public Answer answer(Fields request) {
    CasService c = awaitCas();
    if (c == null) {
      return Answer.error("unavailable", "contents are not kept: " + casState);
    }
    try {
      String command = request.text("command");
      return switch (command == null ? "" : command) {
        case "ingest" -> Answer.json(CasReports.json(c.ingest(request.number("all", 0) != 0)));
        default -> Answer.error("malformed", "the daemon's only command is ingest; the store itself is read by whoever asks about it");
      };
    } catch (WireException e) {
      return Answer.error("failed", e.getMessage());
    } catch (OutOfMemoryError e) {
      return Answer.error("failed", "the daemon's memory does not suffice for this report; nothing was changed");
    }
  }

  /** Right after the start the store may still be opening: waited for, {@value #OPEN_WAIT_MS} ms at most. */
  private CasService awaitCas() {
    long end = Processes.monotonicMs() + OPEN_WAIT_MS;
    try {
      while (cas == null && casState.equals(OPENING) && !closing && Processes.monotonicMs() < end) {
        Thread.sleep(10);
      }
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
    }
    return cas;
  }

  /** For {@code init --undo}: the project's references go. */
  public void forget() {
    CasService c = cas;
    if (c != null) {
      c.forget();
    }
  }

  private void closeParts() {
    CasService c = cas;
    cas = null;
    if (c != null) {
      c.close();
    }
    if (contents != null) {
      contents.close();
      contents = null;
    }
    MetaWriter w = writer;
    writer = null;
    if (w != null) {
      w.close();
    }
    MetaStore s = store;
    store = null;
    if (s != null) {
      s.close();
    }
  }

  /** Writes what is queued, within seconds. After the apply thread has ended. */
  @Override
  public void close() {
    closing = true;
    try {
      inbox.offer(new MetaBatch(WAKE_BYTES));
      thread.join(CLOSE_WAIT_MS);
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
    }
    if (!thread.isAlive()) {
      closeParts();
      MetaBatch.release(changes);
    }
  }
}
