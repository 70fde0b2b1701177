/* Frames of docs/WIRE.md over non-blocking Unix sockets. Nothing here waits unless it is given a deadline. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>
#include "launcher.h"

int64_t now_ms(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

int wire_connect(const char *dir, const char *name, pid_t *peer) {
  struct sockaddr_un addr = {.sun_family = AF_UNIX};
  int dirfd = -1, n = snprintf(addr.sun_path, sizeof addr.sun_path, "%s/%s", dir, name);
  if (n >= (int)sizeof addr.sun_path) { /* too long for sun_path: through the directory's descriptor */
    dirfd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (dirfd < 0) return -errno;
    snprintf(addr.sun_path, sizeof addr.sun_path, "/proc/self/fd/%d/%s", dirfd, name);
  }
  int r, fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) r = -errno;
  else r = connect(fd, (struct sockaddr *)&addr, sizeof addr) < 0 ? -errno : 0;
  if (dirfd >= 0) close(dirfd);
  struct ucred cred;
  socklen_t len = sizeof cred;
  if (r == 0 && getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) < 0) r = -errno;
  if (r == 0 && cred.uid != geteuid()) r = -EPERM;
  if (r < 0) {
    if (fd >= 0) close(fd);
    return r;
  }
  if (peer) *peer = cred.pid;
  return fd;
}

int wire_send(int fd, uint32_t opcode, uint32_t request, const char *payload) {
  uint8_t out[sizeof(struct vr_frame) + 3 * TEXT_MAX + 4096];
  size_t len = strlen(payload);
  if (len > sizeof out - sizeof(struct vr_frame)) return -EMSGSIZE;
  struct vr_frame f = {.magic = VR_WIRE_MAGIC,
                       .protocol = VR_WIRE_PROTOCOL,
                       .opcode = (uint16_t)opcode,
                       .length = (uint32_t)len,
                       .request = request};
  memcpy(out, &f, sizeof f);
  memcpy(out + sizeof f, payload, len);
  ssize_t n = send(fd, out, sizeof f + len, MSG_NOSIGNAL | MSG_DONTWAIT);
  return n == (ssize_t)(sizeof f + len) ? 0 : n < 0 ? -errno : -EAGAIN;
}

/* A whole frame at the front of the inbox. 1, 0: not yet, -1: not a frame of ours. */
static int parse(struct inbox *in, struct frame *f) {
  struct vr_frame h;
  if (in->have < sizeof h) return 0;
  memcpy(&h, in->bytes, sizeof h);
  if (h.magic != VR_WIRE_MAGIC || h.protocol != VR_WIRE_PROTOCOL || h.length > sizeof in->bytes - sizeof h) return -1;
  if (in->have < sizeof h + h.length) return 0;
  *f = (struct frame){h.opcode, h.request, h.length, (const char *)in->bytes + sizeof h};
  in->skip = sizeof h + h.length;
  return 1;
}

int wire_take(int fd, struct inbox *in, struct frame *f) {
  if (in->skip) {
    in->have -= in->skip;
    memmove(in->bytes, in->bytes + in->skip, in->have);
    in->skip = 0;
  }
  for (;;) {
    int r = parse(in, f);
    if (r) return r;
    ssize_t n = recv(fd, in->bytes + in->have, sizeof in->bytes - in->have, MSG_DONTWAIT);
    if (n > 0) in->have += (size_t)n;
    else if (n < 0 && errno == EINTR) continue;
    else return n < 0 && errno == EAGAIN ? 0 : -1;
  }
}

int wire_wait(int fd, struct inbox *in, struct frame *f, int64_t deadline) {
  for (;;) {
    int r = wire_take(fd, in, f);
    if (r) return r;
    int64_t left = deadline - now_ms();
    if (left <= 0) return 0;
    struct pollfd p = {.fd = fd, .events = POLLIN};
    poll(&p, 1, (int)left);
  }
}

static int hex(char c) {
  return c >= '0' && c <= '9' ? c - '0' : c >= 'A' && c <= 'F' ? c - 'A' + 10 : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

int wire_field(const struct frame *f, const char *key, char *out, size_t size) {
  size_t klen = strlen(key);
  const char *p = f->payload, *end = p + f->length;
  while (p < end) {
    const char *nl = memchr(p, '\n', (size_t)(end - p));
    if (!nl) nl = end;
    if ((size_t)(nl - p) > klen && !memcmp(p, key, klen) && p[klen] == '=') {
      size_t n = 0;
      for (p += klen + 1; p < nl; p++) {
        int c = (unsigned char)*p;
        if (c == '%') {
          if (nl - p < 3 || hex(p[1]) < 0 || hex(p[2]) < 0) return -1;
          c = hex(p[1]) << 4 | hex(p[2]);
          p += 2;
        }
        if (n + 1 >= size) return -1;
        out[n++] = (char)c;
      }
      out[n] = 0;
      return (int)n;
    }
    p = nl + 1;
  }
  return -1;
}

int wire_put(char *payload, size_t size, const char *key, const char *value) {
  size_t at = strlen(payload);
  int n = snprintf(payload + at, size - at, "%s=", key);
  if (n < 0 || (size_t)n >= size - at) return payload[at] = 0, -1;
  size_t w = at + (size_t)n;
  for (const unsigned char *v = (const unsigned char *)value; *v; v++) {
    if (w + 5 >= size) return payload[at] = 0, -1;
    if (*v >= 0x21 && *v <= 0x7e && *v != '%') payload[w++] = (char)*v;
    else w += (size_t)snprintf(payload + w, size - w, "%%%02X", *v);
  }
  if (w + 2 > size) return payload[at] = 0, -1;
  payload[w++] = '\n';
  payload[w] = 0;
  return 0;
}
