/* Nodes, the private hash table, and the only two functions that write the shared side: vr_put_index and vr_put_entry.
 * A reader sees seq even, unchanged around its copy, and the checksum right, or it asks the kernel. */
#include "vr_engine_internal.h"
#include "vr_fault.h"
#include <errno.h>
#include <stdlib.h>
#include <sys/sysmacros.h>

#define FIXED 128u
#define SLACK 32u /* a symlink's target may grow by this much in place */

struct vr_entry *vr_entry_at(struct vr_engine *e, uint32_t off) {
  uint64_t at = (uint64_t)off * 16;
  if (at + FIXED > e->vdir.entries_size) return NULL;
  struct vr_entry *x = (struct vr_entry *)(void *)(e->base + e->vdir.header->entries_off + at);
  return at + FIXED + x->path_len + x->target_len <= e->vdir.entries_size ? x : NULL;
}

/* An entry as it is, or is to be, in our own memory. What is sealed is the checksum of this, never that of the shared side, where a bit may flip
 * between the look and the seal: such an entry stays wrong, and is found. */
union image { struct vr_entry fixed; uint8_t bytes[FIXED + VR_REL_MAX + VR_TARGET_MAX]; };

static uint32_t entry_sum(const struct vr_entry *x) {
  return vr_hash32((const uint8_t *)x + 8, FIXED - 8 + x->path_len + x->target_len, (uint32_t)x->path_hash);
}

void vr_damaged(struct vr_engine *e) {
  vr_state_spoil(&e->region);
  e->rep.corrupt++;
}

int vr_node_path(struct vr_engine *e, uint32_t n, char out[VR_REL_MAX]) {
  struct vr_entry *x = vr_entry_at(e, e->nodes[n].off);
  if (e->nodes[n].flags & N_LOST) return -1;
  if (!x || x->path_hash != e->nodes[n].hash || x->path_len >= VR_REL_MAX) {
    vr_damaged(e);
    return -1;
  }
  int len = x->path_len;
  memcpy(out, (uint8_t *)x + FIXED, (size_t)len);
  out[len] = 0;
  if (vr_hash64(out, (size_t)len, e->vdir.seed) != e->nodes[n].hash) { /* the kernel is never asked about a damaged name */
    vr_damaged(e);
    return -1;
  }
  return len;
}

int vr_queue_push(struct vr_queue *q, uint32_t v) {
  if (q->count == q->cap) {
    uint32_t cap = q->cap ? q->cap * 2 : 1024;
    uint32_t *p = malloc((size_t)cap * sizeof *p);
    if (!p) return -ENOMEM;
    for (uint32_t i = 0; i < q->count; i++) p[i] = q->at[(q->head + i) & (q->cap - 1)];
    free(q->at);
    q->at = p, q->cap = cap, q->head = 0;
  }
  q->at[(q->head + q->count++) & (q->cap - 1)] = v;
  return 0;
}

uint32_t vr_queue_pop(struct vr_queue *q) {
  uint32_t v = q->at[q->head];
  q->head = (q->head + 1) & (q->cap - 1);
  q->count--;
  return v;
}

uint32_t vr_find(struct vr_engine *e, const char *rel, uint32_t len, uint64_t hash) {
  for (uint32_t at = (uint32_t)hash & e->table_mask; e->table[at]; at = (at + 1) & e->table_mask) {
    uint32_t n = e->table[at] - 1;
    if (e->nodes[n].hash != hash) continue;
    struct vr_entry *x = vr_entry_at(e, e->nodes[n].off);
    if (x && x->path_len == len && !memcmp((uint8_t *)x + FIXED, rel, len)) return n;
  }
  return VR_NONE;
}

/* 0, or -1: the bucket that has room is damaged. marked: a successor is told which one is being written. The checksum is that of a copy that was
 * good: a bit that flips in the bucket meanwhile is never sealed in. */
int vr_put_bucket(struct vr_engine *e, uint64_t hash, uint32_t off, int marked) {
  uint64_t mask = e->vdir.buckets - 1;
  uint64_t b = vr_bucket_of(hash, e->vdir.buckets);
  for (uint64_t tries = 0; tries <= mask; tries++, b = (b + 1) & mask) {
    struct vr_bucket *k = (struct vr_bucket *)(void *)(e->base + VR_INDEX_OFFSET + b * 64), copy = *k;
    for (int i = 0; i < (int)VR_BUCKET_ENTRIES; i++) {
      if (copy.off[i]) continue;
      if ((copy.seq & 1) || copy.checksum != vr_hash32(&copy.tag, sizeof copy.tag + sizeof copy.off, b)) return -1;
      copy.tag[i] = (uint32_t)hash, copy.off[i] = off + 1;
      if (marked) e->st->indexing = b + 1;
      VR_IN_ORDER();
      __atomic_store_n(&k->seq, copy.seq + 1, __ATOMIC_RELAXED);
      __atomic_thread_fence(__ATOMIC_RELEASE);
      __atomic_store_n(&k->tag[i], copy.tag[i], __ATOMIC_RELAXED);
      VR_FAULT(bucket_open);
      __atomic_store_n(&k->off[i], copy.off[i], __ATOMIC_RELAXED);
      __atomic_store_n(&k->checksum, vr_hash32(&copy.tag, sizeof copy.tag + sizeof copy.off, b), __ATOMIC_RELAXED);
      __atomic_store_n(&k->seq, copy.seq + 2, __ATOMIC_RELEASE);
      VR_IN_ORDER();
      if (marked) e->st->indexing = 0;
      return 0;
    }
  }
  return 0;
}

