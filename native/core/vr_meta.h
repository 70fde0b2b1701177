/* Items of a metadata batch (dev.vrift.layout.MetaLayout): what the daemon hands to its LMDB and gets back from it. */
#ifndef VR_META_H
#define VR_META_H
#include "vrift_layout.h"
#include <string.h>

#define VR_META_FIXED sizeof(struct vr_meta)

static inline size_t vr_meta_size(size_t path_len, size_t target_len) {
  return (VR_META_FIXED + path_len + target_len + 7) & ~(size_t)7;
}
static inline struct vr_entry *vr_meta_entry(struct vr_meta *m) { return (struct vr_entry *)m->entry; }
static inline const char *vr_meta_path(const struct vr_meta *m) { return (const char *)(m + 1); }

/* Appends one item at buf (8-aligned). e may be NULL for VR_META_OP_DELETE. Returns its size, or 0 when it does not fit into cap. */
static inline size_t vr_meta_append(void *buf, size_t cap, uint32_t op, const struct vr_entry *e, uint64_t dev, uint64_t epoch,
                                    const char *path, size_t path_len, const char *target, size_t target_len) {
  size_t n = vr_meta_size(path_len, target_len);
  if (n > cap || path_len > 4095 || target_len > 4095) return 0;
  struct vr_meta *m = (struct vr_meta *)buf;
  memset(buf, 0, n);
  m->length = (uint32_t)n;
  m->op = op;
  m->version = VR_META_VERSION;
  m->epoch = epoch;
  m->dev = dev;
  struct vr_entry *d = vr_meta_entry(m);
  if (e) memcpy(d, e, sizeof *d);
  d->seq = 0;
  d->checksum = 0;
  d->path_hash = 0;
  d->path_len = (uint16_t)path_len;
  d->target_len = (uint16_t)target_len;
  memcpy((uint8_t *)buf + VR_META_FIXED, path, path_len);
  if (target_len) memcpy((uint8_t *)buf + VR_META_FIXED + path_len, target, target_len);
  return n;
}

/* Checks an item of a batch against the bytes left of it. Returns its length, or 0 when it is malformed. */
static inline size_t vr_meta_item(const void *buf, size_t left) {
  const struct vr_meta *m = (const struct vr_meta *)buf;
  if (left < VR_META_FIXED || m->length > left || m->length < VR_META_FIXED || (m->length & 7)) return 0;
  const struct vr_entry *e = (const struct vr_entry *)m->entry;
  if (e->path_len > 4095 || e->target_len > 4095 || m->version != VR_META_VERSION) return 0;
  return vr_meta_size(e->path_len, e->target_len) == m->length ? m->length : 0;
}
#endif
