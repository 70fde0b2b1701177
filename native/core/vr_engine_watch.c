/* Watches and events. An event never brings a fact: it only makes a name and its directory UNVERIFIED, so that events may come
 * twice, late or in any order. What an event implies is taken back in the shared side before the drain that read it is done. */
#include "vr_engine_internal.h"
#include "vr_fault.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/inotify.h>
#include <unistd.h>

#define READS_MAX 64 /* per drain: 16 MiB of events; a tree that changes faster than we read has no lease */

uint32_t vr_dir_of(struct vr_engine *e, uint32_t n) {
  if (e->nodes[n].dir) return e->nodes[n].dir;
  if (e->st->dir_count == e->st->dir_cap) {
    /* There are never more directories than nodes. */
    if (e->st->dir_cap * 2 > e->st->node_cap && vr_state_grow(e, e->st->node_cap * 2, e->st->dir_cap * 2) < 0) return 0;
    if (e->st->dir_count == e->st->dir_cap && vr_state_grow(e, e->st->node_cap, e->st->dir_cap * 2) < 0) return 0;
  }
  uint32_t d = e->st->dir_count;
  e->dirs[d] = (struct vr_dir){.node = n, .wd = -1};
  VR_IN_ORDER();
  e->st->dir_count = d + 1;
  VR_IN_ORDER();
  VR_FAULT(dir_counted);
  e->nodes[n].dir = d;
  return d;
}

static void unmap_wd(struct vr_engine *e, uint32_t d) {
  int32_t wd = e->dirs[d].wd;
  if (wd < 0) return;
  if ((uint32_t)wd < e->wd_cap && e->wds[wd] == d) e->wds[wd] = 0;
  e->dirs[d].wd = -1;
  e->watches--;
}

/* Forgets the trust that rests on the watch; the caller takes the entries back. */
void vr_unwatch_dir(struct vr_engine *e, uint32_t d) {
  struct vr_dir *x = &e->dirs[d];
  if (x->wd >= 0) {
    inotify_rm_watch(e->inotify, x->wd); /* EINVAL: the kernel has removed it already */
    VR_FAULT(watch_removed);
    unmap_wd(e, d);
  }
  VR_IN_ORDER();
  if (x->ok) e->dirs_live--;
  x->ok = x->complete = x->drained = 0;
}

int vr_wd_room(struct vr_engine *e, int32_t wd) {
  if ((uint32_t)wd >= e->wd_cap) {
    uint32_t cap = e->wd_cap ? e->wd_cap : 1024;
    while (cap <= (uint32_t)wd) cap *= 2;
    uint32_t *p = realloc(e->wds, (size_t)cap * sizeof *p);
    if (!p) return -ENOMEM;
    memset(p + e->wd_cap, 0, (size_t)(cap - e->wd_cap) * sizeof *p);
    e->wds = p, e->wd_cap = cap;
  }
  return 0;
}

static int map_wd(struct vr_engine *e, int32_t wd, uint32_t d) {
  if (vr_wd_room(e, wd) < 0) return -ENOMEM;
  uint32_t old = e->wds[wd];
  if (old && old != d && e->dirs[old].wd == wd) { /* the same inode found at a new path before its move was read */
    e->dirs[old].wd = -1;
    e->watches--;
    vr_drop_subtree(e, e->dirs[old].node, 1);
  }
  if (e->dirs[d].wd != wd) {
    unmap_wd(e, d);
    e->watches++;
  }
  e->wds[wd] = d;
  e->dirs[d].wd = wd;
  return 0;
}

