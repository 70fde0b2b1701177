/* The stat family. Every field is the kernel's: st_dev is the root's, the rest was read by the daemon with statx. */
#include <sys/sysmacros.h>
#include "interpose_gen.h"
#include "internal.h"
#include "raw.h"

#define STATX_MNT_ID_BIT 0x1000u
#define STATX_TIMES (STATX_MTIME | STATX_CTIME)
#define STAT_FLAGS (AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | AT_EMPTY_PATH)

static void fill_stat(const struct vr_vdir *v, const struct vr_entry *e, struct stat *st) {
#if defined(__x86_64__)
  st->__pad0 = 0;
#endif
  for (size_t i = 0; i < sizeof st->__glibc_reserved / sizeof st->__glibc_reserved[0]; i++) st->__glibc_reserved[i] = 0;
  st->st_dev = v->header->root_dev;
  st->st_ino = e->ino;
  st->st_nlink = e->nlink;
  st->st_mode = e->mode;
  st->st_uid = e->uid;
  st->st_gid = e->gid;
  st->st_rdev = e->rdev;
  st->st_size = (off_t)e->size;
  st->st_blksize = e->blksize;
  st->st_blocks = (blkcnt_t)e->blocks;
  st->st_atim.tv_sec = (time_t)e->atime;
  st->st_atim.tv_nsec = e->atime_ns;
  st->st_mtim.tv_sec = (time_t)e->mtime;
  st->st_mtim.tv_nsec = e->mtime_ns;
  st->st_ctim.tv_sec = (time_t)e->ctime;
  st->st_ctim.tv_nsec = e->ctime_ns;
}

struct stat_args {
  int dirfd, flags, rc, err;      /* of the real call */
  int memory_rc, memory_err;
};
static int stat_memory(struct shim_check *c) {
  struct stat_args *a = c->args;
  enum vr_answer got = shim_ask(c->q, c->function, a->dirfd, c->path, a->flags & AT_SYMLINK_NOFOLLOW ? 0 : ASK_FOLLOW);
  if (got == VR_NATIVE) return -1;
  a->memory_rc = got == VR_FOUND ? 0 : -1;
  a->memory_err = got == VR_FOUND ? 0 : got == VR_ENOENT ? ENOENT : ENOTDIR;
  if (got == VR_FOUND) fill_stat(c->q->v, &c->q->entry, c->m);
  return 0;
}
static void stat_real(struct shim_check *c) {
  struct stat_args *a = c->args;
  long r = raw_stat(a->dirfd, c->path, c->r, a->flags);
  a->rc = r ? -1 : 0;
  a->err = r ? (int)-r : 0;
}
static const char *number_differ(const char *field, uint64_t m, uint64_t r, char memory[64], char kernel[64]) {
  if (m == r) return NULL;
  shim_number(memory, m);
  shim_number(kernel, r);
  return field;
}
static const char *stat_differ(struct shim_check *c, char memory[64], char kernel[64]) {
  struct stat_args *a = c->args;
  const struct stat *m = c->m, *r = c->r;
  const char *f = number_differ("errno", (uint64_t)a->memory_err, (uint64_t)a->err, memory, kernel);
  if (f || a->rc) return f;
#define FIELD(name) if ((f = number_differ(#name, (uint64_t)m->name, (uint64_t)r->name, memory, kernel))) return f
  FIELD(st_dev); FIELD(st_ino); FIELD(st_nlink); FIELD(st_mode); FIELD(st_uid); FIELD(st_gid); FIELD(st_rdev); FIELD(st_size);
  FIELD(st_blksize); FIELD(st_blocks); FIELD(st_atim.tv_sec); FIELD(st_atim.tv_nsec); FIELD(st_mtim.tv_sec);
  FIELD(st_mtim.tv_nsec); FIELD(st_ctim.tv_sec); FIELD(st_ctim.tv_nsec);
#undef FIELD
  return NULL;
}

static __attribute__((noinline)) int stat_checked(const char *function, const char *path, struct shim_question *q, struct stat_args *a,
                                                  struct stat *buf) {
  struct stat m, r;
  if (q->v && a->memory_rc == 0) fill_stat(q->v, &q->entry, &m);
  struct shim_check c = {function, path, q, a, &m, &r, stat_memory, stat_real, stat_differ};
  shim_verify(&c);
  if (a->rc == 0) *buf = r;
  else errno = a->err;
  return a->rc;
}

