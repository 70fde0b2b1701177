/* What a kill at any instruction may have left half-done in state file, index and entries is found by its mark and done again; everything else
 * must be in order (docs/ADOPTION.md section 2). Each step may itself be interrupted by a kill. One sweep over the nodes, in their order. */
#include "vr_engine_internal.h"
#include "vr_fault.h"

#define WD_MAX (1 << 26) /* watch numbers are an index */

static int below(uint32_t v, uint32_t bound) { return v == VR_NONE || v < bound; }

/* Bounds, and the orders that make every list end: parents are older than children, the rest of a list is older than its head. */
static int nodes_fit(struct vr_engine *e) {
  uint32_t count = e->st->node_count, dirs = e->st->dir_count;
  uint64_t last = 0, end = e->vdir.entries_size;
  for (uint32_t n = 0; n < count; n++) {
    const struct vr_node *x = &e->nodes[n];
    uint64_t at = (uint64_t)x->off * 16;
    if ((x->flags & N_LOST) || x->off == VR_NONE || at < last || at + sizeof(struct vr_entry) > end) return 0;
    if (n ? x->parent >= n : x->parent != VR_NONE || x->sibling != VR_NONE) return 0;
    if (!below(x->sibling, n) || !below(x->slot_next, n) || !below(x->child, count) || (x->child != VR_NONE && x->child <= n)) return 0;
    if ((x->sibling != VR_NONE && e->nodes[x->sibling].parent != x->parent) || (x->child != VR_NONE && e->nodes[x->child].parent != n)) return 0;
    if (x->dir && (x->dir >= dirs || e->dirs[x->dir].node != n)) return 0;
    last = at + sizeof(struct vr_entry) + x->target_cap; /* and so the room that it says it has */
  }
  for (uint32_t s = 0; s < VR_SLOTS; s++)
    if (!below(e->slot_head[s], count) || (e->slot_head[s] != VR_NONE && vr_slot(e->nodes[e->slot_head[s]].hash) != s)) return 0;
  return e->nodes[0].hash == vr_hash64("", 0, e->vdir.seed);
}

static int dirs_fit(struct vr_engine *e) {
  uint32_t count = e->st->dir_count;
  for (uint32_t d = 1; d < count; d++) {
    struct vr_dir *x = &e->dirs[d];
    if (x->node >= e->st->node_count) return 0;
    struct vr_node *n = &e->nodes[x->node];
    if (!n->dir && d == count - 1) n->dir = d; /* it was just being made */
    if (n->dir != d || x->wd < -1 || x->wd == 0 || x->wd >= WD_MAX || x->ok > 1 || x->complete > 1) return 0;
    if (x->ok) e->dirs_live++;
    if (x->wd < 0) continue;
    if (vr_wd_room(e, x->wd) < 0 || e->wds[x->wd]) return 0; /* two of one watch */
    e->wds[x->wd] = d;
    e->watches++;
  }
  return 1;
}

static int tables_fit(struct vr_engine *e) {
  uint32_t count = e->st->node_count;
  uint64_t used = 0, inos = 0;
  if (e->st->tabling) vr_state_tables(e);
  for (uint64_t i = 0; i <= e->table_mask; i++) {
    if (e->table[i] > count || e->inos[i] > count) return 0;
    used += e->table[i] != 0;
    inos += e->inos[i] != 0;
  }
  e->ino_used = inos;
  if (inos * 4 > (uint64_t)e->ino_mask * 3) vr_state_tables(e);
  return used == count || used + 1 == count;
}

/* How much there is is counted from the nodes: what was taken and not yet counted is free again. */
static int entries_fit(struct vr_engine *e) {
  const struct vr_node *last = &e->nodes[e->st->node_count - 1];
  const struct vr_entry *x = vr_entry_at(e, last->off);
  uint64_t used = (uint64_t)last->off * 16 + sizeof *x + last->target_cap;
  if (!x || used + x->path_len > e->vdir.entries_size) return 0;
  e->dyn->entries_used = e->entries_used = (used + x->path_len + 15) & ~15ull;
  e->dyn->entry_count = e->entry_count = e->st->node_count;
  return e->entries_used <= e->vdir.entries_size;
}

