/* Runs under the library only, in the project's root with staging off: after each call looks at the board and says what is not as
 * docs/PROTOCOL.md section 4 wants it. Exit code: number of failures. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include "vr_board.h"

extern char **environ;
static struct vr_board b;
static int failures, checks;
static char root[4096], outside[4200];

#define CHECK(condition)                                                                  \
  do {                                                                                    \
    checks++;                                                                             \
    if (!(condition)) failures++, printf("%s:%d: not so: %s\n", __func__, __LINE__, #condition); \
  } while (0)

static void attach(void) {
  char link[4200], text[40] = "", name[64];
  snprintf(link, sizeof link, "%s/map", getenv("VRIFT_PROJECT_RUN"));
  if (readlink(link, text, sizeof text - 1) != 33) exit(99);
  snprintf(name, sizeof name, "/dev/shm/vrift_board_%s", text + 17);
  long fd = syscall(SYS_openat, AT_FDCWD, name, O_RDWR | O_CLOEXEC);
  void *p = mmap(NULL, VR_BOARD_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, (int)fd, 0);
  if (p == MAP_FAILED || vr_board_attach(&b, p, VR_BOARD_SIZE)) exit(99);
  close((int)fd);
}
static unsigned live(uint32_t kind) {
  unsigned n = 0;
  for (unsigned i = 0; i < VR_BOARD_RECORDS; i++)
    n += b.records[i].state == VR_BOARD_RECORD_LIVE && (!kind || b.records[i].kind == kind);
  return n;
}
static int names_inode(uint32_t kind, ino_t ino) {
  for (unsigned i = 0; i < VR_BOARD_RECORDS; i++)
    if (b.records[i].state == VR_BOARD_RECORD_LIVE && b.records[i].kind == kind && (b.records[i].ino[0] == ino || b.records[i].ino[1] == ino))
      return 1;
  return 0;
}
static void free_all(void) {
  for (unsigned i = 0; i < VR_BOARD_RECORDS; i++) b.records[i].state = VR_BOARD_RECORD_FREE;
}
static uint32_t slot(const char *rel) { return vr_slot(vr_hash64(rel, strlen(rel), b.header->hash_seed)); }
static uint64_t before[VR_SLOTS];
static void mark(void) { memcpy(before, b.ver, sizeof before); }
static int moved(const char *rel) { return b.ver[slot(rel)] != before[slot(rel)]; }
static int moved_g(void) { return b.ver[0] != before[0]; }
static int moved_any(void) { return memcmp(before, b.ver, sizeof before) != 0; }
static ino_t ino(const char *path) {
  struct stat st;
  return syscall(SYS_newfstatat, AT_FDCWD, path, &st, AT_SYMLINK_NOFOLLOW) ? 0 : st.st_ino;
}
static int make(const char *path) {
  int fd = open(path, O_CREAT | O_WRONLY | O_EXCL, 0644);
  CHECK(fd >= 0);
  return fd;
}
static void put(const char *path) { close(make(path)); }

static void held(void) {
  mark();
  int fd = make("h1");
  CHECK(moved("h1") && moved("") && !moved_g());
  CHECK(live(0) == 1 && live(VR_BOARD_KIND_HELD) == 1 && names_inode(VR_BOARD_KIND_HELD, ino("h1")));
  CHECK(write(fd, "x", 1) == 1);
  int copy = dup(fd);
  CHECK(close(fd) == 0 && live(VR_BOARD_KIND_HELD) == 1);
  mark();
  CHECK(close(copy) == 0 && live(0) == 0 && moved("h1"));
  fd = open("h1", O_WRONLY | O_APPEND);
  int high = fcntl(fd, F_DUPFD_CLOEXEC, 200), other = open("/dev/null", O_RDONLY);
  CHECK(high >= 200 && dup2(high, other) == other && dup3(fd, 201, O_CLOEXEC) == 201);
  close(fd), close(high), close(201);
  CHECK(live(VR_BOARD_KIND_HELD) == 1);
  int null = open("/dev/null", O_RDONLY);
  CHECK(dup2(null, other) == other && live(0) == 0); /* the last reference dies in dup2 */
  CHECK(dup2(other, other) == other && dup2(999, 1000) == -1 && errno == EBADF);
  close(null), close(other);
  FILE *f = fopen("h1", "a");
  CHECK(f && live(VR_BOARD_KIND_HELD) == 1);
  CHECK((f = freopen("h2", "a", f)) && live(VR_BOARD_KIND_HELD) == 1 && names_inode(VR_BOARD_KIND_HELD, ino("h2")));
  CHECK((f = freopen("h2", "r", f)) && live(0) == 0 && fclose(f) == 0);
  int a = make("h3"), c = make("h4");
  CHECK(a >= 0 && c > a && live(VR_BOARD_KIND_HELD) == 2);
  CHECK(syscall(SYS_close_range, (unsigned)a, (unsigned)c, 0) == 0 && live(0) == 0);
  a = make("h5");
  closefrom(a);
  CHECK(live(0) == 0);
  a = make("h6");
  CHECK(syscall(SYS_close, a) == 0 && live(0) == 0);
  char t[] = "tmpXXXXXX", d[] = "dirXXXXXX";
  mark();
  a = mkstemp(t);
  CHECK(a >= 0 && names_inode(VR_BOARD_KIND_HELD, ino(t)) && moved("") && moved(t) && close(a) == 0 && live(0) == 0);
  mark();
  CHECK(mkdtemp(d) && moved("") && moved(d) && live(0) == 0);
  a = open(".", O_TMPFILE | O_RDWR, 0600);
  if (a >= 0) {
    char proc[40];
    snprintf(proc, sizeof proc, "/proc/self/fd/%d", a);
    CHECK(live(VR_BOARD_KIND_HELD) == 1);
    mark();
    CHECK(linkat(AT_FDCWD, proc, AT_FDCWD, "h7", AT_SYMLINK_FOLLOW) == 0 && moved("h7") && names_inode(VR_BOARD_KIND_HELD, ino("h7")));
    CHECK(close(a) == 0 && live(0) == 0);
  }
  a = open("h1", O_RDONLY);
  CHECK(live(0) == 0 && close(a) == 0);
}

