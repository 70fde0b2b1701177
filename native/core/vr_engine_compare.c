/* `vrift verify`: memory against the tree, and what changed since it was last asked, for the metadata store. */
#include "vr_engine_internal.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>

struct out { uint8_t *at; size_t cap, used; };

static int put16(uint8_t *p, size_t v) { p[0] = (uint8_t)v, p[1] = (uint8_t)(v >> 8); return 0; }

static void differ(struct out *o, const char *rel, int len, const char *field, unsigned long long memory, unsigned long long kernel) {
  char a[32], b[32];
  size_t f = strlen(field), x = (size_t)snprintf(a, sizeof a, "%llu", memory), y = (size_t)snprintf(b, sizeof b, "%llu", kernel);
  size_t need = 8 + (size_t)len + f + x + y;
  if (o->used + need > o->cap) return;
  uint8_t *p = o->at + o->used;
  put16(p, (size_t)len), put16(p + 2, f), put16(p + 4, x), put16(p + 6, y);
  memcpy(p + 8, rel, (size_t)len);
  memcpy(p + 8 + len, field, f);
  memcpy(p + 8 + (size_t)len + f, a, x);
  memcpy(p + 8 + (size_t)len + f + x, b, y);
  o->used += need;
}

static void compare_one(struct vr_engine *e, uint32_t n, struct out *o) {
  char rel[VR_REL_MAX];
  struct statx st;
  int len = vr_node_path(e, n, rel);
  struct vr_entry *x = vr_entry_at(e, e->nodes[n].off);
  if (len < 0 || !x) return;
  int r = statx(e->root_fd, rel, AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH, STATX_BASIC_STATS | STATX_BTIME, &st) < 0 ? errno : 0;
  if (x->state & VR_ENTRY_GONE) {
    if (r == 0) differ(o, rel, len, "exists", 0, 1);
    return;
  }
  if (r) {
    differ(o, rel, len, "exists", 1, 0);
    return;
  }
#define FIELD(name, kernel) \
  if (x->name != (kernel)) differ(o, rel, len, #name, x->name, (unsigned long long)(kernel))
  FIELD(ino, st.stx_ino);
  FIELD(size, st.stx_size);
  FIELD(blocks, st.stx_blocks);
  FIELD(mode, st.stx_mode);
  FIELD(nlink, st.stx_nlink);
  FIELD(uid, st.stx_uid);
  FIELD(gid, st.stx_gid);
  FIELD(mtime, (uint64_t)st.stx_mtime.tv_sec);
  FIELD(mtime_ns, st.stx_mtime.tv_nsec);
  FIELD(ctime, (uint64_t)st.stx_ctime.tv_sec);
  FIELD(ctime_ns, st.stx_ctime.tv_nsec);
  FIELD(atime, (uint64_t)st.stx_atime.tv_sec);
  FIELD(atime_ns, st.stx_atime.tv_nsec);
#undef FIELD
}

/* An answer that could be given now: CLEAN, its slot and G clean. Two looks with a drain between would be needed to call a
 * difference an error while somebody writes; the caller asks again for those it got. */
int vr_engine_compare(struct vr_engine *e, uint32_t *cursor, uint32_t max, uint8_t *out, size_t cap, uint64_t *checked) {
  struct out o = {out, cap, 0};
  uint32_t n = *cursor;
  for (uint32_t i = 0; i < max && n < e->st->node_count; i++, n++) {
    if (o.used + VR_REL_MAX * 2 > cap) break;
    uint32_t s = vr_slot(e->nodes[n].hash);
    if (!(e->nodes[n].flags & N_CLEAN) || __atomic_load_n(&e->board.ver[s], __ATOMIC_SEQ_CST) != e->pub[s]) continue;
    ++*checked;
    compare_one(e, n, &o);
  }
  *cursor = n < e->st->node_count ? n : UINT32_MAX;
  return (int)o.used;
}

int vr_engine_changes(struct vr_engine *e, uint8_t *out, size_t cap) {
  size_t used = 0;
  while (e->changes.count && used + 8 + sizeof(struct vr_entry) + VR_REL_MAX <= cap) {
    uint32_t n = vr_queue_pop(&e->changes);
    e->nodes[n].flags &= (uint16_t)~N_CHANGED;
    struct vr_entry *x = vr_entry_at(e, e->nodes[n].off);
    if (!x || !x->path_len || !(e->nodes[n].flags & N_CLEAN) || !vr_entry_sound(e, n)) continue;
    memset(out + used, 0, 8);
    put16(out + used, x->path_len);
    memcpy(out + used + 8, x, sizeof *x + x->path_len);
    used += 8 + sizeof *x + x->path_len;
  }
  return (int)used;
}