int shim_do_stat(const char *function, int dirfd, const char *path, struct stat *buf, int flags) {
  if (!shim_active() || !shim_text(buf) || !shim_text(path) || (flags & ~STAT_FLAGS)) return (int)raw_libc(raw_stat(dirfd, path, buf, flags));
  if (!*path) return (int)raw_libc(raw_stat(dirfd, path, buf, flags));
  struct shim_question q;
  enum vr_answer a = shim_ask(&q, function, dirfd, path, flags & AT_SYMLINK_NOFOLLOW ? 0 : ASK_FOLLOW);
  if (a == VR_NATIVE) return (int)raw_libc(raw_stat(dirfd, path, buf, flags));
  shim_count(a == VR_FOUND ? VR_STAT_HIT : VR_STAT_HIT_ENOENT);
  int err = a == VR_ENOENT ? ENOENT : ENOTDIR;
  if (__builtin_expect(shim.verify, 0)) {
    struct stat_args args = {dirfd, flags, 0, 0, a == VR_FOUND ? 0 : -1, a == VR_FOUND ? 0 : err};
    return stat_checked(function, path, &q, &args, buf);
  }
  if (a == VR_FOUND) {
    fill_stat(q.v, &q.entry, buf);
    return 0;
  }
  errno = err;
  return -1;
}

int hook_stat(const char *path, struct stat *buf) { return shim_do_stat("stat", AT_FDCWD, path, buf, 0); }
ALIASES_stat
int hook_lstat(const char *path, struct stat *buf) { return shim_do_stat("lstat", AT_FDCWD, path, buf, AT_SYMLINK_NOFOLLOW); }
ALIASES_lstat
int hook_fstatat(int dirfd, const char *path, struct stat *buf, int flags) { return shim_do_stat("fstatat", dirfd, path, buf, flags); }
ALIASES_fstatat

/* The old entry points: the first argument is the version of struct stat that the caller was compiled with. */
#if defined(__x86_64__)
#define STAT_VERSION 1
#else
#define STAT_VERSION 0
#endif
static int bad_version(void) {
  errno = EINVAL;
  return -1;
}
int hook___xstat(int ver, const char *path, struct stat *buf) {
  return ver == STAT_VERSION || ver == 0 ? shim_do_stat("stat", AT_FDCWD, path, buf, 0) : bad_version();
}
ALIASES___xstat
int hook___lxstat(int ver, const char *path, struct stat *buf) {
  return ver == STAT_VERSION || ver == 0 ? shim_do_stat("lstat", AT_FDCWD, path, buf, AT_SYMLINK_NOFOLLOW) : bad_version();
}
ALIASES___lxstat
int hook___fxstatat(int ver, int dirfd, const char *path, struct stat *buf, int flags) {
  return ver == STAT_VERSION || ver == 0 ? shim_do_stat("fstatat", dirfd, path, buf, flags) : bad_version();
}
ALIASES___fxstatat

static struct statx_timestamp stamp(uint64_t sec, uint32_t ns) {
  struct statx_timestamp t;
  memset(&t, 0, sizeof t);
  t.tv_sec = (int64_t)sec;
  t.tv_nsec = ns;
  return t;
}
static void fill_statx(const struct vr_vdir *v, const struct vr_entry *e, unsigned mask, struct statx *x) {
  const struct vr_header *h = v->header;
  memset(x, 0, sizeof *x);
  x->stx_mask = mask & STATX_BTIME ? h->statx_mask : h->statx_mask_basic;
  x->stx_blksize = e->blksize;
  x->stx_attributes = e->attributes;
  x->stx_attributes_mask = h->statx_attributes_mask;
  x->stx_nlink = e->nlink;
  x->stx_uid = e->uid;
  x->stx_gid = e->gid;
  x->stx_mode = (uint16_t)e->mode;
  x->stx_ino = e->ino;
  x->stx_size = e->size;
  x->stx_blocks = e->blocks;
  x->stx_atime = stamp(e->atime, e->atime_ns);
  x->stx_mtime = stamp(e->mtime, e->mtime_ns);
  x->stx_ctime = stamp(e->ctime, e->ctime_ns);
  if (x->stx_mask & STATX_BTIME) x->stx_btime = stamp(e->btime, e->btime_ns);
  x->stx_rdev_major = major(e->rdev);
  x->stx_rdev_minor = minor(e->rdev);
  x->stx_dev_major = major(h->root_dev);
  x->stx_dev_minor = minor(h->root_dev);
  if (x->stx_mask & STATX_MNT_ID_BIT) x->stx_mnt_id = h->mnt_id;
}

