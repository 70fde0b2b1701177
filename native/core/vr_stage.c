/* Records, names and owners of staged files. See vr_stage.h. */
#include "vr_stage.h"
#include "vr_fault.h"

#define RETRY_TORN 4
#define PROC_TICK_NS 10000000ull /* USER_HZ is 100 on every Linux we run on */

static char *put_text(char *at, const char *text) {
  while (*text) *at++ = *text++;
  return at;
}
static char *put_number(char *at, uint64_t value) {
  char digits[20];
  int n = 0;
  do digits[n++] = (char)('0' + value % 10);
  while ((value /= 10) != 0);
  while (n) *at++ = digits[--n];
  return at;
}

int vr_stage_name(uint64_t project_id, uint32_t pid, uint32_t fd, uint64_t stamp, char out[VR_STAGE_NAME_MAX]) {
  char *at = put_text(out, ".vrift/staging/project_");
  for (int shift = 60; shift >= 0; shift -= 4) *at++ = "0123456789abcdef"[(project_id >> shift) & 15];
  at = put_number(put_text(at, "/pid_"), pid);
  at = put_number(put_text(at, "/fd_"), fd);
  at = put_number(put_text(at, "_"), stamp);
  at = put_text(at, ".tmp");
  *at = 0;
  return (int)(at - out);
}

uint32_t vr_stage_split(const char *path, uint32_t len, const char **base) {
  uint32_t at = len;
  while (at && path[at - 1] != '/') at--;
  *base = path + at;
  return at ? at - 1 : 0;
}

uint32_t vr_staged_checksum(const struct vr_staged *r) {
  struct vr_staged c;
  uint32_t len = r->path_len <= VR_STAGE_PATH_MAX ? r->path_len : VR_STAGE_PATH_MAX;
  memcpy(&c, r, offsetof(struct vr_staged, path) + len);
  c.checksum = 0;
  return vr_hash32((const uint8_t *)&c + 4, offsetof(struct vr_staged, path) + len - 4, 0);
}

/* Relative, no empty, "." or ".." part, no NUL, not below .vrift. */
static int path_is_sane(const char *p, uint32_t len) {
  if (!len || p[0] == '/' || p[len - 1] == '/') return 0;
  uint32_t start = 0;
  for (uint32_t i = 0; i <= len; i++) {
    if (i < len && p[i] == 0) return 0;
    if (i < len && p[i] != '/') continue;
    uint32_t n = i - start;
    if (n == 0 || n > 255 || (n == 1 && p[start] == '.') || (n == 2 && p[start] == '.' && p[start + 1] == '.')) return 0;
    if (n == 6 && !memcmp(p + start, ".vrift", 6)) return 0;
    start = i + 1;
  }
  return 1;
}

int vr_staged_copy(const struct vr_board *board, uint32_t index, struct vr_staged *out) {
  if (index >= VR_BOARD_STAGED) return 0;
  const struct vr_staged *r = &board->staged[index];
  for (int i = 0; i < RETRY_TORN; i++) {
    uint32_t state = __atomic_load_n(&r->state, __ATOMIC_ACQUIRE);
    uint32_t kind = VR_STAGED_STATE(state);
    if (kind != VR_BOARD_STAGED_LIVE && kind != VR_BOARD_STAGED_PROMOTED) return 0;
    memcpy(out, r, sizeof *out);
    __atomic_thread_fence(__ATOMIC_ACQUIRE);
    uint32_t again = __atomic_load_n(&r->state, __ATOMIC_RELAXED);
    if ((again ^ state) & ~VR_BOARD_STAGED_STATE_MASK) continue;
    out->state = state;
    if (out->path_len == 0 || out->path_len >= VR_STAGE_PATH_MAX || out->checksum != vr_staged_checksum(out)) return 0;
    out->path[out->path_len] = 0;
    if (!path_is_sane((const char *)out->path, out->path_len)) return 0;
    return vr_hash64(out->path, out->path_len, board->header->hash_seed) == out->path_hash;
  }
  return 0;
}

int vr_staged_claim(struct vr_board *board, uint32_t hint, uint32_t *state) {
  for (uint32_t i = 0; i < VR_BOARD_STAGED; i++) {
    uint32_t at = (hint + i) % VR_BOARD_STAGED;
    uint32_t was = __atomic_load_n(&board->staged[at].state, __ATOMIC_RELAXED);
    if ((was & VR_BOARD_STAGED_STATE_MASK) != VR_BOARD_STAGED_FREE) continue;
    uint32_t now = ((was + VR_BOARD_STAGED_GENERATION) & ~VR_BOARD_STAGED_STATE_MASK) | VR_BOARD_STAGED_CLAIMED;
    if (!__atomic_compare_exchange_n(&board->staged[at].state, &was, now, 0, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED)) continue;
    vr_raise_high(&board->dyn->staged_high, at + 1, VR_BOARD_STAGED);
    *state = now;
    VR_FAULT(staged_claimed);
    return (int)at;
  }
  return -1;
}

