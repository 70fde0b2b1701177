/* The engine against a real tree: random changes by hands it does not see and by recorded ones, every answer of vr_lookup compared
 * with lstat; renamed directories, modes, growth, overflow, dead owners, corruption. Nothing outside a temporary directory is touched. */
#include "vr_engine_internal.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static int failed, passed;
static char dir[64], root[128], map_path[128];
static struct vr_engine *engine;
static struct vr_report rep;

#define CHECK(c, ...) \
  do { \
    if (c) passed++; \
    else { \
      failed++; \
      fprintf(stderr, "%s:%d: %s: ", __FILE__, __LINE__, #c); \
      fprintf(stderr, __VA_ARGS__); \
      fprintf(stderr, "\n"); \
    } \
  } while (0)

static uint64_t coarse(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC_COARSE, &t);
  return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}
static void nap(long ms) {
  struct timespec t = {ms / 1000, ms % 1000 * 1000000};
  nanosleep(&t, NULL);
}
static void turn(void) { vr_engine_turn(engine, 1, 20000, &rep); }
static void quiet(void) { /* until everything that can be CLEAN is, or 10 s */
  for (int i = 0; i < 1000; i++) {
    turn();
    if (rep.complete && !rep.settles && !rep.dirty && !rep.busy) return;
    nap(10);
  }
}
static void drain(void) { turn(), turn(); }

static void opened(uint64_t max_files) {
  struct vr_limits l = {.max_files = max_files, .max_bytes = 1 << 28, .max_watches = 4000};
  char reason[256] = "";
  int r = vr_engine_open(root, map_path, &l, &engine, reason, sizeof reason);
  CHECK(r == 0, "%d %s", r, reason);
  if (r) exit(1);
  CHECK(vr_engine_publish(engine) == 0, "publish");
}

static int known, native, wrong, linked; /* linked: a name was linked, and may be gone again, since the last drain */

/* Compares one path. The tree stands still while this runs. */
static void ask(const char *rel) {
  struct vr_entry x;
  char target[1100], path[4300];
  struct stat st;
  uint32_t reason = 0;
  snprintf(path, sizeof path, "%s/%s", root, rel);
  int r = lstat(path, &st) < 0 ? errno : 0;
  enum vr_answer a = vr_lookup(vr_engine_vdir(engine), vr_engine_board(engine), rel, strlen(rel), coarse(), 0, &x, target, sizeof target, &reason);
  if (a == VR_NATIVE) {
    native++;
    return;
  }
  known++;
  /* What was done through a second name that is gone before the engine looks is left to the sweep (docs/LIMITS.md). */
  int by_name = x.size == (uint64_t)st.st_size && x.nlink == st.st_nlink && x.mtime_ns == (uint64_t)st.st_mtim.tv_nsec &&
                x.ctime_ns == (uint64_t)st.st_ctim.tv_nsec && x.blocks == (uint64_t)st.st_blocks && x.mode == st.st_mode;
  int ok = a == VR_FOUND ? r == 0 && x.ino == st.st_ino && (linked || by_name) && x.atime_ns == (uint64_t)st.st_atim.tv_nsec
           : a == VR_ENOENT ? r == ENOENT : r == ENOTDIR;
  if (ok) return;
  wrong++;
  fprintf(stderr, "wrong: %s: answer %d, kernel errno %d", rel, a, r);
  if (a == VR_FOUND && !r)
    fprintf(stderr, " ino %d size %d mode %d nlink %d mtime %d ctime %d atime %d blocks %d", x.ino == st.st_ino, x.size == (uint64_t)st.st_size,
            x.mode == st.st_mode, x.nlink == st.st_nlink, x.mtime_ns == st.st_mtim.tv_nsec, x.ctime_ns == st.st_ctim.tv_nsec,
            x.atime_ns == st.st_atim.tv_nsec, x.blocks == (uint64_t)st.st_blocks);
  fprintf(stderr, "\n");
}

static int each(const char *path, const struct stat *st, int flag, struct FTW *f) {
  static int asked;
  if (++asked % 256 == 0) turn(); /* a walk may take longer than a lease */
  (void)st, (void)flag, (void)f;
  if (strlen(path) > strlen(root)) ask(path + strlen(root) + 1);
  return 0;
}
static void ask_all(void) {
  known = native = wrong = 0;
  nftw(root, each, 20, FTW_PHYS);
}

