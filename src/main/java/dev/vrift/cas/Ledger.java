package dev.vrift.cas;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.function.Predicate;

/**
 * Everything that projects reference or are publishing, as a collector reads it: the first 8 bytes of each digest, so that a million take 8 MB. Two digests
 * that begin alike count as one; that can only keep a blob. Immutable once read.
 */
final class Ledger {
  private static final int START = 1024;

  private long[] prefixes = new long[START];
  private int count;
  private final List<String> damaged = new ArrayList<>();

  private Ledger() {}

  /** Digests for which {@code wanted} holds (a first byte is enough to ask). Throws when a file cannot be read: nothing is known then. */
  static Ledger read(ContentStore store, Predicate<byte[]> wanted) throws IOException {
    Ledger l = new Ledger();
    // Pending files first: an ingest that writes its references and then removes its pending file is seen in one of them.
    for (String name : ContentStore.names(store.references())) {
      if (name.contains(PendingJournal.MARK)) {
        PendingJournal.read(store.references().resolve(name), d -> l.add(d, wanted));
      }
    }
    for (String id : References.projects(store)) {
      if (References.read(References.file(store, id), (digest, size, path) -> l.add(digest, wanted)) == References.State.DAMAGED) {
        l.damaged.add(id);
      }
    }
    Arrays.sort(l.prefixes, 0, l.count);
    return l;
  }

  /** An upper bound for the number of records. */
  static long sizeHint(ContentStore store) {
    long bytes = 0;
    for (String name : ContentStore.names(store.references())) {
      try {
        bytes += Files.size(store.references().resolve(name));
      } catch (IOException e) {
        continue; // gone: its successor is counted next time
      }
    }
    return bytes / Digest.BYTES;
  }

  private void add(byte[] digest, Predicate<byte[]> wanted) {
    if (wanted.test(digest)) {
      if (count == prefixes.length) {
        prefixes = Arrays.copyOf(prefixes, 2 * count);
      }
      prefixes[count++] = prefix(digest);
    }
  }

  static long prefix(byte[] digest) {
    return ByteBuffer.wrap(digest).order(ByteOrder.LITTLE_ENDIAN).getLong();
  }

  boolean names(Digest digest) {
    return Arrays.binarySearch(prefixes, 0, count, prefix(digest.bytes())) >= 0;
  }

  /** Projects whose references do not check: it is not known what they need. */
  List<String> damaged() {
    return damaged;
  }

  /** For the age of a ledger file, ms since the epoch; 0 if it is gone. */
  static long written(Path file) {
    try {
      return Files.getLastModifiedTime(file).toMillis();
    } catch (IOException e) {
      return 0;
    }
  }
}
