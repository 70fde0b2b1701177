package dev.vrift.cas;

import dev.vrift.platform.FileCalls;
import java.io.BufferedInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.concurrent.atomic.AtomicLong;
import java.util.function.Consumer;

/**
 * The digests that one ingesting service is publishing, or has published since its project's references were written:
 * {@code refs/<id>.pending.<pid>-<n>}, 32 bytes each. A digest is written here before its blob is looked for, which is what makes collecting safe without a
 * lock (docs/CONTENTS.md). One thread. A record that was cut short belongs to a publishing that did not happen.
 */
final class PendingJournal implements AutoCloseable {
  static final String MARK = ".pending.";
  private static final AtomicLong COUNTER = new AtomicLong();

  private final ContentStore store;
  private final String projectId;
  private final Path file;
  private volatile FileChannel channel;
  private long end;

  PendingJournal(ContentStore store, String projectId) {
    this.store = store;
    this.projectId = projectId;
    this.file = store.references().resolve(projectId + MARK + ProcessHandle.current().pid() + "-" + COUNTER.incrementAndGet());
  }

  /** Returns when whoever reads the ledger from now on sees the digest. Throws when it could not be written: then nothing may be published. */
  void add(Digest digest) throws CasException {
    try {
      if (channel == null) {
        channel = FileChannel.open(file, StandardOpenOption.CREATE_NEW, StandardOpenOption.WRITE);
        end = 0;
      }
      ByteBuffer record = ByteBuffer.wrap(digest.bytes());
      while (record.hasRemaining()) {
        channel.write(record, end + record.position()); // by position: a record cut short by a full disk is written over
      }
      end += Digest.BYTES;
    } catch (IOException e) {
      throw new CasException("writing " + file + " (" + e.getMessage() + ")", String.valueOf(e.getMessage()).contains("No space") ? FileCalls.ENOSPC : 0);
    }
  }

  /** Are there journals of this project at all? At a start: a predecessor's. */
  static boolean left(ContentStore store, String projectId) {
    return ContentStore.names(store.references()).stream().anyMatch(n -> n.startsWith(projectId + MARK));
  }

  boolean isEmpty() {
    return channel == null;
  }

  /** The references were written: what is here is in them. Journals of dead predecessors of this project go too. */
  void clear() {
    close();
    FileCalls.unlink(ContentStore.bytes(file));
    channel = null;
    for (String name : ContentStore.names(store.references())) {
      if (name.startsWith(projectId + MARK) && !alive(name)) {
        FileCalls.unlink(ContentStore.bytes(store.references().resolve(name)));
      }
    }
  }

  private static boolean alive(String name) {
    String maker = name.substring(name.lastIndexOf('.') + 1);
    int dash = maker.indexOf('-');
    try {
      return dash > 0 && ProcessHandle.of(Long.parseLong(maker.substring(0, dash))).isPresent();
    } catch (NumberFormatException e) {
      return false;
    }
  }

  /** Every digest in a journal; one that is gone meanwhile has none. Throws when reading fails. */
  static void read(Path file, Consumer<byte[]> visitor) throws IOException {
    try (InputStream in = new BufferedInputStream(Files.newInputStream(file, LinkOption.NOFOLLOW_LINKS), FileCalls.PIECE)) {
      for (byte[] d = in.readNBytes(Digest.BYTES); d.length == Digest.BYTES; d = in.readNBytes(Digest.BYTES)) {
        visitor.accept(d);
      }
    } catch (NoSuchFileException e) {
      return; // its project wrote the references, which are read after this
    }
  }

  /** Keeps the file: it holds what it names until a successor has written the references. */
  @Override
  public void close() {
    try {
      if (channel != null) {
        channel.close();
      }
    } catch (IOException e) {
      dev.vrift.platform.Log.warn("cas: closing " + file + ": " + e);
    }
  }
}
