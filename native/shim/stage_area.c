/* The directory in the staging area that holds what this process stages: .vrift/staging/project_<id>/pid_<pid>, 0700, ours, without setgid or
 * an inherited default ACL. A file system may take longer to make and remove a directory than to do all the rest of a short process, so
 * a process that ends cleanly gives its empty directory back under the name free_<n> and the next one takes it from there: two renames
 * within one directory. A bit on the board says that free_<n> is there; it is a hint, whoever is misled makes a directory. */
#include <string.h>
#include <sys/stat.h>
#include "staging.h"

#define POOL 32       /* bits of stage_pool */
#define POOL_TRIES 3
#define NOREPLACE 1u  /* RENAME_NOREPLACE */

static uint64_t made_for HOT_BSS; /* board id ^ pid for which the directory is known to exist */

int stage_no_default_acl(int fd) {
  char link[32] = "/proc/self/fd/";
  int at = 14, n = 0;
  char digits[12];
  for (unsigned v = (unsigned)fd; v || !n; v /= 10) digits[n++] = (char)('0' + v % 10);
  while (n) link[at++] = digits[--n];
  link[at] = 0;
  long e = vr_sys6(SYS_getxattr, (long)link, (long)"system.posix_acl_default", 0, 0, 0, 0);
  return e == -ENODATA || e == -EOPNOTSUPP;
}

int stage_open_root(void) {
  int root = vr_openat(AT_FDCWD, shim.root, O_PATH | O_DIRECTORY | O_CLOEXEC, 0);
  struct statx st;
  if (root >= 0 && (vr_fstatx(root, &st) || st.stx_ino != shim.board.header->root_ino || vr_statx_dev(&st) != shim.board.header->root_dev)) {
    vr_close(root);
    return -1;
  }
  return root;
}


/* All levels, checked. .vrift itself must be there. */
static int make_directories(int root, const char *name) {
  char part[VR_STAGE_NAME_MAX];
  uint32_t len = (uint32_t)strlen(name);
  for (uint32_t i = sizeof ".vrift/"; i < len; i++) {
    if (name[i] != '/') continue;
    memcpy(part, name, i);
    part[i] = 0;
    int e = vr_mkdirat(root, part, 0700);
    if (e && e != -EEXIST) return 0;
    int fd = vr_openat2(root, part, O_RDONLY | O_DIRECTORY | O_CLOEXEC, VR_STAGE_RESOLVE);
    if (fd == -EACCES && e == 0 && vr_sys6(SYS_fchmodat, root, (long)part, 0700, 0, 0, 0) == 0) /* the umask took our own right away */
      fd = vr_openat2(root, part, O_RDONLY | O_DIRECTORY | O_CLOEXEC, VR_STAGE_RESOLVE);
    if (fd < 0) return 0;
    struct statx st;
    int ok = vr_fstatx(fd, &st) == 0 && st.stx_uid == shim.board.header->uid && vr_statx_dev(&st) == shim.board.header->root_dev;
    if (ok && (st.stx_mode & 07777) != 0700) ok = vr_sys6(SYS_fchmod, fd, 0700, 0, 0, 0, 0) == 0;
    if (ok && !stage_no_default_acl(fd)) ok = vr_sys6(SYS_fremovexattr, fd, (long)"system.posix_acl_default", 0, 0, 0, 0) == 0;
    vr_close(fd);
    if (!ok) return 0;
  }
  return 1;
}


/* Absolute: root, the staging path up to the pid's directory, and `last` instead of the pid's directory if it is given. 0: too long. */
static int area_path(const char *name, const char *last, char to[VR_ROOT_PATH_MAX + VR_STAGE_NAME_MAX]) {
  size_t n = shim.root_len, part = strlen(name);
  if (n >= VR_ROOT_PATH_MAX || part >= VR_STAGE_NAME_MAX) return 0;
  memcpy(to, shim.root, n);
  to[n++] = '/';
  while (part && name[part] != '/') part--;
  if (last)
    do part--;
    while (part && name[part] != '/');
  memcpy(to + n, name, part + (last != NULL));
  n += part + (last != NULL);
  if (last) {
    size_t k = strlen(last);
    memcpy(to + n, last, k);
    n += k;
  }
  to[n] = 0;
  return 1;
}
static const char *pool_name(int n, char to[16]) {
  memcpy(to, "free_", 5);
  to[5] = (char)('0' + n / 10);
  to[6] = (char)('0' + n % 10);
  to[7] = 0;
  return to;
}

