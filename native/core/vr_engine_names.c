/* Names in the project's directory, that of the map link: state.<vdir>, a link whose text is the id of the state file that agrees with that
 * VDir; shm.<kind>.<id>, there from before a file of ours in /dev/shm exists until after it is gone, so that a successor finds what a kill left. */
#include "vr_engine_internal.h"
#include "vr_fault.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#define NAME_MAX_BYTES (VR_REL_MAX + 64)

static int in_project(struct vr_engine *e, char out[NAME_MAX_BYTES], const char *format, const char *kind, uint64_t id) {
  const char *slash = strrchr(e->map_path, '/');
  int len = slash ? (int)(slash - e->map_path) : 1;
  int n = snprintf(out, NAME_MAX_BYTES, "%.*s/", len, slash ? e->map_path : ".");
  return n + snprintf(out + n, (size_t)(NAME_MAX_BYTES - n), format, kind, (unsigned long long)id);
}

/* A marker that cannot be made is no reason to fail: what it would have named is then found by the health loop. */
void vr_name_marker(struct vr_engine *e, const char *kind, uint64_t id, int there) {
  char name[NAME_MAX_BYTES];
  in_project(e, name, "shm.%s.%016llx", kind, id);
  int fd = there ? open(name, O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600) : -1;
  if (fd >= 0) close(fd);
  if (!there) unlink(name);
}

int vr_name_link(struct vr_engine *e) {
  char name[NAME_MAX_BYTES], tmp[NAME_MAX_BYTES], text[20];
  uint64_t vdir = e->vdir.header->vdir_id;
  in_project(e, name, "%s.%016llx", "state", vdir);
  in_project(e, tmp, "%s.%016llx.new", "state", vdir);
  snprintf(text, sizeof text, "%016llx", (unsigned long long)e->region.id);
  unlink(tmp);
  if (symlink(text, tmp) < 0) return -errno;
  VR_FAULT(state_linking);
  if (rename(tmp, name) == 0) return 0;
  int r = -errno;
  unlink(tmp);
  return r;
}

/* Exactly 16 hex digits. */
static int is_id(const char *text, uint64_t *id) {
  *id = 0;
  for (int i = 0; i < 16; i++) {
    char c = text[i];
    int v = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
    if (v < 0) return 0;
    *id = *id << 4 | (unsigned)v;
  }
  return text[16] == 0;
}

uint64_t vr_name_state(struct vr_engine *e, uint64_t vdir) {
  char name[NAME_MAX_BYTES], text[20] = {0};
  uint64_t id;
  in_project(e, name, "%s.%016llx", "state", vdir);
  return readlink(name, text, sizeof text - 1) == 16 && is_id(text, &id) ? id : 0;
}

void vr_name_unlink(struct vr_engine *e, uint64_t vdir) {
  char name[NAME_MAX_BYTES];
  in_project(e, name, "%s.%016llx", "state", vdir);
  unlink(name);
}

/* Whoever still maps it looks for the one that is known. */
static void supersede(const char *kind, uint64_t id) {
  char name[64];
  uint8_t *p;
  uint64_t size;
  int board = !strcmp(kind, "board");
  snprintf(name, sizeof name, "vrift_%s_%016llx", kind, (unsigned long long)id);
  if (vr_shm_open(name, 1, 0, &p, &size) < 0) return;
  if (board ? size == VR_BOARD_SIZE : size > VR_INDEX_OFFSET)
    vr_set_gone(board ? &((struct vr_board_dyn *)(void *)(p + VR_BOARD_DYN_OFFSET))->superseded : &((struct vr_dyn *)(void *)(p + VR_DYN_OFFSET))->superseded);
  munmap(p, size);
  vr_bus_remove(p);
}

static void sweep_one(struct vr_engine *e, const char *name, uint64_t vdir, uint64_t board, uint64_t state) {
  static const char *const kinds[] = {"vdir", "board", "state"};
  const uint64_t kept[] = {vdir, board, state};
  uint64_t id;
  for (int k = 0; k < 3; k++) {
    size_t n = strlen(kinds[k]);
    if (strncmp(name, "shm.", 4) || strncmp(name + 4, kinds[k], n) || name[4 + n] != '.' || !is_id(name + 5 + n, &id) || id == kept[k]) continue;
    if (k < 2) supersede(kinds[k], id);
    vr_shm_remove(e, kinds[k], id);
    return;
  }
  if (strncmp(name, "state.", 6)) return;
  char path[NAME_MAX_BYTES];
  if (is_id(name + 6, &id)) {
    if (id != vdir || vr_name_state(e, id) != state) vr_name_unlink(e, id);
  } else if (strlen(name) == 26 && !strcmp(name + 22, ".new")) {
    in_project(e, path, "%s", name, 0);
    unlink(path);
  }
}

void vr_names_sweep(struct vr_engine *e, uint64_t vdir, uint64_t board, uint64_t state) {
  char path[NAME_MAX_BYTES];
  in_project(e, path, "%s", ".", 0);
  DIR *d = opendir(path);
  if (!d) return;
  for (struct dirent *de; (de = readdir(d));) sweep_one(e, de->d_name, vdir, board, state);
  closedir(d);
}
