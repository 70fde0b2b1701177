/* One question about one path, from the program's text to an answer of memory: resolve, is asking allowed, look up, follow links step by
 * step with the same checks for each step. */
#include <limits.h>
#include "internal.h"
#include "raw.h"

#define MAX_LINKS 8    /* more: the real call, which counts to 40 */
#define MAX_TRIES 4    /* when the words around an entry changed while it was read */

static const char *const reason_names[] = {"", "hit", "hit-enoent", "hit-readlink", "hit-realpath", "hit-access", "early", "no-vdir", "lease",
  "edge", "G", "slot", "unverified", "unknown", "path", "flags", "leaky", "credentials", "corrupt", "retry"};

static enum vr_answer native(struct shim_question *q, const char *function, const char *path, uint32_t reason, int flags) {
  if (!(flags & ASK_COUNT_HITS_ONLY)) shim_count(reason);
  if (__builtin_expect(shim.trace_fd_wanted, 0)) shim_trace(function, path, reason_names[reason]);
  if (shim.board.base) {
    int turn = reason == VR_STAT_NATIVE_SLOT || reason == VR_STAT_NATIVE_G || reason == VR_STAT_NATIVE_UNVERIFIED;
    if (reason == VR_STAT_NATIVE_EDGE || turn) {
      __atomic_fetch_add(turn ? &shim.board.dyn->want_turn : &shim.board.dyn->want, 1, __ATOMIC_SEQ_CST);
      vr_ring(&shim.board, turn);
    }
    if (reason == VR_STAT_NATIVE_CORRUPT) __atomic_fetch_add(&shim.board.dyn->corrupt, 1, __ATOMIC_RELAXED);
  }
  if (q->rel) {
    shim_stage_promote_rel(q->rel, q->rel_len);
    if (flags & ASK_FOLLOW) shim_stage_promote_link(q->rel, q->rel_len);
  }
  return VR_NATIVE;
}

void shim_ask_native(struct shim_question *q, uint32_t reason) {
  shim_count(reason);
  if (q->rel) shim_stage_promote_rel(q->rel, q->rel_len);
}

static int superseded_seen HOT_BSS; /* a lookup was refused because of it */

/* May this process ask at all? The VDir, or NULL and why not. */
static const struct vr_vdir *allowed(uint32_t *reason) {
  if (shim.reads_off) {
    *reason = shim.reads_off;
    return NULL;
  }
  if (__builtin_expect(!shim.vdir, 0) && !shim.verify && shim.early_calls < SHIM_EARLY_CALLS) {
    shim.early_calls++;
    *reason = VR_STAT_NATIVE_EARLY;
    return NULL;
  }
  /* A superseded VDir is found out by the lookup and replaced at the next question. */
  const struct vr_vdir *v = shim_vdir();
  if (__builtin_expect(!v || vr_gone(&shim.board.dyn->superseded) || superseded_seen, 0)) {
    superseded_seen = 0;
    v = shim_want_vdir() ? shim_vdir() : NULL;
  }
  if (__builtin_expect(!v, 0)) {
    *reason = shim.reads_off ? shim.reads_off : VR_STAT_NATIVE_NO_VDIR;
    return NULL;
  }
  if (__builtin_expect(shim.leaky, 0)) {
    if (++shim.early_calls % SHIM_RECLASSIFY_EVERY == 0) shim_classify(v);
    if (shim.leaky) {
      *reason = VR_STAT_NATIVE_LEAKY;
      return NULL;
    }
  }
  return v;
}

static size_t parent_of(const char *rel, size_t len) {
  while (len > 0 && rel[len - 1] != '/') len--;
  return len ? len - 1 : 0;
}

