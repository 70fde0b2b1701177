/* A VDir and a board made in memory for tests of the reader: the simplest writer that a correct reader must understand. Not the daemon's. */
#ifndef READ_IMAGE_H
#define READ_IMAGE_H
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include "vr_vdir.h"

struct image {
  uint8_t *vdir, *board;
  size_t size;
  uint64_t buckets, used; /* used: bytes of the entries area */
  struct vr_vdir v;
  struct vr_board b;
};

static inline struct vr_header *image_header(struct image *m) { return (struct vr_header *)(void *)m->vdir; }
static inline struct vr_dyn *image_dyn(struct image *m) { return (struct vr_dyn *)(void *)(m->vdir + VR_DYN_OFFSET); }
static inline uint64_t *image_pub(struct image *m) { return (uint64_t *)(void *)(m->vdir + VR_PUB_OFFSET); }
static inline struct vr_bucket *image_bucket(struct image *m, uint64_t n) { return (struct vr_bucket *)(void *)(m->vdir + VR_INDEX_OFFSET + n * 64); }
static inline uint8_t *image_entries(struct image *m) { return m->vdir + image_header(m)->entries_off; }

static inline void image_seal(struct image *m) {
  struct vr_header *h = image_header(m);
  h->checksum = vr_hash64(h, offsetof(struct vr_header, checksum), VR_MAGIC);
}

static inline void image_make(struct image *m, uint64_t files, uint64_t entries_size, const char *root) {
  memset(m, 0, sizeof *m);
  m->buckets = 1;
  while (m->buckets * VR_BUCKET_ENTRIES < files * 2) m->buckets *= 2;
  uint64_t entries_off = (VR_INDEX_OFFSET + m->buckets * 64 + 63) / 64 * 64;
  m->size = (entries_off + entries_size + 4095) / 4096 * 4096;
  m->vdir = aligned_alloc(4096, m->size);
  m->board = aligned_alloc(4096, VR_BOARD_SIZE);
  assert(m->vdir && m->board);
  memset(m->vdir, 0, m->size);
  memset(m->board, 0, VR_BOARD_SIZE);
  struct vr_header *h = image_header(m);
  h->magic = VR_MAGIC;
  h->version = VR_VERSION;
  h->file_size = m->size;
  h->vdir_id = 0x1111222233334444;
  h->board_id = 0x5555666677778888;
  h->hash_seed = 0x9999aaaabbbbcccc;
  h->root_dev = 42;
  h->root_ino = 2;
  h->index_off = VR_INDEX_OFFSET;
  h->index_buckets = m->buckets;
  h->entries_off = entries_off;
  h->entries_size = m->size - entries_off;
  h->slots = VR_SLOTS;
  h->root_len = (uint32_t)strlen(root);
  memcpy(h->root_path, root, h->root_len);
  image_seal(m);
  struct vr_dyn *d = image_dyn(m);
  d->drain_started = d->drain_done = 7;
  d->drain_done_inv = ~d->drain_done;
  for (uint64_t i = 0; i < m->buckets; i++) {
    struct vr_bucket *b = image_bucket(m, i);
    b->checksum = vr_hash32(&b->tag, 56, i);
  }
  struct vr_board_header *bh = (struct vr_board_header *)(void *)m->board;
  bh->magic = VR_BOARD_MAGIC;
  bh->version = VR_BOARD_VERSION;
  bh->file_size = VR_BOARD_SIZE;
  bh->board_id = h->board_id;
  bh->hash_seed = h->hash_seed;
  bh->checksum = vr_hash64(bh, offsetof(struct vr_board_header, checksum), VR_BOARD_MAGIC);
}
static inline void image_attach(struct image *m) {
  assert(!vr_vdir_attach(&m->v, m->vdir, m->size));
  assert(!vr_board_attach(&m->b, m->board, VR_BOARD_SIZE));
}
static inline void image_lease(struct image *m, uint64_t until) {
  image_dyn(m)->lease = until;
  image_dyn(m)->lease_inv = ~until;
}
static inline void image_free(struct image *m) {
  free(m->vdir);
  free(m->board);
}

/* Recomputes an entry's checksum after a test changed a field. */
static inline void image_seal_entry(struct vr_entry *e) {
  e->checksum = vr_hash32((uint8_t *)e + 8, 120u + e->path_len + e->target_len, (uint32_t)e->path_hash);
}

/* Adds an entry with the fields of `like` (may be NULL) and puts it into the index. */
static inline struct vr_entry *image_add(struct image *m, const char *rel, uint32_t state, uint32_t mode, const char *target, const struct vr_entry *like) {
  size_t len = strlen(rel), tlen = target ? strlen(target) : 0, all = (128 + len + tlen + 15) / 16 * 16;
  assert(m->used + all <= image_header(m)->entries_size);
  struct vr_entry *e = (struct vr_entry *)(void *)(image_entries(m) + m->used);
  if (like) *e = *like;
  e->path_hash = vr_hash64(rel, len, image_header(m)->hash_seed);
  e->state = state | (target ? VR_ENTRY_TARGET : 0);
  e->path_len = (uint16_t)len;
  e->target_len = (uint16_t)tlen;
  e->mode = mode;
  if (!like) {
    e->ino = 1000 + m->used / 16;
    e->nlink = 1;
    e->size = 100 + len;
    e->blksize = 4096;
    e->mtime = 1700000000 + m->used;
  }
  memcpy((uint8_t *)e + 128, rel, len);
  if (target) memcpy((uint8_t *)e + 128 + len, target, tlen);
  e->seq = 2;
  image_seal_entry(e);
  uint64_t n = vr_bucket_of(e->path_hash, m->buckets);
  for (;; n = (n + 1) & (m->buckets - 1)) {
    struct vr_bucket *b = image_bucket(m, n);
    for (int k = 0; k < (int)VR_BUCKET_ENTRIES; k++)
      if (!b->off[k]) {
        b->tag[k] = (uint32_t)e->path_hash;
        b->off[k] = (uint32_t)(m->used / 16 + 1);
        b->checksum = vr_hash32(&b->tag, 56, n);
        m->used += all;
        return e;
      }
  }
}
#endif
