/* Placing a staged file at its target: the decisions of commit and promotion. See vr_stage.h.
 *
 * The rule behind every branch: end in the state that the same program, and whoever changed the target meanwhile, would have left
 * natively; where that cannot be known, keep both contents (one of them in salvage). */
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include "vr_fault.h"
#include "vr_stage.h"

#define CHUNK 65536u           /* bytes compared or copied at a time */
#define COPY_MAX 0x40000000u   /* bytes asked of one copy_file_range */
#define RENAME_NOREPLACE_FLAG 1u

struct sight { /* what lies at the target and in staging */
  struct statx target, staging;
  int present, staged; /* each: 1 it is there */
  int unseen;          /* 1: nobody looked */
};

static int is_inode(const struct statx *st, const struct vr_staged *r, uint64_t ino) {
  return st->stx_ino == ino && vr_statx_dev(st) == r->parent_dev;
}

static int look(const struct vr_stage_place *p, const struct vr_staged *r, struct sight *s) {
  int e = vr_statx(p->root_fd, p->name, AT_SYMLINK_NOFOLLOW, &s->staging);
  if (e && e != -ENOENT && e != -ENOTDIR) return e; /* not known, which is not "gone" */
  s->staged = e == 0 && is_inode(&s->staging, r, r->staging_ino) && S_ISREG(s->staging.stx_mode);
  /* The target second: whoever else places the file moves it from staging to target, so one of the two looks sees it. */
  e = vr_statx(p->parent_fd, p->base, AT_SYMLINK_NOFOLLOW, &s->target);
  if (e && e != -ENOENT) return e;
  s->present = e == 0;
  return 0;
}

static void name_both(const struct vr_stage_place *p, const struct vr_staged *r, struct vr_intent *in) {
  vr_intent_init(in);
  vr_intent_slot(in, vr_slot(r->path_hash));
  vr_intent_slot(in, vr_slot(r->parent_hash));
  if (p->name_g) vr_intent_slot(in, 0);
  in->ino[0] = r->staging_ino;
  in->ino[1] = r->old_ino;
}

