/* Changes of names: rename, link, unlink, mkdir and the like. Each names its real slots, makes the one system call, frees. Pure
 * system calls in libc too, and no cancellation points, so they are made raw. */
#include <stddef.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include "writer.h"

#ifndef RENAME_EXCHANGE
#define RENAME_EXCHANGE 2u
#endif

/* Ends a mutation and returns the kernel's result in libc's convention. */
static int finish(int token, long r) {
  shim_mut_end(token);
  return (int)raw_libc(r);
}
static int begin_path(int dirfd, const char *path, int flags) {
  struct vr_intent in;
  shim_promote_path(dirfd, path);
  vr_intent_init(&in);
  shim_intent_path(&in, dirfd, path, flags);
  return shim_mut_begin(&in);
}

static __attribute__((noinline)) void promote_below(int dirfd, const char *path) {
  char rel[SHIM_PATH_MAX];
  int n = shim_real_rel(dirfd, path, rel);
  if (n >= 0) shim_stage_promote_below(rel, n);
}
static void promote_tree(int dirfd, const char *path) {
  if (shim_text(path) && path[0] && shim_want_board() && __atomic_load_n(&shim.board.dyn->staged_count, __ATOMIC_ACQUIRE))
    promote_below(dirfd, path);
}

/* Once more, now that our record is live: whoever published a staged file after the first look sees the record and steps back, or is seen here. */
static void promote_again(int dirfd, const char *path, int tree) {
  if (!shim_stage_any()) return;
  shim_promote_path(dirfd, path);
  if (tree) promote_tree(dirfd, path);
}

enum source { SOURCE_NONE, SOURCE_FILE, SOURCE_DIR };
static enum source source_of(int dirfd, const char *path, struct stat *st) {
  long r = raw_stat(dirfd, path, st, AT_SYMLINK_NOFOLLOW);
  if (r < 0) return r == -ENOENT || r == -ENOTDIR || r == -EFAULT ? SOURCE_NONE : SOURCE_DIR;
  return S_ISDIR(st->st_mode) ? SOURCE_DIR : SOURCE_FILE;
}

/* A file that comes into the project from outside may still be open for writing by somebody whom nothing recorded: its record is left
 * to the daemon, which looks for writers. */
static void end_moved_in(int token, const struct stat *st, int from_inside, long r) {
  if (r == 0 && !from_inside && token >= 0 && S_ISREG(st->st_mode)) shim_token_keep(token, VR_BOARD_KIND_ESCAPED, st->st_ino);
  else shim_mut_end(token);
}

static int rename_any(int fromfd, const char *from, int tofd, const char *to, unsigned flags) {
  if (!recording() || !shim_text(from) || !shim_text(to)) return (int)raw_libc(raw6(SYS_renameat2, fromfd, (long)from, tofd, (long)to, flags, 0));
  struct vr_intent in;
  struct stat st = {0}, other = {0};
  shim_promote_path(fromfd, from);
  shim_promote_path(tofd, to);
  vr_intent_init(&in);
  enum source kind = source_of(fromfd, from, &st);
  if (kind == SOURCE_DIR) promote_tree(fromfd, from);
  int dir_flag = kind == SOURCE_DIR ? SHIM_DIR : 0;
  shim_intent_path(&in, fromfd, from, dir_flag);
  int from_inside = in.nslots > 0;
  shim_intent_path(&in, tofd, to, dir_flag);
  if (kind == SOURCE_DIR) promote_tree(tofd, to); /* a directory that only looks empty must not be replaced */
  if ((flags & RENAME_EXCHANGE) && source_of(tofd, to, &other) == SOURCE_DIR) {
    promote_tree(tofd, to);
    kind = SOURCE_DIR;
  }
  if (kind == SOURCE_DIR && in.nslots) vr_intent_slot(&in, 0);
  int token = shim_mut_begin(&in);
  promote_again(fromfd, from, kind == SOURCE_DIR);
  promote_again(tofd, to, kind == SOURCE_DIR);
  long r = raw6(SYS_renameat2, fromfd, (long)from, tofd, (long)to, flags, 0);
  if (r == -ENOSYS && !flags) r = raw4(SYS_renameat, fromfd, (long)from, tofd, (long)to);
  if (r == 0 && kind != SOURCE_DIR && source_of(tofd, to, &other) == SOURCE_DIR && token != SHIM_MUT_NONE)
    vr_mutation_add_slot(&shim.board, shim_token_record(token), 0); /* it became a directory between our look and the call */
  end_moved_in(token, &st, from_inside, r);
  return (int)raw_libc(r);
}
int hook_rename(const char *from, const char *to) { return rename_any(AT_FDCWD, from, AT_FDCWD, to, 0); }
ALIASES_rename
int hook_renameat(int fromfd, const char *from, int tofd, const char *to) { return rename_any(fromfd, from, tofd, to, 0); }
ALIASES_renameat
int hook_renameat2(int fromfd, const char *from, int tofd, const char *to, unsigned flags) {
  return rename_any(fromfd, from, tofd, to, flags);
}
ALIASES_renameat2