void vr_put_index(struct vr_engine *e, uint64_t hash, uint32_t off) {
  if (vr_put_bucket(e, hash, off, 1) < 0) vr_damaged(e); /* never sealed again: what it lost would be absent */
}

/* Takes room for an entry in the shared side; grows the file when it is three quarters full. Offset / 16, or VR_NONE at a limit. */
static uint32_t take_entry(struct vr_engine *e, uint32_t bytes) {
  uint64_t need = (FIXED + bytes + 15) & ~15ull;
  uint64_t room = e->vdir.buckets * VR_BUCKET_ENTRIES / 2;
  if (e->entry_count >= e->limits.max_files) return e->rep.limited = 1, VR_NONE;
  if (e->entry_count + 1 > room || e->entries_used + need > e->vdir.entries_size) {
    if (e->rep.limited) return VR_NONE;
    uint64_t count = e->entry_count * 2 + 1024, size = e->entries_used * 2 + need * 1024;
    if (vr_engine_grow(e, count, size) < 0) return e->rep.limited = 1, VR_NONE;
  }
  uint32_t off = (uint32_t)(e->entries_used / 16);
  e->dyn->entries_used = e->entries_used += need;
  e->dyn->entry_count = ++e->entry_count;
  return off;
}

static int excluded(const char *rel, size_t len) {
  if (len == 6 && !memcmp(rel, ".vrift", 6)) return 1;
  if (len == 12) return !memcmp(rel, ".git/objects", 12);
  return len > 12 && !memcmp(rel + len - 13, "/.git/objects", 13);
}

/* The node of a path whose parent is known; made UNVERIFIED if it is new. VR_NONE at a limit. */
uint32_t vr_enter(struct vr_engine *e, uint32_t parent, const char *rel, uint32_t len, uint32_t target_len) {
  uint64_t hash = vr_hash64(rel, len, e->vdir.seed);
  uint32_t n = vr_find(e, rel, len, hash);
  if (n != VR_NONE) return n;
  if (len >= VR_REL_MAX || (e->st->node_count == e->st->node_cap && vr_state_grow(e, e->st->node_cap * 2, e->st->dir_cap) < 0)) return VR_NONE;
  uint32_t cap = target_len && target_len <= VR_TARGET_MAX ? target_len + SLACK : 0;
  uint32_t off = take_entry(e, len + cap);
  if (off == VR_NONE) return VR_NONE;
  struct vr_entry *x = (struct vr_entry *)(void *)(e->base + e->vdir.header->entries_off + (uint64_t)off * 16);
  union image im;
  memset(&im.fixed, 0, FIXED);
  im.fixed.path_hash = hash;
  im.fixed.path_len = (uint16_t)len;
  memcpy(im.bytes + FIXED, rel, len);
  im.fixed.checksum = entry_sum(&im.fixed);
  memcpy(x, im.bytes, FIXED + len); /* over whatever fell into it meanwhile */
  n = e->st->node_count;
  struct vr_node *d = &e->nodes[n];
  *d = (struct vr_node){.hash = hash, .off = off, .parent = parent, .child = VR_NONE, .sibling = VR_NONE, .slot_next = VR_NONE,
                        .target_cap = (uint16_t)(((FIXED + len + cap + 15) & ~15u) - FIXED - len)};
  if (excluded(rel, len) || (parent != VR_NONE && (e->nodes[parent].flags & N_EXCLUDED))) d->flags = N_EXCLUDED;
  VR_IN_ORDER();
  VR_FAULT(node_filled);
  e->st->node_count = n + 1; /* from here on it counts: a successor does the rest */
  VR_IN_ORDER();
  VR_FAULT(node_counted);
  vr_list_node(e, n);
  vr_put_index(e, hash, off); /* the entry is whole before anybody can find it */
  return n;
}

