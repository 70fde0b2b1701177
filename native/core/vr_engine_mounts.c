/* The mount table: mounts come and go without an inotify event, but /proc/self/mountinfo can be polled. */
#include "vr_engine_internal.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* Hash of the lines whose mount point is the root, above it or below it: (id, root, mount point). mountinfo's escapes are left
 * as they are: a root with a blank is compared in its escaped form. */
static uint64_t hash_mounts(struct vr_engine *e) {
  char root[VR_ROOT_PATH_MAX * 4 + 2];
  size_t k = 0;
  for (const char *p = e->root; *p; p++) {
    if (*p == ' ' || *p == '\t' || *p == '\n' || *p == '\\') k += (size_t)snprintf(root + k, 5, "\\%03o", (unsigned char)*p);
    else root[k++] = *p;
  }
  root[k] = 0;
  FILE *f = fopen("/proc/self/mountinfo", "re");
  if (!f) return 0;
  char *line = NULL;
  size_t cap = 0;
  uint64_t h = 1;
  while (getline(&line, &cap, f) > 0) {
    char *field[5], *save = NULL, *p = strtok_r(line, " ", &save);
    int i = 0;
    for (; p && i < 5; i++, p = strtok_r(NULL, " ", &save)) field[i] = p;
    if (i < 5) continue;
    size_t n = strlen(field[4]);
    int below = !strncmp(field[4], root, k) && (field[4][k] == 0 || field[4][k] == '/');
    int above = n <= k && !strncmp(root, field[4], n) && (n == 1 || root[n] == 0 || root[n] == '/');
    if (!below && !above) continue;
    h = vr_hash64(field[0], strlen(field[0]), h);
    h = vr_hash64(field[3], strlen(field[3]), h);
    h = vr_hash64(field[4], n, h);
  }
  free(line);
  fclose(f);
  return h ? h : 1;
}

int vr_mounts_init(struct vr_engine *e) {
  e->mounts = open("/proc/self/mountinfo", O_RDONLY | O_CLOEXEC);
  if (e->mounts < 0) return -errno;
  struct pollfd p = {.fd = e->mounts, .events = POLLPRI};
  poll(&p, 1, 0); /* takes the change that every fresh descriptor reports */
  e->mounts_hash = hash_mounts(e);
  return 0;
}

int vr_mounts_changed(struct vr_engine *e) {
  struct pollfd p = {.fd = e->mounts, .events = POLLPRI};
  int told = e->mounts_told; /* a poll between two turns was told, and the kernel tells each change once */
  e->mounts_told = 0;
  if (!told && (poll(&p, 1, 0) <= 0 || !(p.revents & (POLLPRI | POLLERR)))) return 0;
  uint64_t h = hash_mounts(e);
  if (h == e->mounts_hash) return 0;
  e->mounts_hash = h;
  return 1;
}
