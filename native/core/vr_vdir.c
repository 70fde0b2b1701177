/* Attach and the lock-free read (docs/PROTOCOL.md section 3).
 *
 * Why no lock is needed: bucket and entry carry a sequence number that the one writer makes odd while it changes them, so a reader
 * that sees the same even number before and after has read one state. Their checksums catch what no writer did (a flipped bit, a
 * stray store). Whether that state is *true* now is decided by the words around it: lease, drain, ver and pub, which are read before and,
 * as far as writers can move them, again afterwards. Everything read from the map is checked against the mapped size before it
 * is used as an offset, and every loop has a bound, so that garbage costs an answer and nothing else. */
#include "vr_vdir.h"

#define RETRIES 64      /* of one read under seq */
#define MAX_PROBES 64   /* buckets visited for one hash; the writer keeps the load far below */
#define MAX_PATH 4096

int vr_vdir_attach(struct vr_vdir *v, const void *base, size_t size) {
  const struct vr_header *h = v->header;
  if (!base || size < VR_INDEX_OFFSET + sizeof(struct vr_bucket)) return -1;
  const struct vr_header *m = base;
  vr_facts_copy(v->header, m, VR_FACTS);
  if (h->magic != VR_MAGIC || h->version != VR_VERSION || h->file_size != size || h->slots != VR_SLOTS) return -1;
  if (m->checksum != vr_hash64(m, offsetof(struct vr_header, checksum), VR_MAGIC) || !vr_facts_equal(h, m, VR_FACTS)) return -1;
  uint64_t buckets = h->index_buckets;
  if (!buckets || (buckets & (buckets - 1)) || buckets > size / sizeof(struct vr_bucket)) return -1;
  if (h->index_off != VR_INDEX_OFFSET || h->index_off + buckets * sizeof(struct vr_bucket) > size) return -1;
  if (h->entries_off % 64 || h->entries_off < h->index_off + buckets * sizeof(struct vr_bucket) || h->entries_off > size) return -1;
  if (h->entries_size > size - h->entries_off || h->entries_size < sizeof(struct vr_entry)) return -1;
  if (h->root_len >= VR_ROOT_PATH_MAX) return -1;
  const uint8_t *p = base;
  v->base = p;
  v->dyn = (const struct vr_dyn *)(const void *)(p + VR_DYN_OFFSET);
  v->pub = (const uint64_t *)(const void *)(p + VR_PUB_OFFSET);
  v->programs = (const struct vr_program *)(const void *)(p + VR_PROGRAMS_OFFSET);
  v->index = p + h->index_off;
  v->entries = p + h->entries_off;
  v->buckets = buckets;
  v->entries_size = h->entries_size;
  v->seed = h->hash_seed;
  v->size = size;
  return 0;
}

static inline uint32_t load32(const uint32_t *p) { return __atomic_load_n(p, __ATOMIC_ACQUIRE); }
static inline uint64_t load64(const uint64_t *p) { return __atomic_load_n(p, __ATOMIC_ACQUIRE); }

/* Fixed-size copies in words: string instructions cost more than all the rest of a lookup. */
typedef uint64_t __attribute__((may_alias)) word;
#define COPY_WORDS(to, from, bytes)                                \
  do {                                                             \
    word *t_ = (word *)(void *)(to);                               \
    const word *f_ = (const word *)(const void *)(from);           \
    _Pragma("GCC unroll 16") for (unsigned w_ = 0; w_ < (bytes) / 8; w_++) t_[w_] = f_[w_]; \
  } while (0)

/* Copies one bucket. 1: good, -1: kept changing, -2: corrupt. */
static inline int read_bucket(const struct vr_vdir *v, uint64_t number, struct vr_bucket *out) {
  const struct vr_bucket *b = (const struct vr_bucket *)(const void *)(v->index + number * sizeof *b);
  for (int i = 0; i < RETRIES; i++) {
    uint32_t seq = load32(&b->seq);
    if (seq & 1) continue;
    COPY_WORDS(out, b, sizeof *out);
    __atomic_thread_fence(__ATOMIC_ACQUIRE);
    if (__atomic_load_n(&b->seq, __ATOMIC_RELAXED) != seq) continue;
    return out->checksum == vr_hash32(&out->tag, sizeof out->tag + sizeof out->off, number) ? 1 : -2;
  }
  return -1;
}

