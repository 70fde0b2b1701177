package dev.vrift.meta;

import dev.vrift.layout.MetaLayout;
import dev.vrift.layout.VDirLayout;
import dev.vrift.platform.FileStat;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;

/**
 * A batch of items in native memory (see {@link MetaLayout}); native code may fill it too, through {@link #address} and {@link #setLength}. Not
 * thread-safe. The owner closes it; the memory is then gone.
 */
public final class MetaBatch implements AutoCloseable {
  private static final int FIXED = MetaLayout.RECORD.size();
  private static final int ENTRY = MetaLayout.RECORD.at("entry");
  private static final int PATH_MAX = 4095;
  private static final byte[] NONE = new byte[0];

  private final int capacity;
  private final ByteBuffer view;
  private long address;
  private int length;

  /** Capacity in bytes, at most {@link MetaLayout#BATCH_MAX}. Throws {@link OutOfMemoryError} if there is no native memory. */
  public MetaBatch(int capacity) {
    if (capacity < FIXED || capacity > MetaLayout.BATCH_MAX) {
      throw new IllegalArgumentException("capacity " + capacity);
    }
    this.capacity = capacity;
    this.address = Lmdb.allocate(capacity);
    if (address == 0) {
      throw new OutOfMemoryError("no native memory for a metadata batch of " + capacity + " bytes");
    }
    this.view = Lmdb.view(address, capacity).order(ByteOrder.LITTLE_ENDIAN);
  }

  public long address() {
    return address;
  }

  public int capacity() {
    return capacity;
  }

  /** Bytes in use. */
  public int length() {
    return length;
  }

  public boolean isEmpty() {
    return length == 0;
  }

  /** After native code wrote items up to {@code bytes}. */
  public void setLength(int bytes) {
    if (bytes < 0 || bytes > capacity) {
      throw new IllegalArgumentException("length " + bytes);
    }
    length = bytes;
  }

  public void clear() {
    length = 0;
  }

  /** The entry of a path; {@code target} is a symlink's or null. False: no room, nothing was added. */
  public boolean put(byte[] path, FileStat stat, int state, byte[] target, long epoch) {
    int at = item(MetaLayout.OP_PUT, path, target == null ? NONE : target, epoch);
    if (at >= 0) {
      stat(at, stat, state);
    }
    return at >= 0;
  }

  /** The SHA-256 of the version of a file described by {@code stat}; {@code stored}: it is in the content store. False: no room. */
  public boolean content(byte[] path, FileStat stat, byte[] sha256, boolean stored, long epoch) {
    if (sha256.length != 32) {
      throw new IllegalArgumentException("digest of " + sha256.length + " bytes");
    }
    int at = item(MetaLayout.OP_CONTENT, path, NONE, epoch);
    if (at >= 0) {
      stat(at, stat, 0);
      view.put(at + MetaLayout.RECORD.at("content"), sha256);
      view.putInt(at + MetaLayout.RECORD.at("flags"), MetaLayout.FLAG_CONTENT | (stored ? MetaLayout.FLAG_STORED : 0));
    }
    return at >= 0;
  }

  /** Removes the record of a path. False: no room. */
  public boolean delete(byte[] path, long epoch) {
    return item(MetaLayout.OP_DELETE, path, NONE, epoch) >= 0;
  }

  /**
   * Replaces the content by what the engine reported as changed ({@code vr_engine_changes}): a PUT per entry, a DELETE per one that is gone. False
   * for malformed or too many changes: the batch is then empty.
   */
  public boolean setChanges(long changes, int bytes, long epoch) {
    int n = Lmdb.fromChanges(changes, bytes, address, capacity, epoch);
    length = Math.max(n, 0);
    return n >= 0;
  }

  /** Room for {@link #setChanges} of that many bytes of changes, whatever they are. */
  public static int capacityForChanges(int bytes) {
    return Math.min(MetaLayout.BATCH_MAX, 2 * bytes + FIXED);
  }

  /** The paths of the items in memory handed out by {@link MetaStore#loadAll}: u16 length and bytes each, into {@code out}. Bytes used, or -1. */
  public static int names(long address, int length, byte[] out) {
    return Lmdb.names(address, length, out);
  }

  /** Copies bytes into native memory from {@link #allocate}; their number. Throws if they do not fit. */
  public static int fill(long address, byte[] bytes, int capacity) {
    Lmdb.view(address, capacity).put(0, bytes);
    return bytes.length;
  }

  /** Native memory for others, zeroed; 0 if there is none. */
  public static long allocate(int bytes) {
    return Lmdb.allocate(bytes);
  }

  public static void release(long address) {
    Lmdb.release(address);
  }

  /** Calls back for each item of this batch. */
  public void forEach(ItemConsumer consumer) {
    forEach(view.duplicate().order(ByteOrder.LITTLE_ENDIAN), length, consumer);
  }

  /** The same for memory handed out by {@link MetaStore#loadAll}. */
  public static void forEach(long address, int length, ItemConsumer consumer) {
    forEach(Lmdb.view(address, length).order(ByteOrder.LITTLE_ENDIAN), length, consumer);
  }

  /** One item, as bytes already checked against the batch. Content is null without FLAG_CONTENT. */
  public record Item(int op, byte[] path, FileStat stat, int state, byte[] target, byte[] content, boolean stored, long epoch) {}

