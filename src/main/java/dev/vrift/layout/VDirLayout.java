package dev.vrift.layout;

/**
 * The VDir: {@code /dev/shm/vrift_vdir_<16 hex>}, written by one {@code vdir_d}, mapped read-only by clients.
 *
 * <pre>
 *        0  header (static; checksummed)            4096
 *     4096  dyn    (words the apply thread moves)   4096
 *     8192  pub[16384]                              131072
 *   139264  programs[1024]                          65536
 *   204800  index: buckets of 64 bytes              64 * index_buckets
 *      ...  entries, 16-byte aligned                entries_size
 * </pre>
 */
public final class VDirLayout {
  private VDirLayout() {}

  public static final int MAGIC = 0x56524654;
  public static final int VERSION = 2;
  /** Number of slots in {@code ver} and {@code pub}; slot 0 is G, the whole project. */
  public static final int SLOTS = 16384;
  public static final int DYN_OFFSET = 4096;
  public static final int PUB_OFFSET = 8192;
  public static final int PROGRAMS_OFFSET = PUB_OFFSET + SLOTS * 8;
  public static final int PROGRAMS = 1024;
  public static final int INDEX_OFFSET = PROGRAMS_OFFSET + PROGRAMS * 64;
  public static final int BUCKET_ENTRIES = 7;
  public static final int ROOT_PATH_MAX = 3072;
  /** Lease length L in nanoseconds of CLOCK_MONOTONIC_COARSE. */
  public static final long LEASE_NS = 100_000_000L;

  /** Entry state bits. */
  public static final int ENTRY_CLEAN = 1;
  public static final int ENTRY_COMPLETE = 2;
  public static final int ENTRY_SEARCHABLE = 4;
  public static final int ENTRY_GONE = 8;
  public static final int ENTRY_ISDIR = 16;
  public static final int ENTRY_ACL = 32;
  public static final int ENTRY_TARGET = 64;

  /** Program verdicts. */
  public static final int PROGRAM_UNKNOWN = 0;
  public static final int PROGRAM_SEEN = 1;
  public static final int PROGRAM_LEAKY = 2;

  public static final Struct HEADER =
      Struct.builder("vr_header")
          .u32("magic", "0x56524654")
          .u32("version", "layout version")
          .u64("file_size", "bytes; the file is never resized")
          .u64("vdir_id", "random; the 16 hex digits of the name")
          .u64("board_id", "random; the board this VDir is paired with")
          .u64("hash_seed", "seed of path hashes; same as the board's")
          .bytes("boot_id", 16, "kernel boot id, binary")
          .u64("root_dev", "st_dev of the root")
          .u64("root_ino", "st_ino of the root")
          .u64("mnt_ns", "inode of /proc/self/ns/mnt of the daemon")
          .u64("pid_ns", "inode of /proc/self/ns/pid")
          .u64("user_ns", "inode of /proc/self/ns/user")
          .u64("mnt_id", "stx_mnt_id of the root")
          .u64("statx_attributes_mask", "stx_attributes_mask of the root's filesystem")
          .u32("statx_mask", "stx_mask the kernel returns for STATX_BASIC_STATS|STATX_BTIME there")
          .u32("uid", "effective uid of the daemon")
          .u32("gid", "effective gid of the daemon")
          .u32("root_len", "length of root_path")
          .u64("index_off", "INDEX_OFFSET")
          .u64("index_buckets", "a power of two")
          .u64("entries_off", "multiple of 64")
          .u64("entries_size", "bytes")
          .u32("slots", "16384")
          .u32("readonly", "1: mounted read-only")
          .u64("groups_hash", "hash of the daemon's sorted supplementary groups")
          .u64("caps", "effective capabilities of the daemon")
          .u32("statx_mask_basic", "stx_mask the kernel returns for STATX_BASIC_STATS alone there")
          .padTo(512)
          .bytes("root_path", ROOT_PATH_MAX, "absolute, real, no trailing slash, zero padded")
          .padTo(4088)
          .u64("checksum", "hash of bytes 0..4087, seed 0x56524654")
          .build(4096);

  public static final Struct DYN =
      Struct.builder("vr_dyn")
          .u64("lease", "CLOCK_MONOTONIC_COARSE ns until which answers may be given; 0: none")
          .u64("lease_inv", "~lease")
          .padTo(64)
          .u64("drain_started", "number of the newest drain begun")
          .u64("drain_started_inv", "~drain_started")
          .padTo(128)
          .u64("drain_done", "number of the newest drain finished")
          .u64("drain_done_inv", "~drain_done")
          .padTo(192)
          .u32("superseded", "sticky, all ones: map the successor; fewer than 16 ones: damage")
          .u32("state", "ProjectState ordinal, for reports")
          .u64("generation", "number of VDir files made for this project")
          .u64("entry_count", "entries in use")
          .u64("entries_used", "bytes used in the entries area")
          .u64("daemon_pid", "")
          .u64("daemon_start", "start time of the daemon, clock ticks since boot")
          .u64("dir_count", "directories")
          .u64("watch_count", "inotify watches held")
          .padTo(4096)
          .build(4096);

  public static final Struct BUCKET =
      Struct.builder("vr_bucket")
          .u32("seq", "even: stable")
          .u32("checksum", "hash32 of bytes 8..63, seed = bucket number")
          .array("tag", 4, BUCKET_ENTRIES, "low 32 bits of the path hash")
          .array("off", 4, BUCKET_ENTRIES, "entry offset / 16 from entries_off, + 1; 0: free")
          .build(64);

  public static final Struct ENTRY =
      Struct.builder("vr_entry")
          .u32("seq", "even: stable")
          .u32("checksum", "hash32 of bytes 8..(128 + path_len + target_len), seed = low 32 bits of path_hash")
          .u64("path_hash", "hash of the path relative to the root")
          .u32("state", "ENTRY_* bits")
          .u16("path_len", "bytes of path after the fixed part; 0 for the root itself")
          .u16("target_len", "bytes of symlink target after the path; 0 unless ENTRY_TARGET")
          .u64("ino", "")
          .u64("size", "bytes")
          .u64("blocks", "512-byte blocks")
          .u64("rdev", "as st_rdev")
          .u64("mtime", "s")
          .u64("ctime", "s")
          .u64("atime", "s")
          .u64("btime", "s")
          .u32("mtime_ns", "")
          .u32("ctime_ns", "")
          .u32("atime_ns", "")
          .u32("btime_ns", "")
          .u32("mode", "")
          .u32("nlink", "")
          .u32("uid", "")
          .u32("gid", "")
          .u32("blksize", "")
          .u32("attributes", "stx_attributes, low 32 bits")
          .build(128);

  public static final Struct PROGRAM =
      Struct.builder("vr_program")
          .u32("seq", "even: stable")
          .u32("checksum", "hash32 of bytes 8..63, seed 0")
          .u64("dev", "")
          .u64("ino", "")
          .u64("size", "")
          .u64("mtime", "s")
          .u64("ctime", "s")
          .u32("mtime_ns", "")
          .u32("ctime_ns", "")
          .u32("verdict", "PROGRAM_*")
          .u32("reserved60", "zero")
          .build(64);
}
