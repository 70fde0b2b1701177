/* Inside the engine. The private side (nodes, directories) lies in the state file, so that a successor can go on with it (docs/ADOPTION.md), its
 * queues in this process's heap; the shared side is written only through vr_put_entry and vr_put_index, under seq and checksum. */
#ifndef VR_ENGINE_INTERNAL_H
#define VR_ENGINE_INTERNAL_H
#include "vr_engine.h"
#include "vr_bus.h"
#include "vr_engine_state.h"
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
  uint64_t watch_id; /* number of the inotify instance, which vriftd keeps a descriptor of */
  uint32_t noatime, nodiratime, delayed; /* delayed: st_blocks moves at write-back. 1 ext4, 2 others */
  int published, board_new;

  struct vr_region region; /* the state file, or heap laid out like it; what follows points into it and moves when it is replaced */
  struct vr_state *st;
  struct vr_node *nodes;
  uint32_t *table; /* hash → node + 1 */
  uint32_t table_mask;
  uint32_t *slot_head;
  uint32_t *inos; /* inode → node + 1 */
  uint32_t ino_mask;
  uint64_t ino_used;
  struct vr_dir *dirs; /* [0] unused */
  uint8_t *journal;
  uint32_t dirs_live;
  uint32_t *wds; /* wd → dir */
  uint32_t wd_cap;
  uint64_t watches;
  struct vr_queue verify, scan, changes;
  struct vr_settle *settles;
  struct { uint8_t *base; size_t at; uint64_t due; uint32_t off, pages, failed, rounds; } huge; /* how far the VDir has been given huge pages; off: refused here */
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
  uint32_t want_seen;                    /* of want, at the end of the last turn */
  uint32_t want_turn_seen, want_hurried; /* of want_turn and want, at its beginning */
  uint32_t g_turns; /* made for G at g_ver */
  uint64_t g_ver;
  int drained;             /* the last turn emptied the queue and applied all of it */
  int g_again;             /* ver[0] was bumped by ourselves: another turn at once */
  uint64_t reap_due, watchers_due, root_due, now; /* now: CLOCK_MONOTONIC_COARSE ns at the turn's start */
  struct vr_report rep;
  uint8_t *dents;
  int scan_fd; /* the directory being read, -1: none */
  uint32_t scan_dir;
  int32_t scan_wd;
  uint32_t uid;
  uint64_t scrub_due, sweep_due, sweep_pass_due, patrol_due;
  uint32_t words[4];    /* of the board, as last seen: vr_guard */
  uint64_t patrol;      /* where the patrol goes on: buckets, then nodes */
  uint64_t haste;       /* after an adoption: so many steps of it are to be made soon */
  uint64_t drain_begun; /* as dyn->drain_started, for other threads: the file under dyn may be replaced and unmapped */
};

/* Clocks, ns. */
uint64_t vr_clock(int id);

/* vr_engine_shm.c */
int vr_shm_create(struct vr_engine *e, const char *kind, uint64_t id, uint64_t size, uint8_t **out);
void vr_shm_remove(struct vr_engine *e, const char *kind, uint64_t id);
int vr_fill_header(struct vr_engine *e, struct vr_header *h, uint64_t id, uint64_t buckets, uint64_t bytes, uint64_t size);
void vr_own_vdir(struct vr_engine *e); /* dyn says who writes it */
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
void vr_damaged(struct vr_engine *e); /* damage is known: no lease, no adoption, until the VDir is made anew */
int vr_put_bucket(struct vr_engine *e, uint64_t hash, uint32_t off, int marked); /* marked: a successor is told */
void vr_reset_entry(struct vr_engine *e, uint32_t n, const char *path, uint32_t len); /* to its path, UNVERIFIED */
void vr_list_node(struct vr_engine *e, uint32_t n); /* the newest node into the lists and the table, as far as it is not there */
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
void vr_replay(struct vr_engine *e); /* applies what the predecessor had read and not applied */
int vr_wd_room(struct vr_engine *e, int32_t wd); /* in wds; 0 or -ENOMEM */