/* The node that was being written: nothing of a half-written entry stays but its path, which must be the node's. */
static int finish_writing(struct vr_engine *e) {
  if (!e->st->writing) return 1;
  uint32_t n = e->st->writing - 1;
  if (n >= e->st->node_count) return 0;
  const struct vr_entry *x = (const struct vr_entry *)(const void *)(e->vdir.entries + (uint64_t)e->nodes[n].off * 16);
  char path[VR_REL_MAX];
  uint32_t len = x->path_len;
  if (len >= VR_REL_MAX || (uint64_t)e->nodes[n].off * 16 + sizeof *x + len > e->vdir.entries_size) return 0;
  memcpy(path, x + 1, len);
  if (vr_hash64(path, len, e->vdir.seed) != e->nodes[n].hash) return 0;
  e->nodes[n].flags &= (uint16_t)~(N_CLEAN | N_GONE);
  if (!vr_entry_sound(e, n)) vr_reset_entry(e, n, path, len);
  vr_put_state(e, n, VR_ENTRY_CLEAN | VR_ENTRY_GONE | VR_ENTRY_COMPLETE | VR_ENTRY_SEARCHABLE, 0);
  e->st->writing = 0;
  VR_IN_ORDER();
  return 1;
}

static int in_index(const struct vr_engine *e, uint64_t hash, uint32_t off) {
  uint64_t b = vr_bucket_of(hash, e->vdir.buckets), mask = e->vdir.buckets - 1;
  for (uint64_t tries = 0; tries <= mask; tries++, b = (b + 1) & mask) {
    const struct vr_bucket *k = (const struct vr_bucket *)(const void *)(e->vdir.index + b * sizeof *k);
    for (unsigned i = 0; i < VR_BUCKET_ENTRIES; i++) {
      if (!k->off[i]) return 0;
      if (k->off[i] == off + 1) return 1;
    }
  }
  return 0;
}

/* G is dirty from before this until the next turn: nobody takes a name for absent meanwhile. */
static int index_anew(struct vr_engine *e) {
  e->st->indexing = VR_INDEX_ALL;
  VR_IN_ORDER();
  for (uint64_t b = 0; b < e->vdir.buckets; b++) {
    struct vr_bucket *k = (struct vr_bucket *)(void *)(e->base + VR_INDEX_OFFSET + b * sizeof *k);
    __atomic_store_n(&k->seq, k->seq | 1, __ATOMIC_RELAXED);
    __atomic_thread_fence(__ATOMIC_RELEASE);
    memset(&k->tag, 0, sizeof k->tag + sizeof k->off);
    __atomic_store_n(&k->checksum, vr_hash32(&k->tag, sizeof k->tag + sizeof k->off, b), __ATOMIC_RELAXED);
    __atomic_store_n(&k->seq, k->seq + 1, __ATOMIC_RELEASE);
  }
  VR_FAULT(index_emptied);
  for (uint32_t n = 0; n < e->st->node_count; n++) {
    VR_FAULT(index_refilling);
    if (vr_put_bucket(e, e->nodes[n].hash, e->nodes[n].off, 0) < 0) return 0;
  }
  VR_IN_ORDER();
  e->st->indexing = 0;
  return 1;
}

static int finish_index(struct vr_engine *e) {
  uint64_t was = e->st->indexing;
  uint32_t last = e->st->node_count - 1;
  if (was && was != VR_INDEX_ALL && was > e->vdir.buckets) return 0;
  if (was && (was == VR_INDEX_ALL || !vr_bucket_sound(e, was - 1))) return index_anew(e);
  e->st->indexing = 0;
  VR_IN_ORDER();
  if (!in_index(e, e->nodes[last].hash, e->nodes[last].off)) vr_put_index(e, e->nodes[last].hash, e->nodes[last].off);
  return !e->rep.corrupt;
}

