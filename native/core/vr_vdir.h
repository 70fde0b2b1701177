/* The VDir: attach and the lock-free read (docs/PROTOCOL.md section 3). Used by the shim (reader), the daemon's library and
 * tests. No allocation, no lock, bounded retries; safe in signal handlers. */
#ifndef VR_VDIR_H
#define VR_VDIR_H
#include "vr_board.h"

struct vr_vdir {
  const uint8_t *base; /* whole mapping; NULL: none */
  const struct vr_header *header;
  const struct vr_dyn *dyn;
  const uint64_t *pub;
  const struct vr_program *programs;
  const uint8_t *index;
  const uint8_t *entries;
  uint64_t buckets, entries_size, seed;
  uint64_t size;
};

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
#endif
