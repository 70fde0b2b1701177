/* Which slots a change touches: those of the *real* paths (docs/PROTOCOL.md section 4). A parent that this process has seen to be
 * real at the present ver[0] is used lexically; any other is opened with O_PATH and asked for its name in /proc/self/fd. Raw
 * system calls, no allocation, one path buffer on the stack. */
#include <linux/openat2.h>
#include "writer.h"

#define CACHE_WORDS 64
#define LINK_DEPTH_MAX 4
#define PROC_FD_MAX 40

/* One word per parent: a hash of its name, of ver[0] and of the working directory's number. Nothing is ever invalid for long: when
 * ver[0] moves no word matches any more. A wrong match needs a collision of 64 bits. */
static uint64_t real_parents[CACHE_WORDS] WARM_BSS;
static uint64_t outside_parents[CACHE_WORDS] WARM_BSS;
static uint64_t cwd_number HOT_BSS;

void shim_intent_cwd_moved(void) { __atomic_fetch_add(&cwd_number, 1, __ATOMIC_SEQ_CST); }

static int cached(const uint64_t *table, uint64_t key) {
  return __atomic_load_n(&table[key % CACHE_WORDS], __ATOMIC_RELAXED) == key && key;
}
static void remember(uint64_t *table, uint64_t key) { __atomic_store_n(&table[key % CACHE_WORDS], key, __ATOMIC_RELAXED); }

static uint64_t path_hash(const char *p, size_t n) { return vr_hash64(p, n, shim.board.header->hash_seed); }
static uint64_t epoch(void) { return __atomic_load_n(&shim.board.ver[0], __ATOMIC_ACQUIRE); }

static size_t decimal(char *out, unsigned v) {
  char digits[12];
  size_t n = 0, k = 0;
  do digits[n++] = (char)('0' + v % 10);
  while (v /= 10);
  while (n) out[k++] = digits[--n];
  out[k] = 0;
  return k;
}

static long readlink_fd(int fd, char *buf) {
  char proc[PROC_FD_MAX] = "/proc/self/fd/";
  if (fd == AT_FDCWD) memcpy(proc, "/proc/self/cwd", 15);
  else decimal(proc + 14, (unsigned)fd);
  long n = raw_readlink(AT_FDCWD, proc, buf, SHIM_PATH_MAX - 1);
  if (n >= 0) buf[n] = 0;
  return n;
}

/* Makes an absolute real path relative to the root, in place. */
static int within_root(char *abs, size_t n) {
  size_t r = shim.root_len;
  if (n < r || memcmp(abs, shim.root, r) != 0) return SHIM_OUTSIDE;
  if (n == r) {
    abs[0] = 0;
    return 0;
  }
  if (abs[r] != '/') return SHIM_OUTSIDE;
  memmove(abs, abs + r + 1, n - r);
  return (int)(n - r - 1);
}
static int contains_root(const char *abs, size_t n) {
  return n <= 1 || (n < shim.root_len && memcmp(abs, shim.root, n) == 0 && shim.root[n] == '/');
}

int shim_fd_real_rel(int fd, char *rel) {
  long n = readlink_fd(fd, rel);
  return n <= 0 || rel[0] != '/' ? SHIM_ODD : within_root(rel, (size_t)n);
}

static void name_slots(struct vr_intent *in, const char *rel, int n) {
  int p = n;
  vr_intent_slot(in, vr_slot(path_hash(rel, (size_t)n)));
  if (n == 0) return;
  while (p > 0 && rel[p - 1] != '/') p--;
  vr_intent_slot(in, vr_slot(path_hash(rel, (size_t)(p > 0 ? p - 1 : 0))));
}

