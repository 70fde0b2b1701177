/* Asks every question of the reader about a tree, and prints the answers: the same text natively and under vrift. With "bench N" after the
 * tree it times N questions instead. argv: TREE [bench N [QUESTION]] */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static void show_stat(const char *what, const char *path, int rc, const struct stat *s) {
  if (rc) printf("%s %s: %s\n", what, path, strerrorname_np(errno));
  else
    printf("%s %s: dev %lu ino %lu mode %o nlink %lu uid %u gid %u rdev %lu size %ld blksize %ld blocks %ld a %ld.%ld m %ld.%ld c %ld.%ld\n", what, path,
           s->st_dev, s->st_ino, s->st_mode, s->st_nlink, s->st_uid, s->st_gid, s->st_rdev, s->st_size, s->st_blksize, s->st_blocks,
           s->st_atim.tv_sec, s->st_atim.tv_nsec, s->st_mtim.tv_sec, s->st_mtim.tv_nsec, s->st_ctim.tv_sec, s->st_ctim.tv_nsec);
}
static void show_statx(const char *path, int flags, unsigned mask) {
  struct statx x;
  memset(&x, 0xee, sizeof x);
  int rc = statx(AT_FDCWD, path, flags, mask, &x);
  if (rc) {
    printf("statx %x %s: %s\n", mask, path, strerrorname_np(errno));
    return;
  }
  printf("statx %x %s:", mask, path);
  for (size_t i = 0; i < sizeof x; i++) printf("%s%02x", i % 32 ? "" : " ", ((unsigned char *)&x)[i]);
  putchar('\n');
}

/* Pointers that are none: EFAULT, never a crash. */
static void bad_pointers(const char *good) {
  void *volatile bad[] = {(void *)1, (void *)-1, (void *)4095, (void *)0x8000000000000000ul};
  struct stat s;
  struct statx x;
  char buf[64];
#define EFAULTS(call) do { errno = 0; long r_ = (long)(call); printf(#call ": %ld %s\n", r_, strerrorname_np(errno)); } while (0)
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    const char *p = bad[i];
    struct stat *to = bad[i];
    EFAULTS(stat(p, &s)); EFAULTS(lstat(good, to)); EFAULTS(fstatat(AT_FDCWD, p, &s, 0)); EFAULTS(statx(AT_FDCWD, p, 0, STATX_BASIC_STATS, &x));
    EFAULTS(access(p, R_OK)); EFAULTS(readlink(p, buf, sizeof buf)); EFAULTS(open(p, O_RDONLY)); EFAULTS(open(p, O_WRONLY | O_CREAT | O_TRUNC, 0644));
    EFAULTS(unlink(p)); EFAULTS(rename(p, good)); EFAULTS(rename(good, p)); EFAULTS(mkdir(p, 0755)); EFAULTS(rmdir(p)); EFAULTS(chmod(p, 0644));
    EFAULTS(symlink(good, p)); EFAULTS(link(good, p)); EFAULTS(truncate(p, 0)); EFAULTS(chdir(p)); EFAULTS(utimensat(AT_FDCWD, p, NULL, AT_EMPTY_PATH));
  }
}

