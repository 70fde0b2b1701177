/* Hostile shared memory: whatever stands in a VDir or a board, the reader, the scan of records and the reading of staged records
 * stay inside the mapping and end. Meant for the sanitizers: images lie in heap blocks of exactly their size.
 *   fuzz_shm_test [TABLES]     20,000 by default; SEED repeats */
#include <stdio.h>
#include <time.h>
#include "read_image.h"
#include "vr_stage.h"

static uint64_t state;
static uint64_t rnd(void) {
  state = state * 6364136223846793005ull + 1442695040888963407ull;
  return state >> 24;
}
static uint32_t odd_number(void) {
  static const uint32_t odd[] = {0, 1, 2, 0xff, 0xffff, 0x7fffffff, 0x80000000, 0xffffffff, 4095, 4096, 0xfff0, VR_BOARD_RECORD_LIVE, VR_BOARD_STAGED_LIVE};
  return rnd() % 3 ? odd[rnd() % (sizeof odd / sizeof *odd)] : (uint32_t)rnd();
}
static void spoil(uint8_t *p, size_t size, unsigned times) {
  while (times--) {
    size_t at = rnd() % size;
    switch (rnd() % 4) {
      case 0: p[at] ^= (uint8_t)(1 << rnd() % 8); break;
      case 1: p[at] = (uint8_t)rnd(); break;
      case 2: if (at / 4 * 4 + 4 <= size) ((uint32_t *)(void *)p)[at / 4] = odd_number(); break;
      default:
        for (size_t n = rnd() % 64; n && at < size; n--) p[at++] = (uint8_t)rnd();
    }
  }
}

static uint64_t answers[4], reasons[VR_STAT_COUNT];
static void ask(struct image *m, const char *rel) {
  struct vr_entry out;
  char target[32];
  uint32_t reason;
  enum vr_answer a = vr_lookup(&m->v, &m->b, rel, strlen(rel), 1000, 0, &out, target, sizeof target, &reason);
  answers[a]++;
  if (a == VR_NATIVE) reasons[reason]++;
}

/* Damage with right checksums: what a hostile writer, not an accident, would leave. */
static void seal(struct image *m, const uint64_t *offs, int n) {
  for (uint64_t i = 0; i < m->buckets; i++) {
    struct vr_bucket *b = image_bucket(m, i);
    b->seq &= ~1u;
    b->checksum = vr_hash32(&b->tag, 56, i);
  }
  for (int i = 0; i < n; i++) {
    struct vr_entry *e = (struct vr_entry *)(void *)(image_entries(m) + offs[i]);
    if (offs[i] + 128u + e->path_len + e->target_len > m->v.entries_size) continue;
    e->seq &= ~1u;
    e->checksum = vr_hash32((uint8_t *)e + 8, 120u + e->path_len + e->target_len, (uint32_t)e->path_hash);
  }
}