/* Watches the directory name beneath dirfd if it is still the inode in dirs[d]. 0 or -errno (-ENOSPC: no watches left). */
int vr_watch_dir(struct vr_engine *e, uint32_t d, int dirfd, const char *name) {
  if (e->dirs[d].wd < 0 && e->watches >= e->limits.max_watches) return -ENOSPC;
  int fd = openat(dirfd, *name ? name : ".", O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (fd < 0) return -errno;
  struct stat st;
  char proc[40];
  snprintf(proc, sizeof proc, "/proc/self/fd/%d", fd);
  int r = fstat(fd, &st) < 0 ? -errno : 0;
  if (r == 0 && (st.st_ino != e->dirs[d].ino || st.st_dev != e->root_dev)) r = -ESTALE;
  int wd = -1;
  if (r == 0) {
    wd = inotify_add_watch(e->inotify, proc, VR_WATCH_MASK | IN_ONLYDIR);
    if (wd < 0) r = -errno;
  }
  close(fd);
  VR_FAULT(watch_added);
  return r < 0 ? r : map_wd(e, wd, d);
}

/* Everything below n (and n itself if self) is in doubt: UNVERIFIED, unwatched. Depth-first without recursion. */
void vr_drop_subtree(struct vr_engine *e, uint32_t n, int self) {
  e->st->dropping_self = self != 0;
  VR_IN_ORDER();
  e->st->dropping = n + 1;
  VR_IN_ORDER();
  if (e->nodes[n].dir) {
    vr_unwatch_dir(e, e->nodes[n].dir);
    vr_put_state(e, n, VR_ENTRY_COMPLETE | VR_ENTRY_SEARCHABLE | VR_ENTRY_CLEAN | VR_ENTRY_GONE, 0);
  }
  if (self) vr_distrust_node(e, n);
  uint32_t at = e->nodes[n].child;
  while (at != VR_NONE) {
    VR_FAULT(dropping_below);
    if (e->nodes[at].dir) vr_unwatch_dir(e, e->nodes[at].dir);
    vr_put_state(e, at, VR_ENTRY_COMPLETE | VR_ENTRY_SEARCHABLE, 0);
    vr_distrust_node(e, at);
    if (e->nodes[at].child != VR_NONE) {
      at = e->nodes[at].child;
      continue;
    }
    while (at != n && e->nodes[at].sibling == VR_NONE) at = e->nodes[at].parent;
    if (at == n) break;
    at = e->nodes[at].sibling;
  }
  VR_IN_ORDER();
  e->st->dropping = 0;
  VR_IN_ORDER();
}

void vr_engine_distrust(struct vr_engine *e) {
  e->st->distrusting = 1;
  VR_IN_ORDER();
  e->rep.overflows++;
  e->rep.limited = 0; /* there may be room now: the next name that finds none says so again */
  for (uint32_t d = 1; d < e->st->dir_count; d++) {
    e->dirs[d].complete = e->dirs[d].drained = 0;
    e->dirs[d].limited = 0;
  }
  for (uint32_t n = 0; n < e->st->node_count; n++) {
    vr_put_state(e, n, VR_ENTRY_COMPLETE | VR_ENTRY_CLEAN | VR_ENTRY_GONE, 0);
    vr_distrust_node(e, n);
  }
  for (uint32_t d = 1; d < e->st->dir_count; d++)
    if (e->dirs[d].ok) vr_queue_scan(e, d);
  VR_FAULT(distrusted);
  VR_IN_ORDER();
  e->st->distrusting = 0; /* overflow is after_overflow's to take back: it does more */
  VR_IN_ORDER();
}

static void bump_g(struct vr_engine *e) {
  vr_bump(&e->board, 0);
  e->g_again = 1;
}

static void about_self(struct vr_engine *e, uint32_t d, uint32_t mask) {
  uint32_t n = e->dirs[d].node;
  if (mask & (IN_IGNORED | IN_UNMOUNT)) {
    e->wds[e->dirs[d].wd] = 0;
    e->dirs[d].wd = -1;
    e->watches--;
    vr_drop_subtree(e, n, 1);
    bump_g(e);
  } else if (mask & (IN_DELETE_SELF | IN_MOVE_SELF)) {
    if (n == 0) e->native_why = VR_NATIVE_ROOT_MOVED, e->st->root_away = 1;
    vr_distrust_node(e, n); /* the parent's events tell what became of it */
  } else {
    vr_check_dir(e, d);
  }
}

/* link() tells the new name's directory only; the names that the inode had are in doubt as well. (When the new name is gone again
 * before this looks, only their ctime has moved; the sweep finds that.) */
static void other_names(struct vr_engine *e, const char *rel) {
  struct statx st;
  if (statx(e->root_fd, rel, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT, STATX_INO | STATX_NLINK | STATX_TYPE, &st) < 0) return;
  if (S_ISDIR(st.stx_mode) || st.stx_nlink < 2) return;
  uint32_t n = vr_ino_find(e, st.stx_ino);
  if (n != VR_NONE) vr_distrust_node(e, n);
}

static void about_name(struct vr_engine *e, uint32_t d, uint32_t mask, const char *name) {
  char rel[VR_REL_MAX];
  uint32_t dn = e->dirs[d].node;
  int len = vr_node_path(e, dn, rel);
  size_t name_len = strnlen(name, VR_NAME_LIMIT + 1);
  uint32_t structure = mask & (IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO);
  if (structure) vr_distrust_node(e, dn);
  if (len < 0 || name_len > VR_NAME_LIMIT || (size_t)len + 1 + name_len >= VR_REL_MAX) return;
  if (len) rel[len++] = '/';
  memcpy(rel + len, name, name_len);
  len += (int)name_len;
  uint32_t n = vr_find(e, rel, (uint32_t)len, vr_hash64(rel, (size_t)len, e->vdir.seed));
  if (n == VR_NONE) {
    if (!(mask & (IN_CREATE | IN_MOVED_TO))) return; /* a name that is not entered: its directory is not COMPLETE */
    n = vr_enter(e, dn, rel, (uint32_t)len, 0);
    if (n == VR_NONE) {
      e->dirs[d].again = 1;
      e->dirs[d].complete = 0;
      vr_put_state(e, dn, VR_ENTRY_COMPLETE, 0);
      return;
    }
  }
  vr_distrust_node(e, n);
  if ((mask & (IN_CREATE | IN_MOVED_TO)) && !(mask & IN_ISDIR)) other_names(e, rel);
  if (!e->nodes[n].dir) return;
  /* The name is, or was, a directory of ours. */
  if (structure) {
    /* Deleted too: somebody's working directory keeps the inode alive, so that IN_DELETE_SELF comes late, and a new directory of the
     * same name is another one. */
    if (structure & (IN_MOVED_FROM | IN_MOVED_TO | IN_DELETE)) bump_g(e);
    vr_drop_subtree(e, n, 1);
  } else if (mask & IN_ATTRIB) {
    vr_check_dir(e, e->nodes[n].dir);
  }
}

static void apply(struct vr_engine *e, const struct inotify_event *ev) {
  e->rep.events++;
  if (ev->mask & IN_Q_OVERFLOW) {
    e->st->overflow = 1;
    return;
  }
  if (ev->wd < 0 || (uint32_t)ev->wd >= e->wd_cap) return;
  uint32_t d = e->wds[ev->wd];
  if (!d || e->dirs[d].wd != ev->wd) return;
  if (ev->len && ev->name[0]) about_name(e, d, ev->mask, ev->name);
  else about_self(e, d, ev->mask);
}

/* Takes back what a lost event may have meant, at once: the lease and drain_done come only after this. Even that a watch has ended may be what
 * was lost, and another directory of the same inode number have taken the place: no directory is relied upon before it is watched anew. */
static void after_overflow(struct vr_engine *e) {
  bump_g(e);
  for (uint32_t d = 1; d < e->st->dir_count; d++) {
    if (e->dirs[d].ok) e->dirs_live--;
    e->dirs[d].ok = e->dirs[d].complete = e->dirs[d].drained = 0;
  }
  vr_engine_distrust(e);
  VR_IN_ORDER();
  e->st->overflow = 0;
  VR_IN_ORDER();
}

/* Applies what the journal holds, at most size bytes, up to the first zero; then zeroes it. */
static void apply_journal(struct vr_engine *e, size_t size) {
  _Alignas(struct inotify_event) char one[sizeof(struct inotify_event) + VR_NAME_LIMIT + 257];
  const struct inotify_event *ev = (const struct inotify_event *)(const void *)one;
  const size_t head = sizeof *ev, room = sizeof one - head - 1;
  for (size_t at = 0; at + head <= size;) {
    /* A copy: while it is applied the journal may move to a larger file. */
    memcpy(one, e->journal + at, head);
    if (!ev->mask) break;
    uint32_t len = ev->len;
    if (len > size - at - head) { /* cannot be: then anything may have been lost */
      e->st->overflow = 1;
      break;
    }
    uint32_t taken = len < room ? len : (uint32_t)room;
    memcpy(one + head, e->journal + at + head, taken);
    one[head + taken] = 0;
    apply(e, ev);
    at += head + len;
    VR_FAULT(event_applied);
  }
  VR_IN_ORDER();
  memset(e->journal, 0, size);
  VR_IN_ORDER();
}

void vr_replay(struct vr_engine *e) {
  apply_journal(e, VR_JOURNAL);
  VR_FAULT(journal_replayed);
}

/* A page that is gone when read() comes to it would cost the events it holds: a process that is being killed is given none. */
static void touch_journal(struct vr_engine *e) {
  for (size_t at = 0; at < VR_JOURNAL; at += 4096) __atomic_fetch_or(e->journal + at, 0, __ATOMIC_RELAXED);
}

int vr_drain(struct vr_engine *e) {
  for (int i = 0; i < READS_MAX; i++) {
    touch_journal(e);
    /* The kernel takes an event off the queue before it copies it: who is killed in here may have lost some, and the successor believes so. */
    uint32_t lost = e->st->overflow;
    e->st->overflow = 1;
    VR_IN_ORDER();
    ssize_t n = read(e->inotify, e->journal, VR_JOURNAL);
    int why = errno;
    if (n > 0) VR_FAULT(events_taken);
    VR_IN_ORDER();
    e->st->overflow = lost;
    VR_IN_ORDER();
    errno = why;
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && errno == EAGAIN) {
      if (e->st->overflow) after_overflow(e);
      return 1;
    }
    if (n <= 0) return n < 0 ? -errno : -EIO;
    VR_FAULT(events_read);
    apply_journal(e, (size_t)n);
  }
  return 0;
}
