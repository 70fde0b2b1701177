/* What each descriptor is: one atomic word per number, and reference-counted objects for those open for writing in the project.
 *
 * A word is {kind: 3 bits, object index: 13 bits at 8, generation: 32 bits at 32}. The word is published after the open returned and
 * cleared before the real close (a number may be reused at once). The last reference of a held object is dropped after the real
 * close; then its record is freed. Only ESCAPED records outlive us: the daemon frees those.
 * Everything is static memory, no locks. A vfork child shares it with its parent and never writes to it. */
#include <sys/mman.h>
#include <sys/stat.h>
#include "writer.h"

#define HELD_MAX 4096
#define HELD_NEAR 8
#define LOW_MAX 64 /* descriptors that most processes have no more of */
#define DIR_MAX 128
#define DIR_PATH_MAX 1000
#define RELEASING 0x80000000u
#define HELD_ESCAPED 1u

struct held {
  uint32_t refs; /* 0: free; RELEASING: nobody's, not yet free */
  uint32_t generation;
  uint32_t flags;
  int32_t record; /* on the board; -1: none was free, overflow was counted */
  int32_t staged; /* staging.c's index + 1; 0: not staged */
  uint32_t reserved;
  uint64_t ino;
};
struct dir {
  uint32_t used, seq; /* seq odd: being filled */
  uint64_t epoch;     /* ver[0] when the path was right */
  uint32_t len;
  char path[DIR_PATH_MAX];
};

static uint64_t low_words[LOW_MAX] WARM_FIRST_BSS, words[SHIM_FD_MAX];
static struct held near_objects[HELD_NEAR] WARM_BSS, objects[HELD_MAX]; /* the first of objects are not used */
static inline struct held *object_at(uint32_t i) { return (i %= HELD_MAX) < HELD_NEAR ? &near_objects[i] : &objects[i]; }
static struct dir dirs[DIR_MAX];
static uint32_t held_high HOT_BSS, held_hint HOT_BSS, dir_hint HOT_BSS, fd_high HOT_BSS, forks HOT_BSS;
static uint32_t *fork_canary HOT_BSS; /* NULL: nothing that a child would share was written yet.
  MADV_WIPEONFORK:
                                       * MADV_WIPEONFORK: reads 0 after any fork, not after vfork */

static uint64_t word_of(uint32_t kind, uint32_t index, uint32_t generation) {
  return kind | (uint64_t)index << 8 | (uint64_t)generation << 32;
}
static uint32_t kind_of(uint64_t w) { return (uint32_t)w & 7; }
static uint32_t index_of(uint64_t w) { return (uint32_t)(w >> 8) & 0x1fff; }
static int is_write(uint64_t w) { return kind_of(w) == SHIM_FD_WRITE || kind_of(w) == SHIM_FD_STAGED; }
static int in_range(int fd) { return fd >= 0 && fd < SHIM_FD_MAX; }
static uint64_t *word_at(int fd) { return fd < LOW_MAX ? &low_words[fd] : &words[fd]; }
static uint64_t load(int fd) { return __atomic_load_n(word_at(fd), __ATOMIC_ACQUIRE); }

/* Made before the first thing is written that a child would share with us. */
static void make_canary(void) {
  uint32_t *none = NULL;
  if (__atomic_load_n(&fork_canary, __ATOMIC_ACQUIRE)) return;
  long p = raw_mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1);
  if (raw_failed(p)) return;
  *(uint32_t *)p = 1;
  if (raw3(SYS_madvise, p, 4096, MADV_WIPEONFORK) < 0 ||
      !__atomic_compare_exchange_n(&fork_canary, &none, (uint32_t *)p, 0, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED))
    raw2(SYS_munmap, p, 4096);
}

/* A process that was made by a bare clone (no hook saw it) is told from a vfork child by the canary, and adopted. */
int shim_in_vfork_child(void) {
  if (raw_getpid() == shim.pid) return 0;
  if (!fork_canary || *fork_canary) return 1;
  shim_fork_child();
  return shim.pid != raw_getpid();
}

static void raise_to(uint32_t *high, uint32_t value) {
  uint32_t seen = __atomic_load_n(high, __ATOMIC_RELAXED);
  while (seen < value && !__atomic_compare_exchange_n(high, &seen, value, 0, __ATOMIC_SEQ_CST, __ATOMIC_RELAXED)) {
  }
}

