/* Times output files. Usage: outputs DIR COUNT; prints JSON: microseconds per file created, rewritten (4 KiB each), unlinked. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

static char block[4096];
static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}
static int put(const char *dir, int i, int round) {
  char path[4096];
  snprintf(path, sizeof path, "%s/out%d.o", dir, i);
  int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
  block[0] = (char)round;
  return fd < 0 || write(fd, block, sizeof block) != sizeof block || close(fd);
}
int main(int argc, char **argv) {
  int count = argc == 3 ? atoi(argv[2]) : 0;
  if (count < 1) return 2;
  double t0 = now(), t1, t2;
  for (int i = 0; i < count; i++) if (put(argv[1], i, 1)) return 1;
  t1 = now();
  for (int i = 0; i < count; i++) if (put(argv[1], i, 2)) return 1;
  t2 = now();
  for (int i = 0; i < count; i++) {
    char path[4096];
    snprintf(path, sizeof path, "%s/out%d.o", argv[1], i);
    if (unlink(path)) return 1;
  }
  printf("{\"create\": %.2f, \"rewrite\": %.2f, \"unlink\": %.2f}\n", (t1 - t0) / count, (t2 - t1) / count, (now() - t2) / count);
  return 0;
}
