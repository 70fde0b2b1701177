/* A larger VDir file beside the same board. Everything is copied, paths and states; offsets change, node numbers do not. */
#include "vr_engine_internal.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

static void vdir_name(char out[96], uint64_t id) { snprintf(out, 96, "/dev/shm/vrift_vdir_%016llx", (unsigned long long)id); }

/* No answers from it any more; whoever asks looks for the successor. */
static void supersede(uint8_t *base, size_t size, uint64_t id) {
  struct vr_dyn *d = (struct vr_dyn *)(void *)(base + VR_DYN_OFFSET);
  __atomic_store_n(&d->lease, 0, __ATOMIC_SEQ_CST);
  __atomic_store_n(&d->lease_inv, ~0ull, __ATOMIC_SEQ_CST);
  __atomic_store_n(&d->superseded, 1, __ATOMIC_SEQ_CST);
  munmap(base, size);
  char name[96];
  vdir_name(name, id);
  unlink(name);
}

int vr_engine_publish(struct vr_engine *e) {
  char text[64], tmp[VR_REL_MAX + 32];
  snprintf(text, sizeof text, "%016llx.%016llx", (unsigned long long)e->vdir.header->vdir_id,
           (unsigned long long)e->board.header->board_id);
  snprintf(tmp, sizeof tmp, "%s.new%d", e->map_path, (int)getpid());
  unlink(tmp);
  if (symlink(text, tmp) < 0) return -errno;
  if (rename(tmp, e->map_path) < 0) {
    int r = -errno;
    unlink(tmp);
    return r;
  }
  e->published = 1;
  if (e->old_base) {
    supersede(e->old_base, e->old_size, ((struct vr_header *)(void *)e->old_base)->vdir_id);
    e->old_base = NULL;
  }
  return 0;
}

/* Copies one node's entry into the new file. 0, or -1 when the old one is damaged. */
static int copy_entry(struct vr_engine *e, const uint8_t *old_entries, uint64_t old_size, uint32_t n) {
  struct vr_node *d = &e->nodes[n];
  uint64_t at = (uint64_t)d->off * 16;
  if (at + 128 > old_size) return -1;
  const struct vr_entry *x = (const struct vr_entry *)(const void *)(old_entries + at);
  uint32_t len = 128u + x->path_len + x->target_len;
  if (at + len > old_size || x->path_hash != d->hash || (x->seq & 1) ||
      x->checksum != vr_hash32((const uint8_t *)x + 8, len - 8, (uint32_t)x->path_hash))
    return -1;
  uint64_t need = (128u + x->path_len + (uint64_t)d->target_cap + 15) & ~15ull;
  uint32_t off = (uint32_t)(e->dyn->entries_used / 16);
  struct vr_entry *y = (struct vr_entry *)(void *)(e->base + e->vdir.header->entries_off + e->dyn->entries_used);
  memcpy(y, x, len);
  y->seq = 0;
  e->dyn->entries_used += need;
  e->dyn->entry_count++;
  d->off = off;
  vr_put_index(e, d->hash, off);
  return 0;
}

int vr_engine_grow(struct vr_engine *e, uint64_t entries, uint64_t bytes) {
  struct vr_vdir old = e->vdir;
  uint8_t *old_base = e->base;
  struct vr_dyn *od = e->dyn;
  uint64_t *old_pub = e->pub;
  int r = vr_engine_new_file(e, entries, bytes);
  if (r < 0) return r;
  __atomic_store_n(&od->lease, 0, __ATOMIC_SEQ_CST);
  __atomic_store_n(&od->lease_inv, ~0ull, __ATOMIC_SEQ_CST);
  memcpy(e->pub, old_pub, sizeof(uint64_t) * VR_SLOTS);
  memcpy(e->base + VR_PROGRAMS_OFFSET, old_base + VR_PROGRAMS_OFFSET, (size_t)VR_PROGRAMS * sizeof(struct vr_program));
  e->dyn->drain_started = od->drain_started;
  e->dyn->drain_done = od->drain_done;
  e->dyn->drain_done_inv = od->drain_done_inv;
  for (uint32_t n = 0; n < e->node_count; n++)
    if (copy_entry(e, old.entries, old.entries_size, n) < 0) {
      e->rep.corrupt++; /* the turn's end rebuilds; until then this name is simply not found and its directory not COMPLETE */
      uint32_t p = e->nodes[n].parent;
      if (p != VR_NONE && e->nodes[p].dir) e->dirs[e->nodes[p].dir].again = 1;
    }
  if (e->published) {
    if (e->old_base) munmap(e->old_base, e->old_size); /* cannot be: publish has dealt with it */
    e->old_base = old_base;
    e->old_size = old.size;
    r = vr_engine_publish(e);
    if (r < 0) e->native_why = VR_NATIVE_SPACE;
    return 0;
  }
  supersede(old_base, old.size, old.header->vdir_id);
  return 0;
}

