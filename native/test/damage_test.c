/* Bits flipped in a VDir and its board while a real engine serves real clients: 0 wrong answers, 0 crashes, no hang, and answers again.
 *   damage_test              a seeded slice of everything, in seconds (SEED repeats it)
 *   damage_test all [K N]    every bit of what is in use of a small VDir and its board, and a sample of the rest (minutes); the Kth of N parts
 *   damage_test random N F   N random flips anywhere while F files are served
 *   damage_test cut N        N times the VDir or the board is cut off somewhere, or unlinked
 * Processes: this one flips; one is the daemon's apply thread; two are clients. Client 0 compares every answer with what the tree is known to
 * be. Client 1 changes a file, recorded, and asks at once; or has it changed by a process without records and asks across the edge. */
#include "vr_bus.h"
#include "vr_engine.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define SMALL 24
static char dir[64], root[80], map_path[80];
static unsigned files = SMALL;
static struct shared {
  uint64_t turns, asked[2], known[2], wrong[2], remaps[2], rebuilds, repaired, rebuild_us, forgotten, max_rebuild_us, bad_records, corrupt;
  uint32_t stop;
} *sh;
static pid_t children[4];
static struct vr_vdir v;
static struct vr_board b;
static int writable;

static volatile sig_atomic_t told_to_stop;
static void on_term(int sig) { told_to_stop = sig; }
/* Leaves nothing behind, whatever happened. */
static void clean_up(void) {
  char link[64] = "", name[96], command[128];
  for (int i = 0; i < 4; i++)
    if (children[i] > 0) kill(children[i], SIGKILL), waitpid(children[i], NULL, 0);
  if (readlink(map_path, link, sizeof link - 1) == 33) {
    snprintf(name, sizeof name, "/dev/shm/vrift_vdir_%.16s", link), unlink(name);
    snprintf(name, sizeof name, "/dev/shm/vrift_board_%.16s", link + 17), unlink(name);
  }
  snprintf(command, sizeof command, "rm -rf %s", dir);
  if (system(command)) perror(command);
}
static void die(const char *what) {
  perror(what);
  clean_up();
  exit(2);
}
static uint64_t now_of(int id) {
  struct timespec t;
  clock_gettime(id, &t);
  return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}
static void nap_us(long us) {
  struct timespec t = {us / 1000000, us % 1000000 * 1000};
  nanosleep(&t, NULL);
}
static void name_of(unsigned i, char out[64]) { snprintf(out, 64, "d%u/file-%u.c", i % 7, i); }
static void path_of(const char *rel, char out[256]) { snprintf(out, 256, "%s/%s", root, rel); }

static void *map_one(const char *kind, const char *hex, int prot, size_t *size) {
  char name[96];
  struct stat st;
  snprintf(name, sizeof name, "/dev/shm/vrift_%s_%.16s", kind, hex);
  int fd = open(name, prot & PROT_WRITE ? O_RDWR : O_RDONLY);
  if (fd < 0) return NULL;
  void *p = fstat(fd, &st) ? MAP_FAILED : mmap(NULL, (size_t)st.st_size, prot, MAP_SHARED, fd, 0);
  close(fd);
  *size = (size_t)st.st_size;
  if (p == MAP_FAILED || *size < VR_INDEX_OFFSET) return NULL;
  vr_bus_add(p, *size, strcmp(kind, "board") ? VR_BUS_VDIR : VR_BUS_BOARD);
  return p;
}
/* As the shim: what fails a check is not used. 1: mapped. */
static int map_all(void) {
  char link[64] = "";
  size_t size;
  if (readlink(map_path, link, sizeof link - 1) != 33) return 0;
  struct vr_vdir fresh = {0};
  void *p = map_one("vdir", link, writable ? PROT_READ | PROT_WRITE : PROT_READ, &size);
  if (!p) return 0;
  if (vr_vdir_attach(&fresh, p, size)) {
    if (b.base) __atomic_fetch_add(&b.dyn->corrupt, 1, __ATOMIC_SEQ_CST);
    munmap(p, size), vr_bus_remove(p);
    return 0;
  }
  if (!b.base || vr_gone(&b.dyn->superseded)) {
    struct vr_board other = {0};
    void *q = map_one("board", link + 17, PROT_READ | PROT_WRITE, &size);
    if (!q || vr_board_attach(&other, q, size) || other.header->board_id != fresh.header->board_id || vr_gone(&other.dyn->superseded)) {
      if (q) munmap(q, size), vr_bus_remove(q);
      return munmap(p, fresh.size), vr_bus_remove(p), 0;
    }
    if (b.base) munmap(b.base, VR_BOARD_SIZE), vr_bus_remove(b.base);
    b = other;
  }
  if (fresh.header->board_id != b.header->board_id) return munmap(p, fresh.size), vr_bus_remove(p), 0;
  if (v.base) munmap((void *)(uintptr_t)v.base, v.size), vr_bus_remove(v.base);
  v = fresh;
  return 1;
}