static int link_any(int fromfd, const char *from, int tofd, const char *to, int flags) {
  if (!recording() || !shim_text(from) || !shim_text(to)) return (int)raw_libc(raw6(SYS_linkat, fromfd, (long)from, tofd, (long)to, flags, 0));
  struct vr_intent in;
  struct stat st = {0};
  shim_promote_path(fromfd, from);
  shim_promote_path(tofd, to);
  vr_intent_init(&in);
  /* The file of a descriptor, or of /proc/self/fd: its new name is one more for the file that is in its place. */
  if (flags & (AT_EMPTY_PATH | AT_SYMLINK_FOLLOW)) shim_stage_promote_all();
  if ((flags & AT_EMPTY_PATH) && !from[0]) shim_intent_fd(&in, fromfd);
  else shim_intent_path(&in, fromfd, from, flags & AT_SYMLINK_FOLLOW ? SHIM_FOLLOW : 0);
  int from_inside = intent_inside(&in);
  shim_intent_path(&in, tofd, to, 0);
  int token = shim_mut_begin(&in);
  long r = raw6(SYS_linkat, fromfd, (long)from, tofd, (long)to, flags, 0);
  if (r == 0 && !from_inside && token >= 0 && raw_stat(tofd, to, &st, AT_SYMLINK_NOFOLLOW) < 0) st.st_mode = 0;
  end_moved_in(token, &st, from_inside, r);
  return (int)raw_libc(r);
}
int hook_link(const char *from, const char *to) { return link_any(AT_FDCWD, from, AT_FDCWD, to, 0); }
ALIASES_link
int hook_linkat(int fromfd, const char *from, int tofd, const char *to, int flags) {
  return link_any(fromfd, from, tofd, to, flags);
}
ALIASES_linkat

static int symlink_any(const char *target, int dirfd, const char *path) {
  int token = recording() ? begin_path(dirfd, path, 0) : SHIM_MUT_NONE;
  return finish(token, raw3(SYS_symlinkat, (long)target, dirfd, (long)path));
}
int hook_symlink(const char *target, const char *path) { return symlink_any(target, AT_FDCWD, path); }
ALIASES_symlink
int hook_symlinkat(const char *target, int dirfd, const char *path) { return symlink_any(target, dirfd, path); }
ALIASES_symlinkat

