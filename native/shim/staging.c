/* Opening for writing through a staging file. Any doubt ends in "not staged": the caller then makes native's call, which also
 * gives native's error. Nothing is visible to anybody before the record is published. */
#include <string.h>
#include <sys/single_threaded.h>
#include "staging.h"
#include "vr_fault.h"

#define CLAIM_SPREAD 32 /* records are claimed from one of the first so many upward: all up to the highest ever used are looked through at each open */

struct stage_slot stage_slots[STAGE_SLOTS];
uint32_t stage_used HOT_BSS, stage_high HOT_BSS;
static uint32_t stage_over WARM_BSS;

void shim_stage_end(void) {
  __atomic_store_n(&stage_over, 1, __ATOMIC_RELAXED);
  shim_stage_promote_all();
}

static uint64_t mtime_ns(const struct statx *st) { return (uint64_t)st->stx_mtime.tv_sec * 1000000000u + st->stx_mtime.tv_nsec; }
/* Never in a vfork child. */
static pid_t tid(void) { return __libc_single_threaded ? shim.pid : (pid_t)vr_sys6(SYS_gettid, 0, 0, 0, 0, 0, 0); }

static int is_dead(uint32_t kind, uint32_t pid, uint64_t time) {
  return (kind == VR_BOARD_KIND_HELD || kind == VR_BOARD_KIND_OP) && !vr_owner_alive(pid, time);
}

/* A live record that names the target's slot or inode: somebody writes there, so replacing the inode could lose his bytes. What the
 * dead held does not count (without a daemon nobody frees it), except ESCAPED: another process has that descriptor. */
static int someone_writes(uint64_t path_hash, uint64_t ino) {
  uint16_t slot = (uint16_t)vr_slot(path_hash);
  uint32_t high = vr_high(__atomic_load_n(&shim.board.dyn->record_high, __ATOMIC_SEQ_CST), VR_BOARD_RECORDS);
  for (uint32_t i = 0; i < high; i++) {
    const struct vr_record *r = &shim.board.records[i];
    if (__atomic_load_n(&r->state, __ATOMIC_ACQUIRE) != VR_BOARD_RECORD_LIVE) continue;
    int named = ino && (r->ino[0] == ino || r->ino[1] == ino);
    if (r->kind == VR_BOARD_KIND_OP && !named) continue; /* over in a moment; commit looks at the target again */
    for (int k = 0; k < 6; k++) named |= r->slots[k] == slot;
    if (named && !is_dead(r->kind, r->pid, r->time)) return 1;
  }
  return 0;
}

/* Another staged file for the same path (not this record)? */
static int staged_elsewhere(uint64_t path_hash, int but) {
  uint32_t high = vr_high(__atomic_load_n(&shim.board.dyn->staged_high, __ATOMIC_SEQ_CST), VR_BOARD_STAGED);
  for (uint32_t i = 0; i < high; i++) {
    const struct vr_staged *r = &shim.board.staged[i];
    uint32_t kind = VR_STAGED_STATE(__atomic_load_n(&r->state, __ATOMIC_SEQ_CST));
    if ((int)i != but && (kind == VR_BOARD_STAGED_LIVE || kind == VR_BOARD_STAGED_PROMOTED) && r->path_hash == path_hash &&
        !is_dead(VR_BOARD_KIND_HELD, r->pid, r->time))
      return 1;
  }
  return 0;
}

/* Is somebody just changing names here: the path's, its directory's, or any (G)? He looks for staged files once more after his record is live, we look
 * for his record after ours is: at least one sees the other. */
