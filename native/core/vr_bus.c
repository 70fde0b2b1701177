/* See vr_bus.h. */
#include "vr_bus.h"
#include <signal.h>
#include <sys/mman.h>
#include "vr_sys.h"

#define RANGES 64
#define NEAR 4 /* the board and a VDir or two */

static struct range {
  uintptr_t base; /* 0: free; stored last */
  size_t size;
  uint32_t kind, covered;
} ranges[RANGES], near_ranges[NEAR] __attribute__((section(".bss.warm1"))); /* in the shim: shim.h, WARM_BSS. The first of ranges are not used */

static inline struct range *range_at(int i) { return i < NEAR ? &near_ranges[i] : &ranges[i]; }

int vr_bus_add(const void *base, size_t size, enum vr_bus_kind kind) {
  for (int i = 0; i < RANGES; i++) {
    struct range *r = range_at(i);
    uintptr_t was = __atomic_load_n(&r->base, __ATOMIC_ACQUIRE);
    if (was && was != (uintptr_t)base) continue;
    r->size = size, r->kind = kind, r->covered = 0;
    __atomic_store_n(&r->base, (uintptr_t)base, __ATOMIC_RELEASE);
    return 0;
  }
  return -1;
}

static struct range *find(uintptr_t at) {
  for (int i = 0; i < RANGES; i++) {
    struct range *r = range_at(i);
    uintptr_t base = __atomic_load_n(&r->base, __ATOMIC_ACQUIRE);
    if (base && at >= base && at - base < r->size) return r;
  }
  return NULL;
}

void vr_bus_remove(const void *base) {
  struct range *r = base ? find((uintptr_t)base) : NULL;
  if (r) __atomic_store_n(&r->base, 0, __ATOMIC_RELEASE);
}

int vr_bus_covered(const void *base) {
  struct range *r = find((uintptr_t)base);
  return r && __atomic_load_n(&r->covered, __ATOMIC_ACQUIRE);
}

int vr_bus_cover(const void *address) {
  struct range *r = find((uintptr_t)address);
  if (!r) return 0;
  /* Made beside it and moved over it: no other thread sees an empty one that is not yet marked. */
  long p = vr_sys6(SYS_mmap, 0, (long)r->size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (p < 0 && p > -4096) return 0;
  uint8_t *dyn = (uint8_t *)p + (r->kind == VR_BUS_VDIR ? VR_DYN_OFFSET : VR_BOARD_DYN_OFFSET);
  vr_set_gone(r->kind == VR_BUS_VDIR ? &((struct vr_dyn *)(void *)dyn)->superseded : &((struct vr_board_dyn *)(void *)dyn)->superseded);
  long moved = vr_sys6(SYS_mremap, p, (long)r->size, (long)r->size, MREMAP_MAYMOVE | MREMAP_FIXED, (long)r->base, 0);
  if (moved < 0 && moved > -4096) {
    vr_sys6(SYS_munmap, p, (long)r->size, 0, 0, 0, 0);
    return 0;
  }
  __atomic_store_n(&r->covered, 1, __ATOMIC_RELEASE);
  return 1;
}

static struct sigaction before;

static void on_bus(int sig, siginfo_t *info, void *context) {
  if (info->si_code > 0 && vr_bus_cover(info->si_addr)) return;
  if ((before.sa_flags & SA_SIGINFO) && before.sa_sigaction) before.sa_sigaction(sig, info, context);
  else if (before.sa_handler != SIG_DFL && before.sa_handler != SIG_IGN) before.sa_handler(sig);
  else sigaction(SIGBUS, &before, NULL); /* the access is repeated and ends us as it would have */
}

void vr_bus_install(void) {
  static int done;
  if (__atomic_exchange_n(&done, 1, __ATOMIC_SEQ_CST)) return;
  struct sigaction ours = {.sa_sigaction = on_bus, .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_RESTART | SA_NODEFER};
  if (sigaction(SIGBUS, NULL, &before) == 0) sigaction(SIGBUS, &ours, NULL);
}
