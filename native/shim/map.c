/* Finding, checking and mapping the board and the VDir. Every check that fails means: native, look again later. Mappings are never
 * undone, because another thread may be reading them; a successor of the VDir gets its own, a successor of the board is mapped over
 * the old one (its size never changes). No descriptor stays open. */
#include <linux/capability.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/statfs.h>
#include <time.h>
#include "internal.h"
#include "vr_huge.h"
#include "raw.h"
#include "vr_bus.h"

#define HEX 16
#define STATX_MNT_ID_BIT 0x1000u
#define MOUNT_RDONLY 1 /* statfs.f_flags */
#define MOUNT_NOEXEC 8
#define MOUNT_SYNC 16
#define MAPPED_MAX 32 /* VDirs that one process may see in its life; after that it stays native */

static struct shim_mapped mapped[MAPPED_MAX] NEAR_BSS;
static unsigned mapped_count HOT_BSS;
static int busy HOT_BSS;            /* one thread maps; the others go on natively */
static uint64_t bad_board HOT_BSS, bad_until HOT_BSS; /* id of one that is not usable, and how long it is not tried again */
static uint64_t board_retry_at HOT_BSS;
static uint64_t retry_at HOT_BSS;   /* coarse clock before which no VDir is looked for again */

uint64_t shim_now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC_COARSE, &t);
  return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

void shim_off(void) { __atomic_store_n(&shim.ready, -1, __ATOMIC_SEQ_CST); }
void shim_reads_off(uint32_t reason) { __atomic_store_n(&shim.reads_off, reason, __ATOMIC_RELAXED); }

static int hex_ok(const char *p) {
  for (int i = 0; i < HEX; i++)
    if (!((p[i] >= '0' && p[i] <= '9') || (p[i] >= 'a' && p[i] <= 'f'))) return 0;
  return 1;
}
static uint64_t hex_of(const char *p) {
  uint64_t v = 0;
  for (int i = 0; i < HEX; i++) v = v << 4 | (uint64_t)(p[i] <= '9' ? p[i] - '0' : p[i] - 'a' + 10);
  return v;
}
static void hex_to(char *to, uint64_t v) {
  for (int i = HEX - 1; i >= 0; i--, v >>= 4) to[i] = "0123456789abcdef"[v & 15];
}

/* The text of the map link: "<vdir hex>.<board hex>". */
static int read_map(uint64_t *vdir_id, uint64_t *board_id) {
  char text[2 * HEX + 2];
  size_t n = strlen(shim.project_run);
  if (n > VR_ROOT_PATH_MAX) return 0;
  char path[n + 8]; /* no larger than it must be: each page of the stack that is touched first is paid for */
  memcpy(path, shim.project_run, n);
  memcpy(path + n, "/map", 5);
  if (raw_readlink(AT_FDCWD, path, text, sizeof text) != 2 * HEX + 1) return 0;
  if (!hex_ok(text) || text[HEX] != '.' || !hex_ok(text + HEX + 1)) return 0;
  *vdir_id = hex_of(text);
  *board_id = hex_of(text + HEX + 1);
  return 1;
}

/* Maps /dev/shm/<prefix><hex>, after checking that nobody else can have made or changed it. */
static void *map_file(const char *prefix, uint64_t id, int writable, void *at, size_t want, size_t *size) {
  char path[64];
  size_t n = strlen(prefix);
  memcpy(path, prefix, n);
  hex_to(path + n, id);
  path[n + HEX] = 0;
  int fd = raw_open(AT_FDCWD, path, (writable ? O_RDWR : O_RDONLY) | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK, 0);
  if (fd < 0) return NULL;
  struct stat st;
  long p = -1;
  if (raw_fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && (st.st_mode & 07777) == 0600 && st.st_uid == (uid_t)raw0(SYS_geteuid) &&
      st.st_size >= (off_t)VR_INDEX_OFFSET && (!want || (size_t)st.st_size == want)) {
    *size = (size_t)st.st_size;
    p = at ? raw_mmap(at, *size, PROT_READ | (writable ? PROT_WRITE : 0), MAP_SHARED | MAP_FIXED, fd)
           : vr_map_shared(fd, *size, PROT_READ | (writable ? PROT_WRITE : 0));
    if (!raw_failed(p)) {
      vr_bus_add((void *)p, *size, writable ? VR_BUS_BOARD : VR_BUS_VDIR);
      shim_bus_protect();
    }
  }
  raw_close(fd);
  return raw_failed(p) ? NULL : (void *)p;
}

