/* Calls of a build for some time, each timed; prints the longest. Usage: longest_call DIR MILLISECONDS SEED. Every answer is checked. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static double longest;
static const char *what = "none";
static long calls;

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static double began;
static void begin(void) { began = now(); }
static void end(const char *name) {
  double took = now() - began;
  calls++;
  if (took > longest) longest = took, what = name;
}
#define TIMED(name, expression) (begin(), r = (int)(expression), end(name), r)

static void fail(const char *name) {
  fprintf(stderr, "%s: %s\n", name, strerror(errno));
  exit(1);
}

static void leave(const char *out, int n) { /* a process that dies while it writes: its staged file is swept */
  pid_t pid = fork();
  if (pid == 0) {
    char name[4200];
    snprintf(name, sizeof name, "%s/dying%d", out, n);
    int fd = open(name, O_WRONLY | O_CREAT | O_TRUNC, 0666);
    if (write(fd, "half", 4) < 0) _exit(1);
    kill(getpid(), 9);
  }
  waitpid(pid, NULL, 0);
}

int main(int argc, char **argv) {
  if (argc != 4) return 2;
  char out[4100], a[4200], b[4200], text[64], got[64];
  snprintf(out, sizeof out, "%s/calls", argv[1]);
  mkdir(out, 0777);
  srand((unsigned)atoi(argv[3]));
  double until = now() + atof(argv[2]);
  for (int i = 0, r; now() < until; i++) {
    struct stat st;
    int n = rand() % 20;
    snprintf(a, sizeof a, "%s/f%d", out, n);
    snprintf(b, sizeof b, "%s/g%d", out, n);
    int len = snprintf(text, sizeof text, "%d %d\n", i, rand());
    int fd = TIMED("open for writing", open(a, O_WRONLY | O_CREAT | O_TRUNC, 0666));
    if (fd < 0) fail("open");
    if (TIMED("write", write(fd, text, (size_t)len)) != len) fail("write");
    if (TIMED("close", close(fd))) fail("close");
    if (TIMED("stat", stat(a, &st)) || st.st_size != len) fail("stat");
    if (TIMED("rename", rename(a, b))) fail("rename");
    if (TIMED("lstat of what is gone", lstat(a, &st)) != -1) fail("lstat");
    fd = TIMED("open for reading", open(b, O_RDONLY));
    memset(got, 0, sizeof got);
    if (read(fd, got, sizeof got) != len || memcmp(got, text, (size_t)len)) fail("read back");
    close(fd);
    fd = TIMED("open for appending", open(b, O_WRONLY | O_APPEND));
    if (fd < 0) fail("append");
    close(fd);
    if (TIMED("access", access(argv[1], R_OK))) fail("access");
    if (i % 64 == 0) leave(out, n);
    if (i % 16 == 0 && TIMED("unlink", unlink(b))) fail("unlink");
  }
  printf("{\"calls\":%ld,\"longest_ms\":%.2f,\"longest\":\"%s\"}\n", calls, longest, what);
  return 0;
}
