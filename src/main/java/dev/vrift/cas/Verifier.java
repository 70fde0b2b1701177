package dev.vrift.cas;

import dev.vrift.platform.FileCalls;
import dev.vrift.platform.FileStat;
import dev.vrift.platform.Trouble;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collections;
import java.util.HashSet;
import java.util.List;
import java.util.Random;
import java.util.Set;
import java.util.concurrent.TimeUnit;

/**
 * Reads blobs and compares them with their names, sets aside what is not what it says, and heals from every project's files. Used by {@code vrift cas
 * verify} and, in parts and slowly, by the keeper. One thread; may be killed at any instruction.
 */
public final class Verifier {
  /** Digests of each kind that are remembered: a small heap. */
  private static final int NAMED_MAX = 50_000;
  private static final long LINK_LOOK_MS = 50;

  private final ContentStore store;
  private final long bytesPerSecond;
  private final Random random;
  private final Set<Digest> bad = new HashSet<>();
  private final Set<Digest> missing = new HashSet<>();
  private final List<String> strays = new ArrayList<>();
  private long checked;

  /** {@code bytesPerSecond}: bound for reading, Long.MAX_VALUE for none. */
  public Verifier(ContentStore store, long bytesPerSecond) {
    this(store, bytesPerSecond, new Random());
  }

  Verifier(ContentStore store, long bytesPerSecond, Random random) {
    this.store = store;
    this.bytesPerSecond = bytesPerSecond;
    this.random = random;
  }

  /** {@code part} of all blobs, 0 to 1, but {@code most} at most; {@code all}: blobs that are referenced and missing are looked for too. */
  public VerifyReport verify(double part, long most, boolean all) throws CasException {
    long start = System.nanoTime();
    try {
      strays("");
      List<String> shards = store.shards();
      Collections.shuffle(shards, random);
      for (String shard : shards) {
        if (checked < most) {
          shard(shard, part, most);
        }
      }
      if (all) {
        findMissing();
      }
      Set<Digest> wanted = new HashSet<>(bad);
      wanted.addAll(missing);
      Set<Digest> healed = wanted.isEmpty() ? Set.of() : new Healer(store).heal(wanted);
      return new VerifyReport(checked, texts(bad), texts(missing), texts(healed), List.copyOf(strays), (System.nanoTime() - start) / 1_000_000);
    } catch (IOException e) {
      throw new CasException("reading the references in " + store.references() + " failed (" + Trouble.of(e) + ")", 0);
    }
  }

  private void shard(String shard, double part, long most) throws CasException {
    strays(shard);
    for (Digest d : store.digests(shard)) {
      if (checked >= most || bad.size() >= NAMED_MAX) {
        return;
      }
      if (part >= 1 || random.nextDouble() < part) {
        checked++;
        check(d);
      }
    }
  }

  private void check(Digest d) throws CasException {
    long start = System.nanoTime();
    FileStat st = look(d);
    if (st != null && st.isRegular() && st.nlink() > 1) {
      pause(LINK_LOOK_MS); // a publishing without RENAME_NOREPLACE has two names for a moment
      st = look(d);
      if (st != null && st.nlink() > 1) {
        store.quarantine(d, st);
        bad.add(d);
        return;
      }
    }
    if (store.verify(d, -1) == ContentStore.Health.BAD) {
      bad.add(d);
    }
    if (st != null && bytesPerSecond != Long.MAX_VALUE) {
      long due = st.size() * 1_000_000_000L / bytesPerSecond - (System.nanoTime() - start);
      pause(TimeUnit.NANOSECONDS.toMillis(Math.max(0, due)));
    }
  }

  private FileStat look(Digest d) {
    int fd = FileCalls.open(ContentStore.bytes(store.path(d).getParent()), FileCalls.DIRECTORY, 0);
    FileStat st = fd < 0 ? null : FileCalls.stat(fd, ContentStore.bytes(store.path(d).getFileName()), new int[1]);
    if (fd >= 0) {
      FileCalls.close(fd);
    }
    return st;
  }

  private void strays(String shard) {
    for (Path p : store.strays(shard)) {
      if (store.quarantineStray(p) && strays.size() < NAMED_MAX) {
        strays.add(p.toString());
      }
    }
  }

  private void findMissing() throws IOException {
    for (String id : References.projects(store)) {
      References.read(
          References.file(store, id),
          (digest, size, path) -> {
            Digest d = Digest.of(digest);
            if (missing.size() < NAMED_MAX && !bad.contains(d) && !store.seems(d, size)) {
              missing.add(d);
            }
          });
    }
  }

  private static void pause(long ms) {
    try {
      Thread.sleep(ms);
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
    }
  }

  private static List<String> texts(Set<Digest> set) {
    return set.stream().map(Digest::toString).sorted().toList();
  }
}