static void names(void) {
  put("n1");
  mark();
  CHECK(rename("n1", "n2") == 0 && moved("n1") && moved("n2") && !moved_g() && live(0) == 0);
  mark();
  CHECK(mkdir("d1", 0755) == 0 && moved("d1") && moved("") && !moved_g());
  put("d1/f");
  mark();
  CHECK(rename("d1", "d2") == 0 && moved_g());
  mark();
  CHECK(link("n2", "d2/l") == 0 && moved("n2") && moved("d2/l") && moved("d2") && !moved_g());
  mark();
  CHECK(symlink("n2", "s") == 0 && moved("s"));
  mark();
  CHECK(unlink("d2/l") == 0 && moved("d2/l") && moved("d2") && !moved_g());
  mark();
  CHECK(remove("d2/f") == 0 && moved("d2/f") && remove("d2") == 0 && moved_g());
  mark();
  CHECK(mkfifo("fifo", 0600) == 0 && moved("fifo"));
  mark();
  CHECK(syscall(SYS_mkdirat, AT_FDCWD, "d3", 0755) == 0 && moved("d3"));
  mark();
  CHECK(syscall(SYS_renameat2, AT_FDCWD, "d3", AT_FDCWD, "d4", 0) == 0 && moved_g());
  mark();
  CHECK(rmdir("d4") == 0 && moved_g());
  mark();
  CHECK(unlink("no/such") == -1 && errno == ENOENT && unlink("nothing") == -1 && errno == ENOENT && live(0) == 0);
}

