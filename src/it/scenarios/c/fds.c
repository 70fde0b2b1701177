/* Descriptors that go unusual ways. Usage: fds HOW FILE; FILE ends with the same bytes natively and under vrift. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;
static void die(const char *what) { perror(what); exit(9); }
static int create(const char *f) {
  int fd = open(f, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  if (fd < 0) die(f);
  return fd;
}
static void put(int fd, const char *s) { if (write(fd, s, strlen(s)) != (ssize_t)strlen(s)) die("write"); }
static void say(const char *f) {
  struct stat s;
  if (stat(f, &s)) printf("absent\n");
  else printf("%lld %o\n", (long long)s.st_size, s.st_mode & 07777);
  fflush(stdout);
}
static void pass(const char *f) { /* SCM_RIGHTS: the receiver writes after the sender closed */
  int sv[2], fd = create(f);
  if (socketpair(AF_UNIX, SOCK_STREAM, 0, sv)) die("socketpair");
  char box[CMSG_SPACE(sizeof fd)] = {0}, byte = 'x';
  struct iovec io = {&byte, 1};
  struct msghdr m = {.msg_iov = &io, .msg_iovlen = 1, .msg_control = box, .msg_controllen = sizeof box};
  pid_t pid = fork();
  if (!pid) {
    if (recvmsg(sv[1], &m, 0) != 1) die("recvmsg");
    int got;
    memcpy(&got, CMSG_DATA(CMSG_FIRSTHDR(&m)), sizeof got);
    usleep(30000);
    put(got, "from the receiver\n");
    say(f);
    _exit(0);
  }
  struct cmsghdr *c = CMSG_FIRSTHDR(&m);
  c->cmsg_level = SOL_SOCKET, c->cmsg_type = SCM_RIGHTS, c->cmsg_len = CMSG_LEN(sizeof fd);
  memcpy(CMSG_DATA(c), &fd, sizeof fd);
  put(fd, "from the sender\n");
  if (sendmsg(sv[0], &m, 0) != 1) die("sendmsg");
  close(fd);
  waitpid(pid, NULL, 0);
  say(f);
}
static void vforked(const char *f) { /* the child closes what the parent goes on writing */
  int fd = create(f);
  put(fd, "one\n");
  for (int i = 0; i < 20; i++) {
    pid_t pid = vfork();
    if (!pid) {
      close(fd);
      execl("/bin/true", "true", (char *)NULL);
      _exit(1);
    }
    waitpid(pid, NULL, 0);
    put(fd, "more\n");
  }
  say(f);
  close(fd);
  say(f);
}
static void unclosed(const char *f) { put(create(f), "never closed\n"); _exit(0); }
static void unflushed(const char *f) { fprintf(fopen(f, "w"), "only in the buffer\n"); exit(0); }
static void renamed(const char *f) {
  char t[4096];
  snprintf(t, sizeof t, "%s.tmp", f);
  int fd = create(t);
  put(fd, "before\n");
  if (rename(t, f)) die("rename");
  put(fd, "after\n");
  say(f), say(t);
  close(fd);
  say(f);
}
static void flushed(const char *f) { /* close-on-exec, but the child opens it by name */
  FILE *s = fopen(f, "we");
  fprintf(s, "flushed\n");
  fflush(s);
  char *argv[] = {"cat", (char *)f, NULL};
  pid_t pid;
  if (posix_spawnp(&pid, "cat", NULL, NULL, argv, environ)) die("spawn");
  waitpid(pid, NULL, 0);
  fprintf(s, "later\n");
  fclose(s);
  say(f);
}
static void synced(const char *f) {
  int fd = create(f);
  put(fd, "synced\n");
  if (fsync(fd)) die("fsync");
  kill(getpid(), SIGKILL);
}
static void mapped(const char *f) { /* stores through a shared mapping after close */
  int fd = open(f, O_RDWR | O_CREAT | O_TRUNC, 0644);
  if (fd < 0 || ftruncate(fd, 4096)) die(f);
  char *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  close(fd);
  say(f);
  memcpy(p, "mapped", 6);
  munmap(p, 4096);
  say(f);
}
static void duped(const char *f) {
  int fd = create(f), a = dup(fd), b = fcntl(fd, F_DUPFD_CLOEXEC, 50), c = dup2(fd, 60);
  close(fd);
  put(a, "a\n"), close(a);
  put(b, "b\n"), close(b);
  say(f);
  put(c, "c\n");
  dup2(1, c);
  say(f);
}
static void ranged(const char *f) {
  int fd = create(f);
  put(fd, "range\n");
  if (close_range(3, ~0u, 0)) die("close_range");
  say(f);
  fd = create(f);
  put(fd, "again and longer\n");
  closefrom(3);
  say(f);
}
static void forked(const char *f) {
  int fd = create(f);
  put(fd, "parent\n");
  pid_t pid = fork();
  if (!pid) {
    put(fd, "child\n");
    exit(0);
  }
  waitpid(pid, NULL, 0);
  put(fd, "parent again\n");
  say(f);
  close(fd);
  say(f);
}
int main(int argc, char **argv) {
  static const struct { const char *how; void (*run)(const char *); } ways[] = {
    {"pass", pass}, {"vfork", vforked}, {"unclosed", unclosed}, {"unflushed", unflushed}, {"rename", renamed}, {"flush", flushed},
    {"sync", synced}, {"map", mapped}, {"dup", duped}, {"range", ranged}, {"fork", forked}};
  for (size_t i = 0; argc == 3 && i < sizeof ways / sizeof *ways; i++)
    if (!strcmp(argv[1], ways[i].how)) return ways[i].run(argv[2]), 0;
  return 2;
}
