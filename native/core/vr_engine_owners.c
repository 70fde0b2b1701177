/* Whose records are these? Dead owners by pidfd, escaped descriptors by a look at /proc. */
#include "vr_engine_internal.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#define START_SLACK_NS 20000000ull
#define WATCHER_TICK_NS 10000000ull /* of the times in the board's watchers */

static uint64_t start_ns(uint32_t pid) {
  char name[48], buf[1024];
  snprintf(name, sizeof name, "/proc/%u/stat", pid);
  int fd = open(name, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return 0;
  ssize_t n = read(fd, buf, sizeof buf - 1);
  close(fd);
  if (n <= 0) return 0;
  buf[n] = 0;
  char *p = strrchr(buf, ')');
  for (int i = 2; p && i < 22; i++) p = strchr(p + 1, ' ');
  return p ? strtoull(p + 1, NULL, 10) * (1000000000ull / (uint64_t)sysconf(_SC_CLK_TCK)) : 0;
}

int vr_owner_dead(uint32_t pid, uint64_t time_ns) {
  if (pid == 0 || pid > INT32_MAX) return 1;
  int fd = (int)syscall(SYS_pidfd_open, (pid_t)pid, 0);
  if (fd < 0) return errno == ESRCH || (errno == EINVAL); /* EINVAL: a thread, not a process; its number was reused */
  struct pollfd p = {.fd = fd, .events = POLLIN};
  int dead = poll(&p, 1, 0) == 1; /* true for zombies, and only when the last thread has ended */
  close(fd);
  return dead || start_ns(pid) > time_ns + START_SLACK_NS;
}

void vr_reap_watchers(struct vr_engine *e) {
  uint64_t now = vr_clock(CLOCK_BOOTTIME) / WATCHER_TICK_NS + 1;
  for (unsigned i = 0; i < VR_BOARD_WATCHERS; i++) {
    uint64_t w = __atomic_load_n(&e->board.watchers[i], __ATOMIC_SEQ_CST);
    uint32_t age = (uint32_t)(now - (w >> 32)); /* the time has 32 bits, which go round after 497 days */
    if (age > 1u << 31) age = 0;                /* it registered just now */
    if (!w || age > now || !vr_owner_dead((uint32_t)w & ~VR_BOARD_WATCHER_COUNTED, (now - age) * WATCHER_TICK_NS)) continue;
    if (!__atomic_compare_exchange_n(&e->board.watchers[i], &w, 0, 0, __ATOMIC_SEQ_CST, __ATOMIC_RELAXED) || !(w & VR_BOARD_WATCHER_COUNTED)) continue;
    uint32_t n = __atomic_load_n(&e->board.dyn->no_stage, __ATOMIC_SEQ_CST);
    while (n && !__atomic_compare_exchange_n(&e->board.dyn->no_stage, &n, n - 1, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)) {
    }
  }
}

struct wanted { uint64_t ino; int used; };

static void mark(struct wanted *w, int count, uint64_t ino) {
  for (int i = 0; i < count; i++)
    if (w[i].ino == ino) w[i].used = 1;
}

static void look_at_fds(const char *pid, uint64_t dev, struct wanted *w, int count) {
  char name[320];
  snprintf(name, sizeof name, "/proc/%s/fd", pid);
  DIR *d = opendir(name);
  if (!d) return;
  for (struct dirent *de; (de = readdir(d));) {
    struct stat st;
    if (de->d_name[0] == '.' || fstatat(dirfd(d), de->d_name, &st, 0) < 0 || st.st_dev != dev) continue;
    struct stat link; /* the mode of the link itself: its write bit is the descriptor's */
    if (fstatat(dirfd(d), de->d_name, &link, AT_SYMLINK_NOFOLLOW) == 0 && (link.st_mode & 0200)) mark(w, count, st.st_ino);
  }
  closedir(d);
}

static void look_at_maps(const char *pid, struct wanted *w, int count) {
  char name[320];
  snprintf(name, sizeof name, "/proc/%s/maps", pid);
  FILE *f = fopen(name, "re");
  if (!f) return;
  char *line = NULL;
  size_t cap = 0;
  while (getline(&line, &cap, f) > 0) {
    char perms[8];
    unsigned long long ino;
    if (sscanf(line, "%*s %7s %*s %*s %llu", perms, &ino) != 2) continue;
    /* Some filesystems (btrfs) show another device number here than in stat: shared mappings count by inode alone. */
    if (perms[3] == 's' && ino) mark(w, count, ino);
  }
  free(line);
  fclose(f);
}

int vr_engine_free_escaped(struct vr_board *b, uint64_t root_dev) {
  enum { MANY = 256 };
  struct wanted w[MANY];
  int index[MANY], count = 0, freed = 0;
  uint32_t high = vr_high(__atomic_load_n(&b->dyn->record_high, __ATOMIC_SEQ_CST), VR_BOARD_RECORDS);
  for (uint32_t i = 0; i < high && count < MANY; i++) {
    struct vr_record *r = &b->records[i];
    if (__atomic_load_n(&r->state, __ATOMIC_SEQ_CST) != VR_BOARD_RECORD_LIVE || __atomic_load_n(&r->kind, __ATOMIC_SEQ_CST) != VR_BOARD_KIND_ESCAPED ||
        r->staged || r->sum != vr_record_sum(r))
      continue;
    index[count] = (int)i;
    w[count++] = (struct wanted){__atomic_load_n(&r->ino[0], __ATOMIC_RELAXED), 0};
  }
  DIR *d = count ? opendir("/proc") : NULL;
  if (!d) return 0;
  for (struct dirent *de; (de = readdir(d));) {
    if (de->d_name[0] < '0' || de->d_name[0] > '9') continue;
    look_at_fds(de->d_name, root_dev, w, count);
    look_at_maps(de->d_name, w, count);
  }
  closedir(d);
  for (int i = 0; i < count; i++) {
    struct vr_record *r = &b->records[index[i]];
    if (w[i].used || __atomic_load_n(&r->kind, __ATOMIC_SEQ_CST) != VR_BOARD_KIND_ESCAPED ||
        __atomic_load_n(&r->ino[0], __ATOMIC_SEQ_CST) != w[i].ino)
      continue;
    vr_held_release(b, index[i]);
    freed++;
  }
  return freed;
}
