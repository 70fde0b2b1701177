/* The library that is preloaded: a copy of the installed one in RUN, so that nothing that happens to the installation (removed,
 * overwritten, upgraded) reaches a running build. docs/SUPERVISION.md section 7. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>
#include "launcher.h"
#include "vr_hash.h"

#define MODE 0500

/* Copies from the start of one descriptor to another. 0 or -1. */
static int copy_all(int from, int to) {
  static char buf[65536]; /* not on the stack: it may be small (`ulimit -s`) */
  ssize_t n;
  while ((n = read(from, buf, sizeof buf)) != 0) {
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return -1;
    for (ssize_t done = 0, w; done < n; done += w)
      if ((w = write(to, buf + done, (size_t)(n - done))) <= 0) return -1;
  }
  return 0;
}

/* A whole copy under that name, or nothing. */
static int make_copy(const char *lib, const char *name, off_t size) {
  char fresh[TEXT_MAX + 128];
  struct stat st;
  snprintf(fresh, sizeof fresh, "%s.%d", name, (int)getpid());
  int from = open(lib, O_RDONLY | O_CLOEXEC), to = open(fresh, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, MODE);
  int ok = from >= 0 && to >= 0 && copy_all(from, to) == 0 && fstat(to, &st) == 0 && st.st_size == size && fchmod(to, MODE) == 0;
  if (from >= 0) close(from);
  if (to >= 0 && close(to) < 0) ok = 0;
  if (ok && rename(fresh, name) == 0) return 0;
  if (to >= 0) unlink(fresh);
  return -1;
}

int library_copy(const struct places *p, const char *lib, char *out, size_t size) {
  char top[TEXT_MAX + 16], dir[TEXT_MAX + 48];
  struct stat st, have;
  struct statvfs fs;
  if (stat(lib, &st) < 0 || statvfs(p->run, &fs) < 0 || (fs.f_flag & ST_NOEXEC)) return -1;
  uint64_t key[5] = {(uint64_t)st.st_dev, (uint64_t)st.st_ino, (uint64_t)st.st_size, (uint64_t)st.st_mtim.tv_sec, (uint64_t)st.st_mtim.tv_nsec};
  snprintf(top, sizeof top, "%s/lib", p->run);
  snprintf(dir, sizeof dir, "%s/%016llx", top, (unsigned long long)vr_hash64(key, sizeof key, 0));
  if (snprintf(out, size, "%s/libvrift_shim.so", dir) >= (int)size || strpbrk(out, " :")) return -1;
  for (int again = 0; again < 2; again++) {
    if (lstat(out, &have) == 0 && S_ISREG(have.st_mode) && have.st_uid == geteuid() && have.st_size == st.st_size && !(have.st_mode & 022)) {
      utimensat(AT_FDCWD, out, NULL, 0); /* in use: vriftd removes only old ones */
      return 0;
    }
    if (again || (mkdir(top, 0700) < 0 && errno != EEXIST) || (mkdir(dir, 0700) < 0 && errno != EEXIST)) return -1;
    if (make_copy(lib, out, st.st_size) < 0) return -1;
  }
  return -1;
}