/* Newest first: a list is whole at every instant, at most without n. */
void vr_list_node(struct vr_engine *e, uint32_t n) {
  struct vr_node *d = &e->nodes[n];
  uint32_t slot = vr_slot(d->hash), p = d->parent;
  if (e->slot_head[slot] != n) {
    d->slot_next = e->slot_head[slot];
    VR_IN_ORDER();
    e->slot_head[slot] = n;
  }
  if (p != VR_NONE && e->nodes[p].child != n) {
    d->sibling = e->nodes[p].child;
    VR_IN_ORDER();
    e->nodes[p].child = n;
  }
  VR_IN_ORDER();
  VR_FAULT(node_listed);
  uint32_t at = (uint32_t)d->hash & e->table_mask;
  while (e->table[at] && e->table[at] != n + 1) at = (at + 1) & e->table_mask;
  e->table[at] = n + 1;
  VR_IN_ORDER();
}

/* The map from inode to the node that was CLEAN with it: a hash table without deletion, of the size of the path table. What it
 * says is a hint, checked against the entry; a lost hint is repaired by the sweep. */
void vr_ino_note(struct vr_engine *e, uint32_t n, uint64_t ino) {
  uint32_t at = (uint32_t)(ino * VR_HASH_K0 >> 32) & e->ino_mask;
  for (; e->inos[at]; at = (at + 1) & e->ino_mask) {
    if (e->inos[at] - 1 == n) return;
    struct vr_entry *x = vr_entry_at(e, e->nodes[e->inos[at] - 1].off);
    if (x && x->ino == ino) break; /* the path that had it before */
  }
  if (!e->inos[at] && ++e->ino_used * 4 > (uint64_t)e->ino_mask * 3) {
    vr_state_tables(e); /* full of what is gone: made anew from the entries, of which this is one */
    return;
  }
  e->inos[at] = n + 1;
}

/* The node that is CLEAN with this inode, VR_NONE: none. */
uint32_t vr_ino_find(struct vr_engine *e, uint64_t ino) {
  for (uint32_t at = (uint32_t)(ino * VR_HASH_K0 >> 32) & e->ino_mask; e->inos[at]; at = (at + 1) & e->ino_mask) {
    uint32_t n = e->inos[at] - 1;
    struct vr_entry *x = vr_entry_at(e, e->nodes[n].off);
    if ((e->nodes[n].flags & N_CLEAN) && x && x->ino == ino) return n;
  }
  return VR_NONE;
}

static void note_change(struct vr_engine *e, uint32_t n) {
  if (e->nodes[n].flags & N_CHANGED) return;
  if (vr_queue_push(&e->changes, n) == 0) e->nodes[n].flags |= N_CHANGED;
}

/* A copy of a sound entry. A damaged one is never sealed again with a good checksum: it stays wrong until the VDir is rebuilt. */
static int take(struct vr_engine *e, const struct vr_entry *x, uint32_t n, union image *im) {
  if (x && vr_copy_sound((const uint8_t *)x, (uint64_t)(e->vdir.entries + e->vdir.entries_size - (const uint8_t *)x), e->nodes[n].hash, im->bytes, sizeof *im))
    return 1;
  if (!(e->nodes[n].flags & N_LOST)) vr_damaged(e);
  return 0;
}

static void begin(struct vr_entry *x) {
  __atomic_store_n(&x->seq, x->seq | 1, __ATOMIC_RELAXED);
  __atomic_thread_fence(__ATOMIC_RELEASE);
}
static void finish(struct vr_entry *x, const union image *im) {
  __atomic_store_n(&x->checksum, entry_sum(&im->fixed), __ATOMIC_RELAXED);
  __atomic_store_n(&x->seq, x->seq + 1, __ATOMIC_RELEASE);
}

static void fill(struct vr_entry *x, const struct statx *st) {
  x->ino = st->stx_ino;
  x->size = st->stx_size;
  x->blocks = st->stx_blocks;
  x->rdev = makedev(st->stx_rdev_major, st->stx_rdev_minor);
  x->mtime = (uint64_t)st->stx_mtime.tv_sec, x->mtime_ns = st->stx_mtime.tv_nsec;
  x->ctime = (uint64_t)st->stx_ctime.tv_sec, x->ctime_ns = st->stx_ctime.tv_nsec;
  x->atime = (uint64_t)st->stx_atime.tv_sec, x->atime_ns = st->stx_atime.tv_nsec;
  x->btime = (uint64_t)st->stx_btime.tv_sec, x->btime_ns = st->stx_btime.tv_nsec;
  x->mode = st->stx_mode;
  x->nlink = st->stx_nlink;
  x->uid = st->stx_uid;
  x->gid = st->stx_gid;
  x->blksize = st->stx_blksize;
  x->attributes = (uint32_t)st->stx_attributes;
}

