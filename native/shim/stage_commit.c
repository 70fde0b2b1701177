/* Commit: the last reference to a staged file goes, so the file is placed: rename first, then close (a reader who was told of the
 * close must see the file). See docs/DESIGN and vr_stage_put.c for what "placed" means when the target changed meanwhile. */
#include <string.h>
#include "staging.h"
#include "vr_fault.h"

#define TAKE_WAIT_NS 50000   /* between looks at a slot that another thread works on */
#define TAKE_WAITS 1000      /* 50 ms in all, then go on without it */
#define RENAME_NOREPLACE_FLAG 1u

int stage_slot_take(struct stage_slot *slot) {
  for (int i = 0; i <= TAKE_WAITS; i++) {
    uint32_t was = SLOT_ACTIVE;
    if (__atomic_compare_exchange_n(&slot->state, &was, SLOT_BUSY, 0, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)) {
      if (slot->pid == shim.pid) return 1;
      __atomic_store_n(&slot->state, SLOT_ACTIVE, __ATOMIC_RELEASE);
      return 0;
    }
    if (was == SLOT_FREE || slot->pid != shim.pid) return 0;
    struct timespec pause = {0, TAKE_WAIT_NS};
    vr_sys6(SYS_nanosleep, (long)&pause, 0, 0, 0, 0, 0);
  }
  return 0;
}

void stage_slot_free(struct stage_slot *slot) {
  slot->fd = -1;
  __atomic_store_n(&slot->state, SLOT_FREE, __ATOMIC_RELEASE);
  __atomic_fetch_sub(&stage_used, 1, __ATOMIC_SEQ_CST);
}

/* The HELD record becomes a plain one: it names its inode, and no longer forbids its slots. A successor of the board is mapped at the same
 * address: there the indices are somebody else's. */
void stage_record_free(struct stage_slot *slot) {
  if (shim.board.header->board_id != slot->board_id) return;
  vr_record_staged(&shim.board, slot->held, slot->staged + 1, 0);
  vr_staged_free(&shim.board, slot->staged, slot->record.state);
}

void stage_place_init(struct vr_stage_place *place) {
  place->root = shim.root;
  place->board = &shim.board;
  place->pid = (uint32_t)shim.pid;
  place->tid = (uint32_t)vr_sys6(SYS_gettid, 0, 0, 0, 0, 0, 0);
  place->name_g = shim_need_unsatisfied();
  place->root_fd = place->parent_fd = -1;
}

/* Takes over what others did to the record: only that they promoted it. */
void stage_record_refresh(struct stage_slot *slot) {
  if (shim.board.header->board_id != slot->board_id) return;
  uint32_t now = __atomic_load_n(&shim.board.staged[slot->staged].state, __ATOMIC_SEQ_CST), mine = slot->record.state;
  if (now == ((mine & ~VR_BOARD_STAGED_STATE_MASK) | VR_BOARD_STAGED_PROMOTED)) slot->record.state = now;
}

/* The parent that memory knew was replaced by another directory of its name before we came: as if the file had been opened after that. */
int stage_find(struct vr_stage_place *place, struct stage_slot *slot, int fd) {
  int done = vr_stage_find(place, &slot->record, fd);
  if (done != -ESTALE || !slot->from_memory || place->root_fd < 0) return done;
  char parent[VR_STAGE_PATH_MAX];
  struct statx st;
  uint32_t len = vr_stage_split((const char *)slot->record.path, slot->record.path_len, &place->base);
  memcpy(parent, slot->record.path, len);
  parent[len] = 0;
  int at = vr_openat2(place->root_fd, len ? parent : ".", O_PATH | O_DIRECTORY | O_CLOEXEC, VR_STAGE_RESOLVE);
  if (at < 0) return at;
  if (vr_fstatx(at, &st) || vr_statx_dev(&st) != slot->record.parent_dev) {
    vr_close(at);
    return done;
  }
  slot->record.parent_ino = st.stx_ino;
  place->parent_fd = at;
  return 0;
}

int stage_slot_is_here(const struct stage_slot *slot) {
  struct statx st;
  int e = vr_fstatx(slot->fd, &st);
  if (e && e != -EBADF) return 1; /* not known: what is done with it will say what is wrong, where "not here" would be silent */
  return e == 0 && st.stx_ino == slot->record.staging_ino && vr_statx_dev(&st) == slot->record.parent_dev;
}

