/* A daemon that hangs costs a user 50 ms once, not once a command. Who has waited in vain leaves a note beside the daemon's socket:
 * RUN/p/<id>/hung, its text the pid that did not answer. While that pid has the socket, nobody waits for it; the request is sent all the
 * same, and the first answer removes the note. And one process at a time, per project, asks a vriftd that does not answer to open it. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>
#include "launcher.h"

static void name_of(const struct places *p, char out[TEXT_MAX + 32]) { snprintf(out, TEXT_MAX + 32, "%s/hung", p->project_run); }

int breaker_open(const struct places *p, pid_t daemon) {
  char name[TEXT_MAX + 32], text[32] = "";
  name_of(p, name);
  int fd = open(name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
  if (fd < 0) return 0;
  ssize_t n = read(fd, text, sizeof text - 1);
  close(fd);
  return n > 0 && strtol(text, NULL, 10) == (long)daemon;
}

void breaker_trip(const struct places *p, pid_t daemon) {
  char name[TEXT_MAX + 32];
  name_of(p, name);
  int fd = open(name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600);
  if (fd < 0) return; /* the next command waits too, which is all that is lost */
  dprintf(fd, "%d\n", (int)daemon);
  close(fd);
}

void breaker_close(const struct places *p) {
  char name[TEXT_MAX + 32];
  name_of(p, name);
  unlink(name);
}

static int ask_lock(const struct places *p) {
  char name[TEXT_MAX + 32];
  snprintf(name, sizeof name, "%s/%s.ask", p->run, p->id);
  int fd = open(name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600);
  if (fd < 0) return -errno;
  if (flock(fd, LOCK_EX | LOCK_NB) == 0) return fd;
  close(fd);
  return -EWOULDBLOCK;
}

int asking_already(const struct places *p) {
  int fd = ask_lock(p);
  if (fd >= 0) close(fd);
  return fd == -EWOULDBLOCK;
}

int ask_alone(const struct places *p) { return ask_lock(p) != -EWOULDBLOCK; }
