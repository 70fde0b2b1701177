/* Changes of attributes and sizes: chmod, chown, times, truncate, fallocate, extended attributes. By path the final link is followed
 * unless the function says otherwise; by descriptor the inode is named, and nothing at all when it is already held. */
#include <sys/time.h>
#include "writer.h"

/* Who may write into a directory changes: what is staged below it, by whomever, gets there before. path NULL: dirfd itself. */
static void open_directory(int dirfd, const char *path, int at_flags) {
  struct stat st;
  int saved = errno;
  if (shim_stage_any() && (path ? raw_stat(dirfd, path, &st, at_flags) : raw_fstat(dirfd, &st)) == 0 && S_ISDIR(st.st_mode)) shim_stage_promote_below("", 0);
  errno = saved;
}
static int begin_path(int dirfd, const char *path, int flags) {
  struct vr_intent in;
  if (!recording() || !shim_text(path)) return SHIM_MUT_NONE;
  shim_promote_path(dirfd, path);
  if (flags & SHIM_DIR) open_directory(dirfd, path, flags & SHIM_FOLLOW ? 0 : AT_SYMLINK_NOFOLLOW);
  vr_intent_init(&in);
  shim_intent_path(&in, dirfd, path, flags);
  return shim_mut_begin(&in);
}
static int begin_fd(int fd, int flags) {
  struct vr_intent in;
  if (!recording() || shim_fd_is_held(fd)) return SHIM_MUT_NONE;
  if (flags & SHIM_DIR) open_directory(fd, NULL, 0);
  vr_intent_init(&in);
  shim_intent_fd_as(&in, fd, flags);
  return shim_mut_begin(&in);
}
/* dirfd with "" and AT_EMPTY_PATH (or, for utimensat, a null path) is the descriptor itself. */
static int begin_at(int dirfd, const char *path, int at_flags, int flags) {
  if (!path || (shim_text(path) && (at_flags & AT_EMPTY_PATH) && !path[0])) {
    if (dirfd != AT_FDCWD) return begin_fd(dirfd, flags);
    path = ".";
  }
  return begin_path(dirfd, path, flags | (at_flags & AT_SYMLINK_NOFOLLOW ? 0 : SHIM_FOLLOW));
}
static int finish(int token, long r) {
  shim_mut_end(token);
  return (int)raw_libc(r);
}
/* For results of real libc functions: errno is theirs. */
static int finish_libc(int token, int result) {
  shim_mut_end(token);
  return result;
}
#define NEED(name)                                                 \
  if (!HAVE(name)) { \
    errno = ENOSYS;                                                \
    return -1;                                                     \
  }

int hook_chmod(const char *path, mode_t mode) {
  int token = begin_path(AT_FDCWD, path, SHIM_FOLLOW | SHIM_DIR);
  return finish(token, raw3(SYS_fchmodat, AT_FDCWD, (long)path, mode));
}
ALIASES_chmod
int hook_fchmod(int fd, mode_t mode) {
  int token = begin_fd(fd, SHIM_DIR);
  return finish(token, raw2(SYS_fchmod, fd, mode));
}
ALIASES_fchmod
int hook_fchmodat(int dirfd, const char *path, mode_t mode, int flags) {
  NEED(fchmodat)
  int token = begin_at(dirfd, path, flags, SHIM_DIR);
  return finish_libc(token, real.fchmodat(dirfd, path, mode, flags));
}
ALIASES_fchmodat
int hook_lchmod(const char *path, mode_t mode) {
  NEED(lchmod)
  int token = begin_path(AT_FDCWD, path, SHIM_DIR);
  return finish_libc(token, real.lchmod(path, mode));
}
ALIASES_lchmod

static int chown_any(int dirfd, const char *path, uid_t uid, gid_t gid, int flags) {
  int token = path ? begin_at(dirfd, path, flags, SHIM_DIR) : SHIM_MUT_NONE;
  return finish(token, raw6(SYS_fchownat, dirfd, (long)path, uid, gid, flags, 0));
}
int hook_chown(const char *path, uid_t uid, gid_t gid) { return chown_any(AT_FDCWD, path, uid, gid, 0); }
ALIASES_chown
int hook_lchown(const char *path, uid_t uid, gid_t gid) { return chown_any(AT_FDCWD, path, uid, gid, AT_SYMLINK_NOFOLLOW); }
ALIASES_lchown
int hook_fchownat(int dirfd, const char *path, uid_t uid, gid_t gid, int flags) {
  return chown_any(dirfd, path, uid, gid, flags);
}
ALIASES_fchownat
int hook_fchown(int fd, uid_t uid, gid_t gid) {
  int token = begin_fd(fd, SHIM_DIR);
  return finish(token, raw3(SYS_fchown, fd, uid, gid));
}
ALIASES_fchown