static void forget_everything(struct vr_engine *e) {
  for (uint32_t d = 1; d < e->dir_count; d++) vr_unwatch_dir(e, d);
  e->node_count = 0;
  e->dir_count = 1;
  e->dirs_live = 0;
  memset(e->table, 0, ((size_t)e->table_mask + 1) * sizeof *e->table);
  memset(e->slot_head, 0xff, sizeof e->slot_head);
  e->verify.count = e->scan.count = e->changes.count = 0;
  e->settle_count = e->pending_count = e->sweep = 0;
  e->rep.limited = 0;
  e->ino_mask = 0;
}

int vr_engine_rebuild(struct vr_engine *e) {
  uint64_t count = e->node_count + 1024, bytes = e->dyn->entries_used + 65536;
  uint8_t *old_base = e->base;
  size_t old_size = e->vdir.size;
  struct vr_dyn *od = e->dyn;
  uint64_t started = __atomic_load_n(&od->drain_started, __ATOMIC_SEQ_CST);
  __atomic_store_n(&od->lease, 0, __ATOMIC_SEQ_CST);
  __atomic_store_n(&od->lease_inv, ~0ull, __ATOMIC_SEQ_CST);
  int r = vr_engine_new_file(e, count, bytes);
  if (r < 0) return r;
  forget_everything(e);
  for (uint32_t s = 0; s < VR_SLOTS; s++) e->pub[s] = __atomic_load_n(&e->board.ver[s], __ATOMIC_SEQ_CST) - VR_BOARD_BUMP;
  /* Never backwards, even if the damaged word was this one. */
  uint64_t floor = vr_clock(CLOCK_BOOTTIME) / 1000;
  e->dyn->drain_started = started > floor && started < floor * 2 ? started : floor;
  uint32_t root = vr_enter(e, VR_NONE, "", 0, 0);
  if (root == VR_NONE) return -ENOSPC;
  vr_distrust_node(e, root);
  e->old_base = old_base;
  e->old_size = old_size;
  e->rep.corrupt = 0;
  return vr_engine_publish(e);
}

uint64_t vr_engine_scrub(struct vr_engine *e) {
  uint64_t bad = 0;
  const struct vr_header *h = e->vdir.header;
  if (h->magic != VR_MAGIC || h->checksum != vr_hash64(h, offsetof(struct vr_header, checksum), VR_MAGIC)) bad++;
  for (uint64_t b = 0; b < e->vdir.buckets; b++) {
    const struct vr_bucket *k = (const struct vr_bucket *)(const void *)(e->base + VR_INDEX_OFFSET + b * 64);
    if ((k->seq & 1) || k->checksum != vr_hash32((const uint8_t *)k + 8, 56, b)) bad++;
  }
  for (uint32_t n = 0; n < e->node_count; n++) {
    struct vr_entry *x = vr_entry_at(e, e->nodes[n].off);
    if (!x || (x->seq & 1) || x->path_hash != e->nodes[n].hash ||
        x->checksum != vr_hash32((uint8_t *)x + 8, 120u + x->path_len + x->target_len, (uint32_t)x->path_hash))
      bad++;
  }
  return bad;
}
