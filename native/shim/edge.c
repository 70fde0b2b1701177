/* Edges: something that happened elsewhere became known to this process, so memory must not be asked before a drain that began
 * after it is done (docs/PROTOCOL.md section 5). One load and at most one store; nobody waits. */
#include <stdio.h>
#include <stdlib.h>
#include "internal.h"
#include "raw.h"

/* What is known before a VDir is mapped: in the VDir with this id, every drain after `need`. None: mapping is an edge. */
static struct {
  int valid, sync;
  uint64_t vdir_id, need;
} start_need;

/* "<pid>:<drain>" from the launcher: SYNC was answered with that drain just before it exec'ed us. */
static void take_sync(char *text) {
  char *end;
  unsigned long pid = strtoul(text, &end, 10);
  if (*end == ':' && pid == (unsigned long)shim.pid) {
    char *last;
    unsigned long long drain = strtoull(end + 1, &last, 10);
    if (last != end + 1 && !*last && drain > 0) {
      start_need.need = drain - 1;
      start_need.sync = start_need.valid = 1;
    }
  }
}

/* "<e|s>:<pid>:<vdir id hex>:<need>" from the process that exec'ed (same pid) or spawned (our parent) us. */
static void take_need(char *text) {
  char how = text[0], *end;
  if ((how != 'e' && how != 's') || text[1] != ':') return;
  unsigned long pid = strtoul(text + 2, &end, 10);
  if (*end != ':' || pid != (unsigned long)(how == 'e' ? shim.pid : raw0(SYS_getppid))) return;
  uint64_t id = strtoull(end + 1, &end, 16);
  if (*end != ':') return;
  char *last;
  uint64_t need = strtoull(end + 1, &last, 10);
  if (last == end + 1 || *last) return;
  start_need.vdir_id = id;
  start_need.need = need;
  start_need.sync = 0;
  start_need.valid = 1;
}

/* The texts are spoilt once read: a later exec in this pid that goes past our hooks must not carry them on. */
void shim_edge_init(char *sync, char *need) {
  if (sync) {
    take_sync(sync);
    if (*sync) *sync = '-';
  }
  if (need) {
    take_need(need);
    if (*need) *need = '-';
  }
}

uint64_t shim_first_need(const struct vr_vdir *v) {
  if (start_need.valid && (start_need.sync || start_need.vdir_id == v->header->vdir_id)) return start_need.need;
  return vr_newest_drain(v);
}

void shim_edge(void) {
  if (!shim_active()) return;
  const struct vr_vdir *v = shim_vdir();
  __atomic_store_n(&start_need.valid, 0, __ATOMIC_RELAXED);
  if (!v) return;
  uint64_t now = vr_newest_drain(v), *need = &shim_mapped_of(v)->need;
  uint64_t old = __atomic_load_n(need, __ATOMIC_RELAXED);
  while (old < now && !__atomic_compare_exchange_n(need, &old, now, 0, __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
  }
  shim_count(VR_STAT_EDGES);
}

void shim_edge_fd(int fd) {
  if (!shim_active()) return;
  int kind = shim_fd_kind(fd);
  if (kind == SHIM_FD_UNKNOWN) {
    struct stat st;
    int known = raw_fstat(fd, &st) == 0, regular = known && (S_ISREG(st.st_mode) || S_ISDIR(st.st_mode));
    if (known) shim_fd_opened_other(fd, regular);
    kind = regular ? SHIM_FD_REGULAR : SHIM_FD_OTHER;
  }
  if (kind == SHIM_FD_OTHER) {
    int saved = errno;
    shim_edge();
    errno = saved;
  }
}

int shim_need_unsatisfied(void) {
  const struct vr_vdir *v = shim_vdir();
  if (!v) return !start_need.valid;
  uint64_t done = __atomic_load_n(&v->dyn->drain_done, __ATOMIC_ACQUIRE);
  return done != ~v->dyn->drain_done_inv || done <= __atomic_load_n(&shim_mapped_of(v)->need, __ATOMIC_RELAXED);
}

int shim_need_token(char out[SHIM_NEED_MAX], int spawn) {
  const struct vr_vdir *v = shim_vdir();
  if (!shim_active() || shim.reads_off || shim.unrecorded) return 0;
  uint64_t id, need;
  if (v) {
    if (shim.leaky) return 0; /* its own system calls may have been edges that we did not see */
    id = v->header->vdir_id;
    need = __atomic_load_n(&shim_mapped_of(v)->need, __ATOMIC_RELAXED);
  } else return 0;
  int n = 0;
  const char *head = spawn ? "VRIFT_NEED=s:" : "VRIFT_NEED=e:";
  while (*head) out[n++] = *head++;
  char digits[24];
  for (int part = 0; part < 3; part++) {
    uint64_t value = part == 0 ? (uint64_t)raw_getpid() : part == 1 ? id : need;
    unsigned base = part == 1 ? 16 : 10;
    int k = 0;
    do digits[k++] = "0123456789abcdef"[value % base];
    while (value /= base);
    while (k) out[n++] = digits[--k];
    out[n++] = part == 2 ? 0 : ':';
  }
  return n - 1;
}
