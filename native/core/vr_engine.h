/* The sole writer's side of a VDir: what the one vdir_d of a project does to it (docs/PROTOCOL.md sections 6 and 8). One thread,
 * the apply thread, owns an engine and makes every call here; no other thread may touch it, except the functions marked
 * "any thread". Nothing here aborts; everything returns 0 or more, or -errno. */
#ifndef VR_ENGINE_H
#define VR_ENGINE_H
#include "vr_vdir.h"

struct vr_engine;

struct vr_limits {
  uint64_t max_files;   /* entries */
  uint64_t max_bytes;   /* of the VDir file */
  uint32_t max_watches; /* inotify watches of this project */
  uint32_t hint;        /* entries expected; sizes the first file. 0: unknown */
};

/* Why memory gives no answers in the whole project. */
enum vr_native { VR_NATIVE_NONE, VR_NATIVE_FILESYSTEM, VR_NATIVE_ATIME, VR_NATIVE_ROOT_MOVED, VR_NATIVE_WATCHES, VR_NATIVE_SPACE };

/* What a turn found and where the engine stands; all counts are totals unless said otherwise. */
struct vr_report {
  uint64_t drain;      /* number of the newest drain done */
  uint64_t entries, dirs, watches, bytes_used, file_size, generation;
  uint64_t vdir_id, board_id;
  uint64_t unverified; /* entries waiting to be verified */
  uint64_t scans;      /* directories waiting to be read */
  uint64_t settles;    /* entries waiting for their atime to be settled */
  uint64_t dirty;      /* slots left dirty by this turn */
  uint64_t events, verified, settled, reaped, overflows, limited_dirs, corrupt;
  uint64_t busy;       /* 1: this turn found something to do, or was asked for by a client */
  uint64_t native_why; /* enum vr_native */
  uint64_t staged_dead;/* live records of dead owners that name a staged file: left for the staging sweep */
  uint64_t escaped;    /* ESCAPED records alive */
  uint64_t magic;      /* f_type of the filesystem */
  uint64_t limited;    /* 1: a quota keeps part of the tree out */
  uint64_t rebuilds;   /* VDirs made anew because the old one was damaged */
  uint64_t complete;   /* 1: nothing waits to be scanned or verified */
  uint64_t repaired;   /* words put right in place (docs/DAMAGE.md) */
  uint64_t patrols;    /* times that every checksum was looked at in quiet turns */
  uint64_t forgotten;  /* rebuilds that had to read the whole tree again */
  uint64_t rebuild_us; /* how long the newest rebuild took, until it was known to clients */
  uint64_t drifts;     /* entries that the sweep found different from the tree, and had verified again */
  uint64_t cuts;       /* files that were cut off or unlinked under us */
  uint64_t bad_records;/* board records whose sum is wrong now */
  uint64_t classify;   /* 1: programs on the board wait for a verdict */
  uint64_t adopted;    /* 1: VDir and state are those of a predecessor that died */
  uint64_t adopt_us;   /* how long it took to take them over */
  uint64_t adoptable;  /* 1: there is a state file */
};

/* Opens root (absolute, real), takes over the board that the link map_path names if it is good (else makes one) and makes a new
 * VDir, the root watched and queued for scanning. Nothing is known to clients before vr_engine_publish. reason gets a sentence on failure. */
int vr_engine_open(const char *root, const char *map_path, const struct vr_limits *limits, struct vr_engine **out, char *reason, size_t cap);
/* The same for a successor: watch is the inotify instance of the one that died, which its keeper says has the number watch_id. If VDir and state
 * file of that one can be gone on with (docs/ADOPTION.md), that is done: report.adopted, and clients have what they had. Else as vr_engine_open,
 * with a sentence in reason. watch is taken in either case; -1: none. */
int vr_engine_open_kept(const char *root, const char *map_path, const struct vr_limits *limits, int watch, uint64_t watch_id, struct vr_engine **out,
                        char *reason, size_t cap);
