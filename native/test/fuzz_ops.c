/* Random file operations, every answer compared with the raw system call. One worker process; src/it/rounds starts several, some of
 * them without vrift.
 *   fuzz_ops ring DIR CONTROL INDEX PROCESSES STEPS SEED   workers take turns: a token goes from FIFO to FIFO in CONTROL with the state of
 *                                                          the generator in it, so a seed replays exactly, and nobody else acts while a
 *                                                          worker asks: each answer must be equal
 *   fuzz_ops race DIR - INDEX PROCESSES STEPS SEED         all at once: an answer must be equal when the raw call says the same before and after
 *   fuzz_ops ... -plan                                     prints the operations (to replay by eye)
 * Prints one JSON line: {"index","steps","operations","checks","compared","differences"}; exit code 1 if there was a difference.
 * The program links no vrift. */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define HELD_MAX 4
#define RACE_TRIES 3
#define STOP UINT32_MAX

/* libc's own syscall(), not the interposed one: an instruction of our own would make this program a leaky one, which is not answered. */
static long (*libc_syscall)(long, ...);
static long raw(long n, long a, long b, long c, long d, long e) {
  int saved = errno;
  long r = libc_syscall(n, a, b, c, d, e);
  if (r == -1) r = -errno;
  errno = saved;
  return r;
}

struct token {
  uint64_t rng;
  uint32_t step, from;
};
struct answer {
  long rc; /* 0, a length, or -errno */
  struct stat st;
  char text[4096];
};
static struct token t;
static char root[2048], control[2048];
static int ring, me, processes, plan, held[HELD_MAX], fifos[64], dirfds[2] = {-1, -1};
static unsigned long operations, checks, compared, differences;

static uint64_t next(void) {
  uint64_t z = (t.rng += 0x9E3779B97F4A7C15u);
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
  return z ^ (z >> 31);
}
static unsigned below(unsigned n) { return (unsigned)(next() % n); }

static const char *const dirs[] = {"", "a/", "b/", "a/c/", "l/"}; /* l is a symbolic link, or a directory, or nothing */
static const char *pick(char *out, int absolute) {
  char name[16];
  unsigned d = below(5), k = below(10);
  if (k < 6) snprintf(name, sizeof name, "n%u", k);
  else if (k == 6) snprintf(name, sizeof name, "s%u", below(2)); /* links to files */
  else if (k == 7) snprintf(name, sizeof name, "none/x");
  else name[0] = 0;
  if (!name[0]) snprintf(name, sizeof name, "%s", d == 0 ? "a" : "c");
  snprintf(out, 2300, "%s%s%s%s", absolute ? root : "", absolute ? "/" : "", dirs[d], name);
  return out;
}

static void say(const char *what, const char *p, const char *q) {
  operations++;
  if (plan) fprintf(stderr, "%u worker %d: %s %s %s\n", t.step, me, what, p ? p : "", q ? q : "");
}

static void fill(int fd, unsigned n) {
  char data[64];
  memset(data, 'a' + (int)(n % 26), sizeof data);
  if (write(fd, data, n % sizeof data + 1) < 0) operations++;
}

static void rewrite(const char *p, int flags) {
  int fd = open(p, flags, 0644);
  if (fd < 0) return;
  fill(fd, below(64));
  if (below(3) == 0) fill(fd, below(64));
  close(fd);
}

static void with_stream(const char *p, const char *mode) {
  FILE *f = fopen(p, mode);
  if (!f) return;
  fprintf(f, "%u\n", below(100000));
  fclose(f);
}

