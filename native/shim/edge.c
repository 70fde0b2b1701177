/* Edges: something that happened elsewhere became known to this process, so memory must not be asked before a drain that began
 * after it is done (docs/PROTOCOL.md section 5). One load and at most one store; nobody waits. */
#include "internal.h"
#include "raw.h"

/* What is known before a VDir is mapped: in the VDir with this id, every drain after `need`. None: mapping is an edge. */
static struct {
  int valid, sync;
  int vouched; /* the ids below were handed to us by the process that started us */
  uint64_t vdir_id, board_id, need;
} start_need HOT_BSS;

/* Reads digits; NULL: there are none, or too many. */
static const char *number(const char *text, unsigned base, uint64_t *value) {
  *value = 0;
  const char *p = text;
  for (;; p++) {
    unsigned digit = (unsigned)(*p >= 'a' ? *p - 'a' + 10 : *p - '0');
    if (*p < '0' || (*p > '9' && *p < 'a') || digit >= base) break;
    if (*value > (UINT64_MAX - digit) / base) return NULL;
    *value = *value * base + digit;
  }
  return p == text ? NULL : p;
}

/* "<pid>:<drain>" from the launcher: SYNC was answered with that drain just before it exec'ed us. */
static void take_sync(const char *text) {
  uint64_t pid, drain;
  const char *p = number(text, 10, &pid);
  if (!p || *p != ':' || pid != (uint64_t)shim.pid) return;
  p = number(p + 1, 10, &drain);
  if (!p || *p || drain == 0) return;
  start_need.need = drain - 1;
  start_need.sync = start_need.valid = 1;
}

/* "<e|s>:<pid>:<vdir id hex>:<need>:<board id hex>" from the process that exec'ed (same pid) or spawned (our parent) us. */
static void take_need(const char *text) {
  uint64_t pid, vdir_id, need, board_id;
  char how = text[0];
  if ((how != 'e' && how != 's') || text[1] != ':') return;
  const char *p = number(text + 2, 10, &pid);
  if (!p || *p != ':' || pid != (uint64_t)(how == 'e' ? shim.pid : raw0(SYS_getppid))) return;
  if (!(p = number(p + 1, 16, &vdir_id)) || *p != ':' || !(p = number(p + 1, 10, &need)) || *p != ':' || !(p = number(p + 1, 16, &board_id)) || *p) return;
  start_need.vdir_id = vdir_id;
  start_need.board_id = board_id;
  start_need.need = need;
  start_need.sync = 0;
  start_need.valid = start_need.vouched = 1;
}

int shim_is_first(void) { return start_need.sync; }

int shim_vouched(uint64_t *vdir_id, uint64_t *board_id) {
  *vdir_id = start_need.vdir_id;
  *board_id = start_need.board_id;
  return start_need.vouched;
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

static int put_number(char *out, uint64_t value, unsigned base) {
  char digits[24];
  int k = 0, n = 0;
  do digits[k++] = "0123456789abcdef"[value % base];
  while (value /= base);
  while (k) out[n++] = digits[--k];
  return n;
}

int shim_need_token(char out[SHIM_NEED_MAX], int spawn) {
  const struct vr_vdir *v = shim_vdir();
  if (!shim_active() || shim.reads_off || shim.unrecorded || !v) return 0;
  if (shim.leaky) return 0; /* its own system calls may have been edges that we did not see */
  if (!shim_mapped_of(v)->who.may_access) return 0; /* its child may have other credentials */
  int n = 0;
  const char *head = spawn ? "VRIFT_NEED=s:" : "VRIFT_NEED=e:";
  while (*head) out[n++] = *head++;
  n += put_number(out + n, (uint64_t)raw_getpid(), 10);
  out[n++] = ':';
  n += put_number(out + n, v->header->vdir_id, 16);
  out[n++] = ':';
  n += put_number(out + n, __atomic_load_n(&shim_mapped_of(v)->need, __ATOMIC_RELAXED), 10);
  out[n++] = ':';
  n += put_number(out + n, v->header->board_id, 16);
  out[n] = 0;
  return n;
}