/* ---- the daemon ---- */
static void daemon_main(void) {
  struct vr_limits l = {.max_files = 1000000, .max_bytes = 1 << 28, .max_watches = 4000};
  struct vr_report r;
  struct vr_engine *e;
  char reason[256];
  memset(&r, 0, sizeof r);
  if (vr_engine_open(root, map_path, &l, &e, reason, sizeof reason)) _exit(3);
  if (vr_engine_rebuild(e)) _exit(3); /* as small as its contents */
  while (!__atomic_load_n(&sh->stop, __ATOMIC_SEQ_CST)) {
    vr_engine_turn(e, 1, 20000, &r);
    sh->rebuilds = r.rebuilds, sh->repaired = r.repaired, sh->rebuild_us = r.rebuild_us, sh->forgotten = r.forgotten;
    sh->bad_records = r.bad_records, sh->corrupt = r.corrupt;
    if (r.rebuild_us > sh->max_rebuild_us) sh->max_rebuild_us = r.rebuild_us;
    __atomic_fetch_add(&sh->turns, 1, __ATOMIC_SEQ_CST);
    if (r.complete) vr_engine_wait(e, -1, 1, 1);
  }
  vr_engine_close(e, 1);
  _exit(0);
}

/* ---- clients ---- */
static uint64_t need;
static void edge(void) {
  uint64_t n = vr_newest_drain(&v);
  if (n > need) need = n;
}
/* The answer of memory: errno, 0 found, -1 native. */
static int ask(int who, const char *rel, struct vr_entry *x) {
  uint32_t reason = 0;
  if (vr_gone(&b.dyn->superseded)) {
    if (map_all()) sh->remaps[who]++, need = vr_newest_drain(&v);
    else nap_us(200);
    if (vr_gone(&b.dyn->superseded)) return -1;
  }
  enum vr_answer a = vr_lookup(&v, &b, rel, strlen(rel), now_of(CLOCK_MONOTONIC_COARSE), need, x, NULL, 0, &reason);
  sh->asked[who]++;
  if (a == VR_NATIVE) {
    if (reason == VR_STAT_NATIVE_CORRUPT) __atomic_fetch_add(&b.dyn->corrupt, 1, __ATOMIC_SEQ_CST);
    if (reason == VR_STAT_NATIVE_NO_VDIR && vr_gone(&v.dyn->superseded)) {
      if (map_all()) sh->remaps[who]++, need = vr_newest_drain(&v);
      else nap_us(200);
    }
    return -1;
  }
  sh->known[who]++;
  return a == VR_FOUND ? 0 : a == VR_ENOENT ? ENOENT : ENOTDIR;
}
static void wrong(int who, const char *what, const char *rel, long got, long want) {
  if (sh->wrong[who]++ < 10) fprintf(stderr, "wrong answer (%s) for %s: %ld, not %ld\n", what, rel, got, want);
}

static void still_client(void) {
  struct stat *st = calloc(files, sizeof *st);
  char rel[64], path[256];
  for (unsigned i = 0; i < files; i++) {
    name_of(i, rel), path_of(rel, path);
    if (!st || lstat(path, &st[i])) _exit(4);
  }
  while (!__atomic_load_n(&sh->stop, __ATOMIC_SEQ_CST)) {
    struct vr_entry x;
    for (unsigned k = 0; k < SMALL; k++) {
      unsigned i = files > SMALL ? (unsigned)rand() % files : k;
      name_of(i, rel);
      int a = ask(0, rel, &x);
      if (a > 0) wrong(0, "errno", rel, a, 0);
      if (a == 0 && (x.ino != st[i].st_ino || x.size != (uint64_t)st[i].st_size || x.mode != st[i].st_mode || x.nlink != 1 || x.uid != st[i].st_uid ||
                     x.mtime_ns != (uint64_t)st[i].st_mtim.tv_nsec || x.ctime_ns != (uint64_t)st[i].st_ctim.tv_nsec || x.blocks != (uint64_t)st[i].st_blocks))
        wrong(0, "fields", rel, (long)x.size, (long)st[i].st_size);
    }
    snprintf(rel, sizeof rel, "d%d/none", rand() % 7);
    int a = ask(0, rel, &x);
    if (a >= 0 && a != ENOENT) wrong(0, "errno", rel, a, ENOENT);
    name_of((unsigned)rand() % SMALL, rel);
    strcat(rel, "/x");
    a = ask(0, rel, &x);
    if (a >= 0 && a != ENOTDIR) wrong(0, "errno", rel, a, ENOTDIR);
  }
  _exit(0);
}

