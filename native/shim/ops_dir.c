/* Directory streams are real ones: memory only says that there is nothing to open, and staged files are put in their place before a
 * directory is read. */
#include "interpose_gen.h"
#include "internal.h"
#include "raw.h"
#include "writer.h"

#define REAL_OR(name, failed) \
  if (!HAVE(name)) return (errno = ENOSYS), failed

/* By its inode too: "." and "a/.." and a link to it are the same directory. */
static __attribute__((noinline)) void promote_listed(int dirfd, const char *path) {
  char rel[SHIM_PATH_MAX];
  struct stat st;
  int n = shim_real_rel(dirfd, path, rel);
  if (n >= 0) shim_stage_promote_children(rel, n);
  if (raw_stat(dirfd, path, &st, 0) == 0) shim_stage_promote_in(st.st_dev, st.st_ino);
}
/* 0, or the errno of an absent directory. Promotes what is staged in it. */
static int before_listing(int dirfd, const char *path) {
  if (!shim_active() || !shim_text(path)) return 0;
  int saved = errno, err = shim_known_absent(dirfd, path);
  if (!err && shim_stage_any()) promote_listed(dirfd, path);
  errno = saved;
  return err;
}

DIR *hook_opendir(const char *path) {
  REAL_OR(opendir, NULL);
  int err = before_listing(AT_FDCWD, path);
  if (err) return (errno = err), NULL;
  DIR *d = real.opendir(path);
  if (d && shim_active()) shim_dir_opened(dirfd(d), AT_FDCWD, path);
  return d;
}
ALIASES_opendir

static void promote_in_fd(int fd) {
  if (!shim_active() || !shim_stage_any()) return;
  int saved = errno;
  char rel[SHIM_PATH_MAX];
  struct stat st;
  int n = shim_fd_dir_path(fd, rel);
  if (n >= 0) shim_stage_promote_children(rel, n);
  if (raw_fstat(fd, &st) == 0) shim_stage_promote_in(st.st_dev, st.st_ino);
  errno = saved;
}
DIR *hook_fdopendir(int fd) {
  REAL_OR(fdopendir, NULL);
  promote_in_fd(fd);
  return real.fdopendir(fd);
}
ALIASES_fdopendir

/* From here on the stream shows the directory as it is now. */
void hook_rewinddir(DIR *dir) {
  if (!HAVE(rewinddir)) return;
  promote_in_fd(dirfd(dir));
  real.rewinddir(dir);
}
ALIASES_rewinddir

int hook_closedir(DIR *dir) {
  REAL_OR(closedir, -1);
  if (dir && shim_active()) shim_fd_forget(dirfd(dir));
  return real.closedir(dir);
}
ALIASES_closedir

int hook_scandir(const char *path, struct dirent ***list, int (*filter)(const struct dirent *),
                 int (*compar)(const struct dirent **, const struct dirent **)) {
  REAL_OR(scandir, -1);
  int err = before_listing(AT_FDCWD, path);
  if (err) return (errno = err), -1;
  return real.scandir(path, list, filter, compar);
}
ALIASES_scandir
int hook_scandirat(int dirfd, const char *path, struct dirent ***list, int (*filter)(const struct dirent *),
                   int (*compar)(const struct dirent **, const struct dirent **)) {
  REAL_OR(scandirat, -1);
  int err = before_listing(dirfd, path);
  if (err) return (errno = err), -1;
  return real.scandirat(dirfd, path, list, filter, compar);
}
ALIASES_scandirat

/* These walk by libc's own calls, which nobody sees: whatever anybody has staged is put in place before. */
static void before_walk(void) {
  if (!shim_active()) return;
  int saved = errno;
  shim_stage_promote_below("", 0);
  errno = saved;
}
int hook_glob(const char *pattern, int flags, int (*errfunc)(const char *, int), glob_t *g) {
  REAL_OR(glob, GLOB_ABORTED);
  before_walk();
  return real.glob(pattern, flags, errfunc, g);
}
ALIASES_glob
int hook_ftw(const char *path, __ftw_func_t fn, int fds) {
  REAL_OR(ftw, -1);
  before_walk();
  return real.ftw(path, fn, fds);
}
ALIASES_ftw
int hook_nftw(const char *path, __nftw_func_t fn, int fds, int flags) {
  REAL_OR(nftw, -1);
  before_walk();
  return real.nftw(path, fn, fds, flags);
}
ALIASES_nftw
FTS *hook_fts_open(char *const *paths, int options, int (*compar)(const FTSENT **, const FTSENT **)) {
  REAL_OR(fts_open, NULL);
  before_walk();
  return real.fts_open(paths, options, compar);
}
ALIASES_fts_open
