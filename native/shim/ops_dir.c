/* Directory streams are real ones: memory only says that there is nothing to open, and staged files are put in their place before a
 * directory is read. */
#include "interpose_gen.h"
#include "internal.h"
#include "raw.h"

#define REAL_OR(name, failed) \
  if (!HAVE(name)) return (errno = ENOSYS), failed

/* 0, or the errno of an absent directory. Promotes what is staged in it. */
static int before_listing(int dirfd, const char *path) {
  if (!shim_active() || !shim_text(path)) return 0;
  int saved = errno, err = shim_known_absent(dirfd, path);
  errno = saved;
  if (err || !shim.board.base || !__atomic_load_n(&shim.board.dyn->staged_count, __ATOMIC_RELAXED)) return err;
  char rel[SHIM_PATH_MAX];
  int n = shim_resolve(dirfd, path, rel);
  if (n >= 0) shim_stage_promote_children(rel, n);
  else shim_stage_promote_all();
  errno = saved;
  return 0;
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

DIR *hook_fdopendir(int fd) {
  REAL_OR(fdopendir, NULL);
  if (shim_active() && shim.board.base && __atomic_load_n(&shim.board.dyn->staged_count, __ATOMIC_RELAXED)) {
    int saved = errno;
    char rel[SHIM_PATH_MAX];
    int n = shim_fd_dir_path(fd, rel);
    if (n >= 0) shim_stage_promote_children(rel, n);
    else shim_stage_promote_all();
    errno = saved;
  }
  return real.fdopendir(fd);
}
ALIASES_fdopendir

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

/* These walk by libc's own calls, which nobody sees: what this process has staged is put in place before. */
static void before_walk(void) {
  if (!shim_active()) return;
  int saved = errno;
  shim_stage_promote_all();
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
