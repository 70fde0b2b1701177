package dev.vrift.cas;

import dev.vrift.platform.FileCalls;
import dev.vrift.platform.FileStat;
import dev.vrift.platform.Processes;
import dev.vrift.platform.Trouble;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.HashSet;
import java.util.List;
import java.util.PriorityQueue;
import java.util.Set;

/**
 * Takes blobs that nobody references out of a store, while any number of processes go on ingesting (docs/CONTENTS.md has the proof). One at a time per
 * store; a second one says so. May be killed at any instruction. One thread.
 */
public final class Collector {
  /** Ledger entries held at once: more take several passes. */
  private static final long PER_PASS = 1 << 20;
  private static final int MAX_PASSES = 256;
  /** Blobs taken in one run at most; the oldest. */
  static final int MAX_TAKEN = 50_000;
  private static final int BATCH = 2048;
  private static final long STALE_PROJECT_MS = 30L * 24 * 3_600_000;
  private static final long QUARANTINE_MS = 7L * 24 * 3_600_000;
  private static final int QUARANTINE_FILES = 256;

  /** A blob that may go. */
  private record Candidate(Digest digest, long size, long mtimeMs) {}

  private final ContentStore store;
  private final long graceMs;
  /** For tests: runs between the move to trash and the second look at the ledger. */
  Runnable beforeSecondLook = () -> {};

  private long blobs;
  private long bytes;
  private long unreferenced;
  private long unreferencedBytes;
  private long taken;
  private long takenBytes;
  private long spared;

  /** {@code graceMs}: a blob used within this time is never taken; a belt beside the ledger. */
  public Collector(ContentStore store, long graceMs) {
    this.store = store;
    this.graceMs = graceMs;
  }

  /** Runs to the end. Throws when the store or the ledger cannot be read; what was moved by then is moved back by the next run. */
  public CollectionReport collect(CollectionPolicy policy) throws CasException {
    long start = System.nanoTime();
    int lock = Processes.lock(ContentStore.bytes(store.collectorLock()));
    if (lock < 0) {
      return report(policy, 0, 0, List.of(), start, "another collection is at work (error " + -lock + " for " + store.collectorLock() + ")");
    }
    try {
      long recovered = recover(store);
      List<String> stale = staleProjects(policy.dryRun());
      List<Candidate> candidates = new ArrayList<>();
      String refused = find(policy, stale, candidates);
      if (refused.isEmpty()) {
        take(choose(policy, candidates), policy.dryRun());
      }
      long dropped = policy.dryRun() ? 0 : boundQuarantine();
      StoreUsage.write(store, bytes - (policy.dryRun() ? 0 : takenBytes), unreferencedBytes - (policy.dryRun() ? 0 : takenBytes));
      return report(policy, recovered, dropped, stale, start, refused);
    } catch (IOException e) {
      throw new CasException("reading the ledger of " + store.dir() + " failed (" + Trouble.of(e) + "); nothing more was taken", 0);
    } finally {
      Processes.close(lock);
    }
  }

  private CollectionReport report(CollectionPolicy policy, long recovered, long dropped, List<String> stale, long start, String refused) {
    return new CollectionReport(
        policy.dryRun(), blobs, bytes, unreferenced, unreferencedBytes, taken, takenBytes, spared, recovered, dropped, stale,
        bytes - (policy.dryRun() ? 0 : takenBytes), (System.nanoTime() - start) / 1_000_000, refused);
  }

  /** Puts back what a collector that died had moved away. Only with the lock held; see {@link #recoverIfIdle}. */
  private static long recover(ContentStore store) {
    long n = 0;
    for (String name : ContentStore.names(store.trash())) {
      int dot = name.indexOf('.');
      Digest d = dot < 0 ? null : Digest.parse(name.substring(0, dot));
      Path aside = store.trash().resolve(name);
      if (d == null) {
        store.quarantineStray(aside);
      } else if (FileCalls.publish(ContentStore.bytes(aside), ContentStore.bytes(store.path(d))) == 0) {
        n++;
      } else {
        FileCalls.unlink(ContentStore.bytes(aside)); // there is one at its place
      }
    }
    return n;
  }

