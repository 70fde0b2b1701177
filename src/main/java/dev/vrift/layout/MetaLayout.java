package dev.vrift.layout;

/**
 * Records of a project's LMDB and of the batches that carry them. A batch is a sequence of items, each a {@link #RECORD}
 * followed by {@code entry.path_len} bytes of path and {@code entry.target_len} bytes of symlink target, zero padded to a
 * multiple of 8. In the database the path is the key (see native/jni/lmdb_store.c), so the stored value leaves it out when it fits there.
 */
public final class MetaLayout {
  private MetaLayout() {}

  public static final int VERSION = 1;
  /** Batch operations. */
  public static final int OP_PUT = 1;
  public static final int OP_DELETE = 2;
  public static final int OP_CONTENT = 3;
  /** Flags: {@code content} is the SHA-256 of the file with the stat fields of the record; it is in the content store. */
  public static final int FLAG_CONTENT = 1;
  public static final int FLAG_STORED = 2;
  /** Bytes of a batch that any store accepts in one call. */
  public static final int BATCH_MAX = 1 << 22;

  public static final Struct RECORD =
      Struct.builder("vr_meta")
          .u64("checksum", "stored: hash64 of the rest, seed = hash64(key, 0); in batches 0")
          .u64("epoch", "number of the writer's session")
          .u64("dev", "st_dev; 0: the root's")
          .u32("length", "bytes of the whole item, a multiple of 8")
          .u32("op", "OP_*; stored: 0")
          .bytes("content", 32, "SHA-256, if FLAG_CONTENT")
          .u32("version", "MetaLayout.VERSION")
          .u32("flags", "FLAG_*")
          .u64("reserved72", "zero")
          .bytes("entry", 128, "a vr_entry; seq, checksum and path_hash are 0 when stored")
          .build(208);
}
