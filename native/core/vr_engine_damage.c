/* Damage: finding it, putting right in place what only the daemon writes, and making the VDir anew beside the damaged one. What each
 * flipped bit could do, and what closes it, stands in docs/DAMAGE.md. */
#include "vr_engine_internal.h"
#include "vr_fault.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define LOST_MAX 512 /* entries whose names are looked for; with more the tree is read again */

int vr_path_sane(const char *rel, uint32_t len) {
  uint32_t start = 0;
  if (!len || memchr(rel, 0, len)) return 0;
  for (uint32_t i = 0; i <= len; i++) {
    if (i < len && rel[i] != '/') continue;
    uint32_t n = i - start;
    if (!n || n > VR_NAME_LIMIT || (n == 1 && rel[start] == '.') || (n == 2 && rel[start] == '.' && rel[start + 1] == '.')) return 0;
    start = i + 1;
  }
  return 1;
}

int vr_bucket_sound(const struct vr_engine *e, uint64_t number) {
  const struct vr_bucket *k = (const struct vr_bucket *)(const void *)(e->vdir.index + number * sizeof *k);
  return !(k->seq & 1) && k->checksum == vr_hash32(&k->tag, sizeof k->tag + sizeof k->off, number);
}

int vr_copy_sound(const uint8_t *at, uint64_t size, uint64_t hash, uint8_t *to, size_t room) {
  if (sizeof(struct vr_entry) > size) return 0;
  const struct vr_entry *x = (const struct vr_entry *)(const void *)at;
  uint64_t len = sizeof *x + x->path_len + x->target_len;
  if (len > size || len > room) return 0;
  memcpy(to, at, len);
  x = (const struct vr_entry *)(const void *)to;
  return len == sizeof *x + x->path_len + x->target_len && !(x->seq & 1) && x->path_hash == hash &&
         x->checksum == vr_hash32(to + 8, len - 8, (uint32_t)hash);
}

static int sound_at(const uint8_t *entries, uint64_t size, uint64_t at, uint64_t hash) {
  if (at + sizeof(struct vr_entry) > size) return 0;
  const struct vr_entry *x = (const struct vr_entry *)(const void *)(entries + at);
  uint64_t len = sizeof *x + x->path_len + x->target_len;
  return at + len <= size && !(x->seq & 1) && x->path_hash == hash && x->checksum == vr_hash32((const uint8_t *)x + 8, len - 8, (uint32_t)hash);
}

int vr_entry_sound(struct vr_engine *e, uint32_t n) {
  return sound_at(e->vdir.entries, e->vdir.entries_size, (uint64_t)e->nodes[n].off * 16, e->nodes[n].hash);
}

/* A row that is wrong answers nothing, but takes up its place: back to zero. */
static void look_at_program(struct vr_engine *e, uint32_t i) {
  struct vr_program *q = (struct vr_program *)(void *)(e->base + VR_PROGRAMS_OFFSET) + i;
  if (!q->dev && !q->ino && !q->checksum && !q->seq && !q->verdict) return;
  if (!(q->seq & 1) && q->checksum == vr_hash32(&q->dev, sizeof *q - offsetof(struct vr_program, dev), 0)) return;
  __atomic_store_n(&q->seq, q->seq | 1, __ATOMIC_SEQ_CST);
  memset((uint8_t *)q + 4, 0, sizeof *q - 4);
  __atomic_store_n(&q->seq, 0, __ATOMIC_SEQ_CST);
  e->rep.repaired++;
}

uint64_t vr_engine_scrub(struct vr_engine *e) {
  uint64_t bad = memcmp(e->base, e->vdir.header, sizeof *e->vdir.header) != 0;
  for (uint64_t b = 0; b < e->vdir.buckets; b++) bad += !vr_bucket_sound(e, b);
  for (uint32_t n = 0; n < e->st->node_count; n++) bad += !(e->nodes[n].flags & N_LOST) && !vr_entry_sound(e, n);
  for (uint32_t i = 0; i < VR_PROGRAMS; i++) look_at_program(e, i);
  return bad;
}

