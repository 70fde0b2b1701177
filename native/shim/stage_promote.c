/* Promotion: somebody may look, so the staged file goes to its target now, and its descriptor is kept. The universal way out; needs
 * no daemon. Cheap while nothing is staged: one load for this process, one for the project. */
#include <string.h>
#include "staging.h"
#include "vr_fault.h"

static void sync_parent(const struct vr_stage_place *place) {
  int fd = vr_openat(place->parent_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
  if (fd < 0) return;
  vr_sys6(SYS_fsync, fd, 0, 0, 0, 0, 0);
  vr_close(fd);
}

int stage_promote_slot(struct stage_slot *slot, enum vr_stage_how how, int sync) {
  if (!stage_slot_take(slot)) return 0;
  int saved = errno, demoted = 0;
  /* A vfork child has its own descriptors and its parent's memory: what it has closed is open in its parent, and what it puts onto another
   * file is not. So it goes by name when its descriptor is gone, and does not demote. */
  int child = shim_in_vfork_child(), here = stage_slot_is_here(slot);
  if (!here && !child) {
    stage_slot_lost(slot);
    errno = saved;
    return 1;
  }
  VR_FAULT(promote_begin);
  struct vr_stage_place place;
  stage_record_refresh(slot);
  stage_place_init(&place);
  struct statx st;
  int fd = here ? slot->fd : -1, done = stage_find(&place, slot, fd);
  if (done == 0) {
    /* Nothing written yet: then the real file, truncated, is exactly native's. */
    if (!child && slot->record.old_ino && vr_fstatx(fd, &st) == 0 && st.stx_size == 0) how = VR_STAGE_LOCK;
    done = vr_stage_put(&place, &slot->record, fd, how, slot->old_mtime);
    if (done < 0 && !child) demoted = stage_demote(slot, &place);
    if (done < 0 && !child && !demoted) done = vr_stage_put(&place, &slot->record, fd, how, slot->old_mtime); /* somebody else has shown it meanwhile */
    VR_FAULT(promote_placed);
    if (sync && (demoted || done >= 0)) sync_parent(&place);
  } else if (done == -EMFILE || done == -ENFILE) { /* a look is no reason to hide what is written; it goes as it is */
    done = stage_put_without_descriptors(slot, &place);
  }
  vr_stage_leave(&place);
  errno = saved;
  if (done < 0 && !demoted) { /* still staged; commit will report what is wrong */
    slot->shared = 1;
    __atomic_store_n(&slot->state, SLOT_ACTIVE, __ATOMIC_RELEASE);
    return 0;
  }
  shim_fd_unstaged(slot->fd);
  VR_FAULT(promote_unstaged);
  stage_record_free(slot);
  shim_count(demoted ? VR_STAT_DEMOTED : VR_STAT_PROMOTED);
  stage_slot_free(slot);
  return 1;
}

static struct stage_slot *slot_of_fd(int fd) {
  if (fd < 0 || !__atomic_load_n(&stage_used, __ATOMIC_ACQUIRE)) return NULL;
  for (uint32_t i = 0; i < __atomic_load_n(&stage_high, __ATOMIC_ACQUIRE); i++)
    if (__atomic_load_n(&stage_slots[i].state, __ATOMIC_ACQUIRE) != SLOT_FREE && stage_slots[i].fd == fd && stage_slots[i].pid == shim.pid)
      return &stage_slots[i];
  return NULL;
}

void shim_stage_promote_fd(int fd) {
  struct stage_slot *slot = slot_of_fd(fd);
  if (slot) stage_promote_slot(slot, VR_STAGE_PROMOTE, 0);
}
void shim_stage_lock_fd(int fd) {
  struct stage_slot *slot = slot_of_fd(fd);
  if (slot) stage_promote_slot(slot, VR_STAGE_LOCK, 0);
}
void shim_stage_sync_fd(int fd) {
  struct stage_slot *slot = slot_of_fd(fd);
  if (slot) stage_promote_slot(slot, VR_STAGE_PROMOTE, 1);
}
void shim_stage_promote_all(void) {
  if (!__atomic_load_n(&stage_used, __ATOMIC_ACQUIRE)) return;
  for (uint32_t i = 0; i < __atomic_load_n(&stage_high, __ATOMIC_ACQUIRE); i++)
    if (__atomic_load_n(&stage_slots[i].state, __ATOMIC_ACQUIRE) != SLOT_FREE && stage_slots[i].pid == shim.pid)
      stage_promote_slot(&stage_slots[i], VR_STAGE_PROMOTE, 0);
}

/* Ours by its slot (that keeps table and record in step), another's by name. */
static void promote_index(uint32_t index) {
  const struct vr_staged *r = &shim.board.staged[index];
  if (__atomic_load_n(&stage_used, __ATOMIC_ACQUIRE) && r->pid == (uint32_t)shim.pid) {
    for (uint32_t i = 0; i < __atomic_load_n(&stage_high, __ATOMIC_ACQUIRE); i++)
      if (__atomic_load_n(&stage_slots[i].state, __ATOMIC_ACQUIRE) != SLOT_FREE && stage_slots[i].staged == index && stage_slots[i].pid == shim.pid) {
        stage_promote_slot(&stage_slots[i], VR_STAGE_PROMOTE, 0);
        return;
      }
  }
  if (vr_stage_promote_other(&shim.board, shim.root, index, (uint32_t)shim.pid, (uint32_t)vr_sys6(SYS_gettid, 0, 0, 0, 0, 0, 0),
                             shim_need_unsatisfied()))
    shim_count(VR_STAT_PROMOTED);
}


/* The end of the scan, 0 while nobody has anything staged. */
static uint32_t scan_end(void) {
  if (shim.ready != 1) return 0;
  if (!shim_look_for_board() || !__atomic_load_n(&shim.board.dyn->staged_count, __ATOMIC_SEQ_CST)) return 0;
  return vr_high(__atomic_load_n(&shim.board.dyn->staged_high, __ATOMIC_SEQ_CST), VR_BOARD_STAGED);
}
static int is_live(uint32_t index) {
  return VR_STAGED_STATE(__atomic_load_n(&shim.board.staged[index].state, __ATOMIC_SEQ_CST)) == VR_BOARD_STAGED_LIVE;
}
/* Whoever walks .vrift itself (git clean, rm -rf, tar) gets every file to its place first. */
static int is_below_ours(const char *rel, int len) { return len >= 6 && !memcmp(rel, ".vrift", 6) && (len == 6 || rel[6] == '/'); }

/* The same last part under another spelling (a symlink on the way): the same directory? */
static int is_alias(const char *rel, int len, const struct vr_staged *r) {
  const char *base, *staged_base;
  uint32_t parent_len = vr_stage_split(rel, (uint32_t)len, &base);
  uint32_t base_len = (uint32_t)(rel + len - base), path_len = r->path_len < VR_STAGE_PATH_MAX ? r->path_len : 0;
  uint32_t staged_parent = vr_stage_split((const char *)r->path, path_len, &staged_base);
  if (base_len != path_len - (uint32_t)(staged_base - (const char *)r->path) || memcmp(base, staged_base, base_len)) return 0;
  if (parent_len == staged_parent && !memcmp(rel, r->path, parent_len)) return 1;
  char path[SHIM_PATH_MAX];
  if (shim.root_len + parent_len + 2u > sizeof path) return 0;
  memcpy(path, shim.root, shim.root_len);
  path[shim.root_len] = '/';
  memcpy(path + shim.root_len + 1, rel, parent_len);
  path[shim.root_len + 1 + parent_len] = 0;
  struct statx st;
  return vr_statx(AT_FDCWD, path, 0, &st) == 0 && st.stx_ino == r->parent_ino && vr_statx_dev(&st) == r->parent_dev;
}

void shim_stage_promote_rel(const char *rel, int len) {
  uint32_t end = len >= 0 ? scan_end() : 0;
  if (!end) return;
  int all = is_below_ours(rel, len);
  uint64_t hash = vr_hash64(rel, (size_t)len, shim.board.header->hash_seed);
  for (uint32_t i = 0; i < end; i++) {
    if (!is_live(i)) continue;
    const struct vr_staged *r = &shim.board.staged[i];
    if (all || r->path_hash == hash || is_alias(rel, len, r)) promote_index(i);
  }
}
void shim_stage_promote_children(const char *rel, int len) {
  uint32_t end = len >= 0 ? scan_end() : 0;
  if (!end) return;
  int all = is_below_ours(rel, len);
  uint64_t hash = vr_hash64(rel, (size_t)len, shim.board.header->hash_seed);
  for (uint32_t i = 0; i < end; i++)
    if (is_live(i) && (all || shim.board.staged[i].parent_hash == hash)) promote_index(i);
}
void shim_stage_promote_in(uint64_t dev, uint64_t ino) {
  uint32_t end = scan_end();
  for (uint32_t i = 0; i < end; i++) {
    const struct vr_staged *r = &shim.board.staged[i];
    if (is_live(i) && r->parent_ino == ino && r->parent_dev == dev) promote_index(i);
  }
}
int shim_stage_any(void) { return scan_end() != 0; }
void shim_stage_promote_below(const char *rel, int len) {
  uint32_t end = len >= 0 ? scan_end() : 0;
  int all = end && (len == 0 || is_below_ours(rel, len));
  for (uint32_t i = 0; i < end; i++) {
    const struct vr_staged *r = &shim.board.staged[i];
    if (is_live(i) && (all || (r->path_len > len && r->path_len < VR_STAGE_PATH_MAX && r->path[len] == '/' && !memcmp(r->path, rel, (size_t)len)))) promote_index(i);
  }
}