static void changing_client(int to, int from) {
  char path[256], other[256], c = 0;
  path_of("moving", path), path_of("moved", other);
  for (unsigned long i = 1; !__atomic_load_n(&sh->stop, __ATOMIC_SEQ_CST); i++) {
    struct vr_entry x;
    long size = (long)(i % 4093) + 1;
    if (i % 8) { /* by ourselves, recorded */
      struct vr_intent in;
      vr_intent_init(&in);
      vr_intent_slot(&in, vr_slot(vr_hash64("moving", 6, b.header->hash_seed)));
      vr_intent_slot(&in, vr_slot(vr_hash64("", 0, b.header->hash_seed)));
      int r = vr_mutation_begin(&b, &in, VR_BOARD_KIND_OP, (uint32_t)getpid(), (uint32_t)getpid());
      if (i % 64 == 1) nap_us(3000); /* so that turns fall into it */
      if (truncate(path, size)) _exit(4);
      vr_mutation_end(&b, r);
    } else { /* by a process without records; its answer is the edge */
      if (write(to, &size, sizeof size) != sizeof size || read(from, &c, 1) != 1) _exit(4);
      edge();
    }
    uint64_t end = now_of(CLOCK_MONOTONIC) + (i % 16 ? 300000u : 60000000u); /* now and then until it is known again */
    int a;
    do {
      a = ask(1, "moving", &x);
      if (a > 0) wrong(1, "errno", "moving", a, 0);
      if (a == 0 && x.size != (uint64_t)size) wrong(1, i % 8 ? "stale, own change" : "stale across an edge", "moving", (long)x.size, size);
      if (i % 16 == 0) nap_us(100);
    } while (a < 0 && now_of(CLOCK_MONOTONIC) < end);
  }
  _exit(0);
}
static void unseen_main(int from, int to) {
  char path[256];
  long size;
  path_of("moving", path);
  while (read(from, &size, sizeof size) == sizeof size)
    if (truncate(path, size) || write(to, "", 1) != 1) _exit(4);
  _exit(0);
}

/* ---- the flipping ---- */
static unsigned long flips, undone;
static unsigned part, parts = 1;
static uint64_t deadline;
static void wait_turns(unsigned n) {
  uint64_t until = sh->turns + n, end = now_of(CLOCK_MONOTONIC) + 20000000000ull;
  if (told_to_stop) die("told to stop");
  while (__atomic_load_n(&sh->turns, __ATOMIC_SEQ_CST) < until) {
    nap_us(50);
    for (int i = 0; i < 4; i++) {
      int status;
      if (waitpid(children[i], &status, WNOHANG) == children[i]) {
        fprintf(stderr, "process %d ended: status 0x%x after %lu flips\n", i, status, flips);
        children[i] = -1;
        die("a process ended");
      }
    }
    if (now_of(CLOCK_MONOTONIC) > end) die("the daemon's turns stand still");
  }
}
static void flip(uint8_t *base, uint64_t at, int bit, unsigned turns) {
  uint8_t mask = (uint8_t)(1 << bit), is = (uint8_t)(__atomic_fetch_xor(base + at, mask, __ATOMIC_SEQ_CST) ^ mask);
  flips++;
  wait_turns(turns);
  if (vr_gone(&v.dyn->superseded) && base == v.base) {
    for (int i = 0; !map_all(); i++) {
      if (i > 20000) die("no successor");
      nap_us(100);
    }
    return;
  }
  if (__atomic_load_n(base + at, __ATOMIC_SEQ_CST) != is) return;
  undone++; /* nobody needs it, or the owner of a record will see to it: back, so that the next flip is again one bit away */
  __atomic_fetch_xor(base + at, mask, __ATOMIC_SEQ_CST);
}
static uint8_t *vd(void) { return (uint8_t *)(uintptr_t)v.base; }

