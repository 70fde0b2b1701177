/* Generated from dev.vrift.layout by `make layout`. Do not edit. */
#ifndef VRIFT_LAYOUT_H
#define VRIFT_LAYOUT_H
#include <stddef.h>
#include <stdint.h>

#define VR_MAGIC 0x56524654u
#define VR_VERSION 0x2u
#define VR_SLOTS 0x4000u
#define VR_DYN_OFFSET 0x1000u
#define VR_PUB_OFFSET 0x2000u
#define VR_PROGRAMS_OFFSET 0x22000u
#define VR_PROGRAMS 0x400u
#define VR_INDEX_OFFSET 0x32000u
#define VR_BUCKET_ENTRIES 0x7u
#define VR_ROOT_PATH_MAX 0xc00u
#define VR_LEASE_NS 0x5f5e100ull
#define VR_ENTRY_CLEAN 0x1u
#define VR_ENTRY_COMPLETE 0x2u
#define VR_ENTRY_SEARCHABLE 0x4u
#define VR_ENTRY_GONE 0x8u
#define VR_ENTRY_ISDIR 0x10u
#define VR_ENTRY_ACL 0x20u
#define VR_ENTRY_TARGET 0x40u
#define VR_PROGRAM_UNKNOWN 0x0u
#define VR_PROGRAM_SEEN 0x1u
#define VR_PROGRAM_LEAKY 0x2u
#define VR_BOARD_MAGIC 0x56524244u
#define VR_BOARD_VERSION 0x3u
#define VR_BOARD_DYN_OFFSET 0x1000u
#define VR_BOARD_VER_OFFSET 0x2000u
#define VR_BOARD_RECORDS_OFFSET 0x22000u
#define VR_BOARD_RECORDS 0x2000u
#define VR_BOARD_STAGED_OFFSET 0xa2000u
#define VR_BOARD_STAGED 0x400u
#define VR_BOARD_CLASSIFY_OFFSET 0x1a2000u
#define VR_BOARD_CLASSIFY 0x40u
#define VR_BOARD_WATCHERS_OFFSET 0x1a3000u
#define VR_BOARD_WATCHERS 0x40u
#define VR_BOARD_WATCHER_COUNTED 0x80000000u
#define VR_BOARD_SIZE 0x200000u
#define VR_BOARD_BUMP 0x9e3779b97f4a7c15ull
#define VR_BOARD_RECORD_FREE 0x0u
#define VR_BOARD_RECORD_CLAIMED 0xff00ffu
#define VR_BOARD_RECORD_LIVE 0xf0f0f0fu
#define VR_BOARD_KIND_OP 0x1u
#define VR_BOARD_KIND_HELD 0x2u
#define VR_BOARD_KIND_BLIND 0x3u
#define VR_BOARD_KIND_ESCAPED 0x4u
#define VR_BOARD_NO_SLOT 0xffffu
#define VR_BOARD_STAGED_FREE 0x0u
#define VR_BOARD_STAGED_CLAIMED 0xfu
#define VR_BOARD_STAGED_LIVE 0x33u
#define VR_BOARD_STAGED_PROMOTED 0x3cu
#define VR_BOARD_STAGED_STATE_MASK 0xffu
#define VR_BOARD_STAGED_GENERATION 0x100u
#define VR_BOARD_STAGED_PRODUCT 0x1u
#define VR_BOARD_STEP 0x10001u
#define VR_BOARD_STATS 0x40u
#define VR_WIRE_MAGIC 0x314d5256u
#define VR_WIRE_PROTOCOL 0x1u
#define VR_WIRE_PAYLOAD_MAX 0x100000u
#define VR_META_VERSION 0x1u
#define VR_META_OP_PUT 0x1u
#define VR_META_OP_DELETE 0x2u
#define VR_META_OP_CONTENT 0x3u
#define VR_META_FLAG_CONTENT 0x1u
#define VR_META_FLAG_STORED 0x2u
#define VR_META_BATCH_MAX 0x400000u
#define VR_STAT_TOTAL 0
#define VR_STAT_HIT 1
#define VR_STAT_HIT_ENOENT 2
#define VR_STAT_HIT_READLINK 3
#define VR_STAT_HIT_REALPATH 4
#define VR_STAT_HIT_ACCESS 5
#define VR_STAT_NATIVE_EARLY 6
#define VR_STAT_NATIVE_NO_VDIR 7
#define VR_STAT_NATIVE_LEASE 8
#define VR_STAT_NATIVE_EDGE 9
#define VR_STAT_NATIVE_G 10
#define VR_STAT_NATIVE_SLOT 11
#define VR_STAT_NATIVE_UNVERIFIED 12
#define VR_STAT_NATIVE_UNKNOWN 13
#define VR_STAT_NATIVE_PATH 14
#define VR_STAT_NATIVE_FLAGS 15
#define VR_STAT_NATIVE_LEAKY 16
#define VR_STAT_NATIVE_CREDENTIALS 17
#define VR_STAT_NATIVE_CORRUPT 18
#define VR_STAT_NATIVE_RETRY 19
#define VR_STAT_MUTATIONS 20
#define VR_STAT_MUTATIONS_NO_RECORD 21
#define VR_STAT_STAGED 22
#define VR_STAT_COMMITTED 23
#define VR_STAT_PROMOTED 24
#define VR_STAT_DEMOTED 25
#define VR_STAT_STAGE_REFUSED 26
#define VR_STAT_EDGES 27
#define VR_STAT_BLIND 28
#define VR_STAT_VERIFIED 29
#define VR_STAT_VERIFY_DIFFS 30
#define VR_STAT_COUNT 31
#define VR_OP_STOP 0
#define VR_OP_PING 1
#define VR_OP_OPEN 2
#define VR_OP_SESSION 3
#define VR_OP_SYNC 4
#define VR_OP_STATUS 5
#define VR_OP_STATS 6
#define VR_OP_EXPLAIN 7
#define VR_OP_VERIFY 8
#define VR_OP_SESSION_END 9
#define VR_OP_RESTART 10
#define VR_OP_REGISTER 11
#define VR_OP_CAS 12
#define VR_OP_SALVAGE 13
#define VR_OP_FORGET 14
#define VR_OP_OK 100
#define VR_OP_ERROR 101

