/* One side of the staleness and kill rounds; src/it/rounds is the other. Links no vrift.
 *   stale_rounds look FILE MS              asks much until memory may answer, naps for MS, prints "<size> <mtime> <inode>" of FILE, or "absent"
 *   stale_rounds pipe DIR FIFO_IN FIFO_OUT ROUNDS   tells an unseen partner to change DIR/f<n>, waits for its answer, looks
 *   stale_rounds partner DIR FIFO_IN FIFO_OUT       the partner: changes what it is told to
 *   stale_rounds child DIR ROUNDS HELPER   runs the unseen HELPER (`HELPER partner1 DIR n size`), waits, looks
 *   stale_rounds partner1 DIR N SIZE       changes DIR/f<n> to that size and exits (link it statically: unseen)
 *   stale_rounds write FILE                opens FILE with O_TRUNC, writes half of it, says so on stdout, waits for ever
 *   stale_rounds noise DIR SECONDS         a busy writer: creates, renames, removes, asks
 * pipe and child print {"rounds","stale","first"}; exit code 1 if anything was stale. */
#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define FILES 8
extern char **environ;

/* A change is one of: rewritten to a size, removed and made anew, replaced by rename, removed (size 0). */
static int change(const char *dir, int n, long size) {
  char p[4096], q[4096 + 8];
  snprintf(p, sizeof p, "%s/f%d", dir, n % FILES);
  snprintf(q, sizeof q, "%s.new", p);
  if (size == 0) return unlink(p) == 0 || errno == ENOENT ? 0 : -1;
  if (size % 3 == 1) unlink(p);
  const char *to = size % 3 == 2 ? q : p;
  int fd = open(to, O_WRONLY | O_CREAT | O_TRUNC, 0644);
  if (fd < 0 || ftruncate(fd, size) < 0) return -1;
  close(fd);
  return to == q ? rename(q, p) : 0;
}

static long size_of(const char *dir, int n) {
  char p[4096];
  struct stat st;
  snprintf(p, sizeof p, "%s/f%d", dir, n % FILES);
  return stat(p, &st) == 0 ? (long)st.st_size : errno == ENOENT ? 0 : -1;
}

/* Lets memory know the files before the next round; every 8th time long enough for settling. */
static void warm(const char *dir, int round) {
  for (int i = 0; i < FILES; i++) size_of(dir, i);
  struct timespec ts = {0, (round % 8 == 0 ? 80 : round % 2 ? 5 : 0) * 1000000L};
  if (ts.tv_nsec) nanosleep(&ts, NULL);
  for (int i = 0; i < FILES; i++) size_of(dir, i);
}

static int result(int rounds, int stale, const char *first) {
  printf("{\"rounds\":%d,\"stale\":%d,\"first\":\"%s\"}\n", rounds, stale, first);
  return stale ? 1 : 0;
}

static long wanted_size(int round) { return round % 7 == 6 ? 0 : round + 1; }

static void note(char *first, size_t cap, int *stale, int round, long got, long wanted) {
  if ((*stale)++ == 0) snprintf(first, cap, "round %d: size %ld, should be %ld", round, got, wanted);
}

/* Until a process that asks is answered from memory. */
static void warm_up(void) {
  struct timespec nap = {0, 2000000};
  struct stat st;
  for (int i = 0; i < 200; i++) {
    for (int k = 0; k < 20; k++) stat(".", &st);
    nanosleep(&nap, NULL);
  }
}

static int rounds_over_pipe(char **argv) {
  int in = open(argv[3], O_RDWR), out = open(argv[4], O_RDWR), rounds = atoi(argv[5]), stale = 0;
  char first[128] = "", line[64], answer;
  if (in < 0 || out < 0) return 2;
  warm_up();
  for (int r = 0; r < rounds; r++) {
    warm(argv[2], r);
    int n = snprintf(line, sizeof line, "%8d%16ld", r, wanted_size(r));
    if (write(out, line, (size_t)n) != n || read(in, &answer, 1) != 1) return 2;
    long got = size_of(argv[2], r);
    if (got != wanted_size(r)) note(first, sizeof first, &stale, r, got, wanted_size(r));
  }
  if (write(out, "      -1               0", 24) != 24) return 2;
  return result(rounds, stale, first);
}

