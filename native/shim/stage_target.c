/* What lies at the path that is opened for writing, and in what directory: could a file that is moved there by rename be the one that native's
 * open would make or write? What the VDir knows about the parent is used while G is clean (docs/PROTOCOL.md section 4, "Real paths"); otherwise
 * it is opened and looked at. Any doubt: no. */
#include <linux/stat.h>
#include <string.h>
#include <sys/statfs.h>
#include "internal.h"
#include "staging.h"

#define MOUNT_READONLY 1 /* ST_RDONLY, ST_SYNCHRONOUS of statfs.f_flags */
#define MOUNT_SYNC 16
#define FREE_MIN (64ull << 20) /* bytes that must be free beside the old version, or writing staged could fail where native would not */
#define DIRECTORY_ODD (STATX_ATTR_COMPRESSED | STATX_ATTR_IMMUTABLE | STATX_ATTR_APPEND | STATX_ATTR_NODUMP | STATX_ATTR_ENCRYPTED)
#define FILE_ODD (DIRECTORY_ODD | STATX_ATTR_VERITY | STATX_ATTR_DAX)

/* The old version stays beside the new one until commit: room for both, or writing staged could fail where native would not. */
static int room_for(int fd, const char *path, const struct stage_target *t) {
  struct statfs fs;
  long r = path ? vr_sys6(SYS_statfs, (long)path, (long)&fs, 0, 0, 0, 0) : vr_sys6(SYS_fstatfs, fd, (long)&fs, 0, 0, 0, 0);
  if (r || (fs.f_flags & (MOUNT_READONLY | MOUNT_SYNC))) return 0;
  return (uint64_t)fs.f_bavail * (uint64_t)fs.f_bsize >= FREE_MIN + (t->present ? t->old.stx_size : 0);
}

/* The parent must be one in which a file moved in by rename is the file that would have been made there. */
static int parent_ok(int parent, struct stage_target *t) {
  struct statx st;
  if (vr_fstatx(parent, &st) || !S_ISDIR(st.stx_mode) || (st.stx_mode & (S_ISGID | S_ISVTX)) || (st.stx_attributes & DIRECTORY_ODD)) return 0;
  t->parent_dev = vr_statx_dev(&st);
  t->parent_ino = st.stx_ino;
  if (t->parent_dev != shim.board.header->root_dev || !stage_no_default_acl(parent)) return 0;
  return room_for(parent, NULL, t);
}

/* Files that this process has locked. A lock belongs to an inode, and closing any descriptor of that drops the process's POSIX locks: it must neither be
 * replaced nor opened to look at it. */
#define LOCKED_MAX 16
static uint64_t locked[LOCKED_MAX];
static uint32_t locked_count HOT_BSS;

void shim_stage_locked(int fd) {
  struct statx st;
  if (vr_fstatx(fd, &st) || !S_ISREG(st.stx_mode)) return;
  uint32_t n = __atomic_load_n(&locked_count, __ATOMIC_ACQUIRE);
  for (uint32_t i = 0; i < n && i < LOCKED_MAX; i++)
    if (__atomic_load_n(&locked[i], __ATOMIC_RELAXED) == st.stx_ino) return;
  uint32_t at = __atomic_fetch_add(&locked_count, 1, __ATOMIC_ACQ_REL);
  if (at < LOCKED_MAX) __atomic_store_n(&locked[at], st.stx_ino, __ATOMIC_RELEASE);
  else __atomic_store_n(&locked_count, LOCKED_MAX + 1, __ATOMIC_RELEASE);
}
static int is_locked(uint64_t ino) {
  uint32_t n = __atomic_load_n(&locked_count, __ATOMIC_ACQUIRE);
  if (n > LOCKED_MAX) return 1; /* more than are remembered */
  for (uint32_t i = 0; i < n; i++)
    if (__atomic_load_n(&locked[i], __ATOMIC_ACQUIRE) == ino) return 1;
  return 0;
}

/* An existing target: native's permission (and ETXTBSY, leases, append-only) by opening it without O_TRUNC. */
static int old_ok(int parent, const char *base, int flags, struct stage_target *t) {
  const struct statx *o = &t->old;
  if (!(flags & O_TRUNC) || is_locked(o->stx_ino) || !S_ISREG(o->stx_mode) || o->stx_nlink != 1 || o->stx_uid != shim.board.header->uid || (o->stx_mode & 07000) ||
      (o->stx_attributes & FILE_ODD) || vr_statx_dev(o) != shim.board.header->root_dev)
    return 0;
  int fd = vr_openat(parent, base, (flags & O_ACCMODE) | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC | O_NOCTTY, 0);
  if (fd < 0) return 0;
  struct statx now;
  int ok = vr_fstatx(fd, &now) == 0 && now.stx_ino == o->stx_ino && vr_sys6(SYS_flistxattr, fd, 0, 0, 0, 0, 0) == 0;
  vr_close(fd);
  return ok;
}

