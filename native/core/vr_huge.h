/* Huge pages for the files in /dev/shm. A fresh process pays a page fault for every 64 KiB that it looks at, and a build is made of fresh
 * processes; backed by huge pages the whole VDir of an ordinary project is a few faults. They are asked for page by page with
 * MADV_COLLAPSE (Linux 6.1), which needs no setting of the system's; where it is refused nothing changes but the speed. */
#ifndef VR_HUGE_H
#define VR_HUGE_H
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>
#include "vr_sys.h"

#define VR_HUGE_PAGE ((size_t)2 << 20)
#define VR_HUGE_GAP ((size_t)4 << 30)

/* Maps size bytes of fd, shared; at a multiple of the huge page's size if it is as large as one, or huge pages could not be mapped as such.
 * Raw system calls. The address, or -errno. Unmapped with munmap(address, size). */
static inline long vr_map_shared(int fd, size_t size, int prot) {
  if (size < VR_HUGE_PAGE) return vr_sys6(SYS_mmap, 0, (long)size, prot, MAP_SHARED, fd, 0);
  static size_t below __attribute__((section(".bss.0hot"))); /* where the last one of ours begins; a race costs only the short way */
  size_t limit = below ? below : (size_t)(void *)vr_map_shared - VR_HUGE_GAP;
  if (limit > size + VR_HUGE_GAP && limit < SIZE_MAX - VR_HUGE_GAP) { /* mostly one call: this far below our own code an aligned range is free */
    size_t want = (limit - size) & ~(VR_HUGE_PAGE - 1);
    long r = vr_sys6(SYS_mmap, (long)want, (long)size, prot, MAP_SHARED | MAP_FIXED_NOREPLACE, fd, 0);
    if (r == (long)want) return below = want, r;
    if (r >= 0 || r <= -4096) vr_sys6(SYS_munmap, r, (long)size, 0, 0, 0, 0); /* a kernel before 4.17 took it for a hint */
  }
  long room = vr_sys6(SYS_mmap, 0, (long)(size + VR_HUGE_PAGE), PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (room < 0 && room > -4096) return room;
  size_t start = (size_t)room, at = (start + VR_HUGE_PAGE - 1) & ~(VR_HUGE_PAGE - 1), end = start + size + VR_HUGE_PAGE;
  long r = vr_sys6(SYS_mmap, (long)at, (long)size, prot, MAP_SHARED | MAP_FIXED, fd, 0);
  if (r < 0 && r > -4096) {
    vr_sys6(SYS_munmap, room, (long)(size + VR_HUGE_PAGE), 0, 0, 0, 0);
    return r;
  }
  size_t tail = (at + size + 4095) & ~(size_t)4095;
  if (at > start) vr_sys6(SYS_munmap, room, (long)(at - start), 0, 0, 0, 0);
  if (end > tail) vr_sys6(SYS_munmap, (long)tail, (long)(end - tail), 0, 0, 0, 0);
  return r;
}
#endif