static void held_operation(const char *p) {
  unsigned i = below(HELD_MAX);
  if (held[i] < 0) {
    say("hold open", p, NULL);
    held[i] = open(p, O_WRONLY | O_CREAT | (below(2) ? O_TRUNC : 0), 0644);
    return;
  }
  switch (below(5)) {
    case 0: say("close held", NULL, NULL); close(held[i]); held[i] = -1; break;
    case 1: say("ftruncate held", NULL, NULL); if (ftruncate(held[i], below(500)) < 0) operations++; break;
    case 2: say("fchmod held", NULL, NULL); fchmod(held[i], below(2) ? 0644 : 0600); break;
    case 3: {
      say("dup held", NULL, NULL);
      int fd = dup(held[i]);
      close(held[i]);
      held[i] = fd;
      break;
    }
    default: say("write held", NULL, NULL); fill(held[i], below(64));
  }
}

static void replace(const char *p) {
  char temp[2400];
  snprintf(temp, sizeof temp, "%s.XXXXXX", p);
  int fd = mkstemp(temp);
  if (fd < 0) return;
  fill(fd, below(64));
  close(fd);
  if (rename(temp, p) < 0) unlink(temp);
}

static void times_of(const char *p) {
  struct timespec ts[2] = {{1600000000 + (long)below(1000000), 0}, {1600000000 + (long)below(1000000), 5}};
  if (below(2)) ts[0].tv_nsec = UTIME_OMIT;
  utimensat(AT_FDCWD, p, ts, below(2) ? AT_SYMLINK_NOFOLLOW : 0);
}

static void operation(void) {
  char p[2304], q[2304];
  pick(p, below(3) == 0);
  pick(q, below(3) == 0);
  switch (below(24)) {
    case 0: case 1: say("rewrite", p, NULL); rewrite(p, O_WRONLY | O_CREAT | O_TRUNC); break;
    case 2: say("append", p, NULL); rewrite(p, O_WRONLY | O_CREAT | O_APPEND); break;
    case 3: say("create excl", p, NULL); rewrite(p, O_RDWR | O_CREAT | O_EXCL); break;
    case 4: say("fopen w", p, NULL); with_stream(p, "w"); break;
    case 5: say("fopen a", p, NULL); with_stream(p, "a"); break;
    case 6: case 7: say("unlink", p, NULL); unlink(p); break;
    case 8: case 9: say("rename", p, q); rename(p, q); break;
    case 10: say("mkdir", p, NULL); mkdir(p, 0755); break;
    case 11: say("rmdir", p, NULL); rmdir(p); break;
    case 12: say("symlink", p, q); if (symlink(below(2) ? "n1" : "a", p) < 0) operations++; break;
    case 13: say("link", p, q); if (link(p, q) < 0) operations++; break;
    case 14: say("chmod", p, NULL); chmod(p, below(2) ? 0755 : 0700); break;
    case 15: say("utimensat", p, NULL); times_of(p); break;
    case 16: say("truncate", p, NULL); if (truncate(p, below(300)) < 0) operations++; break;
    case 17: say("replace", p, NULL); replace(p); break;
    case 18: {
      say("in a child: rewrite", p, NULL);
      pid_t child = fork();
      if (child == 0) {
        rewrite(p, O_WRONLY | O_CREAT | O_TRUNC);
        _exit(0);
      }
      if (child > 0) waitpid(child, NULL, 0);
      below(64);
      break;
    }
    case 19: {
      static const char *const moved[] = {"a", "b", "l", "a/c"};
      const char *from = moved[below(4)], *to = moved[below(4)];
      say("rename directory", from, to);
      rename(from, to);
      break;
    }
    case 20: {
      unsigned i = below(2);
      say("openat directory", p, NULL);
      if (dirfds[i] >= 0) close(dirfds[i]);
      dirfds[i] = open(below(2) ? "a" : "b", O_RDONLY | O_DIRECTORY);
      if (dirfds[i] >= 0 && below(2)) {
        int fd = openat(dirfds[i], "n2", O_WRONLY | O_CREAT, 0600);
        if (fd >= 0) fill(fd, 9), close(fd);
      }
      break;
    }
    default: held_operation(p);
  }
}

