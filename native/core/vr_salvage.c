/* The salvage area of a project: what a promotion or a rollback takes away from view. The daemon bounds it. */
#include "vr_fault.h"
#include "vr_stage.h"

#define SALVAGE_DIR ".vrift/salvage"
#define ENCODED_MAX 190 /* leaves room for the stamp, the pid and the suffix in 255 bytes */

static int plain(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '_' || c == '-' || c == '+';
}
static char *number(char *at, uint64_t v) {
  char d[20];
  int n = 0;
  do d[n++] = (char)('0' + v % 10);
  while ((v /= 10) != 0);
  while (n) *at++ = d[--n];
  return at;
}

/* Other bytes than [A-Za-z0-9._+-] become %XX. A path too long for one name keeps its hash ("%%" and 16 digits) and its end. */
int vr_salvage_name(const char *path, uint32_t len, uint64_t stamp, uint32_t pid, char out[VR_SALVAGE_PATH_MAX]) {
  memcpy(out, SALVAGE_DIR "/", sizeof SALVAGE_DIR);
  char *begin = out + sizeof SALVAGE_DIR, *at = begin;
  uint32_t need = 0, from = len;
  for (uint32_t i = 0; i < len; i++) need += plain(path[i]) ? 1 : 3;
  if (need <= ENCODED_MAX) {
    from = 0;
  } else {
    uint64_t h = vr_hash64(path, len, 0);
    *at++ = '%';
    *at++ = '%';
    for (int shift = 60; shift >= 0; shift -= 4) *at++ = "0123456789abcdef"[(h >> shift) & 15];
    uint32_t room = ENCODED_MAX - 18;
    while (from && room >= 3) room -= plain(path[--from]) ? 1 : 3;
  }
  for (uint32_t i = from; i < len; i++) {
    uint8_t c = (uint8_t)path[i];
    if (plain((char)c)) {
      *at++ = (char)c;
    } else {
      *at++ = '%';
      *at++ = "0123456789ABCDEF"[c >> 4];
      *at++ = "0123456789ABCDEF"[c & 15];
    }
  }
  if (stamp) {
    *at++ = '.';
    at = number(at, stamp);
    *at++ = '_';
    at = number(at, pid);
    memcpy(at, ".new", 5);
  } else {
    memcpy(at, ".old", 5);
  }
  return (int)(at + 4 - out);
}

/* A project that somebody else has made may hold a link of that name, which would lead our files out of it. It goes; in .vrift nothing but ours has a place. */
static void drop_planted(const struct vr_stage_place *p) {
  struct statx st;
  if (vr_statx(p->root_fd, SALVAGE_DIR, AT_SYMLINK_NOFOLLOW, &st) == 0 && !S_ISDIR(st.stx_mode)) vr_unlinkat(p->root_fd, SALVAGE_DIR, 0);
}

/* Links the present target as .old, replacing an older one of the same path. Best effort: promotion does not depend on it. */
void vr_salvage_keep_old(const struct vr_stage_place *p, const struct vr_staged *r) {
  char name[VR_SALVAGE_PATH_MAX];
  vr_salvage_name((const char *)r->path, r->path_len, 0, 0, name);
  VR_FAULT(old_link_before);
  drop_planted(p);
  int e = vr_linkat(p->parent_fd, p->base, p->root_fd, name, 0);
  if (e == -ENOENT && vr_mkdirat(p->root_fd, SALVAGE_DIR, 0700) == 0) e = vr_linkat(p->parent_fd, p->base, p->root_fd, name, 0);
  if (e == -EEXIST && vr_unlinkat(p->root_fd, name, 0) == 0) vr_linkat(p->parent_fd, p->base, p->root_fd, name, 0);
  VR_FAULT(old_link_after);
}

/* Moves the staging file into salvage. 0 or -errno (then it stays where it is, and the daemon's sweep takes it). */
int vr_salvage_move(const struct vr_stage_place *p, const struct vr_staged *r) {
  char name[VR_SALVAGE_PATH_MAX];
  vr_salvage_name((const char *)r->path, r->path_len, r->stamp, r->pid, name);
  int e = VR_FAULT(salvage_before);
  drop_planted(p);
  if (e == 0) e = vr_renameat2(p->root_fd, p->name, p->root_fd, name, 0);
  if (e == -ENOENT && vr_mkdirat(p->root_fd, SALVAGE_DIR, 0700) == 0) e = vr_renameat2(p->root_fd, p->name, p->root_fd, name, 0);
  VR_FAULT(salvage_after);
  return e;
}