/* Reads the entry at a position of the index. 1: it is rel's; 0: another path's (its own checksum says so); -1, -2 as above. */
static inline int read_entry(const struct vr_vdir *v, uint32_t off, const char *rel, size_t len, uint64_t hash, struct vr_entry *out,
                      char *target, size_t target_cap) {
  uint64_t at = (uint64_t)(off - 1) * 16;
  if (at > v->entries_size || v->entries_size - at < sizeof *out) return -2;
  const uint8_t *p = v->entries + at;
  const struct vr_entry *e = (const struct vr_entry *)(const void *)p;
  __builtin_prefetch(p + 64);
  __builtin_prefetch(p + 128);
  for (int i = 0; i < RETRIES; i++) {
    uint32_t seq = load32(&e->seq);
    if (seq & 1) continue;
    COPY_WORDS(out, e, sizeof *out);
    size_t all = sizeof *out + (size_t)out->path_len + out->target_len;
    int bounded = out->path_len < MAX_PATH && all <= v->entries_size - at;
    int good = 0, same = 0;
    if (bounded) {
      good = out->checksum == vr_hash32(p + 8, all - 8, (uint32_t)out->path_hash);
      same = out->path_hash == hash && out->path_len == len && !memcmp(p + sizeof *out, rel, len);
      if (target && same) memcpy(target, p + sizeof *out + len, out->target_len < target_cap ? out->target_len : target_cap);
    }
    __atomic_thread_fence(__ATOMIC_ACQUIRE);
    /* The sum is of what lies there, the answer of the copy: what was damaged when it was copied and whole again when it was summed is neither. */
    if (good && !vr_facts_equal((const uint8_t *)out + 8, p + 8, sizeof *out - 8)) continue;
    if (__atomic_load_n(&e->seq, __ATOMIC_RELAXED) != seq) continue;
    return good ? same : -2;
  }
  return -1;
}

/* As vr_vdir_get; *off is the position of the entry found. */
static inline int find(const struct vr_vdir *v, const char *rel, size_t len, uint64_t hash, struct vr_entry *out, char *target,
                size_t target_cap, uint32_t *off) {
  uint64_t number = vr_bucket_of(hash, v->buckets);
  uint64_t probes = v->buckets < MAX_PROBES ? v->buckets : MAX_PROBES;
  struct vr_bucket b;
  for (uint64_t i = 0; i < probes; i++, number = (number + 1) & (v->buckets - 1)) {
    int ok = read_bucket(v, number, &b);
    if (ok < 0) return ok;
    int full = 1;
    for (unsigned k = 0; k < VR_BUCKET_ENTRIES; k++) {
      if (!b.off[k]) {
        full = 0;
        continue;
      }
      if (b.tag[k] != (uint32_t)hash) continue;
      int is = read_entry(v, b.off[k], rel, len, hash, out, target, target_cap);
      if (is) {
        *off = b.off[k];
        return is;
      }
    }
    if (!full) return 0;
  }
  return -1;
}

int vr_vdir_get(const struct vr_vdir *v, const char *rel, size_t len, uint64_t hash, struct vr_entry *out, char *target, size_t target_cap) {
  uint32_t off;
  return find(v, rel, len, hash, out, target, target_cap, &off);
}

/* The ver word of a slot when it equals pub. */
static inline int slot_clean(const struct vr_vdir *v, const struct vr_board *b, uint32_t slot, uint64_t *ver) {
  *ver = load64(&b->ver[slot]);
  return *ver == load64(&v->pub[slot]);
}

