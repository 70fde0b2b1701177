/* Inside the engine. The private side (nodes, directories, queues) lies in this process's heap; the shared side is written only
 * through vr_put_entry and vr_put_index, under seq and checksum. */
#ifndef VR_ENGINE_INTERNAL_H
#define VR_ENGINE_INTERNAL_H
#include "vr_engine.h"
#include "vr_bus.h"
#include <sys/stat.h>
#include <sys/types.h>

#define VR_NONE 0xffffffffu
#define VR_REL_MAX 4096 /* bytes of a relative path with its zero */
#define VR_NAME_LIMIT 255
#define VR_TARGET_MAX 1024
#define VR_WATCH_MASK \
  (IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO | IN_MODIFY | IN_ATTRIB | IN_CLOSE_WRITE | IN_DELETE_SELF | IN_MOVE_SELF)

enum { /* vr_node.flags */
  N_QUEUED = 1,   /* in the verify queue */
  N_SETTLING = 2, /* in the settle queue */
  N_EXCLUDED = 4, /* never CLEAN, not descended: .vrift, .git/objects */
  N_CLEAN = 8,    /* the entry says CLEAN */
  N_GONE = 16,    /* the entry says GONE */
  N_CHANGED = 32, /* in the changes list */
  N_SEEN = 64,    /* met by the running scan of its directory */
  N_LOST = 256,   /* its entry was damaged and its name not found again; a number without a path */
  N_KEPT = 128,   /* reported as a change since it was last gone: the metadata store has a record of it */
};

/* One per path known; the number never changes in an engine's life. 40 bytes. */
struct vr_node {
  uint64_t hash;
  uint32_t off; /* of the entry, in 16 bytes */
  uint32_t parent, child, sibling;
  uint32_t slot_next; /* next node of the same slot */
  uint32_t dir;       /* index into dirs; 0: none */
  uint16_t target_cap;
  uint16_t flags;
};

struct vr_dir {
  uint32_t node;
  int32_t wd; /* -1: not watched */
  uint64_t ino;
  uint32_t mode, uid, gid;
  uint8_t ok;       /* real, searchable, watched, on the root's mount, below such: children may be CLEAN */
  uint8_t complete; /* all children are in */
  uint8_t queued;   /* in the scan queue */
  uint8_t drained;  /* read; COMPLETE after the next drain */
  uint8_t acl;
  uint8_t again;    /* a name could not be entered or something is in doubt: to be read again before COMPLETE */
  uint8_t limited;  /* outside the watch budget or quota */
};

struct vr_queue { uint32_t *at; uint32_t head, count, cap; };
struct vr_settle { uint32_t node; uint64_t due; };

/* What the scan of the records found (PROTOCOL section 6, "scan"). */
struct vr_forbidden {
  uint8_t slot[VR_SLOTS]; /* 1: not to be published */
  int everything;         /* a live OP or BLIND names G */
  uint64_t ino[32768];    /* set of named inodes, open addressing; stamp tells the members */
  uint32_t stamp[32768];
  uint32_t now;
  uint32_t inodes;
  int damaged;            /* records whose sum is wrong: everything and every inode counts as named */
};

struct vr_engine {
  struct vr_vdir vdir;
  uint8_t *base;
  struct vr_board board;
  struct vr_dyn *dyn;
  uint64_t *pub;
  struct vr_limits limits;
  char root[VR_ROOT_PATH_MAX], map_path[VR_REL_MAX], old_name[64];
  uint8_t *old_base; /* the predecessor's VDir, to be superseded by publish */
  size_t old_size;
  uint64_t old_id;
  int vdir_fd, board_fd; /* -1: none */
  uint64_t entry_count, entries_used; /* what dyn says of them is for reports: a flipped bit there must not lead us astray */
  int root_fd, inotify, mounts, mounts_told;
  uint64_t root_dev, root_ino, mnt_id, magic, mounts_hash, generation, native_why;
  uint32_t noatime, nodiratime, delayed; /* delayed: st_blocks moves at write-back. 1 ext4, 2 others */
  int published, board_new;

  struct vr_node *nodes;
  uint32_t node_count, node_cap;
  uint32_t *table; /* hash → node + 1 */
  uint32_t table_mask;
  uint32_t slot_head[VR_SLOTS];
  uint32_t *inos; /* inode → node + 1 */
  uint32_t ino_mask;
  uint64_t ino_used;
  struct vr_dir *dirs; /* [0] unused */
  uint32_t dir_count, dir_cap, dirs_live;
  uint32_t *wds; /* wd → dir */
  uint32_t wd_cap;
  uint64_t watches;
  struct vr_queue verify, scan, changes;
  struct vr_settle *settles;
  struct { uint8_t *base; size_t at; uint32_t off, pages; } huge; /* how far the VDir has been given huge pages; off: refused here */
  uint32_t settle_head, settle_count, settle_cap;
  uint32_t *pending; /* dirs read, waiting for a drain */
  uint32_t pending_count, pending_cap;
  uint32_t sweep;