/* No descriptor is free (EMFILE): by path names. The checks are the same, their result can be overtaken by a rename of the parent. */
int stage_put_without_descriptors(struct stage_slot *slot, struct vr_stage_place *place) {
  char from[SHIM_PATH_MAX], to[SHIM_PATH_MAX];
  const struct vr_staged *r = &slot->record;
  if (shim.root_len + VR_STAGE_NAME_MAX + r->path_len + 2u > sizeof to) return -ENAMETOOLONG;
  memcpy(from, shim.root, shim.root_len);
  from[shim.root_len] = '/';
  memcpy(to, from, shim.root_len + 1u);
  strcpy(from + shim.root_len + 1, place->name);
  memcpy(to + shim.root_len + 1, r->path, r->path_len);
  uint32_t end = shim.root_len + 1u + r->path_len, slash = end;
  to[end] = 0;
  while (to[slash] != '/') slash--;
  struct statx parent, target;
  to[slash] = 0;
  int e = vr_statx(AT_FDCWD, to, AT_SYMLINK_NOFOLLOW, &parent);
  to[slash] = '/';
  if (e) return e;
  if (parent.stx_ino != r->parent_ino || vr_statx_dev(&parent) != r->parent_dev) return -ESTALE;
  e = vr_statx(AT_FDCWD, to, AT_SYMLINK_NOFOLLOW, &target);
  if (e == 0 && target.stx_ino == r->staging_ino) return VR_STAGE_PLACED;
  if (e && e != -ENOENT) return e;
  if (r->old_ino ? e || target.stx_ino != r->old_ino || target.stx_nlink != 1 : !e) return -ESTALE;
  struct vr_intent in;
  vr_intent_init(&in);
  vr_intent_slot(&in, vr_slot(r->path_hash));
  vr_intent_slot(&in, vr_slot(r->parent_hash));
  if (place->name_g) vr_intent_slot(&in, 0);
  int record = vr_mutation_begin(&shim.board, &in, VR_BOARD_KIND_OP, place->pid, place->tid);
  VR_FAULT(rename_by_path);
  int done = vr_renameat2(AT_FDCWD, from, AT_FDCWD, to, e ? RENAME_NOREPLACE_FLAG : 0);
  vr_mutation_end(&shim.board, record);
  return done ? done : VR_STAGE_PLACED;
}

/* Somebody else has shown it: it was in its place then, and what became of that name since is not ours to undo. */
static int was_promoted(const struct stage_slot *slot) {
  return shim.board.header->board_id == slot->board_id &&
         VR_STAGED_STATE(__atomic_load_n(&shim.board.staged[slot->staged].state, __ATOMIC_SEQ_CST)) == VR_BOARD_STAGED_PROMOTED;
}

/* Places the file of a slot that is ours. Returns vr_stage_result or -errno, which close reports. */
static int put(struct stage_slot *slot, int fd) {
  if (was_promoted(slot)) return VR_STAGE_PLACED;
  struct vr_stage_place place;
  stage_record_refresh(slot);
  stage_place_init(&place);
  int done = stage_find(&place, slot, fd);
  if (done == 0) {
    done = vr_stage_put(&place, &slot->record, fd, slot->shared ? VR_STAGE_PROMOTE : VR_STAGE_COMMIT, slot->old_mtime);
  } else {
    /* Gone, or another directory now: natively the file went with it. Anything else (EMFILE, EIO, ENOMEM) says nothing about the parent: by
     * path names then, and if that fails too, close says so. The bytes are kept if they can be. */
    int gone = done == -ENOENT || done == -ENOTDIR || done == -ESTALE || done == -ELOOP || done == -EXDEV;
    int tried = gone ? VR_STAGE_LOST : stage_put_without_descriptors(slot, &place);
    if ((gone || tried < 0) && place.root_fd >= 0) vr_salvage_move(&place, &slot->record);
    done = tried == -ESTALE ? VR_STAGE_LOST : tried; /* replaced by somebody meanwhile: natively ours is unlinked */
  }
  vr_stage_leave(&place);
  return done;
}

/* The descriptor was closed where we could not see it (a system call of the program's own), and its number may be another file's. What
 * was closed is complete: it goes to its place by name. */
void stage_slot_lost(struct stage_slot *slot) {
  VR_FAULT(lost_begin);
  struct vr_stage_place place;
  stage_place_init(&place);
  if (vr_stage_find(&place, &slot->record, -1) == 0) vr_stage_put(&place, &slot->record, -1, slot->shared ? VR_STAGE_PROMOTE : VR_STAGE_COMMIT, slot->old_mtime);
  vr_stage_leave(&place);
  VR_FAULT(lost_placed);
  stage_record_free(slot);
  stage_slot_free(slot);
}

void shim_stage_closed_unseen(int staged_index, int fd) {
  struct stage_slot *slot = staged_index >= 0 && staged_index < STAGE_SLOTS ? &stage_slots[staged_index] : NULL;
  if (!slot || slot->fd != fd || !stage_slot_take(slot)) return;
  if (slot->fd == fd && !stage_slot_is_here(slot)) stage_slot_lost(slot);
  else __atomic_store_n(&slot->state, SLOT_ACTIVE, __ATOMIC_RELEASE);
}

int shim_stage_commit(int staged_index, int fd, int (*real_close)(int)) {
  struct stage_slot *slot = staged_index >= 0 && staged_index < STAGE_SLOTS ? &stage_slots[staged_index] : NULL;
  if (!slot || shim_in_vfork_child() || slot->fd != fd || !stage_slot_take(slot)) return real_close(fd);
  int saved = errno, done = VR_STAGE_LOST;
  if (slot->fd != fd) { /* another thread promoted it, and the slot is another file's now */
    __atomic_store_n(&slot->state, SLOT_ACTIVE, __ATOMIC_RELEASE);
    return real_close(fd);
  }
  VR_FAULT(commit_begin);
  if (stage_slot_is_here(slot)) {
    done = put(slot, fd);
    VR_FAULT(commit_placed);
    stage_record_free(slot);
    VR_FAULT(commit_freed);
    shim_count(VR_STAT_COMMITTED);
    stage_slot_free(slot);
  } else {
    stage_slot_lost(slot);
  }
  errno = saved;
  int result = real_close(fd);
  VR_FAULT(commit_closed);
  if (done >= 0 || result != 0) return result;
  errno = -done;
  return -1;
}
