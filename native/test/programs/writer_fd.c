/* The life of descriptors: copies, replacements, closings, threads, children; contents of what was written must be native's. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define SHOW(call)                                                                            \
  do {                                                                                        \
    errno = 0;                                                                                \
    long r_ = (long)(call);                                                                   \
    printf("%s = %ld %s\n", #call, r_, r_ < 0 ? strerror(errno) : errno ? "errno moved" : ""); \
  } while (0)
static int out(const char *path) { return open(path, O_CREAT | O_WRONLY | O_TRUNC, 0644); }

static void copies(void) {
  int fd = out("shell"), saved = dup(1);
  fflush(stdout);
  dup2(fd, 1), close(fd); /* as a shell does for > */
  int w = (int)write(1, "through one\n", 12);
  dup2(saved, 1), close(saved);
  SHOW(w);
  fd = out("dup");
  int d1 = dup(fd), d2 = fcntl(fd, F_DUPFD, 100), d3 = fcntl(fd, F_DUPFD_CLOEXEC, 101), d4 = dup3(fd, 150, O_CLOEXEC);
  SHOW(d2); SHOW(d3); SHOW(d4);
  SHOW(close(fd)); SHOW(write(d1, "a", 1)); SHOW(close(d1)); SHOW(write(d2, "b", 1)); SHOW(close(d2));
  SHOW(write(d3, "c", 1)); SHOW(close(d3)); SHOW(write(d4, "d", 1)); SHOW(close(d4)); SHOW(close(d4));
  SHOW(dup(999)); SHOW(dup2(999, 5)); SHOW(dup3(1, 1, 0)); SHOW(dup2(1, 1)); SHOW(dup2(1, 1 << 30)); SHOW(dup2(-1, -1)); SHOW(fcntl(999, F_DUPFD, 0));
  fd = out("replaced");
  SHOW(write(fd, "before", 6));
  int null = open("/dev/null", O_WRONLY);
  SHOW(dup2(null, fd) == fd); SHOW(write(fd, "gone", 4)); SHOW(close(fd)); SHOW(close(null));
  fd = out("kept");
  SHOW(write(fd, "kept", 4)); SHOW(dup2(998, fd)); SHOW(write(fd, "more", 4)); SHOW(close(fd));
  for (int i = 0; i < 5; i++) {
    char name[20];
    snprintf(name, sizeof name, "range%d", i);
    fd = dup2(out(name), 200 + i);
    SHOW(write(fd, name, 6));
  }
  SHOW(syscall(SYS_close_range, 200u, 201u, 0)); SHOW(close_range(202, 202, 0)); SHOW(close_range(9, 3, 0)); SHOW(close_range(202, 203, 4));
  closefrom(150);
  SHOW(write(203, "x", 1));
  fd = out("cloexec");
  SHOW(fcntl(fd, F_SETFD, FD_CLOEXEC)); SHOW(fcntl(fd, F_GETFD)); SHOW(fcntl(fd, F_GETFL) & O_ACCMODE); SHOW(fcntl(fd, 9999, 0)); SHOW(close(fd));
}

static void locks(void) {
  int fd = out("locked");
  struct flock l = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
  SHOW(flock(fd, LOCK_EX | LOCK_NB)); SHOW(write(fd, "x", 1)); SHOW(fcntl(fd, F_SETLK, &l)); SHOW(lockf(fd, F_TLOCK, 0)); SHOW(close(fd));
  SHOW(flock(999, LOCK_SH)); SHOW(lockf(999, F_LOCK, 0));
}

static void shared(void) {
  int fd = open("mapped", O_CREAT | O_RDWR | O_TRUNC, 0644), pair[2];
  SHOW(ftruncate(fd, 8192));
  char *p = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  SHOW(close(fd));
  memcpy(p + 5000, "after close", 11);
  SHOW(munmap(p, 8192));
  SHOW(mmap(NULL, 0, PROT_READ, MAP_SHARED, 999, 0) == MAP_FAILED);
  SHOW(socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
  fd = out("sent");
  char byte = 0, control[CMSG_SPACE(sizeof fd)] = {0}, control2[CMSG_SPACE(sizeof fd)];
  struct iovec iov = {&byte, 1};
  struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
  struct msghdr in = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control2, .msg_controllen = sizeof control2};
  struct cmsghdr *c = CMSG_FIRSTHDR(&m);
  c->cmsg_level = SOL_SOCKET, c->cmsg_type = SCM_RIGHTS, c->cmsg_len = CMSG_LEN(sizeof fd);
  memcpy(CMSG_DATA(c), &fd, sizeof fd);
  SHOW(write(fd, "one ", 4)); SHOW(sendmsg(pair[0], &m, 0)); SHOW(close(fd)); SHOW(recvmsg(pair[1], &in, 0));
  memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&in)), sizeof fd);
  SHOW(write(fd, "two", 3)); SHOW(close(fd)); close(pair[0]); close(pair[1]);
}