static void put(const char *rel, const char *text) {
  char path[4300];
  snprintf(path, sizeof path, "%s/%s", root, rel);
  int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
  if (fd < 0) return;
  ssize_t n = write(fd, text, strlen(text));
  (void)n;
  close(fd);
}
static char *at(const char *rel) {
  static char path[2][4300];
  static int k;
  k ^= 1;
  snprintf(path[k], sizeof path[k], "%s/%s", root, rel);
  return path[k];
}

static void first_scan(void) {
  mkdir(at("src"), 0755);
  mkdir(at("src/deep"), 0755);
  put("src/a.c", "int a;");
  put("src/deep/b.h", "b");
  put("name \xff\xfe", "x");
  if (symlink("src/a.c", at("link")) || symlink("loop", at("loop"))) exit(1);
  if (link(at("src/a.c"), at("hard"))) exit(1);
  mkdir(at(".git"), 0755), mkdir(at(".git/objects"), 0755), put(".git/objects/o", "o"), put(".git/HEAD", "ref");
  mkdir(at(".vrift"), 0700), put(".vrift/x", "x");
  mkfifo(at("fifo"), 0600);
  opened(1000000);
  nap(60);
  quiet();
  ask_all();
  CHECK(wrong == 0, "%d wrong", wrong);
  CHECK(known >= 7, "only %d known, %d native", known, native);
  known = native = 0;
  ask("src/absent.h"), ask("src/none/at/all"), ask("src/deep/b.h/x"), ask("zzz");
  CHECK(known == 4 && wrong == 0, "absent: %d known, %d wrong", known, wrong);
  known = native = 0;
  ask("hard"), ask("src/a.c"), ask("fifo"), ask(".git/objects/o"), ask(".git/objects/none"), ask(".vrift/x"), ask(".vrift/none");
  CHECK(known == 0, "%d answers that may not be given", known);
}

static void random_change(unsigned *seed) {
  char a[64], b[64];
  snprintf(a, sizeof a, "d%d/f%d", rand_r(seed) % 6, rand_r(seed) % 12);
  snprintf(b, sizeof b, "d%d/f%d", rand_r(seed) % 6, rand_r(seed) % 12);
  char d1[64], d2[64];
  snprintf(d1, sizeof d1, "d%d", rand_r(seed) % 6), snprintf(d2, sizeof d2, "d%d/sub", rand_r(seed) % 6);
  switch (rand_r(seed) % 13) {
    case 0: case 1: case 2: put(a, "some text"); break;
    case 3: unlink(at(a)); break;
    case 4: rename(at(a), at(b)); break;
    case 5: mkdir(at(d1), 0755); break;
    case 6: rename(at(d1), at(d2)); break;
    case 7: chmod(at(d1), rand_r(seed) % 2 ? 0755 : 0711); break;
    case 8: if (symlink(b, at(a))) {} break;
    case 9: linked |= link(at(a), at(b)) == 0; break;
    case 10: chmod(at(a), 0600 + rand_r(seed) % 64); break;
    case 11: rename(at(d2), at(d1)); break;
    case 12: if (truncate(at(a), rand_r(seed) % 9000)) {} break;
  }
}

static void unseen_changes(unsigned seed) {
  int total = 0, answered = 0;
  fprintf(stderr, "seed %u\n", seed);
  for (int i = 0; i < 300; i++) {
    int k = 1 + rand_r(&seed) % 12;
    if (i % 10 == 0) linked = 0;
    while (k--) random_change(&seed);
    drain();
    ask_all();
    for (int d = 0; d < 6; d++)
      for (int f = 0; f < 12; f++) {
        char p[64];
        snprintf(p, sizeof p, "d%d/f%d", d, f), ask(p);
        snprintf(p, sizeof p, "d%d/sub/f%d", d, f), ask(p);
      }
    total += wrong, answered += known;
    if (i % 10 == 9) {
      nap(60), quiet();
      for (int s = 0; linked && s < 12; s++) nap(25), turn(); /* the sweep, 32 entries each */
      linked = 0;
      ask_all();
      total += wrong;
    }
  }
  linked = 0;
  CHECK(total == 0, "%d wrong answers", total);
  CHECK(answered > 3000, "only %d answers", answered);
}

