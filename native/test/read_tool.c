/* Stands in for the daemon where only the reader is tested: everything in a tree is declared known and clean, whatever happens to it.
 *   read_tool serve RUN ROOT PROGRAM…   makes VDir, board and RUN/map, says "ready", keeps the lease until its input ends, then removes them;
 *                                       the PROGRAMs are entered as not leaky
 *   a line on its input: "stats" prints the counters that are not zero; "stall" stops, "go" resumes the drains; "lie PATH" adds 1 to
 *   the size of an entry; "dirty PATH" bumps its slot; "supersede" marks the VDir */
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <linux/capability.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
#include "read_image.h"

static struct image m;
static size_t root_len;
static uint64_t files, bytes;
static int adding;

static void die(const char *what) {
  perror(what);
  exit(2);
}
static uint64_t dev_of(const struct statx *x) { return makedev(x->stx_dev_major, x->stx_dev_minor); }

static int visit(const char *path, const struct stat *st, int type, struct FTW *ftw) {
  (void)type, (void)ftw;
  const char *rel = path + root_len + (path[root_len] == '/');
  char target[1025] = "";
  ssize_t n = S_ISLNK(st->st_mode) ? readlink(path, target, 1024) : 0;
  files++;
  bytes += (128 + strlen(rel) + (size_t)(n > 0 ? n : 0) + 15) / 16 * 16;
  if (!adding) return 0;
  struct statx x;
  if (statx(AT_FDCWD, path, AT_SYMLINK_NOFOLLOW, STATX_BASIC_STATS | STATX_BTIME, &x)) die(path);
  struct vr_entry e = {.ino = x.stx_ino, .size = x.stx_size, .blocks = x.stx_blocks, .rdev = makedev(x.stx_rdev_major, x.stx_rdev_minor),
    .mtime = (uint64_t)x.stx_mtime.tv_sec, .ctime = (uint64_t)x.stx_ctime.tv_sec, .atime = (uint64_t)x.stx_atime.tv_sec,
    .btime = (uint64_t)x.stx_btime.tv_sec, .mtime_ns = x.stx_mtime.tv_nsec, .ctime_ns = x.stx_ctime.tv_nsec, .atime_ns = x.stx_atime.tv_nsec,
    .btime_ns = x.stx_btime.tv_nsec, .nlink = x.stx_nlink, .uid = x.stx_uid, .gid = x.stx_gid, .blksize = x.stx_blksize,
    .attributes = (uint32_t)x.stx_attributes};
  uint32_t state = VR_ENTRY_CLEAN;
  if (S_ISDIR(x.stx_mode)) state |= VR_ENTRY_ISDIR | VR_ENTRY_COMPLETE | VR_ENTRY_SEARCHABLE;
  if (S_ISREG(x.stx_mode) && x.stx_nlink > 1) state = 0;
  image_add(&m, rel, state, x.stx_mode, n > 0 ? target : NULL, &e);
  return 0;
}

static uint64_t ns_inode(const char *path) {
  struct stat st;
  return stat(path, &st) ? 0 : st.st_ino;
}

static void fill_header(const char *root) {
  struct vr_header *h = image_header(&m);
  struct statx x;
  struct statfs fs;
  if (statx(AT_FDCWD, root, AT_SYMLINK_NOFOLLOW, STATX_BASIC_STATS | STATX_BTIME, &x) || statfs(root, &fs)) die(root);
  h->root_dev = dev_of(&x);
  h->root_ino = x.stx_ino;
  h->statx_mask = x.stx_mask;
  h->statx_mask_basic = x.stx_mask & ~(uint32_t)STATX_BTIME;
  h->statx_attributes_mask = x.stx_attributes_mask;
  h->mnt_id = x.stx_mnt_id;
  h->mnt_ns = ns_inode("/proc/self/ns/mnt");
  h->pid_ns = ns_inode("/proc/self/ns/pid");
  h->user_ns = ns_inode("/proc/self/ns/user");
  h->uid = geteuid();
  h->gid = getegid();
  uint32_t groups[64];
  int n = getgroups(64, groups);
  h->groups_hash = vr_groups_hash(groups, (size_t)(n < 0 ? 0 : n));
  struct __user_cap_header_struct head = {_LINUX_CAPABILITY_VERSION_3, 0};
  struct __user_cap_data_struct data[2];
  if (syscall(SYS_capget, &head, data)) die("capget");
  h->caps = (uint64_t)data[1].effective << 32 | data[0].effective;
  if (getrandom(&h->vdir_id, 8, 0) != 8 || getrandom(&h->board_id, 8, 0) != 8) die("getrandom");
  image_seal(&m);
  struct vr_board_header *b = (void *)m.board;
  b->board_id = h->board_id;
  b->checksum = vr_hash64(b, offsetof(struct vr_board_header, checksum), VR_BOARD_MAGIC);
}