struct vr_header {
  uint32_t magic; /* 0x56524654 */
  uint32_t version; /* layout version */
  uint64_t file_size; /* bytes; the file is never resized */
  uint64_t vdir_id; /* random; the 16 hex digits of the name */
  uint64_t board_id; /* random; the board this VDir is paired with */
  uint64_t hash_seed; /* seed of path hashes; same as the board's */
  uint8_t boot_id[16]; /* kernel boot id, binary */
  uint64_t root_dev; /* st_dev of the root */
  uint64_t root_ino; /* st_ino of the root */
  uint64_t mnt_ns; /* inode of /proc/self/ns/mnt of the daemon */
  uint64_t pid_ns; /* inode of /proc/self/ns/pid */
  uint64_t user_ns; /* inode of /proc/self/ns/user */
  uint64_t mnt_id; /* stx_mnt_id of the root */
  uint64_t statx_attributes_mask; /* stx_attributes_mask of the root's filesystem */
  uint32_t statx_mask; /* stx_mask the kernel returns for STATX_BASIC_STATS|STATX_BTIME there */
  uint32_t uid; /* effective uid of the daemon */
  uint32_t gid; /* effective gid of the daemon */
  uint32_t root_len; /* length of root_path */
  uint64_t index_off; /* INDEX_OFFSET */
  uint64_t index_buckets; /* a power of two */
  uint64_t entries_off; /* multiple of 64 */
  uint64_t entries_size; /* bytes */
  uint32_t slots; /* 16384 */
  uint32_t readonly; /* 1: mounted read-only */
  uint64_t groups_hash; /* hash of the daemon's sorted supplementary groups */
  uint64_t caps; /* effective capabilities of the daemon */
  uint32_t statx_mask_basic; /* stx_mask the kernel returns for STATX_BASIC_STATS alone there */
  uint8_t reserved188[324]; /* zero */
  uint8_t root_path[3072]; /* absolute, real, no trailing slash, zero padded */
  uint8_t reserved3584[504]; /* zero */
  uint64_t checksum; /* hash of bytes 0..4087, seed 0x56524654 */
};
_Static_assert(offsetof(struct vr_header, magic) == 0, "magic");
_Static_assert(sizeof(((struct vr_header *)0)->magic) == 4, "magic");
_Static_assert(offsetof(struct vr_header, version) == 4, "version");
_Static_assert(sizeof(((struct vr_header *)0)->version) == 4, "version");
_Static_assert(offsetof(struct vr_header, file_size) == 8, "file_size");
_Static_assert(sizeof(((struct vr_header *)0)->file_size) == 8, "file_size");
_Static_assert(offsetof(struct vr_header, vdir_id) == 16, "vdir_id");
_Static_assert(sizeof(((struct vr_header *)0)->vdir_id) == 8, "vdir_id");
_Static_assert(offsetof(struct vr_header, board_id) == 24, "board_id");
_Static_assert(sizeof(((struct vr_header *)0)->board_id) == 8, "board_id");
_Static_assert(offsetof(struct vr_header, hash_seed) == 32, "hash_seed");
_Static_assert(sizeof(((struct vr_header *)0)->hash_seed) == 8, "hash_seed");
_Static_assert(offsetof(struct vr_header, boot_id) == 40, "boot_id");
_Static_assert(sizeof(((struct vr_header *)0)->boot_id) == 16, "boot_id");
_Static_assert(offsetof(struct vr_header, root_dev) == 56, "root_dev");
_Static_assert(sizeof(((struct vr_header *)0)->root_dev) == 8, "root_dev");
_Static_assert(offsetof(struct vr_header, root_ino) == 64, "root_ino");
_Static_assert(sizeof(((struct vr_header *)0)->root_ino) == 8, "root_ino");
_Static_assert(offsetof(struct vr_header, mnt_ns) == 72, "mnt_ns");
_Static_assert(sizeof(((struct vr_header *)0)->mnt_ns) == 8, "mnt_ns");
_Static_assert(offsetof(struct vr_header, pid_ns) == 80, "pid_ns");
_Static_assert(sizeof(((struct vr_header *)0)->pid_ns) == 8, "pid_ns");
_Static_assert(offsetof(struct vr_header, user_ns) == 88, "user_ns");
_Static_assert(sizeof(((struct vr_header *)0)->user_ns) == 8, "user_ns");
_Static_assert(offsetof(struct vr_header, mnt_id) == 96, "mnt_id");
_Static_assert(sizeof(((struct vr_header *)0)->mnt_id) == 8, "mnt_id");
_Static_assert(offsetof(struct vr_header, statx_attributes_mask) == 104, "statx_attributes_mask");
_Static_assert(sizeof(((struct vr_header *)0)->statx_attributes_mask) == 8, "statx_attributes_mask");
_Static_assert(offsetof(struct vr_header, statx_mask) == 112, "statx_mask");
_Static_assert(sizeof(((struct vr_header *)0)->statx_mask) == 4, "statx_mask");
_Static_assert(offsetof(struct vr_header, uid) == 116, "uid");
_Static_assert(sizeof(((struct vr_header *)0)->uid) == 4, "uid");
_Static_assert(offsetof(struct vr_header, gid) == 120, "gid");
_Static_assert(sizeof(((struct vr_header *)0)->gid) == 4, "gid");
_Static_assert(offsetof(struct vr_header, root_len) == 124, "root_len");
_Static_assert(sizeof(((struct vr_header *)0)->root_len) == 4, "root_len");
_Static_assert(offsetof(struct vr_header, index_off) == 128, "index_off");
_Static_assert(sizeof(((struct vr_header *)0)->index_off) == 8, "index_off");
_Static_assert(offsetof(struct vr_header, index_buckets) == 136, "index_buckets");
_Static_assert(sizeof(((struct vr_header *)0)->index_buckets) == 8, "index_buckets");
_Static_assert(offsetof(struct vr_header, entries_off) == 144, "entries_off");
_Static_assert(sizeof(((struct vr_header *)0)->entries_off) == 8, "entries_off");
_Static_assert(offsetof(struct vr_header, entries_size) == 152, "entries_size");
_Static_assert(sizeof(((struct vr_header *)0)->entries_size) == 8, "entries_size");
_Static_assert(offsetof(struct vr_header, slots) == 160, "slots");
_Static_assert(sizeof(((struct vr_header *)0)->slots) == 4, "slots");
_Static_assert(offsetof(struct vr_header, readonly) == 164, "readonly");
_Static_assert(sizeof(((struct vr_header *)0)->readonly) == 4, "readonly");
_Static_assert(offsetof(struct vr_header, groups_hash) == 168, "groups_hash");
_Static_assert(sizeof(((struct vr_header *)0)->groups_hash) == 8, "groups_hash");
_Static_assert(offsetof(struct vr_header, caps) == 176, "caps");
_Static_assert(sizeof(((struct vr_header *)0)->caps) == 8, "caps");
_Static_assert(offsetof(struct vr_header, statx_mask_basic) == 184, "statx_mask_basic");
_Static_assert(sizeof(((struct vr_header *)0)->statx_mask_basic) == 4, "statx_mask_basic");
_Static_assert(offsetof(struct vr_header, reserved188) == 188, "reserved188");
_Static_assert(sizeof(((struct vr_header *)0)->reserved188) == 324, "reserved188");
_Static_assert(offsetof(struct vr_header, root_path) == 512, "root_path");
_Static_assert(sizeof(((struct vr_header *)0)->root_path) == 3072, "root_path");
_Static_assert(offsetof(struct vr_header, reserved3584) == 3584, "reserved3584");
_Static_assert(sizeof(((struct vr_header *)0)->reserved3584) == 504, "reserved3584");
_Static_assert(offsetof(struct vr_header, checksum) == 4088, "checksum");
_Static_assert(sizeof(((struct vr_header *)0)->checksum) == 8, "checksum");
_Static_assert(sizeof(struct vr_header) == 4096, "vr_header");

