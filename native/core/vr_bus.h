/* A file in shared memory that somebody with our uid cut off: touching what is gone is SIGBUS. Whoever maps one of ours has it covered: the
 * handler lays empty memory over the whole mapping, marked as superseded, and the access is repeated. An empty VDir has no lease and an
 * empty board is nobody's: what follows is native. Async-signal-safe, no lock; ranges are added and removed by one thread at a time. */
#ifndef VR_BUS_H
#define VR_BUS_H
#include "vr_board.h"

enum vr_bus_kind { VR_BUS_VDIR, VR_BUS_BOARD };
/* Remembers a mapping. 0, or -1: no room (then a cut file there is a SIGBUS). */
int vr_bus_add(const void *base, size_t size, enum vr_bus_kind kind);
void vr_bus_remove(const void *base);
/* In a handler. 1: address lay in one of ours, which is covered now; 0: somebody else's fault. */
int vr_bus_cover(const void *address);
/* 1: the mapping at base was covered. */
int vr_bus_covered(const void *base);
/* For a daemon: a handler for SIGBUS in front of the one that is there. Once is enough. */
void vr_bus_install(void);
#endif
