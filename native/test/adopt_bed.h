/* What adopt_test needs: daemons that are children, a tree that changes, and a client that asks memory and compares. */
#include "vr_engine.h"
#include "vr_engine_state.h"
#include "vr_fault.h"
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static int failed, passed;
static unsigned seed, seed_given;
static char dir[64], root[80], map_path[80];

#define CHECK(c, ...) \
  do { \
    if (c) passed++; \
    else { \
      failed++; \
      fprintf(stderr, "%s:%d: %s (seed %u): ", __FILE__, __LINE__, #c, seed_given); \
      fprintf(stderr, __VA_ARGS__); \
      fprintf(stderr, "\n"); \
    } \
  } while (0)

static unsigned dice(unsigned n) { return (unsigned)rand_r(&seed) % n; }
static int64_t now_ms(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}
static void pause_ms(long ms) {
  struct timespec t = {ms / 1000, ms % 1000 * 1000000};
  nanosleep(&t, NULL);
}

/* ---- the daemon: a child that does nothing but turns */

struct told { uint64_t watch_id, adopted; char reason[256]; };
static struct told told;
static pid_t daemon_pid;
static int kept = -1, channel = -1; /* the watch queue, and where a daemon tells of its own */
static uint64_t kept_id;
static volatile sig_atomic_t distrust;
static void on_usr1(int s) { (void)s, distrust = 1; }

static void send_told(int to, const struct told *t, int fd) {
  char room[CMSG_SPACE(sizeof(int))] = {0};
  struct iovec v = {(void *)(uintptr_t)t, sizeof *t};
  struct msghdr m = {.msg_iov = &v, .msg_iovlen = 1};
  if (fd >= 0) {
    m.msg_control = room, m.msg_controllen = sizeof room;
    struct cmsghdr *c = CMSG_FIRSTHDR(&m);
    c->cmsg_level = SOL_SOCKET, c->cmsg_type = SCM_RIGHTS, c->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(c), &fd, sizeof fd);
  }
  if (sendmsg(to, &m, MSG_NOSIGNAL) < 0) _exit(9);
}

static void live(int to, const char *arm) {
  struct told t = {0};
  struct vr_engine *e;
  struct vr_limits l = {.max_files = 1000000, .max_bytes = 4000000, .max_watches = 4000};
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  signal(SIGUSR1, on_usr1);
  vr_fault_arm(arm, "/dev/null");
  int r = vr_engine_open_kept(root, map_path, &l, kept, kept_id, &e, t.reason, sizeof t.reason);
  if (r < 0) fprintf(stderr, "open: %d %s\n", r, t.reason), _exit(8);
  if ((r = vr_engine_publish(e)) < 0) fprintf(stderr, "publish: %d\n", r), _exit(8);
  struct vr_report rep = {0};
  int fd = vr_engine_watch(e, &t.watch_id), first = 1;
  for (;;) {
    if (distrust) distrust = 0, vr_engine_distrust(e);
    char text[100];
    ssize_t n = recv(to, text, sizeof text - 1, MSG_DONTWAIT);
    if (n > 0) text[n] = 0, vr_fault_arm(text, "/dev/null"), send(to, "A", 1, MSG_NOSIGNAL);
    else if (n == 0) _exit(0);
    if (first) { /* before the first turn: kept from then on */
      t.adopted = kept >= 0 && t.watch_id == kept_id;
      send_told(to, &t, fd);
      first = 0;
    }
    vr_engine_turn(e, 1, 3000, &rep);
    if (!rep.complete || rep.dirty) continue;
    if (rep.drain & 1) vr_engine_hurry(e, -1, 4); /* as while clients are at work */
    else vr_engine_wait(e, -1, 1, 2);
  }
}