uint32_t vr_staged_publish(struct vr_board *board, uint32_t index) {
  struct vr_staged *r = &board->staged[index];
  uint32_t live = (r->state & ~VR_BOARD_STAGED_STATE_MASK) | VR_BOARD_STAGED_LIVE;
  r->checksum = vr_staged_checksum(r);
  VR_FAULT(staged_filled);
  /* The count first: who looks for staged files asks it before the records. */
  __atomic_fetch_add(&board->dyn->staged_count, VR_BOARD_STEP, __ATOMIC_SEQ_CST);
  VR_FAULT(staged_counted);
  __atomic_store_n(&r->state, live, __ATOMIC_SEQ_CST);
  return live;
}

static void leave_count(struct vr_board *board) {
  uint32_t n = __atomic_load_n(&board->dyn->staged_count, __ATOMIC_RELAXED);
  /* A damaged count stays what it is, not zero, until the daemon has seen twice that nothing is staged. */
  while (n && (n & 0xffff) == n >> 16 && !__atomic_compare_exchange_n(&board->dyn->staged_count, &n, n - VR_BOARD_STEP, 0, __ATOMIC_SEQ_CST, __ATOMIC_RELAXED)) {
  }
}

void vr_staged_set_promoted(struct vr_board *board, uint32_t index, uint32_t state) {
  uint32_t was = (state & ~VR_BOARD_STAGED_STATE_MASK) | VR_BOARD_STAGED_LIVE;
  uint32_t now = (state & ~VR_BOARD_STAGED_STATE_MASK) | VR_BOARD_STAGED_PROMOTED;
  if (__atomic_compare_exchange_n(&board->staged[index].state, &was, now, 0, __ATOMIC_SEQ_CST, __ATOMIC_RELAXED)) leave_count(board);
}

int vr_staged_free(struct vr_board *board, uint32_t index, uint32_t state) {
  uint32_t was = __atomic_load_n(&board->staged[index].state, __ATOMIC_RELAXED);
  do {
    if (((was ^ state) & ~VR_BOARD_STAGED_STATE_MASK) || was == (was & ~VR_BOARD_STAGED_STATE_MASK)) return 0;
  } while (!__atomic_compare_exchange_n(&board->staged[index].state, &was, was & ~VR_BOARD_STAGED_STATE_MASK, 0, __ATOMIC_SEQ_CST, __ATOMIC_RELAXED));
  VR_FAULT(staged_freed);
  if (VR_STAGED_STATE(was) == VR_BOARD_STAGED_LIVE) leave_count(board);
  return 1;
}

enum { OWNER_DEAD, OWNER_ENDING, OWNER_ALIVE };
#define PF_EXITING 4u /* of the kernel's task flags; set before the descriptors are closed */

static int owner(uint32_t pid, uint64_t time) {
  char path[32], text[512];
  char *at = put_number(put_text(path, "/proc/"), pid);
  *put_text(at, "/stat") = 0;
  int fd = vr_openat(AT_FDCWD, path, O_RDONLY | O_CLOEXEC, 0);
  if (fd < 0) return fd != -ENOENT && fd != -ESRCH ? OWNER_ALIVE : OWNER_DEAD;
  long n = vr_pread(fd, text, sizeof text - 1, 0);
  vr_close(fd);
  if (n <= 0) return OWNER_DEAD; /* ESRCH: it ended between open and read */
  text[n] = 0;
  char *p = strrchr(text, ')'); /* the name may hold anything, also ')' */
  if (!p || p[1] != ' ') return OWNER_ALIVE;
  char state = p[2];
  uint64_t flags = 0, threads = 0, start = 0;
  int field = 2; /* p stands at the end of field 2 */
  for (p++; *p && field < 22; p++)
    if (*p == ' ') {
      field++;
      if (field != 9 && field != 20 && field != 22) continue;
      uint64_t v = 0;
      for (char *d = p + 1; *d >= '0' && *d <= '9'; d++) v = v * 10 + (uint64_t)(*d - '0');
      if (field == 9) flags = v;
      else if (field == 20) threads = v;
      else start = v;
    }
  if (state == 'X' || (state == 'Z' && threads <= 1)) return OWNER_DEAD;
  if (start * PROC_TICK_NS > time + VR_OWNER_START_SLACK_NS) return OWNER_DEAD;
  return flags & PF_EXITING ? OWNER_ENDING : OWNER_ALIVE;
}

int vr_owner_alive(uint32_t pid, uint64_t time) { return owner(pid, time) != OWNER_DEAD; }
int vr_owner_ending(uint32_t pid, uint64_t time) { return owner(pid, time) != OWNER_ALIVE; }