static int ended(pid_t pid) {
  int status = -1;
  waitpid(pid, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}
static void children(void) {
  fflush(stdout);
  int fd = out("forked");
  write(fd, "parent ", 7);
  pid_t pid = fork();
  if (!pid) {
    write(fd, "child ", 6);
    _exit(close(fd));
  }
  SHOW(ended(pid)); SHOW(write(fd, "parent again", 12)); SHOW(close(fd));
  fd = out("vforked");
  pid = vfork();
  if (!pid) {
    close(fd);
    dup2(open("/dev/null", O_WRONLY), fd);
    write(fd, "nowhere", 7);
    _exit(0);
  }
  SHOW(ended(pid)); SHOW(write(fd, "mine", 4)); SHOW(close(fd));
  pid = vfork();
  if (!pid) {
    chdir("..");
    int up = open("outside/from-vfork", O_CREAT | O_WRONLY, 0600);
    write(up, "v", 1);
    _exit(0);
  }
  SHOW(ended(pid)); SHOW(access("vforked", F_OK));
  if (!(pid = fork())) {
    int f = out("exit-open");
    write(f, "left open", 9);
    FILE *s = fopen("exit-unflushed", "w");
    fputs("unflushed", s);
    exit(3);
  }
  SHOW(ended(pid));
  if (!(pid = fork())) {
    int f = out("_exit-open");
    write(f, "left open", 9);
    FILE *s = fopen("_exit-unflushed", "w");
    fputs("lost", s);
    _exit(4);
  }
  SHOW(ended(pid));
  if (!(pid = fork())) {
    int f = out("quick");
    write(f, "q", 1);
    quick_exit(5);
  }
  SHOW(ended(pid));
  if (!(pid = fork())) {
    signal(SIGABRT, SIG_DFL);
    int f = out("aborted");
    write(f, "a", 1);
    abort();
  }
  SHOW(ended(pid));
  fd = out("to-shell");
  fcntl(fd, F_SETFD, 0);
  char command[100];
  snprintf(command, sizeof command, "echo from the shell >&%d; cat to-shell", fd);
  SHOW(system(command)); SHOW(close(fd));
  fd = open("flush-then-spawn", O_CREAT | O_WRONLY | O_TRUNC | O_CLOEXEC, 0644);
  write(fd, "seen by the child\n", 18);
  SHOW(system("cat flush-then-spawn")); SHOW(close(fd));
  FILE *f = fopen("flushed", "w");
  fputs("flushed\n", f), fflush(f);
  SHOW(system("cat flushed")); SHOW(fclose(f));
}

static void *worker(void *arg) {
  char name[40], other[40];
  long bad = 0;
  for (int i = 0; i < 60; i++) {
    snprintf(name, sizeof name, "w%ld-%d", (long)arg, i % 5), snprintf(other, sizeof other, "w%ld-x", (long)arg);
    int fd = out(name), copy = i & 1 ? dup(fd) : -1;
    bad += write(fd, name, strlen(name)) < 0;
    bad += close(fd) != 0;
    if (copy >= 0) bad += write(copy, "+", 1) != 1, bad += close(copy) != 0;
    if (i % 7 == 0) bad += rename(name, other) != 0;
    FILE *f = fopen(name, "w");
    bad += !f || fprintf(f, "%d\n", i) < 0 || fclose(f) != 0;
  }
  return (void *)bad;
}
static void threads(void) {
  pthread_t t[6];
  void *bad;
  for (long i = 0; i < 6; i++) pthread_create(&t[i], NULL, worker, (void *)i);
  for (int i = 0; i < 6; i++) {
    pthread_join(t[i], &bad);
    SHOW((long)bad);
  }
}

int main(void) {
  setvbuf(stdout, NULL, _IOLBF, 0);
  copies();
  locks();
  shared();
  children();
  threads();
  return 0;
}