  /** The same when no collector is at work; for whoever opens a store. Number put back. */
  static long recoverIfIdle(ContentStore store) {
    if (ContentStore.names(store.trash()).isEmpty()) {
      return 0;
    }
    int lock = Processes.lock(ContentStore.bytes(store.collectorLock()));
    if (lock < 0) {
      return 0;
    }
    long n = recover(store);
    Processes.close(lock);
    return n;
  }

  /** Projects whose root has been gone for long; removed from the ledger unless it is a dry run. */
  private List<String> staleProjects(boolean dryRun) throws IOException {
    List<String> out = new ArrayList<>();
    for (String id : References.projects(store)) {
      Path file = References.file(store, id);
      boolean old = System.currentTimeMillis() - Ledger.written(file) > STALE_PROJECT_MS;
      byte[] root = old && References.read(file, null) == References.State.GOOD ? References.root(file) : null;
      int fd = root == null ? 0 : FileCalls.open(root, FileCalls.DIRECTORY, 0);
      if (fd > 0) {
        FileCalls.close(fd);
      } else if (fd == FileCalls.ENOENT) {
        out.add(new String(root, StandardCharsets.UTF_8));
        if (!dryRun) {
          References.remove(store, id);
          removeJournals(id);
        }
      }
    }
    return out;
  }

  private void removeJournals(String id) {
    for (String name : ContentStore.names(store.references())) {
      if (name.startsWith(id + PendingJournal.MARK)) {
        FileCalls.unlink(ContentStore.bytes(store.references().resolve(name)));
      }
    }
  }

  /** Fills in what nobody references, and the sums. Returns why nothing may be taken, or "". */
  private String find(CollectionPolicy policy, List<String> stale, List<Candidate> out) throws IOException {
    int passes = 1;
    while (passes < MAX_PASSES && Ledger.sizeHint(store) / passes > PER_PASS) {
      passes *= 2;
    }
    PriorityQueue<Candidate> oldest = new PriorityQueue<>(Comparator.comparingLong(Candidate::mtimeMs).reversed());
    for (int pass = 0; pass < passes; pass++) {
      int mine = pass;
      int of = passes;
      Ledger ledger = Ledger.read(store, d -> (d[0] & 0xFF) % of == mine);
      if (!ledger.damaged().isEmpty()) {
        return "the references of " + String.join(", ", ledger.damaged()) + " in " + store.references()
            + " are damaged, so it is not known what may go. The project's daemon writes them anew: vrift restart there; or remove the file if the project is gone";
      }
      for (String shard : store.shards()) {
        if (Integer.parseInt(shard, 16) % of == mine) {
          scan(shard, ledger, policy, oldest);
        }
      }
    }
    out.addAll(oldest);
    return "";
  }

  private void scan(String shard, Ledger ledger, CollectionPolicy policy, PriorityQueue<Candidate> oldest) {
    int fd = FileCalls.open(ContentStore.bytes(store.blobs().resolve(shard)), FileCalls.DIRECTORY, 0);
    Iterable<FileCalls.Name> names = fd < 0 ? null : FileCalls.names(fd);
    long now = System.currentTimeMillis();
    for (FileCalls.Name n : names == null ? List.<FileCalls.Name>of() : names) {
      Digest d = Digest.parse(shard + new String(n.name(), StandardCharsets.ISO_8859_1));
      FileStat st = d == null ? null : FileCalls.stat(fd, n.name(), new int[1]);
      if (st == null || !st.isRegular()) {
        continue;
      }
      blobs++;
      bytes += st.size();
      long used = st.mtime() * 1000 + st.mtimeNs() / 1_000_000;
      if (!ledger.names(d) && now - used >= Math.max(graceMs, policy.olderThanMs())) {
        unreferenced++;
        unreferencedBytes += st.size();
        oldest.add(new Candidate(d, st.size(), used));
        if (oldest.size() > MAX_TAKEN) {
          oldest.poll(); // the youngest waits for the next run
        }
      }
    }
    if (fd >= 0) {
      FileCalls.close(fd);
    }
  }

