/* Between two turns. Whoever cannot be answered because something became known to it from outside (docs/PROTOCOL.md section 5) wants a
 * drain, and mostly there is nothing to drain: the queue is empty. A look at it costs a hundredth of a turn, so while clients are at work
 * the daemon sleeps on a futex of the board, gets up for each that wants one, and makes the rest of a turn only when there is something
 * to do. Nothing is cleaned or published here, and no lease is renewed: that is the turn's. */
#include "vr_engine_internal.h"
#include <errno.h>
#include <linux/futex.h>
#include <poll.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define TURN_GAP_NS 8000000ull   /* at least between turns that are made because a slot was dirty or events came */
#define G_TURNS 8              /* so many for one version of G */
#define TURN_LATE_NS 32000000ull /* the same while few could not be answered for it: a turn costs what some 200 real calls do */

/* What is there of bit 0 an event, bit 1 wake_fd (which is read), bit 2 a change of the mount table. */
static int look(struct vr_engine *e, int wake_fd, int events, int timeout_ms) {
  struct pollfd p[3] = {{.fd = events ? e->inotify : -1, .events = POLLIN},
                        {.fd = wake_fd, .events = POLLIN},
                        {.fd = e->mounts, .events = POLLPRI}};
  int r;
  while ((r = poll(p, 3, timeout_ms)) < 0 && errno == EINTR && !timeout_ms) { /* a look must have looked */
  }
  if (r < 0) return errno == EINTR ? 0 : -errno;
  int bits = 0;
  for (int i = 0; i < 3; i++)
    if (p[i].revents) bits |= 1 << i;
  if (p[2].revents) e->mounts_told = 1;
  if (bits & 2) {
    uint64_t n;
    ssize_t k = read(wake_fd, &n, sizeof n);
    (void)k;
  }
  return bits;
}

int vr_engine_wait(struct vr_engine *e, int wake_fd, int events, int timeout_ms) { return look(e, wake_fd, events, timeout_ms); }

/* A drain that finds the queue empty after its number was made known is done: everything before was applied by the last turn. */
static int drain_of_nothing(struct vr_engine *e, int wake_fd) {
  uint64_t number = e->drain_begun + 1;
  __atomic_store_n(&e->dyn->drain_started, number, __ATOMIC_SEQ_CST);
  __atomic_store_n(&e->dyn->drain_started_inv, ~number, __ATOMIC_SEQ_CST);
  __atomic_store_n(&e->drain_begun, number, __ATOMIC_SEQ_CST);
  int bits = look(e, wake_fd, 1, 0);
  if (bits) return bits;
  __atomic_store_n(&e->dyn->drain_done, number, __ATOMIC_SEQ_CST);
  __atomic_store_n(&e->dyn->drain_done_inv, ~number, __ATOMIC_SEQ_CST);
  return 0;
}

static void sleep_on_bell(struct vr_engine *e, enum vr_bell bell, uint64_t ns) {
  struct timespec t = {(time_t)(ns / 1000000000u), (long)(ns % 1000000000u)};
  syscall(SYS_futex, &e->board.dyn->bell, FUTEX_WAIT, (uint32_t)bell, &t, NULL, 0);
}

/* While G is dirty nobody is answered. It is cleaned at the next turn, unless somebody is just changing what it stands for; a program that does
 * for as long as it lives (BLIND) is not worth a turn each time. */
static int g_waits(struct vr_engine *e) {
  uint64_t ver = __atomic_load_n(&e->board.ver[0], __ATOMIC_SEQ_CST);
  if (ver == e->pub[0]) return 0;
  if (ver != e->g_ver) e->g_ver = ver, e->g_turns = 0;
  return e->g_turns++ < G_TURNS;
}

/* Is a reader's report of damage to be looked into, or would enough questions have been answered since the last turn, had another been made? */
static int pressing(struct vr_engine *e) {
  struct vr_board_dyn *b = e->board.dyn;
  if (__atomic_load_n(&b->corrupt, __ATOMIC_SEQ_CST) != e->st->corrupt_seen || g_waits(e)) return 1;
  uint32_t n = __atomic_load_n(&b->want_turn, __ATOMIC_SEQ_CST) - e->want_turn_seen + __atomic_load_n(&b->want, __ATOMIC_SEQ_CST) - e->want_hurried;
  return n >= VR_WANT_MANY;
}

int vr_engine_hurry(struct vr_engine *e, int wake_fd, int timeout_ms) {
  struct vr_board_dyn *b = e->board.dyn;
  uint64_t begun = vr_clock(CLOCK_MONOTONIC), end = begun + (uint64_t)timeout_ms * 1000000u, soon = begun + TURN_GAP_NS, late = begun + TURN_LATE_NS;
  uint32_t turns = __atomic_load_n(&b->want_turn, __ATOMIC_SEQ_CST);
  if ((turns != e->want_turn_seen || !e->drained) && late < end) end = late;
  for (;;) {
    uint32_t want = __atomic_load_n(&b->want, __ATOMIC_SEQ_CST);
    int bits = e->drained ? drain_of_nothing(e, wake_fd) : look(e, wake_fd, 0, 0);
    uint64_t now = vr_clock(CLOCK_MONOTONIC);
    if (bits) {
      /* Events: the next turn applies them, but they are gathered a little, or each of them would cost one. */
      if (bits != 1 || now >= late) return bits;
      if (late < end) end = late;
    }
    turns = __atomic_load_n(&b->want_turn, __ATOMIC_SEQ_CST);
    if (turns != e->want_turn_seen && late < end) end = late;
    if (now >= end || (now >= soon && pressing(e))) return bits;
    enum vr_bell bell = bits || !e->drained ? VR_BELL_OWN : end <= late ? VR_BELL_DRAIN : VR_BELL_ANY;
    uint64_t until = now < soon ? soon : now + TURN_GAP_NS; /* what is pressing is looked for then */
    if (until > end) until = end;
    __atomic_store_n(&b->bell, bell, __ATOMIC_SEQ_CST);
    /* Whoever wanted something before he could see the bell is seen here. */
    if (bits || ((bell == VR_BELL_OWN || __atomic_load_n(&b->want, __ATOMIC_SEQ_CST) == want) && __atomic_load_n(&b->want_turn, __ATOMIC_SEQ_CST) == turns)) {
      sleep_on_bell(e, bell, until - now);
    }
    __atomic_store_n(&b->bell, VR_BELL_UP, __ATOMIC_SEQ_CST);
  }
}

void vr_engine_ring(struct vr_engine *e) {
  __atomic_fetch_add(&e->board.dyn->want_turn, VR_WANT_MANY, __ATOMIC_SEQ_CST); /* seen by whoever is just about to sleep */
  vr_ring_now(&e->board);
}
