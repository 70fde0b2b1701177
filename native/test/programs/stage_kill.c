/* kill -9 of a writer at random moments; the file is looked at directly after wait().
 *   stage_kill SEED ROUNDS    prints "rounds R committed C kept K torn T"; torn: neither the last complete version nor the one before
 * The writer is this program again ("write PATH VERSION"), so that it has a start, a main and an end to be killed in. SHIM names the
 * library for the writer only: the one who looks sees what is really there. */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define CHUNKS 8
#define CHUNK 5000

static int do_write(const char *path, char version) {
  static char chunk[CHUNK];
  memset(chunk, version, sizeof chunk);
  int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0666);
  if (fd < 0) return 1;
  for (int i = 0; i < CHUNKS; i++) {
    if (write(fd, chunk, sizeof chunk) != sizeof chunk) return 1;
    usleep(150);
  }
  return close(fd);
}

/* The version in the file; 0: absent; -1: torn. */
static int version_of(const char *path) {
  static char buf[CHUNKS * CHUNK + 1];
  int fd = open(path, O_RDONLY);
  if (fd < 0) return 0;
  ssize_t n = read(fd, buf, sizeof buf);
  close(fd);
  if (n != CHUNKS * CHUNK) return -1;
  for (ssize_t i = 1; i < n; i++)
    if (buf[i] != buf[0]) return -1;
  return buf[0];
}

int main(int argc, char **argv) {
  if (argc == 4 && !strcmp(argv[1], "write")) return do_write(argv[2], argv[3][0]);
  if (argc != 3) return 2;
  unsigned seed = (unsigned)strtoul(argv[1], NULL, 10), committed = 0, kept = 0, torn = 0;
  int rounds = atoi(argv[2]), last[4] = {0};
  for (int r = 0; r < rounds; r++) {
    char path[16], version[2] = {(char)('a' + r % 26), 0};
    int which = (int)(rand_r(&seed) % 4), status;
    snprintf(path, sizeof path, "file%d.bin", which);
    unsigned wait_us = rand_r(&seed) % 12000;
    pid_t pid = fork();
    if (!pid) {
      if (getenv("SHIM")) setenv("LD_PRELOAD", getenv("SHIM"), 1);
      execl("/proc/self/exe", argv[0], "write", path, version, (char *)NULL);
      _exit(127);
    }
    usleep(wait_us);
    kill(pid, SIGKILL);
    waitpid(pid, &status, 0);
    int now = version_of(path);
    if (now < 0) {
      torn++;
    } else if (now == version[0] && now != last[which]) {
      committed++;
    } else if (now == last[which]) {
      kept++;
    } else {
      torn++;
    }
    if (now < 0) unlink(path), now = 0;
    last[which] = now;
  }
  printf("rounds %d committed %u kept %u torn %u\n", rounds, committed, kept, torn);
  return 0;
}
