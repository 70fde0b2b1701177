/* The coordinator, seen by those who need one: is there one, does it answer, is it of this version; and starting it. By any number of
 * starters at once, exactly one does it: connect; else take the start lock; look again; start; wait for its ready byte; let go. vriftd
 * itself holds another lock for its life. docs/SUPERVISION.md section 3. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "launcher.h"
#include "vr_fault.h"

#define STEP_MS 10
#define STOPPED_MS 100       /* a coordinator that is stopped for this long is replaced */
#define SILENT_MS 2000       /* one that neither answers nor uses the processor, too */
#define KILL_MS 1000
#define TERM_MS 3000         /* to end by itself at an upgrade */
#define BACK_OFF_MS 100      /* doubling … */
#define BACK_OFF_MOST 30000  /* … to this */
#define FORGET_MS 60000      /* a life this long forgets those before */
#define REQUEST_PING 1
#define REQUEST_OPEN 2

enum verdict { ABSENT, GOOD, SLOW, HUNG, OUTDATED };

static int read_text(const char *name, char *out, size_t size) {
  int fd = open(name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
  if (fd < 0) return -1;
  ssize_t n = read(fd, out, size - 1);
  close(fd);
  if (n < 0) return -1;
  out[n] = 0;
  return (int)n;
}

/* State letter and CPU time in ticks of a process. 0: no such process. */
static char process_state(pid_t pid, long long *cpu) {
  char name[64], text[1024];
  *cpu = 0;
  snprintf(name, sizeof name, "/proc/%d/stat", (int)pid);
  if (pid <= 0 || read_text(name, text, sizeof text) <= 0) return 0;
  char *p = strrchr(text, ')');
  if (!p || p[1] != ' ') return 0;
  char state = p[2];
  unsigned long long user, system;
  if (sscanf(p + 2, "%*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %llu %llu", &user, &system) == 2) *cpu = (long long)(user + system);
  return state;
}

int is_stopped(pid_t pid) {
  long long cpu;
  char state = process_state(pid, &cpu);
  return state == 'T' || state == 't';
}

static int stays_stopped(pid_t pid) {
  if (!is_stopped(pid)) return 0;
  poll(NULL, 0, STOPPED_MS);
  return is_stopped(pid);
}

static pid_t pid_of_file(const struct places *p) {
  char name[TEXT_MAX + 32], text[32];
  snprintf(name, sizeof name, "%s/vriftd.pid", p->run);
  return read_text(name, text, sizeof text) > 0 ? (pid_t)atoi(text) : 0;
}

/* 1: the command line is that of a vriftd for this runtime directory. */
static int is_coordinator(pid_t pid, const struct places *p) {
  char name[64], text[3 * TEXT_MAX], want[TEXT_MAX + 64];
  snprintf(name, sizeof name, "/proc/%d/cmdline", (int)pid);
  int n = read_text(name, text, sizeof text);
  int w = snprintf(want, sizeof want, "vriftd%c--run-dir%c%s", 0, 0, p->run) + 1; /* with its end */
  for (int i = 1; n > 0 && i + w <= n; i++)
    if (!text[i - 1] && !memcmp(text + i, want, (size_t)w)) return 1;
  return 0;
}

/* The directory above <name>/lib/vrift: that of all versions of one installation. 0, or -1: this is not an installed version. */
static int versions_of(const char *home, char *out) {
  snprintf(out, TEXT_MAX, "%s", home);
  for (int i = 0; i < 3; i++) {
    char *slash = strrchr(out, '/');
    if (!slash || slash == out) return -1;
    *slash = 0;
  }
  return 0;
}

/* 1: home is another version of our installation, and ours is the one that is installed now. Whoever is not that leaves others alone. */
static int is_outdated(const struct places *p, const char *home) {
  char mine[TEXT_MAX], other[TEXT_MAX], link[TEXT_MAX + 32], self[TEXT_MAX + 32];
  struct stat a, b;
  if (!home[0] || !strcmp(home, p->dist) || versions_of(p->dist, mine) || versions_of(home, other) || strcmp(mine, other)) return 0;
  snprintf(link, sizeof link, "%s/../../bin/vrift", mine);
  snprintf(self, sizeof self, "%s/../../bin/vrift", p->dist);
  return stat(link, &a) == 0 && stat(self, &b) == 0 && a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

int coordinator_needs_care(const struct places *p, int *stopped) {
  char name[TEXT_MAX + 32], home[TEXT_MAX];
  long long cpu;
  char state = process_state(pid_of_file(p), &cpu);
  *stopped = state == 'T' || state == 't';
  if (!state || state == 'Z' || *stopped) return 1;
  snprintf(name, sizeof name, "%s/home", p->run);
  return read_text(name, home, sizeof home) > 0 && is_outdated(p, home);
}

static enum verdict judge(const struct places *p, int fd, pid_t peer) {
  static struct inbox in;
  struct frame f;
  char home[TEXT_MAX] = "";
  long long before, after;
  in.have = in.skip = 0;
  process_state(peer, &before);
  if (stays_stopped(peer)) return HUNG;
  if (wire_send(fd, VR_OP_PING, REQUEST_PING, "")) return ABSENT;
  int64_t start = now_ms();
  for (;;) {
    int r = wire_wait(fd, &in, &f, now_ms() + STOPPED_MS);
    if (r < 0) return ABSENT;
    if (r == 1) break;
    if (stays_stopped(peer)) return HUNG;
    if (now_ms() - start < SILENT_MS) continue;
    return process_state(peer, &after) && after > before + 1 ? SLOW : HUNG;
  }
  if (f.opcode == VR_OP_OK) wire_field(&f, "home", home, sizeof home);
  return is_outdated(p, home) ? OUTDATED : GOOD;
}

/* Connects and judges. *fd is to be closed by the caller if it is not negative. */
static enum verdict look(const struct places *p, int *fd, pid_t *peer) {
  *peer = 0;
  *fd = wire_connect(p->run, "vriftd.sock", peer);
  if (*fd >= 0) return judge(p, *fd, *peer);
  if (*fd != -EAGAIN) return ABSENT;
  *peer = pid_of_file(p); /* it accepts nobody */
  return stays_stopped(*peer) && is_coordinator(*peer, p) ? HUNG : SLOW;
}

/* Ends a coordinator by a signal; by SIGKILL if that was not enough. 1: it is dead. */
static int end_coordinator(const struct places *p, pid_t pid, int sig) {
  int fd = pid > 0 ? (int)syscall(SYS_pidfd_open, pid, 0) : -1, dead = 0;
  if (fd < 0) return pid > 0 && errno == ESRCH;
  if (is_coordinator(pid, p)) {
    struct pollfd pfd = {.fd = fd, .events = POLLIN};
    syscall(SYS_pidfd_send_signal, fd, sig, NULL, 0);
    dead = poll(&pfd, 1, sig == SIGKILL ? KILL_MS : TERM_MS) == 1;
    if (!dead && sig != SIGKILL) {
      syscall(SYS_pidfd_send_signal, fd, SIGKILL, NULL, 0);
      dead = poll(&pfd, 1, KILL_MS) == 1;
    }
  }
  close(fd);
  return dead;
}

/* 1: the daemon wrote its ready byte before the deadline. */
static int wait_ready(int fd, int64_t deadline) {
  char c = 0;
  for (;;) {
    int64_t left = deadline - now_ms();
    if (left <= 0) return 0;
    struct pollfd p = {.fd = fd, .events = POLLIN};
    if (poll(&p, 1, (int)left) > 0) return read(fd, &c, 1) == 1 && c == 'R';
  }
}

/* Descriptor of the locked file, or -1: another holds it, or it was removed by its holder meanwhile. */
static int take_lock(const char *path) {
  struct stat st, named;
  int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (fd < 0) return -1;
  if (flock(fd, LOCK_EX | LOCK_NB) == 0 && fstat(fd, &st) == 0 && lstat(path, &named) == 0 && st.st_ino == named.st_ino &&
      st.st_dev == named.st_dev)
    return fd;
  close(fd);
  return -1;
}

/* What the start lock's file tells about the starts of the last minute. */
struct history {
  unsigned starts, failed;
  long long last; /* CLOCK_BOOTTIME, ms */
};

static long long boot_ms(void) {
  struct timespec t;
  clock_gettime(CLOCK_BOOTTIME, &t);
  return (long long)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static struct history read_history(const char *lock) {
  struct history h = {0};
  char text[96];
  if (read_text(lock, text, sizeof text) <= 0 || sscanf(text, "%u %u %lld", &h.starts, &h.failed, &h.last) != 3 || h.last > boot_ms() ||
      boot_ms() - h.last > FORGET_MS)
    h = (struct history){0};
  return h;
}

static void write_history(int lock, struct history h, int ready) {
  char text[96];
  int n = snprintf(text, sizeof text, "%u %u %lld\n", h.starts + 1, ready ? 0 : h.failed + 1, boot_ms());
  if (ftruncate(lock, 0) == 0 && pwrite(lock, text, (size_t)n, 0) < 0) return; /* then nobody waits */
}

/* ms until this kind of starter may start. Whoever typed a command is not held up by starts that went well. */
static long long must_wait(struct history h, enum starter who) {
  unsigned n = who == STARTER_DAEMON ? h.starts : who == STARTER_COMMAND ? h.failed : 0;
  if (!n) return 0;
  long long delay = n > 9 ? BACK_OFF_MOST : (long long)BACK_OFF_MS << (n - 1);
  if (delay > BACK_OFF_MOST) delay = BACK_OFF_MOST;
  long long left = h.last + delay - boot_ms();
  return left > 0 ? left : 0;
}

static int is_stopped_for_all(const struct places *p) {
  char name[TEXT_MAX + 32];
  struct stat st;
  snprintf(name, sizeof name, "%s/stopped", p->run);
  return lstat(name, &st) == 0;
}

/* 0: a daemon that this process starts would have its limits, for all projects. Says so, once. */
static int limits_allow(void) {
  static int said;
  const char *low = limit_too_low(LIMITED_DAEMON);
  if (low && !said++) say("%s: none is started, running natively. Raise the limit, or type `vrift run true` where there is none", low);
  return !low;
}

/* Under the start lock: what is there is ended if it must be, and a new one started. 0: it is ready. */
static int replace(const struct places *p, int lock, struct history h, enum verdict v, pid_t peer, int64_t deadline) {
  if (v == HUNG && !end_coordinator(p, peer, SIGKILL)) return -1;
  if (v == OUTDATED && !end_coordinator(p, peer, SIGTERM)) return -1;
  VR_FAULT(start_locked);
  int ready = spawn_vriftd(p), ok = ready >= 0 && wait_ready(ready, deadline);
  if (ready >= 0) close(ready);
  write_history(lock, h, ok);
  return ok ? 0 : -1;
}

/* Connects to a vriftd that answers, starting or replacing it if need be. Descriptor or -1. */
static int reach_vriftd(const struct places *p, int64_t deadline, enum starter who) {
  char lock[TEXT_MAX + 32];
  snprintf(lock, sizeof lock, "%s/vriftd.start", p->run);
  for (int failures = 0; now_ms() < deadline && failures < 3;) {
    int fd;
    pid_t peer;
    enum verdict v = look(p, &fd, &peer);
    if (v == GOOD || (v == SLOW && fd >= 0)) return fd;
    if (fd >= 0) close(fd);
    else if (fd != -ENOENT && fd != -ECONNREFUSED && fd != -EAGAIN) return -1;
    struct history h = read_history(lock);
    int l = v == SLOW || must_wait(h, who) ? -1 : take_lock(lock);
    if (l < 0) {
      poll(NULL, 0, STEP_MS);
      continue;
    }
    v = look(p, &fd, &peer); /* somebody may have been quicker */
    int good = v == GOOD || v == SLOW;
    if (!good && fd >= 0) close(fd);
    if (!good && who != STARTER_FOREGROUND && is_stopped_for_all(p)) failures = 3;
    else if (!good && replace(p, l, h, v, peer, deadline)) failures++;
    close(l);
    if (good && fd >= 0) return fd;
  }
  return -1;
}

int is_stop_in_force(const struct places *p) {
  char name[TEXT_MAX + 32];
  struct stat st;
  snprintf(name, sizeof name, "%s/stopped", p->project_run);
  return is_stopped_for_all(p) || lstat(name, &st) == 0;
}

int ensure_vriftd(const struct places *p, int64_t deadline, enum starter who) {
  int fd = limits_allow() ? reach_vriftd(p, deadline, who) : -1;
  if (fd < 0) return -1;
  close(fd);
  return 0;
}

/* Leaves the cgroup of the project whose daemon started us: what we start belongs to none. */
static void join_base(const struct places *p) {
  char name[TEXT_MAX + 32], text[4 * TEXT_MAX], *rest = text;
  snprintf(name, sizeof name, "%s/cgroups", p->run);
  if (read_text(name, text, sizeof text) <= 0) return;
  for (char *dir; (dir = strsep(&rest, "\n"));) {
    if (dir[0] != '/' || snprintf(name, sizeof name, "%s/cgroup.procs", dir) >= (int)sizeof name) continue;
    int fd = open(name, O_WRONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0) continue;
    if (write(fd, "0", 1) < 0) say("%s: %s", name, strerror(errno));
    close(fd);
  }
}

int ensure_for_daemon(struct places *p) {
  find_run(p, 0);
  find_log_dir(p);
  if (p->run_problem[0]) return 1;
  join_base(p);
  setsid();
  return is_stopped_for_all(p) || ensure_vriftd(p, now_ms() + BACK_OFF_MOST + START_MS, STARTER_DAEMON) ? 1 : 0;
}

static void ask_open(const struct places *p, pid_t silent) {
  static struct inbox in;
  static char payload[3 * TEXT_MAX + 64]; /* stacks may be small (`ulimit -s`) */
  char number[32];
  int64_t deadline = now_ms() + START_MS;
  snprintf(number, sizeof number, "%d", (int)silent);
  if (wire_put(payload, sizeof payload, "root", p->root) || wire_put(payload, sizeof payload, "silent", number)) return;
  for (;;) {
    struct frame f;
    if (is_stop_in_force(p)) return;
    int fd = reach_vriftd(p, deadline, STARTER_COMMAND);
    if (fd < 0) return;
    in.have = in.skip = 0;
    int r = wire_send(fd, VR_OP_OPEN, REQUEST_OPEN, payload) == 0 ? 1 : -1;
    while (r == 1 && (r = wire_wait(fd, &in, &f, deadline)) == 1 && f.request != REQUEST_OPEN) {
    }
    close(fd);
    VR_FAULT(open_asked);
    if (r >= 0 || now_ms() >= deadline) return;
    poll(NULL, 0, STEP_MS); /* it died while we asked: its successor is asked, which we start if need be */
  }
}

void open_in_background(const struct places *p, pid_t silent) {
  if (!limits_allow() || asking_already(p)) return;
  pid_t pid = fork();
  if (pid < 0) return;
  if (pid == 0) {
    if (fork() != 0) _exit(0); /* the grandchild belongs to init: nobody's wait() sees it */
    setsid();
    become_plain(-1, -1);
    if (ask_alone(p)) ask_open(p, silent);
    _exit(0);
  }
  while (waitpid(pid, NULL, 0) < 0 && errno == EINTR) {
  }
}
