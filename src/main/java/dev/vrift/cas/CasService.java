package dev.vrift.cas;

import dev.vrift.platform.FileCalls;
import dev.vrift.platform.FileStat;
import java.io.IOException;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.EnumMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import java.util.function.BooleanSupplier;

/**
 * One project's dealings with the content store: ingest of what became quiet on a thread of its own at idle priority, and the runs that a command asks for.
 * One run at a time; {@link #changed} never waits. No failure here is a failure of anything else.
 */
public final class CasService implements AutoCloseable {
  /** Changed paths that may wait; more are forgotten until the next whole run. */
  static final int QUEUE_MAX = 16_384;
  /** Files that one run looks at again, or heals from, at most: the heap is small. */
  private static final int AGAIN_MAX = 20_000;
  static final long CLOSE_WAIT_MS = 2000;
  private static final long TICK_MS = 500;
  /** Between looks whether the session has ended that holds what was ingested, ms. */
  private static final long HELD_TICK_MS = 5_000;
  /** While the project never becomes quiet, a path is looked at after this long all the same, ms. */
  private static final long IMPATIENT_MS = 60_000;
  /** Background work rests this many times as long as it worked. */
  private static final int REST_FACTOR = 4;
  private static final long REST_MIN_MS = 10;
  private static final long USAGE_MS = 10_000;
  private static final int PATH_MAX = 4095;
  private static final int DEPTH_MAX = 512;

  /** A path as a key of a map. */
  private record Key(byte[] path) {
    @Override
    public boolean equals(Object o) {
      return o instanceof Key k && Arrays.equals(path, k.path);
    }

    @Override
    public int hashCode() {
      return Arrays.hashCode(path);
    }
  }

  private final ContentStore store;
  private final ContentIndex index;
  private final String projectId;
  private final byte[] rootPath;
  private final IngestPolicy policy;
  private final BooleanSupplier session;
  private final PendingJournal journal;
  private final int root;
  private final long rootDevice;
  private final Ingest ingest;
  private final Thread thread;
  private final LinkedHashMap<Key, Long> waiting = new LinkedHashMap<>();
  private final Object running = new Object();
  private long lastChange;
  private long owedRestNs;
  private long usageRead = Long.MIN_VALUE / 2;
  private StoreUsage usage;
  private long storedAtUsage;
  private volatile String stopped = "";
  private volatile boolean closed;

  /** As below, with no session ever. */
  public CasService(ContentStore store, ContentIndex index, String projectId, byte[] root, IngestPolicy policy) throws CasException {
    this(store, index, projectId, root, policy, () -> false);
  }

  /**
   * {@code root}: bytes of the real root path; {@code session}: is a command of the project running? Then what it ingested stays even if it is not
   * referenced any more. Throws if the root cannot be opened. Starts the thread.
   */
  public CasService(ContentStore store, ContentIndex index, String projectId, byte[] root, IngestPolicy policy, BooleanSupplier session)
      throws CasException {
    this.rootPath = root.clone();
    this.session = session;
    this.journal = new PendingJournal(store, projectId);
    this.store = store;
    this.index = index;
    this.projectId = projectId;
    this.policy = policy;
    this.root = FileCalls.open(root, FileCalls.DIRECTORY, 0);
    if (this.root < 0) {
      throw new CasException("opening the project's root", this.root);
    }
    FileStat st = FileCalls.stat(this.root, null, new int[1]);
    int home = FileCalls.open(ContentStore.bytes(store.dir()), FileCalls.DIRECTORY, 0);
    FileStat mine = home < 0 ? null : FileCalls.stat(home, null, new int[1]);
    if (home >= 0) {
      FileCalls.close(home);
    }
    if (st == null || mine == null) {
      FileCalls.close(this.root);
      throw new CasException("looking at the project's root and the store", 0);
    }
    this.rootDevice = st.dev();
    this.ingest = new Ingest(store, index, this.root, mine.uid(), journal);
    this.thread = new Thread(null, this::run, "vrift-ingest-" + projectId, 512 << 10);
    thread.setDaemon(true);
    thread.start();
  }

  /** A path (bytes relative to the root) changed. It is ingested once it was quiet for as long as the policy says. Never blocks for long. */
  public void changed(byte[] path) {
    synchronized (waiting) {
      Key key = new Key(path);
      waiting.remove(key); // the order is that of the last change
      if (waiting.size() < QUEUE_MAX) {
        lastChange = now();
        waiting.put(key, lastChange);
        waiting.notifyAll();
      }
    }
  }

  private static long now() {
    return System.nanoTime() / 1_000_000;
  }