/* The same, a few at a time, in the quiet turns. */
uint64_t vr_patrol(struct vr_engine *e, uint32_t steps) {
  uint64_t bad = 0, all = e->vdir.buckets + e->st->node_count + VR_PROGRAMS;
  for (uint32_t i = 0; i < steps; i++) {
    if (e->patrol >= all) e->patrol = 0, e->rep.patrols++;
    uint64_t at = e->patrol++;
    if (at < e->vdir.buckets) bad += !vr_bucket_sound(e, at);
    else if ((at -= e->vdir.buckets) < e->st->node_count) bad += !(e->nodes[at].flags & N_LOST) && !vr_entry_sound(e, (uint32_t)at);
    else look_at_program(e, (uint32_t)(at - e->st->node_count));
  }
  return bad;
}

/* A word whose every honest change moves two bits at least: one bit away from what it was is a flipped bit, and is flipped back. */
static void unflip(struct vr_engine *e, uint32_t *word, uint32_t *last) {
  uint32_t v = __atomic_load_n(word, __ATOMIC_SEQ_CST);
  if (__builtin_popcount(v ^ *last) != 1) {
    *last = v;
    return;
  }
  if (__atomic_compare_exchange_n(word, &v, *last, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)) e->rep.repaired++;
}

/* 1: the file is not what it was: cut off, or its name was removed, or our mapping had to be covered. It gets its length back, so that
 * whoever has not yet touched what was gone finds zeros there, and that it was superseded. */
static int cut(int fd, const uint8_t *base, uint64_t size, uint64_t at_superseded) {
  struct stat st;
  if (vr_bus_covered(base)) goto yes;
  if (fd < 0 || fstat(fd, &st) < 0 || ((uint64_t)st.st_size == size && st.st_nlink)) return 0;
yes:
  if (fd >= 0 && ftruncate(fd, (off_t)size) == 0) {
    uint32_t gone = ~0u;
    ssize_t n = pwrite(fd, &gone, sizeof gone, (off_t)at_superseded);
    (void)n;
  }
  return 1;
}

/* Beside the lost one, at the same address: other threads of the daemon have it. What clients hold they name again when they find it. */
static int board_anew(struct vr_engine *e) {
  uint8_t *p;
  vr_state_spoil(&e->region);
  int r = vr_board_make(e, &p);
  if (r < 0) return r;
  uint64_t old = e->board.header->board_id;
  vr_bus_remove(p);
  if (mremap(p, VR_BOARD_SIZE, VR_BOARD_SIZE, MREMAP_MAYMOVE | MREMAP_FIXED, e->board.base) == MAP_FAILED) return -errno;
  vr_bus_add(e->board.base, VR_BOARD_SIZE, VR_BUS_BOARD);
  memcpy(e->board.header, e->board.base, sizeof *e->board.header);
  if (e->board_fd >= 0) close(e->board_fd);
  e->board_fd = vr_shm_fd("board", e->board.header->board_id);
  memset(e->words, 0, sizeof e->words);
  e->st->corrupt_seen = 0;
  vr_shm_remove(e, "board", old);
  for (uint32_t s = 0; s < VR_SLOTS; s++) e->board.ver[s] = e->pub[s] + VR_BOARD_BUMP; /* everything is dirty */
  vr_engine_distrust(e);
  e->rep.cuts++;
  return 0;
}