static void unmap(void *p, size_t size) {
  raw2(SYS_munmap, (long)p, (long)size);
  vr_bus_remove(p);
}

/* Checks a board before it may be laid over the old one. */
static int map_board(uint64_t id) {
  size_t size;
  static struct vr_board fresh FAR_BSS; /* for a successor; guarded by busy */
  struct vr_board *b = shim.board.base ? &fresh : &shim.board;
  uint8_t *p = map_file("/dev/shm/vrift_board_", id, 1, NULL, VR_BOARD_SIZE, &size);
  if (!p) return 0;
  int gone = vr_gone(&((struct vr_board_dyn *)(void *)(p + VR_BOARD_DYN_OFFSET))->superseded);
  if (gone || ((struct vr_board_header *)(void *)p)->board_id != id || vr_board_attach(b, p, size)) {
    if (!gone) { /* another version's, or damaged and soon put right by the daemon */
      __atomic_store_n(&bad_board, id, __ATOMIC_RELAXED);
      __atomic_store_n(&bad_until, shim_now() + SHIM_RETRY_BAD_NS, __ATOMIC_RELAXED);
    }
    unmap(p, size);
    return 0;
  }
  if (b != &shim.board) {
    unmap(p, size);
    if (!map_file("/dev/shm/vrift_board_", id, 1, shim.board.base, VR_BOARD_SIZE, &size)) return 0;
    vr_facts_copy(shim.board.header, fresh.header, VR_BOARD_FACTS);
    __atomic_store_n(&shim.vdir, NULL, __ATOMIC_RELEASE); /* it was paired with the old one */
    shim_board_replaced();
  }
  __atomic_fetch_add(&shim.board.dyn->loads, 1, __ATOMIC_RELAXED);
  return 1;
}

static int board_usable(void) {
  return __atomic_load_n(&shim.board.base, __ATOMIC_ACQUIRE) && !vr_gone(&shim.board.dyn->superseded);
}

int shim_want_board(void) {
  if (board_usable()) return 1;
  uint64_t vdir_id, board_id = 0;
  uint64_t bad = __atomic_load_n(&bad_board, __ATOMIC_RELAXED);
  if (bad && shim_now() >= __atomic_load_n(&bad_until, __ATOMIC_RELAXED)) bad = 0;
  int named = !shim.board.base && shim_vouched(&vdir_id, &board_id) && board_id != bad;
  if (!shim_active() || (!named && !read_map(&vdir_id, &board_id))) return 0;
  if (shim.board.base && shim.board.header->board_id == board_id) return 0; /* superseded, and no successor yet */
  if (bad && board_id == bad) return 0;
  if (__atomic_exchange_n(&busy, 1, __ATOMIC_ACQUIRE)) return board_usable();
  int saved = errno, ok = board_usable() || map_board(board_id);
  if (!ok && named && read_map(&vdir_id, &board_id)) ok = map_board(board_id);
  __atomic_store_n(&busy, 0, __ATOMIC_RELEASE);
  errno = saved;
  return ok;
}

int shim_look_for_board(void) {
  if (__atomic_load_n(&shim.board.base, __ATOMIC_ACQUIRE)) return shim_want_board();
  /* The first time without a look at the clock, which costs a short process two pages. */
  uint64_t again = __atomic_load_n(&board_retry_at, __ATOMIC_RELAXED);
  if (again && shim_now() < again) return 0;
  if (shim_want_board()) return 1;
  __atomic_store_n(&board_retry_at, shim_now() + SHIM_RETRY_BOARD_NS, __ATOMIC_RELAXED);
  return 0;
}

static uint64_t ns_inode(const char *path) {
  struct stat st;
  return raw_stat(AT_FDCWD, path, &st, 0) == 0 ? st.st_ino : 0;
}