/* --- held objects --- */
static int new_held(int record, int staged, uint64_t ino) {
  uint32_t at = __atomic_load_n(&held_hint, __ATOMIC_RELAXED);
  for (uint32_t i = 0; i < HELD_MAX; i++, at++) {
    struct held *h = object_at(at);
    uint32_t none = 0;
    if (__atomic_load_n(&h->refs, __ATOMIC_RELAXED) != 0 ||
        !__atomic_compare_exchange_n(&h->refs, &none, RELEASING, 0, __ATOMIC_SEQ_CST, __ATOMIC_RELAXED))
      continue;
    h->generation++;
    h->flags = 0;
    h->record = record;
    h->staged = staged;
    h->ino = ino;
    raise_to(&held_high, at % HELD_MAX + 1);
    __atomic_store_n(&h->refs, 1, __ATOMIC_RELEASE);
    __atomic_store_n(&held_hint, (at + 1) % 64, __ATOMIC_RELAXED); /* low numbers: few pages, short scans */
    return (int)(at % HELD_MAX);
  }
  return -1;
}

/* Takes a reference to the object of a word, while it is still the same object. 1: taken. */
static int hold(uint64_t w) {
  struct held *h = object_at(index_of(w));
  uint32_t n = __atomic_load_n(&h->refs, __ATOMIC_ACQUIRE);
  do
    if (n == 0 || n >= RELEASING) return 0;
  while (!__atomic_compare_exchange_n(&h->refs, &n, n + 1, 0, __ATOMIC_SEQ_CST, __ATOMIC_ACQUIRE));
  return 1;
}

static void drop(uint64_t w) {
  struct held *h = object_at(index_of(w));
  uint32_t n = __atomic_load_n(&h->refs, __ATOMIC_ACQUIRE);
  do
    if (n == 0 || n >= RELEASING) return;
  while (!__atomic_compare_exchange_n(&h->refs, &n, n == 1 ? RELEASING : n - 1, 0, __ATOMIC_SEQ_CST, __ATOMIC_ACQUIRE));
  if (n != 1) return;
  if (!(h->flags & HELD_ESCAPED) && shim.board.base) {
    if (h->record >= 0) vr_held_release(&shim.board, h->record);
    else vr_bump(&shim.board, 0);
  }
  __atomic_store_n(&h->refs, 0, __ATOMIC_RELEASE);
}

static void escape(struct held *h) {
  if (__atomic_load_n(&h->refs, __ATOMIC_ACQUIRE) == 0) return;
  if (__atomic_fetch_or(&h->flags, HELD_ESCAPED, __ATOMIC_SEQ_CST) & HELD_ESCAPED) return;
  if (h->record >= 0) vr_mutation_keep(&shim.board, h->record, VR_BOARD_KIND_ESCAPED, h->ino);
}
/* Also by a vfork child that is about to exec: its parent's descriptors live on in the new program. */
void shim_fd_escape_all(void) {
  if (!shim.board.base) return;
  uint32_t high = __atomic_load_n(&held_high, __ATOMIC_ACQUIRE);
  for (uint32_t i = 0; i < high; i++) escape(object_at(i));
}
void shim_fd_escape(int fd) {
  if (!in_range(fd) || !is_write(load(fd)) || shim_in_vfork_child()) return;
  if (kind_of(load(fd)) == SHIM_FD_STAGED) shim_stage_promote_fd(fd);
  escape(object_at(index_of(load(fd))));
}

/* Only those that a child gets without further ado. */
void shim_fd_escape_inherited(void) {
  uint32_t high = __atomic_load_n(&fd_high, __ATOMIC_ACQUIRE);
  if (high > SHIM_FD_MAX) high = SHIM_FD_MAX;
  for (uint32_t fd = 0; fd < high && shim.board.base; fd++) {
    uint64_t w = load((int)fd);
    if (is_write(w) && !(raw2(SYS_fcntl, fd, F_GETFD) & FD_CLOEXEC)) escape(object_at(index_of(w)));
  }
}

