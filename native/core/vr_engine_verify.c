/* From the kernel's answer to an entry. An entry is CLEAN only if nothing can change what stat says about it without our seeing
 * an event or a bump: docs/PROTOCOL.md sections 3 and 6. */
#include "vr_engine_internal.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <dirent.h>
#include <linux/openat2.h>
#include <sys/syscall.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

#define SETTLE_AGE_NS 50000000ull               /* a file younger than this is about to be written again */
#define ATIME_MAX_AGE_S (22 * 3600)             /* relatime moves an atime older than 24 h */
#define BLOCKS_AGE_S 40                         /* write-back moves st_blocks for this long after a write */
#define BLOCKS_SIZE (1 << 20)                   /* ext4: only where extents need blocks of their own */
#define ROTATE 512
#define RETRY_NS 5000000000ull
#define WANTED (STATX_BASIC_STATS | STATX_BTIME | STATX_MNT_ID)

int vr_inode_named(struct vr_engine *e, uint64_t ino) {
  struct vr_forbidden *f = e->forbidden;
  if (f->damaged) return 1;
  if (!f->inodes) return 0;
  for (uint32_t at = (uint32_t)(ino * VR_HASH_K0 >> 40) & 32767, i = 0; i < 32768; at = (at + 1) & 32767, i++) {
    if (f->stamp[at] != f->now) return 0;
    if (f->ino[at] == ino) return 1;
  }
  return 1;
}

static int later(const struct statx_timestamp *a, const struct statx_timestamp *b) {
  return a->tv_sec != b->tv_sec ? a->tv_sec > b->tv_sec : a->tv_nsec > b->tv_nsec;
}

/* May a read move its atime? */
static int atime_stable(struct vr_engine *e, const struct statx *st) {
  if (e->noatime || (e->nodiratime && S_ISDIR(st->stx_mode)) || (st->stx_attributes & STATX_ATTR_IMMUTABLE)) return 1;
  struct timespec t;
  clock_gettime(CLOCK_REALTIME_COARSE, &t);
  return later(&st->stx_atime, &st->stx_mtime) && later(&st->stx_atime, &st->stx_ctime) &&
         st->stx_atime.tv_sec <= t.tv_sec && t.tv_sec - st->stx_atime.tv_sec < ATIME_MAX_AGE_S;
}

/* Nanoseconds until write-back can no longer move st_blocks; 0: it cannot now. */
static uint64_t blocks_moving(struct vr_engine *e, const struct statx *st) {
  if (!e->delayed || !S_ISREG(st->stx_mode) || st->stx_size < (e->delayed == 1 ? BLOCKS_SIZE : 1)) return 0;
  struct timespec t;
  clock_gettime(CLOCK_REALTIME_COARSE, &t);
  int64_t newest = later(&st->stx_mtime, &st->stx_ctime) ? st->stx_mtime.tv_sec : st->stx_ctime.tv_sec;
  int64_t left = newest + BLOCKS_AGE_S - t.tv_sec;
  return left > BLOCKS_AGE_S || left <= 0 ? 0 : (uint64_t)left * 1000000000u;
}

void vr_settle_later(struct vr_engine *e, uint32_t n, uint64_t due) {
  if (e->nodes[n].flags & N_SETTLING) return;
  if (e->settle_count == e->settle_cap) {
    uint32_t cap = e->settle_cap ? e->settle_cap * 2 : 1024;
    struct vr_settle *p = malloc((size_t)cap * sizeof *p);
    if (!p) return;
    for (uint32_t i = 0; i < e->settle_count; i++) p[i] = e->settles[(e->settle_head + i) & (e->settle_cap - 1)];
    free(e->settles);
    e->settles = p, e->settle_cap = cap, e->settle_head = 0;
  }
  e->settles[(e->settle_head + e->settle_count++) & (e->settle_cap - 1)] = (struct vr_settle){n, due};
  e->nodes[n].flags |= N_SETTLING;
}