static void add_program(const char *path) {
  struct statx x;
  if (statx(AT_FDCWD, path, 0, STATX_BASIC_STATS, &x)) die(path);
  struct vr_program p = {.seq = 2, .dev = dev_of(&x), .ino = x.stx_ino, .size = x.stx_size, .mtime = (uint64_t)x.stx_mtime.tv_sec,
    .ctime = (uint64_t)x.stx_ctime.tv_sec, .mtime_ns = x.stx_mtime.tv_nsec, .ctime_ns = x.stx_ctime.tv_nsec, .verdict = VR_PROGRAM_SEEN};
  p.checksum = vr_hash32(&p.dev, 56, 0);
  struct vr_program *rows = (void *)(m.vdir + VR_PROGRAMS_OFFSET);
  uint32_t at = vr_program_start(p.dev, p.ino);
  while (rows[at].checksum) at = (at + 1) % VR_PROGRAMS;
  rows[at] = p;
}

static uint8_t *publish(const char *prefix, uint64_t id, const uint8_t *from, size_t size, char name[64]) {
  snprintf(name, 64, "/dev/shm/%s%016llx", prefix, (unsigned long long)id);
  int fd = open(name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
  if (fd < 0) die(name);
  for (size_t at = 0; at < size;) {
    ssize_t n = write(fd, from + at, size - at);
    if (n <= 0) die(name);
    at += (size_t)n;
  }
  uint8_t *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (p == MAP_FAILED) die(name);
  close(fd);
  return p;
}

static uint32_t slot_of(const char *rel) { return vr_slot(vr_hash64(rel, strlen(rel), m.v.seed)); }
static struct vr_entry *entry_of(const char *rel) {
  uint64_t hash = vr_hash64(rel, strlen(rel), m.v.seed);
  for (uint64_t at = 0; at < m.used;) {
    struct vr_entry *e = (void *)(image_entries(&m) + at);
    if (e->path_hash == hash) return e;
    at += (128u + e->path_len + e->target_len + 15u) / 16 * 16;
  }
  return NULL;
}

static int stalled;
static void command(char *line) {
  line[strcspn(line, "\n")] = 0;
  struct vr_entry *e;
  if (!strcmp(line, "stats")) {
    for (int i = 0; i < VR_STAT_COUNT; i++)
      if (m.b.dyn->stats[i]) printf("%d=%llu ", i, (unsigned long long)m.b.dyn->stats[i]);
    printf("corrupt=%u want=%d diffs=%u\n", m.b.dyn->corrupt, m.b.dyn->want > 0, m.b.dyn->verify_diffs);
  } else if (!strcmp(line, "stall")) stalled = 1;
  else if (!strcmp(line, "go")) stalled = 0;
  else if (!strcmp(line, "supersede")) image_dyn(&m)->superseded = 1;
  else if (!strncmp(line, "lie ", 4) && (e = entry_of(line + 4))) {
    e->size++;
    image_seal_entry(e);
  } else if (!strncmp(line, "dirty ", 6)) vr_bump(&m.b, slot_of(line + 6));
  if (strcmp(line, "stats")) puts("done");
  fflush(stdout);
}

int main(int argc, char **argv) {
  if (argc < 4 || strcmp(argv[1], "serve")) return fprintf(stderr, "usage: read_tool serve RUN ROOT PROGRAM...\n"), 2;
  const char *run = argv[2], *root = argv[3];
  root_len = strlen(root);
  nftw(root, visit, 64, FTW_PHYS);
  image_make(&m, files + 8, bytes + 4096, root);
  fill_header(root);
  adding = 1;
  nftw(root, visit, 64, FTW_PHYS);
  for (int i = 4; i < argc; i++) add_program(argv[i]);
  char vdir[64], board[64], link[4200], text[64];
  m.vdir = publish("vrift_vdir_", image_header(&m)->vdir_id, m.vdir, m.size, vdir);
  m.board = publish("vrift_board_", image_header(&m)->board_id, m.board, VR_BOARD_SIZE, board);
  image_attach(&m);
  snprintf(link, sizeof link, "%s/map", run);
  snprintf(text, sizeof text, "%016llx.%016llx", (unsigned long long)m.v.header->vdir_id, (unsigned long long)m.v.header->board_id);
  if (symlink(text, link)) die(link);
  struct pollfd in = {0, POLLIN, 0};
  char line[4200];
  for (int first = 1;;) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
    struct vr_dyn *d = image_dyn(&m);
    if (!stalled) {
      uint64_t n = __atomic_add_fetch(&d->drain_started, 1, __ATOMIC_SEQ_CST);
      d->drain_started_inv = ~n;
      d->drain_done_inv = ~n;
      __atomic_store_n(&d->drain_done, n, __ATOMIC_RELEASE);
    }
    image_lease(&m, (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec + VR_LEASE_NS);
    if (first) puts("ready"), fflush(stdout), first = 0;
    if (poll(&in, 1, 5) > 0) {
      if (!fgets(line, sizeof line, stdin)) break;
      command(line);
    }
  }
  unlink(link);
  unlink(vdir);
  unlink(board);
  return 0;
}
