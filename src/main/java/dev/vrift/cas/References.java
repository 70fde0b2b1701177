package dev.vrift.cas;

import dev.vrift.platform.FileCalls;
import java.io.BufferedInputStream;
import java.io.BufferedOutputStream;
import java.io.DataInputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.security.DigestOutputStream;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.regex.Pattern;

/**
 * What each project keeps in the store: {@code refs/<project id>}, replaced whole by rename. Format: "VRREFS01", then per stored file 32 bytes of digest
 * and 8 of size (little-endian; a content that several files have stands there as often), then the SHA-256 of everything before. A file that
 * does not check is as if it were absent.
 */
final class References {
  private static final byte[] MAGIC = {'V', 'R', 'R', 'E', 'F', 'S', '0', '1'};
  private static final int RECORD = Digest.BYTES + 8;
  private static final Pattern ID = Pattern.compile("[0-9a-f]{16}");

  private References() {}

  static void write(ContentStore store, String projectId, ContentIndex index) throws CasException {
    if (!ID.matcher(projectId).matches()) {
      throw new CasException("not a project id: " + projectId, 0);
    }
    Path temporary = store.newTemporary();
    var running = Digest.start();
    ByteBuffer record = ByteBuffer.allocate(RECORD).order(ByteOrder.LITTLE_ENDIAN);
    try {
      IOException[] failed = new IOException[1];
      try (OutputStream out = new BufferedOutputStream(new DigestOutputStream(Files.newOutputStream(temporary, StandardOpenOption.CREATE_NEW), running))) {
        out.write(MAGIC);
        index.forEach(
            (path, stat, known) -> {
              try {
                if (known.stored() && failed[0] == null) {
                  record.put(0, known.digest().bytes()).putLong(Digest.BYTES, stat.size());
                  out.write(record.array());
                }
              } catch (IOException e) {
                failed[0] = e;
              }
            });
      }
      if (failed[0] != null) {
        throw failed[0];
      }
      Files.write(temporary, Digest.finish(running).bytes(), StandardOpenOption.APPEND);
      int rc = FileCalls.rename(ContentStore.bytes(temporary), ContentStore.bytes(store.references().resolve(projectId)));
      if (rc != 0) {
        throw new CasException("writing the references of " + projectId, rc);
      }
    } catch (IOException e) {
      throw new CasException("writing the references of " + projectId + " (" + e + ")", 0);
    } finally {
      FileCalls.unlink(ContentStore.bytes(temporary));
    }
  }

  /** Forgets a project. */
  static void remove(ContentStore store, String projectId) {
    if (ID.matcher(projectId).matches()) {
      FileCalls.unlink(ContentStore.bytes(store.references().resolve(projectId)));
    }
  }

  /** One record: the first 8 bytes of the digest (enough to tell contents apart in statistics), its first byte, the size. */
  interface Visitor {
    void visit(long prefix, int firstByte, long size);
  }

  /** The files that check. */
  static List<Path> good(ContentStore store) {
    List<Path> out = new ArrayList<>();
    for (String id : ContentStore.names(store.references())) {
      Path file = store.references().resolve(id);
      if (ID.matcher(id).matches() && checks(file)) {
        out.add(file);
      }
    }
    return out;
  }

  static long count(Path file) throws IOException {
    return (Files.size(file) - MAGIC.length - Digest.BYTES) / RECORD;
  }

  static void forEach(Path file, Visitor visitor) throws IOException {
    try (DataInputStream in = new DataInputStream(new BufferedInputStream(Files.newInputStream(file)))) {
      in.skipNBytes(MAGIC.length);
      byte[] record = new byte[RECORD];
      ByteBuffer b = ByteBuffer.wrap(record).order(ByteOrder.LITTLE_ENDIAN);
      for (long left = count(file); left > 0; left--) {
        in.readFully(record);
        visitor.visit(b.getLong(0), record[0] & 0xFF, b.getLong(Digest.BYTES));
      }
    }
  }

  private static boolean checks(Path file) {
    try (DataInputStream in = new DataInputStream(new BufferedInputStream(Files.newInputStream(file)))) {
      long left = Files.size(file) - Digest.BYTES;
      if (left < MAGIC.length || (left - MAGIC.length) % RECORD != 0) {
        return false;
      }
      var running = Digest.start();
      byte[] piece = new byte[FileCalls.PIECE];
      boolean first = true;
      while (left > 0) {
        int n = (int) Math.min(piece.length, left);
        in.readFully(piece, 0, n);
        running.update(piece, 0, n);
        if (first && !Arrays.equals(piece, 0, MAGIC.length, MAGIC, 0, MAGIC.length)) {
          return false;
        }
        first = false;
        left -= n;
      }
      return Arrays.equals(Digest.finish(running).bytes(), in.readNBytes(Digest.BYTES));
    } catch (IOException e) {
      return false;
    }
  }
}