/* A recorded writer between two lookups, without any turn: memory must not answer for what it names. */
static void recorded(void) {
  mkdir(at("rec"), 0755), put("rec/f", "1");
  nap(60), quiet();
  known = native = wrong = 0;
  ask("rec/f");
  CHECK(known == 1, "not clean to begin with");
  struct vr_board *b = vr_engine_board(engine);
  struct vr_intent in;
  vr_intent_init(&in);
  uint64_t seed = b->header->hash_seed;
  vr_intent_slot(&in, vr_slot(vr_hash64("rec/f", 5, seed)));
  vr_intent_slot(&in, vr_slot(vr_hash64("rec", 3, seed)));
  int r = vr_mutation_begin(b, &in, VR_BOARD_KIND_OP, (uint32_t)getpid(), (uint32_t)getpid());
  put("rec/f", "22");
  known = 0, ask("rec/f"), ask("rec");
  CHECK(known == 0, "answered during a mutation");
  drain(), drain();
  CHECK(rep.dirty >= 2, "a slot was published under a live record");
  known = 0, ask("rec/f");
  CHECK(known == 0, "answered under a live record");
  struct stat st;
  stat(at("rec/f"), &st);
  vr_mutation_keep(b, r, VR_BOARD_KIND_HELD, st.st_ino);
  nap(60), drain(), drain(), nap(60), drain();
  known = 0, ask("rec/f");
  CHECK(known == 0, "answered for a held inode");
  vr_held_release(b, r);
  nap(60), quiet();
  known = wrong = 0, ask("rec/f");
  CHECK(known == 1 && wrong == 0, "not clean after the release");
}

/* Every order but the mandatory one gives wrong answers: publishing before the writer's event was read must be impossible. */
static void dead_owner(void) {
  struct vr_board *b = vr_engine_board(engine);
  pid_t pid = fork();
  if (pid == 0) {
    struct vr_intent in;
    vr_intent_init(&in);
    vr_intent_slot(&in, vr_slot(vr_hash64("rec/f", 5, b->header->hash_seed)));
    vr_mutation_begin(b, &in, VR_BOARD_KIND_OP, (uint32_t)getpid(), (uint32_t)getpid());
    _exit(0);
  }
  siginfo_t info;
  waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT); /* still a zombie */
  uint64_t before = rep.reaped;
  nap(60), drain(), nap(60), quiet();
  CHECK(rep.reaped == before + 1, "not reaped");
  known = wrong = 0, ask("rec/f");
  CHECK(known == 1 && wrong == 0, "not clean after the reaping");
  waitpid(pid, NULL, 0);
  CHECK(vr_owner_dead((uint32_t)pid, 0) == 1, "dead");
  CHECK(vr_owner_dead((uint32_t)getpid(), UINT64_MAX / 2) == 0, "alive");
  CHECK(vr_owner_dead((uint32_t)getpid(), 0) == 1, "started after the record");
}

/* A program that watches the project keeps others from staging while it lives, killed or not; a reason of another kind stays. */
static void watcher_ends(void) {
  struct vr_board *b = vr_engine_board(engine);
  struct timespec t;
  b->dyn->no_stage += 1 << 16;
  pid_t pid = fork();
  if (!pid) {
    pause();
    _exit(0);
  }
  clock_gettime(CLOCK_BOOTTIME, &t);
  uint64_t ticks = (uint64_t)t.tv_sec * 100 + (uint64_t)t.tv_nsec / 10000000 + 1;
  b->watchers[0] = ticks << 32 | VR_BOARD_WATCHER_COUNTED | (uint32_t)pid;
  b->watchers[1] = ticks << 32 | (uint32_t)pid; /* killed before it was counted */
  b->dyn->no_stage++;
  nap(600), turn();
  CHECK(b->watchers[0] && b->dyn->no_stage == (1 << 16) + 1, "a living watcher was forgotten");
  kill(pid, SIGKILL);
  waitpid(pid, NULL, 0);
  nap(600), turn();
  CHECK(!b->watchers[0] && !b->watchers[1] && b->dyn->no_stage == 1 << 16, "a dead watcher still counts");
  b->dyn->no_stage = 0;
}