/* 1: it is; 0: it is not; -errno: not known. */
static int is_root(const struct vr_stage_place *p, int fd) {
  struct statx st;
  int e = vr_fstatx(fd, &st);
  if (e) return e;
  return S_ISDIR(st.stx_mode) && st.stx_ino == p->board->header->root_ino && vr_statx_dev(&st) == p->board->header->root_dev;
}
/* A directory that is not there or not what it was; other errors say nothing about it. */
static int says_gone(int e) { return e == -ENOENT || e == -ENOTDIR || e == -ELOOP || e == -ESTALE || e == -EACCES; }

/* The project was moved while the file was staged: the descriptor still knows where its staging file is. */
static __attribute__((noinline)) int root_from_descriptor(const struct vr_stage_place *p, int fd) {
  char link[32], path[4096];
  *put_number(put_text(link, "/proc/self/fd/"), (uint64_t)fd) = 0;
  long n = vr_readlinkat(AT_FDCWD, link, path, sizeof path - 1);
  uint32_t tail = (uint32_t)strlen(p->name);
  if (n < 0) return (int)n;
  if (n <= (long)tail + 1) return -ENOENT;
  path[n] = 0;
  if (path[n - (long)tail - 1] != '/' || memcmp(path + n - tail, p->name, tail)) return -ENOENT;
  path[n - (long)tail - 1] = 0;
  return vr_openat(AT_FDCWD, path[0] ? path : "/", O_PATH | O_DIRECTORY | O_CLOEXEC, 0);
}

/* Opens the parent beneath root_fd, if it is the one in the record. 0 or -errno. */
static int open_parent(struct vr_stage_place *p, const struct vr_staged *r) {
  char parent[VR_STAGE_PATH_MAX];
  uint32_t len = vr_stage_split((const char *)r->path, r->path_len, &p->base);
  memcpy(parent, r->path, len);
  parent[len] = 0;
  int at = vr_openat2(p->root_fd, len ? parent : ".", O_PATH | O_DIRECTORY | O_CLOEXEC, VR_STAGE_RESOLVE);
  if (at < 0) return at;
  struct statx st;
  int e = vr_fstatx(at, &st);
  if (e == 0 && (st.stx_ino != r->parent_ino || vr_statx_dev(&st) != r->parent_dev)) e = -ESTALE;
  if (e) {
    vr_close(at);
    return e;
  }
  p->parent_fd = at;
  return 0;
}

int vr_stage_find(struct vr_stage_place *p, const struct vr_staged *r, int fd) {
  p->root_fd = p->parent_fd = -1;
  vr_stage_name(p->board->header->project_id, r->pid, r->fd, r->stamp, p->name);
  int root = vr_openat(AT_FDCWD, p->root, O_PATH | O_DIRECTORY | O_CLOEXEC, 0);
  if (root < 0 && !says_gone(root)) return root;
  p->root_fd = root;
  /* A root below which the parent is the one in the record is the root. */
  if (root >= 0 && open_parent(p, r) == 0) return 0;
  p->root_fd = -1;
  int is = root < 0 ? 0 : is_root(p, root);
  if (is < 0) {
    vr_close(root);
    return is;
  }
  if (!is) {
    if (root >= 0) vr_close(root);
    if (fd < 0) return -ESTALE;
    if ((root = root_from_descriptor(p, fd)) < 0) return root;
    if ((is = is_root(p, root)) != 1) {
      vr_close(root);
      return is < 0 ? is : -ESTALE;
    }
  }
  p->root_fd = root;
  return open_parent(p, r);
}

void vr_stage_leave(struct vr_stage_place *p) {
  if (p->parent_fd >= 0) vr_close(p->parent_fd);
  if (p->root_fd >= 0) vr_close(p->root_fd);
  p->root_fd = p->parent_fd = -1;
}

int vr_stage_promote_other(struct vr_board *board, const char *root, uint32_t index, uint32_t pid, uint32_t tid, int name_g) {
  struct vr_staged r;
  if (!vr_staged_copy(board, index, &r)) return 0;
  if (VR_STAGED_STATE(r.state) == VR_BOARD_STAGED_PROMOTED) return 1;
  if (!vr_owner_alive(r.pid, r.time)) return 0; /* what a dead writer left is rolled back, never shown */
  struct vr_stage_place p = {.root = root, .board = board, .pid = pid, .tid = tid, .name_g = name_g};
  VR_FAULT(promote_other_begin);
  int done = vr_stage_find(&p, &r, -1);
  if (done == 0) done = vr_stage_put(&p, &r, -1, VR_STAGE_PROMOTE, 0);
  vr_stage_leave(&p);
  if (done != VR_STAGE_PLACED) return 0;
  VR_FAULT(promote_other_placed);
  vr_staged_set_promoted(board, index, r.state);
  return 1;
}