static void area(int vdir, uint64_t from, uint64_t to, unsigned step, unsigned bits) {
  for (uint64_t at = from; at < to; at += step) {
    if (at / step % parts != part) continue;
    if (deadline && now_of(CLOCK_MONOTONIC) > deadline) return; /* the slice, on a machine with much else to do */
    for (unsigned k = 0; k < bits; k++) flip(vdir ? vd() : b.base, at, bits == 8 ? (int)k : rand() % 8, 2);
  }
}
/* step 1, bits 8: everything in use. */
static void everything(unsigned step, unsigned bits) {
  char rel[64];
  area(1, 0, 4096, step, bits);
  area(1, VR_DYN_OFFSET, VR_DYN_OFFSET + 256, step > 4 ? 3 : 1, bits);
  area(1, VR_PUB_OFFSET, VR_PUB_OFFSET + 8, 1, bits);
  area(0, 0, 4096, step, bits);
  area(0, VR_BOARD_DYN_OFFSET, VR_BOARD_DYN_OFFSET + 64, step > 4 ? 3 : 1, bits);
  area(0, VR_BOARD_VER_OFFSET, VR_BOARD_VER_OFFSET + 8, 1, bits);
  for (unsigned i = 0; i < SMALL; i += step > 4 ? 7 : 1) {
    name_of(i, rel);
    uint64_t h = vr_hash64(rel, strlen(rel), v.seed);
    area(1, VR_PUB_OFFSET + vr_slot(h) * 8, VR_PUB_OFFSET + vr_slot(h) * 8 + 8, 1, bits);
    area(0, VR_BOARD_VER_OFFSET + vr_slot(h) * 8, VR_BOARD_VER_OFFSET + vr_slot(h) * 8 + 8, 1, bits);
    uint64_t bucket = VR_INDEX_OFFSET + vr_bucket_of(h, v.buckets) * 64;
    area(1, bucket, bucket + 64, step > 4 ? 5 : 1, bits);
  }
  uint64_t used = (uint64_t)(v.entries - v.base) + v.dyn->entries_used;
  area(1, (uint64_t)(v.entries - v.base), used, step, bits);
  /* The record of the client that changes things, and its neighbours. */
  uint32_t high = vr_high(b.dyn->record_high, VR_BOARD_RECORDS);
  for (uint32_t r = 0; r < high; r++) {
    if (!b.records[r].time) continue;
    for (int round = 0; round < 4; round++) area(0, VR_BOARD_RECORDS_OFFSET + r * 64, VR_BOARD_RECORDS_OFFSET + r * 64 + 64, step > 4 ? 3 : 1, bits);
  }
  area(1, VR_DYN_OFFSET + 256, VR_INDEX_OFFSET, step * 509, 1);
  area(1, VR_INDEX_OFFSET, v.size, step * 509, 1);
  area(0, VR_BOARD_DYN_OFFSET + 64, VR_BOARD_SIZE, step * 2039, 1);
}
static void at_random(unsigned long count) {
  for (unsigned long i = 0; i < count; i++) {
    int vdir = rand() % 4 > 0;
    uint64_t size = vdir ? v.size : VR_BOARD_SIZE, at = ((uint64_t)rand() << 20 ^ (uint64_t)rand()) % size;
    flip(vdir ? vd() : b.base, at, rand() % 8, 1);
  }
}

static void cutting(unsigned long count) {
  for (unsigned long i = 0; i < count; i++) {
    char link[64] = "", name[96];
    if (readlink(map_path, link, sizeof link - 1) != 33) die("no map link");
    int board = rand() % 3 == 0;
    snprintf(name, sizeof name, "/dev/shm/vrift_%s_%.16s", board ? "board" : "vdir", board ? link + 17 : link);
    struct stat st;
    if (stat(name, &st)) continue; /* replaced just now */
    if (rand() % 16 == 0) unlink(name);
    else if (truncate(name, rand() % 4 ? rand() % st.st_size : rand() % 3 * 4096) && errno != ENOENT) die(name);
    flips++;
    wait_turns(2);
    if (rand() % 4 == 0) wait_turns(40);
  }
}

static pid_t start(void (*body)(void)) {
  pid_t pid = fork();
  if (pid < 0) die("fork");
  if (pid) return pid;
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  signal(SIGTERM, SIG_DFL), signal(SIGINT, SIG_IGN);
  srand((unsigned)getpid());
  vr_bus_install();
  body();
  _exit(0);
}
static void until_mapped(void) {
  for (int i = 0; !map_all(); i++) {
    if (i > 20000) die("nothing to map");
    nap_us(1000);
  }
  need = vr_newest_drain(&v);
}
static int pipes[4];
static void client0(void) { until_mapped(), still_client(); }
static void client1(void) { until_mapped(), changing_client(pipes[1], pipes[2]); }
static void unseen(void) { unseen_main(pipes[0], pipes[3]); }