static int new_ok(int parent, int flags, mode_t mode) {
  if (!(flags & O_CREAT) || (mode & 07000)) return 0;
  return vr_sys6(SYS_faccessat2, parent, (long)".", 2 /* W_OK */ | 1 /* X_OK */, AT_EACCESS, 0, 0) == 0;
}

/* Facts about the parent that only a change naming G could make false, or one that is drained before this process may ask. */
static int parent_from_memory(struct stage_target *t) {
  const struct vr_vdir *v = shim_vdir();
  struct vr_entry e;
  if (!v || shim.leaky || shim.reads_off || shim_mapped_of(v)->who.readonly || shim_mapped_of(v)->who.synchronous) return 0;
  uint64_t ver0 = __atomic_load_n(&shim.board.ver[0], __ATOMIC_ACQUIRE);
  if (vr_readable(v, &shim.board, shim_now(), __atomic_load_n(&shim_mapped_of(v)->need, __ATOMIC_RELAXED))) return 0;
  if (vr_vdir_get(v, t->rel, t->parent_len, t->parent_hash, &e, NULL, 0) != 1) return 0;
  const uint32_t wanted = VR_ENTRY_ISDIR | VR_ENTRY_SEARCHABLE;
  if ((e.state & (wanted | VR_ENTRY_GONE | VR_ENTRY_ACL)) != wanted || !S_ISDIR(e.mode) || (e.mode & (S_ISGID | S_ISVTX)) || (e.attributes & DIRECTORY_ODD))
    return 0;
  if (!shim_mapped_of(v)->who.dac_override && (e.uid != shim_mapped_of(v)->who.uid || (e.mode & 0300) != 0300)) return 0;
  __atomic_thread_fence(__ATOMIC_ACQUIRE);
  if (__atomic_load_n(&shim.board.ver[0], __ATOMIC_RELAXED) != ver0) return 0;
  t->parent_dev = shim.board.header->root_dev;
  t->parent_ino = e.ino;
  return 1;
}

/* The same with the parent's facts from memory: one look at the target, and for a new one nothing more. */
static int target_fast(struct stage_target *t, int flags, mode_t mode, int *ok) {
  if (shim.root_len + t->len + 2 > SHIM_PATH_MAX || !parent_from_memory(t)) return 0;
  memcpy(t->scratch, shim.root, shim.root_len);
  t->scratch[shim.root_len] = '/';
  memcpy(t->scratch + shim.root_len + 1, t->rel, t->len + 1);
  int e = vr_statx(AT_FDCWD, t->scratch, AT_SYMLINK_NOFOLLOW, &t->old);
  t->present = e == 0;
  *ok = e == -ENOENT ? (flags & O_CREAT) && !(mode & 07000) : e == 0 && old_ok(AT_FDCWD, t->scratch, flags, t) && room_for(AT_FDCWD, t->scratch, t);
  return 1;
}

int stage_target_ok(struct stage_target *t, int flags, mode_t mode) {
  char parent_path[VR_STAGE_PATH_MAX];
  const char *base;
  int ok;
  t->parent_len = vr_stage_split(t->rel, t->len, &base);
  t->from_memory = target_fast(t, flags, mode, &ok);
  if (t->from_memory) return ok;
  int root = stage_open_root();
  if (root < 0) return 0;
  memcpy(parent_path, t->rel, t->parent_len);
  parent_path[t->parent_len] = 0;
  int parent = vr_openat2(root, t->parent_len ? parent_path : ".", O_PATH | O_DIRECTORY | O_CLOEXEC, VR_STAGE_RESOLVE);
  vr_close(root);
  if (parent < 0) return 0;
  int e = vr_statx(parent, base, AT_SYMLINK_NOFOLLOW, &t->old);
  t->present = e == 0;
  ok = (e == 0 || e == -ENOENT) && parent_ok(parent, t) && (t->present ? old_ok(parent, base, flags, t) : new_ok(parent, flags, mode));
  vr_close(parent);
  return ok;
}