static inline uint32_t readable(const struct vr_vdir *v, const struct vr_board *b, uint64_t now, uint64_t need, uint64_t *ver0) {
  const struct vr_dyn *d = v->dyn;
  uint64_t lease = load64(&d->lease);
  if (load32(&d->superseded)) return VR_STAT_NATIVE_NO_VDIR;
  if (lease != ~load64(&d->lease_inv) || lease <= now || lease - now > VR_LEASE_NS) return VR_STAT_NATIVE_LEASE;
  if (load32(&b->dyn->overflow)) return VR_STAT_NATIVE_G;
  uint64_t done = load64(&d->drain_done);
  if (done != ~load64(&d->drain_done_inv) || done <= need) return VR_STAT_NATIVE_EDGE;
  return slot_clean(v, b, 0, ver0) ? 0 : VR_STAT_NATIVE_G;
}

uint32_t vr_readable(const struct vr_vdir *v, const struct vr_board *b, uint64_t now, uint64_t need) {
  uint64_t ver0;
  return readable(v, b, now, need, &ver0);
}

static enum vr_answer native(uint32_t *reason, uint32_t why) {
  *reason = why;
  return VR_NATIVE;
}
static uint32_t unsure(int found) { return found == -2 ? VR_STAT_NATIVE_CORRUPT : VR_STAT_NATIVE_RETRY; }

static size_t parent_of(const char *rel, size_t len) {
  while (len > 0 && rel[len - 1] != '/') len--;
  return len ? len - 1 : 0;
}

#define DIR_CLEAN (VR_ENTRY_CLEAN | VR_ENTRY_ISDIR | VR_ENTRY_COMPLETE | VR_ENTRY_SEARCHABLE)

/* rel itself is not there (absent or GONE). Finds the deepest existing ancestor, then looks again at the first missing part below it, then
 * makes sure the ancestor did not change meanwhile: it was COMPLETE while the part was missing. `out` is scratch. */
static enum vr_answer absent(const struct vr_vdir *v, const struct vr_board *b, const char *rel, size_t len, uint64_t ver0,
                             struct vr_entry *out, uint32_t *reason) {
  size_t missing = len, above = len;
  uint64_t hash = 0;
  uint32_t off = 0;
  for (unsigned levels = 0;; levels++) {
    if (!above || levels > MAX_PATH / 2) return native(reason, VR_STAT_NATIVE_UNKNOWN); /* even the root is unknown */
    missing = above;
    above = parent_of(rel, above);
    hash = vr_hash64(rel, above, v->seed);
    int found = find(v, rel, above, hash, out, NULL, 0, &off);
    if (found < 0) return native(reason, unsure(found));
    if (found && !(out->state & VR_ENTRY_GONE)) break;
    if (!above) return native(reason, VR_STAT_NATIVE_UNKNOWN);
  }
  uint64_t ver_above, ver_missing;
  uint32_t slot_above = vr_slot(hash), seq = out->seq;
  if (!slot_clean(v, b, slot_above, &ver_above)) return native(reason, VR_STAT_NATIVE_SLOT);
  if (load32((const uint32_t *)(const void *)(v->entries + (uint64_t)(off - 1) * 16)) != seq) return native(reason, VR_STAT_NATIVE_RETRY);
  if (!(out->state & VR_ENTRY_CLEAN)) return native(reason, VR_STAT_NATIVE_UNVERIFIED);
  enum vr_answer answer = VR_ENOENT;
  uint64_t missing_hash = vr_hash64(rel, missing, v->seed);
  uint32_t slot_missing = vr_slot(missing_hash);
  if (!(out->state & VR_ENTRY_ISDIR)) {
    if ((out->mode & 0170000) == 0120000) return native(reason, VR_STAT_NATIVE_PATH);
    answer = VR_ENOTDIR;
    slot_missing = slot_above;
    ver_missing = ver_above;
  } else {
    if ((out->state & DIR_CLEAN) != DIR_CLEAN) return native(reason, VR_STAT_NATIVE_UNKNOWN);
    if (!slot_clean(v, b, slot_missing, &ver_missing)) return native(reason, VR_STAT_NATIVE_SLOT);
    struct vr_entry below;
    uint32_t off_below;
    int found = find(v, rel, missing, missing_hash, &below, NULL, 0, &off_below);
    if (found < 0) return native(reason, unsure(found));
    if (found && (below.state & (VR_ENTRY_GONE | VR_ENTRY_CLEAN)) != (VR_ENTRY_GONE | VR_ENTRY_CLEAN))
      return native(reason, VR_STAT_NATIVE_UNVERIFIED);
  }
  if (load32((const uint32_t *)(const void *)(v->entries + (uint64_t)(off - 1) * 16)) != seq) return native(reason, VR_STAT_NATIVE_RETRY);
  __atomic_thread_fence(__ATOMIC_ACQUIRE);
  if (load64(&b->ver[slot_above]) != ver_above || load64(&b->ver[slot_missing]) != ver_missing || load64(&b->ver[0]) != ver0)
    return native(reason, VR_STAT_NATIVE_RETRY);
  return answer;
}

