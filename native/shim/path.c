/* Paths as programs write them -> paths relative to the root, by text alone. What text cannot decide is SHIM_ODD. */
#include <limits.h>
#if defined(__SSE2__) && !defined(__SANITIZE_ADDRESS__)
#include <emmintrin.h>
#define FAST_SCAN 1
#endif
#include "internal.h"
#include "raw.h"
#include "writer.h"

/* The working directory, guarded by a sequence number: a writer that finds it odd does without. Holds while ver[G] is `ver0` (no
 * directory was moved) and nobody here changed directory (`generation`). */
static struct {
  uint32_t seq;
  int len;
  uint64_t ver0, generation;
  char rel[SHIM_PATH_MAX];
} cwd WARM_LAST_BSS; /* the rest of a long one is another page */
static uint64_t cwd_generation = 1; /* never 0, which cwd.generation is at first */

void shim_cwd_changed(void) { __atomic_fetch_add(&cwd_generation, 1, __ATOMIC_SEQ_CST); }

static uint64_t ver0_now(void) {
  return __atomic_load_n(&shim.board.base, __ATOMIC_ACQUIRE) ? __atomic_load_n(&shim.board.ver[0], __ATOMIC_ACQUIRE) : 0;
}

/* The part of an absolute path below the root, or NULL when it lies outside by its text. */
static const char *below_root(const char *path) {
  if (strncmp(path, shim.root, shim.root_len)) return NULL;
  const char *rest = path + shim.root_len;
  if (*rest == '/') return rest + 1;
  return *rest ? NULL : rest;
}

static void cwd_store(const char *rel, int len, uint64_t ver0, uint64_t generation) {
  uint32_t seq = __atomic_load_n(&cwd.seq, __ATOMIC_RELAXED);
  if (!shim.board.base || (seq & 1) || raw_getpid() != shim.pid) return;
  if (!__atomic_compare_exchange_n(&cwd.seq, &seq, seq + 1, 0, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED)) return;
  __atomic_thread_fence(__ATOMIC_RELEASE);
  cwd.len = len;
  cwd.ver0 = ver0;
  cwd.generation = generation;
  if (len > 0) memcpy(cwd.rel, rel, (size_t)len);
  __atomic_store_n(&cwd.seq, seq + 2, __ATOMIC_RELEASE);
}

int shim_cwd(char *rel) {
  uint64_t ver0 = ver0_now(), generation = __atomic_load_n(&cwd_generation, __ATOMIC_SEQ_CST);
  uint32_t seq = __atomic_load_n(&cwd.seq, __ATOMIC_ACQUIRE);
  if (shim.board.base && !(seq & 1) && cwd.ver0 == ver0 && cwd.generation == generation) {
    int len = cwd.len;
    if (len > 0 && len < SHIM_PATH_MAX) memcpy(rel, cwd.rel, (size_t)len);
    __atomic_thread_fence(__ATOMIC_ACQUIRE);
    if (__atomic_load_n(&cwd.seq, __ATOMIC_RELAXED) == seq) return len;
  }
  char full[SHIM_PATH_MAX];
  long n = raw_getcwd(full, sizeof full);
  int len = SHIM_ODD;
  if (n > 0 && full[0] == '/') {
    const char *below = below_root(full);
    len = below ? (int)strlen(below) : SHIM_OUTSIDE;
    if (len > 0) memcpy(rel, below, (size_t)len);
  }
  cwd_store(rel, len, ver0, generation);
  return len;
}

#ifdef FAST_SCAN
/* Length of p when every part of it is plain: no empty part, none that begins with '.', no slash at either end; -1: look closer. Reads
 * 16 bytes at a time, never across a page border. */
static int plain_length(const char *p) {
  unsigned carry = 1; /* the byte before was a slash (or there was none) */
  for (int n = 0; n < NAME_MAX - 15; n += 16) {
    if (((uintptr_t)(p + n) & 4095) > 4096 - 16) return -1;
    __m128i bytes = _mm_loadu_si128((const __m128i *)(const void *)(p + n));
    unsigned zero = (unsigned)_mm_movemask_epi8(_mm_cmpeq_epi8(bytes, _mm_setzero_si128()));
    unsigned slash = (unsigned)_mm_movemask_epi8(_mm_cmpeq_epi8(bytes, _mm_set1_epi8('/')));
    unsigned dot = (unsigned)_mm_movemask_epi8(_mm_cmpeq_epi8(bytes, _mm_set1_epi8('.')));
    unsigned after = slash << 1 | carry, upto = zero ? (zero & -zero) * 2 - 1 : 0xffff;
    if (after & (slash | dot | zero) & upto) return -1;
    if (zero) return n + __builtin_ctz(zero);
    carry = (slash >> 15) & 1;
  }
  return -1;
}
#endif

