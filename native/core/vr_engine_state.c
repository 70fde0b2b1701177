/* The region that holds nodes, directories, tables and the journal: made, copied into a larger one, dropped. Never resized. A region is
 * complete before a link names it, and whatever link is there names one that agrees with its VDir. */
#include "vr_engine_internal.h"
#include "vr_fault.h"
#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

struct at { uint64_t journal, heads, nodes, dirs, table, inos, size; };

static struct at layout(uint32_t node_cap, uint32_t dir_cap) {
  struct at a = {.journal = VR_STATE_HEAD};
  a.heads = a.journal + VR_JOURNAL;
  a.nodes = a.heads + VR_SLOTS * sizeof(uint32_t);
  a.dirs = a.nodes + (uint64_t)node_cap * sizeof(struct vr_node);
  a.table = a.dirs + (uint64_t)dir_cap * sizeof(struct vr_dir);
  a.inos = a.table + (uint64_t)node_cap * 2 * sizeof(uint32_t);
  a.size = (a.inos + (uint64_t)node_cap * 2 * sizeof(uint32_t) + 4095) & ~4095ull;
  return a;
}

static uint64_t build(void) { return vr_hash64(VRIFT_VERSION, sizeof VRIFT_VERSION - 1, VR_STATE_VERSION); }

static uint64_t head_sum(const struct vr_state *s) { return vr_hash64(s, offsetof(struct vr_state, checksum), VR_STATE_MAGIC); }

int vr_state_sound(const uint8_t *base, uint64_t size) {
  struct vr_state s;
  if (size < VR_STATE_HEAD) return 0;
  memcpy(&s, base, sizeof s);
  return s.magic == VR_STATE_MAGIC && s.version == VR_STATE_VERSION && s.build == build() && s.checksum == head_sum(&s) && s.file_size == size &&
         s.node_size == sizeof(struct vr_node) && s.dir_size == sizeof(struct vr_dir) && s.node_cap && !(s.node_cap & (s.node_cap - 1)) &&
         s.node_cap <= 1u << 30 && s.dir_cap && s.dir_cap <= s.node_cap && layout(s.node_cap, s.dir_cap).size == size;
}

void vr_state_use(struct vr_engine *e, const struct vr_region *r) {
  struct vr_state *s = (struct vr_state *)(void *)r->base;
  struct at a = layout(s->node_cap, s->dir_cap);
  e->region = *r;
  e->st = s;
  e->journal = r->base + a.journal;
  e->slot_head = (uint32_t *)(void *)(r->base + a.heads);
  e->nodes = (struct vr_node *)(void *)(r->base + a.nodes);
  e->dirs = (struct vr_dir *)(void *)(r->base + a.dirs);
  e->table = (uint32_t *)(void *)(r->base + a.table);
  e->inos = (uint32_t *)(void *)(r->base + a.inos);
  e->table_mask = e->ino_mask = s->node_cap * 2 - 1;
  if (r->id) mlock(e->journal, VR_JOURNAL); /* so that read() never meets a page that is gone; refused: they are touched before each */
}

void vr_state_spoil(const struct vr_region *r) {
  if (r->base) __atomic_store_n(&((struct vr_state *)(void *)r->base)->spoilt, 1, __ATOMIC_SEQ_CST);
}

void vr_state_drop(struct vr_engine *e, struct vr_region *r) {
  if (!r->base) return;
  vr_state_spoil(r);
  munmap(r->base, r->size);
  if (r->id) vr_shm_remove(e, "state", r->id);
  *r = (struct vr_region){0};
}

static int make(struct vr_engine *e, uint32_t node_cap, uint32_t dir_cap, struct vr_region *r) {
  r->size = layout(node_cap, dir_cap).size;
  r->id = vr_random();
  if (vr_shm_create(e, "state", r->id, r->size, &r->base) < 0) {
    r->id = 0; /* no room: then from the heap, and nobody can go on with it */
    void *p = mmap(NULL, r->size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED) return -ENOMEM;
    r->base = p;
  }
  struct vr_state *s = (struct vr_state *)(void *)r->base;
  s->magic = VR_STATE_MAGIC;
  s->version = VR_STATE_VERSION;
  s->file_size = r->size;
  s->state_id = r->id;
  s->vdir_id = e->vdir.header->vdir_id;
  s->board_id = e->board.header->board_id;
  s->watch_id = e->watch_id;
  s->node_cap = node_cap;
  s->dir_cap = dir_cap;
  s->node_size = sizeof(struct vr_node);
  s->dir_size = sizeof(struct vr_dir);
  s->build = build();
  s->checksum = head_sum(s);
  return 0;
}