static int has_acl(int dirfd, const char *name, uint32_t mode) {
  char proc[40 + VR_REL_MAX];
  if (S_ISLNK(mode)) return 0;
  snprintf(proc, sizeof proc, "/proc/self/fd/%d/%s", dirfd, name);
  if (lgetxattr(proc, "system.posix_acl_access", NULL, 0) >= 0) return 1;
  int none = errno == ENODATA || errno == EOPNOTSUPP || errno == ENOENT;
  if (!none || !S_ISDIR(mode)) return !none;
  /* What is made in it inherits this one: staging must know. */
  if (lgetxattr(proc, "system.posix_acl_default", NULL, 0) >= 0) return 1;
  return errno != ENODATA && errno != EOPNOTSUPP && errno != ENOENT;
}

/* Absence too may be relied upon only below a directory that is watched: else nobody tells us when the name appears. */
static void not_there(struct vr_engine *e, uint32_t n, int parent_ok, int error) {
  if (e->nodes[n].dir && (e->dirs[e->nodes[n].dir].ok || e->dirs[e->nodes[n].dir].wd >= 0)) vr_drop_subtree(e, n, 0);
  if (parent_ok && (error == ENOENT || error == ENOTDIR)) {
    vr_put_state(e, n, VR_ENTRY_COMPLETE | VR_ENTRY_SEARCHABLE | VR_ENTRY_ISDIR, VR_ENTRY_CLEAN | VR_ENTRY_GONE);
  } else {
    vr_put_state(e, n, VR_ENTRY_CLEAN | VR_ENTRY_GONE, 0);
  }
}

/* Is it still the directory that was trusted? Otherwise what lies below is in doubt, and G with it. */
static int same_dir(struct vr_engine *e, struct vr_dir *x, const struct statx *st) {
  return x->ino == st->stx_ino && x->mode == st->stx_mode && x->uid == st->stx_uid && x->gid == st->stx_gid && st->stx_mnt_id == e->mnt_id;
}

/* Takes a directory into care: watch, then its facts anew. 1: children may be CLEAN. */
static int attach_dir(struct vr_engine *e, uint32_t n, int dirfd, const char *name, struct statx *st) {
  uint32_t d = vr_dir_of(e, n);
  if (!d) return 0;
  struct vr_dir *x = &e->dirs[d];
  if (x->ok && !same_dir(e, x, st)) {
    vr_drop_subtree(e, n, 0);
    vr_bump(&e->board, 0);
    e->g_again = 1;
  }
  x = &e->dirs[d];
  if (x->ok) return 1;
  if (x->wd >= 0) vr_unwatch_dir(e, d);
  x->ino = st->stx_ino, x->mode = st->stx_mode, x->uid = st->stx_uid, x->gid = st->stx_gid;
  int r = vr_watch_dir(e, d, dirfd, name);
  if (r == -ENOSPC && !x->limited) x->limited = 1, e->rep.limited_dirs++;
  if (r < 0 || statx(dirfd, name, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | (*name ? 0 : AT_EMPTY_PATH), WANTED, st) < 0) return 0;
  x = &e->dirs[d];
  if (!same_dir(e, x, st)) {
    vr_unwatch_dir(e, d);
    vr_distrust_node(e, n);
    return 0;
  }
  x->acl = (uint8_t)has_acl(dirfd, *name ? name : ".", st->stx_mode);
  x->limited = 0;
  if (x->acl || faccessat(dirfd, *name ? name : ".", X_OK, AT_EACCESS) < 0) return 0; /* watched, but nothing below is trusted */
  x->ok = 1;
  e->dirs_live++;
  vr_queue_scan(e, d);
  return 1;
}

static int ours(struct vr_engine *e, const struct statx *st) {
  uint64_t dev = ((uint64_t)st->stx_dev_major << 32) | st->stx_dev_minor;
  uint64_t root = ((uint64_t)gnu_dev_major(e->root_dev) << 32) | gnu_dev_minor(e->root_dev);
  return dev == root && st->stx_mnt_id == e->mnt_id && !((st->stx_attributes & STATX_ATTR_MOUNT_ROOT) && st->stx_ino != e->root_ino) &&
         !(st->stx_attributes & STATX_ATTR_AUTOMOUNT);
}

/* Verifies n by a statx of name in dirfd; rel is its path. Its slot must be clean since before the newest scan of the records,
 * or about to be published by the caller. */