static int partner(char **argv) {
  int in = open(argv[3], O_RDWR), out = open(argv[4], O_RDWR);
  char line[25];
  if (in < 0 || out < 0) return 2;
  for (;;) {
    if (read(in, line, 24) != 24) return 2;
    line[24] = 0;
    long size = strtol(line + 8, NULL, 10);
    line[8] = 0;
    int n = atoi(line);
    if (n < 0) return 0;
    if (change(argv[2], n, size) < 0 || write(out, "y", 1) != 1) return 2;
  }
}

static int rounds_over_child(char **argv) {
  int rounds = atoi(argv[3]), stale = 0;
  char first[128] = "", n[16], size[24];
  warm_up();
  for (int r = 0; r < rounds; r++) {
    warm(argv[2], r);
    snprintf(n, sizeof n, "%d", r);
    snprintf(size, sizeof size, "%ld", wanted_size(r));
    char *child[] = {argv[4], "partner1", argv[2], n, size, NULL};
    pid_t pid;
    int status;
    if (posix_spawn(&pid, argv[4], NULL, NULL, child, environ) != 0 || waitpid(pid, &status, 0) != pid || status != 0) return 2;
    long got = size_of(argv[2], r);
    if (got != wanted_size(r)) note(first, sizeof first, &stale, r, got, wanted_size(r));
  }
  return result(rounds, stale, first);
}

static int noise(const char *dir, double seconds) {
  char p[4096], q[4096];
  struct stat st;
  time_t end = time(NULL) + (time_t)seconds + 1;
  for (unsigned i = 0; time(NULL) < end; i++) {
    snprintf(p, sizeof p, "%s/noise%u.o", dir, i % 32);
    snprintf(q, sizeof q, "%s/noise%u.d", dir, (i * 7) % 32);
    int fd = open(p, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    if (fd >= 0) {
      if (write(fd, "noise", 5) < 0) return 2;
      close(fd);
    }
    if (i % 3 == 0) rename(p, q);
    if (i % 5 == 0) unlink(q);
    stat(q, &st);
    usleep(1000);
  }
  return 0;
}

static int half_a_file(const char *path) {
  char half[8192];
  memset(half, 'x', sizeof half);
  int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
  if (fd < 0 || write(fd, half, sizeof half) < 0) return 2;
  if (write(1, "written\n", 8) != 8) return 2;
  for (;;) pause();
}

int main(int argc, char **argv) {
  const char *what = argc > 2 ? argv[1] : "";
  if (strcmp(what, "look") == 0 && argc == 4) {
    struct stat st;
    struct timespec nap = {0, atol(argv[3]) * 1000000};
    for (int i = 0; i < 200; i++) stat(".", &st);
    if (nap.tv_nsec) nanosleep(&nap, NULL);
    if (stat(argv[2], &st) == 0 && stat(argv[2], &st) == 0)
      printf("%ld %ld.%09ld %lu\n", (long)st.st_size, (long)st.st_mtim.tv_sec, st.st_mtim.tv_nsec, (unsigned long)st.st_ino);
    else printf("absent\n");
    return 0;
  }
  if (strcmp(what, "pipe") == 0 && argc == 6) return rounds_over_pipe(argv);
  if (strcmp(what, "partner") == 0 && argc == 5) return partner(argv);
  if (strcmp(what, "child") == 0 && argc == 5) return rounds_over_child(argv);
  if (strcmp(what, "partner1") == 0 && argc == 5) return change(argv[2], atoi(argv[3]), atol(argv[4])) < 0 ? 2 : 0;
  if (strcmp(what, "write") == 0) return half_a_file(argv[2]);
  if (strcmp(what, "noise") == 0 && argc == 4) return noise(argv[2], atof(argv[3]));
  fprintf(stderr, "stale_rounds: see the head of its source\n");
  return 2;
}