/* Only what is in use is copied: the rest is zero already. The marks go along: this may run in the middle of something. */
static void copy(struct vr_engine *e, const struct vr_region *from) {
  const struct vr_state *o = (const struct vr_state *)(const void *)from->base;
  struct vr_state *s = e->st;
  struct at a = layout(o->node_cap, o->dir_cap);
  size_t moving = offsetof(struct vr_state, node_count);
  memcpy((uint8_t *)s + moving, (const uint8_t *)o + moving, sizeof *s - moving);
  s->spoilt = o->spoilt;
  memcpy(e->journal, from->base + a.journal, VR_JOURNAL);
  memcpy(e->slot_head, from->base + a.heads, VR_SLOTS * sizeof(uint32_t));
  memcpy(e->nodes, from->base + a.nodes, (size_t)o->node_count * sizeof *e->nodes);
  memcpy(e->dirs, from->base + a.dirs, (size_t)o->dir_count * sizeof *e->dirs);
  if (s->node_cap != o->node_cap) {
    vr_state_tables(e);
    return;
  }
  memcpy(e->table, from->base + a.table, ((size_t)e->table_mask + 1) * sizeof *e->table);
  memcpy(e->inos, from->base + a.inos, ((size_t)e->ino_mask + 1) * sizeof *e->inos);
}

int vr_state_renew(struct vr_engine *e, uint32_t node_cap, uint32_t dir_cap, struct vr_region *old) {
  uint32_t nodes = 4096, dirs = 1024;
  while (nodes < node_cap && nodes < 1u << 30) nodes *= 2;
  while (dirs < dir_cap && dirs < nodes) dirs *= 2;
  struct vr_region r = {0};
  *old = e->region;
  if (nodes < node_cap || dirs < dir_cap || make(e, nodes, dirs, &r) < 0) return -ENOMEM;
  VR_FAULT(state_creating);
  vr_state_use(e, &r);
  if (old->base) {
    copy(e, old);
  } else {
    memset(e->slot_head, 0xff, VR_SLOTS * sizeof *e->slot_head);
    e->st->dir_count = 1;
    e->st->mounts_hash = e->mounts_hash;
    e->st->corrupt_seen = e->board.dyn->corrupt;
  }
  VR_IN_ORDER();
  e->st->whole = 1;
  VR_IN_ORDER();
  return 0;
}

int vr_state_grow(struct vr_engine *e, uint32_t node_cap, uint32_t dir_cap) {
  struct vr_region old;
  int r = vr_state_renew(e, node_cap, dir_cap, &old);
  if (r < 0) return r;
  /* What the link names from here on must be what is changed: either the new one, or nothing that can be gone on with. */
  r = e->region.id ? vr_name_link(e) : -ENOMEM;
  if (r < 0) vr_name_unlink(e, e->vdir.header->vdir_id), vr_state_spoil(&e->region);
  VR_FAULT(state_linked);
  vr_state_drop(e, &old);
  return 0;
}

/* Both hash tables, from the nodes and their entries. */
void vr_state_tables(struct vr_engine *e) {
  e->st->tabling = 1;
  VR_IN_ORDER();
  memset(e->table, 0, ((size_t)e->table_mask + 1) * sizeof *e->table);
  memset(e->inos, 0, ((size_t)e->ino_mask + 1) * sizeof *e->inos);
  e->ino_used = 0;
  VR_FAULT(tables_emptied);
  for (uint32_t n = 0; n < e->st->node_count; n++) {
    uint32_t at = (uint32_t)e->nodes[n].hash & e->table_mask;
    while (e->table[at]) at = (at + 1) & e->table_mask;
    e->table[at] = n + 1;
    struct vr_entry *x = e->nodes[n].flags & N_CLEAN ? vr_entry_at(e, e->nodes[n].off) : NULL;
    if (x && !(x->state & (VR_ENTRY_GONE | VR_ENTRY_ISDIR))) vr_ino_note(e, n, x->ino);
  }
  VR_IN_ORDER();
  e->st->tabling = 0;
}