int vr_guard(struct vr_engine *e) {
  struct vr_board_dyn *b = e->board.dyn;
  int vdir_cut = cut(e->vdir_fd, e->base, e->vdir.size, VR_DYN_OFFSET + offsetof(struct vr_dyn, superseded));
  if (vdir_cut) e->rep.cuts++;
  if (cut(e->board_fd, e->board.base, VR_BOARD_SIZE, VR_BOARD_DYN_OFFSET + offsetof(struct vr_board_dyn, superseded))) {
    if (board_anew(e) < 0) e->native_why = VR_NATIVE_SPACE;
    return 1;
  }
  if (vdir_cut) return 1;
  if (memcmp(e->board.base, e->board.header, sizeof *e->board.header)) { /* it is nobody's but ours, and the board cannot be replaced for it */
    memcpy(e->board.base, e->board.header, sizeof *e->board.header);
    e->rep.repaired++;
  }
  unflip(e, &b->overflow, &e->words[0]);
  unflip(e, &b->staged_count, &e->words[1]);
  unflip(e, &b->record_high, &e->words[2]);
  unflip(e, &b->staged_high, &e->words[3]);
  if (__atomic_load_n(&b->superseded, __ATOMIC_SEQ_CST)) { /* only retire sets it. What was changed meanwhile may be unrecorded */
    int gone = vr_gone(&b->superseded);
    __atomic_store_n(&b->superseded, 0, __ATOMIC_SEQ_CST);
    e->rep.repaired++;
    if (gone) {
      vr_bump(&e->board, 0);
      e->g_again = 1;
      vr_engine_distrust(e);
    }
  }
  if (__atomic_load_n(&e->dyn->superseded, __ATOMIC_SEQ_CST)) {
    if (vr_gone(&e->dyn->superseded)) return 1;
    __atomic_store_n(&e->dyn->superseded, 0, __ATOMIC_SEQ_CST);
    e->rep.repaired++;
  }
  return memcmp(e->base, e->vdir.header, sizeof *e->vdir.header) != 0;
}