static void questions(const char *path) {
  struct stat s;
  char buf[PATH_MAX], small[4];
  show_stat("stat", path, stat(path, &s), &s);
  show_stat("lstat", path, lstat(path, &s), &s);
  show_stat("fstatat", path, fstatat(AT_FDCWD, path, &s, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT), &s);
  show_stat("syscall", path, (int)syscall(SYS_newfstatat, AT_FDCWD, path, &s, 0), &s);
  show_statx(path, 0, STATX_BASIC_STATS | STATX_BTIME);
  show_statx(path, AT_SYMLINK_NOFOLLOW, STATX_BASIC_STATS);
  show_statx(path, AT_SYMLINK_NOFOLLOW | AT_STATX_DONT_SYNC, STATX_MODE | STATX_MTIME);
  show_statx(path, 0, STATX_SIZE);
  show_statx(path, AT_STATX_FORCE_SYNC, STATX_BASIC_STATS);
  for (int mode = 0; mode < 8; mode++) {
    int rc = access(path, mode), err = rc ? errno : 0;
    printf("access %d %s: %d %s", mode, path, rc, err ? strerrorname_np(err) : "");
    rc = faccessat(AT_FDCWD, path, mode, AT_EACCESS | AT_SYMLINK_NOFOLLOW), err = rc ? errno : 0;
    printf(" %d %s", rc, err ? strerrorname_np(err) : "");
    rc = euidaccess(path, mode), err = rc ? errno : 0;
    printf(" %d %s\n", rc, err ? strerrorname_np(err) : "");
  }
  ssize_t n = readlink(path, buf, sizeof buf);
  printf("readlink %s: %zd %s %.*s\n", path, n, n < 0 ? strerrorname_np(errno) : "", n < 0 ? 0 : (int)n, buf);
  n = readlinkat(AT_FDCWD, path, small, sizeof small);
  printf("readlinkat %s: %zd %s %.*s\n", path, n, n < 0 ? strerrorname_np(errno) : "", n < 0 ? 0 : (int)n, small);
  char *r = realpath(path, NULL);
  printf("realpath %s: %s\n", path, r ? r : strerrorname_np(errno));
  free(r);
  memset(buf, 0, sizeof buf);
  r = realpath(path, buf);
  printf("realpath to buffer %s: %d %s\n", path, r != NULL, buf);
  int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  printf("open %s: %s\n", path, fd < 0 ? strerrorname_np(errno) : "good");
  if (fd >= 0) close(fd);
  DIR *d = opendir(path);
  printf("opendir %s: %s\n", path, d ? "good" : strerrorname_np(errno));
  if (d) {
    struct dirent *e = readdir(d);
    if (e) show_stat("by dirfd", "first", fstatat(dirfd(d), e->d_name, &s, 0), &s);
    closedir(d);
  }
}

static void walk(const char *dir) {
  struct dirent **list;
  int n = scandir(dir, &list, NULL, alphasort);
  for (int i = 0; i < n; i++) {
    char path[PATH_MAX];
    struct stat s;
    snprintf(path, sizeof path, "%s/%s", dir, list[i]->d_name);
    int dots = !strcmp(list[i]->d_name, ".") || !strcmp(list[i]->d_name, "..");
    questions(path);
    if (!dots && !lstat(path, &s) && S_ISDIR(s.st_mode)) walk(path);
    free(list[i]);
  }
  if (n >= 0) free(list);
}