int hook_utime(const char *path, const struct utimbuf *times) {
  NEED(utime)
  int token = begin_path(AT_FDCWD, path, SHIM_FOLLOW);
  return finish_libc(token, real.utime(path, times));
}
ALIASES_utime
int hook_utimes(const char *path, const struct timeval times[2]) {
  NEED(utimes)
  int token = begin_path(AT_FDCWD, path, SHIM_FOLLOW);
  return finish_libc(token, real.utimes(path, times));
}
ALIASES_utimes
int hook_lutimes(const char *path, const struct timeval times[2]) {
  NEED(lutimes)
  int token = begin_path(AT_FDCWD, path, 0);
  return finish_libc(token, real.lutimes(path, times));
}
ALIASES_lutimes
int hook_futimes(int fd, const struct timeval times[2]) {
  NEED(futimes)
  int token = begin_fd(fd, 0);
  return finish_libc(token, real.futimes(fd, times));
}
ALIASES_futimes
int hook_futimesat(int dirfd, const char *path, const struct timeval times[2]) {
  NEED(futimesat)
  int token = begin_at(dirfd, path, 0, 0);
  return finish_libc(token, real.futimesat(dirfd, path, times));
}
ALIASES_futimesat
int hook_futimens(int fd, const struct timespec times[2]) {
  NEED(futimens)
  int token = begin_fd(fd, 0);
  return finish_libc(token, real.futimens(fd, times));
}
ALIASES_futimens
int hook_utimensat(int dirfd, const char *path, const struct timespec times[2], int flags) {
  NEED(utimensat)
  int token = path ? begin_at(dirfd, path, flags, 0) : SHIM_MUT_NONE; /* libc refuses a null path */
  return finish_libc(token, real.utimensat(dirfd, path, times, flags));
}
ALIASES_utimensat

int hook_truncate(const char *path, off_t size) {
  int token = begin_path(AT_FDCWD, path, SHIM_FOLLOW);
  return finish(token, raw2(SYS_truncate, (long)path, size));
}
ALIASES_truncate
int hook_ftruncate(int fd, off_t size) {
  int token = begin_fd(fd, 0);
  return finish(token, raw2(SYS_ftruncate, fd, size));
}
ALIASES_ftruncate
int hook_fallocate(int fd, int mode, off_t offset, off_t size) {
  NEED(fallocate)
  int token = begin_fd(fd, 0);
  return finish_libc(token, real.fallocate(fd, mode, offset, size));
}
ALIASES_fallocate
int hook_posix_fallocate(int fd, off_t offset, off_t size) {
  if (!HAVE(posix_fallocate)) return ENOSYS;
  int token = begin_fd(fd, 0);
  return finish_libc(token, real.posix_fallocate(fd, offset, size));
}
ALIASES_posix_fallocate

/* An ACL of a directory decides who may search it: the whole project then. Other names move only ctime. */
static int xattr_flags(const char *name) { return name && strncmp(name, "system.posix_acl_", 17) == 0 ? SHIM_DIR : 0; }

static void before_look(const char *path) {
  int saved = errno;
  if (recording() && shim_text(path)) shim_promote_path(AT_FDCWD, path);
  errno = saved;
}
ssize_t hook_getxattr(const char *path, const char *name, void *value, size_t size) {
  before_look(path);
  return raw_libc(raw4(SYS_getxattr, (long)path, (long)name, (long)value, (long)size));
}
ALIASES_getxattr
ssize_t hook_lgetxattr(const char *path, const char *name, void *value, size_t size) {
  before_look(path);
  return raw_libc(raw4(SYS_lgetxattr, (long)path, (long)name, (long)value, (long)size));
}
ALIASES_lgetxattr
ssize_t hook_listxattr(const char *path, char *list, size_t size) {
  before_look(path);
  return raw_libc(raw3(SYS_listxattr, (long)path, (long)list, (long)size));
}
ALIASES_listxattr
ssize_t hook_llistxattr(const char *path, char *list, size_t size) {
  before_look(path);
  return raw_libc(raw3(SYS_llistxattr, (long)path, (long)list, (long)size));
}
ALIASES_llistxattr
int hook_statfs(const char *path, struct statfs *buf) {
  NEED(statfs)
  before_look(path);
  return real.statfs(path, buf);
}
ALIASES_statfs
int hook_statvfs(const char *path, struct statvfs *buf) {
  NEED(statvfs)
  before_look(path);
  return real.statvfs(path, buf);
}
ALIASES_statvfs
int hook_setxattr(const char *path, const char *name, const void *value, size_t size, int flags) {
  int token = begin_path(AT_FDCWD, path, SHIM_FOLLOW | xattr_flags(name));
  return finish(token, raw6(SYS_setxattr, (long)path, (long)name, (long)value, (long)size, flags, 0));
}
ALIASES_setxattr
int hook_lsetxattr(const char *path, const char *name, const void *value, size_t size, int flags) {
  int token = begin_path(AT_FDCWD, path, xattr_flags(name));
  return finish(token, raw6(SYS_lsetxattr, (long)path, (long)name, (long)value, (long)size, flags, 0));
}
ALIASES_lsetxattr
int hook_fsetxattr(int fd, const char *name, const void *value, size_t size, int flags) {
  int token = begin_fd(fd, xattr_flags(name));
  return finish(token, raw6(SYS_fsetxattr, fd, (long)name, (long)value, (long)size, flags, 0));
}
ALIASES_fsetxattr
int hook_removexattr(const char *path, const char *name) {
  int token = begin_path(AT_FDCWD, path, SHIM_FOLLOW | xattr_flags(name));
  return finish(token, raw2(SYS_removexattr, (long)path, (long)name));
}
ALIASES_removexattr
int hook_lremovexattr(const char *path, const char *name) {
  int token = begin_path(AT_FDCWD, path, xattr_flags(name));
  return finish(token, raw2(SYS_lremovexattr, (long)path, (long)name));
}
ALIASES_lremovexattr
int hook_fremovexattr(int fd, const char *name) {
  int token = begin_fd(fd, xattr_flags(name));
  return finish(token, raw2(SYS_fremovexattr, fd, (long)name));
}
ALIASES_fremovexattr
