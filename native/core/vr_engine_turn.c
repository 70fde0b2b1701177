/* The turn of the apply thread. The order ver → scan of the records → drain → stat → publish is mandatory (docs/PROTOCOL.md
 * section 6; model-checked, every other order gives wrong answers). */
#include "vr_engine_internal.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/inotify.h>
#include <time.h>
#include <unistd.h>

#define REAP_NS 50000000ull
#define WATCHERS_NS 500000000ull
#define ROOT_CHECK_NS 100000000ull
#define SCRUB_REST 50             /* after a look at everything that found nothing: so many times as long as it took */
#define REBUILD_RETRY_NS 1000000000ull
#define PATROL_NS 20000000ull
#define PATROL_STEP 64
#define HASTE_STEP 400
#define SWEEP_STEP 32   /* entries looked at in a step, up to twice as many when it is late, */
#define SWEEP_PASSED 1024 /* nodes that are none (or in work already) passed over for it */
#define SWEEP_NS 20000000ull
#define SWEEP_PASS_NS 500000000ull /* from the begin of a pass to the next: a small tree needs no more */

/* Step "ver": which slots are dirty, and at which value. Blocks of eight without a difference are passed over: a turn every few
 * milliseconds must not cost a walk with a branch for each slot. */
static void note_dirty(struct vr_engine *e) {
  for (uint32_t i = 0; i < e->dirty_count; i++) e->dirty[e->dirty_slots[i]] = 0;
  e->dirty_count = 0;
  uint64_t *const ver = e->board.ver, *const pub = e->pub; /* or they would be loaded again behind every atomic load */
  for (uint32_t block = 0; block < VR_SLOTS; block += 8) {
    uint64_t differs = 0;
#pragma GCC unroll 8
    for (uint32_t s = 0; s < 8; s++) differs |= __atomic_load_n(&ver[block + s], __ATOMIC_SEQ_CST) ^ pub[block + s];
    if (!differs) continue;
    for (uint32_t s = block; s < block + 8; s++) {
      uint64_t v = __atomic_load_n(&e->board.ver[s], __ATOMIC_SEQ_CST);
      if (v == e->pub[s]) continue;
      e->dirty[s] = 1;
      e->dirty_ver[s] = v;
      e->dirty_slots[e->dirty_count++] = (uint16_t)s;
    }
  }
}

static void name_inode(struct vr_forbidden *f, uint64_t ino) {
  if (!ino) return;
  for (uint32_t at = (uint32_t)(ino * VR_HASH_K0 >> 40) & 32767, i = 0; i < 32768; at = (at + 1) & 32767, i++) {
    if (f->stamp[at] == f->now && f->ino[at] == ino) return;
    if (f->stamp[at] == f->now) continue;
    f->stamp[at] = f->now;
    f->ino[at] = ino;
    f->inodes++;
    return;
  }
}

/* Which slots one live record forbids. */
static void heed(struct vr_engine *e, struct vr_record *r) {
  struct vr_forbidden *f = e->forbidden;
  if (vr_record_damaged(r)) {
    f->everything = 1;
    f->damaged++;
    return;
  }
  uint32_t kind = __atomic_load_n(&r->kind, __ATOMIC_SEQ_CST);
  int file = kind == VR_BOARD_KIND_HELD || kind == VR_BOARD_KIND_ESCAPED;
  if (file) {
    if (kind == VR_BOARD_KIND_ESCAPED) e->rep.escaped++;
    uint16_t s = __atomic_load_n(&r->slots[0], __ATOMIC_RELAXED);
    if (__atomic_load_n(&r->staged, __ATOMIC_SEQ_CST) && s < VR_SLOTS) f->slot[s] = 1;
    return;
  }
  for (int i = 0; i < 6; i++) {
    uint16_t s = __atomic_load_n(&r->slots[i], __ATOMIC_RELAXED);
    if (s == 0) f->everything = 1;
    if (s < VR_SLOTS) f->slot[s] = 1;
  }
}

