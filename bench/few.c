/* A short process: N questions about files of a project made by bench/run, then exit. Usage: few DIR FILES N */
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

int main(int argc, char **argv) {
  char path[4096];
  struct stat s;
  if (argc != 4) return 2;
  unsigned files = (unsigned)atoi(argv[2]), n = (unsigned)atoi(argv[3]), at = 17;
  for (unsigned i = 0; i < n; i++) {
    at = (at * 1103515245u + 12345u) % files;
    snprintf(path, sizeof path, "%s/d%u/f%u", argv[1], at / 100, at);
    if (stat(path, &s)) return 1;
  }
  return 0;
}