/* The bytes of [at, end), or up to the end of the source. 0 or -errno. */
static int copy_range(int from, int to, int64_t at, int64_t end) {
  int64_t at_in = at, at_out = at;
  while (at_in < end) {
    long n = vr_sys6(SYS_copy_file_range, from, (long)&at_in, to, (long)&at_out, end - at_in < COPY_MAX ? end - at_in : COPY_MAX, 0);
    if (n == 0) {
      struct statx st; /* some filesystems answer 0 for what they cannot copy */
      if (vr_fstatx(from, &st) || (int64_t)st.stx_size <= at_in) return 0;
      break;
    }
    if (n == -EINTR) continue;
    if (n == -ENOSPC || n == -EDQUOT || n == -EIO || n == -EFBIG) return (int)n;
    if (n < 0) break;
  }
  if (at_in >= end) return 0;
  long scratch = vr_sys6(SYS_mmap, 0, CHUNK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (scratch < 0 && scratch > -4096) return (int)scratch;
  long result = 0;
  for (at = at_in; at < end;) {
    long n = vr_pread(from, (void *)scratch, end - at < CHUNK ? (size_t)(end - at) : CHUNK, at);
    if (n == -EINTR) continue;
    if (n <= 0) {
      result = n;
      break;
    }
    for (long done = 0; done < n;) {
      long w = vr_pwrite(to, (char *)scratch + done, (size_t)(n - done), at + done);
      if (w == -EINTR) continue;
      if (w <= 0) {
        result = w ? w : -EIO;
        goto out;
      }
      done += w;
    }
    at += n;
  }
out:
  vr_sys6(SYS_munmap, scratch, CHUNK, 0, 0, 0, 0);
  return (int)result;
}

#define WHOLE 0x7fffffffffffffffll

int vr_stage_copy(int from, int to) {
  struct statx a, b;
  int e = vr_fstatx(from, &a);
  if (e) return e;
  /* Where the program wrote nothing, nothing is written: holes stay holes, and what somebody else wrote there stays as natively. */
  int64_t size = (int64_t)a.stx_size;
  if (a.stx_blocks * 512 >= a.stx_size) return copy_range(from, to, 0, WHOLE);
  for (int64_t at = 0; at < size;) {
    int64_t data = vr_sys6(SYS_lseek, from, at, SEEK_DATA, 0, 0, 0);
    if (data == -ENXIO) break;
    if (data < 0) return copy_range(from, to, at, WHOLE);
    int64_t hole = vr_sys6(SYS_lseek, from, data, SEEK_HOLE, 0, 0, 0);
    if (hole <= data) return copy_range(from, to, data, WHOLE);
    if ((e = copy_range(from, to, data, hole)) != 0) return e;
    at = hole;
  }
  /* Written since: the copy then goes on behind what it has. */
  if ((e = vr_fstatx(to, &b)) != 0) return e;
  return (int64_t)b.stx_size < size ? (int)vr_sys6(SYS_ftruncate, to, size, 0, 0, 0, 0) : 0;
}

#define NAMES_MAX 1024u  /* bytes of names of extended attributes, and of one's value, that are carried */
#define VALUE_MAX 4096u

int vr_stage_carry(int from, int to) {
  struct statx a, b;
  char names[NAMES_MAX], value[VALUE_MAX], there[VALUE_MAX];
  int e = vr_fstatx(from, &a);
  if (e == 0) e = vr_fstatx(to, &b);
  if (e == 0 && (a.stx_uid != b.stx_uid || a.stx_gid != b.stx_gid)) e = (int)vr_sys6(SYS_fchown, to, a.stx_uid, a.stx_gid, 0, 0, 0);
  long n = e ? 0 : vr_sys6(SYS_flistxattr, from, (long)names, sizeof names, 0, 0, 0);
  if (n < 0 && n != -EOPNOTSUPP) e = (int)n;
  for (char *name = names; e == 0 && name < names + n; name += strlen(name) + 1) {
    long size = vr_sys6(SYS_fgetxattr, from, (long)name, (long)value, sizeof value, 0, 0);
    /* What both have already, as a label that the system gives each file, is not set again: that may be forbidden. */
    long had = size < 0 ? size : vr_sys6(SYS_fgetxattr, to, (long)name, (long)there, sizeof there, 0, 0);
    if (size >= 0 && had == size && !memcmp(value, there, (size_t)size)) continue;
    e = (int)(size < 0 ? size : vr_sys6(SYS_fsetxattr, to, (long)name, (long)value, size, 0, 0));
  }
  /* Last: a change of owner takes setuid bits away. */
  if (e == 0 && ((a.stx_mode ^ b.stx_mode) & 07777)) e = (int)vr_sys6(SYS_fchmod, to, a.stx_mode & 07777, 0, 0, 0, 0);
  return e;
}

int vr_stage_same(int a, int b, uint64_t size) {
  if (!size) return 1;
  long scratch = vr_sys6(SYS_mmap, 0, 2 * CHUNK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (scratch < 0 && scratch > -4096) return 0;
  uint8_t *one = (uint8_t *)scratch, *two = one + CHUNK;
  int same = 1;
  for (uint64_t at = 0; same && at < size;) {
    size_t want = size - at < CHUNK ? (size_t)(size - at) : CHUNK;
    long n = vr_pread(a, one, want, (int64_t)at), m = vr_pread(b, two, want, (int64_t)at);
    same = n == (long)want && m == n && !memcmp(one, two, want);
    at += want;
  }
  vr_sys6(SYS_munmap, scratch, 2 * CHUNK, 0, 0, 0, 0);
  return same;
}

static int no_xattrs(int fd) { return vr_sys6(SYS_flistxattr, fd, 0, 0, 0, 0, 0) == 0; }

/* A rewrite with the same bytes: natively nothing but the file's times would move, and the directory's would not (a make rule
 * `out/%.o: %.c out` converges only then). So set the times and drop the staging file. Returns SAME, or 0: not the same. */
static int put_same(struct vr_stage_place *p, const struct vr_staged *r, const struct sight *s) {
  const struct statx *t = &s->target, *g = &s->staging;
  if (t->stx_size != g->stx_size || t->stx_mode != g->stx_mode || t->stx_uid != g->stx_uid || t->stx_gid != g->stx_gid || t->stx_nlink != 1)
    return 0;
  const int flags = O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NOATIME | O_NONBLOCK;
  int from = vr_openat(p->root_fd, p->name, flags, 0);
  if (from < 0) return 0;
  int to = vr_openat(p->parent_fd, p->base, flags, 0), done = 0;
  struct statx now;
  if (to >= 0 && vr_fstatx(to, &now) == 0 && is_inode(&now, r, r->old_ino) && no_xattrs(from) && vr_stage_same(from, to, g->stx_size)) {
    struct timespec times[2] = {{0, UTIME_OMIT}, {g->stx_mtime.tv_sec, g->stx_mtime.tv_nsec}};
    if ((g->stx_mask & STATX_BTIME) && (g->stx_atime.tv_sec != g->stx_btime.tv_sec || g->stx_atime.tv_nsec != g->stx_btime.tv_nsec))
      times[0] = (struct timespec){g->stx_atime.tv_sec, g->stx_atime.tv_nsec}; /* the program set it (cp -p) */
    struct vr_intent in;
    name_both(p, r, &in);
    int record = vr_mutation_begin(p->board, &in, VR_BOARD_KIND_OP, p->pid, p->tid);
    done = vr_sys6(SYS_utimensat, to, 0, (long)times, 0, 0, 0) == 0;
    vr_mutation_end(p->board, record);
  }
  if (to >= 0) vr_close(to);
  vr_close(from);
  if (!done) return 0;
  VR_FAULT(same_times_set);
  vr_unlinkat(p->root_fd, p->name, 0);
  return VR_STAGE_SAME;
}

/* A readable descriptor on the owner's file, also when its name is gone or its mode forbids reading. */
static int open_own(const struct vr_stage_place *p, const struct sight *s, int fd) {
  if (s->staged) {
    int from = vr_openat(p->root_fd, p->name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC, 0);
    if (from >= 0) return from;
  }
  char link[32] = "/proc/self/fd/";
  char digits[12];
  int n = 0, at = 14;
  for (unsigned v = (unsigned)fd; v || !n; v /= 10) digits[n++] = (char)('0' + v % 10);
  while (n) link[at++] = digits[--n];
  link[at] = 0;
  int from = vr_openat(AT_FDCWD, link, O_RDONLY | O_CLOEXEC, 0);
  struct statx st;
  if (from != -EACCES || vr_fstatx(fd, &st)) return from;
  vr_sys6(SYS_fchmod, fd, (st.stx_mode & 07777) | 0400, 0, 0, 0, 0);
  from = vr_openat(AT_FDCWD, link, O_RDONLY | O_CLOEXEC, 0);
  vr_sys6(SYS_fchmod, fd, st.stx_mode & 07777, 0, 0, 0, 0);
  return from;
}

/* The rename is not possible (mount point, links, no room for a name, staging file removed): into the real file, as natively. */
static int put_copy(struct vr_stage_place *p, const struct vr_staged *r, const struct sight *s, int fd) {
  struct statx own;
  int from = open_own(p, s, fd), e = from;
  if (from >= 0) e = vr_fstatx(from, &own);
  if (e >= 0) {
    struct vr_intent in;
    name_both(p, r, &in);
    int record = vr_mutation_begin(p->board, &in, VR_BOARD_KIND_OP, p->pid, p->tid);
    int flags = O_WRONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK | O_TRUNC | (s->present ? 0 : O_CREAT);
    int to = vr_openat(p->parent_fd, p->base, flags, own.stx_mode & 07777);
    e = to;
    if (to >= 0) {
      e = VR_FAULT(copy_truncated);
      if (e == 0) e = vr_stage_copy(from, to);
      if (e == 0 && s->present) e = vr_stage_carry(from, to);
      if (!s->present) vr_sys6(SYS_fchmod, to, own.stx_mode & 07777, 0, 0, 0, 0); /* the umask was applied once already */
      int closed = vr_close(to);
      if (e == 0 && closed < 0 && closed != -EINTR) e = closed;
    }
    vr_mutation_end(p->board, record);
  }
  if (from >= 0) vr_close(from);
  if (e < 0) {
    if (s->staged) vr_salvage_move(p, r);
    return e;
  }
  VR_FAULT(copy_done);
  if (s->staged) vr_unlinkat(p->root_fd, p->name, 0);
  return VR_STAGE_COPIED;
}

static int put_rename(struct vr_stage_place *p, const struct vr_staged *r, const struct sight *s, int keep_old) {
  struct vr_intent in;
  name_both(p, r, &in);
  int record = vr_mutation_begin(p->board, &in, VR_BOARD_KIND_OP, p->pid, p->tid);
  if (keep_old) vr_salvage_keep_old(p, r);
  unsigned flags = s->present ? 0 : RENAME_NOREPLACE_FLAG;
  int e = VR_FAULT(rename_before);
  if (e == 0) e = vr_renameat2(p->root_fd, p->name, p->parent_fd, p->base, flags);
  if (e == -EINVAL && flags && !s->unseen) e = vr_renameat2(p->root_fd, p->name, p->parent_fd, p->base, 0);
  if (e && keep_old) { /* or a copy into the real file would reach the old version through its second name */
    char old[VR_SALVAGE_PATH_MAX];
    vr_salvage_name((const char *)r->path, r->path_len, 0, 0, old);
    vr_unlinkat(p->root_fd, old, 0);
  }
  VR_FAULT(rename_after);
  vr_mutation_end(p->board, record);
  return e;
}

int vr_stage_put(struct vr_stage_place *p, const struct vr_staged *r, int fd, enum vr_stage_how how, int64_t old_mtime) {
  /* A new file, still in staging by all we know, to an absent name: the rename itself finds out whether that is so. */
  if (how == VR_STAGE_COMMIT && !r->old_ino && fd >= 0 && VR_STAGED_STATE(r->state) == VR_BOARD_STAGED_LIVE) {
    const struct sight nothing = {.present = 0, .staged = 1, .unseen = 1};
    if (put_rename(p, r, &nothing, 0) == 0) return VR_STAGE_PLACED;
  }
  for (int round = 0;; round++) {
    struct sight s;
    VR_FAULT(put_begin);
    int e = look(p, r, &s);
    if (e) return e;
    if (s.present && is_inode(&s.target, r, r->staging_ino)) return VR_STAGE_PLACED; /* somebody promoted it */
    if (!s.staged && fd < 0) return -ENOENT;
    /* Somebody promoted it, and the name was removed or given to another file since: natively ours is unlinked. */
    if (!s.staged && VR_STAGED_STATE(r->state) == VR_BOARD_STAGED_PROMOTED) return VR_STAGE_LOST;
    int taken = r->old_ino ? !s.present || !is_inode(&s.target, r, r->old_ino) : s.present && !S_ISREG(s.target.stx_mode);
    if (taken) { /* natively our descriptor would now be on an unlinked file */
      if (fd < 0) return -ESTALE;
      e = s.staged ? vr_salvage_move(p, r) : 0;
      if (e == -ENOENT && round < 3) continue; /* somebody has shown it since the look */
      return e ? e : VR_STAGE_LOST;
    }
    if (!s.staged && !r->old_ino && s.present && fd >= 0) {
      /* Shown by somebody, then replaced by another file: natively too the descriptor is all that is left of ours. */
      struct statx own;
      if (vr_fstatx(fd, &own) == 0 && own.stx_nlink == 0) return VR_STAGE_LOST;
    }
    if (how == VR_STAGE_LOCK && s.present) return -EBUSY;
    if (!s.staged || (s.present && s.target.stx_nlink > 1)) return fd < 0 || how != VR_STAGE_COMMIT ? -EBUSY : put_copy(p, r, &s, fd);
    if (how == VR_STAGE_COMMIT && s.present && r->old_ino && put_same(p, r, &s) == VR_STAGE_SAME) return VR_STAGE_SAME;
    int64_t mtime = s.target.stx_mtime.tv_sec * 1000000000ll + s.target.stx_mtime.tv_nsec;
    int keep_old = s.present && (how != VR_STAGE_COMMIT || !r->old_ino || (old_mtime && mtime != old_mtime));
    e = put_rename(p, r, &s, keep_old);
    if (e == 0) return VR_STAGE_PLACED;
    /* EEXIST, ENOENT: target or staging file changed between look and rename. */
    if ((e == -EEXIST || e == -ENOENT) && round < 3) continue;
    return fd < 0 || how != VR_STAGE_COMMIT ? e : put_copy(p, r, &s, fd);
  }
}