/* Effective credentials equal the daemon's: its view of what is searchable is ours. Looked at in every process, for an exec can take
 * capabilities away. */
static int same_credentials(struct shim_mapped *m) {
  const struct vr_header *h = m->v.header;
  m->who.uid = (uint32_t)raw0(SYS_geteuid);
  m->who.gid = (uint32_t)raw0(SYS_getegid);
  long n = raw2(SYS_getgroups, 64, (long)m->who.groups);
  struct __user_cap_header_struct head = {_LINUX_CAPABILITY_VERSION_3, 0};
  struct __user_cap_data_struct data[2] = {{0, 0, 0}, {0, 0, 0}};
  if (n < 0 || raw2(SYS_capget, (long)&head, (long)data) < 0) return 0;
  m->who.ngroups = (uint32_t)n;
  uint64_t caps = (uint64_t)data[1].effective << 32 | data[0].effective;
  m->who.dac_override = (data[0].effective >> CAP_DAC_OVERRIDE) & 1;
  m->who.may_access = (uint32_t)raw0(SYS_getuid) == m->who.uid && (uint32_t)raw0(SYS_getgid) == m->who.gid;
  return h->uid == m->who.uid && h->gid == m->who.gid && h->caps == caps && h->groups_hash == vr_groups_hash(m->who.groups, (size_t)n);
}

/* The root that the header speaks of is the one at our root path, in our namespaces. vouched: so it is for the process that started us,
 * which had made sure and has handed both on. */
static int same_place(struct shim_mapped *m, int vouched) {
  const struct vr_header *h = m->v.header;
  const uint32_t known = STATX_BASIC_STATS | STATX_BTIME | STATX_MNT_ID_BIT;
  struct statx root;
  struct statfs fs;
  const struct vr_header *whole = (const struct vr_header *)(const void *)m->v.base; /* the path was summed a moment ago, and not copied */
  if (h->root_len != shim.root_len || memcmp(whole->root_path, shim.root, shim.root_len)) return 0;
  if (raw2(SYS_statfs, (long)shim.root, (long)&fs) < 0) return 0;
  m->root_dev = h->root_dev;
  m->who.noexec = (fs.f_flags & MOUNT_NOEXEC) != 0;
  m->who.readonly = (fs.f_flags & MOUNT_RDONLY) != 0 || h->readonly;
  m->who.synchronous = (fs.f_flags & MOUNT_SYNC) != 0;
  m->who.statx_ok = !((h->statx_mask | h->statx_mask_basic) & ~known);
  if (vouched) return 1;
  if (raw_statx(AT_FDCWD, shim.root, AT_SYMLINK_NOFOLLOW, known, &root)) return 0;
  uint64_t dev = ((uint64_t)root.stx_dev_major & 0xfff) << 8 | ((uint64_t)root.stx_dev_major & ~0xfffull) << 32 |
                 (root.stx_dev_minor & 0xff) | ((uint64_t)root.stx_dev_minor & ~0xffull) << 12;
  if (dev != h->root_dev || root.stx_ino != h->root_ino) return 0;
  if ((root.stx_mask & STATX_MNT_ID_BIT) && root.stx_mnt_id != h->mnt_id) return 0;
  return h->mnt_ns == ns_inode("/proc/self/ns/mnt") && h->pid_ns == ns_inode("/proc/self/ns/pid") &&
         h->user_ns == ns_inode("/proc/self/ns/user");
}

static int pair_ok(const struct shim_mapped *m, uint64_t vdir_id) {
  const struct vr_header *h = m->v.header;
  const struct vr_board_header *b = shim.board.header;
  return h->vdir_id == vdir_id && h->board_id == b->board_id && h->hash_seed == b->hash_seed &&
         !memcmp(h->boot_id, b->boot_id, sizeof h->boot_id) && !vr_gone(&m->v.dyn->superseded);
}