struct vr_dyn {
  uint64_t lease; /* CLOCK_MONOTONIC_COARSE ns until which answers may be given; 0: none */
  uint64_t lease_inv; /* ~lease */
  uint8_t reserved16[48]; /* zero */
  uint64_t drain_started; /* number of the newest drain begun */
  uint64_t drain_started_inv; /* ~drain_started */
  uint8_t reserved80[48]; /* zero */
  uint64_t drain_done; /* number of the newest drain finished */
  uint64_t drain_done_inv; /* ~drain_done */
  uint8_t reserved144[48]; /* zero */
  uint32_t superseded; /* sticky, all ones: map the successor; fewer than 16 ones: damage */
  uint32_t state; /* ProjectState ordinal, for reports */
  uint64_t generation; /* number of VDir files made for this project */
  uint64_t entry_count; /* entries in use */
  uint64_t entries_used; /* bytes used in the entries area */
  uint64_t daemon_pid;
  uint64_t daemon_start; /* start time of the daemon, clock ticks since boot */
  uint64_t dir_count; /* directories */
  uint64_t watch_count; /* inotify watches held */
  uint8_t reserved256[3840]; /* zero */
};
_Static_assert(offsetof(struct vr_dyn, lease) == 0, "lease");
_Static_assert(sizeof(((struct vr_dyn *)0)->lease) == 8, "lease");
_Static_assert(offsetof(struct vr_dyn, lease_inv) == 8, "lease_inv");
_Static_assert(sizeof(((struct vr_dyn *)0)->lease_inv) == 8, "lease_inv");
_Static_assert(offsetof(struct vr_dyn, reserved16) == 16, "reserved16");
_Static_assert(sizeof(((struct vr_dyn *)0)->reserved16) == 48, "reserved16");
_Static_assert(offsetof(struct vr_dyn, drain_started) == 64, "drain_started");
_Static_assert(sizeof(((struct vr_dyn *)0)->drain_started) == 8, "drain_started");
_Static_assert(offsetof(struct vr_dyn, drain_started_inv) == 72, "drain_started_inv");
_Static_assert(sizeof(((struct vr_dyn *)0)->drain_started_inv) == 8, "drain_started_inv");
_Static_assert(offsetof(struct vr_dyn, reserved80) == 80, "reserved80");
_Static_assert(sizeof(((struct vr_dyn *)0)->reserved80) == 48, "reserved80");
_Static_assert(offsetof(struct vr_dyn, drain_done) == 128, "drain_done");
_Static_assert(sizeof(((struct vr_dyn *)0)->drain_done) == 8, "drain_done");
_Static_assert(offsetof(struct vr_dyn, drain_done_inv) == 136, "drain_done_inv");
_Static_assert(sizeof(((struct vr_dyn *)0)->drain_done_inv) == 8, "drain_done_inv");
_Static_assert(offsetof(struct vr_dyn, reserved144) == 144, "reserved144");
_Static_assert(sizeof(((struct vr_dyn *)0)->reserved144) == 48, "reserved144");
_Static_assert(offsetof(struct vr_dyn, superseded) == 192, "superseded");
_Static_assert(sizeof(((struct vr_dyn *)0)->superseded) == 4, "superseded");
_Static_assert(offsetof(struct vr_dyn, state) == 196, "state");
_Static_assert(sizeof(((struct vr_dyn *)0)->state) == 4, "state");
_Static_assert(offsetof(struct vr_dyn, generation) == 200, "generation");
_Static_assert(sizeof(((struct vr_dyn *)0)->generation) == 8, "generation");
_Static_assert(offsetof(struct vr_dyn, entry_count) == 208, "entry_count");
_Static_assert(sizeof(((struct vr_dyn *)0)->entry_count) == 8, "entry_count");
_Static_assert(offsetof(struct vr_dyn, entries_used) == 216, "entries_used");
_Static_assert(sizeof(((struct vr_dyn *)0)->entries_used) == 8, "entries_used");
_Static_assert(offsetof(struct vr_dyn, daemon_pid) == 224, "daemon_pid");
_Static_assert(sizeof(((struct vr_dyn *)0)->daemon_pid) == 8, "daemon_pid");
_Static_assert(offsetof(struct vr_dyn, daemon_start) == 232, "daemon_start");
_Static_assert(sizeof(((struct vr_dyn *)0)->daemon_start) == 8, "daemon_start");
_Static_assert(offsetof(struct vr_dyn, dir_count) == 240, "dir_count");
_Static_assert(sizeof(((struct vr_dyn *)0)->dir_count) == 8, "dir_count");
_Static_assert(offsetof(struct vr_dyn, watch_count) == 248, "watch_count");
_Static_assert(sizeof(((struct vr_dyn *)0)->watch_count) == 8, "watch_count");
_Static_assert(offsetof(struct vr_dyn, reserved256) == 256, "reserved256");
_Static_assert(sizeof(((struct vr_dyn *)0)->reserved256) == 3840, "reserved256");
_Static_assert(sizeof(struct vr_dyn) == 4096, "vr_dyn");

