/* What the daemon does with staged records whose writer is gone. A staging file is dead iff nobody has it open for writing: pids
 * only say when to look. The probe is a read lease taken and given back at once, on staging files only; SIGIO must be ignored by the caller
 * (a writer that comes in between breaks the lease). */
#include <sched.h>
#include <sys/wait.h>
#include "vr_fault.h"
#include "vr_stage.h"

/* A process that is stopped between taking a lease and giving it back would hold up whoever opens the file for writing, for 45 s. So a child
 * does both that shares our memory and nothing that can be stopped with us: it goes on to its end when we are stopped or killed. */
struct probe {
  int fd, result;
};
static int lease_probe(void *arg) {
  struct probe *p = arg;
  vr_sys6(SYS_setsid, 0, 0, 0, 0, 0, 0); /* nor is it of our process group */
  int e = vr_fcntl(p->fd, F_SETLEASE, F_RDLCK);
  if (e == 0) vr_fcntl(p->fd, F_SETLEASE, F_UNLCK);
  p->result = e;
  vr_sys6(SYS_exit_group, 0, 0, 0, 0, 0, 0);
  return 0;
}

/* 0: nobody has it open for writing; -EAGAIN, -EBUSY: somebody may; another -errno. */
static int probe_lease(int fd) {
  struct probe p = {fd, -ENOMEM};
  _Alignas(16) char stack[16384];
  int pid = clone(lease_probe, stack + sizeof stack, CLONE_VM | CLONE_VFORK, &p); /* no signal at its end: nobody else's wait sees it */
  if (pid < 0) return -ENOMEM;
  while (vr_sys6(SYS_wait4, pid, 0, __WCLONE, 0, 0, 0) == -EINTR) {
  }
  return p.result;
}

/* 1: somebody may write to it; 0: nobody; -errno. path relative to dir. */
int vr_stage_has_writer(int dir, const char *path) {
  int fd = vr_openat(dir, path, O_RDONLY | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC | O_NOATIME, 0);
  if (fd == -EPERM) return -EPERM; /* not ours: never touched */
  if (fd < 0) return fd;
  struct statx st;
  int e = vr_fstatx(fd, &st);
  if (e == 0 && !S_ISREG(st.stx_mode)) e = -EINVAL;
  if (e == 0) {
    e = probe_lease(fd);
    if (e == -EAGAIN || e == -EBUSY) e = 1;
  }
  vr_close(fd);
  return e;
}

/* Frees a staged record and the HELD record that belongs to it, after moving what that one names. An ESCAPED one stays, as a plain one:
 * another process may have the descriptor, and the daemon finds out when it has not. */
static void free_both(struct vr_board *board, uint32_t index, const struct vr_staged *r) {
  for (uint32_t i = 0; i < VR_BOARD_RECORDS; i++) {
    struct vr_record *held = &board->records[i];
    if (vr_record_state(__atomic_load_n(&held->state, __ATOMIC_ACQUIRE)) != VR_BOARD_RECORD_LIVE || held->kind == VR_BOARD_KIND_OP || held->staged != index + 1 ||
        held->pid != r->pid)
      continue;
    if (held->kind == VR_BOARD_KIND_ESCAPED) {
      vr_record_staged(board, (int)i, 0, 0);
      continue;
    }
    uint32_t live = VR_BOARD_RECORD_LIVE;
    for (int k = 0; k < 6; k++)
      if (held->slots[k] != VR_BOARD_NO_SLOT) vr_bump(board, held->slots[k] % VR_SLOTS);
    __atomic_compare_exchange_n(&held->state, &live, VR_BOARD_RECORD_FREE, 0, __ATOMIC_SEQ_CST, __ATOMIC_RELAXED);
  }
  VR_FAULT(sweep_held_freed);
  vr_staged_free(board, index, r->state);
}

/* The owner lives but its descriptor is closed: it was closed by a call we do not see. What was closed is complete. */
static int settle(struct vr_stage_place *p, struct vr_board *board, uint32_t index, const struct vr_staged *r) {
  if (vr_owner_ending(r->pid, r->time)) return VR_SWEEP_BUSY; /* it is dying: not closed by it, and the next look sees that */
  VR_FAULT(settle_begin);
  int done = vr_stage_put(p, r, -1, VR_STAGE_COMMIT, 0);
  if (done != VR_STAGE_PLACED && done != VR_STAGE_SAME) return VR_SWEEP_BUSY;
  vr_staged_set_promoted(board, index, r->state);
  return VR_SWEEP_PLACED;
}

int vr_stage_sweep(struct vr_board *board, const char *root, uint32_t index, uint32_t pid, uint32_t tid) {
  struct vr_staged r;
  if (!vr_staged_copy(board, index, &r)) return VR_SWEEP_NOTHING;
  int alive = vr_owner_alive(r.pid, r.time), result = VR_SWEEP_BUSY;
  struct vr_stage_place p = {.root = root, .board = board, .pid = pid, .tid = tid};
  VR_FAULT(sweep_begin);
  int found = vr_stage_find(&p, &r, -1);
  int writer = p.root_fd < 0 ? -ESTALE : vr_stage_has_writer(p.root_fd, p.name);
  if (writer == 0 && alive) {
    if (found == 0) result = settle(&p, board, index, &r);
  } else if (writer == 0) {
    result = vr_salvage_move(&p, &r) == 0 ? VR_SWEEP_ROLLED_BACK : VR_SWEEP_BUSY;
  } else if (writer == -ENOENT && !alive) {
    result = VR_SWEEP_FINISHED; /* it had been placed, or went with its directory */
  }
  VR_FAULT(sweep_decided);
  if (result == VR_SWEEP_ROLLED_BACK) __atomic_fetch_add(&board->dyn->rolled_back, 1, __ATOMIC_SEQ_CST); /* before staged_count goes down */
  if (result == VR_SWEEP_ROLLED_BACK || result == VR_SWEEP_FINISHED) free_both(board, index, &r);
  vr_stage_leave(&p);
  return result;
}