enum vr_answer vr_lookup(const struct vr_vdir *v, const struct vr_board *b, const char *rel, size_t len, uint64_t now, uint64_t need,
                         struct vr_entry *out, char *target, size_t target_cap, uint32_t *reason) {
  uint64_t ver0, ver;
  if (len >= MAX_PATH) return native(reason, VR_STAT_NATIVE_PATH);
  uint64_t hash = vr_hash64(rel, len, v->seed);
  uint32_t slot = vr_slot(hash), off;
  __builtin_prefetch(v->index + vr_bucket_of(hash, v->buckets) * sizeof(struct vr_bucket));
  __builtin_prefetch(&b->ver[slot]);
  __builtin_prefetch(&v->pub[slot]);
  uint32_t why = readable(v, b, now, need, &ver0);
  if (why) return native(reason, why);
  if (!slot_clean(v, b, slot, &ver)) return native(reason, VR_STAT_NATIVE_SLOT);
  int found = find(v, rel, len, hash, out, target, target_cap, &off);
  if (found < 0) return native(reason, unsure(found));
  if (!found || (out->state & VR_ENTRY_GONE)) return absent(v, b, rel, len, ver0, out, reason);
  if (!(out->state & VR_ENTRY_CLEAN)) return native(reason, VR_STAT_NATIVE_UNVERIFIED);
  __atomic_thread_fence(__ATOMIC_ACQUIRE);
  if (load64(&b->ver[slot]) != ver || load64(&b->ver[0]) != ver0) return native(reason, VR_STAT_NATIVE_RETRY);
  return VR_FOUND;
}

uint32_t vr_program_verdict(const struct vr_vdir *v, const struct vr_program *file) {
  uint32_t at = vr_program_start(file->dev, file->ino);
  for (int i = 0; i < VR_PROGRAM_PROBES; i++, at = (at + 1) % VR_PROGRAMS) {
    struct vr_program p;
    uint32_t seq = load32(&v->programs[at].seq);
    memcpy(&p, &v->programs[at], sizeof p);
    __atomic_thread_fence(__ATOMIC_ACQUIRE);
    if ((seq & 1) || __atomic_load_n(&v->programs[at].seq, __ATOMIC_RELAXED) != seq) return VR_PROGRAM_UNKNOWN;
    if (!p.dev && !p.ino && !p.checksum) return VR_PROGRAM_UNKNOWN;
    if (p.checksum != vr_hash32(&p.dev, sizeof p - offsetof(struct vr_program, dev), 0)) continue;
    if (p.dev == file->dev && p.ino == file->ino && p.size == file->size && p.mtime == file->mtime && p.ctime == file->ctime &&
        p.mtime_ns == file->mtime_ns && p.ctime_ns == file->ctime_ns)
      return p.verdict == VR_PROGRAM_SEEN || p.verdict == VR_PROGRAM_LEAKY ? p.verdict : VR_PROGRAM_UNKNOWN;
  }
  return VR_PROGRAM_UNKNOWN;
}
