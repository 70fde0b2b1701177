/* vr_vdir.c against images made in memory: every rule of docs/PROTOCOL.md section 3, and every single flipped bit. */
#include <stdio.h>
#include "read_image.h"

#define NOW 1000000000ull
#define DIRBITS (VR_ENTRY_CLEAN | VR_ENTRY_ISDIR | VR_ENTRY_COMPLETE | VR_ENTRY_SEARCHABLE)
static int failed;
#define CHECK(what)                                                        \
  do {                                                                     \
    if (!(what)) {                                                         \
      printf("%s:%d: not true: %s\n", __FILE__, __LINE__, #what);          \
      failed = 1;                                                          \
    }                                                                      \
  } while (0)

static struct vr_entry out;
static char target[64];
static uint32_t reason;
static enum vr_answer ask(struct image *m, const char *rel) {
  return vr_lookup(&m->v, &m->b, rel, strlen(rel), NOW, 3, &out, target, sizeof target, &reason);
}
static uint32_t slot_of(const char *rel) { return vr_slot(vr_hash64(rel, strlen(rel), 0x9999aaaabbbbccccull)); }

static void tree(struct image *m) {
  image_make(m, 40, 16384, "/project");
  image_add(m, "", DIRBITS, 0040755, NULL, NULL);
  image_add(m, "src", DIRBITS, 0040755, NULL, NULL);
  image_add(m, "src/a.c", VR_ENTRY_CLEAN, 0100644, NULL, NULL);
  image_add(m, "src/gone.c", VR_ENTRY_CLEAN | VR_ENTRY_GONE, 0, NULL, NULL);
  image_add(m, "src/doubt.c", VR_ENTRY_GONE, 0, NULL, NULL);
  image_add(m, "src/raw.c", 0, 0100644, NULL, NULL);
  image_add(m, "link", VR_ENTRY_CLEAN, 0120777, "src/a.c", NULL);
  image_add(m, "open", VR_ENTRY_CLEAN | VR_ENTRY_ISDIR | VR_ENTRY_SEARCHABLE, 0040755, NULL, NULL);
  image_add(m, "locked", VR_ENTRY_CLEAN | VR_ENTRY_ISDIR | VR_ENTRY_COMPLETE, 0040000, NULL, NULL);
  for (int i = 0; i < 20; i++) {
    char name[64];
    snprintf(name, sizeof name, "src/file-%02d-with-a-name.h", i);
    image_add(m, name, VR_ENTRY_CLEAN, 0100644, NULL, NULL);
  }
  image_lease(m, NOW + VR_LEASE_NS / 2);
  image_attach(m);
}

static void rules(void) {
  struct image m;
  tree(&m);
  CHECK(ask(&m, "src/a.c") == VR_FOUND && out.mode == 0100644);
  CHECK(ask(&m, "") == VR_FOUND && out.mode == 0040755);
  CHECK(ask(&m, "link") == VR_FOUND && out.target_len == 7 && !memcmp(target, "src/a.c", 7));
  CHECK(ask(&m, "src/file-07-with-a-name.h") == VR_FOUND);
  CHECK(ask(&m, "src/none") == VR_ENOENT);
  CHECK(ask(&m, "none/deep/deeper") == VR_ENOENT);
  CHECK(ask(&m, "src/gone.c") == VR_ENOENT);
  CHECK(ask(&m, "src/gone.c/below") == VR_ENOENT);
  CHECK(ask(&m, "src/doubt.c") == VR_NATIVE && reason == VR_STAT_NATIVE_UNVERIFIED);
  CHECK(ask(&m, "src/doubt.c/below") == VR_NATIVE);
  CHECK(ask(&m, "src/raw.c") == VR_NATIVE && reason == VR_STAT_NATIVE_UNVERIFIED);
  CHECK(ask(&m, "src/raw.c/x") == VR_NATIVE);
  CHECK(ask(&m, "src/a.c/x/y") == VR_ENOTDIR);
  CHECK(ask(&m, "link/x") == VR_NATIVE && reason == VR_STAT_NATIVE_PATH && out.path_len == 4);
  CHECK(ask(&m, "open/x") == VR_NATIVE && reason == VR_STAT_NATIVE_UNKNOWN);
  CHECK(ask(&m, "locked/x") == VR_NATIVE);
  image_free(&m);
}

static void conditions(void) {
  struct image m;
  tree(&m);
  struct vr_dyn *d = image_dyn(&m);
  const char *paths[] = {"src/a.c", "src/none", "src/a.c/x", "link"};
  for (int i = 0; i < 4; i++) {
    const char *p = paths[i];
    CHECK(ask(&m, p) != VR_NATIVE);
    image_lease(&m, NOW);
    CHECK(ask(&m, p) == VR_NATIVE && reason == VR_STAT_NATIVE_LEASE);
    image_lease(&m, NOW + VR_LEASE_NS + 1);
    CHECK(ask(&m, p) == VR_NATIVE && reason == VR_STAT_NATIVE_LEASE);
    image_lease(&m, NOW + 5);
    d->superseded = 1;
    CHECK(ask(&m, p) == VR_NATIVE && reason == VR_STAT_NATIVE_NO_VDIR);
    d->superseded = 0;
    d->drain_done = 3, d->drain_done_inv = ~3ull;
    CHECK(ask(&m, p) == VR_NATIVE && reason == VR_STAT_NATIVE_EDGE);
    d->drain_done = 4, d->drain_done_inv = ~4ull;
    CHECK(ask(&m, p) != VR_NATIVE);
    m.b.dyn->overflow = 1;
    CHECK(ask(&m, p) == VR_NATIVE && reason == VR_STAT_NATIVE_G);
    m.b.dyn->overflow = 0;
    vr_bump(&m.b, 0);
    CHECK(ask(&m, p) == VR_NATIVE && reason == VR_STAT_NATIVE_G);
    image_pub(&m)[0] = m.b.ver[0];
    CHECK(ask(&m, p) != VR_NATIVE);
    vr_bump(&m.b, slot_of(p));
    if (strcmp(p, "src/a.c/x")) CHECK(ask(&m, p) == VR_NATIVE && reason == VR_STAT_NATIVE_SLOT);
    image_pub(&m)[slot_of(p)] = m.b.ver[slot_of(p)];
    CHECK(ask(&m, p) != VR_NATIVE);
  }
  vr_bump(&m.b, slot_of("src")); /* the ancestor's slot counts for what is absent below, not for what is there */
  CHECK(ask(&m, "src/none") == VR_NATIVE && reason == VR_STAT_NATIVE_SLOT);
  CHECK(ask(&m, "src/a.c") == VR_FOUND);
  image_free(&m);
}

/* An odd sequence number ends in the real call, not in a loop. */
static void stuck_writer(void) {
  struct image m;
  tree(&m);
  uint64_t hash = vr_hash64("src/a.c", 7, m.v.seed);
  struct vr_bucket *b = image_bucket(&m, vr_bucket_of(hash, m.buckets));
  b->seq++;
  CHECK(ask(&m, "src/a.c") == VR_NATIVE && reason == VR_STAT_NATIVE_RETRY);
  b->seq++;
  CHECK(ask(&m, "src/a.c") == VR_FOUND);
  image_free(&m);
}

static void geometry(void) {
  struct image m;
  struct vr_vdir v;
  tree(&m);
  for (size_t size = 0; size < m.size; size += 1777) CHECK(vr_vdir_attach(&v, m.vdir, size) != 0);
  struct vr_header saved = *image_header(&m);
#define WITH(change)                                  \
  do {                                                \
    change;                                           \
    image_seal(&m);                                   \
    CHECK(vr_vdir_attach(&v, m.vdir, m.size) != 0);   \
    *image_header(&m) = saved;                        \
  } while (0)
  WITH(image_header(&m)->index_buckets = 0);
  WITH(image_header(&m)->index_buckets = 3);
  WITH(image_header(&m)->index_buckets = 1ull << 60);
  WITH(image_header(&m)->index_buckets <<= 20);
  WITH(image_header(&m)->index_off = 64);
  WITH(image_header(&m)->index_off = ~0ull);
  WITH(image_header(&m)->entries_off = ~63ull);
  WITH(image_header(&m)->entries_off = 64);
  WITH(image_header(&m)->entries_off += 8);
  WITH(image_header(&m)->entries_size += 4096);
  WITH(image_header(&m)->entries_size = ~0ull);
  WITH(image_header(&m)->entries_size = 5);
  WITH(image_header(&m)->root_len = 5000);
  WITH(image_header(&m)->slots = 7);
  WITH(image_header(&m)->version = VR_VERSION + 1);
  WITH(image_header(&m)->file_size++);
  for (size_t i = 0; i < sizeof saved; i++)
    for (int bit = 0; bit < 8; bit++) {
      m.vdir[i] ^= (uint8_t)(1 << bit);
      CHECK(vr_vdir_attach(&v, m.vdir, m.size) != 0);
      m.vdir[i] ^= (uint8_t)(1 << bit);
    }
  image_free(&m);
}

/* Offsets that point anywhere, under a right checksum: no crash, no answer. */
static void wild_offsets(void) {
  struct image m;
  tree(&m);
  uint64_t hash = vr_hash64("src/a.c", 7, m.v.seed), n = vr_bucket_of(hash, m.buckets);
  struct vr_bucket *b = image_bucket(&m, n), saved = *b;
  uint32_t wild[] = {0xffffffff, 0x7fffffff, (uint32_t)(m.v.entries_size / 16), (uint32_t)(m.v.entries_size / 16 + 1), (uint32_t)(m.v.entries_size / 16 - 6), 2, 3};
  for (unsigned i = 0; i < sizeof wild / sizeof *wild; i++) {
    for (int k = 0; k < 7; k++)
      if (b->off[k] && b->tag[k] == (uint32_t)hash) b->off[k] = wild[i];
    b->checksum = vr_hash32(&b->tag, 56, n);
    CHECK(ask(&m, "src/a.c") == VR_NATIVE);
    *b = saved;
  }
  struct vr_entry *e = (struct vr_entry *)(void *)image_entries(&m);
  while (e->path_hash != hash) e = (struct vr_entry *)(void *)((uint8_t *)e + (128u + e->path_len + e->target_len + 15u) / 16 * 16);
  uint16_t lens[] = {0xffff, 4095, 4096, 8, 6, 0};
  for (unsigned i = 0; i < sizeof lens / sizeof *lens; i++) {
    struct vr_entry was = *e;
    e->path_len = lens[i];
    e->target_len = lens[i] == 0xffff ? 0xffff : 0;
    CHECK(ask(&m, "src/a.c") == VR_NATIVE);
    *e = was;
  }
  CHECK(ask(&m, "src/a.c") == VR_FOUND);
  image_free(&m);
}

/* Every bit of everything, one at a time: the answer stays the same or becomes "ask the kernel". */
static void flipped_bits(void) {
  struct image m;
  tree(&m);
  const char *paths[] = {"src/a.c", "src/none", "none/x", "link", "src/gone.c", "src/a.c/x", "src/file-03-with-a-name.h"};
  enum { N = sizeof paths / sizeof *paths };
  enum vr_answer right[N];
  struct vr_entry entry[N];
  for (int i = 0; i < N; i++) {
    right[i] = ask(&m, paths[i]);
    entry[i] = out;
    CHECK(right[i] != VR_NATIVE);
  }
  unsigned long flips = 0, kept = 0;
  size_t last = (size_t)image_header(&m)->entries_off + m.used;
  for (size_t at = VR_DYN_OFFSET; at < last; at++) {
    if (at >= VR_DYN_OFFSET + 256 && at < VR_PUB_OFFSET) continue; /* reserved */
    if (at >= VR_PUB_OFFSET + 64 && at < VR_INDEX_OFFSET && at % 509) continue; /* slots that nobody asks for: a sample */
    for (int bit = 0; bit < 8; bit++) {
      m.vdir[at] ^= (uint8_t)(1 << bit);
      for (int i = 0; i < N; i++) {
        enum vr_answer a = ask(&m, paths[i]);
        flips++;
        if (a == VR_NATIVE) continue;
        kept++;
        if (a != right[i] || (a == VR_FOUND && memcmp((char *)&out + 8, (char *)&entry[i] + 8, sizeof out - 8))) {
          printf("byte %zu bit %d: wrong answer for %s\n", at, bit, paths[i]);
          failed = 1;
        }
      }
      m.vdir[at] ^= (uint8_t)(1 << bit);
    }
  }
  printf("%lu questions with one bit flipped, %lu answered (rightly)\n", flips, kept);
  CHECK(kept > 0 && kept < flips);
  image_free(&m);
}

/* Random garbage with right checksums nowhere: bounded, no crash. */
static void garbage(void) {
  struct image m;
  tree(&m);
  uint64_t x = 0x243f6a8885a308d3;
  for (int round = 0; round < 200; round++) {
    for (size_t at = VR_PROGRAMS_OFFSET; at < m.size; at++) {
      x = x * 6364136223846793005ull + 1442695040888963407ull;
      m.vdir[at] = (uint8_t)(x >> 56);
    }
    CHECK(ask(&m, "src/a.c") == VR_NATIVE);
    CHECK(ask(&m, "a/b/c/d") == VR_NATIVE);
    struct vr_program p = {.dev = 1, .ino = (uint64_t)round};
    CHECK(vr_program_verdict(&m.v, &p) == VR_PROGRAM_UNKNOWN);
  }
  image_free(&m);
}

static void programs(void) {
  struct image m;
  tree(&m);
  struct vr_program p = {.seq = 2, .dev = 9, .ino = 77, .size = 5, .mtime = 1, .ctime = 2, .mtime_ns = 3, .ctime_ns = 4, .verdict = VR_PROGRAM_SEEN};
  p.checksum = vr_hash32(&p.dev, 56, 0);
  struct vr_program *rows = (struct vr_program *)(void *)(m.vdir + VR_PROGRAMS_OFFSET);
  uint32_t at = vr_program_start(9, 77);
  struct vr_program other = p;
  other.ino = 78, other.checksum = vr_hash32(&other.dev, 56, 0);
  rows[at] = other; /* a neighbour in the chain */
  rows[(at + 1) % VR_PROGRAMS] = p;
  struct vr_program q = p;
  q.seq = q.checksum = q.verdict = 0;
  CHECK(vr_program_verdict(&m.v, &q) == VR_PROGRAM_SEEN);
  q.ctime_ns++;
  CHECK(vr_program_verdict(&m.v, &q) == VR_PROGRAM_UNKNOWN);
  q.ctime_ns--;
  for (size_t i = 8; i < sizeof p; i++)
    for (int bit = 0; bit < 8; bit++) {
      uint8_t *byte = (uint8_t *)&rows[(at + 1) % VR_PROGRAMS] + i;
      *byte ^= (uint8_t)(1 << bit);
      CHECK(vr_program_verdict(&m.v, &q) == VR_PROGRAM_UNKNOWN);
      *byte ^= (uint8_t)(1 << bit);
    }
  image_free(&m);
}

int main(void) {
  rules();
  conditions();
  stuck_writer();
  geometry();
  wild_offsets();
  flipped_bits();
  garbage();
  programs();
  if (!failed) puts("reader: all good");
  return failed;
}
