/* Staging inside the shim: what stage_*.c share. Nothing here is called by other files; theirs is shim.h. */
#ifndef STAGING_H
#define STAGING_H
#include "shim.h"
#include "vr_stage.h"

/* One staged descriptor of this process. Found by scanning: there are few at a time. */
enum { SLOT_FREE, SLOT_BUSY, SLOT_ACTIVE };
struct stage_slot {
  uint32_t state;    /* SLOT_*, atomic: BUSY belongs to whoever set it */
  int fd;
  pid_t pid;         /* a forked child has a copy of the table, and nothing of its own in it */
  int held;          /* index of the HELD record */
  int shared;        /* a promotion failed: there may be copies of the descriptor, so the inode itself must get to its place */
  uint32_t staged;   /* index of the staged record */
  struct vr_staged record; /* our own copy: what others could overwrite on the board is not trusted */
  int from_memory;   /* the record's parent was not looked at */
  int64_t old_mtime; /* ns, of the target at open; 0: it was absent */
  uint64_t board_id; /* of the board the record is on */
};
#define STAGE_SLOTS 64
extern struct stage_slot stage_slots[STAGE_SLOTS] HIDDEN;
extern uint32_t stage_used HIDDEN; /* slots not FREE; atomic */
extern uint32_t stage_high HIDDEN; /* 1 + the highest slot ever used; atomic */

/* What open learned about the target. */
struct stage_target {
  const char *rel;
  char *scratch; /* SHIM_PATH_MAX bytes */
  uint32_t len, parent_len;
  uint64_t path_hash, parent_hash;
  uint64_t parent_dev, parent_ino;
  struct statx old;
  int present;
  int from_memory; /* what was learned about the parent stands in the VDir: true until somebody moves it, which commit finds out */
};
/* stage_target.c. Could a file that is moved there by rename be the one that native's open would make or write? Fills in what it learns. */
HIDDEN int stage_target_ok(struct stage_target *t, int flags, mode_t mode);

/* stage_area.c: the directory of this process in the staging area. */
HIDDEN int stage_open_root(void); /* O_PATH, and surely the project's root; or -1 */
HIDDEN int stage_no_default_acl(int fd);
HIDDEN int stage_area_ready(const char *name); /* makes the directory of a staging path; 1: it is there */
HIDDEN void stage_area_gone(void);             /* it turned out not to be */
HIDDEN void stage_area_give_back(void);        /* at a clean end: for the next process */

/* stage_policy.c. 1: may be staged as far as its name (flags, program) says. */
HIDDEN int stage_flags_ok(int flags);
HIDDEN int stage_name_ok(const char *rel, uint32_t len);
HIDDEN int stage_program_ok(void);
HIDDEN int stage_is_product(const char *rel, uint32_t len);

/* stage_commit.c */
HIDDEN int stage_slot_take(struct stage_slot *slot);               /* ACTIVE to BUSY; waits, bounded, for another thread. 0: not ours (any more) */
HIDDEN void stage_slot_free(struct stage_slot *slot);
HIDDEN void stage_record_refresh(struct stage_slot *slot);         /* learns that somebody else promoted it */
HIDDEN void stage_record_free(struct stage_slot *slot);            /* its staged record, unless the board was replaced meanwhile */
HIDDEN int stage_put_without_descriptors(struct stage_slot *slot, struct vr_stage_place *place);
HIDDEN int stage_find(struct vr_stage_place *place, struct stage_slot *slot, int fd); /* as vr_stage_find, for our own */
HIDDEN int stage_slot_is_here(const struct stage_slot *slot);      /* its descriptor is still on the staging file */
HIDDEN void stage_slot_lost(struct stage_slot *slot);              /* ... is not: placed by name, slot freed */
HIDDEN void stage_place_init(struct vr_stage_place *place);
/* stage_demote.c. 1: the descriptor is on the real file now. 0: nothing changed. */
HIDDEN int stage_demote(struct stage_slot *slot, struct vr_stage_place *place);
/* stage_promote.c: LOCK keeps the inode of an existing target. 1: the slot is free and the descriptor plain HELD. */
HIDDEN int stage_promote_slot(struct stage_slot *slot, enum vr_stage_how how, int sync);
#endif
