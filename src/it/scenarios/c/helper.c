/* A statically linked partner: reads "path bytes" lines, rewrites that file with so many bytes (0: unlinks), answers "ok". */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

int main(void) {
  char line[4096], path[4000];
  int bytes;
  while (fgets(line, sizeof line, stdin)) {
    if (sscanf(line, "%3999s %d", path, &bytes) != 2) return 1;
    if (!bytes) unlink(path);
    else {
      int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
      static char block[65536];
      memset(block, 'x', sizeof block);
      if (fd < 0 || write(fd, block, (size_t)bytes) != bytes) return 1;
      close(fd);
    }
    puts("ok");
    fflush(stdout);
  }
  return 0;
}
