/* Gives the VDir and the board huge pages, one in each quiet turn: to collect one takes a millisecond or two. See vr_huge.h. */
#include "vr_engine_internal.h"
#include "vr_huge.h"
#include <errno.h>

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif

#define ROUNDS 6                /* a page that is just being used otherwise is refused for the moment */
#define ROUND_NS 1000000000ull

static void collapse(struct vr_engine *e, uint8_t *at) {
  if (madvise(at, VR_HUGE_PAGE, MADV_COLLAPSE) == 0) e->huge.pages++;
  else if (errno == EINVAL || errno == ENOSYS || errno == EPERM) e->huge.off = 1; /* not on this system */
  else e->huge.failed++;
}

static void begin(struct vr_engine *e) {
  e->huge.at = 0;
  e->huge.pages = e->huge.failed = 0;
  if (e->board.base && VR_BOARD_SIZE >= VR_HUGE_PAGE) collapse(e, (uint8_t *)e->board.base);
}

void vr_engine_huge_some(struct vr_engine *e) {
  if (e->huge.off || !e->base) return;
  if (e->huge.base != e->base) { /* another file since */
    e->huge.base = e->base;
    e->huge.rounds = 0;
    begin(e);
    return;
  }
  if (e->huge.at + VR_HUGE_PAGE > e->vdir.size) {
    if (!e->huge.failed || e->now < e->huge.due || e->huge.rounds >= ROUNDS) return;
    e->huge.rounds++;
    begin(e); /* what is one already costs nothing */
    return;
  }
  uint8_t *at = e->base + e->huge.at;
  e->huge.at += VR_HUGE_PAGE;
  e->huge.due = e->now + ROUND_NS;
  if (((uintptr_t)at & (VR_HUGE_PAGE - 1)) == 0) collapse(e, at);
}
