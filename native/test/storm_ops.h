/* What the writers of the storm do to a file between open and close. Every writer tells through its page how far it is. */
#ifndef STORM_OPS_H
#define STORM_OPS_H
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include "storm.h"

#define WAIT_LOOK_US 100000

/* System calls of the program's own, which no library sees. */
static long unseen(long n, long a, long b, long c, long d) {
  register long r10 __asm__("r10") = d;
  register long r8 __asm__("r8") = 0;
  long r;
  __asm__ volatile("syscall" : "=a"(r) : "a"(n), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8) : "rcx", "r11", "memory");
  return r;
}

static char body[STORM_SIZE_MAX];
static uint32_t body_size;

static void give_up(struct storm_round *r) {
  r->failed = errno ? (uint32_t)errno : 1;
  _exit(3);
}
/* Tells whether the open was staged. */
static void tell(struct storm_round *r, int fd) {
  char link[32], where[512];
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  long n = unseen(SYS_readlinkat, AT_FDCWD, (long)link, (long)where, sizeof where - 1);
  where[n > 0 ? n : 0] = 0;
  storm_set(r, strstr(where, "/.vrift/staging/") ? STAGED : PLAIN);
}
static int open_new(struct storm_round *r, const char *path) {
  int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
  if (fd < 0) give_up(r);
  tell(r, fd);
  return fd;
}
/* Writes the bytes from `written` up to `to` in a few pieces. */
static void put(struct storm_round *r, int fd, uint32_t to) {
  while (r->written < to) {
    uint32_t piece = to - r->written < 4000 ? to - r->written : 4000;
    ssize_t n = write(fd, body + r->written, piece);
    if (n <= 0) give_up(r);
    r->written += (uint32_t)n;
  }
}
static uint32_t half(void) { return body_size / 2 < STORM_HEAD ? STORM_HEAD : body_size / 2; }
static void shut(struct storm_round *r, int fd) {
  storm_set(r, CLOSING);
  if (close(fd)) give_up(r);
  storm_set(r, CLOSED);
}
static void shown(struct storm_round *r) {
  r->shown = r->written;
  storm_set(r, SHOWN);
}