struct vr_bucket {
  uint32_t seq; /* even: stable */
  uint32_t checksum; /* hash32 of bytes 8..63, seed = bucket number */
  uint32_t tag[7]; /* low 32 bits of the path hash */
  uint32_t off[7]; /* entry offset / 16 from entries_off, + 1; 0: free */
};
_Static_assert(offsetof(struct vr_bucket, seq) == 0, "seq");
_Static_assert(sizeof(((struct vr_bucket *)0)->seq) == 4, "seq");
_Static_assert(offsetof(struct vr_bucket, checksum) == 4, "checksum");
_Static_assert(sizeof(((struct vr_bucket *)0)->checksum) == 4, "checksum");
_Static_assert(offsetof(struct vr_bucket, tag) == 8, "tag");
_Static_assert(sizeof(((struct vr_bucket *)0)->tag) == 28, "tag");
_Static_assert(offsetof(struct vr_bucket, off) == 36, "off");
_Static_assert(sizeof(((struct vr_bucket *)0)->off) == 28, "off");
_Static_assert(sizeof(struct vr_bucket) == 64, "vr_bucket");

struct vr_entry {
  uint32_t seq; /* even: stable */
  uint32_t checksum; /* hash32 of bytes 8..(128 + path_len + target_len), seed = low 32 bits of path_hash */
  uint64_t path_hash; /* hash of the path relative to the root */
  uint32_t state; /* ENTRY_* bits */
  uint16_t path_len; /* bytes of path after the fixed part; 0 for the root itself */
  uint16_t target_len; /* bytes of symlink target after the path; 0 unless ENTRY_TARGET */
  uint64_t ino;
  uint64_t size; /* bytes */
  uint64_t blocks; /* 512-byte blocks */
  uint64_t rdev; /* as st_rdev */
  uint64_t mtime; /* s */
  uint64_t ctime; /* s */
  uint64_t atime; /* s */
  uint64_t btime; /* s */
  uint32_t mtime_ns;
  uint32_t ctime_ns;
  uint32_t atime_ns;
  uint32_t btime_ns;
  uint32_t mode;
  uint32_t nlink;
  uint32_t uid;
  uint32_t gid;
  uint32_t blksize;
  uint32_t attributes; /* stx_attributes, low 32 bits */
};
_Static_assert(offsetof(struct vr_entry, seq) == 0, "seq");
_Static_assert(sizeof(((struct vr_entry *)0)->seq) == 4, "seq");
_Static_assert(offsetof(struct vr_entry, checksum) == 4, "checksum");
_Static_assert(sizeof(((struct vr_entry *)0)->checksum) == 4, "checksum");
_Static_assert(offsetof(struct vr_entry, path_hash) == 8, "path_hash");
_Static_assert(sizeof(((struct vr_entry *)0)->path_hash) == 8, "path_hash");
_Static_assert(offsetof(struct vr_entry, state) == 16, "state");
_Static_assert(sizeof(((struct vr_entry *)0)->state) == 4, "state");
_Static_assert(offsetof(struct vr_entry, path_len) == 20, "path_len");
_Static_assert(sizeof(((struct vr_entry *)0)->path_len) == 2, "path_len");
_Static_assert(offsetof(struct vr_entry, target_len) == 22, "target_len");
_Static_assert(sizeof(((struct vr_entry *)0)->target_len) == 2, "target_len");
_Static_assert(offsetof(struct vr_entry, ino) == 24, "ino");
_Static_assert(sizeof(((struct vr_entry *)0)->ino) == 8, "ino");
_Static_assert(offsetof(struct vr_entry, size) == 32, "size");
_Static_assert(sizeof(((struct vr_entry *)0)->size) == 8, "size");
_Static_assert(offsetof(struct vr_entry, blocks) == 40, "blocks");
_Static_assert(sizeof(((struct vr_entry *)0)->blocks) == 8, "blocks");
_Static_assert(offsetof(struct vr_entry, rdev) == 48, "rdev");
_Static_assert(sizeof(((struct vr_entry *)0)->rdev) == 8, "rdev");
_Static_assert(offsetof(struct vr_entry, mtime) == 56, "mtime");
_Static_assert(sizeof(((struct vr_entry *)0)->mtime) == 8, "mtime");
_Static_assert(offsetof(struct vr_entry, ctime) == 64, "ctime");
_Static_assert(sizeof(((struct vr_entry *)0)->ctime) == 8, "ctime");
_Static_assert(offsetof(struct vr_entry, atime) == 72, "atime");
_Static_assert(sizeof(((struct vr_entry *)0)->atime) == 8, "atime");
_Static_assert(offsetof(struct vr_entry, btime) == 80, "btime");
_Static_assert(sizeof(((struct vr_entry *)0)->btime) == 8, "btime");
_Static_assert(offsetof(struct vr_entry, mtime_ns) == 88, "mtime_ns");
_Static_assert(sizeof(((struct vr_entry *)0)->mtime_ns) == 4, "mtime_ns");
_Static_assert(offsetof(struct vr_entry, ctime_ns) == 92, "ctime_ns");
_Static_assert(sizeof(((struct vr_entry *)0)->ctime_ns) == 4, "ctime_ns");
_Static_assert(offsetof(struct vr_entry, atime_ns) == 96, "atime_ns");
_Static_assert(sizeof(((struct vr_entry *)0)->atime_ns) == 4, "atime_ns");
_Static_assert(offsetof(struct vr_entry, btime_ns) == 100, "btime_ns");
_Static_assert(sizeof(((struct vr_entry *)0)->btime_ns) == 4, "btime_ns");
_Static_assert(offsetof(struct vr_entry, mode) == 104, "mode");
_Static_assert(sizeof(((struct vr_entry *)0)->mode) == 4, "mode");
_Static_assert(offsetof(struct vr_entry, nlink) == 108, "nlink");
_Static_assert(sizeof(((struct vr_entry *)0)->nlink) == 4, "nlink");
_Static_assert(offsetof(struct vr_entry, uid) == 112, "uid");
_Static_assert(sizeof(((struct vr_entry *)0)->uid) == 4, "uid");
_Static_assert(offsetof(struct vr_entry, gid) == 116, "gid");
_Static_assert(sizeof(((struct vr_entry *)0)->gid) == 4, "gid");
_Static_assert(offsetof(struct vr_entry, blksize) == 120, "blksize");
_Static_assert(sizeof(((struct vr_entry *)0)->blksize) == 4, "blksize");
_Static_assert(offsetof(struct vr_entry, attributes) == 124, "attributes");
_Static_assert(sizeof(((struct vr_entry *)0)->attributes) == 4, "attributes");
_Static_assert(sizeof(struct vr_entry) == 128, "vr_entry");

