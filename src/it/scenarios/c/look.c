/* Answers questions line by line on standard input: prints the size of the file named, or -1. The partner of staleness tests. */
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int main(void) {
  char line[4096];
  for (;;) {
    size_t n = 0;
    while (n < sizeof line - 1 && read(0, line + n, 1) == 1 && line[n] != '\n') n++;
    if (n == 0) return 0;
    line[n] = 0;
    struct stat s;
    char out[64];
    int len = snprintf(out, sizeof out, "%lld\n", stat(line, &s) ? -1LL : (long long)s.st_size);
    if (write(1, out, (size_t)len) != len) return 1;
  }
}
