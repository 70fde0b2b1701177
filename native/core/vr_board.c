/* Records and bumps. The one invariant: a record is LIVE, naming everything, before `ver` of what it names moves, and `ver`
 * has moved before the real call is made (docs/PROTOCOL.md section 4). Nothing here blocks; the claim visits each record once
 * at most. */
#include "vr_board.h"
#include <time.h>
#include "vr_fault.h"

/* `state` and `kind` are claimed together: while CLAIMED, `kind` holds the claimant's pid, so that the record of a claimant
 * that was killed half-way can be told from that of one which is still filling it in. */
static uint64_t head_of(uint32_t state, uint32_t kind) { return (uint64_t)kind << 32 | state; }
static uint64_t *head(struct vr_record *r) { return (uint64_t *)(void *)r; }

static uint64_t boottime(void) {
  struct timespec t;
  clock_gettime(CLOCK_BOOTTIME, &t);
  return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

int vr_board_attach(struct vr_board *b, void *base, size_t size) {
  if (!base || size != VR_BOARD_SIZE) return -1;
  struct vr_board_header *h = b->header;
  const struct vr_board_header *m = base;
  _Static_assert(VR_BOARD_FACTS % 8 == 0, "copied in words");
  vr_facts_copy(h, m, VR_BOARD_FACTS);
  if (h->magic != VR_BOARD_MAGIC || h->version != VR_BOARD_VERSION || h->file_size != VR_BOARD_SIZE) return -1;
  /* The copy is what was summed, if it is still the same after that. */
  if (m->checksum != vr_hash64(m, offsetof(struct vr_board_header, checksum), VR_BOARD_MAGIC) || !vr_facts_equal(h, m, VR_BOARD_FACTS)) return -1;
  uint8_t *p = base;
  b->dyn = (struct vr_board_dyn *)(void *)(p + VR_BOARD_DYN_OFFSET);
  b->ver = (uint64_t *)(void *)(p + VR_BOARD_VER_OFFSET);
  b->records = (struct vr_record *)(void *)(p + VR_BOARD_RECORDS_OFFSET);
  b->staged = (struct vr_staged *)(void *)(p + VR_BOARD_STAGED_OFFSET);
  b->classify = (uint64_t *)(void *)(p + VR_BOARD_CLASSIFY_OFFSET);
  b->watchers = (uint64_t *)(void *)(p + VR_BOARD_WATCHERS_OFFSET);
  __atomic_store_n(&b->base, p, __ATOMIC_RELEASE);
  return 0;
}

/* Claims begin low, so that record_high stays low and a scan short; far enough apart that threads seldom meet. */
#define CLAIM_SPREAD 64

static int claim(struct vr_board *b, uint32_t pid, uint32_t tid) {
  uint32_t at = vr_hash32(&tid, sizeof tid, pid) % CLAIM_SPREAD;
  for (uint32_t i = 0; i < VR_BOARD_RECORDS; i++, at = (at + 1) % VR_BOARD_RECORDS) {
    uint64_t seen = __atomic_load_n(head(&b->records[at]), __ATOMIC_RELAXED);
    if ((uint32_t)seen != VR_BOARD_RECORD_FREE) continue;
    if (__atomic_compare_exchange_n(head(&b->records[at]), &seen, head_of(VR_BOARD_RECORD_CLAIMED, pid), 0, __ATOMIC_SEQ_CST,
                                    __ATOMIC_RELAXED))
      return (int)at;
  }
  return -1;
}

/* Raised before the record is LIVE: a scan that stops at it misses none that it must see. */
void vr_raise_high(uint32_t *word, uint32_t high, uint32_t max) {
  uint32_t seen = __atomic_load_n(word, __ATOMIC_SEQ_CST);
  do
    if (vr_high(seen, max) >= high) return;
  while (!__atomic_compare_exchange_n(word, &seen, high | high << 16, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST));
}

uint32_t vr_record_sum(const struct vr_record *r) {
  struct vr_record copy;
  uint32_t *to = (uint32_t *)(void *)&copy;
  const uint32_t *from = (const uint32_t *)(const void *)r;
  for (unsigned i = 1; i < offsetof(struct vr_record, sum) / 4; i++) to[i] = __atomic_load_n(&from[i], __ATOMIC_RELAXED);
  return vr_hash32(&copy.kind, offsetof(struct vr_record, sum) - offsetof(struct vr_record, kind), 0);
}

void vr_record_reseal(struct vr_record *r) {
  for (int i = 0; i < 8; i++) { /* more: others go on changing it, and each of them reseals */
    uint32_t sum = vr_record_sum(r);
    __atomic_store_n(&r->sum, sum, __ATOMIC_SEQ_CST);
    if (sum == vr_record_sum(r)) return;
  }
}

void vr_record_staged(struct vr_board *b, int record, uint32_t expect, uint32_t staged) {
  if (record < 0 || record >= (int)VR_BOARD_RECORDS) return;
  struct vr_record *r = &b->records[record];
  if (!expect) __atomic_store_n(&r->staged, staged, __ATOMIC_SEQ_CST);
  else if (!__atomic_compare_exchange_n(&r->staged, &expect, staged, 0, __ATOMIC_SEQ_CST, __ATOMIC_RELAXED)) return;
  vr_record_reseal(r);
}

/* Nobody answers from memory any more: a change that makes no event could not be found again. Before and after the call, because the
 * daemon may have forgotten the first of them in between. */
static void unrecorded(struct vr_board *b) {
  __atomic_fetch_add(&b->dyn->overflow, VR_BOARD_STEP, __ATOMIC_SEQ_CST);
  vr_bump(b, 0);
}

int vr_mutation_begin(struct vr_board *b, const struct vr_intent *in, uint32_t kind, uint32_t pid, uint32_t tid) {
  int at = claim(b, pid, tid);
  if (at < 0) {
    unrecorded(b);
    return -1;
  }
  VR_FAULT(record_claimed);
  struct vr_record *r = &b->records[at];
  r->pid = pid;
  r->tid = tid;
  r->time = boottime();
  uint32_t n = in->nslots < 6 ? in->nslots : 6;
  for (uint32_t i = 0; i < 6; i++) __atomic_store_n(&r->slots[i], i < n ? in->slots[i] : VR_BOARD_NO_SLOT, __ATOMIC_RELAXED);
  r->flags = 0;
  r->reserved38 = 0;
  __atomic_store_n(&r->ino[0], in->ino[0], __ATOMIC_RELAXED);
  __atomic_store_n(&r->ino[1], in->ino[1], __ATOMIC_RELAXED);
  r->staged = 0;
  struct vr_record sealed = *r;
  sealed.kind = kind;
  r->sum = vr_record_sum(&sealed);
  vr_raise_high(&b->dyn->record_high, (uint32_t)at + 1, VR_BOARD_RECORDS);
  __atomic_store_n(head(r), head_of(VR_BOARD_RECORD_LIVE, kind), __ATOMIC_SEQ_CST);
  VR_FAULT(mutation_live);
  for (uint32_t i = 0; i < n; i++) vr_bump(b, in->slots[i] % VR_SLOTS);
  VR_FAULT(mutation_bumped);
  return at;
}

static void free_record(struct vr_record *r) { __atomic_store_n(&r->state, VR_BOARD_RECORD_FREE, __ATOMIC_RELEASE); }

void vr_mutation_end(struct vr_board *b, int record) {
  VR_FAULT(mutation_done);
  if (record < 0 || record >= (int)VR_BOARD_RECORDS) unrecorded(b);
  else free_record(&b->records[record]);
}

static void add_ino(struct vr_board *b, int record, uint64_t ino) {
  struct vr_record *r = &b->records[record];
  if (!ino || __atomic_load_n(&r->ino[0], __ATOMIC_RELAXED) == ino || __atomic_load_n(&r->ino[1], __ATOMIC_RELAXED) == ino) return;
  for (int i = 0; i < 2; i++)
    if (!__atomic_load_n(&r->ino[i], __ATOMIC_RELAXED)) {
      __atomic_store_n(&r->ino[i], ino, __ATOMIC_SEQ_CST);
      return;
    }
  vr_mutation_add_slot(b, record, 0);
}

void vr_mutation_keep(struct vr_board *b, int record, uint32_t kind, uint64_t ino) {
  if (record < 0 || record >= (int)VR_BOARD_RECORDS) return;
  add_ino(b, record, ino);
  vr_record_reseal(&b->records[record]);
  __atomic_store_n(&b->records[record].kind, kind, __ATOMIC_SEQ_CST);
  vr_record_reseal(&b->records[record]);
}

void vr_mutation_owner(struct vr_board *b, int record, uint32_t pid) {
  if (record < 0 || record >= (int)VR_BOARD_RECORDS) return;
  /* The time first: with the old owner it only gets later, and the new owner never started after it. */
  __atomic_store_n(&b->records[record].time, boottime(), __ATOMIC_SEQ_CST);
  __atomic_store_n(&b->records[record].pid, pid, __ATOMIC_SEQ_CST);
  __atomic_store_n(&b->records[record].tid, pid, __ATOMIC_SEQ_CST);
  vr_record_reseal(&b->records[record]);
}

void vr_mutation_add_slot(struct vr_board *b, int record, uint32_t slot) {
  slot %= VR_SLOTS;
  if (record >= 0 && record < (int)VR_BOARD_RECORDS) {
    struct vr_record *r = &b->records[record];
    int i = 0;
    for (; i < 6; i++) {
      uint16_t s = __atomic_load_n(&r->slots[i], __ATOMIC_RELAXED);
      if (s == slot) break;
      if (s != VR_BOARD_NO_SLOT) continue;
      __atomic_store_n(&r->slots[i], (uint16_t)slot, __ATOMIC_SEQ_CST);
      vr_record_reseal(r);
      break;
    }
    if (i == 6) { /* full: the whole project instead of the last one named, which stays dirty by the bump of G */
      __atomic_store_n(&r->slots[5], 0, __ATOMIC_SEQ_CST);
      vr_record_reseal(r);
      vr_bump(b, 0);
    }
  }
  vr_bump(b, slot);
}

void vr_held_release(struct vr_board *b, int record) {
  if (record < 0 || record >= (int)VR_BOARD_RECORDS) {
    vr_bump(b, 0);
    return;
  }
  struct vr_record *r = &b->records[record];
  for (int i = 0; i < 6; i++) {
    uint16_t s = __atomic_load_n(&r->slots[i], __ATOMIC_RELAXED);
    if (s != VR_BOARD_NO_SLOT) vr_bump(b, s % VR_SLOTS);
  }
  VR_FAULT(held_bumped);
  free_record(r);
}