/* A board that was lost knows none of the files we hold: they are named again in its successor. */
void shim_board_replaced(void) {
  shim_stage_promote_all(); /* nobody who looks would find them in the new one */
  uint32_t high = __atomic_load_n(&held_high, __ATOMIC_ACQUIRE);
  for (uint32_t i = 0; i < high; i++) {
    struct held *h = object_at(i);
    if (__atomic_load_n(&h->refs, __ATOMIC_ACQUIRE) == 0) continue;
    struct vr_intent in;
    vr_intent_init(&in);
    vr_intent_slot(&in, 0);
    in.ino[0] = h->ino;
    h->record = vr_mutation_begin(&shim.board, &in, VR_BOARD_KIND_OP, (uint32_t)raw_getpid(), (uint32_t)raw_gettid());
    vr_mutation_keep(&shim.board, h->record, h->flags & HELD_ESCAPED ? VR_BOARD_KIND_ESCAPED : VR_BOARD_KIND_HELD, h->ino);
  }
}

/* --- words --- */
/* w was the descriptor's word, and the number is another file's now. */
static void forget_word(int fd, uint64_t w) {
  const struct held *h = object_at(index_of(w));
  if (kind_of(w) == SHIM_FD_STAGED && h->generation == (uint32_t)(w >> 32) && h->staged) shim_stage_closed_unseen(h->staged - 1, fd);
  if (is_write(w)) drop(w);
  else if (kind_of(w) == SHIM_FD_DIR) __atomic_store_n(&dirs[index_of(w) % DIR_MAX].used, 0, __ATOMIC_RELEASE);
}
/* A word that is still there belongs to a descriptor which something closed without us seeing it. */
static void publish(int fd, uint64_t w) {
  make_canary();
  raise_to(&fd_high, (uint32_t)fd + 1);
  uint64_t old = __atomic_exchange_n(word_at(fd), w, __ATOMIC_ACQ_REL);
  if (old) forget_word(fd, old);
}

int shim_fd_kind(int fd) { return in_range(fd) ? (int)kind_of(load(fd)) : SHIM_FD_UNKNOWN; }

int shim_fd_is_held(int fd) {
  if (!in_range(fd)) return 0;
  uint64_t w = load(fd);
  if (!is_write(w)) return 0;
  struct held *h = object_at(index_of(w));
  return h->record >= 0 && !(__atomic_load_n(&h->flags, __ATOMIC_ACQUIRE) & HELD_ESCAPED) && h->generation == (uint32_t)(w >> 32);
}

/* Of what nobody writes to, no object is shared: a vfork child may clear the word too (its parent then looks at the descriptor again), and
 * nobody needs to ask the kernel who he is. */
static int forget_read_only(int fd, uint64_t w) {
  uint32_t kind = kind_of(w);
  return (kind == SHIM_FD_REGULAR || kind == SHIM_FD_OTHER) && __atomic_compare_exchange_n(word_at(fd), &w, 0, 0, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED);
}

void shim_fd_forget(int fd) {
  if (!in_range(fd)) return;
  uint64_t w = load(fd);
  if (w && !forget_read_only(fd, w) && !shim_in_vfork_child()) forget_word(fd, __atomic_exchange_n(word_at(fd), 0, __ATOMIC_ACQ_REL));
}

void shim_fd_opened_other(int fd, int regular) {
  if (!in_range(fd) || is_write(load(fd)) || shim_in_vfork_child()) return;
  publish(fd, word_of(regular ? SHIM_FD_REGULAR : SHIM_FD_OTHER, 0, 0));
}

void shim_fd_opened_dir(int fd, const char *rel, int len) {
  if (!in_range(fd) || shim_in_vfork_child()) return;
  uint64_t w = 0;
  uint32_t at = __atomic_load_n(&dir_hint, __ATOMIC_RELAXED);
  for (uint32_t i = 0; i < DIR_MAX && len >= 0 && len < DIR_PATH_MAX && shim.board.base; i++, at++) {
    struct dir *d = &dirs[at % DIR_MAX];
    uint32_t none = 0;
    if (!__atomic_compare_exchange_n(&d->used, &none, 1, 0, __ATOMIC_SEQ_CST, __ATOMIC_RELAXED)) continue;
    uint32_t seq = __atomic_add_fetch(&d->seq, 1, __ATOMIC_SEQ_CST);
    d->epoch = __atomic_load_n(&shim.board.ver[0], __ATOMIC_ACQUIRE);
    d->len = (uint32_t)len;
    memcpy(d->path, rel, (size_t)len);
    __atomic_store_n(&d->seq, seq + 1, __ATOMIC_RELEASE);
    __atomic_store_n(&dir_hint, (at + 1) % DIR_MAX, __ATOMIC_RELAXED);
    w = word_of(SHIM_FD_DIR, at % DIR_MAX, seq + 1);
    break;
  }
  publish(fd, w);
}