/* What the kernel tells but once must not be lost between two turns. */
static void after_hurry(int (*wait)(void), const char *what) {
  char path[300];
  snprintf(path, sizeof path, "%s/mp", root);
  mkdir(path, 0755);
  put("mp/below", "x");
  nap(60), quiet();
  known = wrong = 0, ask("mp"), ask("mp/below");
  CHECK(known == 2 && !wrong, "%s: not known before", what);
  if (mount("vrift-test", path, "tmpfs", 0, "size=64k")) return; /* not root */
  wait();
  turn();
  known = wrong = 0, ask("mp"), ask("mp/below"), ask("mp/none");
  CHECK(!wrong, "%s: a mount was not noticed", what);
  umount(path);
  wait();
  nap(60), quiet();
  known = wrong = 0, ask("mp"), ask("mp/below");
  CHECK(!wrong, "%s: not true after the umount", what);
}
static int bell;
static int in_wait(void) { return vr_engine_wait(engine, bell, 0, 10); }
static int in_hurry(void) { return vr_engine_hurry(engine, bell, 10); }

/* Who gets the daemon up: [bell][what is wanted]. */
static void bell_is_heard(void) {
  static const int heard[4][2] = {{0, 0}, {1, 1}, {1, 0}, {0, 0}};
  struct vr_board *b = vr_engine_board(engine);
  for (uint32_t state = 0; state < 4; state++)
    for (int turn = 0; turn < 2; turn++) {
      __atomic_store_n(&b->dyn->bell, state, __ATOMIC_SEQ_CST);
      vr_ring(b, turn);
      CHECK((b->dyn->bell != state) == heard[state][turn], "bell %u, wanted %s: %u", state, turn ? "a turn" : "a drain", b->dyn->bell);
      __atomic_store_n(&b->dyn->bell, state, __ATOMIC_SEQ_CST);
      vr_ring_now(b);
      CHECK(b->dyn->bell == VR_BELL_UP, "bell %u is not heard by its own", state);
    }
}

/* How the daemon sleeps: 1 << each state that a client saw while it was between two turns. */
static unsigned seen_asleep(int events, int due) {
  int status = -1;
  nap(20), quiet();
  uint32_t *word = &vr_engine_board(engine)->dyn->bell;
  pid_t pid = fork();
  if (!pid) {
    unsigned seen = 0;
    for (int i = 0; i < 400; i++, usleep(50)) seen |= 1u << (__atomic_load_n(word, __ATOMIC_SEQ_CST) & 3);
    _exit((int)seen);
  }
  for (int k = 0; waitpid(pid, &status, WNOHANG) == 0; k++) {
    if (events) put("rung", k % 2 ? "a" : "b");
    if (due) __atomic_fetch_add(&vr_engine_board(engine)->dyn->want_turn, 1, __ATOMIC_SEQ_CST);
    if (vr_engine_hurry(engine, bell, 50)) turn();
  }
  return WIFEXITED(status) ? (unsigned)WEXITSTATUS(status) : 0;
}
static void bell_while_a_turn_is_due(void) {
  bell_is_heard();
  CHECK(seen_asleep(0, 0) & 1u << VR_BELL_ANY, "with nothing to do it sleeps for whoever comes");
  CHECK(seen_asleep(0, 1) & 1u << VR_BELL_DRAIN, "a turn is due: only for a drain");
  CHECK(seen_asleep(1, 0) & 1u << VR_BELL_OWN, "events wait: for nobody");
}

static uint64_t hurried(void) { /* ns */
  struct timespec a, b;
  clock_gettime(CLOCK_MONOTONIC, &a);
  vr_engine_hurry(engine, bell, 1000);
  clock_gettime(CLOCK_MONOTONIC, &b);
  return (uint64_t)(b.tv_sec - a.tv_sec) * 1000000000u + (uint64_t)b.tv_nsec - (uint64_t)a.tv_nsec;
}
/* docs/PROTOCOL.md section 5: events alone wait 32 ms for their turn; not who cannot do without one, also when he came while one was made. Of many tries
 * one must be in time: the machine may be busy. */