  private List<Candidate> choose(CollectionPolicy policy, List<Candidate> candidates) {
    candidates.sort(Comparator.comparingLong(Candidate::mtimeMs));
    if (policy.maxBytes() < 0) {
      return candidates;
    }
    List<Candidate> out = new ArrayList<>();
    long left = bytes;
    for (Candidate c : candidates) {
      if (left <= policy.maxBytes()) {
        break;
      }
      out.add(c);
      left -= c.size();
    }
    return out;
  }

  private void take(List<Candidate> chosen, boolean dryRun) throws IOException {
    for (int at = 0; at < chosen.size(); at += BATCH) {
      List<Candidate> batch = chosen.subList(at, Math.min(chosen.size(), at + BATCH));
      if (dryRun) {
        taken += batch.size();
        takenBytes += batch.stream().mapToLong(Candidate::size).sum();
      } else {
        takeBatch(batch);
      }
    }
  }

  /** Away first, then the second look at the ledger: see the proof. */
  private void takeBatch(List<Candidate> batch) throws IOException {
    Set<Long> prefixes = new HashSet<>();
    List<Candidate> moved = new ArrayList<>();
    for (Candidate c : batch) {
      if (FileCalls.publish(ContentStore.bytes(store.path(c.digest())), ContentStore.bytes(aside(c))) == 0) {
        moved.add(c);
        prefixes.add(Ledger.prefix(c.digest().bytes()));
      }
    }
    beforeSecondLook.run();
    Ledger again = null; // unreadable: everything goes back
    try {
      again = Ledger.read(store, d -> prefixes.contains(Ledger.prefix(d)));
    } finally {
      settle(moved, again != null && again.damaged().isEmpty() ? again : null);
    }
  }

  private void settle(List<Candidate> moved, Ledger again) {
    for (Candidate c : moved) {
      if (again == null || again.names(c.digest()) || touched(c)) {
        putBack(c);
      } else if (FileCalls.unlink(ContentStore.bytes(aside(c))) == 0) {
        taken++;
        takenBytes += c.size();
      }
    }
  }

  private Path aside(Candidate c) {
    return store.trash().resolve(c.digest().hex() + "." + c.mtimeMs());
  }

  private boolean touched(Candidate c) {
    long now = Ledger.written(aside(c));
    return now != 0 && now != c.mtimeMs();
  }

  private void putBack(Candidate c) {
    spared++;
    if (FileCalls.publish(ContentStore.bytes(aside(c)), ContentStore.bytes(store.path(c.digest()))) != 0) {
      FileCalls.unlink(ContentStore.bytes(aside(c))); // whoever needed it has published its own
    }
  }

  private long boundQuarantine() {
    record Old(Path file, long time) {}

    List<Old> all = new ArrayList<>();
    for (String name : ContentStore.names(store.quarantined())) {
      Path p = store.quarantined().resolve(name);
      all.add(new Old(p, setAside(p)));
    }
    all.sort(Comparator.comparingLong(Old::time).reversed());
    long dropped = 0;
    long now = System.currentTimeMillis();
    for (int i = 0; i < all.size(); i++) {
      if (i >= QUARANTINE_FILES || now - all.get(i).time() > QUARANTINE_MS) {
        dropped += FileCalls.unlink(ContentStore.bytes(all.get(i).file())) == 0 ? 1 : 0;
      }
    }
    return dropped;
  }

  /** When a file came to quarantine: a rename sets ctime. */
  private static long setAside(Path p) {
    try {
      return ((java.nio.file.attribute.FileTime) Files.getAttribute(p, "unix:ctime", LinkOption.NOFOLLOW_LINKS)).toMillis();
    } catch (IOException e) {
      return 0;
    }
  }
}