int shim_fd_dir_path(int fd, char *rel) {
  if (!in_range(fd)) return -1;
  uint64_t w = load(fd);
  if (kind_of(w) != SHIM_FD_DIR || !shim.board.base) return -1;
  struct dir *d = &dirs[index_of(w) % DIR_MAX];
  uint32_t seq = __atomic_load_n(&d->seq, __ATOMIC_ACQUIRE), len = d->len;
  if (seq != (uint32_t)(w >> 32) || len >= DIR_PATH_MAX) return -1;
  uint64_t made = d->epoch;
  memcpy(rel, d->path, len);
  rel[len] = 0;
  __atomic_thread_fence(__ATOMIC_ACQUIRE);
  if (__atomic_load_n(&d->seq, __ATOMIC_RELAXED) != seq || load(fd) != w) return -1;
  return made == __atomic_load_n(&shim.board.ver[0], __ATOMIC_ACQUIRE) ? (int)len : -1;
}

uint32_t shim_fork_mark(void) { return __atomic_load_n(&forks, __ATOMIC_SEQ_CST); }
/* `forks` counts twice for each child: low bit set while one is being made. With several at once the bit may be clear, but then the count
 * has moved; a mark that saw any movement, or the bit, means "escape". */
void shim_fork_begin(void) { __atomic_fetch_add(&forks, 1, __ATOMIC_SEQ_CST); }
void shim_fork_end(void) { __atomic_fetch_add(&forks, 1, __ATOMIC_SEQ_CST); }
void shim_fork_child(void) {
  __atomic_store_n(&forks, 0, __ATOMIC_SEQ_CST); /* the only thread: nothing is being opened */
  if (fork_canary) *fork_canary = 1;
  shim_forked();
  shim_watch_forked();
}

/* The descriptor's real path may differ from the one that was named (a link that appeared meanwhile): then it is bumped too. */
static void bump_real_path(int fd, int record) {
  char rel[SHIM_PATH_MAX];
  int n = shim_fd_real_rel(fd, rel);
  if (n < 0) return;
  uint32_t slot = vr_slot(vr_hash64(rel, (size_t)n, shim.board.header->hash_seed));
  const struct vr_record *r = &shim.board.records[record];
  for (int i = 0; i < 6; i++)
    if (r->slots[i] == slot) return; /* G among them is not enough: it may be published again as soon as the record is HELD */
  vr_mutation_add_slot(&shim.board, record, slot);
}

void shim_fd_opened_write_at(int fd, int token, uint32_t mark) {
  struct stat st;
  if (token == SHIM_MUT_NONE) {
    shim_fd_forget(fd);
    return;
  }
  if (raw_fstat(fd, &st) < 0 || !S_ISREG(st.st_mode)) { /* a fifo, a device: nothing of it is in memory but its name */
    shim_mut_end(token);
    shim_fd_opened_other(fd, 0);
    return;
  }
  int record = shim_token_record(token);
  if (record < 0) {
    shim_mut_end(token); /* no record, so overflow was counted; or the board is another one now */
    if (token >= 0 && shim.board.base) __atomic_fetch_add(&shim.board.dyn->overflow, VR_BOARD_STEP, __ATOMIC_SEQ_CST);
    shim_fd_forget(fd);
    return;
  }
  int child = shim_in_vfork_child();
  int object = child || !in_range(fd) ? -1 : new_held(record, 0, st.st_ino);
  vr_mutation_keep(&shim.board, record, object < 0 ? VR_BOARD_KIND_ESCAPED : VR_BOARD_KIND_HELD, st.st_ino);
  bump_real_path(fd, record); /* after the inode stands in the record: docs/PROTOCOL.md section 4 */
  if (object < 0) {
    if (!child) shim_fd_forget(fd);
    return;
  }
  publish(fd, word_of(SHIM_FD_WRITE, (uint32_t)object, object_at((uint32_t)object)->generation));
  if ((mark & 1) || shim_fork_mark() != mark) escape(object_at((uint32_t)object)); /* a child may have a copy */
}
void shim_fd_opened_write(int fd, int token) { shim_fd_opened_write_at(fd, token, shim_fork_mark()); }