/* 1: a pooled directory has our name now. */
static int take_pooled(const char *name, const char *own) {
  uint32_t *pool = &shim.board.dyn->stage_pool;
  char free_path[VR_ROOT_PATH_MAX + VR_STAGE_NAME_MAX], free_name[16];
  for (int i = 0; i < POOL_TRIES; i++) {
    uint32_t mask = __atomic_load_n(pool, __ATOMIC_ACQUIRE);
    if (!mask) return 0;
    int n = __builtin_ctz(mask);
    if (!(__atomic_fetch_and(pool, ~(1u << n), __ATOMIC_ACQ_REL) & (1u << n))) continue;
    if (area_path(name, pool_name(n, free_name), free_path) && vr_renameat2(AT_FDCWD, free_path, AT_FDCWD, own, NOREPLACE) == 0) return 1;
  }
  return 0;
}

int stage_area_ready(const char *name) {
  uint64_t made = shim.board.header->board_id ^ (uint64_t)shim.pid;
  char own[VR_ROOT_PATH_MAX + VR_STAGE_NAME_MAX];
  if (__atomic_load_n(&made_for, __ATOMIC_RELAXED) == made) return 1;
  if (!area_path(name, NULL, own)) return 0;
  int ok = take_pooled(name, own);
  if (!ok) {
    int e = vr_mkdirat(AT_FDCWD, own, 0700);
    ok = 0;
    if (e == 0 || e == -ENOENT || e == -EEXIST) { /* a new one may have inherited something, or its parents are not there; one that is there may be a planted link */
      int root = stage_open_root();
      ok = root >= 0 && make_directories(root, name);
      if (root >= 0) vr_close(root);
    }
  }
  if (ok) __atomic_store_n(&made_for, made, __ATOMIC_RELAXED);
  return ok;
}

void stage_area_gone(void) { __atomic_store_n(&made_for, 0, __ATOMIC_RELAXED); }

/* Only its owner puts files into it, and is about to end; but a commit that failed leaves one, and so may one that had our pid before. */
static int is_empty(const char *own) {
  char entries[160]; /* room for ".", ".." and the beginning of a third */
  struct stat st;
  int fd = vr_openat(AT_FDCWD, own, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC, 0), empty = 0;
  if (fd < 0) return 0;
  if (vr_sys6(SYS_fstat, fd, (long)&st, 0, 0, 0, 0) == 0 && (st.st_mode & 07777) == 0700) {
    long n = vr_sys6(SYS_getdents64, fd, (long)entries, sizeof entries, 0, 0, 0);
    empty = n == 48 && vr_sys6(SYS_getdents64, fd, (long)entries, sizeof entries, 0, 0, 0) == 0;
  }
  vr_close(fd);
  return empty;
}

void stage_area_give_back(void) {
  char own[VR_ROOT_PATH_MAX + VR_STAGE_NAME_MAX], free_path[VR_ROOT_PATH_MAX + VR_STAGE_NAME_MAX], name[VR_STAGE_NAME_MAX], free_name[16];
  if (!shim.board.base || !made_for || made_for != (shim.board.header->board_id ^ (uint64_t)shim.pid)) return;
  if (__atomic_load_n(&stage_used, __ATOMIC_ACQUIRE)) return;
  __atomic_store_n(&made_for, 0, __ATOMIC_RELAXED);
  vr_stage_name(shim.board.header->project_id, (uint32_t)shim.pid, 0, 0, name);
  uint32_t *pool = &shim.board.dyn->stage_pool, mask = ~__atomic_load_n(pool, __ATOMIC_ACQUIRE);
  if (!area_path(name, NULL, own) || !is_empty(own)) return;
  for (int i = 0; i < POOL_TRIES && mask; i++, mask &= mask - 1) {
    int n = __builtin_ctz(mask);
    if (!area_path(name, pool_name(n, free_name), free_path)) return;
    if (vr_renameat2(AT_FDCWD, own, AT_FDCWD, free_path, NOREPLACE)) continue;
    __atomic_fetch_or(pool, 1u << n, __ATOMIC_ACQ_REL);
    return;
  }
}
