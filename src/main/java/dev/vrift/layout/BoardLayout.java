package dev.vrift.layout;

/**
 * The board: {@code /dev/shm/vrift_board_<16 hex>}, mapped read-write by clients and the daemon. Nothing in it can make an
 * answer true: a wild store only makes things dirty.
 *
 * <pre>
 *        0  header (static; checksummed)   4096
 *     4096  dyn                            4096
 *     8192  ver[16384]                     131072
 *   139264  records[8192]                  524288
 *   663552  staged[1024]                   1048576
 *  1712128  classify[64]                   512, zero padded to 4096
 *  1716224  watchers[64]                   512, zero padded to 4096
 * </pre>
 */
public final class BoardLayout {
  private BoardLayout() {}

  public static final int MAGIC = 0x56524244;
  public static final int VERSION = 3;
  public static final int DYN_OFFSET = 4096;
  public static final int VER_OFFSET = 8192;
  public static final int RECORDS_OFFSET = VER_OFFSET + VDirLayout.SLOTS * 8;
  public static final int RECORDS = 8192;
  public static final int STAGED_OFFSET = RECORDS_OFFSET + RECORDS * 64;
  public static final int STAGED = 1024;
  public static final int CLASSIFY_OFFSET = STAGED_OFFSET + STAGED * 1024;
  public static final int CLASSIFY = 64;
  public static final int WATCHERS_OFFSET = CLASSIFY_OFFSET + 4096;
  /** Processes that watch the project: pid | WATCHER_COUNTED | CLOCK_BOOTTIME in 10 ms, above bit 32. 0: free. */
  public static final int WATCHERS = 64;
  /** The process is in {@code no_stage}: the daemon takes it out again when it has ended. */
  public static final int WATCHER_COUNTED = 0x80000000;
  /** One huge page; what is left over is zero. */
  public static final int SIZE = 2 << 20;
  /** The step of {@code ver}: odd, far from any sum of few powers of two, so that no single flipped bit undoes bumps. */
  public static final long BUMP = 0x9E3779B97F4A7C15L;

  /** States are 16 bits apart: one flipped bit never makes another state of them (docs/DAMAGE.md). */
  public static final int RECORD_FREE = 0;
  public static final int RECORD_CLAIMED = 0x00FF00FF;
  public static final int RECORD_LIVE = 0x0F0F0F0F;
  public static final int KIND_OP = 1;
  public static final int KIND_HELD = 2;
  public static final int KIND_BLIND = 3;
  public static final int KIND_ESCAPED = 4;
  public static final int NO_SLOT = 0xFFFF;

  /** Four bits apart. */
  public static final int STAGED_FREE = 0;
  public static final int STAGED_CLAIMED = 0x0F;
  public static final int STAGED_LIVE = 0x33;
  /** Renamed into place while its owner still writes; no longer counted in {@code staged_count}. */
  public static final int STAGED_PROMOTED = 0x3C;
  /** The low byte of {@code vr_staged.state} is one of the above; the rest counts the claims of this record. */
  public static final int STAGED_STATE_MASK = 0xFF;
  public static final int STAGED_GENERATION = 0x100;
  /** Flag: a build product, exempt from the daemon's 1 s promotion. */
  public static final int STAGED_PRODUCT = 1;

  /** The step of {@code overflow} and {@code staged_count}: both halves count, so that no single flipped bit makes a count zero. */
  public static final int STEP = 0x10001;

  /** Number of u64 counters in {@code vr_board_dyn.stats}; the names are in {@link StatReason}. */
  public static final int STATS = 64;

  public static final Struct HEADER =
      Struct.builder("vr_board_header")
          .u32("magic", "0x56524244")
          .u32("version", "layout version")
          .u64("file_size", "BOARD_SIZE")
          .u64("board_id", "random; the 16 hex digits of the name")
          .u64("hash_seed", "seed of path hashes")
          .bytes("boot_id", 16, "kernel boot id, binary")
          .u64("root_dev", "")
          .u64("root_ino", "")
          .u64("project_id", "hash64 of the root path, seed 0")
          .u32("uid", "")
          .u32("reserved84", "zero")
          .padTo(4088)
          .u64("checksum", "hash of bytes 0..4087, seed 0x56524244")
          .build(4096);

  public static final Struct DYN =
      Struct.builder("vr_board_dyn")
          .u32("superseded", "sticky, all ones: map the successor; fewer than 16 ones: damage")
          .u32("overflow", "count (in both halves) of mutations that found no record; answers stop until sessions end")
          .u32("corrupt", "CORRUPTION_DETECTED: count of failed checks seen by clients")
          .u32("want", "count of answers that had to wait for a drain")
          .u32("no_stage", "watchers and other reasons alive: no new staging while > 0")
          .u32("staged_count", "count (in both halves) of staged records in state STAGED_LIVE")
          .u32("record_high", "1 + highest record ever claimed, in both halves")
          .u32("staged_high", "1 + highest staged record ever claimed, in both halves")
          .u32("loads", "processes that mapped the board")
          .u32("verify_diffs", "differences found by VRIFT_VERIFY")
          .u32("faults", "shim faults")
          .u32("stage_pool", "bit n: the empty directory free_<n> lies in the staging area; only a hint")
          .u32("bell", "0: up; else the daemon sleeps here (a futex) and gets up 1: for whoever waits for a drain or a turn, 2: for a drain, 3: for its own threads; only a hint")
          .u32("want_turn", "count of answers that had to wait for a turn: a slot or G was dirty, or an entry not verified")
          .u32("rolled_back", "staged files of dead writers that were taken away, since the board was made")
          .padTo(64)
          .array("stats", 8, STATS, "counters by StatReason")
          .padTo(4096)
          .build(4096);

  public static final Struct RECORD =
      Struct.builder("vr_record")
          .u32("state", "RECORD_*, atomic")
          .u32("kind", "KIND_*; while CLAIMED: the claimant's pid")
          .u32("pid", "owner")
          .u32("tid", "owner thread; an OP record of a thread that is gone is dead")
          .u64("time", "CLOCK_BOOTTIME ns at publication: an owner that started later is another process")
          .array("slots", 2, 6, "slots named; NO_SLOT: unused")
          .u16("flags", "")
          .u16("reserved38", "zero")
          .array("ino", 8, 2, "inodes named; 0: unused")
          .u32("staged", "1 + index of the staged record; 0: none")
          .u32("sum", "hash32 of bytes 4..59, seed 0, while LIVE; wrong: every slot and inode counts as named")
          .build(64);

  public static final Struct STAGED_RECORD =
      Struct.builder("vr_staged")
          .u32("state", "generation | STAGED_*, atomic")
          .u32("pid", "owner")
          .u64("time", "CLOCK_BOOTTIME ns at publication")
          .u64("path_hash", "hash of the target path")
          .u64("parent_hash", "hash of the target's parent path")
          .u64("staging_ino", "")
          .u64("old_ino", "0: the target was absent")
          .u64("parent_dev", "")
          .u64("parent_ino", "")
          .u32("fd", "number in the staging file's name")
          .u32("flags", "STAGED_PRODUCT")
          .u64("stamp", "number in the staging file's name")
          .u16("path_len", "")
          .u16("reserved82", "zero")
          .u32("checksum", "hash32 of bytes 4..83 and the path, seed 0: a torn copy is refused")
          .bytes("path", 1024 - 88, "target path relative to the root")
          .build(1024);
}