static int being_moved(uint64_t path_hash, uint64_t parent_hash) {
  uint16_t slot = (uint16_t)vr_slot(path_hash), parent = (uint16_t)vr_slot(parent_hash);
  uint32_t high = vr_high(__atomic_load_n(&shim.board.dyn->record_high, __ATOMIC_SEQ_CST), VR_BOARD_RECORDS);
  for (uint32_t i = 0; i < high; i++) {
    const struct vr_record *r = &shim.board.records[i];
    if (__atomic_load_n(&r->state, __ATOMIC_SEQ_CST) != VR_BOARD_RECORD_LIVE || __atomic_load_n(&r->kind, __ATOMIC_SEQ_CST) != VR_BOARD_KIND_OP) continue;
    int named = 0;
    for (int k = 0; k < 6; k++) named |= r->slots[k] == slot || r->slots[k] == parent || r->slots[k] == 0;
    if (named && !is_dead(VR_BOARD_KIND_OP, r->pid, r->time)) return 1;
  }
  return 0;
}

/* The staging file takes the lowest descriptor, as native's open would: nothing else of ours is open when it is made. Returns it; name is
 * relative to the root. */
static int create(const struct stage_target *t, int flags, mode_t mode, const char *name, uint64_t *ino) {
  char *path = t->scratch;
  if (shim.root_len + 2 + strlen(name) > SHIM_PATH_MAX) return -ENAMETOOLONG;
  memcpy(path, shim.root, shim.root_len);
  path[shim.root_len] = '/';
  strcpy(path + shim.root_len + 1, name);
  int how = (flags & ~(O_TRUNC | O_CREAT)) | O_CREAT | O_EXCL;
  int fd = vr_openat(AT_FDCWD, path, how, t->present ? 0600 : mode);
  if (fd < 0) return fd;
  struct statx st;
  int ok = vr_fstatx(fd, &st) == 0 && vr_statx_dev(&st) == shim.board.header->root_dev;
  if (ok && t->present) {
    if (st.stx_uid != t->old.stx_uid) ok = 0;
    if (ok && st.stx_gid != t->old.stx_gid) ok = vr_sys6(SYS_fchown, fd, -1, t->old.stx_gid, 0, 0, 0) == 0;
    if (ok && (t->old.stx_mode & 07777) != 0600) ok = vr_sys6(SYS_fchmod, fd, t->old.stx_mode & 07777, 0, 0, 0, 0) == 0;
  }
  *ino = st.stx_ino;
  if (ok) return fd;
  vr_unlinkat(AT_FDCWD, path, 0);
  vr_close(fd);
  return -EPERM;
}

static void drop_file(const char *name, int fd) {
  int root = stage_open_root();
  if (root >= 0) {
    vr_unlinkat(root, name, 0);
    vr_close(root);
  }
  vr_close(fd);
}

/* A slot that still has the number we were just given: its descriptor was closed unseen. */
static void drop_stale(int fd) {
  for (uint32_t i = 0; i < __atomic_load_n(&stage_high, __ATOMIC_ACQUIRE); i++) {
    struct stage_slot *slot = &stage_slots[i];
    if (__atomic_load_n(&slot->state, __ATOMIC_ACQUIRE) == SLOT_ACTIVE && slot->fd == fd && slot->pid == shim.pid && stage_slot_take(slot))
      stage_slot_lost(slot);
  }
}

static struct stage_slot *slot_claim(void) {
  for (int i = 0; i < STAGE_SLOTS; i++) {
    uint32_t was = SLOT_FREE;
    if (__atomic_load_n(&stage_slots[i].state, __ATOMIC_RELAXED) != SLOT_FREE && stage_slots[i].pid != shim.pid) {
      stage_slot_free(&stage_slots[i]); /* the parent's, before a fork */
    }
    if (__atomic_compare_exchange_n(&stage_slots[i].state, &was, SLOT_BUSY, 0, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED)) {
      stage_slots[i].pid = shim.pid;
      stage_slots[i].shared = 0;
      uint32_t high = __atomic_load_n(&stage_high, __ATOMIC_RELAXED);
      while (high < (uint32_t)i + 1 && !__atomic_compare_exchange_n(&stage_high, &high, (uint32_t)i + 1, 0, __ATOMIC_SEQ_CST, __ATOMIC_RELAXED)) {
      }
      __atomic_fetch_add(&stage_used, 1, __ATOMIC_SEQ_CST);
      return &stage_slots[i];
    }
  }
  return NULL;
}