void vr_put_entry(struct vr_engine *e, uint32_t n, const struct statx *st, uint32_t state, const char *target, uint32_t target_len) {
  struct vr_entry *x = vr_entry_at(e, e->nodes[n].off);
  union image im;
  if (!take(e, x, n, &im)) return;
  struct vr_entry *y = &im.fixed, was = *y;
  uint8_t *to = im.bytes + FIXED + y->path_len;
  if (!target || target_len > e->nodes[n].target_cap || target_len > VR_TARGET_MAX) target_len = 0, target = NULL;
  if (target) state |= VR_ENTRY_TARGET;
  fill(y, st);
  uint16_t f = e->nodes[n].flags & (uint16_t)~(N_CLEAN | N_GONE);
  if (state & VR_ENTRY_CLEAN) f |= N_CLEAN;
  if (state & VR_ENTRY_GONE) f |= N_GONE;
  e->st->writing = n + 1;
  VR_IN_ORDER();
  e->nodes[n].flags = f;
  const size_t facts = offsetof(struct vr_entry, ino);
  int same = !memcmp((uint8_t *)y + facts, (uint8_t *)&was + facts, FIXED - facts) && was.target_len == target_len && (!target || !memcmp(to, target, target_len));
  /* Most of a slot's entries have not changed: readers keep their cache lines, and the store gets nothing to write. */
  if (!same || was.state != state) {
    y->state = state;
    y->target_len = (uint16_t)target_len;
    if (target) memcpy(to, target, target_len);
    begin(x);
    x->state = state;
    x->target_len = (uint16_t)target_len;
    if (target) memcpy((uint8_t *)x + FIXED + y->path_len, target, target_len);
    VR_FAULT(entry_open);
    if (!same) memcpy((uint8_t *)x + facts, (uint8_t *)y + facts, FIXED - facts);
    finish(x, &im);
    if (state & VR_ENTRY_CLEAN) {
      if (!same || !(f & N_KEPT)) note_change(e, n);
      e->nodes[n].flags |= N_KEPT;
    }
  }
  /* Also of what has not changed: another path may have had the inode meanwhile, or a predecessor died before it came to this. */
  if ((state & VR_ENTRY_CLEAN) && !S_ISDIR(st->stx_mode)) vr_ino_note(e, n, st->stx_ino);
  VR_IN_ORDER();
  e->st->writing = 0;
}

void vr_put_state(struct vr_engine *e, uint32_t n, uint32_t clear, uint32_t set) {
  struct vr_entry *x = vr_entry_at(e, e->nodes[n].off);
  union image im;
  uint16_t f = e->nodes[n].flags;
  if (clear & VR_ENTRY_CLEAN) f &= (uint16_t)~N_CLEAN;
  if (clear & VR_ENTRY_GONE) f &= (uint16_t)~N_GONE;
  if (set & VR_ENTRY_CLEAN) f |= N_CLEAN;
  if (set & VR_ENTRY_GONE) f |= N_GONE;
  int same = x && (x->state & ~clear) == x->state && (x->state | set) == x->state;
  if (same && f == e->nodes[n].flags) return;
  e->st->writing = n + 1;
  VR_IN_ORDER();
  e->nodes[n].flags = f;
  if (!same && take(e, x, n, &im)) {
    im.fixed.state = (im.fixed.state & ~clear) | set;
    begin(x);
    x->state = im.fixed.state;
    VR_FAULT(state_open);
    finish(x, &im);
    if ((set & VR_ENTRY_GONE) && (set & VR_ENTRY_CLEAN)) {
      if (e->nodes[n].flags & N_KEPT) note_change(e, n); /* what the store never had need not be taken from it */
      e->nodes[n].flags &= (uint16_t)~N_KEPT;
    }
  }
  VR_IN_ORDER();
  e->st->writing = 0;
}

/* Nothing of half-written facts stays; also where seq is odd. path is not in the shared side. */
void vr_reset_entry(struct vr_engine *e, uint32_t n, const char *path, uint32_t len) {
  struct vr_entry *x = (struct vr_entry *)(void *)(e->base + e->vdir.header->entries_off + (uint64_t)e->nodes[n].off * 16);
  union image im;
  memset(&im.fixed, 0, FIXED);
  im.fixed.path_hash = e->nodes[n].hash;
  im.fixed.path_len = (uint16_t)len;
  memcpy(im.bytes + FIXED, path, len);
  begin(x);
  memcpy((uint8_t *)x + 8, im.bytes + 8, FIXED - 8 + len);
  finish(x, &im);
}

void vr_distrust_node(struct vr_engine *e, uint32_t n) {
  vr_put_state(e, n, VR_ENTRY_CLEAN | VR_ENTRY_GONE, 0);
  if (!(e->nodes[n].flags & (N_QUEUED | N_EXCLUDED)) && vr_queue_push(&e->verify, n) == 0) e->nodes[n].flags |= N_QUEUED;
}
