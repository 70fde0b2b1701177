/* Demotion: the descriptor is put onto the real file, which keeps its inode. For locks (a lock belongs to an inode), for files still
 * empty, and where a rename is not possible. */
#include <unistd.h>
#include "staging.h"
#include "vr_fault.h"

#define KEPT_FLAGS (O_ACCMODE | O_NONBLOCK | O_NOATIME)
#define COPY_ROUNDS 3 /* another thread may still write into the old description while it is copied */

static int open_target(const struct vr_stage_place *place, const struct vr_staged *r, int fd, int64_t old_mtime, struct statx *st, int *untouched) {
  int flags = vr_fcntl(fd, F_GETFL, 0);
  if (flags < 0) return flags;
  /* By openat2 and not with O_NOFOLLOW, which F_GETFL would show for ever. */
  int to = vr_openat2(place->parent_fd, place->base, (flags & KEPT_FLAGS) | O_CLOEXEC, VR_STAGE_RESOLVE);
  if (to < 0) return to;
  int e = vr_fstatx(to, st);
  if (e == 0 && (!S_ISREG(st->stx_mode) || (r->old_ino && st->stx_ino != r->old_ino))) e = -ESTALE;
  /* Natively it was truncated at open. Who wrote into it since then keeps what he wrote. */
  int64_t mtime = st->stx_mtime.tv_sec * 1000000000ll + st->stx_mtime.tv_nsec;
  *untouched = r->old_ino && mtime == old_mtime;
  if (e == 0 && *untouched) e = (int)vr_sys6(SYS_ftruncate, to, 0, 0, 0, 0, 0);
  if (e == 0) return to;
  vr_close(to);
  return e;
}

/* Copies until the source no longer changes. */
static int copy_settled(int from, int to) {
  struct statx before, after;
  int e = vr_fstatx(from, &before);
  for (int i = 0; e == 0 && i < COPY_ROUNDS; i++) {
    if (before.stx_size) e = vr_stage_copy(from, to);
    if (e == 0) e = vr_fstatx(from, &after);
    if (e == 0 && after.stx_size == before.stx_size && after.stx_mtime.tv_sec == before.stx_mtime.tv_sec &&
        after.stx_mtime.tv_nsec == before.stx_mtime.tv_nsec)
      return 0;
    before = after;
  }
  return e;
}

/* When it was last written, or what the program has set; the atime as it was before we read it. */
static void carry_times(int from, const struct statx *before, int to) {
  const struct statx_timestamp *read_at = &before->stx_atime, *born = &before->stx_btime;
  struct statx st;
  if (vr_fstatx(from, &st)) return;
  struct timespec times[2] = {{0, UTIME_OMIT}, {st.stx_mtime.tv_sec, st.stx_mtime.tv_nsec}};
  if ((before->stx_mask & STATX_BTIME) && (read_at->tv_sec != born->tv_sec || read_at->tv_nsec != born->tv_nsec))
    times[0] = (struct timespec){read_at->tv_sec, read_at->tv_nsec};
  vr_sys6(SYS_utimensat, to, 0, (long)times, 0, 0, 0);
}

/* Removes the staging file: from here on nobody can show it. Before the descriptor moves, for who showed it in between has put it in the place of
 * the real file that we opened: then the descriptor has to stay on it, or what is written from now on would be nowhere. 0, -ESTALE: shown, or why the
 * file cannot be removed: then it stays what it is. */
static int withdraw(const struct vr_stage_place *place, const struct vr_staged *r) {
  struct statx now;
  int e = vr_unlinkat(place->root_fd, place->name, 0);
  if (e != -ENOENT) return e;
  int there = vr_statx(place->parent_fd, place->base, AT_SYMLINK_NOFOLLOW, &now) == 0;
  return there && now.stx_ino == r->staging_ino && vr_statx_dev(&now) == r->parent_dev ? -ESTALE : 0;
}

int stage_demote(struct stage_slot *slot, struct vr_stage_place *place) {
  const struct vr_staged *r = &slot->record;
  int fd = slot->fd, done = 0, flags = vr_fcntl(slot->fd, F_GETFL, 0);
  int from = vr_openat(place->root_fd, place->name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC, 0);
  if (from < 0) return 0;
  struct vr_intent in;
  vr_intent_init(&in);
  vr_intent_slot(&in, vr_slot(r->path_hash));
  vr_intent_slot(&in, vr_slot(r->parent_hash));
  if (place->name_g) vr_intent_slot(&in, 0);
  in.ino[0] = r->old_ino;
  int record = vr_mutation_begin(&shim.board, &in, VR_BOARD_KIND_OP, place->pid, place->tid);
  struct statx st, before;
  int untouched = 0;
  if (vr_fstatx(from, &before)) before.stx_mask = 0;
  int to = open_target(place, r, fd, slot->old_mtime, &st, &untouched);
  if (to >= 0) {
    long at = vr_sys6(SYS_lseek, fd, 0, SEEK_CUR, 0, 0, 0);
    int cloexec = vr_fcntl(fd, F_GETFD, 0);
    int e = VR_FAULT(demote_truncated);
    if (e == 0) e = copy_settled(from, to);
    if (e == 0) e = vr_stage_carry(from, to);
    if (e == 0 && at > 0) vr_sys6(SYS_lseek, to, at, SEEK_SET, 0, 0, 0);
    if (e == 0) e = VR_FAULT(demote_copied);
    if (e == 0) e = withdraw(place, r);
    if (e == 0) e = (int)vr_sys6(SYS_dup3, to, fd, cloexec & FD_CLOEXEC ? O_CLOEXEC : 0, 0, 0, 0);
    if (e >= 0) {
      copy_settled(from, to); /* what was written between the copy and dup3 */
      if (flags > 0 && (flags & O_APPEND)) vr_fcntl(fd, F_SETFL, flags); /* set after open; not sooner, for the copy writes where it reads */
      if (untouched) carry_times(from, &before, to);
      vr_mutation_keep(&shim.board, slot->held, VR_BOARD_KIND_HELD, st.stx_ino);
      VR_FAULT(demote_moved);
      done = 1;
    }
    vr_close(to);
  }
  vr_mutation_end(&shim.board, record);
  vr_close(from);
  return done;
}