static void fill(struct vr_staged *r, const struct stage_target *t, uint64_t ino, uint64_t stamp, uint32_t number) {
  r->pid = (uint32_t)shim.pid;
  r->time = vr_boot_ns();
  r->path_hash = t->path_hash;
  r->parent_hash = t->parent_hash;
  r->staging_ino = ino;
  r->old_ino = t->present ? t->old.stx_ino : 0;
  r->parent_dev = t->parent_dev;
  r->parent_ino = t->parent_ino;
  r->fd = number;
  r->flags = stage_is_product(t->rel, t->len) ? VR_BOARD_STAGED_PRODUCT : 0;
  r->stamp = stamp;
  r->path_len = (uint16_t)t->len;
  r->reserved82 = 0;
  memset(r->path, 0, sizeof r->path);
  memcpy(r->path, t->rel, t->len);
}

/* Directory and target are still what was looked at before the records were there: what was moved in between is nothing that anybody promotes for us. */
static int still_there(const struct stage_target *t) {
  char *path = t->scratch;
  struct statx st;
  if (shim.root_len + t->len + 2 > SHIM_PATH_MAX) return 0;
  memcpy(path, shim.root, shim.root_len);
  path[shim.root_len] = '/';
  memcpy(path + shim.root_len + 1, t->rel, t->len + 1);
  int e = vr_statx(AT_FDCWD, path, AT_SYMLINK_NOFOLLOW, &st);
  if (t->present ? e || st.stx_ino != t->old.stx_ino : e != -ENOENT) return 0;
  path[shim.root_len + (t->parent_len ? 1 + t->parent_len : 0)] = 0;
  return vr_statx(AT_FDCWD, path, AT_SYMLINK_NOFOLLOW, &st) == 0 && st.stx_ino == t->parent_ino && vr_statx_dev(&st) == t->parent_dev;
}

/* Both records. 1: published. On 0 nothing is left on the board. */
static int publish(struct stage_slot *slot, const struct stage_target *t, uint64_t ino, uint64_t stamp, uint32_t number) {
  struct vr_board *b = &shim.board;
  uint32_t state;
  int at = vr_staged_claim(b, (uint32_t)tid() % CLAIM_SPREAD, &state);
  if (at < 0) return 0;
  fill(&b->staged[at], t, ino, stamp, number);
  struct vr_intent in;
  vr_intent_init(&in);
  vr_intent_slot(&in, vr_slot(t->path_hash));
  vr_intent_slot(&in, vr_slot(t->parent_hash));
  in.ino[0] = ino;
  in.ino[1] = t->present ? t->old.stx_ino : 0;
  int held = vr_mutation_begin(b, &in, VR_BOARD_KIND_HELD, (uint32_t)shim.pid, (uint32_t)tid());
  if (held < 0) {
    vr_mutation_end(b, held);
    vr_staged_free(b, (uint32_t)at, state);
    return 0;
  }
  VR_FAULT(open_held);
  vr_record_staged(b, held, 0, (uint32_t)at + 1);
  /* Only now does the record forbid its slots; what was cleaned between its publication and this is dirty again. */
  for (uint32_t i = 0; i < in.nslots; i++) vr_bump(b, in.slots[i]);
  slot->held = held;
  slot->staged = (uint32_t)at;
  memcpy(&slot->record, &b->staged[at], sizeof slot->record);
  slot->record.state = vr_staged_publish(b, (uint32_t)at);
  slot->from_memory = t->from_memory;
  slot->old_mtime = t->present ? (int64_t)mtime_ns(&t->old) : 0;
  /* Two that open the same path at once: each publishes, then looks; at least one sees the other, and steps back. */
  if (!staged_elsewhere(t->path_hash, at) && !being_moved(t->path_hash, t->parent_hash) && still_there(t)) return 1;
  vr_staged_free(b, (uint32_t)at, slot->record.state);
  vr_held_release(b, held);
  return 0;
}

