/* access and friends. Memory says yes, or that the path is absent; every refusal is left to the kernel, which knows why. */
#include "interpose_gen.h"
#include "internal.h"
#include "raw.h"

#define ATTR_IMMUTABLE 0x10u /* STATX_ATTR_IMMUTABLE */

static int in_group(const struct shim_mapped *m, uint32_t gid) {
  if (m->who.gid == gid) return 1;
  for (uint32_t i = 0; i < m->who.ngroups; i++)
    if (m->who.groups[i] == gid) return 1;
  return 0;
}

/* 1: surely allowed. */
static int allowed(const struct shim_mapped *m, const struct vr_entry *e, int mode) {
  if (mode == F_OK) return 1;
  if (e->state & VR_ENTRY_ACL) return 0;
  if ((mode & W_OK) && (m->who.readonly || (e->attributes & ATTR_IMMUTABLE))) return 0;
  if ((mode & X_OK) && S_ISREG(e->mode) && m->who.noexec) return 0;
  if (m->who.uid == 0 && m->who.dac_override) return !(mode & X_OK) || S_ISDIR(e->mode) || (e->mode & 0111);
  uint32_t shift = m->who.uid == e->uid ? 6 : in_group(m, e->gid) ? 3 : 0;
  uint32_t have = e->mode >> shift & 7, want = (uint32_t)mode;
  return (have & want) == want;
}

static int real_access(int dirfd, const char *path, int mode, int effective, int nofollow) {
  if (!effective && !nofollow) return (int)raw_libc(raw3(SYS_faccessat, dirfd, (long)path, mode));
  int flags = (effective ? AT_EACCESS : 0) | (nofollow ? AT_SYMLINK_NOFOLLOW : 0);
  long r = raw4(439 /* faccessat2 */, dirfd, (long)path, mode, flags);
  if (r != -ENOSYS) return (int)raw_libc(r);
  if (!LIBC(faccessat)) {
    errno = ENOSYS;
    return -1;
  }
  return real.faccessat(dirfd, path, mode, flags);
}

struct access_args {
  int dirfd, mode, effective, nofollow, rc, err, memory_err;
};
/* 0: an answer (its errno in *err); -1: native, counted. */
static int ask_access(struct shim_question *q, const char *function, const char *path, const struct access_args *a, int *err) {
  enum vr_answer got = shim_ask(q, function, a->dirfd, path, a->nofollow ? 0 : ASK_FOLLOW);
  if (got == VR_NATIVE) return -1;
  *err = got == VR_FOUND ? 0 : got == VR_ENOENT ? ENOENT : ENOTDIR;
  if (*err) return 0;
  const struct shim_mapped *m = shim_mapped_of(q->v);
  if ((!a->effective && !m->who.may_access) || !allowed(m, &q->entry, a->mode)) {
    shim_ask_native(q, VR_STAT_NATIVE_FLAGS);
    return -1;
  }
  return 0;
}
static int access_memory(struct shim_check *c) {
  struct access_args *a = c->args;
  return ask_access(c->q, c->function, c->path, a, &a->memory_err);
}
static void access_real(struct shim_check *c) {
  struct access_args *a = c->args;
  int saved = errno;
  a->rc = real_access(a->dirfd, c->path, a->mode, a->effective, a->nofollow);
  a->err = a->rc ? errno : 0;
  errno = saved;
}
static const char *access_differ(struct shim_check *c, char memory[64], char kernel[64]) {
  struct access_args *a = c->args;
  shim_number(memory, (uint64_t)a->memory_err);
  shim_number(kernel, (uint64_t)a->err);
  return a->memory_err == a->err ? NULL : "errno";
}

int shim_do_access(const char *function, int dirfd, const char *path, int mode, int effective, int nofollow) {
  struct access_args a = {dirfd, mode, effective, nofollow, 0, 0, 0};
  struct shim_question q;
  if (!shim_active() || !shim_text(path) || !*path || (mode & ~(R_OK | W_OK | X_OK)) || ask_access(&q, function, path, &a, &a.memory_err))
    return real_access(dirfd, path, mode, effective, nofollow);
  shim_count(a.memory_err ? VR_STAT_HIT_ENOENT : VR_STAT_HIT_ACCESS);
  if (__builtin_expect(shim.verify, 0)) {
    struct shim_check c = {function, path, &q, &a, NULL, NULL, access_memory, access_real, access_differ};
    shim_verify(&c);
    a.memory_err = a.err;
  }
  if (!a.memory_err) return 0;
  errno = a.memory_err;
  return -1;
}

int hook_access(const char *path, int mode) { return shim_do_access("access", AT_FDCWD, path, mode, 0, 0); }
ALIASES_access
int hook_faccessat(int dirfd, const char *path, int mode, int flags) {
  if (flags & ~(AT_EACCESS | AT_SYMLINK_NOFOLLOW)) {
    if (!HAVE(faccessat)) return (errno = ENOSYS), -1;
    return real.faccessat(dirfd, path, mode, flags);
  }
  return shim_do_access("faccessat", dirfd, path, mode, (flags & AT_EACCESS) != 0, (flags & AT_SYMLINK_NOFOLLOW) != 0);
}
ALIASES_faccessat
int hook_euidaccess(const char *path, int mode) { return shim_do_access("euidaccess", AT_FDCWD, path, mode, 1, 0); }
ALIASES_euidaccess