/* Real paths: links to directories, from inside and outside, dangling links, the working directory, dirfds. */
static void real_paths(void) {
  char alias[5000];
  mkdir("r1", 0755);
  symlink("r1", "ra");
  mark();
  put("ra/x");
  CHECK(moved("r1/x") && moved("r1") && live(0) == 0);
  snprintf(alias, sizeof alias, "%s/alias", outside);
  CHECK(symlink(root, alias) == 0);
  snprintf(alias, sizeof alias, "%s/alias/r1/y", outside);
  mark();
  int fd = make(alias);
  CHECK(moved("r1/y") && moved("r1") && names_inode(VR_BOARD_KIND_HELD, ino("r1/y")) && close(fd) == 0);
  snprintf(alias, sizeof alias, "%s/plain", outside);
  mark();
  fd = make(alias);
  CHECK(!moved_any() && live(0) == 0 && close(fd) == 0);
  CHECK(symlink("r1/made", "dangling") == 0);
  mark();
  fd = open("dangling", O_WRONLY | O_CREAT, 0644);
  CHECK(fd >= 0 && moved("r1/made") && moved("r1") && close(fd) == 0);
  CHECK(symlink("r1/x", "lx") == 0);
  mark();
  CHECK(chmod("lx", 0600) == 0 && moved("r1/x") && !moved_g());
  mark();
  CHECK(chmod("ra", 0700) == 0 && moved_g());
  mark();
  CHECK(truncate("lx", 5) == 0 && moved("r1/x"));
  int dir = open("r1", O_RDONLY | O_DIRECTORY);
  mark();
  CHECK(unlinkat(dir, "y", 0) == 0 && moved("r1/y") && moved("r1"));
  CHECK(chdir("r1") == 0);
  mark();
  put("z");
  CHECK(moved("r1/z") && moved("r1"));
  mark();
  CHECK(rename("../r1/z", "./w") == 0 && moved("r1/z") && moved("r1/w"));
  CHECK(fchdir(dir) == 0 && chdir("..") == 0 && close(dir) == 0);
  mark();
  fd = open("r1/made", O_RDONLY);
  CHECK(futimens(fd, NULL) == 0 && moved("r1/made") && fchmod(fd, 0600) == 0 && close(fd) == 0);
  CHECK(dup2(open("r1/x", O_WRONLY | O_APPEND), 60) == 60 && fcntl(60, F_SETFD, 0) == 0);
  mark();
  fd = open("/proc/self/fd/60", O_WRONLY | O_TRUNC);
  CHECK(fd >= 0 && moved("r1/x"));
  for (int i = fd; i > 2; i--) close(i);
  close(60);
  CHECK(live(0) == 0);
}

