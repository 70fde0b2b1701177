/* Opening and closing an engine, and what is asked of it between turns: preloading names, comparing with the tree, changes. */
#include "vr_engine_internal.h"
#include "vr_fault.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

#define DENT_BYTES (32 * 1024)
#define FIRST_ENTRIES 16384
#define ENTRY_GUESS 208 /* bytes of an entry with a path of usual length */

enum { FS_EXT4 = 0xEF53, FS_XFS = 0x58465342, FS_BTRFS = 0x9123683E, FS_TMPFS = 0x01021994, FS_F2FS = 0xF2F52010 };

static int fail(int r, char *reason, size_t cap, const char *format, ...) {
  va_list a;
  va_start(a, format);
  vsnprintf(reason, cap, format, a);
  va_end(a);
  return r;
}

static int open_root(struct vr_engine *e, const char *root, char *reason, size_t cap) {
  char real[PATH_MAX], proc[40];
  struct statx st;
  struct statfs fs;
  struct statvfs vfs;
  if (root[0] != '/' || strlen(root) >= sizeof e->root || !root[1]) return fail(-EINVAL, reason, cap, "the root must be an absolute path below / and shorter than %zu bytes", sizeof e->root);
  e->root_fd = open(root, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (e->root_fd < 0) return fail(-errno, reason, cap, "cannot open %s: %s", root, strerror(errno));
  snprintf(proc, sizeof proc, "/proc/self/fd/%d", e->root_fd);
  ssize_t n = readlink(proc, real, sizeof real - 1);
  if (n <= 0) return fail(-EIO, reason, cap, "/proc is not mounted");
  real[n] = 0;
  if (strcmp(real, root)) return fail(-EINVAL, reason, cap, "%s is really %s: use that", root, real);
  strcpy(e->root, root);
  if (statx(e->root_fd, "", AT_EMPTY_PATH, STATX_BASIC_STATS | STATX_MNT_ID, &st) < 0 || fstatfs(e->root_fd, &fs) < 0 || fstatvfs(e->root_fd, &vfs) < 0)
    return fail(-errno, reason, cap, "cannot stat %s: %s", root, strerror(errno));
  struct stat plain;
  if (fstat(e->root_fd, &plain) < 0) return fail(-errno, reason, cap, "cannot stat %s: %s", root, strerror(errno));
  e->root_dev = plain.st_dev;
  e->root_ino = plain.st_ino;
  e->mnt_id = st.stx_mnt_id;
  e->magic = (uint32_t)fs.f_type;
  switch (e->magic) {
    case FS_EXT4: e->delayed = 1; break;
    case FS_TMPFS: break;
    case FS_XFS: case FS_BTRFS: case FS_F2FS: e->delayed = 2; break;
    default: e->native_why = VR_NATIVE_FILESYSTEM;
  }
  e->noatime = (vfs.f_flag & ST_NOATIME) || (vfs.f_flag & ST_RDONLY);
  e->nodiratime = !!(vfs.f_flag & ST_NODIRATIME);
  if (!e->noatime && !(vfs.f_flag & ST_RELATIME) && e->native_why == VR_NATIVE_NONE) e->native_why = VR_NATIVE_ATIME;
  return 0;
}

/* The predecessor's VDir, to be superseded; gives a hint of the size and a floor for the drain numbers. */
static void look_at_old(struct vr_engine *e, const char *link, uint64_t *entries, uint64_t *bytes, uint64_t *drain) {
  unsigned long long vdir;
  char name[64];
  uint64_t size;
  if (sscanf(link, "%16llx.", &vdir) != 1) return;
  snprintf(name, sizeof name, "vrift_vdir_%016llx", vdir);
  if (vr_shm_open(name, 1, 0, &e->old_base, &size) < 0) return;
  e->old_size = size;
  e->old_id = vdir;
  const struct vr_header *h = (const struct vr_header *)(const void *)e->old_base;
  const struct vr_dyn *d = (const struct vr_dyn *)(const void *)(e->old_base + VR_DYN_OFFSET);
  if (h->magic != VR_MAGIC || h->vdir_id != vdir || h->checksum != vr_hash64(h, offsetof(struct vr_header, checksum), VR_MAGIC) || h->file_size != size)
    return; /* only its name is needed from here on */
  if (d->entry_count < size / 128 && d->entries_used <= size) *entries = d->entry_count + d->entry_count / 8, *bytes = d->entries_used + d->entries_used / 8;
  if (d->drain_started > *drain && d->drain_started < *drain * 2) *drain = d->drain_started + 1;
  e->generation = d->generation;
}

/* A new VDir beside the board; the one that the link names is superseded when it is published. */
static int open_anew(struct vr_engine *e, const char *link, char *reason, size_t cap) {
  uint64_t entries = e->limits.hint > FIRST_ENTRIES ? e->limits.hint : FIRST_ENTRIES, bytes = 0, drain = vr_clock(CLOCK_BOOTTIME) / 1000, had = 0;
  struct vr_region none;
  if (e->inotify < 0) e->inotify = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
  if (e->inotify < 0) return fail(-errno, reason, cap, "inotify_init: %s (see fs.inotify.max_user_instances)", strerror(errno));
  e->watch_id = vr_random();
  look_at_old(e, link, &had, &bytes, &drain);
  if (had > entries) entries = had;
  if (bytes < entries * ENTRY_GUESS) bytes = entries * ENTRY_GUESS;
  int r = vr_engine_new_file(e, entries, bytes);
  if (r == -EDQUOT || r == -ENOSPC) r = vr_engine_new_file(e, FIRST_ENTRIES / 4, FIRST_ENTRIES / 4 * ENTRY_GUESS);
  if (r < 0) return fail(r, reason, cap, "cannot make the VDir in /dev/shm: %s", strerror(-r));
  uint32_t nodes = had > 1u << 29 ? 1u << 29 : (uint32_t)had;
  if (vr_state_renew(e, nodes, nodes / 8, &none) < 0) return fail(-ENOMEM, reason, cap, "no memory");
  if (e->region.id && vr_name_link(e) < 0) vr_state_spoil(&e->region);
  e->dyn->drain_started = e->drain_begun = drain;
  e->dyn->drain_started_inv = ~drain;
  for (uint32_t s = 0; s < VR_SLOTS; s++) e->pub[s] = __atomic_load_n(&e->board.ver[s], __ATOMIC_SEQ_CST) - VR_BOARD_BUMP;
  if (e->native_why == VR_NATIVE_FILESYSTEM) return 0;
  uint32_t n = vr_enter(e, VR_NONE, "", 0, 0);
  if (n == VR_NONE) return fail(-ENOMEM, reason, cap, "no memory");
  vr_distrust_node(e, n);
  return 0;
}

int vr_engine_open_kept(const char *root, const char *map_path, const struct vr_limits *limits, int watch, uint64_t watch_id, struct vr_engine **out,
                        char *reason, size_t cap) {
  struct vr_engine *e = calloc(1, sizeof *e);
  if (!e) {
    if (watch >= 0) close(watch);
    return fail(-ENOMEM, reason, cap, "no memory");
  }
  uint64_t begun = vr_clock(CLOCK_MONOTONIC);
  e->root_fd = e->inotify = e->mounts = e->scan_fd = e->vdir_fd = e->board_fd = -1;
  vr_bus_install();
  e->limits = *limits;
  e->uid = geteuid();
  e->forbidden = calloc(1, sizeof *e->forbidden);
  e->dents = malloc(DENT_BYTES);
  int r = e->forbidden && e->dents ? 0 : fail(-ENOMEM, reason, cap, "no memory");
  if (r == 0 && strlen(map_path) >= sizeof e->map_path) r = fail(-ENAMETOOLONG, reason, cap, "%s is too long", map_path);
  if (r == 0) r = open_root(e, root, reason, cap);
  if (r == 0) strcpy(e->map_path, map_path);
  if (r == 0 && (r = vr_mounts_init(e)) < 0) fail(r, reason, cap, "cannot watch /proc/self/mountinfo: %s", strerror(-r));
  char link[64] = {0};
  if (r == 0) {
    if (readlink(map_path, link, sizeof link - 1) < 0) link[0] = 0;
    r = vr_engine_take_board(e, link);
    e->board_new = r == 0;
    if (r < 0) fail(r, reason, cap, "cannot make the board in /dev/shm: %s", strerror(-r));
  }
  int adopted = r == 1 && watch >= 0 && vr_adopt(e, link, watch, watch_id, reason, cap);
  if (!adopted && watch >= 0) close(watch);
  if (r >= 0) {
    unsigned long long vdir = 0;
    sscanf(link, "%16llx.", &vdir);
    vr_names_sweep(e, vdir, e->board.header->board_id, adopted ? e->region.id : 0);
    r = adopted ? 0 : open_anew(e, link, reason, cap);
  }
  if (r < 0) {
    vr_engine_close(e, 0);
    return r;
  }
  e->rep.adopted = (uint64_t)adopted;
  e->rep.adopt_us = adopted ? (vr_clock(CLOCK_MONOTONIC) - begun) / 1000 : 0;
  *out = e;
  return 0;
}

int vr_engine_open(const char *root, const char *map_path, const struct vr_limits *limits, struct vr_engine **out, char *reason, size_t cap) {
  return vr_engine_open_kept(root, map_path, limits, -1, 0, out, reason, cap);
}

void vr_engine_retire(struct vr_engine *e, int unlink_files) {
  int gone = unlink_files || !e->published;
  if (gone) vr_state_spoil(&e->region);
  if (e->base) {
    __atomic_store_n(&e->dyn->lease, 0, __ATOMIC_SEQ_CST);
    __atomic_store_n(&e->dyn->lease_inv, ~0ull, __ATOMIC_SEQ_CST);
    if (gone) {
      vr_set_gone(&e->dyn->superseded);
      vr_name_unlink(e, e->vdir.header->vdir_id);
      vr_shm_remove(e, "vdir", e->vdir.header->vdir_id);
    }
  }
  if (gone && e->region.id) vr_shm_remove(e, "state", e->region.id);
  if (!e->published && e->board.base && e->board_new) vr_shm_remove(e, "board", e->board.header->board_id);
  if (unlink_files && e->published) {
    unlink(e->map_path);
    if (e->board.base) {
      vr_set_gone(&e->board.dyn->superseded);
      vr_shm_remove(e, "board", e->board.header->board_id);
    }
  }
}

void vr_engine_close(struct vr_engine *e, int unlink_files) {
  if (!e) return;
  vr_engine_retire(e, unlink_files);
  if (e->base) munmap(e->base, e->vdir.size), vr_bus_remove(e->base);
  if (e->board.base) munmap(e->board.base, VR_BOARD_SIZE), vr_bus_remove(e->board.base);
  if (e->old_base) munmap(e->old_base, e->old_size), vr_bus_remove(e->old_base);
  if (e->region.base) munmap(e->region.base, e->region.size);
  if (e->vdir_fd >= 0) close(e->vdir_fd);
  if (e->board_fd >= 0) close(e->board_fd);
  if (e->inotify >= 0) close(e->inotify);
  if (e->mounts >= 0) close(e->mounts);
  if (e->root_fd >= 0) close(e->root_fd);
  if (e->scan_fd >= 0) close(e->scan_fd);
  free(e->wds), free(e->verify.at), free(e->scan.at), free(e->changes.at);
  free(e->settles), free(e->pending), free(e->forbidden), free(e->dents);
  free(e);
}

int vr_engine_watch(const struct vr_engine *e, uint64_t *number) {
  *number = e->watch_id;
  return e->inotify;
}

int vr_engine_adopted(const struct vr_engine *e) { return e->rep.adopted != 0; }

int vr_engine_preload(struct vr_engine *e, const uint8_t *names, size_t size) {
  int entered = 0;
  for (size_t at = 0; at + 2 <= size;) {
    uint32_t len = names[at] | (uint32_t)names[at + 1] << 8;
    const char *rel = (const char *)names + at + 2;
    if (at + 2 + len > size) break;
    at += 2 + (size_t)len;
    if (len >= VR_REL_MAX || !vr_path_sane(rel, len)) continue;
    /* Only below a parent that is known: the store is read in the order of paths, parents first. */
    const char *slash = memrchr(rel, '/', len);
    uint32_t plen = slash ? (uint32_t)(slash - rel) : 0;
    uint32_t p = vr_find(e, rel, plen, vr_hash64(rel, plen, e->vdir.seed));
    if (p == VR_NONE || (e->nodes[p].flags & N_EXCLUDED)) continue;
    uint32_t n = vr_enter(e, p, rel, len, 0);
    if (n == VR_NONE) break;
    e->nodes[n].flags |= N_KEPT; /* so that its absence is reported */
    vr_distrust_node(e, n);
    entered++;
  }
  return entered;
}

void vr_engine_program(struct vr_engine *e, const struct vr_program *p) {
  uint64_t h = vr_hash64(&p->dev, 16, 0);
  for (uint32_t i = 0; i < 16; i++) { /* the last probed one is overwritten when all are taken */
    struct vr_program *q = (struct vr_program *)(void *)(e->base + VR_PROGRAMS_OFFSET) + (h + i) % VR_PROGRAMS;
    if (q->verdict && (q->dev != p->dev || q->ino != p->ino) && i < 15) continue;
    struct vr_program x = *p;
    x.seq = q->seq + 2;
    x.reserved60 = 0;
    x.checksum = vr_hash32((uint8_t *)&x + 8, 56, 0);
    __atomic_store_n(&q->seq, q->seq + 1, __ATOMIC_RELAXED);
    __atomic_thread_fence(__ATOMIC_RELEASE);
    memcpy((uint8_t *)q + 4, (uint8_t *)&x + 4, sizeof x - 4);
    __atomic_store_n(&q->seq, x.seq, __ATOMIC_RELEASE);
    return;
  }
}

uint64_t vr_engine_drain_started(const struct vr_engine *e) { return __atomic_load_n(&e->drain_begun, __ATOMIC_SEQ_CST); }
uint64_t vr_engine_root_dev(const struct vr_engine *e) { return e->root_dev; }
struct vr_vdir *vr_engine_vdir(struct vr_engine *e) { return &e->vdir; }
struct vr_board *vr_engine_board(struct vr_engine *e) { return &e->board; }