static int map_vdir(uint64_t vdir_id, int vouched) {
  if (mapped_count >= MAPPED_MAX) return 0;
  struct shim_mapped *m = &mapped[mapped_count];
  memset(m, 0, offsetof(struct shim_mapped, v.header)); /* what of the header is used is copied */
  size_t size;
  void *p = map_file("/dev/shm/vrift_vdir_", vdir_id, 0, NULL, 0, &size);
  if (!p) return 0;
  int attached = vr_vdir_attach(&m->v, p, size) == 0;
  if (attached && pair_ok(m, vdir_id)) {
    if (same_place(m, vouched) && same_credentials(m)) {
      m->need = shim_first_need(&m->v);
      shim.root_dev = m->root_dev;
      mapped_count++;
      shim_classify(&m->v);
      __atomic_store_n(&shim.vdir, &m->v, __ATOMIC_RELEASE);
      return 1;
    }
    shim_reads_off(VR_STAT_NATIVE_CREDENTIALS);
  } else if (!attached && shim.board.base) {
    __atomic_fetch_add(&shim.board.dyn->corrupt, 1, __ATOMIC_RELAXED);
  }
  unmap(p, size);
  return 0;
}

static int vdir_usable(const struct vr_vdir *v) { return v && !vr_gone(&v->dyn->superseded); }

int shim_want_vdir(void) {
  if (vdir_usable(shim_vdir()) && board_usable()) return 1;
  if (!shim_active() || shim.reads_off) return 0;
  uint64_t now = shim_now();
  if (now < __atomic_load_n(&retry_at, __ATOMIC_RELAXED)) return 0;
  __atomic_store_n(&retry_at, now + SHIM_RETRY_MAP_NS, __ATOMIC_RELAXED);
  uint64_t vdir_id, board_id, vdir_named, board_named;
  if (!shim_want_board()) return 0;
  int vouched = shim_vouched(&vdir_named, &board_named) && board_named == shim.board.header->board_id;
  if (__atomic_exchange_n(&busy, 1, __ATOMIC_ACQUIRE)) return 0;
  int saved = errno, ok = vdir_usable(shim_vdir());
  if (!ok && vouched && !mapped_count) ok = map_vdir(vdir_named, 1);
  if (!ok && !shim.reads_off && read_map(&vdir_id, &board_id) && shim.board.header->board_id == board_id) ok = map_vdir(vdir_id, vouched);
  __atomic_store_n(&busy, 0, __ATOMIC_RELEASE);
  errno = saved;
  return ok;
}

/* A leaky program changes and learns things past libc, so it may not read from memory; nor may one that is not yet known. Its pid
 * is left in a free word of the board for the daemon to look at. */
void shim_classify(const struct vr_vdir *v) {
  struct statx x;
  struct vr_program file;
  uint32_t count, program = VR_PROGRAM_LEAKY, libraries;
  do { /* a library that another thread names meanwhile counts */
    count = shim_libraries_named();
    libraries = shim_libraries_verdict(v);
    if (raw_statx(AT_FDCWD, "/proc/self/exe", 0, STATX_BASIC_STATS, &x) == 0) {
      shim_file_key(&file, &x);
      program = vr_program_verdict(v, &file);
    }
    __atomic_store_n(&shim.leaky, program != VR_PROGRAM_SEEN || libraries != VR_PROGRAM_SEEN, __ATOMIC_SEQ_CST);
  } while (shim_libraries_named() != count);
  if (program == VR_PROGRAM_LEAKY || libraries == VR_PROGRAM_LEAKY || !shim.leaky || !shim.board.base) return;
  uint64_t pid = (uint64_t)raw_getpid() | (libraries == VR_PROGRAM_UNKNOWN ? VR_CLASSIFY_LIBRARIES : 0);
  for (unsigned i = 0; i < VR_BOARD_CLASSIFY; i++)
    if (__atomic_load_n(&shim.board.classify[i], __ATOMIC_RELAXED) == pid) return;
  for (unsigned i = 0; i < VR_BOARD_CLASSIFY; i++) {
    uint64_t empty = 0;
    if (!__atomic_compare_exchange_n(&shim.board.classify[i], &empty, pid, 0, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED)) continue;
    __atomic_fetch_add(&shim.board.dyn->want_turn, VR_WANT_MANY, __ATOMIC_SEQ_CST); /* it must be looked at while we live */
    vr_ring(&shim.board, 1);
    return;
  }
}
