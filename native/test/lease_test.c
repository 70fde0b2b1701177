/* A daemon that is stopped while it asks whether a staged file has a writer must hold up nobody who opens that file for writing. A child
 * asks in a loop and is stopped at random instants; an opener that would block then (EWOULDBLOCK with O_NONBLOCK, 45 s without) is a stall if it
 * still does after 50 ms. The same with a lease taken by the process itself must stall, or this test could not fail. SEED is printed. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "vr_stage.h"

#define ROUNDS 400
#define BOUND_MS 50

static void nap_us(long us) {
  struct timespec t = {0, us * 1000};
  nanosleep(&t, NULL);
}

static pid_t asker(const char *file, int by_itself) {
  pid_t pid = fork();
  if (pid) return pid;
  signal(SIGIO, SIG_IGN);
  for (;;) {
    if (!by_itself) {
      vr_stage_has_writer(AT_FDCWD, file);
      continue;
    }
    int fd = vr_openat(AT_FDCWD, file, O_RDONLY | O_CLOEXEC, 0);
    if (vr_fcntl(fd, F_SETLEASE, F_RDLCK) == 0) vr_fcntl(fd, F_SETLEASE, F_UNLCK);
    vr_close(fd);
  }
}

/* Stalls longer than the bound. */
static int rounds(const char *file, int by_itself, int count) {
  int stalls = 0;
  pid_t pid = asker(file, by_itself);
  for (int i = 0; i < count; i++) {
    nap_us(100 + rand() % 900);
    kill(pid, SIGSTOP);
    int status;
    waitpid(pid, &status, WUNTRACED);
    int fd = -1;
    for (int ms = 0; ms <= BOUND_MS && (fd = open(file, O_WRONLY | O_NONBLOCK | O_CLOEXEC)) < 0 && errno == EWOULDBLOCK; ms++) nap_us(1000);
    if (fd < 0) stalls++;
    else close(fd);
    kill(pid, SIGCONT);
  }
  kill(pid, SIGKILL);
  waitpid(pid, NULL, 0);
  return stalls;
}

int main(void) {
  char file[] = "./lease-XXXXXX";
  const char *seed = getenv("SEED");
  unsigned s = seed ? (unsigned)atoi(seed) : (unsigned)getpid();
  srand(s);
  int fd = mkstemp(file);
  if (fd < 0) return perror(file), 1;
  if (vr_stage_has_writer(AT_FDCWD, file) != 1) return printf("a writer is not seen\n"), 1;
  close(fd);
  int r = vr_stage_has_writer(AT_FDCWD, file);
  if (r == -EACCES || r == -EINVAL) return printf("no leases on this file system\n"), 77;
  if (r != 0) return printf("no writer, but %d\n", r), 1;
  int control = rounds(file, 1, 40), ours = rounds(file, 0, ROUNDS);
  unlink(file);
  printf("SEED=%u: stalls beyond %d ms: %d of %d by a child, %d of 40 by the process itself\n", s, BOUND_MS, ours, ROUNDS, control);
  if (waitpid(-1, NULL, __WALL | WNOHANG) != -1) return printf("a child is left\n"), 1;
  return ours == 0 && control > 0 ? 0 : 1;
}
