/* Reading directories: watch → readdir → children entered → drain → COMPLETE. Breadth-first, one directory open at a time, in slices,
 * so that memory is bounded by the queue and a directory of any size never holds up a turn. */
#include "vr_engine_internal.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define DENTS (32 * 1024)
#define LINK_HINT 64 /* bytes kept for a new symlink's target */

void vr_queue_scan(struct vr_engine *e, uint32_t d) {
  if (e->scan_fd >= 0 && e->scan_dir == d) e->scan_wd = -1; /* begun before: from the start again */
  e->dirs[d].drained = 0;
  if (!e->dirs[d].queued && vr_queue_push(&e->scan, d) == 0) e->dirs[d].queued = 1;
}

static void stop_scan(struct vr_engine *e) {
  if (e->scan_fd >= 0) close(e->scan_fd);
  e->scan_fd = -1;
}

/* Opens the next directory to be read. 1: open, 0: nothing to do, -1: that one not, try the next. */
static int start_scan(struct vr_engine *e) {
  if (!e->scan.count) return 0;
  uint32_t d = vr_queue_pop(&e->scan);
  struct vr_dir *x = &e->dirs[d];
  char rel[VR_REL_MAX];
  struct stat st;
  x->queued = 0;
  if (!x->ok || vr_node_path(e, x->node, rel) < 0) return -1;
  struct open_how how = {.flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW,
                         .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV};
  int fd = (int)syscall(SYS_openat2, e->root_fd, *rel ? rel : ".", &how, sizeof how);
  if (fd < 0 || fstat(fd, &st) < 0 || st.st_ino != x->ino) {
    if (fd >= 0) close(fd);
    vr_distrust_node(e, x->node);
    return -1;
  }
  x->again = 0;
  e->scan_fd = fd;
  e->scan_dir = d;
  e->scan_wd = x->wd;
  return 1;
}

static void met(struct vr_engine *e, const struct dirent64 *de, char *rel, size_t base) {
  size_t name_len = strnlen(de->d_name, VR_NAME_LIMIT + 1);
  if (base + name_len >= VR_REL_MAX) return; /* a path that clients never ask memory about */
  memcpy(rel + base, de->d_name, name_len + 1);
  uint32_t dn = e->dirs[e->scan_dir].node;
  uint32_t n = vr_enter(e, dn, rel, (uint32_t)(base + name_len), de->d_type == DT_LNK ? LINK_HINT : 0);
  if (n == VR_NONE) {
    e->dirs[e->scan_dir].again = 1;
    return;
  }
  e->nodes[n].flags |= N_SEEN;
  if ((e->nodes[n].flags & (N_CLEAN | N_GONE)) == N_CLEAN) return;
  if (e->dirty[vr_slot(e->nodes[n].hash)]) { /* its slot's cleaning looks at it */
    vr_distrust_node(e, n);
    return;
  }
  vr_verify_at(e, n, e->scan_fd, de->d_name, rel);
}

static void end_scan(struct vr_engine *e) {
  uint32_t d = e->scan_dir, dn = e->dirs[d].node;
  for (uint32_t c = e->nodes[dn].child; c != VR_NONE; c = e->nodes[c].sibling) {
    if (!(e->nodes[c].flags & (N_SEEN | N_GONE))) vr_distrust_node(e, c);
    e->nodes[c].flags &= (uint16_t)~N_SEEN;
  }
  stop_scan(e);
  if (e->pending_count == e->pending_cap) {
    uint32_t cap = e->pending_cap ? e->pending_cap * 2 : 256;
    uint32_t *p = realloc(e->pending, (size_t)cap * sizeof *p);
    if (!p) return; /* never COMPLETE: native */
    e->pending = p, e->pending_cap = cap;
  }
  e->dirs[d].drained = 1;
  e->pending[e->pending_count++] = d;
}

/* After a drain that began after the reading ended: all that was created meanwhile has been entered. */
void vr_complete_drained(struct vr_engine *e) {
  for (uint32_t i = 0; i < e->pending_count; i++) {
    struct vr_dir *x = &e->dirs[e->pending[i]];
    if (!x->drained) continue;
    x->drained = 0;
    if (!x->ok) continue;
    x->complete = !x->again;
    vr_distrust_node(e, x->node);
  }
  e->pending_count = 0;
}

/* Reads directories until the time (CLOCK_MONOTONIC ns) or until all are read. */
void vr_scan_some(struct vr_engine *e, uint64_t until) {
  while (vr_clock(CLOCK_MONOTONIC) < until) {
    if (e->scan_fd >= 0 && (!e->dirs[e->scan_dir].ok || e->dirs[e->scan_dir].wd != e->scan_wd)) stop_scan(e);
    if (e->scan_fd < 0) {
      int r = start_scan(e);
      if (r == 0) return;
      if (r < 0) continue;
    }
    char rel[VR_REL_MAX];
    int len = vr_node_path(e, e->dirs[e->scan_dir].node, rel);
    /* Buffers small enough that one is done in a few milliseconds. */
    ssize_t n = len < 0 ? -1 : syscall(SYS_getdents64, e->scan_fd, e->dents, DENTS);
    if (n <= 0) {
      if (n < 0) e->dirs[e->scan_dir].again = 1;
      end_scan(e);
      continue;
    }
    size_t base = (size_t)len;
    if (base) rel[base++] = '/';
    for (ssize_t at = 0; at < n;) {
      const struct dirent64 *de = (const struct dirent64 *)(const void *)(e->dents + at);
      at += de->d_reclen;
      if (de->d_name[0] == '.' && (!de->d_name[1] || (de->d_name[1] == '.' && !de->d_name[2]))) continue;
      met(e, de, rel, base);
    }
  }
}
