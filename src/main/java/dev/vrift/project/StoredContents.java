package dev.vrift.project;

import dev.vrift.cas.ContentIndex;
import dev.vrift.cas.Digest;
import dev.vrift.meta.MetaBatch;
import dev.vrift.meta.MetaException;
import dev.vrift.meta.MetaStore;
import dev.vrift.platform.FileStat;

/** The content index in the project's LMDB. One thread at a time. A failing store forgets: files are then looked at again. */
final class StoredContents implements ContentIndex, AutoCloseable {
  private static final int PENDING_BYTES = 64 << 10;
  private static final int ONE_RECORD = 16 << 10;

  private final MetaStore store;
  private final long epoch;
  private final MetaBatch pending = new MetaBatch(PENDING_BYTES);
  private final MetaBatch one = new MetaBatch(ONE_RECORD);

  StoredContents(MetaStore store, long epoch) {
    this.store = store;
    this.epoch = epoch;
  }

  @Override
  public Known find(byte[] path, FileStat stat) {
    try {
      if (!store.get(path, one)) {
        return null;
      }
    } catch (MetaException e) {
      return null;
    }
    Known[] out = new Known[1];
    one.forEach(
        i -> {
          boolean same = i.stat().dev() == 0 || i.stat().dev() == stat.dev();
          if (i.content() != null && same && sameVersion(i.stat(), stat)) {
            out[0] = new Known(Digest.of(i.content()), i.stored());
          }
        });
    return out[0];
  }

  private static boolean sameVersion(FileStat a, FileStat b) {
    return a.ino() == b.ino() && a.size() == b.size() && a.mtime() == b.mtime() && a.mtimeNs() == b.mtimeNs() && a.ctime() == b.ctime() && a.ctimeNs() == b.ctimeNs();
  }

  @Override
  public void record(byte[] path, FileStat stat, Known known) {
    if (!pending.content(path, stat, known.digest().bytes(), known.stored(), epoch)) {
      flush();
      pending.content(path, stat, known.digest().bytes(), known.stored(), epoch);
    }
  }

  /** Commits what was recorded. */
  void flush() {
    try {
      store.apply(pending);
    } catch (MetaException e) {
      dev.vrift.platform.Log.warn("contents of some files were not remembered: " + e.getMessage());
    }
    pending.clear();
  }

  @Override
  public void forEach(Visitor visitor) {
    flush();
    try {
      store.loadAll(
          (address, length) -> {
            MetaBatch.forEach(
                address,
                length,
                i -> {
                  if (i.content() != null) {
                    visitor.visit(i.path(), i.stat(), new Known(Digest.of(i.content()), i.stored()));
                  }
                });
            return true;
          });
    } catch (MetaException e) {
      dev.vrift.platform.Log.warn("the contents of the project's files could not all be read: " + e.getMessage());
    }
  }

  @Override
  public void close() {
    flush();
    pending.close();
    one.close();
  }
}
