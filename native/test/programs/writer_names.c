/* Every way of changing names: results, errors and the tree must be the same natively and under the library. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

static const char *volatile null;
static char far[4200], root[4096];
#define SHOW(call)                                                                          \
  do {                                                                                      \
    errno = 0;                                                                              \
    long r_ = (long)(call);                                                                 \
    printf("%s = %ld %s\n", #call, r_, r_ < 0 ? strerror(errno) : errno ? "errno moved" : ""); \
  } while (0)
static void put(const char *path) {
  FILE *f = fopen(path, "w");
  if (!f) printf("put %s: %s\n", path, strerror(errno));
  else fputs(path[0] == '/' ? "far\n" : path, f), fclose(f);
}
static const char *at_far(const char *name) {
  static char path[4][4400];
  static int i;
  i = (i + 1) % 4;
  snprintf(path[i], sizeof path[i], "%s/%s", far, name);
  return path[i];
}

static void renames(void) {
  put("a"), put("b"), put("keep");
  SHOW(rename("a", "a2"));
  SHOW(rename("a", "a3"));
  SHOW(rename("a2", "b"));
  SHOW(renameat(AT_FDCWD, "b", AT_FDCWD, "c"));
  SHOW(renameat2(AT_FDCWD, "c", AT_FDCWD, "keep", 1 /* NOREPLACE */));
  SHOW(renameat2(AT_FDCWD, "c", AT_FDCWD, "keep", 2 /* EXCHANGE */));
  SHOW(renameat2(AT_FDCWD, "c", AT_FDCWD, "keep", 64));
  SHOW(mkdir("d", 0750));
  put("d/f");
  SHOW(rename("d", "e"));
  SHOW(rename("e", "c"));
  SHOW(rename("c", "e"));
  SHOW(rename("e", "e/below"));
  SHOW(rename("e/.", "x"));
  SHOW(rename("e/", "g/"));
  SHOW(rename("g/f/", "h"));
  SHOW(rename("", "h"));
  SHOW(rename("c", ""));
  SHOW(rename(null, "h"));
  SHOW(rename("c", at_far("moved")));
  SHOW(rename(at_far("moved"), "back"));
  SHOW(rename("nothing", at_far("x")));
  SHOW(syscall(SYS_rename, "back", "back2"));
}

static void links(void) {
  put("l");
  SHOW(link("l", "l1"));
  SHOW(link("l", "l1"));
  SHOW(link("g", "l2"));
  SHOW(link("l", at_far("hard")));
  SHOW(symlink("l", "s"));
  SHOW(symlink("l", "s"));
  SHOW(symlinkat("nowhere", AT_FDCWD, "dang"));
  SHOW(symlink("", "empty"));
  SHOW(symlink(far, "out"));
  SHOW(linkat(AT_FDCWD, "s", AT_FDCWD, "ls", 0));
  SHOW(linkat(AT_FDCWD, "s", AT_FDCWD, "lf", AT_SYMLINK_FOLLOW));
  SHOW(linkat(AT_FDCWD, "l", AT_FDCWD, "lx", 0x8000));
  int fd = open("l", O_RDONLY);
  char proc[40];
  snprintf(proc, sizeof proc, "/proc/self/fd/%d", fd);
  SHOW(linkat(AT_FDCWD, proc, AT_FDCWD, "lproc", AT_SYMLINK_FOLLOW));
  close(fd);
  put("out/through");
  SHOW(unlink("out/through"));
  SHOW(rename("l1", "out/l1"));
  SHOW(access(at_far("l1"), F_OK));
  SHOW(unlink("s"));
  SHOW(unlink("dang/"));
  SHOW(unlink("out/"));
}

