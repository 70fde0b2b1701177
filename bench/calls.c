/* Times path questions. Usage: calls DIR FILES hot|random abs|rel SECONDS_PER_OP
 * DIR holds d<k>/f<i> with 100 files a directory, FILES in all. Prints one JSON object: ns per call and operation, the least
 * of several batches (the machine's noise only adds). Run natively and under vrift in turn by bench/run. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { PATHS = 10000, BATCH = 2000 };
static char *present[PATHS], *absent[PATHS], *links[PATHS];
static char names[PATHS][32];
static int folders[PATHS];
static int used;
static unsigned order[PATHS];
static volatile long sink;

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}
static void op_stat(int i) { struct stat s; sink += stat(present[i], &s); }
static void op_lstat(int i) { struct stat s; sink += lstat(present[i], &s); }
static void op_fstatat(int i) { struct stat s; sink += fstatat(folders[i], names[i], &s, 0); }
static void op_statx(int i) { struct statx s; sink += statx(AT_FDCWD, present[i], 0, STATX_BASIC_STATS, &s); }
static void op_access(int i) { sink += access(present[i], R_OK); }
static void op_enoent(int i) { struct stat s; sink += stat(absent[i], &s); }
static void op_open_enoent(int i) { sink += open(absent[i], O_RDONLY); }
static void op_readlink(int i) { char b[256]; sink += readlink(links[i], b, sizeof b); }
static void op_realpath(int i) { char b[PATH_MAX]; sink += realpath(present[i], b) != NULL; }

static const struct { const char *name; void (*run)(int); } ops[] = {
  {"stat", op_stat}, {"lstat", op_lstat}, {"fstatat", op_fstatat}, {"statx", op_statx}, {"access", op_access},
  {"enoent", op_enoent}, {"open_enoent", op_open_enoent}, {"readlink", op_readlink}, {"realpath", op_realpath}};

static double measure(void (*run)(int), double seconds, int hot) {
  double best = 1e18, end = now() + seconds * 1e9;
  unsigned at = 0;
  do {
    double t = now();
    for (int i = 0; i < BATCH; i++) run(hot ? 7 % used : (int)order[at++ % (unsigned)used]);
    t = (now() - t) / BATCH;
    if (t < best) best = t;
  } while (now() < end);
  return best;
}

int main(int argc, char **argv) {
  if (argc != 6) { fprintf(stderr, "usage: calls DIR FILES hot|random abs|rel SECONDS\n"); return 2; }
  int files = atoi(argv[2]), hot = !strcmp(argv[3], "hot"), absolute = !strcmp(argv[4], "abs");
  double seconds = atof(argv[5]);
  unsigned seed = 12345;
  char root[PATH_MAX];
  if (files < 100 || chdir(argv[1]) || !getcwd(root, sizeof root)) { perror(argv[1]); return 2; }
  used = files < PATHS ? files : PATHS;
  for (int i = 0; i < used; i++) {
    unsigned f = (unsigned)((double)i * files / used), d = f / 100;
    const char *base = absolute ? root : ".";
    char b[PATH_MAX];
#define MAKE(dst, ...) do { snprintf(b, sizeof b, __VA_ARGS__); dst = strdup(absolute ? b : b + 2); } while (0)
    MAKE(present[i], "%s/d%u/f%u", base, d, f);
    MAKE(absent[i], "%s/d%u/n%u", base, d, f);
    MAKE(links[i], "%s/links/l%u", base, f % 100);
    snprintf(names[i], sizeof names[i], "f%u", f);
    snprintf(b, sizeof b, "d%u", d);
    static int folder = -1;
    static unsigned opened = (unsigned)-1;
    if (opened != d && i < 400) folder = open(b, O_RDONLY | O_DIRECTORY), opened = d;
    folders[i] = i < 400 ? folder : folders[i % 400];
    if (i >= 400) memcpy(names[i], names[i % 400], sizeof names[i]);
    order[i] = (unsigned)i;
  }
  for (int i = used - 1; i > 0; i--) {
    unsigned j = (seed = seed * 1103515245u + 12345u) / 65536 % (unsigned)(i + 1), t = order[i];
    order[i] = order[j];
    order[j] = t;
  }
  for (double end = now() + 0.3e9; now() < end;) op_stat((int)order[(unsigned)sink % (unsigned)used]), op_enoent(3 % used);
  printf("{");
  for (size_t o = 0; o < sizeof ops / sizeof *ops; o++)
    printf("%s\"%s\": %.1f", o ? ", " : "", ops[o].name, measure(ops[o].run, seconds, hot));
  printf("}\n");
  return 0;
}
