package dev.vrift.cas;

import dev.vrift.platform.FileCalls;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * How large the store was when somebody last counted: {@code usage}, one line of text. Advice for those who ingest; a wrong number makes them stop early
 * or late, nothing else.
 *
 * @param bytes of all blobs
 * @param unreferenced of those nobody references
 */
public record StoreUsage(long bytes, long unreferenced) {
  private static final Pattern LINE = Pattern.compile("bytes=(\\d{1,18}) unreferenced=(\\d{1,18})\\s*");
  private static final int MAX_BYTES = 200;
  /** The default limit: this, or a tenth of the disk. */
  private static final long STANDARD_LIMIT = 10L << 30;
  private static final int DISK_PART = 10;

  private static Path file(ContentStore store) {
    return store.dir().resolve("usage");
  }

  /** Null: never counted. */
  public static StoreUsage read(ContentStore store) {
    try {
      Path f = file(store);
      Matcher m = Files.size(f) > MAX_BYTES ? null : LINE.matcher(Files.readString(f, StandardCharsets.ISO_8859_1));
      return m != null && m.matches() ? new StoreUsage(Long.parseLong(m.group(1)), Long.parseLong(m.group(2))) : null;
    } catch (IOException e) {
      return null;
    }
  }

  static void write(ContentStore store, long bytes, long unreferenced) {
    Path temporary = store.newTemporary();
    try {
      Files.writeString(temporary, "bytes=" + Math.max(0, bytes) + " unreferenced=" + Math.max(0, unreferenced) + "\n");
      FileCalls.rename(ContentStore.bytes(temporary), ContentStore.bytes(file(store)));
    } catch (IOException e) {
      FileCalls.unlink(ContentStore.bytes(temporary)); // a full disk: the old number stays
    }
  }

  /** The size the store may have, in bytes; {@code configured} 0 means the default. */
  public static long limit(ContentStore store, long configured) {
    long[] space = store.space();
    return configured > 0 ? configured : Math.min(STANDARD_LIMIT, space == null ? STANDARD_LIMIT : space[1] / DISK_PART);
  }
}