void vr_verify_at(struct vr_engine *e, uint32_t n, int dirfd, const char *name, const char *rel) {
  struct statx st;
  char target[VR_TARGET_MAX + 1];
  uint32_t target_len = 0, p = e->nodes[n].parent, state = 0;
  e->rep.verified++;
  int flags = AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | (*name ? 0 : AT_EMPTY_PATH);
  int parent_ok = p == VR_NONE || (e->nodes[p].dir && e->dirs[e->nodes[p].dir].ok);
  if (statx(dirfd, name, flags, WANTED, &st) < 0) {
    not_there(e, n, parent_ok, errno);
    return;
  }
  (void)rel;
  int good = parent_ok && ours(e, &st) && !(e->nodes[n].flags & N_EXCLUDED) && !vr_inode_named(e, st.stx_ino);
  if (S_ISDIR(st.stx_mode)) {
    state = VR_ENTRY_ISDIR;
    int ok = parent_ok && ours(e, &st) && !(e->nodes[n].flags & N_EXCLUDED) && attach_dir(e, n, dirfd, name, &st);
    struct vr_dir *x = e->nodes[n].dir ? &e->dirs[e->nodes[n].dir] : NULL;
    if (ok) state |= VR_ENTRY_SEARCHABLE | (x->complete ? VR_ENTRY_COMPLETE : 0);
    if (x && x->acl) state |= VR_ENTRY_ACL;
    good = good && x && x->wd >= 0;
  } else {
    if (e->nodes[n].dir && (e->dirs[e->nodes[n].dir].ok || e->dirs[e->nodes[n].dir].wd >= 0)) vr_drop_subtree(e, n, 0);
    uint32_t other = st.stx_nlink > 1 ? vr_ino_find(e, st.stx_ino) : VR_NONE;
    if (other != VR_NONE && other != n) vr_distrust_node(e, other);
    good = good && st.stx_nlink == 1; /* a symlink can have a second name too */
    if (S_ISLNK(st.stx_mode)) {
      ssize_t k = good ? readlinkat(dirfd, name, target, sizeof target) : -1;
      if (k > 0 && k <= VR_TARGET_MAX && (uint64_t)k == st.stx_size) target_len = (uint32_t)k;
      if (good && k < 0) good = 0;
    } else if (!S_ISREG(st.stx_mode)) {
      good = 0; /* the times of fifos, sockets and devices move by use */
    }
  }
  if (good && !atime_stable(e, &st)) {
    vr_settle_later(e, n, e->now + SETTLE_AGE_NS);
    good = 0;
  }
  uint64_t wait = good ? blocks_moving(e, &st) : 0;
  if (wait) {
    vr_settle_later(e, n, e->now + wait);
    good = 0;
  }
  /* An ACL says nothing to the owner or to root. */
  if (good && S_ISREG(st.stx_mode) && e->uid != 0 && st.stx_uid != e->uid && has_acl(dirfd, name, st.stx_mode)) state |= VR_ENTRY_ACL;
  vr_put_entry(e, n, &st, state | (good ? VR_ENTRY_CLEAN : 0), target_len ? target : NULL, target_len);
}

void vr_verify(struct vr_engine *e, uint32_t n) {
  char rel[VR_REL_MAX];
  if (vr_node_path(e, n, rel) < 0) return;
  vr_verify_at(e, n, e->root_fd, rel, rel);
}

/* The same for many in a row: those of one directory are looked at from a descriptor of it, which saves the walk to it. */
void vr_verify_next(struct vr_engine *e, uint32_t n, struct vr_siblings *s) {
  char rel[VR_REL_MAX];
  int len = vr_node_path(e, n, rel);
  uint32_t p = e->nodes[n].parent;
  if (len < 0) return;
  if (p != s->parent) {
    if (s->fd >= 0) close(s->fd);
    s->fd = -1;
    s->parent = p;
    uint32_t next = e->verify.count ? e->verify.at[e->verify.head] : VR_NONE, d = p == VR_NONE ? 0 : e->nodes[p].dir;
    char above[VR_REL_MAX];
    struct stat st;
    if (next != VR_NONE && e->nodes[next].parent == p && d && e->dirs[d].ok && vr_node_path(e, p, above) > 0) {
      struct open_how how = {.flags = O_PATH | O_DIRECTORY | O_CLOEXEC, .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV};
      s->fd = (int)syscall(SYS_openat2, e->root_fd, above, &how, sizeof how);
      if (s->fd >= 0 && (fstat(s->fd, &st) < 0 || st.st_ino != e->dirs[d].ino)) close(s->fd), s->fd = -1;
    }
  }
  const char *name = s->fd < 0 ? NULL : memrchr(rel, '/', (size_t)len);
  vr_verify_at(e, n, name ? s->fd : e->root_fd, name ? name + 1 : rel, rel);
}