static uint32_t record_high(struct vr_engine *e) {
  return vr_high(__atomic_load_n(&e->board.dyn->record_high, __ATOMIC_SEQ_CST), VR_BOARD_RECORDS);
}

/* Step "scan". The inodes are taken in a second pass: in one, a rename into a slot could finish behind the opener's record, which has no
 * inode yet, and before its own. A wild store could make record_high too low and hide records: reap looks at all and raises it again. */
static void scan_records(struct vr_engine *e) {
  struct vr_forbidden *f = e->forbidden;
  memset(f->slot, 0, sizeof f->slot);
  f->everything = 0;
  f->damaged = 0;
  f->inodes = 0;
  if (++f->now == 0) memset(f->stamp, 0, sizeof f->stamp), f->now = 1;
  e->rep.escaped = 0;
  uint32_t high = record_high(e);
  for (uint32_t i = 0; i < high; i++) {
    struct vr_record *r = &e->board.records[i];
    if (vr_guard_record(e, r) == VR_BOARD_RECORD_LIVE) heed(e, r);
  }
  high = record_high(e);
  for (uint32_t i = 0; i < high; i++) {
    struct vr_record *r = &e->board.records[i];
    if (vr_record_state(__atomic_load_n(&r->state, __ATOMIC_SEQ_CST)) != VR_BOARD_RECORD_LIVE) continue;
    if (vr_record_damaged(r)) f->everything = 1, f->damaged++;
    name_inode(f, __atomic_load_n(&r->ino[0], __ATOMIC_SEQ_CST));
    name_inode(f, __atomic_load_n(&r->ino[1], __ATOMIC_SEQ_CST));
  }
  e->rep.bad_records = (uint64_t)f->damaged;
}

