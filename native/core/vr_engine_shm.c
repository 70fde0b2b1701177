/* The files in /dev/shm: made whole, checked before use, published by one rename, never resized. */
#include "vr_engine_internal.h"
#include "vr_huge.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <linux/capability.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define SHM "/dev/shm/"
#define ZEROS (256 * 1024)

uint64_t vr_clock(int id) {
  struct timespec t;
  clock_gettime(id, &t);
  return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

uint64_t vr_random(void) {
  uint64_t v = 0;
  if (getrandom(&v, sizeof v, 0) != sizeof v) v = vr_clock(CLOCK_MONOTONIC) * VR_HASH_K1 ^ (uint64_t)getpid();
  return v ? v : 1;
}

/* Makes /dev/shm/vrift_<kind>_<id>: every page is written by write(), so that a full tmpfs is ENOSPC here and never SIGBUS later. */
int vr_shm_create(struct vr_engine *e, const char *kind, uint64_t id, uint64_t size, uint8_t **out) {
  char name[96];
  vr_name_marker(e, kind, id, 1);
  snprintf(name, sizeof name, SHM "vrift_%s_%016llx", kind, (unsigned long long)id);
  int fd = open(name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
  if (fd < 0) {
    int r = -errno;
    vr_name_marker(e, kind, id, 0);
    return r;
  }
  int r = fchmod(fd, 0600) < 0 ? -errno : 0; /* whatever the umask */
  static const uint8_t zeros[ZEROS];
  for (uint64_t at = 0; r == 0 && at < size;) {
    uint64_t left = size - at;
    ssize_t n = write(fd, zeros, left < ZEROS ? left : ZEROS);
    if (n > 0) at += (uint64_t)n;
    else if (n == 0 || errno != EINTR) r = n == 0 ? -ENOSPC : -errno;
  }
  void *p = MAP_FAILED;
  if (r == 0) {
    long at = vr_map_shared(fd, size, PROT_READ | PROT_WRITE);
    if (at < 0 && at > -4096) r = (int)at;
    else p = (void *)at;
  }
  close(fd);
  if (r < 0) vr_shm_remove(e, kind, id);
  else *out = p;
  return r;
}

void vr_shm_remove(struct vr_engine *e, const char *kind, uint64_t id) {
  char name[96];
  snprintf(name, sizeof name, SHM "vrift_%s_%016llx", kind, (unsigned long long)id);
  unlink(name);
  vr_name_marker(e, kind, id, 0);
}

/* Maps /dev/shm/<name> after checking that it is a regular private file of ours, of that size (0: any). */
int vr_shm_open(const char *name, int writable, uint64_t exact, uint8_t **out, uint64_t *size) {
  char path[128];
  snprintf(path, sizeof path, SHM "%s", name);
  int fd = open(path, (writable ? O_RDWR : O_RDONLY) | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) return -errno;
  struct stat st;
  int r = fstat(fd, &st) < 0 ? -errno : 0;
  if (r == 0 && (!S_ISREG(st.st_mode) || st.st_uid != geteuid() || (st.st_mode & 077) || st.st_size < VR_INDEX_OFFSET ||
                 (exact && (uint64_t)st.st_size != exact)))
    r = -EINVAL;
  if (r == 0) {
    long at = vr_map_shared(fd, (size_t)st.st_size, writable ? PROT_READ | PROT_WRITE : PROT_READ);
    if (at < 0 && at > -4096) {
      r = (int)at;
    } else {
      *out = (uint8_t *)at, *size = (uint64_t)st.st_size;
      if (!strstr(name, "_state_")) vr_bus_add(*out, *size, strstr(name, "_board_") ? VR_BUS_BOARD : VR_BUS_VDIR);
    }
  }
  close(fd);
  return r;
}

static int boot_id(uint8_t out[16]) {
  char text[40] = {0};
  int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
  if (fd < 0) return -errno;
  ssize_t n = read(fd, text, 36);
  close(fd);
  if (n != 36) return -EIO;
  int k = 0;
  for (int i = 0; i < 36 && k < 32; i++) {
    char c = text[i];
    if (c == '-') continue;
    int v = c <= '9' ? c - '0' : c - 'a' + 10;
    out[k / 2] = (uint8_t)(k % 2 ? out[k / 2] | v : v << 4);
    k++;
  }
  return k == 32 ? 0 : -EIO;
}

static uint64_t ns_ino(const char *name) {
  struct stat st;
  return stat(name, &st) < 0 ? 0 : st.st_ino;
}

static int by_gid(const void *a, const void *b) {
  gid_t x = *(const gid_t *)a, y = *(const gid_t *)b;
  return x < y ? -1 : x > y;
}

static uint64_t groups_hash(void) {
  gid_t *g = calloc(65536, sizeof *g);
  int n = g ? getgroups(65536, g) : 0;
  if (n < 0) n = 0;
  if (g) qsort(g, (size_t)n, sizeof *g, by_gid);
  uint64_t h = vr_hash64(g ? (void *)g : "", (size_t)n * sizeof *g, 0);
  free(g);
  return h;
}

static uint64_t effective_caps(void) {
  struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
  struct __user_cap_data_struct data[2] = {{0, 0, 0}, {0, 0, 0}};
  if (syscall(SYS_capget, &head, data) < 0) return 0;
  return (uint64_t)data[1].effective << 32 | data[0].effective;
}

void vr_engine_seal_header(struct vr_header *h) {
  h->checksum = vr_hash64(h, offsetof(struct vr_header, checksum), VR_MAGIC);
}

/* What is written at the start of a VDir by this process, for this root. */
int vr_fill_header(struct vr_engine *e, struct vr_header *h, uint64_t id, uint64_t buckets, uint64_t bytes, uint64_t size) {
  struct statx st, basic;
  if (statx(e->root_fd, "", AT_EMPTY_PATH, STATX_BASIC_STATS | STATX_BTIME, &st) < 0 ||
      statx(e->root_fd, "", AT_EMPTY_PATH, STATX_BASIC_STATS, &basic) < 0)
    return -errno;
  h->magic = VR_MAGIC;
  h->version = VR_VERSION;
  h->file_size = size;
  h->vdir_id = id;
  h->board_id = e->board.header->board_id;
  h->hash_seed = e->board.header->hash_seed;
  int r = boot_id(h->boot_id);
  if (r < 0) return r;
  h->root_dev = e->root_dev;
  h->root_ino = e->root_ino;
  h->mnt_ns = ns_ino("/proc/self/ns/mnt");
  h->pid_ns = ns_ino("/proc/self/ns/pid");
  h->user_ns = ns_ino("/proc/self/ns/user");
  h->mnt_id = e->mnt_id;
  h->statx_attributes_mask = st.stx_attributes_mask;
  h->statx_mask = st.stx_mask;
  h->statx_mask_basic = basic.stx_mask;
  h->uid = geteuid();
  h->gid = getegid();
  h->root_len = (uint32_t)strlen(e->root);
  h->index_off = VR_INDEX_OFFSET;
  h->index_buckets = buckets;
  h->entries_off = VR_INDEX_OFFSET + buckets * 64;
  h->entries_size = bytes;
  h->slots = VR_SLOTS;
  h->readonly = faccessat(e->root_fd, ".", W_OK, AT_EACCESS) < 0 && errno == EROFS;
  h->groups_hash = groups_hash();
  h->caps = effective_caps();
  memcpy(h->root_path, e->root, h->root_len);
  vr_engine_seal_header(h);
  return 0;
}

static uint64_t own_start(void) {
  char buf[1024];
  int fd = open("/proc/self/stat", O_RDONLY | O_CLOEXEC);
  if (fd < 0) return 0;
  ssize_t n = read(fd, buf, sizeof buf - 1);
  close(fd);
  if (n <= 0) return 0;
  buf[n] = 0;
  char *p = strrchr(buf, ')');
  for (int i = 2; p && i < 22; i++) p = strchr(p + 1, ' ');
  return p ? strtoull(p + 1, NULL, 10) : 0;
}

/* Makes and maps an empty VDir file for so many entries and points the engine at it. Nothing of the private side is changed. */
int vr_engine_new_file(struct vr_engine *e, uint64_t entries, uint64_t bytes) {
  uint64_t buckets = 1024;
  while (buckets * VR_BUCKET_ENTRIES / 2 < entries) buckets *= 2;
  bytes = (bytes + 4095) & ~4095ull;
  uint64_t size = VR_INDEX_OFFSET + buckets * 64 + bytes, whole = (size + VR_HUGE_PAGE - 1) & ~(VR_HUGE_PAGE - 1);
  if (whole <= e->limits.max_bytes) bytes += whole - size, size = whole; /* what is left over is room for entries */
  if (size > e->limits.max_bytes) return -EDQUOT;
  if (bytes / 16 >= VR_NONE - 1) return -EFBIG;
  uint64_t id = vr_random();
  uint8_t *p;
  int r = vr_shm_create(e, "vdir", id, size, &p);
  if (r < 0) return r;
  r = vr_fill_header(e, (struct vr_header *)(void *)p, id, buckets, bytes, size);
  struct vr_vdir v = {0};
  if (r == 0) vr_bus_add(p, size, VR_BUS_VDIR);
  if (r == 0 && vr_vdir_attach(&v, p, size) != 0) r = -EIO;
  if (r == 0) memcpy(v.header, p, sizeof *v.header);
  if (r < 0) {
    munmap(p, size);
    vr_bus_remove(p);
    vr_shm_remove(e, "vdir", id);
    return r;
  }
  /* An empty bucket is an answer too (absent), so it carries its checksum from the start. */
  for (uint64_t b = 0; b < buckets; b++) {
    struct vr_bucket *k = (struct vr_bucket *)(void *)(p + VR_INDEX_OFFSET + b * 64);
    k->checksum = vr_hash32((uint8_t *)k + 8, 56, b);
  }
  e->vdir = v;
  e->base = p;
  e->dyn = (struct vr_dyn *)(void *)(p + VR_DYN_OFFSET);
  e->pub = (uint64_t *)(void *)(p + VR_PUB_OFFSET);
  e->entry_count = e->entries_used = 0;
  if (e->vdir_fd >= 0) close(e->vdir_fd);
  e->vdir_fd = vr_shm_fd("vdir", id);
  e->dyn->lease_inv = ~0ull;
  e->dyn->drain_done_inv = ~0ull;
  e->dyn->generation = ++e->generation;
  vr_own_vdir(e);
  return 0;
}

void vr_own_vdir(struct vr_engine *e) {
  e->dyn->daemon_pid = (uint64_t)getpid();
  e->dyn->daemon_start = own_start();
}

/* To see that it was cut off, or its name removed. -1: then that is not seen. */
int vr_shm_fd(const char *kind, uint64_t id) {
  char name[96];
  snprintf(name, sizeof name, SHM "vrift_%s_%016llx", kind, (unsigned long long)id);
  return open(name, O_RDWR | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
}

/* A new board, mapped at *out, with the seed of the one there is. */
int vr_board_make(struct vr_engine *e, uint8_t **out) {
  uint64_t id = vr_random(), seed = e->board.base ? e->board.header->hash_seed : vr_random();
  uint8_t *p, boot[16];
  int r = boot_id(boot);
  if (r == 0) r = vr_shm_create(e, "board", id, VR_BOARD_SIZE, &p);
  if (r < 0) return r;
  struct vr_board_header *h = (struct vr_board_header *)(void *)p;
  h->magic = VR_BOARD_MAGIC;
  h->version = VR_BOARD_VERSION;
  h->file_size = VR_BOARD_SIZE;
  h->board_id = id;
  h->hash_seed = seed;
  memcpy(h->boot_id, boot, 16);
  h->root_dev = e->root_dev;
  h->root_ino = e->root_ino;
  h->project_id = vr_hash64(e->root, strlen(e->root), 0);
  h->uid = geteuid();
  h->checksum = vr_hash64(h, offsetof(struct vr_board_header, checksum), VR_BOARD_MAGIC);
  for (uint32_t i = 0; i < VR_BOARD_RECORDS; i++)
    memset(((struct vr_record *)(void *)(p + VR_BOARD_RECORDS_OFFSET))[i].slots, 0xff, sizeof(uint16_t) * 6);
  vr_bus_add(p, VR_BOARD_SIZE, VR_BUS_BOARD);
  *out = p;
  return 0;
}

/* The board that the old link names, if every check holds, else a new one. */
int vr_engine_take_board(struct vr_engine *e, const char *link) {
  uint8_t boot[16];
  int r = boot_id(boot);
  if (r < 0) return r;
  uint64_t project = vr_hash64(e->root, strlen(e->root), 0);
  unsigned long long vdir, board;
  char name[64];
  uint8_t *p;
  uint64_t size;
  if (sscanf(link, "%16llx.%16llx", &vdir, &board) == 2) {
    snprintf(name, sizeof name, "vrift_board_%016llx", board);
    if (vr_shm_open(name, 1, VR_BOARD_SIZE, &p, &size) == 0) {
      struct vr_board b = {0};
      if (vr_board_attach(&b, p, size) == 0 && b.header->board_id == board && !memcmp(b.header->boot_id, boot, 16) &&
          b.header->root_dev == e->root_dev && b.header->root_ino == e->root_ino && b.header->project_id == project &&
          b.header->uid == geteuid() && !vr_gone(&b.dyn->superseded)) {
        memcpy(b.header, p, sizeof *b.header);
        e->board = b;
        e->board_fd = vr_shm_fd("board", board);
        return 1;
      }
      /* Whoever still has it mapped must look for the new one. */
      vr_set_gone(&((struct vr_board_dyn *)(void *)(p + VR_BOARD_DYN_OFFSET))->superseded);
      munmap(p, size);
      vr_bus_remove(p);
      vr_shm_remove(e, "board", board);
    }
  }
  r = vr_board_make(e, &p);
  if (r < 0) return r;
  if (vr_board_attach(&e->board, p, VR_BOARD_SIZE)) return -EIO;
  memcpy(e->board.header, p, sizeof *e->board.header);
  e->board_fd = vr_shm_fd("board", e->board.header->board_id);
  return 0;
}