uint32_t vr_guard_record(struct vr_engine *e, struct vr_record *r) {
  uint32_t w = __atomic_load_n(&r->state, __ATOMIC_SEQ_CST), state = vr_record_state(w);
  if (w != state && !((w ^ state) & ((w ^ state) - 1)) && __atomic_compare_exchange_n(&r->state, &w, state, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
    e->rep.repaired++;
  return state;
}

int vr_record_damaged(struct vr_record *r) {
  for (int i = 0; i < 3; i++) /* its owner may be just changing it */
    if (__atomic_load_n(&r->sum, __ATOMIC_SEQ_CST) == vr_record_sum(r)) return 0;
  return vr_record_state(__atomic_load_n(&r->state, __ATOMIC_SEQ_CST)) == VR_BOARD_RECORD_LIVE;
}

static int exists(uint32_t tid) { return tid && tid <= INT32_MAX && (kill((pid_t)tid, 0) == 0 || errno == EPERM); }

/* pid or tid may be what is wrong, so both must be gone; ESCAPED ones outlive their owner, so those, and what may be one, are dropped
 * only when nobody asks (as after an overflow, everything has been made UNVERIFIED then). */
void vr_reap_damaged(struct vr_engine *e, struct vr_record *r, int serve) {
  uint32_t kind = r->kind;
  int may_be_escaped = kind == 0 || (kind & VR_BOARD_KIND_ESCAPED);
  if (serve && (may_be_escaped || !vr_owner_dead(r->pid, UINT64_MAX / 2) || exists(r->tid))) return;
  if (!serve && r->pid && !vr_owner_dead(r->pid, UINT64_MAX / 2) && !may_be_escaped) return;
  e->st->distrusting = 1; /* before the record goes: it may have named anything */
  VR_IN_ORDER();
  vr_bump(&e->board, 0);
  vr_held_release(&e->board, (int)(r - e->board.records));
  vr_engine_distrust(e);
  e->rep.reaped++;
}

/* ---- the new VDir ---- */

static void forget_everything(struct vr_engine *e) {
  for (uint32_t d = 1; d < e->st->dir_count; d++) vr_unwatch_dir(e, d);
  e->st->node_count = 0;
  e->st->dir_count = 1;
  e->dirs_live = 0;
  vr_state_tables(e);
  memset(e->slot_head, 0xff, VR_SLOTS * sizeof *e->slot_head);
  e->verify.count = e->scan.count = e->changes.count = 0;
  e->settle_count = e->pending_count = e->sweep = 0;
  e->rep.limited = 0;
}

struct old {
  uint8_t *base;
  struct vr_vdir v;
  const uint64_t *pub;
};

/* Puts n's entry into the new file, UNVERIFIED. like: the good old entry, or NULL. */
static void put_new(struct vr_engine *e, uint32_t n, const struct vr_entry *like, const char *path, uint32_t len) {
  struct vr_node *d = &e->nodes[n];
  uint64_t need = (sizeof(struct vr_entry) + len + (uint64_t)d->target_cap + 15) & ~15ull;
  struct vr_entry *x = (struct vr_entry *)(void *)((uint8_t *)(uintptr_t)e->vdir.entries + e->entries_used);
  if (like) {
    memcpy(x, like, sizeof *x + len + like->target_len);
    x->state &= ~(VR_ENTRY_CLEAN | VR_ENTRY_GONE | VR_ENTRY_COMPLETE | VR_ENTRY_SEARCHABLE);
  } else {
    memset(x, 0, sizeof *x);
    memcpy(x + 1, path, len);
    x->path_hash = d->hash;
    x->path_len = (uint16_t)len;
  }
  x->seq = 0;
  x->checksum = vr_hash32((uint8_t *)x + 8, sizeof *x - 8 + x->path_len + x->target_len, (uint32_t)x->path_hash);
  d->off = (uint32_t)(e->entries_used / 16);
  e->dyn->entries_used = e->entries_used += need;
  e->dyn->entry_count = ++e->entry_count;
  d->flags &= (uint16_t)~(N_CLEAN | N_GONE);
  vr_put_index(e, d->hash, d->off);
  if (!(d->flags & (N_QUEUED | N_EXCLUDED)) && vr_queue_push(&e->verify, n) == 0) d->flags |= N_QUEUED;
}

/* The name is lost, the hash is not: it is found again among the names of the parent, which has been done already. */
static int find_again(struct vr_engine *e, uint32_t n, char rel[VR_REL_MAX]) {
  uint32_t p = e->nodes[n].parent;
  if (p == VR_NONE) return 0; /* the root's is empty */
  if (e->nodes[p].flags & N_LOST) return -1;
  int base = vr_node_path(e, p, rel), found = -1;
  if (base < 0) return -1;
  struct open_how how = {.flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW, .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV};
  int fd = (int)syscall(SYS_openat2, e->root_fd, base ? rel : ".", &how, sizeof how);
  DIR *d = fd < 0 ? NULL : fdopendir(fd);
  if (!d) {
    if (fd >= 0) close(fd);
    return -1;
  }
  if (base) rel[base++] = '/';
  for (struct dirent *de; found < 0 && (de = readdir(d));) {
    size_t k = strlen(de->d_name);
    if ((size_t)base + k >= VR_REL_MAX) continue;
    memcpy(rel + base, de->d_name, k + 1);
    if (vr_hash64(rel, (size_t)base + k, e->vdir.seed) == e->nodes[n].hash) found = base + (int)k;
  }
  closedir(d);
  return found;
}

/* A name that is neither in the file nor in the tree: it was absent, or went just now. Nothing refers to it any more but its number. */
static void lose(struct vr_engine *e, uint32_t n) {
  struct vr_node *x = &e->nodes[n];
  uint32_t *at = &e->slot_head[vr_slot(x->hash)];
  while (*at != VR_NONE && *at != n) at = &e->nodes[*at].slot_next;
  if (*at == n) *at = x->slot_next;
  if (x->dir) vr_unwatch_dir(e, x->dir);
  if (x->parent != VR_NONE) {
    at = &e->nodes[x->parent].child;
    while (*at != VR_NONE && *at != n) at = &e->nodes[*at].sibling;
    if (*at == n) *at = x->sibling;
    uint32_t pd = e->nodes[x->parent].dir;
    if (pd && e->dirs[pd].ok) { /* whether it is there is read again */
      e->dirs[pd].complete = 0;
      vr_queue_scan(e, pd);
    }
  }
  x->flags = N_LOST | N_EXCLUDED;
  x->off = VR_NONE;
}

/* All that is good in the old file, UNVERIFIED, into the new one; watches and what is known of directories stay. -1: too much is lost. */
static int carry_over(struct vr_engine *e, const struct old *o) {
  uint32_t lost = 0;
  char rel[VR_REL_MAX];
  union { struct vr_entry fixed; uint8_t bytes[sizeof(struct vr_entry) + VR_REL_MAX + VR_TARGET_MAX]; } good;
  if (!e->st->node_count) return -1;
  for (uint32_t n = 0; n < e->st->node_count; n++) {
    struct vr_node *d = &e->nodes[n];
    if (d->flags & N_LOST) continue;
    uint64_t at = (uint64_t)d->off * 16;
    if (at < o->v.entries_size && vr_copy_sound(o->v.entries + at, o->v.entries_size - at, d->hash, good.bytes, sizeof good)) {
      const struct vr_entry *x = &good.fixed;
      if (vr_hash64(x + 1, x->path_len, e->vdir.seed) != d->hash) return -1;
      put_new(e, n, x, NULL, x->path_len);
      continue;
    }
    if (++lost > LOST_MAX) return -1;
    int len = find_again(e, n, rel);
    if (len >= 0) put_new(e, n, NULL, rel, (uint32_t)len);
    else if (d->child != VR_NONE) return -1; /* a directory whose children would be left without one */
    else lose(e, n);
  }
  return 0;
}

int vr_engine_rebuild(struct vr_engine *e) {
  uint64_t begun = vr_clock(CLOCK_MONOTONIC), count = e->entry_count + 1024, bytes = e->entries_used + e->entries_used / 16 + 65536;
  struct old o = {e->base, e->vdir, e->pub};
  struct vr_dyn *od = e->dyn;
  struct vr_region old_region;
  vr_state_spoil(&e->region); /* from here until the new VDir is known there is nothing to go on with */
  __atomic_store_n(&od->lease, 0, __ATOMIC_SEQ_CST);
  __atomic_store_n(&od->lease_inv, ~0ull, __ATOMIC_SEQ_CST);
  int r = vr_engine_new_file(e, count, bytes);
  if (r < 0) {
    vr_set_gone(&od->superseded);
    return r;
  }
  e->rep.corrupt = 0;
  if (carry_over(e, &o) < 0) {
    struct vr_vdir spoilt = e->vdir;
    r = vr_engine_new_file(e, count, bytes); /* the index of the first holds a part already */
    if (r < 0) { /* what is there stays mapped, without a lease, until the next try */
      vr_set_gone(&od->superseded);
      return r;
    }
    vr_drop_file(e, spoilt.base, spoilt.size, spoilt.header->vdir_id);
    forget_everything(e);
    uint32_t root = vr_enter(e, VR_NONE, "", 0, 0);
    if (root == VR_NONE) {
      vr_set_gone(&od->superseded);
      return -ENOSPC;
    }
    vr_distrust_node(e, root);
    e->rep.forgotten++;
  }
  memcpy(e->pub, o.pub, sizeof *e->pub * VR_SLOTS); /* a flipped bit in it makes a slot dirty, never clean */
  for (uint32_t i = 0; i < VR_PROGRAMS; i++) {
    const struct vr_program *q = (const struct vr_program *)(const void *)(o.base + VR_PROGRAMS_OFFSET) + i;
    if (q->verdict && q->checksum == vr_hash32(&q->dev, sizeof *q - offsetof(struct vr_program, dev), 0)) vr_engine_program(e, q);
  }
  e->dyn->drain_started = e->drain_begun; /* never backwards, whatever the damaged word said */
  e->dyn->drain_started_inv = ~e->drain_begun;
  e->old_base = o.base;
  e->old_size = o.v.size;
  e->old_id = o.v.header->vdir_id;
  e->rep.corrupt = 0;
  e->patrol = 0;
  /* The nodes agree with the new VDir now. Without a state file of its own it is served all the same. */
  if (vr_state_renew(e, e->st->node_cap, e->st->dir_cap, &old_region) == 0) {
    if (e->region.id) e->st->spoilt = 0;
    if (e->region.id && vr_name_link(e) < 0) vr_state_spoil(&e->region);
    vr_state_drop(e, &old_region);
  }
  VR_FAULT(vdir_rebuilt);
  r = vr_engine_publish(e);
  e->rep.rebuild_us = (vr_clock(CLOCK_MONOTONIC) - begun) / 1000;
  return r;
}
