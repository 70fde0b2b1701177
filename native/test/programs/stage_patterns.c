/* What programs do to an output between open and close. Prints what it sees; natively and staged must print the same and leave the
 * same tree. Inode numbers, ctimes and directory times are not looked at: those deviate, by design, for a rewritten file. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

static const int W = O_WRONLY | O_CREAT | O_TRUNC;
static void say(const char *what, long result) { printf("%s %ld %s\n", what, result, result < 0 ? strerrorname_np(errno) : ""); }
static void put(int fd, const char *text) {
  if (write(fd, text, strlen(text)) != (ssize_t)strlen(text)) perror("write");
}
static void make(const char *path, const char *text) {
  int fd = open(path, W, 0666);
  put(fd, text);
  close(fd);
}
static void show(const char *path) {
  char buf[200];
  int fd = open(path, O_RDONLY);
  ssize_t n = fd < 0 ? -1 : read(fd, buf, sizeof buf - 1);
  if (fd >= 0) close(fd);
  buf[n < 0 ? 0 : n] = 0;
  struct stat st;
  int e = lstat(path, &st);
  printf("%s: %s [%s] size %ld mode %o links %ld\n", path, n < 0 ? strerrorname_np(errno) : "", buf, e ? -1L : (long)st.st_size,
         e ? 0u : (unsigned)st.st_mode, e ? 0L : (long)st.st_nlink);
}
static int run(const char *command) {
  fflush(stdout);
  return system(command);
}
static void list(const char *dir) {
  struct dirent **all;
  int n = scandir(dir, &all, NULL, alphasort);
  for (int i = 0; i < n; i++)
    if (all[i]->d_name[0] != '.') printf("  %s/%s\n", dir, all[i]->d_name);
}

static void looks_at_own(int old) {
  printf("looks, old=%d\n", old);
  if (old) make("own.txt", "old contents");
  int fd = open("own.txt", W, 0640);
  struct stat st;
  put(fd, "abc");
  say("stat", stat("own.txt", &st));
  say("size", (long)st.st_size);
  put(fd, "def");
  show("own.txt");
  say("excl", open("own.txt", W | O_EXCL, 0666));
  say("mkdir", mkdir("own.txt", 0777));
  say("symlink", symlink("x", "own.txt"));
  put(fd, "ghi");
  say("close", close(fd));
  show("own.txt");
  unlink("own.txt");
}
static void links_and_names(void) {
  int fd = open("r1.txt", W, 0666);
  put(fd, "one");
  say("rename", rename("r1.txt", "r2.txt"));
  put(fd, " two");
  say("close", close(fd));
  show("r1.txt"), show("r2.txt");
  fd = open("l1.txt", W, 0666);
  put(fd, "x");
  say("link", link("l1.txt", "l2.txt"));
  put(fd, "y");
  close(fd);
  show("l1.txt"), show("l2.txt");
  fd = open("l1.txt", W, 0666);
  put(fd, "rewritten through a link");
  close(fd);
  show("l2.txt");
  fd = open("u.txt", W, 0666);
  put(fd, "x");
  say("unlink", unlink("u.txt"));
  put(fd, "y");
  say("close", close(fd));
  show("u.txt");
  symlink("l2.txt", "sym.txt");
  fd = open("sym.txt", W, 0666);
  put(fd, "through the symlink");
  close(fd);
  show("l1.txt");
  mkdir("dir", 0777);
  fd = open("dir/f.txt", W, 0666);
  put(fd, "f");
  list("dir");
  say("rmdir", rmdir("dir"));
  int g = open("dir/g.txt", W, 0666);
  put(g, "g");
  say("rename dir", rename("dir", "dir2"));
  say("close", close(fd) + close(g));
  list("dir2");
  show("dir2/g.txt");
  say("chmod", chmod("dir2/g.txt", 0600));
}
static void times_and_modes(void) {
  umask(077);
  int fd = open("m1.txt", W, 0666);
  close(fd);
  umask(022);
  fd = open("m2.txt", W, 0444);
  put(fd, "readonly but mine");
  say("fchmod", fchmod(fd, 0751));
  struct timespec t[2] = {{1000000, 5}, {2000000, 7}};
  say("futimens", futimens(fd, t));
  close(fd);
  struct stat st;
  stat("m2.txt", &st);
  printf("mtime %ld.%ld\n", (long)st.st_mtim.tv_sec, st.st_mtim.tv_nsec);
  show("m1.txt"), show("m2.txt");
  make("m3.txt", "x");
  chmod("m3.txt", 0604);
  fd = open("m3.txt", W, 0777);
  put(fd, "y");
  chmod("m3.txt", 0711);
  close(fd);
  show("m3.txt");
  fd = open("m4.txt", O_RDWR | O_CREAT | O_TRUNC, 0666);
  say("ftruncate", ftruncate(fd, 10));
  say("pwrite", pwrite(fd, "end", 3, 20));
  say("seek", lseek(fd, 5, SEEK_SET));
  char c[4] = "";
  say("read", read(fd, c, 3));
  say("truncate", truncate("m4.txt", 4));
  struct stat a;
  fstat(fd, &a);
  say("size", (long)a.st_size);
  close(fd);
  make("ro.txt", "ro");
  chmod("ro.txt", 0444);
  fd = open("ro.txt", W, 0666);
  say("readonly", fd < 0 ? fd : 0);
  if (fd >= 0) close(fd);
  say("append", close(open("m4.txt", O_WRONLY | O_APPEND)));
  say("no dir", open("missing/x.txt", W, 0666));
  say("is dir", open("dir2", W, 0666));
  say("not dir", open("m4.txt/x", W, 0666));
}
static void other_processes(void) {
  int fd = open("p1.txt", W, 0666);
  put(fd, "parent ");
  char command[80];
  snprintf(command, sizeof command, "printf 'child ' >&%d; cat p1.txt", fd);
  say("system", run(command));
  put(fd, "parent");
  close(fd);
  show("p1.txt");
  fd = open("p2.txt", W | O_CLOEXEC, 0666);
  put(fd, "flushed");
  say("spawn", run("cat p2.txt; echo"));
  close(fd);
  fd = open("p3.txt", W, 0666);
  pid_t pid = fork();
  if (!pid) {
    put(fd, "from the child, not closed");
    _exit(0);
  }
  int status;
  waitpid(pid, &status, 0);
  put(fd, ", from the parent");
  close(fd);
  show("p3.txt");
  fflush(stdout);
  if (!(pid = fork())) {
    fd = open("p4.txt", W, 0666);
    put(fd, "exit without close");
    exit(3);
  }
  waitpid(pid, &status, 0);
  say("exit", WEXITSTATUS(status));
  show("p4.txt");
  if (!(pid = fork())) {
    FILE *f = fopen("p5.txt", "w");
    fputs("unflushed at exit", f);
    exit(0);
  }
  waitpid(pid, &status, 0);
  show("p5.txt");
  fd = open("p6.txt", W, 0666);
  put(fd, "in the file");
  int saved = dup(1);
  fflush(stdout);
  dup2(fd, 1);
  close(fd);
  puts("a line to stdout");
  fflush(stdout);
  dup2(saved, 1);
  close(saved);
  show("p6.txt");
  FILE *f = fopen("p7.txt", "w");
  fputs("first", f);
  fflush(f);
  say("flush, then look", run("cat p7.txt; echo"));
  fputs(" second", f);
  say("fclose", fclose(f));
  show("p7.txt");
  pid_t spawned;
  char *argv[] = {"cat", "p8.txt", NULL};
  extern char **environ;
  fd = open("p8.txt", W | O_CLOEXEC, 0666);
  put(fd, "for posix_spawn\n");
  fflush(stdout);
  say("posix_spawn", posix_spawnp(&spawned, "cat", NULL, NULL, argv, environ));
  waitpid(spawned, &status, 0);
  close(fd);
}
static void descriptors(void) {
  int lowest = dup(0);
  close(lowest);
  int fd = open("d1.txt", W, 0666);
  say("lowest", fd == lowest);
  int twin = dup(fd);
  put(twin, "twin ");
  close(fd);
  put(twin, "last");
  close(twin);
  show("d1.txt");
  fd = open("d2.txt", W, 0666);
  int other = open("d3.txt", W, 0666);
  put(fd, "replaced");
  say("dup2 over", dup2(other, fd) == fd);
  show("d2.txt");
  put(fd, "third");
  close(fd), close(other);
  show("d3.txt");
  fd = open("d4.txt", W, 0666);
  put(fd, "ranged");
  say("close_range", close_range((unsigned)fd, (unsigned)fd, 0));
  show("d4.txt");
  fd = open("d5.txt", O_RDWR | O_CREAT | O_TRUNC, 0666);
  say("ftruncate", ftruncate(fd, 4096));
  char *map = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  close(fd);
  strcpy(map, "mapped");
  munmap(map, 4096);
  show("d5.txt");
  fd = open("d6.txt", W, 0666);
  put(fd, "synced");
  say("fsync", fsync(fd));
  show("d6.txt");
  close(fd);
  int pair[2];
  socketpair(AF_UNIX, SOCK_STREAM, 0, pair);
  fd = open("d7.txt", W, 0666);
  char control[CMSG_SPACE(sizeof fd)] = {0}, byte = 0;
  struct iovec iov = {&byte, 1};
  struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
  struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
  c->cmsg_level = SOL_SOCKET, c->cmsg_type = SCM_RIGHTS, c->cmsg_len = CMSG_LEN(sizeof fd);
  memcpy(CMSG_DATA(c), &fd, sizeof fd);
  say("sendmsg", sendmsg(pair[0], &msg, 0));
  close(fd);
  say("recvmsg", recvmsg(pair[1], &msg, 0));
  memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&msg)), sizeof fd);
  put(fd, "passed");
  close(fd);
  show("d7.txt");
  FILE *f = fopen("d8.txt", "w");
  fputs("before", f);
  f = freopen("d9.txt", "w", f);
  fputs("after", f);
  fclose(f);
  show("d8.txt"), show("d9.txt");
  fd = open("d10.txt", W | O_NONBLOCK, 0666);
  say("flags", fcntl(fd, F_GETFL) & ~0100000);
  close(fd);
}
static void locks(void) {
  make("lk.txt", "held by nobody");
  int a = open("lk.txt", W, 0666);
  say("flock a", flock(a, LOCK_EX | LOCK_NB));
  put(a, "a");
  int b = open("lk.txt", W, 0666);
  say("flock b", flock(b, LOCK_EX | LOCK_NB));
  show("lk.txt");
  close(a);
  say("flock b", flock(b, LOCK_EX | LOCK_NB));
  put(b, "b");
  close(b);
  show("lk.txt");
}

static long unseen(long n, long a, long b, long c) {
  register long r10 __asm__("r10") = 0;
  long r;
  __asm__ volatile("syscall" : "=a"(r) : "a"(n), "D"(a), "S"(b), "d"(c), "r"(r10) : "rcx", "r11", "memory");
  return r;
}
/* Closed by a system call of the program's own. The next file gets the number, and is none that could be staged: then at the latest the first
 * is in its place. */
static void closed_unseen(int flags) {
  static const char *const names[] = {"unseen_read.txt", "unseen_append.txt"};
  const char *name = names[flags != O_RDONLY];
  char buf[32] = "";
  make("other.txt", "other");
  make(name, "before");
  int fd = open(name, W, 0666);
  put(fd, "closed by itself");
  unseen(SYS_close, fd, 0, 0);
  say("same number", open("other.txt", flags) - fd);
  long look = unseen(SYS_open, (long)name, O_RDONLY, 0), n = unseen(SYS_read, look, (long)buf, sizeof buf - 1);
  unseen(SYS_close, look, 0, 0);
  printf("%s: %ld [%s]\n", name, n, buf);
  close(fd);
}

int main(void) {
  umask(022);
  looks_at_own(0), looks_at_own(1);
  links_and_names();
  times_and_modes();
  other_processes();
  descriptors();
  locks();
  closed_unseen(O_RDONLY), closed_unseen(O_WRONLY | O_APPEND);
  list(".");
  return 0;
}
