/* One that watches the project must see writes where and when they happen natively: nothing new is staged while it lives. Each such
 * process is counted once in the board's no_stage, and stands in a word of its own there by which the daemon finds out that it has ended
 * (vr_engine_owners.c). Without a free word, or in another pid namespace, it counts until the daemon ends. */
#include "writer.h"
#include "interpose_gen.h"
#include "raw.h"

#define TICK_NS 10000000u

static uint32_t watching HOT_BSS; /* this process is counted */

static void count_me(void) {
  if (__atomic_exchange_n(&watching, 1, __ATOMIC_SEQ_CST)) return;
  struct timespec t;
  clock_gettime(CLOCK_BOOTTIME, &t);
  uint64_t ticks = (uint64_t)t.tv_sec * (1000000000u / TICK_NS) + (uint64_t)t.tv_nsec / TICK_NS + 1;
  uint64_t me = ticks << 32 | (uint32_t)raw_getpid(), *mine = NULL;
  shim_want_vdir(); /* finds out whether our namespaces are the daemon's */
  for (unsigned i = 0; i < VR_BOARD_WATCHERS && !mine && !shim.reads_off; i++) {
    uint64_t empty = 0;
    if (__atomic_compare_exchange_n(&shim.board.watchers[i], &empty, me, 0, __ATOMIC_SEQ_CST, __ATOMIC_RELAXED)) mine = &shim.board.watchers[i];
  }
  __atomic_fetch_add(&shim.board.dyn->no_stage, 1, __ATOMIC_SEQ_CST);
  /* Killed before this: it may or may not have been counted, so it is never taken out. */
  if (mine) __atomic_store_n(mine, me | VR_BOARD_WATCHER_COUNTED, __ATOMIC_SEQ_CST);
}

/* The child has the parent's watches. */
void shim_watch_forked(void) {
  if (!__atomic_exchange_n(&watching, 0, __ATOMIC_SEQ_CST) || !shim_active() || !shim_want_board()) return;
  count_me();
}

int hook_inotify_add_watch(int fd, const char *path, uint32_t mask) {
  char rel[SHIM_PATH_MAX];
  if (shim_active() && shim_stage_any()) shim_stage_promote_below("", 0); /* the events to come are those of the real files */
  long r = raw3(SYS_inotify_add_watch, fd, (long)path, mask);
  if (r < 0 || !shim_active() || shim_in_vfork_child() || __atomic_load_n(&watching, __ATOMIC_RELAXED)) return (int)raw_libc(r);
  int saved = errno;
  if (shim_want_board() && shim_real_rel(AT_FDCWD, path, rel) >= 0) count_me();
  errno = saved;
  return (int)r;
}
ALIASES_inotify_add_watch