/* Any thread: the inotify instance and its number, neither of which ever changes; for somebody to keep a duplicate of. */
int vr_engine_watch(const struct vr_engine *e, uint64_t *number);
/* Any thread: 1: VDir and state are those of a predecessor. */
int vr_engine_adopted(const struct vr_engine *e);
/* Replaces the map link by one that names this VDir; then the one it named before is superseded and its name removed. */
int vr_engine_publish(struct vr_engine *e);
/* One turn: ver → scan → drain → stat → publish; then up to budget_us of verifying and scanning; the lease if serve. */
int vr_engine_turn(struct vr_engine *e, int serve, uint32_t budget_us, struct vr_report *out);
/* Waits up to timeout_ms for: bit 0 an inotify event (only if events), bit 1 wake_fd, bit 2 a change of the mount table. */
int vr_engine_wait(struct vr_engine *e, int wake_fd, int events, int timeout_ms);
/* The same while clients are at work: drains of an empty queue are done here, whenever somebody wants one. Returns when a turn is due. */
int vr_engine_hurry(struct vr_engine *e, int wake_fd, int timeout_ms);
/* Any thread, after wake_fd was written: whoever sleeps in vr_engine_hurry looks. */
void vr_engine_ring(struct vr_engine *e);
/* Everything UNVERIFIED, no directory COMPLETE, all read again. */
void vr_engine_distrust(struct vr_engine *e);
/* Checks every checksum. Number of bad buckets and entries. */
uint64_t vr_engine_scrub(struct vr_engine *e);
/* A new VDir from nothing beside the same board (the old one was corrupt), published; everything read again. */
int vr_engine_rebuild(struct vr_engine *e);
/* Names known beforehand (from the metadata store): entered UNVERIFIED. names: u16 length, bytes, repeated. Number entered. */
int vr_engine_preload(struct vr_engine *e, const uint8_t *names, size_t size);
/* Compares up to max entries from *cursor on with the tree. Each difference is written to out as: u16 path length, u16 field name
 * length, u16 memory length, u16 kernel length, then the four texts. Bytes written; *cursor == UINT32_MAX when done. */
int vr_engine_compare(struct vr_engine *e, uint32_t *cursor, uint32_t max, uint8_t *out, size_t cap, uint64_t *checked);
/* Entries that became CLEAN since the last call, at most max: u16 path length, u16 zero, u32 zero, struct vr_entry, path; GONE ones too. Bytes. */
int vr_engine_changes(struct vr_engine *e, uint8_t *out, size_t cap);
/* Writes a verdict into programs[]; key is size, mtime and so on as in the layout. */
void vr_engine_program(struct vr_engine *e, const struct vr_program *p);
/* Withdraws the lease; unlink_files: supersedes and removes both files and the map link. Nothing is unmapped: other threads may still look. */
void vr_engine_retire(struct vr_engine *e, int unlink_files);
/* Retires, and frees everything. No other thread may hold e. */
void vr_engine_close(struct vr_engine *e, int unlink_files);
struct vr_vdir *vr_engine_vdir(struct vr_engine *e);
struct vr_board *vr_engine_board(struct vr_engine *e);

/* Any thread: number of the newest drain begun (never that of a file that has been replaced meanwhile), and st_dev of the root. */
uint64_t vr_engine_drain_started(const struct vr_engine *e);
uint64_t vr_engine_root_dev(const struct vr_engine *e);
/* Any thread: frees ESCAPED records whose inode no process has open for writing or mapped shared. Looks at all of /proc. Number freed. */
int vr_engine_free_escaped(struct vr_board *b, uint64_t root_dev);
/* 1: that process is gone, or one of the same number that started after time_ns (CLOCK_BOOTTIME). */
int vr_owner_dead(uint32_t pid, uint64_t time_ns);
#endif