  struct vr_forbidden *forbidden;
  uint64_t dirty_ver[VR_SLOTS];
  uint8_t dirty[VR_SLOTS]; /* as seen before the newest scan of the records, and not published since */
  uint16_t dirty_slots[VR_SLOTS]; /* the numbers of those, ascending */
  uint32_t dirty_count;
  uint32_t clean_from;     /* the slot where the next turn goes on cleaning */
  uint32_t want_seen, want_turn_seen, corrupt_seen, overflow;
  int drained;             /* the last turn emptied the queue and applied all of it */
  int g_again;             /* ver[0] was bumped by ourselves: another turn at once */
  uint64_t reap_due, watchers_due, root_due, now; /* now: CLOCK_MONOTONIC_COARSE ns at the turn's start */
  struct vr_report rep;
  uint8_t *events; /* read buffer */
  uint8_t *dents;
  int scan_fd; /* the directory being read, -1: none */
  uint32_t scan_dir;
  int32_t scan_wd;
  uint32_t uid;
  uint64_t scrub_due, sweep_due, patrol_due;
  uint32_t words[4];    /* of the board, as last seen: vr_guard */
  uint64_t patrol;      /* where the patrol goes on: buckets, then nodes */
  uint64_t drain_begun; /* as dyn->drain_started, for other threads: the file under dyn may be replaced and unmapped */
};

/* Clocks, ns. */
uint64_t vr_clock(int id);

/* vr_engine_shm.c */
int vr_shm_create(const char *kind, uint64_t id, uint64_t size, uint8_t **out);
int vr_shm_open(const char *name, int writable, uint64_t exact, uint8_t **out, uint64_t *size);
int vr_shm_fd(const char *kind, uint64_t id);
int vr_board_make(struct vr_engine *e, uint8_t **out);
uint64_t vr_random(void);
int vr_engine_new_file(struct vr_engine *e, uint64_t entries, uint64_t bytes);
int vr_engine_take_board(struct vr_engine *e, const char *link);
void vr_engine_seal_header(struct vr_header *h);

/* vr_engine_table.c */
struct vr_entry *vr_entry_at(struct vr_engine *e, uint32_t off);
int vr_node_path(struct vr_engine *e, uint32_t n, char out[VR_REL_MAX]); /* length, or -1: the entry is damaged */
uint32_t vr_find(struct vr_engine *e, const char *rel, uint32_t len, uint64_t hash);
uint32_t vr_enter(struct vr_engine *e, uint32_t parent, const char *rel, uint32_t len, uint32_t target_len); /* finds or makes */
void vr_put_entry(struct vr_engine *e, uint32_t n, const struct statx *st, uint32_t state, const char *target, uint32_t target_len);
void vr_put_state(struct vr_engine *e, uint32_t n, uint32_t clear, uint32_t set);
void vr_distrust_node(struct vr_engine *e, uint32_t n); /* UNVERIFIED and queued */
int vr_queue_push(struct vr_queue *q, uint32_t v);
uint32_t vr_queue_pop(struct vr_queue *q);
int vr_table_room(struct vr_engine *e);
void vr_put_index(struct vr_engine *e, uint64_t hash, uint32_t off);
void vr_ino_note(struct vr_engine *e, uint32_t n, uint64_t ino);
uint32_t vr_ino_find(struct vr_engine *e, uint64_t ino);
int vr_engine_grow(struct vr_engine *e, uint64_t entries, uint64_t bytes);

/* vr_engine_watch.c */
uint32_t vr_dir_of(struct vr_engine *e, uint32_t n); /* makes the dir record; 0: no memory */
int vr_watch_dir(struct vr_engine *e, uint32_t d, int dirfd, const char *name);
void vr_unwatch_dir(struct vr_engine *e, uint32_t d);
void vr_drop_subtree(struct vr_engine *e, uint32_t n, int self);
int vr_drain(struct vr_engine *e); /* 1: until EAGAIN, 0: gave up after a bound, -errno */

/* vr_engine_verify.c */
void vr_verify(struct vr_engine *e, uint32_t n);
void vr_verify_at(struct vr_engine *e, uint32_t n, int dirfd, const char *name, const char *rel);
struct vr_siblings { uint32_t parent; int fd; };
void vr_verify_next(struct vr_engine *e, uint32_t n, struct vr_siblings *s); /* {VR_NONE, -1} to begin with; fd is the caller's to close */
void vr_check_dir(struct vr_engine *e, uint32_t d);
int vr_settle_due(struct vr_engine *e, uint64_t until); /* 1: some were due */
void vr_settle_later(struct vr_engine *e, uint32_t n, uint64_t due);
int vr_inode_named(struct vr_engine *e, uint64_t ino);

void vr_drop_file(const uint8_t *at, size_t size, uint64_t id); /* supersedes, unmaps, unlinks (vr_engine_grow.c) */

/* vr_engine_owners.c: those that watched the project and have ended no longer keep others from staging. */
void vr_reap_watchers(struct vr_engine *e);

/* vr_engine_damage.c */
int vr_record_damaged(struct vr_record *r);
void vr_reap_damaged(struct vr_engine *e, struct vr_record *r, int serve);
int vr_guard(struct vr_engine *e);                       /* headers and flags, each turn. 1: the VDir must be made anew */
uint32_t vr_guard_record(struct vr_engine *e, struct vr_record *r); /* its state; a flipped bit in the word is put right */
int vr_bucket_sound(const struct vr_engine *e, uint64_t number);
int vr_entry_sound(struct vr_engine *e, uint32_t n);
uint64_t vr_patrol(struct vr_engine *e, uint32_t steps); /* damage found by looking at the next so many buckets and entries */
int vr_path_sane(const char *rel, uint32_t len);         /* no empty, "." or ".." part, no zero */

/* vr_engine_scan.c */
void vr_queue_scan(struct vr_engine *e, uint32_t d);
void vr_scan_some(struct vr_engine *e, uint64_t until);
void vr_complete_drained(struct vr_engine *e);

/* vr_engine_mounts.c */
int vr_mounts_changed(struct vr_engine *e); /* 1: a mount at or below the root came or went */
int vr_mounts_init(struct vr_engine *e);
/* vr_engine_huge.c: one huge page, if there is one to be had. */
void vr_engine_huge_some(struct vr_engine *e);
#endif