static const char *only; /* name of the one question to time */
static double once(const char *name, const char *tree, int kind, long n, char **paths, long npaths) {
  struct stat s;
  struct statx x;
  char buf[PATH_MAX];
  struct timespec a, b;
  (void)tree;
  double best = 1e18;
  if (only && strcmp(only, name)) return 0;
  for (int round = 0; round < 60; round++) {
    clock_gettime(CLOCK_MONOTONIC, &a);
    unsigned long seed = 12345;
    for (long i = 0; i < n; i++) {
      seed = seed * 6364136223846793005ul + 1442695040888963407ul;
      const char *p = paths[npaths == 1 ? 0 : (long)((seed >> 33) % (unsigned long)npaths)];
      switch (kind) {
        case 0: stat(p, &s); break;
        case 1: lstat(p, &s); break;
        case 2: statx(AT_FDCWD, p, 0, STATX_BASIC_STATS | STATX_BTIME, &x); break;
        case 3: access(p, R_OK); break;
        case 4: (void)!readlink(p, buf, sizeof buf); break;
        case 5: (void)!realpath(p, buf); break;
      }
    }
    clock_gettime(CLOCK_MONOTONIC, &b);
    double ns = ((double)(b.tv_sec - a.tv_sec) * 1e9 + (double)(b.tv_nsec - a.tv_nsec)) / (double)n;
    if (ns < best) best = ns;
  }
  printf("%-24s %8.1f ns\n", name, best);
  return best;
}
static int bench(const char *tree, long n) {
  char hot[PATH_MAX], none[PATH_MAX], deep[PATH_MAX];
  snprintf(hot, sizeof hot, "%s/src/module/part/file.c", tree);
  snprintf(none, sizeof none, "%s/src/module/part/none.h", tree);
  snprintf(deep, sizeof deep, "%s/no/such/directory/none.h", tree);
  long many = 10000;
  char **random_paths = malloc(sizeof(char *) * (size_t)many);
  for (long i = 0; i < many; i++)
    if (asprintf(&random_paths[i], "%s/many/d%02ld/file-%05ld.c", tree, i % 100, i) < 0) return 1;
  char *h = hot, *e = none, *d = deep, *r = "src/module/part/file.c";
  struct timespec wait = {0, 60000000};
  struct stat s;
  for (int i = 0; i < 100; i++) stat(hot, &s);
  nanosleep(&wait, NULL);
  once("stat abs hot", tree, 0, n, &h, 1);
  once("lstat abs hot", tree, 1, n, &h, 1);
  once("stat ENOENT hot", tree, 0, n, &e, 1);
  once("stat ENOENT deep", tree, 0, n, &d, 1);
  once("statx hot", tree, 2, n, &h, 1);
  once("access hot", tree, 3, n, &h, 1);
  once("readlink EINVAL hot", tree, 4, n, &h, 1);
  once("realpath hot", tree, 5, n, &h, 1);
  once("stat random 10k", tree, 0, n, random_paths, many);
  if (chdir(tree)) return 1;
  once("stat rel hot", tree, 0, n, &r, 1);
  return 0;
}

/* On a fast machine all is asked before the first drain after our start is done: maps memory, then waits for some. */
static void let_drain(const char *root) {
  struct stat st;
  for (int i = 0; i < 64; i++) (void)!stat(root, &st);
  nanosleep(&(struct timespec){0, 30000000}, NULL);
}

int main(int argc, char **argv) {
  if (argc < 2) return 2;
  let_drain(argv[1]);
  only = argc > 4 ? argv[4] : NULL;
  if (argc > 3 && !strcmp(argv[2], "bench")) return bench(argv[1], atol(argv[3]));
  walk(argv[1]);
  char path[PATH_MAX];
  const char *odd[] = {"", "/", "//", "/.", "/./src", "/src/", "/src/.", "/src/..", "/src/../src/a.c", "/src/a.c/", "/src/a.c/x", "/none", "/none/", "/none/x/y",
    "/to-src/a.c", "/to-src/none", "/to-src/", "/dangling", "/dangling/", "/loop", "/up/a.c", "/abs", "/abs/a.c", "/outside", "/outside/x", "/empty/x",
    "/chain", "/src/none.h", "/inner/link/a.c", "/inner/deep/link2", "/to-root/src/a.c", "/to-root"};
  for (size_t i = 0; i < sizeof odd / sizeof *odd; i++) {
    snprintf(path, sizeof path, "%s%s", argv[1], odd[i]);
    questions(path);
  }
  if (chdir(argv[1])) return 3;
  const char *rel[] = {".", "./", "src", "src/a.c", "./src//a.c", "../", "src/./a.c", "none", "none/x", "src/a.c/x", "", "to-src/a.c"};
  for (size_t i = 0; i < sizeof rel / sizeof *rel; i++) questions(rel[i]);
  if (chdir("src")) return 3;
  const char *up[] = {"a.c", "..", "../src/a.c", "../none", "../to-src/a.c", "../../x", "sub/../a.c", "../dangling"};
  for (size_t i = 0; i < sizeof up / sizeof *up; i++) questions(up[i]);
  char name[400];
  memset(name, 'n', 300);
  name[300] = 0;
  questions(name);
  bad_pointers("a.c");
  return 0;
}