static void a_turn_when_it_pays(void) {
  uint64_t shortest = UINT64_MAX;
  nap(60), quiet(), turn();
  put("few", "x");
  uint64_t alone = hurried();
  CHECK(alone >= 32000000u, "events alone were worth a turn after %llu ns", (unsigned long long)alone);
  for (int i = 0; i < 50 && shortest >= 24000000u; i++) {
    turn();
    __atomic_fetch_add(&vr_engine_board(engine)->dyn->want_turn, VR_WANT_MANY, __ATOMIC_SEQ_CST);
    uint64_t took = hurried();
    if (took < shortest) shortest = took;
  }
  CHECK(shortest < 24000000u, "who cannot do without a turn waited %llu ns", (unsigned long long)shortest);
}

/* Between two turns: drains of an empty queue are done for whoever wants them, events and mounts are left to the turn, a ring is heard. */
static void hurry(void) {
  struct vr_board *b = vr_engine_board(engine);
  const struct vr_vdir *v = vr_engine_vdir(engine);
  bell = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  after_hurry(in_wait, "wait");
  after_hurry(in_hurry, "hurry");
  nap(60), quiet();
  uint64_t need = vr_newest_drain(v);
  CHECK(v->dyn->drain_done <= need, "an edge is satisfied before a drain");
  int r = vr_engine_hurry(engine, bell, 5);
  CHECK(r == 0 && v->dyn->drain_done > need && v->dyn->drain_done == ~v->dyn->drain_done_inv, "no drain of nothing: %d", r);
  put("hurried", "x");
  need = vr_newest_drain(v);
  r = vr_engine_hurry(engine, bell, 50);
  CHECK((r & 1) && v->dyn->drain_done <= need, "events were passed over: %d", r);
  turn();
  CHECK(v->dyn->drain_done > need, "the turn did not drain");
  nap(60), quiet();
  pid_t pid = fork();
  if (!pid) { /* wants a drain again and again, as an asking client does */
    for (int i = 0; i < 200; i++) {
      uint64_t mine = vr_newest_drain(v), waited = 0;
      __atomic_fetch_add(&b->dyn->want, 1, __ATOMIC_SEQ_CST);
      vr_ring(b, 0);
      while (__atomic_load_n(&v->dyn->drain_done, __ATOMIC_ACQUIRE) <= mine && waited++ < 2000) usleep(50);
      if (waited >= 2000) _exit(1);
    }
    _exit(0);
  }
  int status = -1;
  uint64_t begun = coarse();
  while (waitpid(pid, &status, WNOHANG) == 0 && coarse() - begun < 20000000000ull) {
    if (vr_engine_hurry(engine, bell, 20) & 1) turn();
  }
  CHECK(WIFEXITED(status) && !WEXITSTATUS(status), "a wanted drain did not come");
  uint64_t one = 1;
  CHECK(write(bell, &one, 8) == 8 && vr_engine_hurry(engine, bell, 5000) == 2 && coarse() - begun < 20000000000ull, "the wake was not seen");
  bell_while_a_turn_is_due();
  a_turn_when_it_pays();
  close(bell);
}

/* Lost events that were read already, and then everything is distrusted for another reason before the drain is done: what they may have meant for
 * the watches is still taken back. */
static void overflow_is_not_forgotten(void) {
  quiet();
  engine->st->overflow = 1;
  vr_engine_distrust(engine);
  CHECK(engine->st->overflow, "an overflow was forgotten");
  uint64_t before = rep.overflows;
  turn();
  CHECK(!engine->st->overflow && rep.overflows > before + 1, "an overflow was not taken back: %llu", (unsigned long long)(rep.overflows - before));
  quiet(), ask_all();
  CHECK(known > 0 && wrong == 0, "%d wrong, %d known", wrong, known);
}