/* Replaces the first link_len bytes of q's path, a link whose directory is real, by what it points to. 0: native. */
static int through_link(struct shim_question *q, size_t link_len, size_t target_len) {
  const char *t = q->target, *end = t + target_len;
  size_t above = parent_of(q->rel, link_len), rest = (size_t)q->rel_len - link_len; /* rest begins with '/', or is empty */
  if (!target_len) return 0;
  if (*t == '/') {
    if (target_len < shim.root_len || memcmp(t, shim.root, shim.root_len)) return 0;
    t += shim.root_len;
    if (t < end && *t != '/') return 0;
    above = 0;
  }
  int leading = 1;
  const char *from = t;
  for (const char *p = t; p < end;) {
    const char *slash = memchr(p, '/', (size_t)(end - p));
    size_t n = (size_t)((slash ? slash : end) - p);
    int dots = n == 2 && p[0] == '.' && p[1] == '.', nothing = n == 0 || (n == 1 && p[0] == '.');
    if (!dots && !nothing) leading = 0;
    else if (!leading) return 0;
    if (dots) {
      if (!above) return 0; /* may leave the root */
      above = parent_of(q->rel, above);
    }
    p = slash ? slash + 1 : end;
    if (leading) from = p;
    if (n > NAME_MAX || (slash && p == end && !leading)) return 0;
  }
  /* What stays in front, the target, what follows the link: joined by slashes, empty ones left out. */
  size_t part = (size_t)(end - from), rest_at = link_len + (rest > 0), rest_n = rest ? rest - 1 : 0;
  size_t at_part = above + (above && part), at_rest = at_part + part;
  if (at_rest && rest_n) at_rest++;
  if (at_rest + rest_n >= sizeof q->buf) return 0;
  const char *old = q->rel;
  memmove(q->buf + at_rest, old + rest_at, rest_n);
  if (old != q->buf) memcpy(q->buf, old, above);
  if (at_part > above) q->buf[above] = '/';
  memcpy(q->buf + at_part, from, part);
  if (at_rest > at_part + part) q->buf[at_part + part] = '/';
  q->rel = q->buf;
  q->rel_len = (int)(at_rest + rest_n);
  return 1;
}

/* Following somebody else's link may be forbidden (fs.protected_symlinks). */
static int may_follow(const struct shim_question *q) {
  return (q->entry.state & VR_ENTRY_TARGET) && q->entry.target_len <= SHIM_TARGET_MAX && q->entry.uid == shim_mapped_of(q->v)->who.uid;
}

static enum vr_answer look(struct shim_question *q, uint64_t now, uint32_t *reason) {
  enum vr_answer a = VR_NATIVE;
  *reason = VR_STAT_NATIVE_RETRY;
  for (int i = 0; i < MAX_TRIES && a == VR_NATIVE && *reason == VR_STAT_NATIVE_RETRY; i++)
    a = vr_lookup(q->v, &shim.board, q->rel, (size_t)q->rel_len, now, __atomic_load_n(&shim_mapped_of(q->v)->need, __ATOMIC_RELAXED),
                  &q->entry, q->target, SHIM_TARGET_MAX, reason);
  return a;
}

/* The answer was that a link stands in the way (its path_len is in q->entry): reads the link itself. */
static enum vr_answer step_through(struct shim_question *q, uint64_t now, uint32_t *reason) {
  int whole = q->rel_len, link = q->entry.path_len;
  if (link >= whole) return VR_NATIVE;
  q->rel_len = link;
  enum vr_answer a = look(q, now, reason);
  q->rel_len = whole;
  if (a == VR_NATIVE) return a;
  *reason = VR_STAT_NATIVE_PATH;
  return a == VR_FOUND && S_ISLNK(q->entry.mode) && may_follow(q) && through_link(q, (size_t)link, q->entry.target_len) ? VR_FOUND : VR_NATIVE;
}

/* Relative to a directory above the root, or to one that we know nothing of (duplicated, opened before us): it may be a staged file's all the same. */
static __attribute__((noinline)) void promote_relative(int dirfd, const char *path) {
  int saved = errno;
  if (shim_text(path) && shim_stage_any()) shim_promote_path(dirfd, path);
  errno = saved;
}