  private void run() {
    FileCalls.idlePriority();
    store.sweepTemporaries();
    Collector.recoverIfIdle(store);
    synchronized (running) {
      if (!closed && (!referencesGood() || PendingJournal.left(store, projectId))) {
        writeReferences(); // lost or damaged: until they are there, nobody collects
      }
    }
    boolean unwritten = false;
    try {
      while (!closed) {
        List<byte[]> quiet = takeQuiet();
        if (quiet.isEmpty()) {
          if (unwritten || !journal.isEmpty() && !session.getAsBoolean()) {
            synchronized (running) {
              writeReferences();
            }
            unwritten = false;
          }
          idle();
        } else {
          for (byte[] path : quiet) {
            unwritten |= background(path);
          }
          quiet.clear();
        }
      }
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
    }
  }

  /** Nothing to do: until something changes, or for a tick if something waits to be quiet. */
  private void idle() throws InterruptedException {
    synchronized (waiting) {
      if (!closed) {
        waiting.wait(!waiting.isEmpty() ? TICK_MS : journal.isEmpty() ? 0 : HELD_TICK_MS);
      }
    }
  }

  private List<byte[]> takeQuiet() {
    List<byte[]> out = new ArrayList<>();
    synchronized (waiting) {
      long before = now() - (now() - lastChange >= policy.quietMs() ? policy.quietMs() : IMPATIENT_MS);
      var all = waiting.entrySet().iterator();
      while (all.hasNext() && out.size() < 256) {
        var e = all.next();
        if (e.getValue() > before) {
          break;
        }
        out.add(e.getKey().path());
        all.remove();
      }
    }
    return out;
  }

  /** True if something was stored. Sleeps as the budget demands. */
  private boolean background(byte[] path) throws InterruptedException {
    Ingest.Outcome outcome;
    long read;
    long start = System.nanoTime();
    synchronized (running) {
      if (closed || noSpace(policy) != null) {
        return false;
      }
      long before = ingest.readBytes();
      outcome = ingest.file(path, policy);
      read = ingest.readBytes() - before;
    }
    if (outcome == Ingest.Outcome.YOUNG || outcome == Ingest.Outcome.CHANGED) {
      changed(path);
    }
    owedRestNs += Math.max(REST_FACTOR * (System.nanoTime() - start), policy.bytesPerSecond() == Long.MAX_VALUE ? 0 : read * 1_000_000_000L / policy.bytesPerSecond());
    if (owedRestNs > TimeUnit.MILLISECONDS.toNanos(REST_MIN_MS)) {
      Thread.sleep(Math.min(10_000, TimeUnit.NANOSECONDS.toMillis(owedRestNs)));
      owedRestNs = 0;
    }
    return outcome == Ingest.Outcome.STORED || outcome == Ingest.Outcome.ALREADY;
  }

  /** Why nothing more may be stored, or null. */
  private String noSpace(IngestPolicy p) {
    String why = full(p);
    stopped = why == null ? "" : why;
    return why;
  }

  private String full(IngestPolicy p) {
    long[] space = store.space();
    if (space != null && space[0] < p.minimumFree()) {
      return "less than " + (p.minimumFree() >> 20) + " MiB are free in " + store.dir();
    }
    long now = now();
    if (now - usageRead > USAGE_MS) {
      usageRead = now;
      usage = StoreUsage.read(store);
      storedAtUsage = ingest.storedBytes();
    }
    long size = usage == null ? 0 : usage.bytes() + ingest.storedBytes() - storedAtUsage;
    return size < p.maxStore() ? null
        : "the store has reached its limit of " + (p.maxStore() >> 20) + " MiB (cas.max_bytes); what is not referenced goes by itself, or now with: vrift gc --run";
  }

  /** Why the last look found no room for more, or "". Any thread. */
  public String stopped() {
    return stopped;
  }

  private boolean referencesGood() {
    try {
      return References.read(References.file(store, projectId), null) == References.State.GOOD;
    } catch (IOException e) {
      return false;
    }
  }

  private void writeReferences() {
    try {
      References.write(store, projectId, rootPath, index);
      if (!session.getAsBoolean()) {
        journal.clear();
      }
    } catch (CasException e) {
      dev.vrift.platform.Log.warn("cas: " + e.getMessage());
    }
  }

