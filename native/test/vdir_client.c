/* A client of a real vdir_d, for VdirDaemonIT: asks memory as the shim does and compares with lstat. It holds a session while it runs.
 *   vdir_client PROJECT_RUN_DIR ROOT random ROUNDS SEED   unseen changes, SYNC, then every path compared; ROUNDS times
 *   vdir_client PROJECT_RUN_DIR ROOT all SECONDS          waits until SECONDS or nothing is native, comparing every path
 *   vdir_client PROJECT_RUN_DIR ROOT flip                 damages the VDir, reports it, waits for its successor
 * Prints "known=K native=N wrong=W"; exit code 0 when nothing was wrong. */
#include "vr_vdir.h"
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

static const char *run, *root;
static int sock;
static uint32_t request;
static struct vr_vdir vdir;
static struct vr_board board;
static uint8_t *writable; /* the VDir, only for flip */
static uint64_t need, mapped_id;
static unsigned long known, native, wrong;

static void die(const char *what) {
  fprintf(stderr, "vdir_client: %s: %s\n", what, strerror(errno));
  exit(2);
}

static uint64_t coarse(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC_COARSE, &t);
  return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}
static void nap(long ms) {
  struct timespec t = {ms / 1000, ms % 1000 * 1000000};
  nanosleep(&t, NULL);
}

/* Sends a request and returns the answer's opcode; its payload goes to answer, zero-ended. */
static int ask_daemon(uint16_t opcode, const char *payload, char *answer, size_t cap) {
  struct vr_frame f = {VR_WIRE_MAGIC, VR_WIRE_PROTOCOL, opcode, (uint32_t)strlen(payload), ++request};
  if (write(sock, &f, sizeof f) != sizeof f || write(sock, payload, f.length) != (ssize_t)f.length) return -1;
  for (size_t at = 0; at < sizeof f;) {
    ssize_t n = read(sock, (char *)&f + at, sizeof f - at);
    if (n <= 0) return -1;
    at += (size_t)n;
  }
  if (f.length >= cap) return -1;
  for (size_t at = 0; at < f.length;) {
    ssize_t n = read(sock, answer + at, f.length - at);
    if (n <= 0) return -1;
    at += (size_t)n;
  }
  answer[f.length] = 0;
  return f.opcode;
}

static void *map_file(const char *kind, const char *id, int prot, size_t *size) {
  char name[96];
  snprintf(name, sizeof name, "/dev/shm/vrift_%s_%.16s", kind, id);
  int fd = open(name, (prot & PROT_WRITE ? O_RDWR : O_RDONLY) | O_NOFOLLOW | O_CLOEXEC);
  struct stat st;
  if (fd < 0 || fstat(fd, &st) < 0 || (st.st_mode & 07777) != 0600) die(name);
  void *p = mmap(NULL, (size_t)st.st_size, prot, MAP_SHARED, fd, 0);
  if (p == MAP_FAILED) die("mmap");
  close(fd);
  *size = (size_t)st.st_size;
  return p;
}

static void map_all(int write_too) {
  char name[4096], link[64] = "";
  size_t size;
  snprintf(name, sizeof name, "%s/map", run);
  for (int i = 0; readlink(name, link, sizeof link - 1) != 33; i++) {
    if (i > 1000) die("no map link");
    nap(10);
  }
  void *p = map_file("vdir", link, PROT_READ, &size);
  if (vr_vdir_attach(&vdir, p, size)) die("the VDir is refused");
  if (write_too) writable = map_file("vdir", link, PROT_READ | PROT_WRITE, &size);
  p = map_file("board", link + 17, PROT_READ | PROT_WRITE, &size);
  if (vr_board_attach(&board, p, size)) die("the board is refused");
  mapped_id = vdir.header->vdir_id;
  need = __atomic_load_n(&vdir.dyn->drain_started, __ATOMIC_SEQ_CST);
}

static void sync_daemon(void) {
  char answer[4096];
  if (ask_daemon(VR_OP_SYNC, "", answer, sizeof answer) != VR_OP_OK) die("SYNC was not answered");
  if (__atomic_load_n(&vdir.dyn->superseded, __ATOMIC_SEQ_CST)) map_all(0);
  uint64_t drain = strtoull(strstr(answer, "drain=") + 6, NULL, 10);
  need = drain - 1; /* that drain began after the changes */
}

static void ask(const char *rel) {
  struct vr_entry x;
  char path[4300], target[1100], real_target[1100];
  struct stat st;
  uint32_t reason = 0;
  enum vr_answer a = VR_NATIVE;
  for (int tries = 0; tries < 3 && a == VR_NATIVE; tries++) /* a turn may be publishing just now */
    a = vr_lookup(&vdir, &board, rel, strlen(rel), coarse(), need, &x, target, sizeof target, &reason);
  if (a == VR_NATIVE) {
    native++;
    return;
  }
  known++;
  snprintf(path, sizeof path, "%s/%s", root, rel);
  int r = lstat(path, &st) < 0 ? errno : 0, ok;
  if (a == VR_FOUND) {
    ok = !r && x.ino == st.st_ino && x.size == (uint64_t)st.st_size && x.mode == st.st_mode && x.nlink == st.st_nlink && x.uid == st.st_uid &&
         x.mtime == (uint64_t)st.st_mtim.tv_sec && x.mtime_ns == (uint64_t)st.st_mtim.tv_nsec && x.ctime_ns == (uint64_t)st.st_ctim.tv_nsec &&
         x.atime_ns == (uint64_t)st.st_atim.tv_nsec && x.blocks == (uint64_t)st.st_blocks;
    if (ok && (x.state & VR_ENTRY_TARGET))
      ok = readlink(path, real_target, sizeof real_target) == x.target_len && !memcmp(target, real_target, x.target_len);
  } else {
    ok = a == VR_ENOENT ? r == ENOENT : r == ENOTDIR;
  }
  if (ok) return;
  if (wrong++ < 20) fprintf(stderr, "wrong: %s: memory says %d, the kernel errno %d\n", rel, a, r);
}