/* The last component of a path: start and length, trailing slashes left out. 0 length: "/" or "". */
static size_t last_part(const char *path, size_t *start) {
  size_t end = strnlen(path, SHIM_PATH_MAX);
  while (end > 0 && path[end - 1] == '/') end--;
  *start = end;
  while (*start > 0 && path[*start - 1] != '/') (*start)--;
  return end - *start;
}
static int is_dots(const char *p, size_t n) { return n == 0 || (p[0] == '.' && (n == 1 || (n == 2 && p[1] == '.'))); }

/* The real path of an existing object, followed. SHIM_* or length in buf; *failure is 0 or -errno of the open. */
static int real_of(int dirfd, const char *path, int flags, char *buf, long *failure) {
  int fd = raw_open(dirfd, path, O_PATH | O_CLOEXEC | flags, 0);
  *failure = fd < 0 ? fd : 0;
  if (fd < 0) return SHIM_ODD;
  long n = readlink_fd(fd, buf);
  raw_close(fd);
  return n <= 0 || buf[0] != '/' ? SHIM_ODD : (int)n;
}

/* Will the real call fail for the same reason, so that nothing needs a name? */
static int hopeless(long failure) {
  return failure == -ENOENT || failure == -ENOTDIR || failure == -EACCES || failure == -ELOOP || failure == -ENAMETOOLONG ||
         failure == -EBADF || failure == -EFAULT;
}

/* Appends the first `at` bytes of path without empty parts and "."; -1: a ".." among them, or too long. */
static int append_plain(char *buf, int n, const char *path, size_t at) {
  for (size_t i = 0; i < at;) {
    size_t part = 0;
    while (i + part < at && path[i + part] != '/') part++;
    if (part == 2 && path[i] == '.' && path[i + 1] == '.') return -1;
    if (part > 1 || (part == 1 && path[i] != '.')) {
      if ((size_t)n + part + 2 > SHIM_PATH_MAX) return -1;
      buf[n++] = '/';
      memcpy(buf + n, path + i, part);
      n += (int)part;
    }
    i += part + 1;
  }
  buf[n] = 0;
  return n;
}

/* The same as real_of for the directory that the first `at` bytes of path name, when the kernel finds no link in them: then the text is the real
 * path, and /proc, whose first use costs a short process more than all the rest of this, is not asked. SHIM_ODD: not so. */
static int plain_directory(int dirfd, const char *path, size_t at, char *buf, long *failure) {
  int n = 0, absolute = path[0] == '/';
  if ((!absolute && dirfd != AT_FDCWD) || at >= SHIM_PATH_MAX) return SHIM_ODD;
  if (at) {
    struct open_how how = {.flags = O_PATH | O_DIRECTORY | O_CLOEXEC, .resolve = RESOLVE_NO_SYMLINKS};
    memcpy(buf, path, at);
    buf[at] = 0;
    int fd = (int)raw4(SYS_openat2, dirfd, (long)buf, (long)&how, sizeof how);
    if (fd < 0) {
      if (fd == -ENOENT || fd == -ENOTDIR || fd == -EACCES) *failure = fd;
      return SHIM_ODD;
    }
    raw_close(fd);
  }
  if (!absolute) {
    n = (int)raw_getcwd(buf, SHIM_PATH_MAX); /* with its zero */
    if (n <= 1 || buf[0] != '/') return SHIM_ODD;
    n = n == 2 ? 0 : n - 1;
  }
  n = append_plain(buf, n, path, at);
  return n < 0 ? SHIM_ODD : n == 0 ? 1 : n;
}

/* The absolute real path of what path names, a final link not followed: its length, SHIM_ODD (unknown), or SHIM_OUTSIDE when it is
 * longer than memory knows or the real call will fail for want of the parent. */
