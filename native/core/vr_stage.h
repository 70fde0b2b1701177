/* Staged files: what the shim's owner, another client and the daemon have in common. A staged file is written at
 * .vrift/staging/project_<id>/pid_<pid>/fd_<n>_<stamp>.tmp and placed at its target by one rename. Its record on the board says where.
 * No allocation, no lock, raw system calls; every function may run in a signal handler. Functions return >= 0 or -errno. */
#ifndef VR_STAGE_H
#define VR_STAGE_H
#include "vr_board.h"
#include "vr_sys.h"

#define VR_STAGE_PATH_MAX (sizeof((struct vr_staged *)0)->path)
/* The state that a staged record's word says, also with one bit flipped in it. */
static inline uint32_t vr_staged_state(uint32_t word) {
  static const uint8_t states[] = {VR_BOARD_STAGED_FREE, VR_BOARD_STAGED_CLAIMED, VR_BOARD_STAGED_LIVE, VR_BOARD_STAGED_PROMOTED};
  uint32_t s = word & VR_BOARD_STAGED_STATE_MASK;
  for (unsigned i = 0; i < sizeof states; i++)
    if (__builtin_popcount(s ^ states[i]) <= 1) return states[i];
  return VR_BOARD_STAGED_STATE_MASK; /* none: damaged beyond that */
}
#define VR_STAGED_STATE(s) vr_staged_state(s)
#define VR_STAGE_NAME_MAX 128          /* a staging path relative to the root, with its NUL */
#define VR_SALVAGE_NAME_MAX 256        /* one name in .vrift/salvage, with its NUL */
#define VR_SALVAGE_PATH_MAX (VR_SALVAGE_NAME_MAX + 16)
#define VR_STAGE_RESOLVE (RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_XDEV)
#define VR_OWNER_START_SLACK_NS 20000000ull /* start times in /proc have 10 ms steps */

/* Where a staged file lies and belongs. root: absolute, real. board: header, seed, root's dev and ino. */
struct vr_stage_place {
  const char *root;
  struct vr_board *board;
  uint32_t pid, tid;  /* of the caller, for its records */
  int name_g;         /* 1: the caller's changes must name G too (docs/PROTOCOL.md section 4) */
  int root_fd;        /* O_PATH, opened by vr_stage_find; -1: none */
  int parent_fd;      /* O_PATH of the verified parent; -1: none */
  const char *base;   /* last part of the path, within parent_path or the record */
  char name[VR_STAGE_NAME_MAX];
};

/* What to do when the target can take the file. */
enum vr_stage_how { VR_STAGE_COMMIT, VR_STAGE_PROMOTE, VR_STAGE_LOCK }; /* LOCK: only if the target is absent, else -EBUSY */
enum vr_stage_result {
  VR_STAGE_PLACED = 1, /* the staging inode is at the target */
  VR_STAGE_SAME,       /* the target had these bytes: its times were set, the staging file is gone */
  VR_STAGE_COPIED,     /* the bytes were copied into the real file; the staging file is gone */
  VR_STAGE_LOST,       /* the target was removed or replaced meanwhile, as natively: the bytes are in salvage */
};

uint32_t vr_staged_checksum(const struct vr_staged *record);
/* Copies a live or promoted record that passes every check (state, checksum, path form, hash). 1: good; 0: neither, or torn. */
int vr_staged_copy(const struct vr_board *board, uint32_t index, struct vr_staged *out);
/* The staging path relative to the root. Returns its length. */
int vr_stage_name(uint64_t project_id, uint32_t pid, uint32_t fd, uint64_t stamp, char out[VR_STAGE_NAME_MAX]);
/* Splits a path: length of the parent ("" for the root), *base to the last part. */
uint32_t vr_stage_split(const char *path, uint32_t len, const char **base);
/* Is this process the one that published something at time (CLOCK_BOOTTIME ns)? A zombie with no other thread is dead. */
int vr_owner_alive(uint32_t pid, uint64_t time);
/* Is it dead, or on its way out? Then that its descriptors are closed says nothing: the kernel closes them before it is a zombie. (A process whose
 * first thread has ended, but not the others, counts as one.) */
int vr_owner_ending(uint32_t pid, uint64_t time);

/* Opens root and parent and checks both against board and record. fd: the owner's descriptor or -1; it helps to find a project that
 * was moved. 0, or -errno; root_fd may be open then (for salvage). Always followed by vr_stage_leave. */
int vr_stage_find(struct vr_stage_place *p, const struct vr_staged *record, int fd);
void vr_stage_leave(struct vr_stage_place *p);
/* Places a found staged file. fd: the owner's descriptor, or -1 for somebody else (who never salvages). Only a commit copies: a
 * promotion that cannot rename is -errno, and the owner demotes. old_mtime: the target's
 * mtime at open as ns, 0 if unknown. Returns vr_stage_result or -errno (nothing lost: the bytes are in staging or salvage). */
int vr_stage_put(struct vr_stage_place *p, const struct vr_staged *record, int fd, enum vr_stage_how how, int64_t old_mtime);
/* Copies all bytes of one descriptor over the other from offset 0; holes are passed over. Moves the offset of `from`. 0 or -errno. */
int vr_stage_copy(int from, int to);
/* Owner, extended attributes and mode of one open file, which were changed by its descriptor, to the other. 0 or -errno. */
int vr_stage_carry(int from, int to);
/* 1: same bytes; 0: not, or not known. */
int vr_stage_same(int a, int b, uint64_t size);
/* A free record in state CLAIMED, or -1. *state: what it is now. hint: where to begin. */
int vr_staged_claim(struct vr_board *board, uint32_t hint, uint32_t *state);
/* Publishes a filled, claimed record. Returns its new state. */
uint32_t vr_staged_publish(struct vr_board *board, uint32_t index);
/* LIVE to PROMOTED, if the record is still the one of that generation. Leaves staged_count. */
void vr_staged_set_promoted(struct vr_board *board, uint32_t index, uint32_t state);
/* Frees a record, whatever its state, if it is still of the generation of state. 1: freed. */
int vr_staged_free(struct vr_board *board, uint32_t index, uint32_t state);
/* Another's staged file, promoted by name: a client that looks, or the daemon's timer. 1: it is (now) at its target; 0: not. */
int vr_stage_promote_other(struct vr_board *board, const char *root, uint32_t index, uint32_t pid, uint32_t tid, int name_g);

/* vr_sweep.c, for the daemon: what became of one record. */
enum vr_sweep { VR_SWEEP_NOTHING, VR_SWEEP_BUSY, VR_SWEEP_PLACED, VR_SWEEP_FINISHED, VR_SWEEP_ROLLED_BACK };
int vr_stage_has_writer(int dir, const char *path);
int vr_stage_sweep(struct vr_board *board, const char *root, uint32_t index, uint32_t pid, uint32_t tid);

/* Salvage: .vrift/salvage/<encoded path>.old (the version before a promotion) or .<stamp>_<pid>.new (bytes rolled back). */
int vr_salvage_name(const char *path, uint32_t len, uint64_t stamp, uint32_t pid, char out[VR_SALVAGE_PATH_MAX]); /* stamp 0: .old */
void vr_salvage_keep_old(const struct vr_stage_place *p, const struct vr_staged *record);
int vr_salvage_move(const struct vr_stage_place *p, const struct vr_staged *record);
#endif
