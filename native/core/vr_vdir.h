/* The VDir: attach and the lock-free read (docs/PROTOCOL.md section 3). Used by the shim (reader), the daemon's library and
 * tests. No allocation, no lock, bounded retries; safe in signal handlers. */
#ifndef VR_VDIR_H
#define VR_VDIR_H
#include "vr_board.h"

struct vr_vdir {
  const uint8_t *base; /* whole mapping; NULL: none */
  const struct vr_dyn *dyn;
  const uint64_t *pub;
  const struct vr_program *programs;
  const uint8_t *index;
  const uint8_t *entries;
  uint64_t buckets, entries_size, seed;
  uint64_t size;
  struct vr_header header[1]; /* a copy of our own, checked; filled up to the first reserved bytes, by the daemon as a whole */
};
#define VR_FACTS ((offsetof(struct vr_header, reserved188) + 7) & ~(size_t)7)

enum vr_answer { VR_FOUND, VR_ENOENT, VR_ENOTDIR, VR_NATIVE };

/* Header, checksum, geometry against size. 0: good. */
int vr_vdir_attach(struct vr_vdir *v, const void *base, size_t size);
/* Copies the entry of rel under seq and checksum, whatever its state; path compared. 1 found, 0 absent, -1 unsure (native),
 * -2 corrupt. target (may be NULL) gets at most target_cap bytes of a symlink's target. */
int vr_vdir_get(const struct vr_vdir *v, const char *rel, size_t len, uint64_t hash, struct vr_entry *out, char *target, size_t target_cap);
/* The whole read protocol for one path without following a final symlink. now = CLOCK_MONOTONIC_COARSE ns; need as in section 5.
 * On VR_NATIVE *reason is a VR_STAT_NATIVE_*. On VR_FOUND *out is a true, CLEAN entry. */
enum vr_answer vr_lookup(const struct vr_vdir *v, const struct vr_board *b, const char *rel, size_t len, uint64_t now, uint64_t need,
                         struct vr_entry *out, char *target, size_t target_cap, uint32_t *reason);
/* Only step 1, and G clean: may memory be asked at all? 0 or a VR_STAT_NATIVE_*. */
uint32_t vr_readable(const struct vr_vdir *v, const struct vr_board *b, uint64_t now, uint64_t need);
#define VR_DRAINS_BEGUN_MAX 65536u /* so many may be begun and given up after the last one that was done */
/* The number of the newest drain that may have begun by now. `done` is read first, so it is never the greater one. When the word and its
 * complement disagree, one of them has a flipped bit or is just being stored; the other is right: the greater one, unless it is absurd. */
static inline uint64_t vr_newest_drain(const struct vr_vdir *v) {
  uint64_t done = __atomic_load_n(&v->dyn->drain_done, __ATOMIC_ACQUIRE);
  uint64_t started = __atomic_load_n(&v->dyn->drain_started, __ATOMIC_ACQUIRE);
  uint64_t other = ~__atomic_load_n(&v->dyn->drain_started_inv, __ATOMIC_RELAXED);
  if (__builtin_expect(started == other, 1)) return started;
  uint64_t high = started > other ? started : other, low = started > other ? other : started;
  if (done != ~__atomic_load_n(&v->dyn->drain_done_inv, __ATOMIC_RELAXED)) return high; /* nothing is answered while that is so */
  if (high >= done && high - done <= VR_DRAINS_BEGUN_MAX) return high;
  return low >= done && low - done <= VR_DRAINS_BEGUN_MAX ? low : done + VR_DRAINS_BEGUN_MAX;
}
/* programs[]: open addressing from here, one step at a time, at most VR_PROGRAM_PROBES; an all-zero row ends a chain. */
#define VR_PROGRAM_PROBES 64
static inline uint32_t vr_program_start(uint64_t dev, uint64_t ino) {
  uint64_t key[2] = {dev, ino};
  return (uint32_t)vr_hash64(key, sizeof key, 0) % VR_PROGRAMS;
}
/* The verdict on exactly this file (all fields compared), VR_PROGRAM_UNKNOWN when there is none or the row fails its check. */
uint32_t vr_program_verdict(const struct vr_vdir *v, const struct vr_program *file);
/* header.groups_hash: of the supplementary groups in ascending order; sorts them in place. */
static inline uint64_t vr_groups_hash(uint32_t *groups, size_t n) {
  for (size_t i = 1; i < n; i++)
    for (size_t j = i; j > 0 && groups[j - 1] > groups[j]; j--) {
      uint32_t t = groups[j];
      groups[j] = groups[j - 1];
      groups[j - 1] = t;
    }
  return vr_hash64(groups, n * sizeof *groups, 0);
}
#endif
