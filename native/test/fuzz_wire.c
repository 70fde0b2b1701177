/* Hostile messages for a real daemon, while another client asks it to PING: fuzz_wire SOCKET FRAMES SEED [vriftd]
 * Frames are cut, lie about their length, name unknown and known requests with junk, hostile paths and numbers. Never a valid STOP. Prints the longest wait
 * of the other client; exit code 0 when the daemon answered it to the end. */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "vrift_layout.h"

#define CONNECTIONS 24
static struct sockaddr_un address = {.sun_family = AF_UNIX};
/* Shared with the other client, which is a process of its own: connections are limited for each. */
static struct counts {
  volatile int over;
  unsigned long pings, longest_us, failures;
} *seen;
static uint64_t state;
static uint64_t rnd(void) {
  state = state * 6364136223846793005ull + 1442695040888963407ull;
  return state >> 24;
}
static uint64_t now_us(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}
static int dial(void) {
  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd >= 0 && connect(fd, (struct sockaddr *)&address, sizeof address) == 0) return fd;
  if (fd >= 0) close(fd);
  return -1;
}

static int ping(int fd) {
  struct vr_frame f = {VR_WIRE_MAGIC, VR_WIRE_PROTOCOL, VR_OP_PING, 0, 7};
  char payload[4096];
  if (send(fd, &f, sizeof f, MSG_NOSIGNAL) != sizeof f) return 0;
  struct pollfd p = {fd, POLLIN, 0};
  if (poll(&p, 1, 20000) != 1 || recv(fd, &f, sizeof f, MSG_WAITALL) != sizeof f || f.length > sizeof payload) return 0;
  return recv(fd, payload, f.length, MSG_WAITALL) == (ssize_t)f.length && f.opcode == VR_OP_OK && f.request == 7;
}
static void other_client(void) {
  int fd = -1;
  while (!seen->over) {
    uint64_t begun = now_us();
    if (fd < 0) fd = dial();
    if (fd >= 0 && ping(fd)) seen->pings++;
    else if (fd >= 0) { /* it had no session, so it may have made room for another: once more */
      close(fd);
      fd = dial();
      if (fd < 0 || !ping(fd)) seen->failures++;
      else seen->pings++;
    } else seen->failures++;
    uint64_t took = now_us() - begun;
    if (took > seen->longest_us) seen->longest_us = took;
    usleep(2000);
  }
  if (fd >= 0) close(fd);
}

static const char *const paths[] = {"", "/", ".", "..", "../..", "/..", "//", "a//b", "./a", "a/./b", "a/../../etc/passwd", "/etc/passwd", "/proc/self/root", "/dev/shm", "/tmp/..",
  "%00", "a%00b", "%2e%2e%2f", "%zz", "%", "%4", "a\x01\x02", "\xff\xfe", "~root", "$(id)", "/proc/self/cwd/../x", "/nonexistent/\xc3\x28", "-1", "99999999999999999999", "0x10", " "};
static size_t text(char *out, size_t cap) {
  static const char *const keys[] = {"path", "root", "pid", "id", "command", "all", "zero", "sample", "name", ""};
  size_t n = 0;
  for (unsigned lines = rnd() % 6; lines; lines--) {
    const char *key = keys[rnd() % (sizeof keys / sizeof *keys)], *value = paths[rnd() % (sizeof paths / sizeof *paths)];
    int k = snprintf(out + n, cap - n, rnd() % 9 ? "%s=%s" : "%s%s", key, value);
    if (k < 0 || (size_t)k >= cap - n - 2) break;
    n += (size_t)k;
    if (rnd() % 16 == 0)
      for (unsigned more = rnd() % 6000; more && n + 2 < cap; more--) out[n++] = (char)('a' + more % 26);
    out[n++] = '\n';
  }
  return n;
}

int main(int argc, char **argv) {
  if (argc < 4 || strlen(argv[1]) >= sizeof address.sun_path) return fprintf(stderr, "usage: fuzz_wire SOCKET FRAMES SEED [vriftd]\n"), 2;
  strcpy(address.sun_path, argv[1]);
  unsigned long frames = strtoul(argv[2], NULL, 10), refused = 0;
  state = strtoull(argv[3], NULL, 10) * 2654435761u + 1;
  int coordinator = argc > 4, fds[CONNECTIONS];
  memset(fds, -1, sizeof fds);
  seen = mmap(NULL, sizeof *seen, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  pid_t other = seen == MAP_FAILED ? -1 : fork();
  if (other < 0) return 2;
  if (other == 0) {
    other_client();
    _exit(0);
  }
  static char buf[128 * 1024], sink[65536];
  uint64_t begun = now_us();
  for (unsigned long i = 0; i < frames; i++) {
    int *fd = &fds[rnd() % CONNECTIONS];
    if (*fd < 0 && (*fd = dial()) < 0) {
      refused++;
      usleep(1000);
      continue;
    }
    struct vr_frame f = {VR_WIRE_MAGIC, VR_WIRE_PROTOCOL, (uint16_t)(1 + rnd() % 15), 0, (uint32_t)rnd()};
    if (rnd() % 8 == 0) f.opcode = (uint16_t)(rnd() % 65535 + 1);
    if (f.opcode == VR_OP_CAS && rnd() % 64) f.opcode = VR_OP_EXPLAIN; /* the store's commands take their time, rightly */
    if (coordinator && (f.opcode == VR_OP_OPEN || f.opcode == VR_OP_RESTART) && rnd() % 16) f.opcode = VR_OP_FORGET;
    if ((f.opcode == VR_OP_SYNC || f.opcode == VR_OP_VERIFY || f.opcode == VR_OP_SESSION_END) && rnd() % 32) f.opcode = VR_OP_STATUS;
    size_t n = rnd() % 4 ? text(buf + sizeof f, 32768) : rnd() % 300;
    if (rnd() % 8 == 0)
      for (size_t k = 0; k < n; k++) buf[sizeof f + k] = (char)rnd();
    f.length = (uint32_t)n;
    size_t send_n = sizeof f + n;
    switch (rnd() % 12) {
      case 0: f.length = (uint32_t)(rnd() % 2 ? rnd() : rnd() % 300000); break;
      case 1: f.magic ^= (uint32_t)(1u << rnd() % 32); break;
      case 2: f.protocol = (uint16_t)rnd(); break;
      case 3: send_n = rnd() % (send_n + 1); break;
    }
    memcpy(buf, &f, sizeof f);
    if (send(*fd, buf, send_n, MSG_NOSIGNAL | MSG_DONTWAIT) < 0 || rnd() % 64 == 0) close(*fd), *fd = -1;
    else if (rnd() % 4) /* some never read their answers */
      while (recv(*fd, sink, sizeof sink, MSG_DONTWAIT) > 0) {
      }
  }
  for (int i = 0; i < CONNECTIONS; i++)
    if (fds[i] >= 0) close(fds[i]);
  usleep(300000);
  seen->over = 1;
  waitpid(other, NULL, 0);
  int alive = dial(), good = alive >= 0 && ping(alive);
  printf("frames %lu refused %lu in %.1f s; other client: %lu pings, %lu failures, longest %.1f ms; alive %d\n", frames, refused, (double)(now_us() - begun) / 1e6, seen->pings, seen->failures,
         (double)seen->longest_us / 1000, good);
  return good && !seen->failures ? 0 : 1;
}