/* Frees the records of dead owners and bumps what they named, so that it is looked at again. */
static void reap(struct vr_engine *e, int serve) {
  e->rep.staged_dead = 0;
  for (uint32_t i = 0; i < VR_BOARD_RECORDS; i++) {
    struct vr_record *r = &e->board.records[i];
    uint32_t state = vr_guard_record(e, r);
    if (state == VR_BOARD_RECORD_FREE) continue;
    if (state == VR_BOARD_RECORD_LIVE) vr_raise_high(&e->board.dyn->record_high, i + 1, VR_BOARD_RECORDS);
    if (state == VR_BOARD_RECORD_LIVE && vr_record_damaged(r)) {
      vr_reap_damaged(e, r, serve);
      continue;
    }
    uint32_t kind = __atomic_load_n(&r->kind, __ATOMIC_SEQ_CST);
    if (state == VR_BOARD_RECORD_CLAIMED) { /* kind holds the claimant's pid; nothing has been done yet */
      if (!vr_owner_dead(kind, UINT64_MAX / 2)) continue;
      uint64_t seen = (uint64_t)kind << 32 | VR_BOARD_RECORD_CLAIMED;
      __atomic_compare_exchange_n((uint64_t *)(void *)r, &seen, 0, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
      continue;
    }
    if (state != VR_BOARD_RECORD_LIVE || kind == VR_BOARD_KIND_ESCAPED) continue;
    if (!vr_owner_dead(__atomic_load_n(&r->pid, __ATOMIC_SEQ_CST), __atomic_load_n(&r->time, __ATOMIC_SEQ_CST))) continue;
    if (__atomic_load_n(&r->staged, __ATOMIC_SEQ_CST)) {
      e->rep.staged_dead++;
      continue;
    }
    vr_held_release(&e->board, (int)i);
    e->rep.reaped++;
  }
}

static void clean_slot(struct vr_engine *e, uint32_t s) {
  for (uint32_t n = e->slot_head[s]; n != VR_NONE; n = e->nodes[n].slot_next) {
    e->nodes[n].flags &= (uint16_t)~N_CLEAN;
    vr_verify(e, n);
  }
  __atomic_store_n(&e->pub[s], e->dirty_ver[s], __ATOMIC_RELEASE);
  e->dirty[s] = 0;
}

/* Steps "stat" and "publish" for the slots that no record forbids, within the time; the next turn goes on where this one stopped. */
static void clean_slots(struct vr_engine *e, uint64_t until) {
  uint32_t count = e->dirty_count, first = 0, done = 0;
  e->rep.dirty = count;
  if (!count || e->forbidden->everything) return;
  while (first < count && e->dirty_slots[first] < e->clean_from) first++;
  e->clean_from = 0;
  for (uint32_t i = 0; i < count; i++) {
    uint32_t s = e->dirty_slots[(first + i) % count];
    if (!s || e->forbidden->slot[s]) continue;
    if (done && vr_clock(CLOCK_MONOTONIC) > until) {
      e->clean_from = s;
      break;
    }
    clean_slot(e, s);
    done++;
    e->rep.dirty--;
  }
  if (e->dirty[0]) {
    __atomic_store_n(&e->pub[0], e->dirty_ver[0], __ATOMIC_RELEASE);
    e->dirty[0] = 0;
    e->rep.dirty--;
  }
}

static void verify_some(struct vr_engine *e, uint64_t until) {
  struct vr_siblings s = {VR_NONE, -1};
  for (uint32_t i = 0, count = e->verify.count; i < count && e->verify.count; i++) {
    uint32_t n = vr_queue_pop(&e->verify);
    e->nodes[n].flags &= (uint16_t)~N_QUEUED;
    if (e->nodes[n].flags & N_CLEAN) continue;
    if (!e->dirty[vr_slot(e->nodes[n].hash)]) vr_verify_next(e, n, &s); /* a dirty slot's cleaning will see to it */
    if ((i & 15) == 15 && vr_clock(CLOCK_MONOTONIC) > until) break;
  }
  if (s.fd >= 0) close(s.fd);
}

/* Bounds what no event tells (atime older than a day, st_blocks, outside links): every entry is looked at again in time. */
static void sweep(struct vr_engine *e) {
  if (e->now < e->sweep_due) return;
  uint64_t late = e->now - e->sweep_due; /* turns may be further apart: the rate stays */
  uint32_t step = late < SWEEP_NS ? (uint32_t)(SWEEP_STEP * (SWEEP_NS + late) / SWEEP_NS) : 2 * SWEEP_STEP;
  e->sweep_due = e->now + SWEEP_NS;
  for (uint32_t looked = 0, passed = 0; looked < step && passed < SWEEP_PASSED && looked + passed < e->st->node_count;) {
    if (e->sweep >= e->st->node_count) {
      if (e->now < e->sweep_pass_due) return;
      e->sweep_pass_due = e->now + SWEEP_PASS_NS;
      e->sweep = 0;
    }
    uint32_t n = e->sweep++;
    struct vr_node *x = &e->nodes[n];
    if ((x->flags & (N_EXCLUDED | N_GONE | N_QUEUED)) || e->dirty[vr_slot(x->hash)]) {
      passed++;
      continue;
    }
    looked++;
    struct statx st;
    char rel[VR_REL_MAX];
    struct vr_entry *y = vr_entry_at(e, x->off);
    if (!y || vr_node_path(e, n, rel) < 0) continue;
    if (!(x->flags & N_CLEAN)) {
      if (!(x->flags & N_SETTLING)) vr_verify(e, n); /* here and now: what can never be CLEAN must not keep the queue busy */
      continue;
    }
    if (statx(e->root_fd, rel, AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH, STATX_BASIC_STATS, &st) < 0 || st.stx_ino != y->ino ||
        st.stx_size != y->size || st.stx_blocks != y->blocks || st.stx_nlink != y->nlink || st.stx_mode != y->mode ||
        st.stx_ctime.tv_nsec != y->ctime_ns || (uint64_t)st.stx_ctime.tv_sec != y->ctime || st.stx_mtime.tv_nsec != y->mtime_ns ||
        st.stx_atime.tv_nsec != y->atime_ns || (uint64_t)st.stx_atime.tv_sec != y->atime) {
      e->rep.drifts++;
      vr_distrust_node(e, n);
    }
    else if (!e->noatime && vr_clock(CLOCK_REALTIME_COARSE) / 1000000000u > y->atime + 22 * 3600)
      vr_distrust_node(e, n);
  }
}

static void check_root(struct vr_engine *e) {
  struct stat st;
  if (lstat(e->root, &st) < 0 || st.st_ino != e->root_ino || st.st_dev != e->root_dev) {
    if (e->native_why == VR_NATIVE_NONE) e->native_why = VR_NATIVE_ROOT_MOVED, e->st->root_away = 1;
  } else if (e->native_why == VR_NATIVE_ROOT_MOVED) {
    e->native_why = VR_NATIVE_NONE; /* it was moved back */
    vr_engine_distrust(e);
    vr_bump(&e->board, 0);
    e->st->root_away = 0;
  }
}

static void set_lease(struct vr_engine *e, uint64_t lease) {
  __atomic_store_n(&e->dyn->lease, lease, __ATOMIC_SEQ_CST);
  __atomic_store_n(&e->dyn->lease_inv, ~lease, __ATOMIC_SEQ_CST);
}

static int corruption(struct vr_engine *e, uint64_t now) {
  uint32_t told = __atomic_load_n(&e->board.dyn->corrupt, __ATOMIC_SEQ_CST);
  int doubt = told != e->st->corrupt_seen || e->rep.corrupt;
  if (vr_guard(e)) doubt = 1, vr_damaged(e);
  if (!doubt || now < e->scrub_due) return 0;
  if (!e->rep.corrupt) {
    uint64_t begun = vr_clock(CLOCK_MONOTONIC);
    if (!vr_engine_scrub(e)) { /* a client's own trouble, or a wild store on the board: looked at, but not all the time */
      e->scrub_due = now + (vr_clock(CLOCK_MONOTONIC) - begun) * SCRUB_REST;
      e->st->corrupt_seen = told; /* only now: a successor would have to look as well */
      return 0;
    }
  }
  if (vr_engine_rebuild(e) < 0) {
    vr_damaged(e); /* no lease until it succeeds */
    e->scrub_due = now + REBUILD_RETRY_NS;
    return 0;
  }
  e->st->corrupt_seen = told;
  e->rep.rebuilds++;
  return 1;
}

static void fill_report(struct vr_engine *e) {
  struct vr_report *r = &e->rep;
  uint64_t pids = 0;
  for (unsigned i = 0; i < VR_BOARD_CLASSIFY; i++) pids |= __atomic_load_n(&e->board.classify[i], __ATOMIC_RELAXED);
  r->classify = pids != 0;
  r->drain = e->dyn->drain_done;
  r->entries = e->entry_count;
  r->dirs = e->dirs_live;
  r->watches = e->watches;
  r->bytes_used = e->entries_used;
  r->file_size = e->vdir.size;
  r->generation = e->generation;
  r->vdir_id = e->vdir.header->vdir_id;
  r->board_id = e->board.header->board_id;
  r->unverified = e->verify.count;
  r->scans = e->scan.count + (e->scan_fd >= 0) + e->pending_count;
  r->settles = e->settle_count;
  r->native_why = e->native_why;
  r->magic = e->magic;
  r->adoptable = e->region.id && !e->st->spoilt;
  r->complete = !r->scans && !r->unverified;
  e->dyn->dir_count = e->dirs_live;
  e->dyn->watch_count = e->watches;
}

int vr_engine_turn(struct vr_engine *e, int serve, uint32_t budget_us, struct vr_report *out) {
  uint64_t t0 = vr_clock(CLOCK_MONOTONIC_COARSE), until = vr_clock(CLOCK_MONOTONIC) + (uint64_t)budget_us * 1000;
  uint64_t events = e->rep.events;
  e->now = t0;
  if (e->board.dyn->overflow && !serve) { /* nobody asks any more: forget the mutations that found no record, but first what they may have changed */
    vr_engine_distrust(e);
    __atomic_store_n(&e->board.dyn->overflow, 0, __ATOMIC_SEQ_CST);
  }
  corruption(e, t0);
  if (t0 >= e->root_due) {
    check_root(e);
    e->root_due = t0 + ROOT_CHECK_NS;
  }
  if (t0 >= e->reap_due) {
    reap(e, serve);
    e->reap_due = t0 + REAP_NS;
  }
  if (t0 >= e->watchers_due) {
    vr_reap_watchers(e);
    e->watchers_due = t0 + WATCHERS_NS;
  }
  e->st->turned = vr_clock(CLOCK_BOOTTIME);
  e->g_again = 0;
  e->want_turn_seen = __atomic_load_n(&e->board.dyn->want_turn, __ATOMIC_SEQ_CST); /* before any look: who comes later is counted for the next turn */
  e->want_hurried = __atomic_load_n(&e->board.dyn->want, __ATOMIC_SEQ_CST);
  note_dirty(e);
  uint32_t dirty = e->dirty_count;
  scan_records(e);
  uint64_t number = e->drain_begun + 1; /* not from the file: a flipped bit would make it jump */
  __atomic_store_n(&e->dyn->drain_started, number, __ATOMIC_SEQ_CST);
  __atomic_store_n(&e->dyn->drain_started_inv, ~number, __ATOMIC_SEQ_CST);
  __atomic_store_n(&e->drain_begun, number, __ATOMIC_SEQ_CST);
  if (vr_mounts_changed(e)) {
    vr_bump(&e->board, 0);
    e->g_again = 1;
    e->st->distrusting = 1; /* before the first of them has no watch any more */
    VR_IN_ORDER();
    for (uint32_t d = 1; d < e->st->dir_count; d++) vr_unwatch_dir(e, d);
    vr_engine_distrust(e);
    e->st->mounts_hash = e->mounts_hash; /* only now: a successor that finds another does the same */
  }
  int drained = vr_drain(e), settling = 0;
  e->drained = drained == 1;
  if (drained < 0) e->native_why = VR_NATIVE_WATCHES, vr_state_spoil(&e->region);
  if (drained == 1) {
    vr_complete_drained(e);
    __atomic_store_n(&e->dyn->drain_done, number, __ATOMIC_SEQ_CST);
    __atomic_store_n(&e->dyn->drain_done_inv, ~number, __ATOMIC_SEQ_CST);
    clean_slots(e, until);
    set_lease(e, serve && e->published && !e->rep.corrupt && e->native_why == VR_NATIVE_NONE ? t0 + VR_LEASE_NS : 0);
    verify_some(e, until);
    vr_scan_some(e, until);
    settling = vr_settle_due(e, until);
    if (!e->verify.count && !e->scan.count && !settling) {
      vr_engine_huge_some(e);
      sweep(e);
      if (t0 >= e->patrol_due) {
        e->patrol_due = t0 + PATROL_NS;
        if (vr_patrol(e, PATROL_STEP)) vr_damaged(e);
      }
    }
    if (e->haste) { /* damage that was there before the adoption and that no reader came across */
      e->haste -= e->haste < HASTE_STEP ? e->haste : HASTE_STEP;
      if (vr_patrol(e, HASTE_STEP)) vr_damaged(e);
    }
  }
  uint32_t want = __atomic_load_n(&e->board.dyn->want, __ATOMIC_RELAXED);
  e->rep.busy = want != e->want_seen || events != e->rep.events || dirty || e->g_again || e->verify.count || e->scan.count ||
                e->scan_fd >= 0 || e->pending_count || settling || drained != 1;
  e->want_seen = want;
  fill_report(e);
  if (out) *out = e->rep;
  return 0;
}