/* A daemon is born; after: it may be gone on with one before. Bounded: one that dies before it tells leaves told.adopted 0. */
static void begin_daemon(const char *arm, int after) {
  int pair[2];
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair)) exit(1);
  if (!after && kept >= 0) close(kept), kept = -1;
  fflush(NULL);
  daemon_pid = fork();
  if (daemon_pid == 0) {
    close(pair[0]);
    live(pair[1], arm);
  }
  close(pair[1]);
  if (channel >= 0) close(channel);
  channel = pair[0];
  memset(&told, 0, sizeof told);
  struct pollfd p = {.fd = channel, .events = POLLIN};
  if (poll(&p, 1, 30000) != 1) fprintf(stderr, "a daemon told nothing within 30 s\n"), failed++;
  char room[CMSG_SPACE(sizeof(int))];
  struct iovec v = {&told, sizeof told};
  struct msghdr m = {.msg_iov = &v, .msg_iovlen = 1, .msg_control = room, .msg_controllen = sizeof room};
  if (recvmsg(channel, &m, MSG_CMSG_CLOEXEC | MSG_DONTWAIT) != sizeof told) return;
  struct cmsghdr *c = CMSG_FIRSTHDR(&m);
  if (!c) return;
  if (kept >= 0) close(kept);
  memcpy(&kept, CMSG_DATA(c), sizeof kept);
  kept_id = told.watch_id;
}
static int daemon_lives(void) {
  if (daemon_pid > 0 && waitpid(daemon_pid, NULL, WNOHANG) == daemon_pid) daemon_pid = 0;
  return daemon_pid > 0;
}
static void kill_daemon(void) {
  if (!daemon_lives()) return;
  kill(daemon_pid, SIGKILL);
  waitpid(daemon_pid, NULL, 0);
  daemon_pid = 0;
}
static void arm_daemon(const char *text) {
  if (!daemon_lives() || send(channel, *text ? text : " ", *text ? strlen(text) : 1, MSG_NOSIGNAL) < 0) return;
  struct pollfd p = {.fd = channel, .events = POLLIN};
  char c;
  if (poll(&p, 1, 5000) == 1 && recv(channel, &c, 1, MSG_DONTWAIT) < 0) return;
}

static int engine_points(void) {
  int n = 0;
  for (int p = 0; p < VR_POINTS; p++) n += !strcmp(vr_fault_component((enum vr_fault_point)p), "engine");
  return n;
}
static const char *engine_point(int n) {
  for (int p = 0; p < VR_POINTS; p++)
    if (!strcmp(vr_fault_component((enum vr_fault_point)p), "engine") && n-- == 0) return vr_fault_name((enum vr_fault_point)p);
  return "";
}

/* ---- the client */

static struct vr_vdir vdir;
static struct vr_board board;
static uint64_t need; /* as after an edge (docs/PROTOCOL.md section 5) */
static int known, native, wrong, linked;
static long total_asked, total_known;

static uint8_t *map_file(const char *kind, uint64_t id, size_t *size, int prot) {
  char name[96];
  struct stat st;
  snprintf(name, sizeof name, "/dev/shm/vrift_%s_%016llx", kind, (unsigned long long)id);
  int fd = open(name, O_RDWR | O_CLOEXEC);
  if (fd < 0) return NULL;
  void *p = fstat(fd, &st) < 0 ? MAP_FAILED : mmap(NULL, (size_t)st.st_size, prot, MAP_SHARED, fd, 0);
  close(fd);
  *size = (size_t)st.st_size;
  return p == MAP_FAILED ? NULL : p;
}
static int ids(uint64_t *v, uint64_t *b) {
  char link[64] = {0};
  unsigned long long x, y;
  if (readlink(map_path, link, 63) < 0 || sscanf(link, "%16llx.%16llx", &x, &y) != 2) return 0;
  *v = x, *b = y;
  return 1;
}
static uint64_t vdir_id(void) {
  uint64_t v = 0, b;
  return ids(&v, &b) ? v : 0;
}
static void unmap_client(void) {
  if (vdir.base) munmap((void *)(uintptr_t)vdir.base, vdir.size);
  if (board.base) munmap((void *)(uintptr_t)board.base, VR_BOARD_SIZE);
  memset(&vdir, 0, sizeof vdir), memset(&board, 0, sizeof board);
}
/* Maps what the link names. A mapping is an edge. */
static int look(void) {
  uint64_t v, b;
  size_t size;
  if (vdir.base && !vdir.dyn->superseded) return 1;
  if (!ids(&v, &b)) return 0;
  unmap_client();
  uint8_t *p = map_file("board", b, &size, PROT_READ | PROT_WRITE);
  if (p && vr_board_attach(&board, p, size)) munmap(p, size), p = NULL;
  uint8_t *q = p ? map_file("vdir", v, &size, PROT_READ) : NULL;
  if (q && vr_vdir_attach(&vdir, q, size)) munmap(q, size), memset(&vdir, 0, sizeof vdir), q = NULL;
  if (!q) {
    unmap_client();
    return 0;
  }
  if (vr_newest_drain(&vdir) > need) need = vr_newest_drain(&vdir);
  return 1;
}
/* What was changed until now without a record must be in every answer from here on. */
static void edge(void) {
  if (look() && vr_newest_drain(&vdir) > need) need = vr_newest_drain(&vdir);
}

