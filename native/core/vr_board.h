/* The client's side of the board: maps, records, bumps. See docs/PROTOCOL.md section 4. Async-signal-safe; no allocation. */
#ifndef VR_BOARD_H
#define VR_BOARD_H
#include "vrift_layout.h"
#include "vr_hash.h"
#include "vr_sys.h"

struct vr_board {
  uint8_t *base; /* whole mapping; NULL: none */
  struct vr_board_dyn *dyn;
  uint64_t *ver;             /* [VR_SLOTS] */
  struct vr_record *records; /* [VR_BOARD_RECORDS] */
  struct vr_staged *staged;  /* [VR_BOARD_STAGED] */
  uint64_t *classify;        /* [VR_BOARD_CLASSIFY] pids of unclassified programs */
  uint64_t *watchers;        /* [VR_BOARD_WATCHERS] who watches the project */
  struct vr_board_header header[1]; /* a copy of our own, checked: what happens to the file's does not reach us. Filled up to the first reserved
                                     * bytes (the rest is a page that a short process need not touch); by the daemon as a whole */
};
#define VR_BOARD_FACTS offsetof(struct vr_board_header, reserved80)

/* In a word of classify[]: the libraries that the process has loaded are asked about too. */
#define VR_CLASSIFY_LIBRARIES 0x40000000u

/* What a mutation names. Slots may repeat; at most 6 distinct are kept, more become G. */
struct vr_intent {
  uint32_t nslots;
  uint16_t slots[6];
  uint64_t ino[2];
};
static inline void vr_intent_init(struct vr_intent *in) { memset(in, 0, sizeof *in); }
static inline void vr_intent_slot(struct vr_intent *in, uint32_t slot) {
  for (uint32_t i = 0; i < in->nslots; i++)
    if (in->slots[i] == slot) return;
  if (in->nslots < 6) in->slots[in->nslots++] = (uint16_t)slot;
  else in->slots[0] = 0;
}

/* Copies what a header says (a multiple of 8 bytes), without a function of libc and the page it may lie in. */
static inline void vr_facts_copy(void *to, const void *from, size_t bytes) {
  typedef uint64_t __attribute__((may_alias)) word;
  word *t = (word *)to;
  const word *f = (const word *)from;
  for (size_t i = 0; i < bytes / 8; i++) {
    t[i] = f[i];
    __asm__("" : : : "memory"); /* no loop that the compiler would make a memcpy of */
  }
}
static inline int vr_facts_equal(const void *a, const void *b, size_t bytes) {
  typedef uint64_t __attribute__((may_alias)) word;
  uint64_t differ = 0;
  _Pragma("GCC unroll 16") for (size_t i = 0; i < bytes / 8; i++) differ |= ((const word *)a)[i] ^ ((const volatile word *)b)[i];
  return !differ;
}

/* Checks size, header and checksum of a mapped board. 0: good. */
int vr_board_attach(struct vr_board *b, void *base, size_t size);
/* Steps 1 and 2: claims and publishes a record of the kind, bumps. Returns the record's index, or -1 when none was free (then
 * G was bumped, and must be bumped again by vr_mutation_end). pid and tid are the owner's. */
int vr_mutation_begin(struct vr_board *b, const struct vr_intent *in, uint32_t kind, uint32_t pid, uint32_t tid);
/* Step 4: frees the record. */
void vr_mutation_end(struct vr_board *b, int record);
/* Turns a live OP record into HELD/BLIND/ESCAPED, adding an inode (0: none). */
void vr_mutation_keep(struct vr_board *b, int record, uint32_t kind, uint64_t ino);
/* Hands a live record to another process (a child that was just started); its time is renewed. */
void vr_mutation_owner(struct vr_board *b, int record, uint32_t pid);
/* Names one more slot in a live record and bumps it. */
void vr_mutation_add_slot(struct vr_board *b, int record, uint32_t slot);
/* Last close of a HELD file: bumps its slots, frees the record. Call after the real close. */
void vr_held_release(struct vr_board *b, int record);
/* Turns kind, time, inodes… of a live record into its sum again after one of them was stored. Two may do this at once: whoever stores
 * last has seen both changes. */
void vr_record_reseal(struct vr_record *r);
uint32_t vr_record_sum(const struct vr_record *r);
/* Stores `staged` of a record and reseals it; when expect is not 0 only if it was that. */
void vr_record_staged(struct vr_board *b, int record, uint32_t expect, uint32_t staged);
/* A "1 + highest" word: both halves agree, or all are to be looked at. */
static inline uint32_t vr_high(uint32_t word, uint32_t max) {
  uint32_t n = word & 0xffff;
  return n == word >> 16 && n <= max ? n : max;
}
void vr_raise_high(uint32_t *word, uint32_t high, uint32_t max);
/* A `superseded` word that was set, and not one that a bit flipped in. Readers take any bit as a reason to ask the kernel. */
static inline int vr_gone(const uint32_t *word) {
  uint32_t v = __atomic_load_n(word, __ATOMIC_ACQUIRE);
  return __builtin_expect(v != 0, 0) && __builtin_popcount(v) >= 16;
}
static inline void vr_set_gone(uint32_t *word) { __atomic_store_n(word, ~0u, __ATOMIC_SEQ_CST); }
/* The state that a record's word says, also with one bit flipped in it. Anything else: LIVE, the state that forbids. */
static inline uint32_t vr_record_state(uint32_t word) {
  uint32_t other = word ^ VR_BOARD_RECORD_CLAIMED; /* x & (x - 1) is 0: at most one bit; without the popcount that a plain x86-64 has not */
  if (!(word & (word - 1))) return VR_BOARD_RECORD_FREE;
  if (!(other & (other - 1))) return VR_BOARD_RECORD_CLAIMED;
  return VR_BOARD_RECORD_LIVE;
}
/* The bell while the daemon sleeps, by whom it gets up for: a build asks a thousand times a second, and each time it would get up for nothing, it
 * takes the processor from the build. */
enum vr_bell {
  VR_BELL_UP,     /* it does not sleep */
  VR_BELL_ANY,    /* for whoever wants anything */
  VR_BELL_DRAIN,  /* a turn is due in some ms: only for who wants a drain of an empty queue */
  VR_BELL_OWN     /* events wait for that turn, so no drain can be had before: for its own threads only */
};
#define VR_WANT_MANY 64u /* of want and want_turn: what makes a turn due soon. Added at once by who cannot do without one */
static inline void vr_ring_now(struct vr_board *b) {
  if (__atomic_load_n(&b->dyn->bell, __ATOMIC_SEQ_CST) && __atomic_exchange_n(&b->dyn->bell, VR_BELL_UP, __ATOMIC_SEQ_CST))
    vr_sys6(SYS_futex, (long)&b->dyn->bell, 1 /* FUTEX_WAKE */, 1, 0, 0, 0);
}
/* Wakes the daemon if it sleeps between turns and has a use for it. One system call at most, and none while it is up. turn: a drain is not enough. */
static inline void vr_ring(struct vr_board *b, int turn) {
  uint32_t bell = __atomic_load_n(&b->dyn->bell, __ATOMIC_SEQ_CST);
  if (bell == VR_BELL_ANY || (bell == VR_BELL_DRAIN && !turn)) vr_ring_now(b);
}
static inline void vr_bump(struct vr_board *b, uint32_t slot) {
  __atomic_fetch_add(&b->ver[slot], VR_BOARD_BUMP, __ATOMIC_SEQ_CST);
}
#endif