struct vr_program {
  uint32_t seq; /* even: stable */
  uint32_t checksum; /* hash32 of bytes 8..63, seed 0 */
  uint64_t dev;
  uint64_t ino;
  uint64_t size;
  uint64_t mtime; /* s */
  uint64_t ctime; /* s */
  uint32_t mtime_ns;
  uint32_t ctime_ns;
  uint32_t verdict; /* PROGRAM_* */
  uint32_t reserved60; /* zero */
};
_Static_assert(offsetof(struct vr_program, seq) == 0, "seq");
_Static_assert(sizeof(((struct vr_program *)0)->seq) == 4, "seq");
_Static_assert(offsetof(struct vr_program, checksum) == 4, "checksum");
_Static_assert(sizeof(((struct vr_program *)0)->checksum) == 4, "checksum");
_Static_assert(offsetof(struct vr_program, dev) == 8, "dev");
_Static_assert(sizeof(((struct vr_program *)0)->dev) == 8, "dev");
_Static_assert(offsetof(struct vr_program, ino) == 16, "ino");
_Static_assert(sizeof(((struct vr_program *)0)->ino) == 8, "ino");
_Static_assert(offsetof(struct vr_program, size) == 24, "size");
_Static_assert(sizeof(((struct vr_program *)0)->size) == 8, "size");
_Static_assert(offsetof(struct vr_program, mtime) == 32, "mtime");
_Static_assert(sizeof(((struct vr_program *)0)->mtime) == 8, "mtime");
_Static_assert(offsetof(struct vr_program, ctime) == 40, "ctime");
_Static_assert(sizeof(((struct vr_program *)0)->ctime) == 8, "ctime");
_Static_assert(offsetof(struct vr_program, mtime_ns) == 48, "mtime_ns");
_Static_assert(sizeof(((struct vr_program *)0)->mtime_ns) == 4, "mtime_ns");
_Static_assert(offsetof(struct vr_program, ctime_ns) == 52, "ctime_ns");
_Static_assert(sizeof(((struct vr_program *)0)->ctime_ns) == 4, "ctime_ns");
_Static_assert(offsetof(struct vr_program, verdict) == 56, "verdict");
_Static_assert(sizeof(((struct vr_program *)0)->verdict) == 4, "verdict");
_Static_assert(offsetof(struct vr_program, reserved60) == 60, "reserved60");
_Static_assert(sizeof(((struct vr_program *)0)->reserved60) == 4, "reserved60");
_Static_assert(sizeof(struct vr_program) == 64, "vr_program");

