/* Going on with the VDir and the state of a predecessor that died (docs/ADOPTION.md section 4, which gives the order). Whatever does not fit ends
 * here with 0: then a new VDir is made and the tree is read. */
#include "vr_engine_internal.h"
#include "vr_fault.h"
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define AGE_MAX_NS (600 * 1000000000ull) /* an atime that a read may move is a day old, and the living look at those of 22 hours */

static int no(char *reason, size_t cap, const char *why) {
  snprintf(reason, cap, "the predecessor's VDir is not gone on with: %s", why);
  return 0;
}

static uint64_t start_of(uint64_t pid) {
  char name[48], buf[1024];
  snprintf(name, sizeof name, "/proc/%llu/stat", (unsigned long long)pid);
  int fd = open(name, O_RDONLY | O_CLOEXEC);
  ssize_t n = fd < 0 ? -1 : read(fd, buf, sizeof buf - 1);
  if (fd >= 0) close(fd);
  if (n <= 0) return 0;
  buf[n] = 0;
  char *p = strrchr(buf, ')');
  for (int i = 2; p && i < 22; i++) p = strchr(p + 1, ' ');
  return p ? strtoull(p + 1, NULL, 10) : 0;
}

/* 1: the process that the VDir names may still write. */
static int writer_lives(const struct vr_dyn *d) {
  if (!d->daemon_pid || d->daemon_pid > INT32_MAX) return 1; /* unknown */
  int fd = (int)syscall(SYS_pidfd_open, (pid_t)d->daemon_pid, 0);
  if (fd < 0) return 0;
  struct pollfd p = {.fd = fd, .events = POLLIN};
  int lives = poll(&p, 1, 0) != 1 && start_of(d->daemon_pid) == d->daemon_start;
  close(fd);
  return lives;
}

static int is_inotify(int fd) {
  char proc[40], text[40];
  snprintf(proc, sizeof proc, "/proc/self/fd/%d", fd);
  ssize_t n = readlink(proc, text, sizeof text - 1);
  if (n <= 0) return 0;
  text[n] = 0;
  int flags = fcntl(fd, F_GETFL);
  return !strcmp(text, "anon_inode:inotify") && flags >= 0 && (flags & O_NONBLOCK) && fcntl(fd, F_SETFD, FD_CLOEXEC) == 0;
}

/* Is the header, in every byte, the one that we would write here? Root, boot, namespaces, mount, user, groups, capabilities are in it. */
static const char *strange_vdir(struct vr_engine *e, struct vr_vdir *v, const uint8_t *p, uint64_t size, uint64_t id) {
  struct vr_header *mine = calloc(1, sizeof *mine);
  const char *why = NULL;
  if (!mine) return "no memory";
  if (size > e->limits.max_bytes) why = "it is larger than may be now";
  else if (vr_vdir_attach(v, p, size)) why = "its header is damaged";
  else if (vr_fill_header(e, mine, id, v->header->index_buckets, v->header->entries_size, size) < 0 || memcmp(mine, p, sizeof *mine))
    why = "it was made under other circumstances";
  if (!why) memcpy(v->header, mine, sizeof *mine);
  free(mine);
  const struct vr_dyn *d = v->dyn;
  if (why) return why;
  if (d->superseded) return "it was superseded";
  if (d->drain_started != ~d->drain_started_inv || d->drain_done != ~d->drain_done_inv || d->drain_done > d->drain_started)
    return "its drain numbers contradict each other";
  return writer_lives(d) ? "its writer is not dead" : NULL;
}

static const char *strange_state(const struct vr_state *s, uint64_t id, uint64_t vdir, uint64_t board, uint64_t watch) {
  if (s->state_id != id || s->vdir_id != vdir || s->board_id != board) return "its state file belongs to another";
  if (s->watch_id != watch) return "the watch queue is another's";
  if (s->spoilt || s->whole != 1) return "damage was known, or it was just being replaced";
  uint64_t now = vr_clock(CLOCK_BOOTTIME);
  if (s->turned > now || now - s->turned > AGE_MAX_NS) return "it died too long ago";
  if (!s->node_count || s->node_count > s->node_cap || !s->dir_count || s->dir_count > s->dir_cap) return "its state file is damaged";
  return NULL;
}

int vr_adopt(struct vr_engine *e, const char *link, int watch, uint64_t watch_id, char *reason, size_t cap) {
  unsigned long long vdir, board;
  char name[64];
  uint8_t *p, *q;
  struct vr_vdir v = {0};
  struct vr_region r = {0};
  uint64_t size;
  if (sscanf(link, "%16llx.%16llx", &vdir, &board) != 2 || board != e->board.header->board_id) return no(reason, cap, "its board is another");
  if (e->native_why == VR_NATIVE_FILESYSTEM || !is_inotify(watch)) return no(reason, cap, "there is no watch queue");
  if (!(r.id = vr_name_state(e, vdir))) return no(reason, cap, "it has no state file");
  snprintf(name, sizeof name, "vrift_vdir_%016llx", vdir);
  if (vr_shm_open(name, 1, 0, &p, &size) < 0) return no(reason, cap, "it is gone");
  const char *why = strange_vdir(e, &v, p, size, vdir);
  snprintf(name, sizeof name, "vrift_state_%016llx", (unsigned long long)r.id);
  if (!why && vr_shm_open(name, 1, 0, &r.base, &r.size) < 0) why = "its state file is gone";
  if (!why && !vr_state_sound(r.base, r.size)) why = "its state file is damaged";
  if (!why) why = strange_state((const struct vr_state *)(const void *)r.base, r.id, vdir, board, watch_id);
  if (!why) {
    q = e->base;
    e->vdir = v, e->base = p;
    e->dyn = (struct vr_dyn *)(void *)(p + VR_DYN_OFFSET);
    e->pub = (uint64_t *)(void *)(p + VR_PUB_OFFSET);
    e->inotify = watch;
    e->watch_id = watch_id;
    vr_state_use(e, &r);
    /* Whoever reads from here on finds G dirty until our first turn has looked at everything; this is also whatever bump was still to be made. */
    vr_bump(&e->board, 0);
    VR_FAULT(adopt_bumped);
    vr_own_vdir(e);
    if (vr_repair(e) == 0) {
      e->vdir_fd = vr_shm_fd("vdir", vdir);
      e->dyn->generation = e->generation = e->dyn->generation + 1;
      e->drain_begun = e->dyn->drain_started;
      e->haste = v.buckets + e->st->node_count + VR_PROGRAMS;
      e->published = 1;
      vr_replay(e);
      VR_FAULT(adopt_done);
      return 1;
    }
    why = "its state contradicts itself";
    vr_state_spoil(&r);
    e->base = q;
    memset(&e->vdir, 0, sizeof e->vdir);
    e->dyn = NULL, e->pub = NULL, e->st = NULL;
    e->inotify = -1;
    memset(&e->region, 0, sizeof e->region);
    e->verify.count = e->scan.count = e->changes.count = e->settle_count = e->pending_count = 0;
    e->dirs_live = 0, e->watches = 0, e->entry_count = e->entries_used = 0;
    memset(&e->rep, 0, sizeof e->rep);
    if (e->wds) memset(e->wds, 0, (size_t)e->wd_cap * sizeof *e->wds);
  }
  if (r.base) munmap(r.base, r.size);
  munmap(p, size);
  vr_bus_remove(p);
  return no(reason, cap, why);
}
