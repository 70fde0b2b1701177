/* A larger VDir file beside the same board. Everything is copied, paths and states; offsets change, node numbers do not. The offsets lie in the
 * nodes, so the new file gets a state file of its own, linked before the map names it: whichever the map names, its state agrees with it. */
#include "vr_engine_internal.h"
#include "vr_fault.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

/* No answers from it any more; whoever asks looks for the successor. */
void vr_drop_file(struct vr_engine *e, const uint8_t *at, size_t size, uint64_t id) {
  uint8_t *base = (uint8_t *)(uintptr_t)at;
  struct vr_dyn *d = (struct vr_dyn *)(void *)(base + VR_DYN_OFFSET);
  __atomic_store_n(&d->lease, 0, __ATOMIC_SEQ_CST);
  __atomic_store_n(&d->lease_inv, ~0ull, __ATOMIC_SEQ_CST);
  vr_set_gone(&d->superseded);
  munmap(base, size);
  vr_bus_remove(base);
  vr_name_unlink(e, id);
  vr_shm_remove(e, "vdir", id);
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
  VR_FAULT(map_named);
  if (e->old_base) {
    vr_drop_file(e, e->old_base, e->old_size, e->old_id);
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
  uint32_t off = (uint32_t)(e->entries_used / 16);
  struct vr_entry *y = (struct vr_entry *)(void *)((uint8_t *)(uintptr_t)e->vdir.entries + e->entries_used);
  memcpy(y, x, len);
  y->seq = 0;
  e->dyn->entries_used = e->entries_used += need;
  e->dyn->entry_count = ++e->entry_count;
  d->off = off;
  vr_put_index(e, d->hash, off);
  return 0;
}

int vr_engine_grow(struct vr_engine *e, uint64_t entries, uint64_t bytes) {
  struct vr_vdir old = e->vdir;
  uint8_t *old_base = e->base;
  struct vr_dyn *od = e->dyn;
  uint64_t *old_pub = e->pub;
  struct vr_region old_region;
  int r = vr_engine_new_file(e, entries, bytes);
  if (r < 0) return r;
  VR_FAULT(vdir_growing);
  r = vr_state_renew(e, e->st->node_cap, e->st->dir_cap, &old_region);
  if (r < 0) { /* the nodes are changed where they are: nobody may go on with them and the old file */
    vr_state_spoil(&e->region);
    old_region = (struct vr_region){0};
  }
  __atomic_store_n(&od->lease, 0, __ATOMIC_SEQ_CST);
  __atomic_store_n(&od->lease_inv, ~0ull, __ATOMIC_SEQ_CST);
  memcpy(e->pub, old_pub, sizeof(uint64_t) * VR_SLOTS);
  memcpy(e->base + VR_PROGRAMS_OFFSET, old_base + VR_PROGRAMS_OFFSET, (size_t)VR_PROGRAMS * sizeof(struct vr_program));
  e->dyn->drain_started = e->drain_begun;
  e->dyn->drain_started_inv = ~e->drain_begun;
  e->dyn->drain_done = od->drain_done;
  e->dyn->drain_done_inv = od->drain_done_inv;
  for (uint32_t n = 0; n < e->st->node_count; n++)
    if (copy_entry(e, old.entries, old.entries_size, n) < 0) {
      e->nodes[n].off = VR_NONE;
      if (!(e->nodes[n].flags & N_LOST)) vr_damaged(e); /* no lease until the next turn has made a sound one */
    }
  if (old_region.base && e->region.id && vr_name_link(e) < 0) vr_state_spoil(&e->region);
  VR_FAULT(vdir_grown);
  if (e->published) {
    if (e->old_base) munmap(e->old_base, e->old_size); /* cannot be: publish has dealt with it */
    e->old_base = old_base;
    e->old_size = old.size;
    e->old_id = old.header->vdir_id;
    r = vr_engine_publish(e);
    if (r < 0) e->native_why = VR_NATIVE_SPACE;
  } else {
    vr_drop_file(e, old_base, old.size, old.header->vdir_id);
  }
  vr_state_drop(e, &old_region); /* whatever the map names: it was not changed since, but what it describes will be */
  return 0;
}
