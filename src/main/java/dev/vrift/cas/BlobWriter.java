package dev.vrift.cas;

import dev.vrift.platform.FaultPoint;
import dev.vrift.platform.FileCalls;
import dev.vrift.platform.FileStat;
import java.nio.file.Path;
import java.security.MessageDigest;

/** Puts the content of an open file into a {@link ContentStore}: clone or copy to a temporary, hash the temporary, publish. One thread. */
final class BlobWriter {
  /** @param added false: the content was there already */
  record Stored(Digest digest, long size, boolean added, boolean cloned) {}

  /** Asked between hashing and publishing: is the source still what it was? */
  interface Condition {
    boolean holds();
  }

  private final ContentStore store;
  private final PendingJournal journal;
  private boolean cloneWorks = true; // until it was tried

  /** {@code journal}: told of each digest before it is published; null only where a reference exists already. */
  BlobWriter(ContentStore store, PendingJournal journal) {
    this.store = store;
    this.journal = journal;
  }

  /**
   * {@code fd} is at its beginning and {@code size} what its stat said. Null: the condition failed, or the file had another size; nothing was
   * published. The temporary is gone in every case.
   */
  Stored store(int fd, long size, Condition unchanged) throws CasException {
    return store(fd, size, null, unchanged);
  }

  /** The same, published only if the content is {@code only} (null: whatever it is). */
  Stored store(int fd, long size, Digest only, Condition unchanged) throws CasException {
    Path temporary = store.newTemporary();
    int out = FileCalls.open(ContentStore.bytes(temporary), FileCalls.CREATE_NEW, ContentStore.TEMPORARY_MODE);
    if (out < 0) {
      throw new CasException(temporary.toString(), out);
    }
    boolean published = false;
    try {
      boolean cloned = cloneWorks && FileCalls.clone(fd, out) == 0;
      cloneWorks &= cloned || size == 0; // asked once
      Digest digest = cloned ? hashFromStart(out) : copy(fd, out, size);
      FileStat made = FileCalls.stat(out, null, new int[1]);
      if (digest == null || made == null || made.size() != size || only != null && !only.equals(digest) || !unchanged.holds()) {
        return null;
      }
      FaultPoint.BLOB_COPIED.hit();
      int rc = FileCalls.chmod(out, ContentStore.BLOB_MODE);
      if (rc != 0) {
        throw new CasException(temporary.toString(), rc);
      }
      if (journal != null) {
        journal.add(digest);
      }
      FaultPoint.BLOB_SEALED.hit();
      published = true;
      return new Stored(digest, size, store.publish(temporary, digest, size), cloned);
    } finally {
      FileCalls.close(out);
      if (!published) {
        FileCalls.unlink(ContentStore.bytes(temporary));
      }
    }
  }

  private static Digest hashFromStart(int fd) throws CasException {
    int rc = FileCalls.rewind(fd);
    if (rc != 0) {
      throw new CasException("rewinding", rc);
    }
    return ContentStore.hash(fd);
  }

  /** Hashes exactly the bytes it writes. Null if the source is longer than it was. */
  private static Digest copy(int from, int to, long size) throws CasException {
    MessageDigest running = Digest.start();
    byte[] piece = new byte[FileCalls.PIECE];
    long done = 0;
    while (true) {
      int n = FileCalls.read(from, piece);
      if (n < 0) {
        throw new CasException("reading", n);
      }
      if (n == 0) {
        return Digest.finish(running);
      }
      done += n;
      if (done > size) {
        return null;
      }
      int w = FileCalls.write(to, piece, n);
      if (w < 0) {
        throw new CasException("writing", w);
      }
      running.update(piece, 0, n);
    }
  }
}
