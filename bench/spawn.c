/* Times fresh processes. Usage: spawn COUNT PROGRAM [ARG...]; prints the median wall time of one run, in microseconds. */
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>

extern char **environ;
static int by_value(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return x < y ? -1 : x > y;
}
int main(int argc, char **argv) {
  int count = argc > 2 ? atoi(argv[1]) : 0;
  if (count < 1 || count > 100000) { fprintf(stderr, "usage: spawn COUNT PROGRAM [ARG...]\n"); return 2; }
  double *t = calloc((size_t)count, sizeof *t);
  for (int i = 0; i < count; i++) {
    struct timespec a, b;
    pid_t pid;
    int status;
    clock_gettime(CLOCK_MONOTONIC, &a);
    if (posix_spawn(&pid, argv[2], NULL, NULL, argv + 2, environ) || waitpid(pid, &status, 0) != pid || status) {
      fprintf(stderr, "spawn: %s failed\n", argv[2]);
      return 1;
    }
    clock_gettime(CLOCK_MONOTONIC, &b);
    t[i] = (double)(b.tv_sec - a.tv_sec) * 1e6 + (double)(b.tv_nsec - a.tv_nsec) / 1e3;
  }
  qsort(t, (size_t)count, sizeof *t, by_value);
  printf("%.1f\n", t[count / 2]);
  return 0;
}