static int each(const char *path, const struct stat *st, int flag, struct FTW *f) {
  (void)st, (void)flag, (void)f;
  if (strlen(path) > strlen(root) && strncmp(path + strlen(root), "/.vrift", 7)) ask(path + strlen(root) + 1);
  return 0;
}

static char *at(const char *rel) {
  static char path[2][4300];
  static int k;
  k ^= 1;
  snprintf(path[k], sizeof path[k], "%s/%s", root, rel);
  return path[k];
}

/* No hard links here: a link that comes and goes between two drains moves a ctime that only the slow sweep finds (docs/LIMITS.md). */
static void random_change(unsigned *seed) {
  char a[64], b[64], d1[64], d2[64];
  snprintf(a, sizeof a, "d%d/f%d", rand_r(seed) % 6, rand_r(seed) % 12);
  snprintf(b, sizeof b, "d%d/f%d", rand_r(seed) % 6, rand_r(seed) % 12);
  snprintf(d1, sizeof d1, "d%d", rand_r(seed) % 6), snprintf(d2, sizeof d2, "d%d/sub", rand_r(seed) % 6);
  int fd;
  switch (rand_r(seed) % 12) {
    case 0: case 1: case 2:
      fd = open(at(a), O_WRONLY | O_CREAT | O_TRUNC, 0644);
      if (fd >= 0 && write(fd, a, (size_t)(rand_r(seed) % 6)) >= 0) close(fd);
      break;
    case 3: unlink(at(a)); break;
    case 4: rename(at(a), at(b)); break;
    case 5: mkdir(at(d1), 0755); break;
    case 6: rename(at(d1), at(d2)); break;
    case 7: chmod(at(d1), rand_r(seed) % 2 ? 0755 : 0711); break;
    case 8: if (symlink(b, at(a))) {} break;
    case 9: chmod(at(a), 0600 + (mode_t)(rand_r(seed) % 64)); break;
    case 10: rename(at(d2), at(d1)); break;
    case 11: if (truncate(at(a), rand_r(seed) % 9000)) {} break;
  }
}

static void random_rounds(int rounds, unsigned seed) {
  for (int i = 0; i < rounds; i++) {
    for (int k = 1 + rand_r(&seed) % 12; k; k--) random_change(&seed);
    sync_daemon();
    nftw(root, each, 20, FTW_PHYS);
    for (int d = 0; d < 6; d++)
      for (int f = 0; f < 12; f++) {
        char p[64];
        snprintf(p, sizeof p, "d%d/f%d", d, f), ask(p);
        snprintf(p, sizeof p, "d%d/sub/f%d", d, f), ask(p);
      }
    if (i % 8 == 7) nap(120); /* let entries become clean, so that there is something to be wrong about */
  }
}

static void all(double seconds) {
  uint64_t end = coarse() + (uint64_t)(seconds * 1e9);
  do {
    nap(20);
    sync_daemon();
    known = native = 0;
    nftw(root, each, 20, FTW_PHYS);
  } while (!wrong && native && coarse() < end);
}

static void flip(void) {
  uint64_t old = mapped_id;
  const struct vr_header *h = vdir.header;
  for (uint64_t i = 0; i < 64; i++) writable[h->entries_off + 128 * i + 40] ^= 1;
  __atomic_fetch_add(&board.dyn->corrupt, 1, __ATOMIC_SEQ_CST);
  for (int i = 0; mapped_id == old; i++) {
    if (i > 1000) die("no successor came");
    nap(10);
    if (__atomic_load_n(&vdir.dyn->superseded, __ATOMIC_SEQ_CST)) map_all(0);
  }
}

int main(int argc, char **argv) {
  if (argc < 4) return 2;
  run = argv[1], root = argv[2];
  struct sockaddr_un a = {.sun_family = AF_UNIX};
  snprintf(a.sun_path, sizeof a.sun_path, "%s/vdir_d.sock", run);
  sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (sock < 0 || connect(sock, (struct sockaddr *)&a, sizeof a) < 0) die(a.sun_path);
  char answer[4096], hello[64];
  snprintf(hello, sizeof hello, "pid=%d\ncommand=vdir_client\n", (int)getpid());
  if (ask_daemon(VR_OP_SESSION, hello, answer, sizeof answer) != VR_OP_OK) die("SESSION was refused");
  map_all(!strcmp(argv[3], "flip"));
  if (!strcmp(argv[3], "random") && argc == 6) random_rounds(atoi(argv[4]), (unsigned)atoi(argv[5]));
  else if (!strcmp(argv[3], "all") && argc == 5) all(atof(argv[4]));
  else if (!strcmp(argv[3], "flip")) flip();
  else return 2;
  printf("known=%lu native=%lu wrong=%lu\n", known, native, wrong);
  return wrong != 0;
}