static int trusted(const struct vr_engine *e, uint32_t n) {
  return n == VR_NONE || (e->nodes[n].dir && e->dirs[e->nodes[n].dir].ok);
}

/* A directory may be relied upon only while it is watched and lies below such, and its entry may say no more than its record. */
static int dirs_agree(struct vr_engine *e) {
  for (uint32_t d = 1; d < e->st->dir_count; d++) {
    struct vr_dir *x = &e->dirs[d];
    uint32_t n = x->node;
    const struct vr_entry *y = vr_entry_at(e, e->nodes[n].off);
    if (!y) return 0;
    uint32_t state = (e->nodes[n].flags & (N_CLEAN | N_GONE)) == N_CLEAN && (y->state & VR_ENTRY_ISDIR) ? y->state : 0;
    int bad = (x->ok && (x->wd < 0 || !trusted(e, e->nodes[n].parent))) || (state && x->wd < 0) ||
              ((state & VR_ENTRY_SEARCHABLE) && !x->ok) || ((state & VR_ENTRY_COMPLETE) && !x->complete);
    if (bad) vr_drop_subtree(e, n, 1);
    else if (state && x->ok && x->complete && !(state & VR_ENTRY_COMPLETE)) vr_distrust_node(e, n);
  }
  return 1;
}

/* The queues are in nobody's memory any more: what is not CLEAN is looked at again, what is not COMPLETE is read again. */
static void refill(struct vr_engine *e) {
  for (uint32_t n = 0; n < e->st->node_count; n++)
    if ((e->nodes[n].flags & N_CLEAN) && !trusted(e, e->nodes[n].parent)) vr_drop_subtree(e, e->nodes[n].parent, 1);
  e->verify.count = e->scan.count = e->changes.count = 0;
  for (uint32_t n = 0; n < e->st->node_count; n++) {
    uint16_t f = e->nodes[n].flags, g = f & (uint16_t)~(N_QUEUED | N_SETTLING | N_SEEN);
    if ((g & N_CHANGED) && vr_queue_push(&e->changes, n) < 0) g &= (uint16_t)~N_CHANGED;
    if (!(g & (N_CLEAN | N_EXCLUDED)) && vr_queue_push(&e->verify, n) == 0) g |= N_QUEUED;
    if (f != g) e->nodes[n].flags = g;
  }
  for (uint32_t d = 1; d < e->st->dir_count; d++) {
    e->dirs[d].queued = e->dirs[d].drained = 0;
    if (e->dirs[d].ok && !e->dirs[d].complete) vr_queue_scan(e, d);
  }
}

int vr_repair(struct vr_engine *e) {
  struct vr_state *s = e->st;
  if (!nodes_fit(e) || !dirs_fit(e) || !entries_fit(e) || !tables_fit(e)) return -1;
  VR_FAULT(adopt_checked);
  vr_list_node(e, s->node_count - 1);
  if (!finish_writing(e) || !finish_index(e)) return -1;
  if (s->dropping > s->node_count) return -1;
  if (s->dropping) vr_drop_subtree(e, s->dropping - 1, s->dropping_self != 0);
  if (!dirs_agree(e)) return -1;
  if (s->mounts_hash != e->mounts_hash) { /* mounts came or went meanwhile */
    s->distrusting = 1;
    VR_IN_ORDER();
    for (uint32_t d = 1; d < s->dir_count; d++) vr_unwatch_dir(e, d);
  }
  if (s->distrusting || s->root_away) vr_engine_distrust(e); /* lost events (overflow): by the first drain, before anything is served */
  s->mounts_hash = e->mounts_hash;
  s->root_away = 0;
  refill(e);
  VR_FAULT(adopt_repaired);
  return e->rep.corrupt ? -1 : 0;
}