static int stage(struct stage_target *t, int flags, mode_t mode) {
  const char *base;
  uint64_t seed = shim.board.header->hash_seed;
  t->path_hash = vr_hash64(t->rel, t->len, seed);
  t->parent_hash = vr_hash64(t->rel, vr_stage_split(t->rel, t->len, &base), seed);
  shim_stage_promote_rel(t->rel, (int)t->len);
  if (staged_elsewhere(t->path_hash, -1) || someone_writes(t->path_hash, 0)) return -1;
  char name[VR_STAGE_NAME_MAX];
  uint64_t stamp = vr_boot_ns(), ino = 0;
  uint32_t number = shim_fd_expected(); /* only a name: another thread, or a descriptor opened unseen, may make it another */
  vr_stage_name(shim.board.header->project_id, (uint32_t)shim.pid, number, stamp, name);
  int ok = stage_target_ok(t, flags, mode) && !(t->present && someone_writes(t->path_hash, t->old.stx_ino)) && stage_area_ready(name);
  struct stage_slot *slot = ok ? slot_claim() : NULL;
  if (!slot) return -1;
  VR_FAULT(open_claimed);
  int fd = create(t, flags, mode, name, &ino);
  if (fd == -ENOENT) stage_area_gone(); /* made anew next time */
  if (fd >= 0) {
    VR_FAULT(open_created);
    drop_stale(fd);
    slot->board_id = shim.board.header->board_id;
    slot->fd = fd;
    if (publish(slot, t, ino, stamp, number)) {
      VR_FAULT(open_published);
      __atomic_store_n(&slot->state, SLOT_ACTIVE, __ATOMIC_RELEASE);
      shim_fd_opened_staged(fd, (int)(slot - stage_slots), slot->held, ino);
      if (shim_fd_kind(fd) == SHIM_FD_STAGED) return fd;
      stage_slot_take(slot); /* no room in the table of descriptors: nobody would commit it */
      stage_record_free(slot);
      vr_held_release(&shim.board, slot->held);
    }
    drop_file(name, fd);
  }
  stage_slot_free(slot);
  return -1;
}

int shim_stage_open(int dirfd, const char *path, int flags, mode_t mode) {
  if (shim.ready != 1 || !stage_flags_ok(flags) || __atomic_load_n(&stage_over, __ATOMIC_RELAXED)) {
    errno = 0;
    return -1;
  }
  char resolved[SHIM_PATH_MAX], rel[VR_STAGE_PATH_MAX];
  struct stage_target t = {.rel = rel, .scratch = resolved};
  int len = shim_resolve(dirfd, path, resolved);
  int fd = -1;
  if (len > 0 && len < (int)sizeof rel && !shim_in_vfork_child() && stage_program_ok()) {
    memcpy(rel, resolved, (size_t)len);
    rel[len] = 0;
    t.len = (uint32_t)len;
    if (stage_name_ok(t.rel, t.len) && shim_want_board()) {
      shim_want_vdir(); /* finds out whether our namespaces are the daemon's: pids in records must mean the same to all */
      const struct vr_board_dyn *dyn = shim.board.dyn;
      if (!shim.reads_off && !__atomic_load_n(&dyn->no_stage, __ATOMIC_ACQUIRE) && !__atomic_load_n(&dyn->overflow, __ATOMIC_RELAXED) &&
          vr_sys6(SYS_geteuid, 0, 0, 0, 0, 0, 0) == (long)shim.board.header->uid)
        fd = stage(&t, flags, mode);
      shim_count(fd >= 0 ? VR_STAT_STAGED : VR_STAT_STAGE_REFUSED);
    }
  }
  errno = 0;
  return fd;
}