struct vr_board_header {
  uint32_t magic; /* 0x56524244 */
  uint32_t version; /* layout version */
  uint64_t file_size; /* BOARD_SIZE */
  uint64_t board_id; /* random; the 16 hex digits of the name */
  uint64_t hash_seed; /* seed of path hashes */
  uint8_t boot_id[16]; /* kernel boot id, binary */
  uint64_t root_dev;
  uint64_t root_ino;
  uint64_t project_id; /* hash64 of the root path, seed 0 */
  uint32_t uid;
  uint32_t reserved84; /* zero */
  uint8_t reserved80[4008]; /* zero */
  uint64_t checksum; /* hash of bytes 0..4087, seed 0x56524244 */
};
_Static_assert(offsetof(struct vr_board_header, magic) == 0, "magic");
_Static_assert(sizeof(((struct vr_board_header *)0)->magic) == 4, "magic");
_Static_assert(offsetof(struct vr_board_header, version) == 4, "version");
_Static_assert(sizeof(((struct vr_board_header *)0)->version) == 4, "version");
_Static_assert(offsetof(struct vr_board_header, file_size) == 8, "file_size");
_Static_assert(sizeof(((struct vr_board_header *)0)->file_size) == 8, "file_size");
_Static_assert(offsetof(struct vr_board_header, board_id) == 16, "board_id");
_Static_assert(sizeof(((struct vr_board_header *)0)->board_id) == 8, "board_id");
_Static_assert(offsetof(struct vr_board_header, hash_seed) == 24, "hash_seed");
_Static_assert(sizeof(((struct vr_board_header *)0)->hash_seed) == 8, "hash_seed");
_Static_assert(offsetof(struct vr_board_header, boot_id) == 32, "boot_id");
_Static_assert(sizeof(((struct vr_board_header *)0)->boot_id) == 16, "boot_id");
_Static_assert(offsetof(struct vr_board_header, root_dev) == 48, "root_dev");
_Static_assert(sizeof(((struct vr_board_header *)0)->root_dev) == 8, "root_dev");
_Static_assert(offsetof(struct vr_board_header, root_ino) == 56, "root_ino");
_Static_assert(sizeof(((struct vr_board_header *)0)->root_ino) == 8, "root_ino");
_Static_assert(offsetof(struct vr_board_header, project_id) == 64, "project_id");
_Static_assert(sizeof(((struct vr_board_header *)0)->project_id) == 8, "project_id");
_Static_assert(offsetof(struct vr_board_header, uid) == 72, "uid");
_Static_assert(sizeof(((struct vr_board_header *)0)->uid) == 4, "uid");
_Static_assert(offsetof(struct vr_board_header, reserved84) == 76, "reserved84");
_Static_assert(sizeof(((struct vr_board_header *)0)->reserved84) == 4, "reserved84");
_Static_assert(offsetof(struct vr_board_header, reserved80) == 80, "reserved80");
_Static_assert(sizeof(((struct vr_board_header *)0)->reserved80) == 4008, "reserved80");
_Static_assert(offsetof(struct vr_board_header, checksum) == 4088, "checksum");
_Static_assert(sizeof(((struct vr_board_header *)0)->checksum) == 8, "checksum");
_Static_assert(sizeof(struct vr_board_header) == 4096, "vr_board_header");

struct vr_board_dyn {
  uint32_t superseded; /* sticky, all ones: map the successor; fewer than 16 ones: damage */
  uint32_t overflow; /* count (in both halves) of mutations that found no record; answers stop until sessions end */
  uint32_t corrupt; /* CORRUPTION_DETECTED: count of failed checks seen by clients */
  uint32_t want; /* count of answers that had to wait for a drain */
  uint32_t no_stage; /* watchers and other reasons alive: no new staging while > 0 */
  uint32_t staged_count; /* count (in both halves) of staged records in state STAGED_LIVE */
  uint32_t record_high; /* 1 + highest record ever claimed, in both halves */
  uint32_t staged_high; /* 1 + highest staged record ever claimed, in both halves */
  uint32_t loads; /* processes that mapped the board */
  uint32_t verify_diffs; /* differences found by VRIFT_VERIFY */
  uint32_t faults; /* shim faults */
  uint32_t stage_pool; /* bit n: the empty directory free_<n> lies in the staging area; only a hint */
  uint32_t bell; /* 0: up; else the daemon sleeps here (a futex) and gets up 1: for whoever waits for a drain or a turn, 2: for a drain, 3: for its own threads; only a hint */
  uint32_t want_turn; /* count of answers that had to wait for a turn: a slot or G was dirty, or an entry not verified */
  uint32_t rolled_back; /* staged files of dead writers that were taken away, since the board was made */
  uint8_t reserved60[4]; /* zero */
  uint64_t stats[64]; /* counters by StatReason */
  uint8_t reserved576[3520]; /* zero */
};
_Static_assert(offsetof(struct vr_board_dyn, superseded) == 0, "superseded");
_Static_assert(sizeof(((struct vr_board_dyn *)0)->superseded) == 4, "superseded");
_Static_assert(offsetof(struct vr_board_dyn, overflow) == 4, "overflow");
_Static_assert(sizeof(((struct vr_board_dyn *)0)->overflow) == 4, "overflow");
_Static_assert(offsetof(struct vr_board_dyn, corrupt) == 8, "corrupt");
_Static_assert(sizeof(((struct vr_board_dyn *)0)->corrupt) == 4, "corrupt");
_Static_assert(offsetof(struct vr_board_dyn, want) == 12, "want");
_Static_assert(sizeof(((struct vr_board_dyn *)0)->want) == 4, "want");
_Static_assert(offsetof(struct vr_board_dyn, no_stage) == 16, "no_stage");
_Static_assert(sizeof(((struct vr_board_dyn *)0)->no_stage) == 4, "no_stage");
_Static_assert(offsetof(struct vr_board_dyn, staged_count) == 20, "staged_count");
_Static_assert(sizeof(((struct vr_board_dyn *)0)->staged_count) == 4, "staged_count");
_Static_assert(offsetof(struct vr_board_dyn, record_high) == 24, "record_high");
_Static_assert(sizeof(((struct vr_board_dyn *)0)->record_high) == 4, "record_high");
_Static_assert(offsetof(struct vr_board_dyn, staged_high) == 28, "staged_high");
_Static_assert(sizeof(((struct vr_board_dyn *)0)->staged_high) == 4, "staged_high");
_Static_assert(offsetof(struct vr_board_dyn, loads) == 32, "loads");
_Static_assert(sizeof(((struct vr_board_dyn *)0)->loads) == 4, "loads");
_Static_assert(offsetof(struct vr_board_dyn, verify_diffs) == 36, "verify_diffs");
_Static_assert(sizeof(((struct vr_board_dyn *)0)->verify_diffs) == 4, "verify_diffs");
_Static_assert(offsetof(struct vr_board_dyn, faults) == 40, "faults");
_Static_assert(sizeof(((struct vr_board_dyn *)0)->faults) == 4, "faults");
_Static_assert(offsetof(struct vr_board_dyn, stage_pool) == 44, "stage_pool");
_Static_assert(sizeof(((struct vr_board_dyn *)0)->stage_pool) == 4, "stage_pool");
_Static_assert(offsetof(struct vr_board_dyn, bell) == 48, "bell");
_Static_assert(sizeof(((struct vr_board_dyn *)0)->bell) == 4, "bell");
_Static_assert(offsetof(struct vr_board_dyn, want_turn) == 52, "want_turn");
_Static_assert(sizeof(((struct vr_board_dyn *)0)->want_turn) == 4, "want_turn");
_Static_assert(offsetof(struct vr_board_dyn, rolled_back) == 56, "rolled_back");
_Static_assert(sizeof(((struct vr_board_dyn *)0)->rolled_back) == 4, "rolled_back");
_Static_assert(offsetof(struct vr_board_dyn, reserved60) == 60, "reserved60");
_Static_assert(sizeof(((struct vr_board_dyn *)0)->reserved60) == 4, "reserved60");
_Static_assert(offsetof(struct vr_board_dyn, stats) == 64, "stats");
_Static_assert(sizeof(((struct vr_board_dyn *)0)->stats) == 512, "stats");
_Static_assert(offsetof(struct vr_board_dyn, reserved576) == 576, "reserved576");
_Static_assert(sizeof(((struct vr_board_dyn *)0)->reserved576) == 3520, "reserved576");
_Static_assert(sizeof(struct vr_board_dyn) == 4096, "vr_board_dyn");