static int real_name(int dirfd, const char *path, size_t at, size_t len, char *buf) {
  long failure = 0;
  int n;
  if (is_dots(path + at, len)) {
    n = real_of(dirfd, path, 0, buf, &failure);
    return n == SHIM_ODD && failure && hopeless(failure) ? SHIM_OUTSIDE : n;
  }
  n = plain_directory(dirfd, path, at, buf, &failure);
  if (n == SHIM_ODD && !failure) {
    if (at == 0) {
      failure = n = (int)readlink_fd(dirfd, buf);
      if (n <= 0 || buf[0] != '/') n = SHIM_ODD;
    } else {
      memcpy(buf, path, at);
      buf[at] = 0;
      n = real_of(dirfd, buf, O_DIRECTORY, buf, &failure);
    }
  }
  if (n == SHIM_ODD) return failure < 0 && hopeless(failure) ? SHIM_OUTSIDE : SHIM_ODD;
  if (n == 1) n = 0; /* "/" */
  if ((size_t)n + len + 2 > SHIM_PATH_MAX) return SHIM_OUTSIDE;
  buf[n] = '/';
  memcpy(buf + n + 1, path + at, len);
  n += (int)len + 1;
  buf[n] = 0;
  return n;
}

/* Resolves path for real and names it and its parent. buf is scratch. Result: SHIM_OUTSIDE, SHIM_ODD (G was named) or >= 0. */
static int name_resolved(struct vr_intent *in, int dirfd, const char *path, size_t at, size_t len, char *buf, int flags) {
  int n = real_name(dirfd, path, at, len, buf);
  if (n == SHIM_ODD) vr_intent_slot(in, 0);
  if (n < 0) return n;
  if ((flags & SHIM_DIR) && contains_root(buf, (size_t)n)) vr_intent_slot(in, 0);
  if ((n = within_root(buf, (size_t)n)) >= 0) name_slots(in, buf, n);
  return n;
}

static uint64_t outside_key(int dirfd, const char *path, size_t at) {
  if (path[0] != '/' && dirfd != AT_FDCWD) return 0;
  if (at >= 6 && memcmp(path, "/proc/", 6) == 0) return 0;
  return vr_hash64(path, at, epoch() ^ (__atomic_load_n(&cwd_number, __ATOMIC_ACQUIRE) * VR_HASH_K2)) | 1;
}

/* Names path and parent; a final link is not followed. Result as name_resolved. */
static int name_one(struct vr_intent *in, int dirfd, const char *path, int flags) {
  char buf[SHIM_PATH_MAX];
  size_t at, len = last_part(path, &at);
  int child = shim_in_vfork_child();
  int n = child ? SHIM_ODD : shim_resolve(dirfd, path, buf);
  if (n >= 0) {
    int p = n;
    while (p > 0 && buf[p - 1] != '/') p--;
    if (p > 0) p--;
    uint64_t parent = path_hash(buf, (size_t)p), key = vr_hash64(&parent, 8, epoch()) | 1;
    if (n == 0 || cached(real_parents, key)) {
      name_slots(in, buf, n);
      return n;
    }
    uint64_t whole = path_hash(buf, (size_t)n);
    int r = name_resolved(in, dirfd, path, at, len, buf, flags);
    if (r >= 0 && path_hash(buf, (size_t)r) == whole && !is_dots(path + at, len)) remember(real_parents, key);
    if (r < 0) { /* vanished meanwhile, or a way out of the project: its own name is named all the same */
      vr_intent_slot(in, vr_slot(whole));
      vr_intent_slot(in, vr_slot(parent));
    }
    return r;
  }
  if (n == SHIM_OUTSIDE) {
    uint64_t key = outside_key(dirfd, path, at);
    int plain_dev = at == 5 && memcmp(path, "/dev/", 5) == 0;
    if ((plain_dev || (key && cached(outside_parents, key))) && !(flags & SHIM_DIR)) return SHIM_OUTSIDE;
    int r = name_resolved(in, dirfd, path, at, len, buf, flags);
    if (r == SHIM_OUTSIDE && key) remember(outside_parents, key);
    return r;
  }
  return name_resolved(in, dirfd, path, at, len, buf, flags);
}

