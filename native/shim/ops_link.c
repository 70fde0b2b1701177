/* readlink and realpath. The path of a CLEAN entry has only real directories above it, so it is its own real path. */
#include <limits.h>
#include "interpose_gen.h"
#include "internal.h"
#include "raw.h"

struct text_args {
  int dirfd;
  long rc, err, memory_rc, memory_err; /* rc: length */
};

static int readlink_memory_of(struct shim_question *q, const char *function, const char *path, struct text_args *a) {
  enum vr_answer got = shim_ask(q, function, a->dirfd, path, 0);
  if (got == VR_NATIVE) return -1;
  a->memory_rc = -1;
  a->memory_err = got == VR_ENOENT ? ENOENT : got == VR_ENOTDIR ? ENOTDIR : EINVAL;
  if (got != VR_FOUND || !S_ISLNK(q->entry.mode)) return 0;
  if (!(q->entry.state & VR_ENTRY_TARGET) || q->entry.target_len > SHIM_TARGET_MAX) {
    shim_ask_native(q, VR_STAT_NATIVE_FLAGS);
    return -1;
  }
  a->memory_rc = q->entry.target_len;
  a->memory_err = 0;
  return 0;
}
static int readlink_memory(struct shim_check *c) { return readlink_memory_of(c->q, c->function, c->path, c->args); }
static void readlink_real(struct shim_check *c) {
  struct text_args *a = c->args;
  long r = raw_readlink(a->dirfd, c->path, c->r, PATH_MAX);
  a->rc = raw_failed(r) ? -1 : r;
  a->err = raw_failed(r) ? -r : 0;
}
static const char *text_differ(struct text_args *a, const char *m, const char *r, char memory[64], char kernel[64]) {
  shim_number(memory, (uint64_t)a->memory_err);
  shim_number(kernel, (uint64_t)a->err);
  if (a->memory_err != a->err) return "errno";
  if (a->err || (a->memory_rc == a->rc && !memcmp(m, r, (size_t)a->rc))) return NULL;
  size_t nm = (size_t)(a->memory_rc < 63 ? a->memory_rc : 63), nr = (size_t)(a->rc < 63 ? a->rc : 63);
  memcpy(memory, m, nm);
  memcpy(kernel, r, nr);
  memory[nm] = kernel[nr] = 0;
  return "text";
}
static const char *readlink_differ(struct shim_check *c, char memory[64], char kernel[64]) {
  return text_differ(c->args, c->q->target, c->r, memory, kernel);
}
static __attribute__((noinline)) long readlink_checked(const char *function, const char *path, struct shim_question *q,
                                                       struct text_args *a, char *buf, size_t size) {
  char text[PATH_MAX];
  struct shim_check c = {function, path, q, a, NULL, text, readlink_memory, readlink_real, readlink_differ};
  shim_verify(&c);
  if (a->rc < 0) {
    errno = (int)a->err;
    return -1;
  }
  size_t n = (size_t)a->rc < size ? (size_t)a->rc : size;
  memcpy(buf, text, n);
  return (long)n;
}

ssize_t shim_do_readlink(const char *function, int dirfd, const char *path, char *buf, size_t size) {
  if (!shim_active() || !shim_text(path) || !*path || !shim_text(buf) || (ssize_t)size <= 0 || size > INT_MAX)
    return raw_libc(raw_readlink(dirfd, path, buf, size));
  struct shim_question q;
  struct text_args a = {.dirfd = dirfd};
  if (readlink_memory_of(&q, function, path, &a)) return raw_libc(raw_readlink(dirfd, path, buf, size));
  shim_count(a.memory_err == ENOENT || a.memory_err == ENOTDIR ? VR_STAT_HIT_ENOENT : VR_STAT_HIT_READLINK);
  if (__builtin_expect(shim.verify, 0)) return readlink_checked(function, path, &q, &a, buf, size);
  if (a.memory_rc < 0) {
    errno = (int)a.memory_err;
    return -1;
  }
  size_t n = (size_t)a.memory_rc < size ? (size_t)a.memory_rc : size;
  memcpy(buf, q.target, n);
  return (ssize_t)n;
}

ssize_t hook_readlink(const char *path, char *buf, size_t size) { return shim_do_readlink("readlink", AT_FDCWD, path, buf, size); }
ALIASES_readlink
ssize_t hook_readlinkat(int dirfd, const char *path, char *buf, size_t size) { return shim_do_readlink("readlinkat", dirfd, path, buf, size); }
ALIASES_readlinkat
/* The fortified forms end the program when the buffer is smaller than said; that is left to the real ones. */
ssize_t hook___readlink_chk(const char *path, char *buf, size_t size, size_t buflen) {
  if (size > buflen && HAVE(__readlink_chk)) return real.__readlink_chk(path, buf, size, buflen);
  return shim_do_readlink("readlink", AT_FDCWD, path, buf, size);
}
ALIASES___readlink_chk
ssize_t hook___readlinkat_chk(int dirfd, const char *path, char *buf, size_t size, size_t buflen) {
  if (size > buflen && HAVE(__readlinkat_chk)) return real.__readlinkat_chk(dirfd, path, buf, size, buflen);
  return shim_do_readlink("readlinkat", dirfd, path, buf, size);
}
ALIASES___readlinkat_chk