struct vr_record {
  uint32_t state; /* RECORD_*, atomic */
  uint32_t kind; /* KIND_*; while CLAIMED: the claimant's pid */
  uint32_t pid; /* owner */
  uint32_t tid; /* owner thread; an OP record of a thread that is gone is dead */
  uint64_t time; /* CLOCK_BOOTTIME ns at publication: an owner that started later is another process */
  uint16_t slots[6]; /* slots named; NO_SLOT: unused */
  uint16_t flags;
  uint16_t reserved38; /* zero */
  uint64_t ino[2]; /* inodes named; 0: unused */
  uint32_t staged; /* 1 + index of the staged record; 0: none */
  uint32_t sum; /* hash32 of bytes 4..59, seed 0, while LIVE; wrong: every slot and inode counts as named */
};
_Static_assert(offsetof(struct vr_record, state) == 0, "state");
_Static_assert(sizeof(((struct vr_record *)0)->state) == 4, "state");
_Static_assert(offsetof(struct vr_record, kind) == 4, "kind");
_Static_assert(sizeof(((struct vr_record *)0)->kind) == 4, "kind");
_Static_assert(offsetof(struct vr_record, pid) == 8, "pid");
_Static_assert(sizeof(((struct vr_record *)0)->pid) == 4, "pid");
_Static_assert(offsetof(struct vr_record, tid) == 12, "tid");
_Static_assert(sizeof(((struct vr_record *)0)->tid) == 4, "tid");
_Static_assert(offsetof(struct vr_record, time) == 16, "time");
_Static_assert(sizeof(((struct vr_record *)0)->time) == 8, "time");
_Static_assert(offsetof(struct vr_record, slots) == 24, "slots");
_Static_assert(sizeof(((struct vr_record *)0)->slots) == 12, "slots");
_Static_assert(offsetof(struct vr_record, flags) == 36, "flags");
_Static_assert(sizeof(((struct vr_record *)0)->flags) == 2, "flags");
_Static_assert(offsetof(struct vr_record, reserved38) == 38, "reserved38");
_Static_assert(sizeof(((struct vr_record *)0)->reserved38) == 2, "reserved38");
_Static_assert(offsetof(struct vr_record, ino) == 40, "ino");
_Static_assert(sizeof(((struct vr_record *)0)->ino) == 16, "ino");
_Static_assert(offsetof(struct vr_record, staged) == 56, "staged");
_Static_assert(sizeof(((struct vr_record *)0)->staged) == 4, "staged");
_Static_assert(offsetof(struct vr_record, sum) == 60, "sum");
_Static_assert(sizeof(((struct vr_record *)0)->sum) == 4, "sum");
_Static_assert(sizeof(struct vr_record) == 64, "vr_record");