/* --- questions --- */
enum { STAT, LSTAT, FSTATAT, STATX, ACCESS, READLINK, REALPATH, OPEN, FOPEN, KINDS };
static const char *const names[] = {"stat", "lstat", "fstatat", "statx", "access", "readlink", "realpath", "open", "fopen"};
struct question {
  int kind, dirfd, mode;
  const char *path;
};

static void of_statx(struct answer *a, const struct statx *x) {
  a->st.st_dev = makedev(x->stx_dev_major, x->stx_dev_minor);
  a->st.st_ino = x->stx_ino, a->st.st_mode = x->stx_mode, a->st.st_nlink = x->stx_nlink, a->st.st_size = (off_t)x->stx_size;
  a->st.st_uid = x->stx_uid, a->st.st_gid = x->stx_gid, a->st.st_blocks = (blkcnt_t)x->stx_blocks, a->st.st_blksize = x->stx_blksize;
  a->st.st_atim.tv_sec = x->stx_atime.tv_sec, a->st.st_atim.tv_nsec = x->stx_atime.tv_nsec;
  a->st.st_mtim.tv_sec = x->stx_mtime.tv_sec, a->st.st_mtim.tv_nsec = x->stx_mtime.tv_nsec;
  a->st.st_ctim.tv_sec = x->stx_ctime.tv_sec, a->st.st_ctim.tv_nsec = x->stx_ctime.tv_nsec;
}

static void ask_libc(const struct question *q, struct answer *a) {
  memset(a, 0, sizeof *a);
  long r = 0;
  struct statx x;
  errno = 0;
  switch (q->kind) {
    case STAT: r = stat(q->path, &a->st); break;
    case LSTAT: r = lstat(q->path, &a->st); break;
    case FSTATAT: r = fstatat(q->dirfd, q->path, &a->st, q->mode); break;
    case STATX: if ((r = statx(q->dirfd, q->path, q->mode, STATX_BASIC_STATS, &x)) == 0) of_statx(a, &x); break;
    case ACCESS: r = access(q->path, q->mode); break;
    case READLINK: r = readlink(q->path, a->text, sizeof a->text - 1); break;
    case REALPATH: r = realpath(q->path, a->text) ? 0 : -1; break;
    case OPEN: if ((r = open(q->path, O_RDONLY | O_NONBLOCK)) >= 0) close((int)r), r = 0; break;
    default: {
      FILE *f = fopen(q->path, "r");
      r = f ? 0 : -1;
      if (f) fclose(f);
    }
  }
  a->rc = r < 0 ? -errno : r;
  if (a->rc < 0) memset(&a->st, 0, sizeof a->st), a->text[0] = 0;
}

static void ask_kernel(const struct question *q, struct answer *a) {
  memset(a, 0, sizeof *a);
  long p = (long)q->path, st = (long)&a->st;
  struct statx x;
  switch (q->kind) {
    case STAT: a->rc = raw(SYS_newfstatat, AT_FDCWD, p, st, 0, 0); break;
    case LSTAT: a->rc = raw(SYS_newfstatat, AT_FDCWD, p, st, AT_SYMLINK_NOFOLLOW, 0); break;
    case FSTATAT: a->rc = raw(SYS_newfstatat, q->dirfd, p, st, q->mode, 0); break;
    case STATX: {
      a->rc = raw(SYS_statx, q->dirfd, p, q->mode, STATX_BASIC_STATS, (long)&x);
      if (a->rc == 0) of_statx(a, &x);
      break;
    }
    case ACCESS: a->rc = raw(SYS_faccessat, AT_FDCWD, p, q->mode, 0, 0); break;
    case READLINK: a->rc = raw(SYS_readlinkat, AT_FDCWD, p, (long)a->text, sizeof a->text - 1, 0); break;
    case REALPATH: {
      char proc[40];
      long fd = a->rc = raw(SYS_openat, AT_FDCWD, p, O_PATH | O_CLOEXEC, 0, 0);
      if (fd < 0) break;
      snprintf(proc, sizeof proc, "/proc/self/fd/%ld", fd);
      long n = raw(SYS_readlinkat, AT_FDCWD, (long)proc, (long)a->text, sizeof a->text - 1, 0);
      a->rc = n < 0 ? n : 0;
      raw(SYS_close, fd, 0, 0, 0, 0);
      break;
    }
    default: {
      long fd = raw(SYS_openat, AT_FDCWD, p, q->kind == OPEN ? O_RDONLY | O_NONBLOCK : O_RDONLY, 0, 0);
      if (fd >= 0) raw(SYS_close, fd, 0, 0, 0, 0);
      a->rc = fd < 0 ? fd : 0;
    }
  }
  if (a->rc < 0) memset(&a->st, 0, sizeof a->st), a->text[0] = 0;
}