uint32_t shim_fd_expected(void) {
  int fd = 3;
  while (fd < LOW_MAX && load(fd)) fd++;
  return (uint32_t)fd;
}
void shim_fd_opened_staged(int fd, int staged_index, int held_record, uint64_t ino) {
  if (!in_range(fd)) return;
  int object = new_held(held_record, staged_index + 1, ino);
  if (object >= 0) publish(fd, word_of(SHIM_FD_STAGED, (uint32_t)object, object_at((uint32_t)object)->generation));
}
void shim_fd_unstaged(int fd) {
  if (!in_range(fd)) return;
  uint64_t w = load(fd);
  if (kind_of(w) != SHIM_FD_STAGED) return;
  struct held *h = object_at(index_of(w));
  h->staged = 0;
  if (h->record >= 0) vr_record_staged(&shim.board, h->record, 0, 0); /* its path slot may be published */
  __atomic_compare_exchange_n(word_at(fd), &w, (w & ~7ull) | SHIM_FD_WRITE, 0, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED);
}

/* --- life cycle --- */
uint64_t shim_fd_take(int fd) {
  uint64_t w = in_range(fd) ? load(fd) : 0;
  if (!w || forget_read_only(fd, w) || shim_in_vfork_child()) return 0;
  w = __atomic_exchange_n(word_at(fd), 0, __ATOMIC_ACQ_REL);
  if (is_write(w)) return w;
  if (w) forget_word(fd, w);
  return 0;
}
int shim_fd_taken_staged(uint64_t word, int fd, int (*real_close)(int), int *result) {
  if (kind_of(word) != SHIM_FD_STAGED) return 0;
  int staged = object_at(index_of(word))->staged;
  if (!staged) return 0;
  *result = shim_stage_commit(staged - 1, fd, real_close);
  return 1;
}
void shim_fd_taken_done(uint64_t word) {
  if (word) {
    int saved = errno;
    drop(word);
    errno = saved;
  }
}

int shim_close(int fd, int (*real_close)(int)) {
  uint64_t w = shim_fd_take(fd);
  int result;
  if (!w) return real_close(fd);
  if (!shim_fd_taken_staged(w, fd, real_close, &result)) result = real_close(fd);
  shim_fd_taken_done(w);
  return result;
}

void shim_close_range(unsigned first, unsigned last, int (*real_close)(int)) {
  unsigned high = __atomic_load_n(&fd_high, __ATOMIC_ACQUIRE);
  if (shim_in_vfork_child()) return;
  for (unsigned fd = first; fd < high && fd <= last; fd++) {
    uint64_t w = load((int)fd);
    if (is_write(w)) shim_close((int)fd, real_close);
    else if (w) shim_fd_forget((int)fd);
  }
}

/* The reference is taken before the real dup: another thread may close the last other descriptor in between. */
int shim_dup_begin(int from) {
  if (!in_range(from) || !is_write(load(from))) return 0;
  if (shim_in_vfork_child()) { /* its copy goes into the program that it will exec; the object is shared with the parent */
    if (kind_of(load(from)) == SHIM_FD_STAGED) shim_stage_promote_fd(from);
    escape(object_at(index_of(load(from))));
    return 0;
  }
  if (kind_of(load(from)) == SHIM_FD_STAGED) shim_stage_promote_fd(from);
  uint64_t w = load(from);
  if (!is_write(w) || !hold(w)) return 0;
  if (object_at(index_of(w))->generation == (uint32_t)(w >> 32)) return (int)index_of(w) + 1;
  drop(w); /* closed and used anew in between: the real dup will fail */
  return 0;
}
void shim_dup_end(int reference, int to) {
  int saved = errno;
  uint64_t w = reference ? word_of(SHIM_FD_WRITE, (uint32_t)reference - 1, object_at((uint32_t)reference - 1)->generation) : 0;
  if (to < 0) {
    if (reference) drop(w);
  } else if (!in_range(to)) {
    if (reference) {
      escape(object_at((uint32_t)reference - 1));
      drop(w);
    }
  } else if (w || load(to)) {
    if (!shim_in_vfork_child()) publish(to, w);
  }
  errno = saved;
}
void shim_fd_duped(int from, int to) { shim_dup_end(shim_dup_begin(from), to); }
void shim_fd_will_replace(int to) {
  if (in_range(to) && kind_of(load(to)) == SHIM_FD_STAGED && !shim_in_vfork_child()) shim_stage_promote_fd(to);
}