struct vr_staged {
  uint32_t state; /* generation | STAGED_*, atomic */
  uint32_t pid; /* owner */
  uint64_t time; /* CLOCK_BOOTTIME ns at publication */
  uint64_t path_hash; /* hash of the target path */
  uint64_t parent_hash; /* hash of the target's parent path */
  uint64_t staging_ino;
  uint64_t old_ino; /* 0: the target was absent */
  uint64_t parent_dev;
  uint64_t parent_ino;
  uint32_t fd; /* number in the staging file's name */
  uint32_t flags; /* STAGED_PRODUCT */
  uint64_t stamp; /* number in the staging file's name */
  uint16_t path_len;
  uint16_t reserved82; /* zero */
  uint32_t checksum; /* hash32 of bytes 4..83 and the path, seed 0: a torn copy is refused */
  uint8_t path[936]; /* target path relative to the root */
};
_Static_assert(offsetof(struct vr_staged, state) == 0, "state");
_Static_assert(sizeof(((struct vr_staged *)0)->state) == 4, "state");
_Static_assert(offsetof(struct vr_staged, pid) == 4, "pid");
_Static_assert(sizeof(((struct vr_staged *)0)->pid) == 4, "pid");
_Static_assert(offsetof(struct vr_staged, time) == 8, "time");
_Static_assert(sizeof(((struct vr_staged *)0)->time) == 8, "time");
_Static_assert(offsetof(struct vr_staged, path_hash) == 16, "path_hash");
_Static_assert(sizeof(((struct vr_staged *)0)->path_hash) == 8, "path_hash");
_Static_assert(offsetof(struct vr_staged, parent_hash) == 24, "parent_hash");
_Static_assert(sizeof(((struct vr_staged *)0)->parent_hash) == 8, "parent_hash");
_Static_assert(offsetof(struct vr_staged, staging_ino) == 32, "staging_ino");
_Static_assert(sizeof(((struct vr_staged *)0)->staging_ino) == 8, "staging_ino");
_Static_assert(offsetof(struct vr_staged, old_ino) == 40, "old_ino");
_Static_assert(sizeof(((struct vr_staged *)0)->old_ino) == 8, "old_ino");
_Static_assert(offsetof(struct vr_staged, parent_dev) == 48, "parent_dev");
_Static_assert(sizeof(((struct vr_staged *)0)->parent_dev) == 8, "parent_dev");
_Static_assert(offsetof(struct vr_staged, parent_ino) == 56, "parent_ino");
_Static_assert(sizeof(((struct vr_staged *)0)->parent_ino) == 8, "parent_ino");
_Static_assert(offsetof(struct vr_staged, fd) == 64, "fd");
_Static_assert(sizeof(((struct vr_staged *)0)->fd) == 4, "fd");
_Static_assert(offsetof(struct vr_staged, flags) == 68, "flags");
_Static_assert(sizeof(((struct vr_staged *)0)->flags) == 4, "flags");
_Static_assert(offsetof(struct vr_staged, stamp) == 72, "stamp");
_Static_assert(sizeof(((struct vr_staged *)0)->stamp) == 8, "stamp");
_Static_assert(offsetof(struct vr_staged, path_len) == 80, "path_len");
_Static_assert(sizeof(((struct vr_staged *)0)->path_len) == 2, "path_len");
_Static_assert(offsetof(struct vr_staged, reserved82) == 82, "reserved82");
_Static_assert(sizeof(((struct vr_staged *)0)->reserved82) == 2, "reserved82");
_Static_assert(offsetof(struct vr_staged, checksum) == 84, "checksum");
_Static_assert(sizeof(((struct vr_staged *)0)->checksum) == 4, "checksum");
_Static_assert(offsetof(struct vr_staged, path) == 88, "path");
_Static_assert(sizeof(((struct vr_staged *)0)->path) == 936, "path");
_Static_assert(sizeof(struct vr_staged) == 1024, "vr_staged");

struct vr_frame {
  uint32_t magic; /* "VRM1" */
  uint16_t protocol;
  uint16_t opcode;
  uint32_t length; /* bytes of payload, at most PAYLOAD_MAX */
  uint32_t request; /* chosen by the asker, repeated in the answer */
};
_Static_assert(offsetof(struct vr_frame, magic) == 0, "magic");
_Static_assert(sizeof(((struct vr_frame *)0)->magic) == 4, "magic");
_Static_assert(offsetof(struct vr_frame, protocol) == 4, "protocol");
_Static_assert(sizeof(((struct vr_frame *)0)->protocol) == 2, "protocol");
_Static_assert(offsetof(struct vr_frame, opcode) == 6, "opcode");
_Static_assert(sizeof(((struct vr_frame *)0)->opcode) == 2, "opcode");
_Static_assert(offsetof(struct vr_frame, length) == 8, "length");
_Static_assert(sizeof(((struct vr_frame *)0)->length) == 4, "length");
_Static_assert(offsetof(struct vr_frame, request) == 12, "request");
_Static_assert(sizeof(((struct vr_frame *)0)->request) == 4, "request");
_Static_assert(sizeof(struct vr_frame) == 16, "vr_frame");

struct vr_meta {
  uint64_t checksum; /* stored: hash64 of the rest, seed = hash64(key, 0); in batches 0 */
  uint64_t epoch; /* number of the writer's session */
  uint64_t dev; /* st_dev; 0: the root's */
  uint32_t length; /* bytes of the whole item, a multiple of 8 */
  uint32_t op; /* OP_*; stored: 0 */
  uint8_t content[32]; /* SHA-256, if FLAG_CONTENT */
  uint32_t version; /* MetaLayout.VERSION */
  uint32_t flags; /* FLAG_* */
  uint64_t reserved72; /* zero */
  uint8_t entry[128]; /* a vr_entry; seq, checksum and path_hash are 0 when stored */
};
_Static_assert(offsetof(struct vr_meta, checksum) == 0, "checksum");
_Static_assert(sizeof(((struct vr_meta *)0)->checksum) == 8, "checksum");
_Static_assert(offsetof(struct vr_meta, epoch) == 8, "epoch");
_Static_assert(sizeof(((struct vr_meta *)0)->epoch) == 8, "epoch");
_Static_assert(offsetof(struct vr_meta, dev) == 16, "dev");
_Static_assert(sizeof(((struct vr_meta *)0)->dev) == 8, "dev");
_Static_assert(offsetof(struct vr_meta, length) == 24, "length");
_Static_assert(sizeof(((struct vr_meta *)0)->length) == 4, "length");
_Static_assert(offsetof(struct vr_meta, op) == 28, "op");
_Static_assert(sizeof(((struct vr_meta *)0)->op) == 4, "op");
_Static_assert(offsetof(struct vr_meta, content) == 32, "content");
_Static_assert(sizeof(((struct vr_meta *)0)->content) == 32, "content");
_Static_assert(offsetof(struct vr_meta, version) == 64, "version");
_Static_assert(sizeof(((struct vr_meta *)0)->version) == 4, "version");
_Static_assert(offsetof(struct vr_meta, flags) == 68, "flags");
_Static_assert(sizeof(((struct vr_meta *)0)->flags) == 4, "flags");
_Static_assert(offsetof(struct vr_meta, reserved72) == 72, "reserved72");
_Static_assert(sizeof(((struct vr_meta *)0)->reserved72) == 8, "reserved72");
_Static_assert(offsetof(struct vr_meta, entry) == 80, "entry");
_Static_assert(sizeof(((struct vr_meta *)0)->entry) == 128, "entry");
_Static_assert(sizeof(struct vr_meta) == 208, "vr_meta");

#endif