/* Writes the real path; its length, or -1: native, counted; or -2: absent, errno in *err. */
static long realpath_memory_of(struct shim_question *q, const char *function, const char *path, char out[PATH_MAX], long *err) {
  enum vr_answer got = shim_ask(q, function, AT_FDCWD, path, ASK_FOLLOW);
  if (got == VR_NATIVE) return -1;
  if (got != VR_FOUND) {
    *err = got == VR_ENOENT ? ENOENT : ENOTDIR;
    return -2;
  }
  size_t n = shim.root_len, m = (size_t)q->rel_len;
  if (n + 1 + m >= PATH_MAX) {
    shim_ask_native(q, VR_STAT_NATIVE_PATH);
    return -1;
  }
  memcpy(out, shim.root, n);
  if (m) {
    out[n++] = '/';
    memcpy(out + n, q->rel, m);
    n += m;
  }
  out[n] = 0;
  return (long)n;
}
static int realpath_memory(struct shim_check *c) {
  struct text_args *a = c->args;
  a->memory_err = 0;
  a->memory_rc = realpath_memory_of(c->q, c->function, c->path, c->m, &a->memory_err);
  return a->memory_rc == -1 ? -1 : 0;
}
static void realpath_real(struct shim_check *c) {
  struct text_args *a = c->args;
  int saved = errno;
  a->rc = real.realpath(c->path, c->r) ? (long)strlen(c->r) : -1;
  a->err = a->rc < 0 ? errno : 0;
  errno = saved;
}
static const char *realpath_differ(struct shim_check *c, char memory[64], char kernel[64]) {
  return text_differ(c->args, c->m, c->r, memory, kernel);
}
static __attribute__((noinline)) void realpath_checked(const char *function, const char *path, struct shim_question *q,
                                                       struct text_args *a, char *m) {
  char r[PATH_MAX];
  struct shim_check c = {function, path, q, a, m, r, realpath_memory, realpath_real, realpath_differ};
  shim_verify(&c);
}

/* 1: *result is the answer. On failure libc leaves the failing prefix in `resolved`, so then only a caller without a buffer is answered. */
static int realpath_answered(const char *function, const char *path, char *resolved, char **result) {
  if (!shim_active() || !shim_text(path) || !*path || !HAVE(realpath)) return 0;
  struct shim_question q;
  struct text_args a = {.dirfd = AT_FDCWD};
  char local[PATH_MAX], *out = resolved ? resolved : local;
  a.memory_rc = realpath_memory_of(&q, function, path, local, &a.memory_err);
  if (a.memory_rc == -1) return 0;
  if (a.memory_rc < 0 && resolved) {
    shim_ask_native(&q, VR_STAT_NATIVE_FLAGS);
    return 0;
  }
  shim_count(a.memory_rc < 0 ? VR_STAT_HIT_ENOENT : VR_STAT_HIT_REALPATH);
  if (__builtin_expect(shim.verify, 0)) {
    realpath_checked(function, path, &q, &a, local);
    return 0; /* the program gets the real answer */
  }
  *result = NULL;
  if (a.memory_rc < 0) {
    errno = (int)a.memory_err;
    return 1;
  }
  size_t n = (size_t)a.memory_rc + 1;
  if (!resolved && !(out = malloc(n))) return 1;
  *result = memcpy(out, local, n);
  return 1;
}

char *hook_realpath(const char *path, char *resolved) {
  char *result;
  if (realpath_answered("realpath", path, resolved, &result)) return result;
  if (!HAVE(realpath)) return (errno = ENOSYS), NULL;
  return real.realpath(path, resolved);
}
ALIASES_realpath
char *hook___realpath_chk(const char *path, char *resolved, size_t size) {
  char *result;
  if (size >= PATH_MAX && realpath_answered("realpath", path, resolved, &result)) return result;
  if (!HAVE(__realpath_chk)) return (errno = ENOSYS), NULL;
  return real.__realpath_chk(path, resolved, size);
}
ALIASES___realpath_chk
char *hook_canonicalize_file_name(const char *path) {
  char *result;
  if (realpath_answered("canonicalize_file_name", path, NULL, &result)) return result;
  if (!HAVE(canonicalize_file_name))
    return (errno = ENOSYS), NULL;
  return real.canonicalize_file_name(path);
}
ALIASES_canonicalize_file_name