int main(int argc, char **argv) {
  unsigned seed = getenv("SEED") ? (unsigned)atoi(getenv("SEED")) : (unsigned)time(NULL);
  int all = argc > 1 && !strcmp(argv[1], "all"), random = argc == 4 && !strcmp(argv[1], "random"), cuts = argc == 3 && !strcmp(argv[1], "cut");
  if (all && argc == 4) part = (unsigned)atoi(argv[2]), parts = (unsigned)atoi(argv[3]);
  signal(SIGTERM, on_term), signal(SIGINT, on_term);
  srand(seed);
  printf("seed %u (SEED repeats it)\n", seed);
  if (random) files = (unsigned)atoi(argv[3]) > SMALL ? (unsigned)atoi(argv[3]) : SMALL;
  strcpy(dir, "/tmp/vrift-damage-XXXXXX");
  if (!mkdtemp(dir)) die("mkdtemp");
  snprintf(root, sizeof root, "%s/root", dir), snprintf(map_path, sizeof map_path, "%s/map", dir);
  mkdir(root, 0755);
  char rel[64], path[256];
  for (int i = 0; i < 7; i++) snprintf(rel, sizeof rel, "d%d", i), path_of(rel, path), mkdir(path, 0755);
  for (unsigned i = 0; i <= files; i++) {
    if (i == files) strcpy(rel, "moving");
    else name_of(i, rel);
    path_of(rel, path);
    int fd = open(path, O_WRONLY | O_CREAT, 0644);
    if (fd < 0 || ftruncate(fd, i % 1000)) die(path);
    close(fd);
  }
  sh = mmap(NULL, sizeof *sh, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (pipe(pipes) || pipe(pipes + 2)) die("pipe");
  children[0] = start(daemon_main);
  children[1] = start(client0), children[2] = start(client1), children[3] = start(unseen);
  writable = 1;
  until_mapped();
  uint64_t begun = now_of(CLOCK_MONOTONIC);
  while (sh->known[0] < 100 || sh->known[1] < 2) {
    wait_turns(1);
    if (now_of(CLOCK_MONOTONIC) - begun > 60000000000ull) die("nothing is ever answered");
  }
  begun = now_of(CLOCK_MONOTONIC);
  if (random) at_random(strtoul(argv[2], NULL, 10));
  else if (cuts) cutting(strtoul(argv[2], NULL, 10));
  else if (!all) deadline = begun + 30000000000ull, everything(17, 1), cutting(40);
  else everything(all ? 1 : 17, all ? 8 : 1);
  double took = (double)(now_of(CLOCK_MONOTONIC) - begun) / 1e9;
  uint64_t known0 = sh->known[0], known1 = sh->known[1], again = now_of(CLOCK_MONOTONIC);
  while ((sh->known[0] == known0 || sh->known[1] == known1) && now_of(CLOCK_MONOTONIC) - again < 30000000000ull) nap_us(1000);
  int answers = sh->known[0] > known0 && sh->known[1] > known1;
  sh->stop = 1;
  close(pipes[1]), close(pipes[2]), close(pipes[3]), close(pipes[0]);
  int bad = !answers;
  for (int i = 0; i < 3; i++) {
    int status;
    if (waitpid(children[i], &status, 0) < 0 || (status && i < 2)) bad = 1, fprintf(stderr, "process %d ended with 0x%x\n", i, status);
  }
  kill(children[3], SIGKILL), waitpid(children[3], NULL, 0);
  printf("%lu flips (%lu of no effect), %llu rebuilds (%llu of them reading the tree; newest %llu us, longest %llu us), %llu repairs in place\n", flips, undone,
         (unsigned long long)sh->rebuilds, (unsigned long long)sh->forgotten, (unsigned long long)sh->rebuild_us, (unsigned long long)sh->max_rebuild_us,
         (unsigned long long)sh->repaired);
  printf("%llu questions, %llu answers from memory, %llu + %llu wrong, %llu remaps, %.1f s\n", (unsigned long long)(sh->asked[0] + sh->asked[1]),
         (unsigned long long)(sh->known[0] + sh->known[1]), (unsigned long long)sh->wrong[0], (unsigned long long)sh->wrong[1],
         (unsigned long long)(sh->remaps[0] + sh->remaps[1]), took);
  if (!answers) puts("nothing is answered any more");
  memset(children, 0, sizeof children);
  clean_up();
  return bad || sh->wrong[0] || sh->wrong[1];
}