int main(int argc, char **argv) {
  unsigned long tables = argc > 1 ? strtoul(argv[1], NULL, 10) : 20000, attached = 0, staged = 0;
  uint64_t seed = getenv("SEED") ? strtoull(getenv("SEED"), NULL, 10) : (uint64_t)time(NULL);
  state = seed * 2654435761u + 1;
  printf("seed %llu, %lu tables\n", (unsigned long long)seed, tables);
  struct image m;
  image_make(&m, 30, 8192, "/project");
  static const char *const paths[] = {"", "src", "src/a.c", "src/none", "none/deep/er", "src/a.c/x", "link", "link/x", "f01", "f15"};
  uint64_t offs[40];
  int n = 0;
#define ADD(rel, bits, mode, target) offs[n++] = m.used, image_add(&m, rel, VR_ENTRY_CLEAN | (bits), mode, target, NULL)
  const uint32_t dir = VR_ENTRY_ISDIR | VR_ENTRY_COMPLETE | VR_ENTRY_SEARCHABLE;
  ADD("", dir, 0040755, NULL);
  ADD("src", dir, 0040755, NULL);
  ADD("src/a.c", 0, 0100644, NULL);
  ADD("link", 0, 0120777, "src/a.c");
  for (int i = 0; i < 20; i++) {
    char name[16];
    snprintf(name, sizeof name, "f%02d", i);
    ADD(name, 0, 0100644, NULL);
  }
  image_lease(&m, 1000 + VR_LEASE_NS / 2);
  image_attach(&m);
  /* The size that matters: the pristine copy is made from exactly this. */
  uint8_t *vdir = malloc(m.size), *board = malloc(VR_BOARD_SIZE);
  memcpy(vdir, m.vdir, m.size), memcpy(board, m.board, VR_BOARD_SIZE);
  size_t tail = VR_INDEX_OFFSET; /* most damage goes where it matters: dyn, index, entries */
  for (unsigned long t = 0; t < tables; t++) {
    memcpy(m.vdir + VR_DYN_OFFSET, vdir + VR_DYN_OFFSET, 256);
    memcpy(m.vdir + tail, vdir + tail, m.size - tail);
    memcpy(m.vdir, vdir, 4096);
    if (t % 16) memcpy(m.b.dyn, board + VR_BOARD_DYN_OFFSET, 64), memcpy(m.b.ver, board + VR_BOARD_VER_OFFSET, VR_SLOTS * 8);
    if (t % 8 == 0) {
      spoil(m.vdir, 4096, 1 + rnd() % 4);
      if (rnd() % 2) image_seal(&m);
      struct vr_vdir v;
      if (vr_vdir_attach(&v, m.vdir, rnd() % 4 ? m.size : rnd() % m.size) == 0) {
        struct image other = m;
        other.v = v;
        attached++;
        for (unsigned i = 0; i < sizeof paths / sizeof *paths; i++) ask(&other, paths[i]);
      }
      memcpy(m.vdir, vdir, 4096);
    }
    if (t % 16 == 1) spoil(m.vdir + VR_DYN_OFFSET, 256, 1);
    spoil(m.vdir + tail, m.size - tail, 1 + rnd() % 16);
    if (t % 2) seal(&m, offs, n);
    for (unsigned i = 0; i < sizeof paths / sizeof *paths; i++) ask(&m, paths[i]);
    struct vr_program p = {.dev = rnd() % 4, .ino = rnd() % 64};
    if (t % 64 == 0) spoil(m.vdir + VR_PROGRAMS_OFFSET, VR_PROGRAMS * 64, 64), vr_program_verdict(&m.v, &p);
    /* The board: a few staged records and all that decides how far is looked. */
    uint32_t at = (uint32_t)rnd() % 8;
    struct vr_staged *r = &m.b.staged[at], copy;
    *r = (struct vr_staged){.state = VR_BOARD_STAGED_LIVE | 0x300, .pid = 1, .path_len = 7};
    memcpy(r->path, rnd() % 2 ? "src/a.c" : "../../x", 7);
    spoil((uint8_t *)r, sizeof *r, 1 + rnd() % 8);
    if (t % 2) {
      r->path_hash = vr_hash64(r->path, r->path_len < VR_STAGE_PATH_MAX ? r->path_len : 0, m.b.header->hash_seed);
      r->checksum = vr_staged_checksum(r);
    }
    if (vr_staged_copy(&m.b, at, &copy)) {
      staged++;
      char name[VR_SALVAGE_PATH_MAX];
      const char *base;
      vr_stage_split((const char *)copy.path, copy.path_len, &base);
      vr_salvage_name((const char *)copy.path, copy.path_len, copy.stamp, copy.pid, name);
      for (uint32_t i = 0; i < copy.path_len; i++) /* nothing that leads out of the project was let through */
        if ((i == 0 || copy.path[i - 1] == '/') && i + 1 < copy.path_len && copy.path[i] == '.' && copy.path[i + 1] == '.' && (i + 2 == copy.path_len || copy.path[i + 2] == '/'))
          return printf("a path with .. was believed\n"), 1;
    }
    spoil((uint8_t *)m.b.dyn, 64, 1);
    vr_high(m.b.dyn->record_high, VR_BOARD_RECORDS);
    struct vr_record *rec = &m.b.records[rnd() % 64];
    spoil((uint8_t *)rec, sizeof *rec, 2);
    vr_record_sum(rec);
    vr_mutation_keep(&m.b, (int)(rec - m.b.records), rec->kind, rnd());
    vr_mutation_add_slot(&m.b, (int)(rec - m.b.records), (uint32_t)rnd());
    vr_held_release(&m.b, (int)(rec - m.b.records));
    if (t % 256 == 0) {
      memcpy(m.board, board, VR_BOARD_SIZE);
      spoil(m.board, 4096, 2);
      struct vr_board b = {0};
      vr_board_attach(&b, m.board, VR_BOARD_SIZE);
      memcpy(m.board, board, 4096);
    }
  }
  printf("answers: %llu found, %llu absent, %llu no directory, %llu native; %lu spoilt headers attached, %lu spoilt staged records believed\n",
         (unsigned long long)answers[0], (unsigned long long)answers[1], (unsigned long long)answers[2], (unsigned long long)answers[3], attached, staged);
  for (int i = 0; i < VR_STAT_COUNT; i++)
    if (reasons[i]) printf("native for reason %d: %llu\n", i, (unsigned long long)reasons[i]);
  image_free(&m), free(vdir), free(board);
  return answers[0] && answers[3] && staged ? 0 : 1;
}