/* A final symlink: names what it leads to, also when that does not exist yet (open with O_CREAT through a dangling link). */
static __attribute__((noinline)) void name_target(struct vr_intent *in, int dirfd, const char *path, int flags, int depth) {
  char buf[SHIM_PATH_MAX];
  long failure, n = raw_readlink(dirfd, path, buf, 1);
  size_t at, len = last_part(path, &at);
  if (n < 0 && path[0] && path[at + len] == '/' && at + len > 0) n = 0; /* "link/" is the directory behind it */
  if (n < 0) return;
  int r = real_of(dirfd, path, 0, buf, &failure);
  if (r > 0) {
    if ((flags & SHIM_DIR) && contains_root(buf, (size_t)r)) vr_intent_slot(in, 0);
    if ((r = within_root(buf, (size_t)r)) >= 0) name_slots(in, buf, r);
    return;
  }
  if (failure != -ENOENT || depth >= LINK_DEPTH_MAX) {
    if (!hopeless(failure) || depth >= LINK_DEPTH_MAX) vr_intent_slot(in, 0);
    return;
  }
  int dir = dirfd;
  if (at > 0) {
    memcpy(buf, path, at);
    buf[at] = 0;
    dir = raw_open(dirfd, buf, O_PATH | O_DIRECTORY | O_CLOEXEC, 0);
    if (dir < 0) return;
  }
  n = raw_readlink(dir, path + at, buf, sizeof buf - 1);
  if (n > 0) {
    buf[n] = 0;
    name_one(in, dir, buf, flags & ~SHIM_FOLLOW);
    name_target(in, dir, buf, flags, depth + 1);
  }
  if (dir != dirfd) raw_close(dir);
}

static void name_if_directory(struct vr_intent *in, int dirfd, const char *path, int follow) {
  struct stat st;
  long r = raw_stat(dirfd, path, &st, follow ? 0 : AT_SYMLINK_NOFOLLOW);
  if (r == 0 ? S_ISDIR(st.st_mode) : r != -ENOENT && r != -ENOTDIR) vr_intent_slot(in, 0);
}

void shim_intent_path(struct vr_intent *in, int dirfd, const char *path, int flags) {
  if (!shim_text(path)) return;
  if (!shim_want_board()) {
    __atomic_store_n(&shim.unrecorded, 1, __ATOMIC_RELAXED);
    return;
  }
  if (!path[0]) return; /* ENOENT */
  uint32_t before = in->nslots;
  name_one(in, dirfd, path, flags);
  if (flags & SHIM_FOLLOW) name_target(in, dirfd, path, flags, 0);
  if ((flags & SHIM_DIR) && in->nslots > before) name_if_directory(in, dirfd, path, flags & SHIM_FOLLOW);
}

/* For staging: whose record holds real paths. */
int shim_real_rel(int dirfd, const char *path, char *rel) {
  size_t at, len = last_part(path, &at);
  int n = shim_in_vfork_child() ? SHIM_ODD : shim_resolve(dirfd, path, rel);
  if (n >= 0) {
    int p = n;
    while (p > 0 && rel[p - 1] != '/') p--;
    uint64_t parent = path_hash(rel, (size_t)(p > 0 ? p - 1 : 0)), key = vr_hash64(&parent, 8, epoch()) | 1;
    if (n == 0 || cached(real_parents, key)) return n;
  }
  n = real_name(dirfd, path, at, len, rel);
  return n < 0 ? n : within_root(rel, (size_t)n);
}

void shim_intent_parent(struct vr_intent *in, int dirfd, const char *path) {
  struct vr_intent both;
  if (!shim_text(path) || !path[0] || !shim_want_board()) {
    if (shim_text(path) && path[0]) __atomic_store_n(&shim.unrecorded, 1, __ATOMIC_RELAXED);
    return;
  }
  vr_intent_init(&both);
  name_one(&both, dirfd, path, 0);
  for (uint32_t i = 0; i < both.nslots; i++) vr_intent_slot(in, both.slots[i]);
}