enum vr_answer shim_ask(struct shim_question *q, const char *function, int dirfd, const char *path, int flags) {
  uint32_t reason;
  int dir;
  q->v = NULL;
  q->rel = NULL;
  if (__builtin_expect(!shim.board.base && (shim.verify || shim.early_calls >= SHIM_EARLY_CALLS), 0)) shim_look_for_board();
  uint64_t ver0 = shim.board.base ? __atomic_load_n(&shim.board.ver[0], __ATOMIC_ACQUIRE) : 0;
  int len = shim_resolve_read(dirfd, path, q->buf, &q->rel, &dir);
  if (len == SHIM_OUTSIDE) {
    q->rel = NULL;
    if (path[0] != '/') promote_relative(dirfd, path);
    return VR_NATIVE;
  }
  if (len < 0) {
    int inside = q->rel != NULL;
    q->rel = NULL;
    if (inside) shim_promote_path(dirfd, path);
    else promote_relative(dirfd, path);
    return inside ? native(q, function, path, VR_STAT_NATIVE_PATH, flags) : VR_NATIVE;
  }
  q->rel_len = len;
  if (!(q->v = allowed(&reason))) return native(q, function, path, reason, flags);
  uint64_t now = shim_now();
  for (int links = 0;;) {
    enum vr_answer a = look(q, now, &reason);
    if (a == VR_NATIVE && reason == VR_STAT_NATIVE_PATH) {
      if (links++ < MAX_LINKS && step_through(q, now, &reason) == VR_FOUND) continue;
      return native(q, function, path, reason, flags);
    }
    if (a == VR_NATIVE) {
      if (reason == VR_STAT_NATIVE_NO_VDIR) superseded_seen = 1;
      return native(q, function, path, reason, flags);
    }
    if (a == VR_FOUND) {
      if (S_ISLNK(q->entry.mode) && ((flags & ASK_FOLLOW) || dir)) {
        if (links++ < MAX_LINKS && may_follow(q) && through_link(q, (size_t)q->rel_len, q->entry.target_len)) continue;
        return native(q, function, path, VR_STAT_NATIVE_PATH, flags);
      }
      if (dir && !S_ISDIR(q->entry.mode)) return native(q, function, path, VR_STAT_NATIVE_PATH, flags);
    }
    /* What the text was resolved with (working directory, earlier links) still holds. */
    if (__atomic_load_n(&shim.board.ver[0], __ATOMIC_ACQUIRE) != ver0) return native(q, function, path, VR_STAT_NATIVE_RETRY, flags);
    if (__builtin_expect(shim.trace_fd_wanted, 0)) shim_trace(function, path, a == VR_FOUND ? "memory" : a == VR_ENOENT ? "memory-enoent" : "memory-enotdir");
    return a;
  }
}

int shim_known_absent(int dirfd, const char *path) {
  if (!shim_active() || !shim_text(path)) return 0;
  struct shim_question q;
  enum vr_answer a = shim_ask(&q, "open", dirfd, path, ASK_FOLLOW | ASK_COUNT_HITS_ONLY);
  if (a != VR_ENOENT && a != VR_ENOTDIR) return 0;
  shim_count(VR_STAT_HIT_ENOENT);
  int err = a == VR_ENOENT ? ENOENT : ENOTDIR;
  if (!shim.verify) return err;
  struct stat st;
  shim_count(VR_STAT_VERIFIED);
  for (int i = 0; i < 8; i++) {
    int r = raw_stat(dirfd, path, &st, 0);
    if (r == -err) return 0;
    struct timespec pause = {0, 25000000};
    raw2(SYS_nanosleep, (long)&pause, 0);
    a = shim_ask(&q, "open", dirfd, path, ASK_FOLLOW | ASK_COUNT_HITS_ONLY);
    if (a != VR_ENOENT && a != VR_ENOTDIR) return 0;
  }
  shim_report_diff("open", path, "errno", err == ENOENT ? "ENOENT" : "ENOTDIR", "other");
  return 0;
}