static int same_time(const struct timespec *a, const struct timespec *b) { return a->tv_sec == b->tv_sec && a->tv_nsec == b->tv_nsec; }
/* NULL or the name of the first field that differs. */
static const char *differs(const struct answer *a, const struct answer *b) {
  if (a->rc != b->rc) return "result";
  if (strcmp(a->text, b->text) != 0) return "text";
  if (a->st.st_dev != b->st.st_dev || a->st.st_ino != b->st.st_ino) return "inode";
  if (a->st.st_mode != b->st.st_mode) return "mode";
  if (a->st.st_nlink != b->st.st_nlink) return "nlink";
  if (a->st.st_size != b->st.st_size) return "size";
  if (a->st.st_uid != b->st.st_uid || a->st.st_gid != b->st.st_gid) return "owner";
  if (!same_time(&a->st.st_mtim, &b->st.st_mtim)) return "mtime";
  if (!same_time(&a->st.st_ctim, &b->st.st_ctim)) return "ctime";
  if (!same_time(&a->st.st_atim, &b->st.st_atim)) return "atime";
  if (a->st.st_blocks != b->st.st_blocks || a->st.st_blksize != b->st.st_blksize) return "blocks";
  return NULL;
}

static void check(void) {
  char p[2304];
  struct question q = {.kind = (int)below(KINDS), .dirfd = AT_FDCWD};
  static struct answer before, got, after;
  q.path = pick(p, below(2) == 0);
  if (q.kind == ACCESS) q.mode = (int)(const unsigned[]){F_OK, R_OK, W_OK, X_OK, R_OK | W_OK}[below(5)];
  if (q.kind == FSTATAT || q.kind == STATX) {
    q.mode = below(2) ? AT_SYMLINK_NOFOLLOW : 0;
    unsigned d = below(3);
    if (d < 2 && dirfds[d] >= 0 && p[0] != '/') q.dirfd = dirfds[d];
  }
  checks++;
  for (int i = 0; i < RACE_TRIES; i++) {
    if (!ring) ask_kernel(&q, &before);
    ask_libc(&q, &got);
    ask_kernel(&q, &after);
    if (!ring && differs(&before, &after)) return; /* somebody changed it meanwhile */
    compared += i == 0;
    const char *field = differs(&got, &after);
    if (!field) return;
    if (!ring && i + 1 < RACE_TRIES) continue; /* it may have been gone and come back: the same three times running cannot */
    differences++;
    fprintf(stderr, "fuzz_ops: step %u worker %d: %s(%s, dirfd %d, mode %#x): %s differs: answered rc %ld ino %lu size %ld mode %o nlink %lu mtime %ld.%09ld ctime %ld.%09ld "
            "'%s', kernel rc %ld ino %lu size %ld mode %o nlink %lu mtime %ld.%09ld ctime %ld.%09ld '%s'\n", t.step, me, names[q.kind], q.path, q.dirfd, (unsigned)q.mode, field,
            got.rc, got.st.st_ino, got.st.st_size, got.st.st_mode, got.st.st_nlink, got.st.st_mtim.tv_sec, got.st.st_mtim.tv_nsec, got.st.st_ctim.tv_sec,
            got.st.st_ctim.tv_nsec, got.text, after.rc, after.st.st_ino, after.st.st_size, after.st.st_mode, after.st.st_nlink, after.st.st_mtim.tv_sec,
            after.st.st_mtim.tv_nsec, after.st.st_ctim.tv_sec, after.st.st_ctim.tv_nsec, after.text);
    return;
  }
}