/* The word that says which drains have begun is damaged while some were begun and given up: a barrier waits for the newest all the same. */
static void newest_drain(void) {
  const struct vr_vdir *v = vr_engine_vdir(engine);
  struct vr_dyn was = *v->dyn, *d = engine->dyn;
  for (int bit = 0; bit < 64; bit++)
    for (int inverse = 0; inverse < 2; inverse++) {
      uint64_t begun = was.drain_done + 3;
      d->drain_started = begun ^ (inverse ? 0 : 1ull << bit);
      d->drain_started_inv = ~begun ^ (inverse ? 1ull << bit : 0);
      CHECK(vr_newest_drain(v) >= begun, "bit %d, inverse %d: %llu", bit, inverse, (unsigned long long)(vr_newest_drain(v) - was.drain_done));
    }
  d->drain_started = was.drain_started, d->drain_started_inv = was.drain_started_inv;
}

static void growth(void) {
  uint64_t generation = rep.generation;
  mkdir(at("many"), 0755);
  quiet();
  for (int i = 0; i < 40000; i++) {
    char p[64];
    snprintf(p, sizeof p, "many/file-with-a-long-name-%d", i);
    int fd = open(at(p), O_WRONLY | O_CREAT, 0644);
    if (fd >= 0) close(fd);
  }
  nap(60);
  quiet(), quiet();
  CHECK(rep.generation > generation, "did not grow");
  CHECK(rep.overflows >= 1, "40,000 files at once should overflow the queue");
  ask_all();
  CHECK(wrong == 0 && known > 3000, "%d wrong, %d known, %d native", wrong, known, native);
  CHECK(vr_engine_scrub(engine) == 0, "scrub finds damage");
}

static void corruption(void) {
  struct vr_vdir *v = vr_engine_vdir(engine);
  uint64_t before = rep.rebuilds;
  const struct vr_bucket *b = (const struct vr_bucket *)(const void *)v->index;
  while (!b->off[0]) b++;
  ((uint8_t *)v->entries)[(uint64_t)(b->off[0] - 1) * 16 + 50] ^= 4; /* the engine's own mapping is writable */
  CHECK(vr_engine_scrub(engine) == 1, "not found");
  __atomic_fetch_add(&vr_engine_board(engine)->dyn->corrupt, 1, __ATOMIC_SEQ_CST);
  turn();
  CHECK(rep.rebuilds == before + 1, "not rebuilt");
  quiet(), quiet();
  ask_all();
  CHECK(wrong == 0 && known > 3000, "%d wrong, %d known", wrong, known);
}

static void adoption(void) {
  uint64_t board = rep.board_id, drain_before = rep.drain, vdir = rep.vdir_id;
  vr_engine_close(engine, 0);
  put("rec/f", "changed while nobody looked");
  opened(1000000);
  known = 0, ask("rec/f");
  CHECK(known == 0, "an answer before the first turn");
  quiet(), quiet();
  CHECK(rep.board_id == board && rep.vdir_id != vdir && rep.drain > drain_before, "board kept, VDir new, drains go on");
  ask_all();
  CHECK(wrong == 0 && known > 3000, "%d wrong, %d known", wrong, known);
}

static void limits(void) {
  vr_engine_close(engine, 1);
  opened(500);
  quiet();
  CHECK(rep.limited == 1, "the quota was not noticed");
  ask_all();
  CHECK(wrong == 0, "%d wrong beyond the quota", wrong);
  known = 0, ask("many/absent");
  CHECK(known == 0, "absence claimed in a directory that is not complete");
}

int main(void) {
  strcpy(dir, "/tmp/vrift-engine-XXXXXX");
  if (!mkdtemp(dir)) return 1;
  snprintf(root, sizeof root, "%s/root", dir);
  snprintf(map_path, sizeof map_path, "%s/map", dir);
  mkdir(root, 0755);
  first_scan();
  unseen_changes(getenv("SEED") ? (unsigned)atoi(getenv("SEED")) : (unsigned)time(NULL));
  recorded();
  dead_owner();
  watcher_ends();
  hurry();
  overflow_is_not_forgotten();
  newest_drain();
  growth();
  corruption();
  adoption();
  limits();
  vr_engine_close(engine, 1);
  char command[128];
  snprintf(command, sizeof command, "rm -rf %s", dir);
  if (system(command)) failed++;
  printf("engine: %d passed, %d failed\n", passed, failed);
  return failed != 0;
}
