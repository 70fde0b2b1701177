package dev.vrift.cas;

import dev.vrift.platform.FileCalls;
import dev.vrift.platform.FileStat;
import dev.vrift.platform.Trouble;
import java.io.ByteArrayOutputStream;
import java.nio.file.Path;
import java.security.MessageDigest;

/** Reads blobs. Nobody gets a byte of a blob before all of it was found to be what its name says. Thread-safe. */
public final class VerifyingReader {
  private final ContentStore store;
  private final HotTier hot;

  public VerifyingReader(ContentStore store) {
    this(store, null);
  }

  /** {@code hot}: copies in memory, looked at first; null for none. */
  public VerifyingReader(ContentStore store, HotTier hot) {
    this.store = store;
    this.hot = hot;
  }

  /**
   * As {@link #read}; what is missing or bad is first stored again from any project that has it. For commands, not for daemons: other projects' files are
   * read.
   */
  public byte[] readOrHeal(Digest digest, int limit) throws CasException {
    byte[] content = read(digest, limit);
    try {
      boolean healed = content == null && new Healer(store).heal(java.util.Set.of(digest)).contains(digest);
      return healed ? read(digest, limit) : content;
    } catch (java.io.IOException e) {
      throw new CasException("reading the references (" + Trouble.of(e) + ")", 0);
    }
  }

  /** The content, or null if it is absent, bad (then quarantined) or longer than {@code limit} bytes. Throws when reading fails. */
  public byte[] read(Digest digest, int limit) throws CasException {
    byte[] kept = hot == null ? null : hot.get(digest, limit);
    if (kept != null) {
      return kept;
    }
    int fd = FileCalls.open(ContentStore.bytes(store.path(digest)), FileCalls.READ, 0);
    if (fd == FileCalls.ENOENT) {
      return null;
    }
    ContentStore.refuseUnlessStrange(digest, fd);
    try {
      FileStat st = fd < 0 ? null : FileCalls.stat(fd, null, new int[1]);
      if (st != null && st.isRegular() && st.size() > limit) {
        return null;
      }
      byte[] content = st != null && st.isRegular() ? slurp(fd, digest, st.size()) : null;
      if (content == null) {
        store.quarantine(digest, st);
      } else if (hot != null) {
        hot.put(digest, content);
      }
      return content;
    } finally {
      if (fd >= 0) {
        FileCalls.close(fd);
      }
    }
  }

  static byte[] slurp(int fd, Digest digest, long size) throws CasException {
    MessageDigest running = Digest.start();
    ByteArrayOutputStream out = new ByteArrayOutputStream((int) size);
    byte[] piece = new byte[FileCalls.PIECE];
    while (true) {
      int n = FileCalls.read(fd, piece);
      if (n < 0) {
        throw new CasException("reading " + digest, n);
      }
      if (n == 0) {
        return out.size() == size && Digest.finish(running).equals(digest) ? out.toByteArray() : null;
      }
      if (out.size() + n > size) {
        return null;
      }
      running.update(piece, 0, n);
      out.write(piece, 0, n);
    }
  }

  /**
   * Makes a new file with the content, mode 0600, under a name that must not exist: a copy or a clone, verified before it has the name.
   * False: the content is not there. Throws when the file cannot be made.
   */
  public boolean extract(Digest digest, Path target) throws CasException {
    int fd = FileCalls.open(ContentStore.bytes(store.path(digest)), FileCalls.READ, 0);
    if (fd < 0) {
      return false;
    }
    Path temporary = target.resolveSibling("." + target.getFileName() + ".vrift-" + ProcessHandle.current().pid());
    int out = FileCalls.open(ContentStore.bytes(temporary), FileCalls.CREATE_NEW, 0600);
    try {
      if (out < 0) {
        throw new CasException(temporary.toString(), out);
      }
      FileStat st = FileCalls.stat(fd, null, new int[1]);
      byte[] piece = new byte[FileCalls.PIECE];
      MessageDigest running = Digest.start();
      for (int n = FileCalls.read(fd, piece); n != 0; n = FileCalls.read(fd, piece)) {
        int w = n < 0 ? n : FileCalls.write(out, piece, n);
        if (w < 0) {
          throw new CasException("copying " + digest, w);
        }
        running.update(piece, 0, n);
      }
      if (!Digest.finish(running).equals(digest)) {
        store.quarantine(digest, st);
        return false;
      }
      int rc = FileCalls.publish(ContentStore.bytes(temporary), ContentStore.bytes(target));
      if (rc != 0) {
        throw new CasException(target.toString(), rc);
      }
      return true;
    } finally {
      FileCalls.close(fd);
      if (out >= 0) {
        FileCalls.close(out);
        FileCalls.unlink(ContentStore.bytes(temporary));
      }
    }
  }
}