void shim_intent_fd_as(struct vr_intent *in, int fd, int flags) {
  char buf[SHIM_PATH_MAX];
  struct stat st;
  if (fd < 0) return;
  if (!shim_want_board()) {
    __atomic_store_n(&shim.unrecorded, 1, __ATOMIC_RELAXED);
    return;
  }
  if (raw_fstat(fd, &st) < 0 || !(S_ISREG(st.st_mode) || S_ISDIR(st.st_mode) || S_ISLNK(st.st_mode))) return;
  if (st.st_dev == shim.board.header->root_dev) {
    if (!in->ino[0]) in->ino[0] = st.st_ino;
    else if (in->ino[0] != st.st_ino) in->ino[1] = st.st_ino;
  }
  long n = readlink_fd(fd, buf);
  int rel = n <= 0 || buf[0] != '/' ? SHIM_ODD : 0;
  if (rel == 0) {
    if (S_ISDIR(st.st_mode) && (flags & SHIM_DIR) && contains_root(buf, (size_t)n)) vr_intent_slot(in, 0);
    rel = within_root(buf, (size_t)n);
  }
  if (rel >= 0) {
    name_slots(in, buf, rel);
    if ((flags & SHIM_DIR) && S_ISDIR(st.st_mode)) vr_intent_slot(in, 0);
  } else if (rel == SHIM_ODD) vr_intent_slot(in, 0);
}
void shim_intent_fd(struct vr_intent *in, int fd) { shim_intent_fd_as(in, fd, SHIM_DIR); }

/* A token is the record's index and 17 bits of the board's id: a board that was replaced meanwhile is not touched through it. */
#define TOKEN_RECORD_BITS 13
_Static_assert(VR_BOARD_RECORDS == 1u << TOKEN_RECORD_BITS, "a token holds any record's index");
static int board_tag(void) { return (int)(shim.board.header->board_id & 0x1ffffu) << TOKEN_RECORD_BITS; }

int shim_mut_begin(struct vr_intent *in) {
  if (!intent_inside(in) || !shim_want_board()) return SHIM_MUT_NONE;
  /* Whether what we know from outside has been drained stands in the VDir: mapped for that, unless the answer is no anyway. */
  if (!shim.vdir && !shim_need_unsatisfied()) shim_want_vdir();
  if (shim_need_unsatisfied()) {
    vr_intent_slot(in, 0);
    vr_ring(&shim.board, 0); /* so that the next one need not */
  }
  shim_count(VR_STAT_MUTATIONS);
  int r = vr_mutation_begin(&shim.board, in, VR_BOARD_KIND_OP, (uint32_t)raw_getpid(), (uint32_t)raw_gettid());
  if (r < 0) shim_count(VR_STAT_MUTATIONS_NO_RECORD);
  return r < 0 ? -1 : r | board_tag();
}

int shim_token_record(int token) {
  if (token < 0 || (token & ~(int)(VR_BOARD_RECORDS - 1)) != board_tag()) return -1;
  return token & (int)(VR_BOARD_RECORDS - 1);
}

void shim_mut_end(int token) {
  if (token == SHIM_MUT_NONE) return;
  int r = shim_token_record(token);
  if (r >= 0 || token == -1) vr_mutation_end(&shim.board, r);
}

void shim_token_keep(int token, uint32_t kind, uint64_t ino) {
  int r = shim_token_record(token);
  if (r >= 0) vr_mutation_keep(&shim.board, r, kind, ino);
  else shim_mut_end(token);
}

void shim_token_add_path(int token, int dirfd, const char *path) {
  if (token == SHIM_MUT_NONE) return;
  struct vr_intent in;
  vr_intent_init(&in);
  shim_intent_path(&in, dirfd, path, 0);
  for (uint32_t i = 0; i < in.nslots; i++) vr_mutation_add_slot(&shim.board, shim_token_record(token), in.slots[i]);
}