static long unlink_raw(int dirfd, const char *path, int flags) {
  int token = SHIM_MUT_NONE;
  if (recording()) {
    if (flags & AT_REMOVEDIR) promote_tree(dirfd, path);
    token = begin_path(dirfd, path, flags & AT_REMOVEDIR ? SHIM_DIR : 0);
    if (token != SHIM_MUT_NONE && shim_text(path)) promote_again(dirfd, path, flags & AT_REMOVEDIR);
  }
  long r = raw3(SYS_unlinkat, dirfd, (long)path, flags);
  shim_mut_end(token);
  return r;
}
int hook_unlink(const char *path) { return (int)raw_libc(unlink_raw(AT_FDCWD, path, 0)); }
ALIASES_unlink
int hook_unlinkat(int dirfd, const char *path, int flags) { return (int)raw_libc(unlink_raw(dirfd, path, flags)); }
ALIASES_unlinkat
int hook_rmdir(const char *path) { return (int)raw_libc(unlink_raw(AT_FDCWD, path, AT_REMOVEDIR)); }
ALIASES_rmdir
int hook_remove(const char *path) { /* as libc: unlink, and rmdir when that says it is a directory */
  long r = unlink_raw(AT_FDCWD, path, 0);
  if (r == -EISDIR || r == -EPERM) {
    errno = (int)-r; /* libc leaves it there */
    long second = unlink_raw(AT_FDCWD, path, AT_REMOVEDIR);
    r = r == -EPERM && second == -ENOTDIR ? r : second;
  }
  return (int)raw_libc(r);
}
ALIASES_remove

static int mkdir_any(int dirfd, const char *path, mode_t mode) {
  int token = recording() ? begin_path(dirfd, path, 0) : SHIM_MUT_NONE;
  return finish(token, raw3(SYS_mkdirat, dirfd, (long)path, mode));
}
int hook_mkdir(const char *path, mode_t mode) { return mkdir_any(AT_FDCWD, path, mode); }
ALIASES_mkdir
int hook_mkdirat(int dirfd, const char *path, mode_t mode) { return mkdir_any(dirfd, path, mode); }
ALIASES_mkdirat

/* dev_t of libc is 64 bits, the kernel takes 32: what does not fit is EINVAL, as in libc. */
static int mknod_any(int dirfd, const char *path, mode_t mode, dev_t dev) {
  unsigned kernel_dev = (unsigned)dev;
  if (kernel_dev != dev) {
    errno = EINVAL;
    return -1;
  }
  int token = recording() ? begin_path(dirfd, path, 0) : SHIM_MUT_NONE;
  return finish(token, raw4(SYS_mknodat, dirfd, (long)path, mode, kernel_dev));
}
int hook_mknod(const char *path, mode_t mode, dev_t dev) { return mknod_any(AT_FDCWD, path, mode, dev); }
ALIASES_mknod
int hook_mknodat(int dirfd, const char *path, mode_t mode, dev_t dev) { return mknod_any(dirfd, path, mode, dev); }
ALIASES_mknodat
static int xmknod_any(int ver, int dirfd, const char *path, mode_t mode, dev_t *dev) {
  if (ver != 0) {
    errno = EINVAL;
    return -1;
  }
  return mknod_any(dirfd, path, mode, *dev);
}
int hook___xmknod(int ver, const char *path, mode_t mode, dev_t *dev) { return xmknod_any(ver, AT_FDCWD, path, mode, dev); }
ALIASES___xmknod
int hook___xmknodat(int ver, int dirfd, const char *path, mode_t mode, dev_t *dev) {
  return xmknod_any(ver, dirfd, path, mode, dev);
}
ALIASES___xmknodat
int hook_mkfifo(const char *path, mode_t mode) { return mknod_any(AT_FDCWD, path, mode | S_IFIFO, 0); }
ALIASES_mkfifo
int hook_mkfifoat(int dirfd, const char *path, mode_t mode) { return mknod_any(dirfd, path, mode | S_IFIFO, 0); }
ALIASES_mkfifoat

static int begin_bind(const struct sockaddr *addr, socklen_t len) {
  struct sockaddr_un un = {0};
  char path[sizeof un.sun_path + 1];
  size_t head = offsetof(struct sockaddr_un, sun_path);
  if (!recording() || !addr || len <= head || len > sizeof un || addr->sa_family != AF_UNIX) return SHIM_MUT_NONE;
  memcpy(&un, addr, len);
  memcpy(path, un.sun_path, sizeof un.sun_path);
  path[len - head] = 0;
  return path[0] ? begin_path(AT_FDCWD, path, 0) : SHIM_MUT_NONE;
}
int hook_bind(int fd, const struct sockaddr *addr, socklen_t len) {
  int token = begin_bind(addr, len);
  return finish(token, raw3(SYS_bind, fd, (long)addr, len));
}
ALIASES_bind