  public interface ItemConsumer {
    void accept(Item item);
  }

  private static void forEach(ByteBuffer b, int length, ItemConsumer consumer) {
    int at = 0;
    while (at < length) {
      int n = length - at < FIXED ? 0 : b.getInt(at + MetaLayout.RECORD.at("length"));
      int e = at + ENTRY;
      int pathLength = n == 0 ? 0 : b.getShort(e + VDirLayout.ENTRY.at("path_len")) & 0xFFFF;
      int targetLength = n == 0 ? 0 : b.getShort(e + VDirLayout.ENTRY.at("target_len")) & 0xFFFF;
      if (n < FIXED || n > length - at || n != size(pathLength, targetLength)) {
        throw new IllegalArgumentException("malformed metadata batch at byte " + at);
      }
      consumer.accept(read(b, at, pathLength, targetLength));
      at += n;
    }
  }

  private static Item read(ByteBuffer b, int at, int pathLength, int targetLength) {
    byte[] path = new byte[pathLength];
    b.get(at + FIXED, path);
    byte[] target = new byte[targetLength];
    b.get(at + FIXED + pathLength, target);
    int flags = b.getInt(at + MetaLayout.RECORD.at("flags"));
    byte[] content = null;
    if ((flags & MetaLayout.FLAG_CONTENT) != 0) {
      content = new byte[32];
      b.get(at + MetaLayout.RECORD.at("content"), content);
    }
    int e = at + ENTRY;
    FileStat stat =
        new FileStat(
            b.getLong(at + MetaLayout.RECORD.at("dev")), u64(b, e, "ino"), u64(b, e, "size"), u64(b, e, "blocks"), u64(b, e, "rdev"),
            u32(b, e, "mode"), u32(b, e, "nlink"), u32(b, e, "uid"), u32(b, e, "gid"), u32(b, e, "blksize"),
            u64(b, e, "mtime"), u32(b, e, "mtime_ns"), u64(b, e, "ctime"), u32(b, e, "ctime_ns"),
            u64(b, e, "atime"), u32(b, e, "atime_ns"), u64(b, e, "btime"), u32(b, e, "btime_ns"));
    return new Item(
        b.getInt(at + MetaLayout.RECORD.at("op")), path, stat, u32(b, e, "state"), target, content, (flags & MetaLayout.FLAG_STORED) != 0,
        b.getLong(at + MetaLayout.RECORD.at("epoch")));
  }

  private static long u64(ByteBuffer b, int entry, String field) {
    return b.getLong(entry + VDirLayout.ENTRY.at(field));
  }

  private static int u32(ByteBuffer b, int entry, String field) {
    return b.getInt(entry + VDirLayout.ENTRY.at(field));
  }

  private static int size(int pathLength, int targetLength) {
    return (FIXED + pathLength + targetLength + 7) & ~7;
  }

  private int item(int op, byte[] path, byte[] target, long epoch) {
    if (path.length > PATH_MAX || target.length > PATH_MAX) {
      throw new IllegalArgumentException("path of " + path.length + ", target of " + target.length + " bytes");
    }
    int n = size(path.length, target.length);
    if (n > capacity - length) {
      return -1;
    }
    int at = length;
    for (int i = at; i < at + n; i += 8) {
      view.putLong(i, 0);
    }
    view.putLong(at + MetaLayout.RECORD.at("epoch"), epoch);
    view.putInt(at + MetaLayout.RECORD.at("length"), n);
    view.putInt(at + MetaLayout.RECORD.at("op"), op);
    view.putInt(at + MetaLayout.RECORD.at("version"), MetaLayout.VERSION);
    view.putShort(at + ENTRY + VDirLayout.ENTRY.at("path_len"), (short) path.length);
    view.putShort(at + ENTRY + VDirLayout.ENTRY.at("target_len"), (short) target.length);
    view.put(at + FIXED, path);
    view.put(at + FIXED + path.length, target);
    length += n;
    return at;
  }

  private void stat(int at, FileStat s, int state) {
    view.putLong(at + MetaLayout.RECORD.at("dev"), s.dev());
    int e = at + ENTRY;
    put64(e, "ino", s.ino());
    put64(e, "size", s.size());
    put64(e, "blocks", s.blocks());
    put64(e, "rdev", s.rdev());
    put64(e, "mtime", s.mtime());
    put64(e, "ctime", s.ctime());
    put64(e, "atime", s.atime());
    put64(e, "btime", s.btime());
    put32(e, "mtime_ns", s.mtimeNs());
    put32(e, "ctime_ns", s.ctimeNs());
    put32(e, "atime_ns", s.atimeNs());
    put32(e, "btime_ns", s.btimeNs());
    put32(e, "mode", s.mode());
    put32(e, "nlink", s.nlink());
    put32(e, "uid", s.uid());
    put32(e, "gid", s.gid());
    put32(e, "blksize", s.blksize());
    put32(e, "state", state);
  }

  private void put64(int entry, String field, long v) {
    view.putLong(entry + VDirLayout.ENTRY.at(field), v);
  }

  private void put32(int entry, String field, int v) {
    view.putInt(entry + VDirLayout.ENTRY.at(field), v);
  }

  @Override
  public void close() {
    if (address != 0) {
      Lmdb.release(address);
      address = 0;
      length = 0;
    }
  }
}
