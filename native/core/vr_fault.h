/* Named fault points, for tests (docs/FAULTS.md): VR_FAULT(name) at a step of the code. Off, which is always unless a test armed something,
 * it is one load and one predicted branch. Never on the shim's read path. Armed, it kills, stops or ends the process, waits, logs, or returns
 * -errno, which a point marked CAN in the table passes on as its step's failure. Raw system calls only; any thread, any signal handler. */
#ifndef VR_FAULT_H
#define VR_FAULT_H
#include <stddef.h>
#include <stdint.h>

enum vr_fault_point {
#define VR_POINT(component, name, errno_, meaning) VR_POINT_##name,
#include "vr_fault_points.def"
#undef VR_POINT
  VR_POINTS
};

#define VR_FAULT_HIDDEN __attribute__((visibility("hidden")))
extern uint32_t vr_fault_on VR_FAULT_HIDDEN; /* 1: something is armed */
VR_FAULT_HIDDEN int vr_fault_hit(enum vr_fault_point point);

/* 0, or -errno. */
static inline int vr_fault(enum vr_fault_point point) { return __builtin_expect(vr_fault_on != 0, 0) ? vr_fault_hit(point) : 0; }
#define VR_FAULT(name) vr_fault(VR_POINT_##name)

/* Arms what text says, instead of what was armed: NAME:ACTION[:N[+]] separated by commas or white space; "" or NULL disarms.
 *   NAME    of a point, or * for all (log and delay only)
 *   ACTION  kill (SIGKILL to the process), stop (SIGSTOP), exit (_exit 70), delay=MILLISECONDS, errno=NUMBER (points marked CAN), log
 *   N       at the N-th hit of that point in this process, counted from now (default 1); with + from then on
 * Every firing writes one line to the file log_path, or where that is NULL or empty to descriptor 2; log writes only at a point's first hit.
 * 0, or -EINVAL: the text is wrong and nothing is armed. Not to be called by two threads at once. The texts are not kept, except log_path,
 * which must stay. */
VR_FAULT_HIDDEN int vr_fault_arm(const char *text, const char *log_path);

const char *vr_fault_name(enum vr_fault_point point);
const char *vr_fault_component(enum vr_fault_point point);
const char *vr_fault_meaning(enum vr_fault_point point);
/* Index of a name of n bytes, or -1. */
int vr_fault_find(const char *name, size_t n);
/* Hits since arming, and how often the point fired. */
uint32_t vr_fault_hits(enum vr_fault_point point);
uint32_t vr_fault_fired(enum vr_fault_point point);
#endif