static void op_whole(struct storm_round *r) {
  int fd = open_new(r, r->path);
  put(r, fd, body_size);
  shut(r, fd);
}
static void op_fsync(struct storm_round *r) {
  int fd = open_new(r, r->path);
  put(r, fd, half());
  storm_set(r, SHOWING);
  if (fsync(fd)) give_up(r);
  shown(r);
  put(r, fd, body_size);
  shut(r, fd);
}
static void op_forked(struct storm_round *r) {
  int fd = open_new(r, r->path);
  put(r, fd, half());
  storm_set(r, SHOWING);
  pid_t child = fork();
  if (child < 0) give_up(r);
  if (!child) _exit(0);
  shown(r);
  put(r, fd, body_size);
  waitpid(child, NULL, 0);
  shut(r, fd);
}
static void op_renamed(struct storm_round *r) {
  char tmp[STORM_PATH + 8];
  snprintf(tmp, sizeof tmp, "%s.new", r->path);
  int fd = open_new(r, tmp);
  put(r, fd, body_size);
  storm_set(r, CLOSING);
  if (close(fd)) give_up(r);
  storm_set(r, NAMING);
  if (rename(tmp, r->path)) give_up(r);
  storm_set(r, NAMED);
}
static void op_stdio(struct storm_round *r) {
  FILE *f = fopen(r->path, "w");
  if (!f) give_up(r);
  tell(r, fileno(f));
  if (fwrite(body, 1, half(), f) != half()) give_up(r);
  storm_set(r, SHOWING); /* fflush shows */
  if (fflush(f)) give_up(r);
  r->written = half();
  shown(r);
  if (fwrite(body + half(), 1, body_size - half(), f) != body_size - half()) give_up(r);
  storm_set(r, CLOSING);
  if (fclose(f)) give_up(r);
  r->written = body_size;
  storm_set(r, CLOSED);
}
static void op_inherited(struct storm_round *r) {
  int fd = open_new(r, r->path);
  put(r, fd, half());
  storm_set(r, SHOWING);
  pid_t child = fork();
  if (child < 0) give_up(r);
  if (!child) {
    storm_set(r, CHILD);
    put(r, fd, body_size);
    shut(r, fd);
    storm_set(r, CHILD_DONE);
    _exit(0);
  }
  waitpid(child, NULL, 0);
}
static void op_execed(struct storm_round *r, int page_fd) {
  int fd = open_new(r, r->path);
  put(r, fd, half());
  char a[16], b[16];
  snprintf(a, sizeof a, "%d", page_fd);
  snprintf(b, sizeof b, "%d", fd);
  storm_set(r, SHOWING);
  execl("/proc/self/exe", "storm_clients", "finish", a, b, (char *)NULL);
  give_up(r);
}
static void op_unseen_close(struct storm_round *r) {
  int fd = open_new(r, r->path);
  put(r, fd, body_size);
  unseen(SYS_close, fd, 0, 0, 0);
  storm_set(r, UNSEEN);
  char tmp[STORM_PATH + 8]; /* the next file gets the same number: the library finds out */
  snprintf(tmp, sizeof tmp, "%s.new", r->path);
  storm_set(r, NAMING);
  fd = open_new(r, tmp);
  storm_set(r, NAMED);
  close(fd);
}
static void op_linked(struct storm_round *r) {
  char other[STORM_PATH + 8];
  snprintf(other, sizeof other, "%s.link", r->path);
  int fd = open_new(r, r->path);
  put(r, fd, body_size);
  if (r->old && unseen(SYS_linkat, AT_FDCWD, (long)r->path, AT_FDCWD, (long)other)) give_up(r);
  storm_set(r, SHOWING); /* no rename is possible: close copies */
  shut(r, fd);
}
static void op_replaced(struct storm_round *r) {
  char other[STORM_PATH + 8];
  snprintf(other, sizeof other, "%s.new", r->path);
  int fd = open_new(r, r->path);
  put(r, fd, body_size);
  int mine = (int)unseen(SYS_openat, AT_FDCWD, (long)other, O_WRONLY | O_CREAT | O_TRUNC, 0644);
  storm_set(r, NAMING);
  if (unseen(SYS_renameat, AT_FDCWD, (long)other, AT_FDCWD, (long)r->path)) give_up(r); /* another, empty file is there now */
  storm_set(r, NAMED);
  unseen(SYS_close, mine, 0, 0, 0);
  shut(r, fd);
}
static void op_no_descriptor(struct storm_round *r) {
  int fd = open_new(r, r->path);
  put(r, fd, body_size);
  struct rlimit none = {3, 3}; /* what is open stays open */
  setrlimit(RLIMIT_NOFILE, &none);
  shut(r, fd);
}
static void op_locked(struct storm_round *r) {
  int fd = open_new(r, r->path);
  put(r, fd, half());
  storm_set(r, SHOWING);
  if (flock(fd, LOCK_EX)) give_up(r);
  shown(r);
  put(r, fd, body_size);
  shut(r, fd);
}
static void op_moved_open(struct storm_round *r) {
  char tmp[STORM_PATH + 8];
  snprintf(tmp, sizeof tmp, "%s.new", r->path);
  int fd = open_new(r, tmp);
  put(r, fd, half());
  r->shown = r->written;
  storm_set(r, NAMING);
  if (rename(tmp, r->path)) give_up(r);
  storm_set(r, NAMED);
  put(r, fd, body_size);
  shut(r, fd);
}
static void op_unlinked_open(struct storm_round *r) {
  int fd = open_new(r, r->path);
  put(r, fd, half());
  storm_set(r, NAMING);
  if (unlink(r->path)) give_up(r);
  storm_set(r, NAMED);
  put(r, fd, body_size);
  shut(r, fd);
}
static void op_looked(struct storm_round *r) {
  int fd = open_new(r, r->path);
  put(r, fd, half());
  storm_set(r, SHOWING | WANT_LOOK);
  for (uint64_t end = storm_us() + WAIT_LOOK_US; !(storm_get(r) & LOOKED_AT) && storm_us() < end;) usleep(100);
  if (storm_get(r) & LOOKED_AT) shown(r);
  put(r, fd, body_size);
  shut(r, fd);
}

/* The other process of LOOKED. */
static void look_on(struct storm_round *r) {
  struct stat st;
  for (uint64_t end = storm_us() + WAIT_LOOK_US; !(storm_get(r) & WANT_LOOK) && storm_us() < end;) usleep(100);
  if (!(storm_get(r) & WANT_LOOK)) _exit(0);
  if (stat(r->path, &st) == 0 && st.st_size >= (off_t)r->written) storm_set(r, LOOKED_AT);
  _exit(0);
}

static void act(struct storm_round *r, int page_fd) {
  while (!__atomic_load_n(&r->go, __ATOMIC_SEQ_CST)) usleep(20);
  body_size = storm_fill(body, r->file, r->version);
  storm_set(r, BEGUN);
  switch (r->op) {
    case OP_FSYNC: op_fsync(r); break;
    case OP_FORKED: op_forked(r); break;
    case OP_RENAMED: op_renamed(r); break;
    case OP_STDIO: op_stdio(r); break;
    case OP_INHERITED: op_inherited(r); break;
    case OP_EXECED: op_execed(r, page_fd); break;
    case OP_UNSEEN_CLOSE: op_unseen_close(r); break;
    case OP_LINKED: op_linked(r); break;
    case OP_NO_DESCRIPTOR: op_no_descriptor(r); break;
    case OP_LOCKED: op_locked(r); break;
    case OP_MOVED_OPEN: op_moved_open(r); break;
    case OP_UNLINKED_OPEN: op_unlinked_open(r); break;
    case OP_LOOKED: op_looked(r); break;
    case OP_REPLACED: op_replaced(r); break;
    default: op_whole(r); break;
  }
  storm_set(r, ENDED);
}

/* The second half of EXECED. */
static int finish(struct storm_round *r, int fd) {
  body_size = storm_fill(body, r->file, r->version);
  shown(r);
  put(r, fd, body_size);
  shut(r, fd);
  storm_set(r, ENDED);
  return 0;
}
#endif