static int run(const char *script, int how) {
  char *argv[] = {"/bin/sh", "-c", (char *)script, NULL};
  pid_t pid = -1;
  int status;
  if (how == 0 && !(pid = fork())) execv(argv[0], argv), _exit(9);
  if (how == 1 && posix_spawn(&pid, argv[0], NULL, NULL, argv, environ)) return -1;
  if (how == 2 && !(pid = vfork())) execve(argv[0], argv, environ), _exit(9);
  return waitpid(pid, &status, 0) == pid && WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void escapes(void) {
  int fd = open("e1", O_RDWR | O_CREAT | O_EXCL, 0644);
  CHECK(write(fd, "0123456789", 10) == 10);
  char *p = mmap(NULL, 10, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  CHECK(p != MAP_FAILED && live(VR_BOARD_KIND_ESCAPED) == 1 && close(fd) == 0 && live(VR_BOARD_KIND_ESCAPED) == 1);
  munmap(p, 10);
  free_all();
  int pair[2];
  CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
  fd = make("e2");
  char byte = 0, control[CMSG_SPACE(sizeof fd)] = {0};
  struct iovec iov = {&byte, 1};
  struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
  struct cmsghdr *c = CMSG_FIRSTHDR(&m);
  c->cmsg_level = SOL_SOCKET, c->cmsg_type = SCM_RIGHTS, c->cmsg_len = CMSG_LEN(sizeof fd);
  memcpy(CMSG_DATA(c), &fd, sizeof fd);
  CHECK(sendmsg(pair[0], &m, 0) == 1 && live(VR_BOARD_KIND_ESCAPED) == 1 && close(fd) == 0 && live(VR_BOARD_KIND_ESCAPED) == 1);
  close(pair[0]), close(pair[1]);
  free_all();
  fd = make("e3");
  pid_t pid = fork();
  if (pid == 0) _exit(close(fd) || live(VR_BOARD_KIND_ESCAPED) != 1);
  int status = -1;
  CHECK(waitpid(pid, &status, 0) == pid && status == 0 && close(fd) == 0 && live(VR_BOARD_KIND_ESCAPED) == 1);
  free_all();
  fd = open("e4", O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
  CHECK(run("exit 7", 1) == 7 && live(VR_BOARD_KIND_HELD) == 1); /* the child never had it */
  CHECK(fcntl(fd, F_SETFD, 0) == 0 && run("exit 7", 1) == 7 && live(VR_BOARD_KIND_ESCAPED) == 1);
  close(fd), free_all();
  fd = open("e4b", O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
  CHECK(run("exit 7", 2) == 7 && live(VR_BOARD_KIND_HELD) == 1 && run("exit 7", 0) == 7 && live(VR_BOARD_KIND_ESCAPED) == 1);
  close(fd), free_all();
  fd = open("e4c", O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
  int apart = open("e4d", O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
  posix_spawn_file_actions_t dups;
  char *nothing[] = {"/bin/true", NULL};
  pid_t spawned;
  posix_spawn_file_actions_init(&dups), posix_spawn_file_actions_adddup2(&dups, fd, 1);
  CHECK(posix_spawn(&spawned, nothing[0], &dups, NULL, nothing, environ) == 0 && waitpid(spawned, NULL, 0) == spawned);
  CHECK(names_inode(VR_BOARD_KIND_ESCAPED, ino("e4c")) && names_inode(VR_BOARD_KIND_HELD, ino("e4d")));
  posix_spawn_file_actions_destroy(&dups), close(fd), close(apart), free_all();
  fd = open("e4e", O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
  spawned = vfork();
  if (spawned == 0) {
    dup2(fd, 1);
    execv(nothing[0], nothing);
    _exit(9);
  }
  CHECK(waitpid(spawned, NULL, 0) == spawned && live(VR_BOARD_KIND_ESCAPED) == 1 && close(fd) == 0);
  free_all();
  /* A vfork child that closes what is its parent's must not release it. */
  fd = make("e5");
  pid = vfork();
  if (pid == 0) {
    close(fd);
    dup2(open("/dev/null", O_RDONLY), fd);
    _exit(0);
  }
  waitpid(pid, &status, 0);
  CHECK(live(0) == 1 && names_inode(VR_BOARD_KIND_HELD, ino("e5")) && close(fd) == 0 && live(0) == 0);
  pid = vfork();
  if (pid == 0) {
    fd = open("e6", O_WRONLY | O_CREAT, 0644);
    _exit(0);
  }
  waitpid(pid, &status, 0);
  CHECK(names_inode(VR_BOARD_KIND_ESCAPED, ino("e6")));
  free_all();
  /* A fork that no hook saw is a process of its own. */
  pid = (pid_t)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
  if (pid == 0) {
    fd = open("e7", O_WRONLY | O_CREAT, 0644);
    int good = live(VR_BOARD_KIND_HELD) == 1;
    close(fd);
    _exit(!good || live(VR_BOARD_KIND_HELD));
  }
  CHECK(waitpid(pid, &status, 0) == pid && status == 0 && live(0) == 0);
}

static void programs(const char *static_program, const char *asan_program) {
  posix_spawn_file_actions_t actions;
  char *argv[] = {"/bin/true", NULL};
  pid_t pid;
  int status;
  free_all();
  put("p1");
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, 1, "p1", O_WRONLY | O_TRUNC, 0);
  mark();
  CHECK(posix_spawn(&pid, argv[0], &actions, NULL, argv, environ) == 0 && moved("p1"));
  CHECK(names_inode(VR_BOARD_KIND_ESCAPED, ino("p1")) && live(VR_BOARD_KIND_BLIND) == 0);
  waitpid(pid, &status, 0);
  posix_spawn_file_actions_destroy(&actions);
  free_all();
  for (int how = 0; how < 3; how++) CHECK(run("[ -n \"$VRIFT_ROOT\" ] && case $LD_PRELOAD in *vrift*) exit 3;; esac", how) == 3);
  CHECK(live(VR_BOARD_KIND_BLIND) == 0 && live(VR_BOARD_KIND_OP) == 0);
  char *some[] = {"KEEP=1", "PATH=/bin", NULL}, *bare[] = {"KEEP=1", NULL}, *off[] = {"VRIFT=0", NULL}, *preloads[] = {"LD_PRELOAD=libm.so.6", NULL};
  char *show[] = {"/bin/sh", "-c", "case \"$KEEP$LD_PRELOAD$VRIFT_ROOT$VRIFT_PROJECT_RUN\" in 1*vrift*/*/*) exit 4;; esac", NULL};
  if (!(pid = fork())) execve(show[0], show, some), _exit(9);
  CHECK(waitpid(pid, &status, 0) == pid && WEXITSTATUS(status) == 4);
  /* Without a PATH somebody emptied it: nothing of ours is to be seen, and the library is there all the same, in what is started so as well. */
  show[2] = "[ -z \"$LD_PRELOAD$VRIFT_ROOT$VRIFT_PROJECT_RUN$VRIFT_OURS\" ] && [ \"$KEEP\" = 1 ] && /bin/grep -q libvrift_shim /proc/self/maps && exit 4";
  if (!(pid = fork())) execve(show[0], show, bare), _exit(9);
  CHECK(waitpid(pid, &status, 0) == pid && WEXITSTATUS(status) == 4 && live(VR_BOARD_KIND_BLIND) == 0);
  show[2] = "case \"$LD_PRELOAD\" in libm.so.6:*vrift*) exit 4;; esac";
  if (!(pid = fork())) execle("/bin/sh", "sh", "-c", show[2], NULL, preloads), _exit(9);
  CHECK(waitpid(pid, &status, 0) == pid && WEXITSTATUS(status) == 4 && live(VR_BOARD_KIND_BLIND) == 0);
  show[2] = "[ -z \"$LD_PRELOAD$VRIFT_ROOT\" ] && exit 4";
  CHECK(posix_spawn(&pid, "/bin/sh", NULL, NULL, show, off) == 0 && waitpid(pid, &status, 0) == pid && WEXITSTATUS(status) == 4);
  CHECK(live(VR_BOARD_KIND_BLIND) == 1);
  unsigned found = 0;
  for (unsigned i = 0; i < VR_BOARD_RECORDS; i++)
    found += b.records[i].state == VR_BOARD_RECORD_LIVE && b.records[i].pid == (uint32_t)pid && b.records[i].slots[0] == 0;
  CHECK(found == 1);
  free_all();
  CHECK(execl("/no/such", "x", NULL) == -1 && errno == ENOENT && execlp("no-such-program", "x", NULL) == -1 && errno == ENOENT);
  CHECK(live(0) == 0);
  if (static_program) {
    argv[0] = (char *)static_program;
    CHECK(posix_spawn(&pid, static_program, NULL, NULL, argv, environ) == 0 && waitpid(pid, &status, 0) == pid);
    CHECK(live(VR_BOARD_KIND_BLIND) == 1);
    free_all();
    if (!(pid = fork())) execv(static_program, argv), _exit(9);
    waitpid(pid, &status, 0);
    CHECK(live(VR_BOARD_KIND_BLIND) == 1);
    free_all();
    FILE *f = fopen("script", "w");
    fprintf(f, "#! %s\n", static_program);
    fclose(f);
    chmod("script", 0755);
    CHECK(posix_spawnp(&pid, "./script", NULL, NULL, argv, environ) == 0 && waitpid(pid, &status, 0) == pid);
    CHECK(live(VR_BOARD_KIND_BLIND) == 1);
    free_all();
  }
  if (asan_program) { /* refuses to start behind a preloaded library: it runs without us, announced */
    argv[0] = (char *)asan_program;
    CHECK(posix_spawn(&pid, asan_program, NULL, NULL, argv, environ) == 0 && waitpid(pid, &status, 0) == pid && status == 0);
    CHECK(live(VR_BOARD_KIND_BLIND) == 1);
    free_all();
  }
  CHECK(system("exit 5") >> 8 == 5 && live(0) == 0);
  FILE *f = popen("echo hello", "r");
  char line[20] = "";
  CHECK(f && fgets(line, sizeof line, f) && !strcmp(line, "hello\n") && pclose(f) == 0 && live(0) == 0);
}

/* Other views of the file system, and watchers. Each in a child, whose record the check frees. */
static int in_clone(void *arg) {
  int fd = open((const char *)arg, O_WRONLY | O_CREAT | O_EXCL, 0644);
  int good = fd >= 0 && live(VR_BOARD_KIND_HELD) == 1;
  close(fd);
  return !good || live(VR_BOARD_KIND_HELD) != 0;
}
static void places(void) {
  int status;
  static char stack[65536] __attribute__((aligned(16)));
  uint32_t watchers = b.dyn->no_stage;
  free_all();
  pid_t pid = fork();
  if (!pid) {
    int bad = unshare(CLONE_NEWNS) == 0 && live(VR_BOARD_KIND_BLIND) != 1;
    int watch = inotify_init1(IN_CLOEXEC);
    inotify_add_watch(watch, "/tmp", IN_CREATE);
    bad |= b.dyn->no_stage != watchers;
    inotify_add_watch(watch, ".", IN_CREATE);
    inotify_add_watch(watch, "..", IN_CREATE);
    _exit(bad | (b.dyn->no_stage != watchers + 1) << 1);
  }
  CHECK(waitpid(pid, &status, 0) == pid && status == 0);
  free_all();
  CHECK(unshare(CLONE_NEWNS | 0x1) == -1 && live(0) == 0 && chroot("/no/such") == -1 && errno == ENOENT && live(0) == 0);
  pid = clone(in_clone, stack + sizeof stack, SIGCHLD, "in-clone");
  CHECK(waitpid(pid, &status, 0) == pid && status == 0 && live(0) == 0);
}

static void *worker(void *arg) {
  char path[40];
  for (int i = 0; i < 200; i++) {
    snprintf(path, sizeof path, "t%ld-%d", (long)arg, i % 7);
    int fd = open(path, O_WRONLY | O_CREAT | O_APPEND, 0644), copy = dup(fd);
    if (fd < 0 || copy < 0 || write(copy, "x", 1) != 1) return (void *)1;
    close(fd);
    if (i & 1) rename(path, "tshared");
    close(copy);
  }
  return NULL;
}
static void threads(void) {
  pthread_t t[8];
  void *bad;
  for (long i = 0; i < 8; i++) pthread_create(&t[i], NULL, worker, (void *)i);
  for (int i = 0; i < 8; i++) CHECK(pthread_join(t[i], &bad) == 0 && !bad);
  CHECK(live(0) == 0 && b.dyn->overflow == 0);
}

/* No free record: everything still works, G moves, and an open for writing says that answers must stop. */
static void full(void) {
  for (unsigned i = 0; i < VR_BOARD_RECORDS; i++) b.records[i].state = VR_BOARD_RECORD_LIVE, b.records[i].kind = VR_BOARD_KIND_BLIND;
  mark();
  CHECK(mkdir("full", 0755) == 0 && moved_g() && b.dyn->overflow >= 1);
  int fd = open("full/f", O_WRONLY | O_CREAT, 0644);
  CHECK(fd >= 0 && write(fd, "x", 1) == 1 && close(fd) == 0 && b.dyn->overflow >= 3);
  free_all();
}

int main(int argc, char **argv) {
  attach();
  if (!getcwd(root, sizeof root)) return 99;
  snprintf(outside, sizeof outside, "%s", getenv("WRITER_OUTSIDE"));
  held();
  names();
  real_paths();
  escapes();
  programs(argc > 1 && *argv[1] ? argv[1] : NULL, argc > 2 && *argv[2] ? argv[2] : NULL);
  places();
  threads();
  full();
  printf("writer_check: %d checks, %d failures\n", checks, failures);
  return failures > 90 ? 90 : failures;
}