static void directories(void) {
  SHOW(mkdir("m", 0700));
  SHOW(mkdir("m", 0700));
  SHOW(mkdir("m/n/o", 0700));
  SHOW(mkdir("m/n/", 01777));
  SHOW(mkdirat(AT_FDCWD, "m/p", 0555));
  SHOW(mkdir("l/x", 0700));
  SHOW(mkdir(".", 0700));
  SHOW(mkdir("..", 0700));
  int dir = open("m", O_RDONLY | O_DIRECTORY);
  SHOW(mkdirat(dir, "q", 0711));
  SHOW(mkdirat(dir, "../m2", 0711));
  SHOW(symlinkat("q", dir, "qs"));
  SHOW(renameat(dir, "q", AT_FDCWD, "q2"));
  SHOW(unlinkat(dir, "p", 0));
  SHOW(unlinkat(dir, "p", AT_REMOVEDIR));
  SHOW(unlinkat(dir, "qs", AT_REMOVEDIR));
  SHOW(unlinkat(dir, "n", 12345));
  SHOW(rmdir("m"));
  SHOW(rmdir("m/n"));
  SHOW(rmdir("m/."));
  SHOW(rmdir("l"));
  SHOW(unlink("m"));
  SHOW(unlink(""));
  SHOW(remove("q2"));
  SHOW(remove("m"));
  SHOW(remove("l/"));
  SHOW(remove("nothing"));
  SHOW(unlinkat(dir, "qs", 0));
  close(dir);
  SHOW(unlinkat(dir, "n", 0));
  SHOW(remove("m/n"));
  SHOW(rmdir("m"));
  SHOW(chdir("g"));
  put("in");
  SHOW(rename("../g/in", "./in2"));
  SHOW(mkdir("../up", 0755));
  SHOW(chdir("nothing"));
  SHOW(chdir(".."));
  SHOW(syscall(SYS_mkdir, "sys", 0700));
  SHOW(syscall(SYS_rmdir, "sys"));
  SHOW(syscall(SYS_unlinkat, AT_FDCWD, "keep", 0));
  char path[300];
  memset(path, 'n', 256), path[256] = 0;
  SHOW(mkdir(path, 0700));
  path[255] = 0;
  SHOW(mkdir(path, 0700));
  SHOW(rmdir(path));
}

static void nodes(void) {
  SHOW(mkfifo("fifo", 0640));
  SHOW(mkfifoat(AT_FDCWD, "fifo", 0640));
  SHOW(mknod("node", S_IFREG | 0600, 0));
  SHOW(mknodat(AT_FDCWD, "nodir/x", S_IFREG, 0));
  SHOW(mknod("bad", S_IFDIR, 0));
  struct sockaddr_un un = {.sun_family = AF_UNIX, .sun_path = "sock"};
  int fd = socket(AF_UNIX, SOCK_STREAM, 0);
  SHOW(bind(fd, (struct sockaddr *)&un, sizeof un));
  SHOW(bind(fd, (struct sockaddr *)&un, sizeof un));
  SHOW(bind(999, (struct sockaddr *)&un, sizeof un));
  close(fd);
  fd = socket(AF_UNIX, SOCK_STREAM, 0);
  SHOW(bind(fd, (struct sockaddr *)&un, 2));
  SHOW(bind(fd, (struct sockaddr *)&un, 500));
  close(fd);
  char t[] = "temp-XXXXXX", bad[] = "temp", s[] = "temp-XXXXXX.c", d[] = "tempd-XXXXXX", o[] = "tempo-XXXXXX";
  SHOW(close(mkstemp(t)));
  SHOW(rename(t, "temp"));
  SHOW(mkstemp(bad));
  SHOW(close(mkstemps(s, 2)));
  SHOW(rename(s, "temp.c"));
  SHOW(close(mkostemp(o, O_APPEND | O_CLOEXEC)));
  SHOW(rename(o, "tempo"));
  SHOW(mkdtemp(d) == d);
  SHOW(rename(d, "tempd"));
}

int main(void) {
  umask(022);
  setvbuf(stdout, NULL, _IOLBF, 0);
  snprintf(far, sizeof far, "%s", getenv("WRITER_OUTSIDE"));
  if (!getcwd(root, sizeof root)) return 9;
  renames();
  links();
  directories();
  nodes();
  unlink("out");
  return 0;
}