/* An event says that a directory's own attributes may have moved: if those that lookups depend on did, all below is in doubt. */
void vr_check_dir(struct vr_engine *e, uint32_t d) {
  char rel[VR_REL_MAX];
  struct statx st;
  uint32_t n = e->dirs[d].node;
  vr_distrust_node(e, n);
  if (!e->dirs[d].ok && e->dirs[d].wd < 0) return;
  int r = vr_node_path(e, n, rel) < 0 ? -1 : statx(e->root_fd, rel, AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH, WANTED, &st);
  if (r == 0 && same_dir(e, &e->dirs[d], &st) && has_acl(e->root_fd, *rel ? rel : ".", st.stx_mode) == e->dirs[d].acl) return;
  vr_drop_subtree(e, n, 1);
  vr_bump(&e->board, 0);
  e->g_again = 1;
}

/* Lets a read happen now, so that none later moves the atime. mmap moves it without reading a byte from the disk. */
static void touch_atime(struct vr_engine *e, const char *rel, uint32_t mode) {
  if (S_ISLNK(mode)) {
    char t[8];
    ssize_t n = readlinkat(e->root_fd, rel, t, sizeof t);
    (void)n;
    return;
  }
  int fd = openat(e->root_fd, *rel ? rel : ".", O_RDONLY | O_NONBLOCK | O_NOFOLLOW | O_NOCTTY | O_CLOEXEC | (S_ISDIR(mode) ? O_DIRECTORY : 0));
  if (fd < 0) return;
  if (S_ISDIR(mode)) {
    char buf[512];
    ssize_t n = getdents64(fd, buf, sizeof buf);
    (void)n;
  } else {
    void *p = mmap(NULL, 1, PROT_READ, MAP_PRIVATE, fd, 0);
    if (p != MAP_FAILED) munmap(p, 1);
  }
  close(fd);
}

int vr_settle_due(struct vr_engine *e, uint64_t until) {
  uint32_t rotated = 0;
  int some = 0;
  while (e->settle_count) {
    struct vr_settle s = e->settles[e->settle_head];
    if (s.due > e->now) {
      /* One that waits for write-back must not hold up the others: to the back, but go round only once a turn. */
      if (s.due <= e->now + SETTLE_AGE_NS) return some;
      e->settle_head = (e->settle_head + 1) & (e->settle_cap - 1);
      e->settle_count--;
      e->nodes[s.node].flags &= (uint16_t)~N_SETTLING;
      vr_settle_later(e, s.node, s.due);
      if (++rotated >= ROTATE || rotated >= e->settle_count) return some;
      continue;
    }
    e->settle_head = (e->settle_head + 1) & (e->settle_cap - 1);
    e->settle_count--;
    e->nodes[s.node].flags &= (uint16_t)~N_SETTLING;
    some = 1;
    char rel[VR_REL_MAX];
    struct statx st;
    if ((e->nodes[s.node].flags & (N_CLEAN | N_GONE | N_EXCLUDED)) || vr_node_path(e, s.node, rel) < 0) continue;
    if (statx(e->root_fd, rel, AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH, WANTED, &st) < 0) continue;
    if (!vr_inode_named(e, st.stx_ino) && !atime_stable(e, &st) && ours(e, &st) &&
        (S_ISREG(st.stx_mode) || S_ISDIR(st.stx_mode) || S_ISLNK(st.stx_mode))) {
      touch_atime(e, rel, st.stx_mode);
      if (statx(e->root_fd, rel, AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH, WANTED, &st) == 0 && !atime_stable(e, &st)) {
        vr_settle_later(e, s.node, e->now + RETRY_NS); /* not readable, or its times lie in the future */
        continue;
      }
    }
    vr_distrust_node(e, s.node);
    e->rep.settled++;
    if (vr_clock(CLOCK_MONOTONIC) > until) return 1;
  }
  return some;
}
