package dev.vrift.cas;

import dev.vrift.platform.FileCalls;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.HashMap;
import java.util.Map;
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
    var records = new java.io.ByteArrayOutputStream();
    records.writeBytes(MAGIC);
    ByteBuffer size = ByteBuffer.allocate(8).order(ByteOrder.LITTLE_ENDIAN);
    index.forEach(
        (path, stat, known) -> {
          if (known.stored()) {
            records.writeBytes(known.digest().bytes());
            records.writeBytes(size.putLong(0, stat.size()).array());
          }
        });
    var running = Digest.start();
    running.update(records.toByteArray());
    records.writeBytes(Digest.finish(running).bytes());
    Path temporary = store.newTemporary();
    try {
      Files.write(temporary, records.toByteArray());
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

  /** Project id → how often it names each content; {@code sizes} gets the size of each. */
  static Map<String, Map<Digest, Integer>> read(ContentStore store, Map<Digest, Long> sizes) {
    Map<String, Map<Digest, Integer>> out = new HashMap<>();
    for (String id : ContentStore.names(store.references())) {
      byte[] b = ID.matcher(id).matches() ? readOne(store.references().resolve(id)) : null;
      if (b != null) {
        Map<Digest, Integer> counts = new HashMap<>();
        ByteBuffer in = ByteBuffer.wrap(b).order(ByteOrder.LITTLE_ENDIAN);
        for (int at = MAGIC.length; at < b.length - Digest.BYTES; at += RECORD) {
          Digest d = Digest.of(Arrays.copyOfRange(b, at, at + Digest.BYTES));
          counts.merge(d, 1, Integer::sum);
          sizes.put(d, in.getLong(at + Digest.BYTES));
        }
        out.put(id, counts);
      }
    }
    return out;
  }

  private static byte[] readOne(Path file) {
    try {
      byte[] b = Files.readAllBytes(file);
      int records = b.length - MAGIC.length - Digest.BYTES;
      if (records < 0 || records % RECORD != 0 || !Arrays.equals(Arrays.copyOf(b, MAGIC.length), MAGIC)) {
        return null;
      }
      var running = Digest.start();
      running.update(b, 0, b.length - Digest.BYTES);
      return Arrays.equals(Digest.finish(running).bytes(), Arrays.copyOfRange(b, b.length - Digest.BYTES, b.length)) ? b : null;
    } catch (IOException e) {
      return null;
    }
  }
}