struct statx_args {
  int dirfd, flags, rc, err, memory_err;
  unsigned mask;
};
static int statx_memory(struct shim_check *c) {
  struct statx_args *a = c->args;
  enum vr_answer got = shim_ask(c->q, c->function, a->dirfd, c->path, a->flags & AT_SYMLINK_NOFOLLOW ? 0 : ASK_FOLLOW);
  if (got == VR_NATIVE) return -1;
  a->memory_err = got == VR_FOUND ? 0 : got == VR_ENOENT ? ENOENT : ENOTDIR;
  if (got == VR_FOUND) fill_statx(c->q->v, &c->q->entry, a->mask, c->m);
  return 0;
}
static void statx_real(struct shim_check *c) {
  struct statx_args *a = c->args;
  long r = raw_statx(a->dirfd, c->path, a->flags, a->mask, c->r);
  a->rc = r ? -1 : 0;
  a->err = r ? (int)-r : 0;
}
static const char *statx_differ(struct shim_check *c, char memory[64], char kernel[64]) {
  struct statx_args *a = c->args;
  const struct statx *m = c->m, *r = c->r;
  const char *f = number_differ("errno", (uint64_t)a->memory_err, (uint64_t)a->err, memory, kernel);
  if (f || a->rc) return f;
#define FIELD(name) if ((f = number_differ(#name, (uint64_t)m->name, (uint64_t)r->name, memory, kernel))) return f
  FIELD(stx_mask); FIELD(stx_blksize); FIELD(stx_attributes); FIELD(stx_attributes_mask); FIELD(stx_nlink); FIELD(stx_uid);
  FIELD(stx_gid); FIELD(stx_mode); FIELD(stx_ino); FIELD(stx_size); FIELD(stx_blocks); FIELD(stx_atime.tv_sec);
  FIELD(stx_atime.tv_nsec); FIELD(stx_mtime.tv_sec); FIELD(stx_mtime.tv_nsec); FIELD(stx_ctime.tv_sec); FIELD(stx_ctime.tv_nsec);
  FIELD(stx_btime.tv_sec); FIELD(stx_btime.tv_nsec); FIELD(stx_rdev_major); FIELD(stx_rdev_minor); FIELD(stx_dev_major);
  FIELD(stx_dev_minor); FIELD(stx_mnt_id);
#undef FIELD
  return memcmp(m, r, sizeof *m) ? "other bytes" : NULL;
}
static __attribute__((noinline)) int statx_checked(const char *path, struct shim_question *q, struct statx_args *a, struct statx *buf) {
  struct statx m, r;
  if (!a->memory_err) fill_statx(q->v, &q->entry, a->mask, &m);
  struct shim_check c = {"statx", path, q, a, &m, &r, statx_memory, statx_real, statx_differ};
  shim_verify(&c);
  if (a->rc == 0) *buf = r;
  else errno = a->err;
  return a->rc;
}

int shim_do_statx(int dirfd, const char *path, int flags, unsigned mask, struct statx *buf) {
  if (!shim_active() || !shim_text(buf) || !shim_text(path) || !*path) return (int)raw_libc(raw_statx(dirfd, path, flags, mask, buf));
  struct shim_question q;
  enum vr_answer a = shim_ask(&q, "statx", dirfd, path, flags & AT_SYMLINK_NOFOLLOW ? 0 : ASK_FOLLOW);
  if (a == VR_NATIVE) return (int)raw_libc(raw_statx(dirfd, path, flags, mask, buf));
  /* Neither time asked for: some filesystems then leave both out. FORCE_SYNC: the caller doubts caches. */
  if ((flags & ~(STAT_FLAGS | AT_STATX_DONT_SYNC)) || (mask & ~(STATX_BASIC_STATS | STATX_BTIME)) || !(mask & STATX_TIMES) ||
      !shim_mapped_of(q.v)->who.statx_ok) {
    shim_ask_native(&q, VR_STAT_NATIVE_FLAGS);
    return (int)raw_libc(raw_statx(dirfd, path, flags, mask, buf));
  }
  shim_count(a == VR_FOUND ? VR_STAT_HIT : VR_STAT_HIT_ENOENT);
  int err = a == VR_FOUND ? 0 : a == VR_ENOENT ? ENOENT : ENOTDIR;
  if (__builtin_expect(shim.verify, 0)) {
    struct statx_args args = {dirfd, flags, 0, 0, err, mask};
    return statx_checked(path, &q, &args, buf);
  }
  if (!err) {
    fill_statx(q.v, &q.entry, mask, buf);
    return 0;
  }
  errno = err;
  return -1;
}
int hook_statx(int dirfd, const char *path, int flags, unsigned mask, struct statx *buf) {
  return shim_do_statx(dirfd, path, flags, mask, buf);
}
ALIASES_statx