static void rest(void) {
  unsigned ms = below(4) ? 0 : below(3) == 0 ? 70 : 6; /* long enough for the daemon to make entries clean, sometimes */
  struct timespec ts = {0, (long)ms * 1000000};
  if (ms) nanosleep(&ts, NULL);
}

static void step(void) {
  if (below(3)) operation();
  for (unsigned n = below(6); n > 0; n--) {
    check();
    if (n == 3) rest();
  }
}

static int pass_on(int to) {
  t.from = (uint32_t)me;
  return write(fifos[to], &t, sizeof t) == (ssize_t)sizeof t;
}

static int run_ring(uint32_t steps) {
  for (int i = 0; i < processes; i++) {
    char path[2100];
    snprintf(path, sizeof path, "%s/%d", control, i);
    fifos[i] = open(path, O_RDWR | O_CLOEXEC);
    if (fifos[i] < 0) return 2;
  }
  for (;;) {
    if (read(fifos[me], &t, sizeof t) != (ssize_t)sizeof t) return 2;
    if (t.step == STOP) return 0;
    if (t.step >= steps) {
      t.step = STOP;
      for (int i = 0; i < processes; i++)
        if (i != me && !pass_on(i)) return 2;
      return 0;
    }
    step();
    t.step++;
    if (!pass_on((int)below((unsigned)processes))) return 2;
  }
}

int main(int argc, char **argv) {
  if (argc < 8) {
    fprintf(stderr, "usage: fuzz_ops ring|race DIR CONTROL INDEX PROCESSES STEPS SEED [-plan]\n");
    return 2;
  }
  void *libc = dlopen("libc.so.6", RTLD_LAZY | RTLD_NOLOAD);
  *(void **)&libc_syscall = libc ? dlsym(libc, "syscall") : NULL;
  if (!libc_syscall) return 2;
  ring = strcmp(argv[1], "ring") == 0;
  snprintf(control, sizeof control, "%s", argv[3]);
  me = atoi(argv[4]);
  processes = atoi(argv[5]);
  uint32_t steps = (uint32_t)strtoul(argv[6], NULL, 10);
  plan = argc > 8;
  for (int i = 0; i < HELD_MAX; i++) held[i] = -1;
  if (!realpath(argv[2], root) || chdir(root) < 0 || processes < 1 || processes > 64 || me < 0 || me >= processes) {
    fprintf(stderr, "fuzz_ops: bad directory or numbers\n");
    return 2;
  }
  t.rng = strtoull(argv[7], NULL, 10) * 1000003u + (ring ? 0u : (unsigned)me);
  struct timespec nap = {0, 2000000};
  for (int i = 0; i < 200; i++) { /* until a process that asks is answered from memory */
    struct stat st;
    for (int k = 0; k < 20; k++) stat(".", &st);
    nanosleep(&nap, NULL);
  }
  int failed = 0;
  if (ring) failed = run_ring(steps);
  else
    for (t.step = 0; t.step < steps; t.step++) step();
  for (int i = 0; i < HELD_MAX; i++)
    if (held[i] >= 0) close(held[i]);
  printf("{\"index\":%d,\"operations\":%lu,\"checks\":%lu,\"compared\":%lu,\"differences\":%lu}\n", me, operations, checks, compared, differences);
  return failed ? failed : differences ? 1 : 0;
}