/* vr_engine_verify.c */
void vr_verify(struct vr_engine *e, uint32_t n);
void vr_verify_at(struct vr_engine *e, uint32_t n, int dirfd, const char *name, const char *rel);
struct vr_siblings { uint32_t parent; int fd; };
void vr_verify_next(struct vr_engine *e, uint32_t n, struct vr_siblings *s); /* {VR_NONE, -1} to begin with; fd is the caller's to close */
void vr_check_dir(struct vr_engine *e, uint32_t d);
int vr_settle_due(struct vr_engine *e, uint64_t until); /* 1: some were due */
void vr_settle_later(struct vr_engine *e, uint32_t n, uint64_t due);
int vr_inode_named(struct vr_engine *e, uint64_t ino);

void vr_drop_file(struct vr_engine *e, const uint8_t *at, size_t size, uint64_t id); /* supersedes, unmaps, unlinks (vr_engine_grow.c) */

/* vr_engine_owners.c: those that watched the project and have ended no longer keep others from staging. */
void vr_reap_watchers(struct vr_engine *e);

/* vr_engine_damage.c */
int vr_record_damaged(struct vr_record *r);
void vr_reap_damaged(struct vr_engine *e, struct vr_record *r, int serve);
int vr_guard(struct vr_engine *e);                       /* headers and flags, each turn. 1: the VDir must be made anew */
uint32_t vr_guard_record(struct vr_engine *e, struct vr_record *r); /* its state; a flipped bit in the word is put right */
int vr_bucket_sound(const struct vr_engine *e, uint64_t number);
int vr_entry_sound(struct vr_engine *e, uint32_t n);
/* Copies the entry at `at`, of which `size` bytes are there, to `to`; the copy is looked at. 1: it is good and that of this hash. */
int vr_copy_sound(const uint8_t *at, uint64_t size, uint64_t hash, uint8_t *to, size_t room);
uint64_t vr_patrol(struct vr_engine *e, uint32_t steps); /* damage found by looking at the next so many buckets and entries */
int vr_path_sane(const char *rel, uint32_t len);         /* no empty, "." or ".." part, no zero */

/* vr_engine_scan.c */
void vr_queue_scan(struct vr_engine *e, uint32_t d);
void vr_scan_some(struct vr_engine *e, uint64_t until);
void vr_complete_drained(struct vr_engine *e);

/* vr_engine_mounts.c */
int vr_mounts_changed(struct vr_engine *e); /* 1: a mount at or below the root came or went */
int vr_mounts_init(struct vr_engine *e);

/* vr_engine_state.c */
int vr_state_renew(struct vr_engine *e, uint32_t nodes, uint32_t dirs, struct vr_region *old); /* 0 or -ENOMEM; old: what was in use, the caller's to drop */
int vr_state_grow(struct vr_engine *e, uint32_t nodes, uint32_t dirs);                         /* the same, linked, the old one dropped */
void vr_state_use(struct vr_engine *e, const struct vr_region *r);
void vr_state_spoil(const struct vr_region *r);
void vr_state_drop(struct vr_engine *e, struct vr_region *r);
void vr_state_tables(struct vr_engine *e); /* both hash tables anew from the nodes */
int vr_state_sound(const uint8_t *at, uint64_t size); /* header and geometry */

/* vr_engine_names.c: names in the project's directory (that of the map link). */
void vr_name_marker(struct vr_engine *e, const char *kind, uint64_t id, int there);
int vr_name_link(struct vr_engine *e); /* state.<vdir> names the region in use; 0 or -errno */
uint64_t vr_name_state(struct vr_engine *e, uint64_t vdir); /* 0: none */
void vr_name_unlink(struct vr_engine *e, uint64_t vdir);
void vr_names_sweep(struct vr_engine *e, uint64_t vdir, uint64_t board, uint64_t state); /* removes whatever else was begun in /dev/shm */

/* vr_engine_adopt.c. 1: the engine has the predecessor's VDir and state; 0: it is as before, and reason says why (may be empty). */
int vr_adopt(struct vr_engine *e, const char *link, int watch, uint64_t watch_id, char *reason, size_t cap);
int vr_repair(struct vr_engine *e); /* vr_engine_repair.c: bounds, marks, queues. 0, or -1: this cannot be the work of a kill */

/* vr_engine_huge.c: one huge page, if there is one to be had. */
void vr_engine_huge_some(struct vr_engine *e);
#endif