/* Appends the parts of path to to[at..], leaving out empty ones and ".". ".." takes a part off what stood there before, when that is the
 * real path of a directory (`base_real`); after a part that was added it is odd, because that part may be a link. *dir: the text ends in a form
 * that only a directory has. Result: new length, SHIM_OUTSIDE (above the root), or SHIM_ODD. */
static int append(char *to, int at, const char *path, int base_real, int *dir) {
  int parts_added = 0;
  *dir = 0;
  while (*path) {
    if (*path == '/') {
      path++;
      *dir = 1;
      continue;
    }
    size_t n = strcspn(path, "/");
    *dir = 0;
    if (n == 1 && path[0] == '.') {
      *dir = 1;
    } else if (n == 2 && path[0] == '.' && path[1] == '.') {
      if (parts_added || !base_real) return SHIM_ODD;
      if (at == 0) return SHIM_OUTSIDE;
      while (at > 0 && to[at - 1] != '/') at--;
      if (at > 0) at--;
      *dir = 1;
    } else {
      if (n > NAME_MAX || (size_t)at + 1 + n >= SHIM_PATH_MAX) return SHIM_ODD;
      if (at) to[at++] = '/';
      memcpy(to + at, path, n);
      at += (int)n;
      parts_added = 1;
    }
    path += n;
  }
  return at;
}

int shim_resolve_read(int dirfd, const char *path, char *buf, const char **rel, int *dir) {
  *dir = 0;
  *rel = buf;
  if (!path || !*path) return SHIM_ODD;
  if (*path == '/') {
    __builtin_prefetch(path + shim.root_len); /* what is hashed may lie in another line than the root's text */
    const char *below = below_root(path);
    if (!below) return SHIM_OUTSIDE;
#ifdef FAST_SCAN
    int n = *below ? plain_length(below) : 0;
    if (n >= 0) {
      *rel = below;
      return n;
    }
#endif
    return strnlen(path, PATH_MAX) < PATH_MAX ? append(buf, 0, below, 0, dir) : SHIM_ODD;
  }
  int base = dirfd == AT_FDCWD ? shim_cwd(buf) : shim_fd_dir_path(dirfd, buf);
  if (base < 0) {
    *rel = NULL; /* nothing says that it is inside */
    return base == SHIM_OUTSIDE && dirfd == AT_FDCWD && strncmp(path, "..", 2) ? SHIM_OUTSIDE : SHIM_ODD;
  }
#ifdef FAST_SCAN
  int n = plain_length(path);
  if (n > 0) {
    if (!base) {
      *rel = path;
      return n;
    }
    if (base + 1 + n >= SHIM_PATH_MAX) return SHIM_ODD;
    buf[base] = '/';
    memcpy(buf + base + 1, path, (size_t)n);
    return base + 1 + n;
  }
#endif
  return strnlen(path, PATH_MAX) < PATH_MAX ? append(buf, base, path, 1, dir) : SHIM_ODD;
}

int shim_resolve(int dirfd, const char *path, char *rel) {
  const char *at;
  int dir, n = shim_resolve_read(dirfd, path, rel, &at, &dir);
  if (n < 0) return n;
  if (dir || n >= SHIM_PATH_MAX) return SHIM_ODD;
  if (at != rel) memmove(rel, at, (size_t)n);
  rel[n] = 0;
  return n;
}

/* Only a real path may be remembered: through a link that is pointed elsewhere later, the descriptor would not follow. Memory knows real
 * paths (the entry must be this very directory); otherwise the kernel is asked. Whatever moves while we look makes us forget. */
void shim_dir_opened(int fd, int dirfd, const char *path) {
  int saved = errno, dir, n = SHIM_ODD;
  const struct vr_vdir *v = shim_vdir();
  char buf[SHIM_PATH_MAX];
  const char *rel;
  struct stat st;
  struct vr_entry e;
  uint32_t reason;
  shim_fd_forget(fd);
  if (shim.board.base && (n = shim_resolve_read(dirfd, path, buf, &rel, &dir)) != SHIM_OUTSIDE) {
    uint64_t ver0 = ver0_now();
    int known = n >= 0 && v && !shim.reads_off && raw_fstat(fd, &st) == 0 && st.st_dev == shim.root_dev &&
                vr_lookup(v, &shim.board, rel, (size_t)n, shim_now(), shim_mapped_of(v)->need, &e, NULL, 0, &reason) == VR_FOUND &&
                S_ISDIR(e.mode) && e.ino == st.st_ino;
    if (!known) {
      n = shim_fd_real_rel(fd, buf);
      rel = buf;
    }
    if (n >= 0) shim_fd_opened_dir(fd, rel, n);
    if (ver0_now() != ver0) shim_fd_forget(fd);
  }
  errno = saved;
}
