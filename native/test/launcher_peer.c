/* A project daemon for the launcher's test. Usage: launcher_peer SOCKET silent|junk|huge|close|good|later (silent until SIGUSR1, then
 * good; from then on it says that nobody used the library) */
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include "vrift_layout.h"

static const char *mode;
static volatile sig_atomic_t woken;
static void wake(int sig) { woken = sig; }

static void answer(int fd, uint32_t request, const char *text) {
  struct vr_frame f = {VR_WIRE_MAGIC, VR_WIRE_PROTOCOL, VR_OP_OK, (uint32_t)strlen(text), request};
  if (send(fd, &f, sizeof f, MSG_NOSIGNAL) < 0 || send(fd, text, f.length, MSG_NOSIGNAL) < 0) return;
}

static void good(int fd) {
  struct vr_frame f;
  char payload[65536];
  while (recv(fd, &f, sizeof f, MSG_WAITALL) == sizeof f) {
    if (f.length > sizeof payload || (f.length && recv(fd, payload, f.length, MSG_WAITALL) != (ssize_t)f.length)) return;
    if (f.opcode == VR_OP_SESSION) answer(fd, f.request, "vdir=/dev/shm/none\nboard=/dev/shm/none\ndrain=76\nstate=serving\nversion=0\n");
    if (f.opcode == VR_OP_SYNC) answer(fd, f.request, "drain=77\n");
    if (f.opcode == VR_OP_SESSION_END)
      answer(fd, f.request, woken ? "{\"schema_version\":1,\"rolled_back\":[],\"loads\":0,\"verify_diffs\":0}" : "{\"schema_version\":1,\"rolled_back\":[\"out/a \\\"b\\\".o\",\"x\\u000ay\"],\"salvaged\":[],\"loads\":1,\"verify_diffs\":3}");
  }
}

static void *serve(void *arg) {
  int fd = (int)(intptr_t)arg;
  char junk[4096];
  memset(junk, 'x', sizeof junk);
  struct vr_frame huge = {VR_WIRE_MAGIC, VR_WIRE_PROTOCOL, VR_OP_OK, 0xfffffff0u, 1};
  if (!strcmp(mode, "junk") && send(fd, junk, sizeof junk, MSG_NOSIGNAL) < 0) return NULL;
  if (!strcmp(mode, "huge") && send(fd, &huge, sizeof huge, MSG_NOSIGNAL) < 0) return NULL;
  while (!strcmp(mode, "later") && !woken) usleep(1000);
  if (!strcmp(mode, "good") || !strcmp(mode, "later")) good(fd);
  if (strcmp(mode, "close") && strcmp(mode, "good") && strcmp(mode, "later")) pause();
  close(fd);
  return NULL;
}

int main(int argc, char **argv) {
  signal(SIGUSR1, wake);
  struct sockaddr_un a = {.sun_family = AF_UNIX};
  if (argc != 3 || strlen(argv[1]) >= sizeof a.sun_path) return 2;
  mode = argv[2];
  strcpy(a.sun_path, argv[1]);
  int l = socket(AF_UNIX, SOCK_STREAM, 0);
  umask(077);
  if (bind(l, (struct sockaddr *)&a, sizeof a) < 0 || listen(l, 64) < 0) return perror(argv[1]), 1;
  for (;;) {
    int fd = accept(l, NULL, NULL);
    pthread_t t;
    if (fd >= 0 && pthread_create(&t, NULL, serve, (void *)(intptr_t)fd) == 0) pthread_detach(t);
  }
}