  /**
   * Ingests the whole project. {@code all}: everything; else by the background policy but without its rate. Files that changed within the last
   * seconds are waited for once. Blocks until done; a second caller waits for the first.
   */
  public IngestReport ingest(boolean all) {
    IngestPolicy p = all ? policy.everything() : policy;
    synchronized (running) {
      long start = now();
      long readBefore = ingest.readBytes();
      long storedBefore = ingest.storedBytes();
      Map<Ingest.Outcome, Long> counts = new EnumMap<>(Ingest.Outcome.class);
      List<byte[]> again = new ArrayList<>();
      String stopped = walk(p, counts, again);
      if (stopped.isEmpty() && !again.isEmpty() && sleep(p.minimumAgeMs())) {
        for (byte[] path : closed ? List.<byte[]>of() : again) {
          counts.merge(ingest.file(path, p), 1L, Long::sum);
        }
      } else {
        counts.merge(Ingest.Outcome.YOUNG, (long) again.size(), Long::sum);
      }
      writeReferences();
      long[] n = new long[Ingest.Outcome.values().length];
      counts.forEach((k, v) -> n[k.ordinal()] = v);
      if (n[Ingest.Outcome.FAILED.ordinal()] > 0 && stopped.isEmpty() && ingest.failure() != null) {
        stopped = "some files failed: " + ingest.failure().getMessage();
      }
      return new IngestReport(
          Arrays.stream(n).sum(), n[0], n[1], n[2], n[3], n[4], n[5], n[6], n[7], n[8], n[9], ingest.readBytes() - readBefore,
          ingest.storedBytes() - storedBefore, now() - start, stopped);
    }
  }

  private boolean sleep(long ms) {
    try {
      Thread.sleep(ms);
      return !closed;
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
      return false;
    }
  }

  private record Dir(byte[] path, int depth) {}

  /** Depth first, one open directory at a time, never onto another device. Returns why it stopped, or "". */
  private String walk(IngestPolicy p, Map<Ingest.Outcome, Long> counts, List<byte[]> again) {
    ArrayDeque<Dir> todo = new ArrayDeque<>();
    todo.push(new Dir(new byte[0], 0));
    while (!todo.isEmpty()) {
      Dir dir = todo.pop();
      String full = noSpace(p);
      if (full != null || closed) {
        return full != null ? full : "the daemon is stopping";
      }
      Iterable<FileCalls.Name> names = list(dir.path());
      if (names == null) {
        counts.merge(Ingest.Outcome.UNREADABLE, 1L, Long::sum);
        continue;
      }
      for (FileCalls.Name n : names) {
        if (closed) {
          return "the daemon is stopping";
        }
        byte[] path = join(dir.path(), n.name());
        if (n.type() == FileCalls.Name.TYPE_DIRECTORY || n.type() == FileCalls.Name.TYPE_UNKNOWN && isDirectory(path)) {
          if (path.length <= PATH_MAX && dir.depth() < DEPTH_MAX && !Ingest.excluded(path)) {
            todo.push(new Dir(path, dir.depth() + 1));
          }
        } else if (n.type() == FileCalls.Name.TYPE_REGULAR || n.type() == FileCalls.Name.TYPE_UNKNOWN) {
          Ingest.Outcome o = path.length > PATH_MAX ? Ingest.Outcome.EXCLUDED : ingest.file(path, p);
          if ((o == Ingest.Outcome.YOUNG || o == Ingest.Outcome.CHANGED) && again.size() < AGAIN_MAX) {
            again.add(path);
          } else {
            counts.merge(o, 1L, Long::sum);
          }
          if (o == Ingest.Outcome.FAILED && ingest.failure() != null && ingest.failure().full()) {
            return ingest.failure().getMessage();
          }
        }
      }
    }
    return "";
  }

  private boolean isDirectory(byte[] path) {
    FileStat st = FileCalls.stat(root, path, new int[1]);
    return st != null && st.isDirectory();
  }

  /** Null: unreadable. Empty: on another device. */
  private Iterable<FileCalls.Name> list(byte[] path) {
    int fd = path.length == 0 ? root : FileCalls.openBeneath(root, path, true);
    if (fd < 0) {
      return null;
    }
    try {
      FileStat st = FileCalls.stat(fd, null, new int[1]);
      return st != null && st.dev() != rootDevice ? List.of() : FileCalls.names(fd);
    } finally {
      if (fd != root) {
        FileCalls.close(fd);
      }
    }
  }

  private static byte[] join(byte[] dir, byte[] name) {
    if (dir.length == 0) {
      return name;
    }
    byte[] out = Arrays.copyOf(dir, dir.length + 1 + name.length);
    out[dir.length] = '/';
    System.arraycopy(name, 0, out, dir.length + 1, name.length);
    return out;
  }

  /** The project is forgotten: its references go, its blobs stay for others and for the collection of garbage. */
  public void forget() {
    References.remove(store, projectId);
  }

  /** Ends the thread; a run that is under way ends at its next file. */
  @Override
  public void close() {
    synchronized (waiting) {
      closed = true;
      waiting.notifyAll();
    }
    thread.interrupt();
    try {
      thread.join(TimeUnit.MILLISECONDS.toMillis(CLOSE_WAIT_MS));
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
    }
    synchronized (running) {
      journal.close();
      FileCalls.close(root);
    }
  }
}
