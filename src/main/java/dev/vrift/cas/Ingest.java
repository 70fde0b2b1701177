package dev.vrift.cas;

import dev.vrift.platform.FileCalls;
import dev.vrift.platform.FileStat;
import java.nio.charset.StandardCharsets;

/**
 * Ingests single files of one project. A file is opened beneath the root without following any link, copied or cloned to a temporary, the temporary is
 * hashed, and the result counts only if device, inode, size, mtime and ctime of the source are what they were and ctime is old
 * enough. One thread.
 */
final class Ingest {
  enum Outcome {
    /** Put into the store. */ STORED,
    /** The store had it. */ ALREADY,
    /** Hashed only: too large for a copy. */ HASHED,
    /** This version was known. */ KNOWN,
    /** A secret by its name. */ SECRET,
    /** Not a regular file of ours, or in a directory that is left out. */ EXCLUDED,
    /** Changed too recently. */ YOUNG,
    /** Changed while it was read: nothing recorded. */ CHANGED,
    /** Gone or unreadable. */ UNREADABLE,
    /** The store or the disk failed. */ FAILED
  }

  private final ContentStore store;
  private final ContentIndex index;
  private final int root;
  private final BlobWriter writer;
  private final int uid;
  private long readBytes;
  private long storedBytes;
  private CasException failure;
  /** A clone succeeded once between this project and the store: then size does not matter. */
  private boolean cloneIsFree;
  /** For tests: runs after the source was read and before it is looked at again. */
  Runnable beforeSecondLook = () -> {};

  Ingest(ContentStore store, ContentIndex index, int root, int uid, PendingJournal journal) {
    this.store = store;
    this.index = index;
    this.root = root;
    this.uid = uid;
    this.writer = new BlobWriter(store, journal);
  }

  long readBytes() {
    return readBytes;
  }

  long storedBytes() {
    return storedBytes;
  }

  /** The reason of the last FAILED; null if there was none. */
  CasException failure() {
    return failure;
  }

  /** Never goes into these: ours, and stores that keep contents under their hash themselves. */
  static boolean excluded(byte[] path) {
    String p = "/" + new String(path, StandardCharsets.ISO_8859_1) + "/";
    return p.startsWith("/.vrift/") || p.contains("/.vrift/staging/") || p.contains("/.git/objects/") || p.contains("/.hg/store/") || p.contains("/.svn/pristine/");
  }

  /** {@code path}: bytes relative to the root. Never throws for what a file is or does. */
  Outcome file(byte[] path, IngestPolicy policy) {
    if (SecretNames.matches(path)) {
      return Outcome.SECRET;
    }
    if (excluded(path)) {
      return Outcome.EXCLUDED;
    }
    int fd = FileCalls.openBeneath(root, path, false);
    if (fd < 0) {
      return Outcome.UNREADABLE;
    }
    try {
      return opened(path, fd, policy);
    } catch (CasException e) {
      failure = e;
      return Outcome.FAILED;
    } finally {
      FileCalls.close(fd);
    }
  }

  private Outcome opened(byte[] path, int fd, IngestPolicy policy) throws CasException {
    FileStat st = FileCalls.stat(fd, null, new int[1]);
    if (st == null || !st.isRegular() || st.uid() != uid) {
      return Outcome.EXCLUDED;
    }
    boolean wanted = st.size() <= policy.copyLimit() || cloneIsFree;
    ContentIndex.Known known = index.find(path, st);
    if (known != null && (known.stored() ? store.seems(known.digest(), st.size()) : !wanted)) {
      return Outcome.KNOWN;
    }
    if (!oldEnough(st, policy)) {
      return Outcome.YOUNG;
    }
    readBytes += st.size();
    if (!wanted) {
      Digest digest = ContentStore.hash(fd);
      if (!unchanged(fd, path, st)) {
        return Outcome.CHANGED;
      }
      index.record(path, st, new ContentIndex.Known(digest, false));
      return Outcome.HASHED;
    }
    BlobWriter.Stored stored = writer.store(fd, st.size(), () -> unchanged(fd, path, st));
    if (stored == null) {
      return Outcome.CHANGED;
    }
    cloneIsFree |= stored.cloned();
    index.record(path, st, new ContentIndex.Known(stored.digest(), true));
    storedBytes += stored.added() ? stored.size() : 0;
    return stored.added() ? Outcome.STORED : Outcome.ALREADY;
  }

  private static boolean oldEnough(FileStat st, IngestPolicy policy) {
    long age = System.currentTimeMillis() - (st.ctime() * 1000 + st.ctimeNs() / 1_000_000);
    return age >= policy.minimumAgeMs();
  }

  /** The descriptor and the name must both still be the version that was read. */
  private boolean unchanged(int fd, byte[] path, FileStat before) {
    beforeSecondLook.run();
    FileStat byDescriptor = FileCalls.stat(fd, null, new int[1]);
    FileStat byName = FileCalls.stat(root, path, new int[1]);
    return byDescriptor != null && byName != null && byDescriptor.sameVersion(before) && byName.sameVersion(before);
  }
}