static void tell_history(const char *rel);
static void ask(const char *rel) {
  struct vr_entry x;
  char target[1100], path[4300];
  struct stat st;
  struct timespec t;
  uint32_t reason = 0;
  total_asked++;
  if (!look()) return;
  clock_gettime(CLOCK_MONOTONIC_COARSE, &t);
  enum vr_answer a = vr_lookup(&vdir, &board, rel, strlen(rel), (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec, need, &x, target, sizeof target, &reason);
  if (a == VR_NATIVE) {
    native++;
    return;
  }
  known++, total_known++;
  snprintf(path, sizeof path, "%s/%s", root, rel);
  int r = lstat(path, &st) < 0 ? errno : 0;
  int by_name = x.size == (uint64_t)st.st_size && x.nlink == st.st_nlink && x.mtime_ns == (uint64_t)st.st_mtim.tv_nsec && x.ctime_ns == (uint64_t)st.st_ctim.tv_nsec &&
                x.mode == st.st_mode && x.blocks == (uint64_t)st.st_blocks && x.mtime == (uint64_t)st.st_mtim.tv_sec;
  if (a == VR_FOUND ? r == 0 && x.ino == st.st_ino && (linked || by_name) : a == VR_ENOENT ? r == ENOENT : r == ENOTDIR) return;
  wrong++;
  fprintf(stderr, "wrong: %s: answer %d, kernel errno %d, ino %d size %d mode %d nlink %d ctime %d mtime %d blocks %d\n", rel, a, r, x.ino == st.st_ino, x.size == (uint64_t)st.st_size,
          x.mode == st.st_mode, x.nlink == st.st_nlink, x.ctime_ns == (uint64_t)st.st_ctim.tv_nsec,
          x.mtime_ns == (uint64_t)st.st_mtim.tv_nsec, x.blocks == (uint64_t)st.st_blocks);
  tell_history(rel);
}
static void ask_random(void) {
  char p[64];
  switch (dice(5)) {
    case 0: snprintf(p, sizeof p, "d%u/f%u", dice(6), dice(14)); break;
    case 1: snprintf(p, sizeof p, "d%u/sub/f%u", dice(6), dice(14)); break;
    case 2: snprintf(p, sizeof p, "plain%u/n%u", dice(4), dice(80)); break;
    case 3: snprintf(p, sizeof p, "d%u", dice(6)); break;
    default: snprintf(p, sizeof p, "d%u/sub", dice(6));
  }
  ask(p);
}
static int each(const char *path, const struct stat *st, int flag, struct FTW *f) {
  (void)st, (void)flag, (void)f;
  ask(strlen(path) > strlen(root) ? path + strlen(root) + 1 : "");
  return 0;
}
static void ask_all(void) {
  known = native = 0;
  nftw(root, each, 20, FTW_PHYS);
  for (int k = 0; k < 6 * 14 * 2; k++) {
    char p[64];
    snprintf(p, sizeof p, k % 2 ? "d%d/f%d" : "d%d/sub/f%d", k / 2 / 14, k / 2 % 14), ask(p);
  }
}
static void ask_some(void) {
  for (int k = 0; k < 100; k++) ask_random();
}
/* Until memory answers for what stands still, or 10 s; then everything may be asked. */
static void settle(void) {
  edge();
  for (int64_t until = now_ms() + 10000; now_ms() < until && daemon_lives(); pause_ms(20)) {
    int before = wrong;
    known = native = 0;
    ask("plain0/n1"), ask("plain1"), ask("plain1/absent"), ask("d0"), ask(""), ask("d5");
    if (known >= 5 || wrong > before) break;
  }
  pause_ms(60);
}

/* ---- the tree */

static char *at(const char *rel) {
  static char path[4][4300];
  static int k;
  k = (k + 1) & 3;
  snprintf(path[k], sizeof path[k], "%s/%s", root, rel);
  return path[k];
}
static void put(const char *rel, const char *text) {
  int fd = open(at(rel), O_WRONLY | O_CREAT | O_TRUNC, 0644);
  if (fd < 0) return;
  ssize_t n = write(fd, text, strlen(text));
  (void)n;
  close(fd);
}
/* Files that stand still, four directories of them, and those that change. */
static void plant(int files) {
  char p[64];
  mkdir(root, 0755);
  for (int i = 0; i < 4; i++) snprintf(p, sizeof p, "plain%d", i), mkdir(at(p), 0755);
  for (int i = 0; i < files; i++) snprintf(p, sizeof p, "plain%d/n%d", i % 4, i), put(p, "x");
  for (int d = 0; d < 6; d++) {
    snprintf(p, sizeof p, "d%d", d), mkdir(at(p), 0755);
    for (int f = 0; f < 6; f++) snprintf(p, sizeof p, "d%d/f%d", d, f), put(p, "first");
  }
  edge();
}
/* What was done to the tree, the newest last: a wrong answer tells the history of its name. */
#define HISTORY 65536
static struct done {
  int64_t ms;
  int what, worked;
  char a[24], b[24];
} history[HISTORY];
static unsigned long changes;
static void note(int what, int worked, const char *a, const char *b) {
  struct done *h = &history[changes++ % HISTORY];
  h->ms = now_ms(), h->what = what, h->worked = worked;
  snprintf(h->a, sizeof h->a, "%.23s", a), snprintf(h->b, sizeof h->b, "%.23s", b);
}
static int concerns(const struct done *h, const char *rel) {
  if (!strcmp(h->a, rel) || !strcmp(h->b, rel)) return 1;
  return (h->what == 6 || h->what == 11) && h->worked;
}
static void tell_history(const char *rel) {
  unsigned long from = changes > HISTORY ? changes - HISTORY : 0, told_of = 0;
  for (unsigned long i = changes; i-- > from && told_of < 12;) {
    const struct done *h = &history[i % HISTORY];
    if (!concerns(h, rel)) continue;
    fprintf(stderr, "  %lld ms ago: %d (%s) %s %s\n", (long long)(now_ms() - h->ms), h->what, h->worked ? "done" : "failed", h->a, h->b);
    told_of++;
  }
}

static void change(void) {
  char a[64], b[96], d1[64], d2[64];
  int what = (int)dice(14), worked = 0;
  snprintf(a, sizeof a, "d%u/f%u", dice(6), dice(14)), snprintf(b, sizeof b, "d%u/f%u", dice(6), dice(14));
  snprintf(d1, sizeof d1, "d%u", dice(6)), snprintf(d2, sizeof d2, "d%u/sub", dice(6));
  switch (what) {
    case 0: case 1: case 2: put(a, "some text"), worked = 1; break;
    case 3: worked = unlink(at(a)) == 0; break;
    case 4: worked = rename(at(a), at(b)) == 0; break;
    case 5: worked = mkdir(at(d1), 0755) == 0; break;
    case 6: worked = rename(at(d1), at(d2)) == 0; break;
    case 7: worked = chmod(at(d1), dice(2) ? 0755 : 0711) == 0; break;
    case 8: worked = symlink(b, at(a)) == 0; break;
    case 9: worked = linked && link(at(a), at(b)) == 0; break;
    case 10: worked = chmod(at(a), 0600 + dice(64)) == 0; break;
    case 11: worked = rename(at(d2), at(d1)) == 0; break;
    case 12: worked = truncate(at(a), dice(9000)) == 0; break;
    case 13: snprintf(b, sizeof b, "%s/f%u", d2, dice(14)), put(b, "below"), worked = 1; break;
  }
  note(what, worked, what >= 5 && what <= 7 ? d1 : what == 11 ? d2 : a, what == 6 ? d2 : what == 11 ? d1 : b);
}
/* Half of them with a record, as by a client that names the whole project; nobody has to wait for a drain then. */
static void random_change(void) {
  if (dice(2) || !look()) {
    change();
    return;
  }
  struct vr_intent in;
  vr_intent_init(&in);
  vr_intent_slot(&in, 0);
  int r = vr_mutation_begin(&board, &in, VR_BOARD_KIND_OP, (uint32_t)getpid(), (uint32_t)getpid());
  change();
  vr_mutation_end(&board, r);
}
/* More events than the queue takes. */
static void flood(void) {
  for (int i = 0; i < 9000; i++) {
    chmod(at("plain0/n0"), 0644), chmod(at("plain1/n1"), 0600);
  }
  edge();
}

/* ---- damage */

static void change_at(const char *kind, uint64_t id, uint64_t off, uint32_t bits) {
  size_t size;
  uint8_t *p = map_file(kind, id, &size, PROT_READ | PROT_WRITE);
  if (!p) return;
  *(uint32_t *)(void *)(p + off) ^= bits;
  munmap(p, size);
}
static void change_state(uint64_t off, uint32_t bits) {
  char name[128], text[20] = {0};
  snprintf(name, sizeof name, "%s/state.%016llx", dir, (unsigned long long)vdir_id());
  if (readlink(name, text, 16) == 16) change_at("state", strtoull(text, NULL, 16), off, bits);
  else CHECK(0, "no state link");
}
static void change_vdir(uint64_t off, uint32_t bits) { change_at("vdir", vdir_id(), off, bits); }
static void flip_entry(void) {
  if (!look()) return;
  const struct vr_bucket *b = (const struct vr_bucket *)(const void *)vdir.index;
  while (!b->off[0]) b++;
  change_vdir(vdir.header->entries_off + (uint64_t)(b->off[0] - 1) * 16 + 48, 4);
}
static void damage_entry(void) {
  flip_entry();
  if (look()) __atomic_fetch_add(&board.dyn->corrupt, 1, __ATOMIC_SEQ_CST);
}
static void name_writer(pid_t pid) {
  size_t size;
  uint8_t *p = map_file("vdir", vdir_id(), &size, PROT_READ | PROT_WRITE);
  char buf[1024] = {0};
  int fd = open("/proc/self/stat", O_RDONLY);
  if (!p || read(fd, buf, sizeof buf - 1) <= 0) exit(1);
  close(fd);
  char *c = strrchr(buf, ')');
  for (int i = 2; c && i < 22; i++) c = strchr(c + 1, ' ');
  struct vr_dyn *d = (struct vr_dyn *)(void *)(p + VR_DYN_OFFSET);
  d->daemon_pid = (uint64_t)pid, d->daemon_start = strtoull(c, NULL, 10);
  munmap(p, size);
}

/* ---- beginning and end */

static int remove_one(const char *path, const struct stat *st, int flag, struct FTW *f) {
  (void)st, (void)f;
  chmod(path, 0700);
  return flag == FTW_DP ? rmdir(path) : unlink(path), 0;
}
/* The last daemon is killed, and whatever the markers name is removed. */
static void end_project(void) {
  kill_daemon();
  unmap_client();
  if (kept >= 0) close(kept), kept = -1;
  char command[400];
  snprintf(command, sizeof command, "cd %s && for f in shm.*; do k=${f#shm.}; rm -f /dev/shm/vrift_${k%%.*}_${k#*.} $f; done; rm -f map state.*", dir);
  if (system(command)) failed++;
  nftw(root, remove_one, 20, FTW_PHYS | FTW_DEPTH);
  need = 0, wrong = 0, linked = 0;
}
static void begin_bed(void) {
  strcpy(dir, "/tmp/vrift-adopt-XXXXXX");
  if (!mkdtemp(dir)) exit(1);
  snprintf(root, sizeof root, "%s/root", dir);
  snprintf(map_path, sizeof map_path, "%s/map", dir);
  seed_given = seed = getenv("SEED") ? (unsigned)strtoul(getenv("SEED"), NULL, 10) : (unsigned)time(NULL);
  printf("seed %u\n", seed_given);
  fflush(stdout);
  setvbuf(stdout, NULL, _IOLBF, 0);
}
static void end_bed(void) { nftw(dir, remove_one, 20, FTW_PHYS | FTW_DEPTH); }
