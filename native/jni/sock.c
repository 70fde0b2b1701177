/* dev.vrift.platform.Sockets: Unix stream sockets as plain descriptors. Every function returns -errno on failure. */
#include <errno.h>
#include <fcntl.h>
#include <jni.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>
#include "vr_fault.h"

#define CHUNK 16384
#define PATH_LIMIT 4096
#define PASSED_MAX 4

static int64_t now_ms(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* Waits for events until the deadline (ms, < 0: for ever). 0: ready, or -errno (-ETIMEDOUT). */
static int wait_for(int fd, short events, int64_t deadline) {
  for (;;) {
    int left = -1;
    if (deadline >= 0) {
      int64_t ms = deadline - now_ms();
      left = ms < 0 ? 0 : ms > 1000000 ? 1000000 : (int)ms;
    }
    struct pollfd p = {.fd = fd, .events = events};
    int n = poll(&p, 1, left);
    if (n > 0) return 0;
    if (n < 0 && errno != EINTR) return -errno;
    if (n == 0 && deadline >= 0 && now_ms() >= deadline) return -ETIMEDOUT;
  }
}

/* Fills addr; a path too long for sun_path is named through its directory's descriptor (stored in *dirfd, else -1). 0 or -errno. */
static int address(JNIEnv *env, jbyteArray jpath, struct sockaddr_un *addr, char *path, int *dirfd) {
  *dirfd = -1;
  jsize len = (*env)->GetArrayLength(env, jpath);
  if (len <= 0 || len >= PATH_LIMIT) return -ENAMETOOLONG;
  (*env)->GetByteArrayRegion(env, jpath, 0, len, (jbyte *)path);
  path[len] = 0;
  if (memchr(path, 0, (size_t)len)) return -EINVAL;
  memset(addr, 0, sizeof *addr);
  addr->sun_family = AF_UNIX;
  if ((size_t)len < sizeof addr->sun_path) {
    memcpy(addr->sun_path, path, (size_t)len);
    return 0;
  }
  char *slash = strrchr(path, '/');
  if (!slash || strlen(slash + 1) > 64) return -ENAMETOOLONG;
  *slash = 0;
  int fd = open(slash == path ? "/" : path, O_PATH | O_DIRECTORY | O_CLOEXEC);
  *slash = '/';
  if (fd < 0) return -errno;
  snprintf(addr->sun_path, sizeof addr->sun_path, "/proc/self/fd/%d/%s", fd, slash + 1);
  *dirfd = fd;
  return 0;
}

JNIEXPORT jint JNICALL Java_dev_vrift_platform_Sockets_listen(JNIEnv *env, jclass c, jbyteArray jpath, jint backlog) {
  (void)c;
  struct sockaddr_un addr;
  char path[PATH_LIMIT];
  int dirfd, r = address(env, jpath, &addr, path, &dirfd);
  if (r < 0) return r;
  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) {
    r = -errno;
  } else {
    unlink(path);
    VR_FAULT(socket_unlinked);
    /* The name gets the socket's own mode: never open to others, not even for a moment, whatever the umask, which is every thread's. */
    r = fchmod(fd, 0600) < 0 || bind(fd, (struct sockaddr *)&addr, sizeof addr) < 0 || chmod(path, 0600) < 0 || listen(fd, backlog) < 0 ? -errno : fd;
    if (r < 0) close(fd);
  }
  if (dirfd >= 0) close(dirfd);
  return r;
}

JNIEXPORT jint JNICALL Java_dev_vrift_platform_Sockets_accept(JNIEnv *env, jclass c, jint fd) {
  (void)env, (void)c;
  for (;;) {
    int n = accept4(fd, NULL, NULL, SOCK_CLOEXEC);
    if (n >= 0) {
      VR_FAULT(accepted);
      return n;
    }
    if (errno != EINTR && errno != ECONNABORTED) return -errno;
  }
}

JNIEXPORT jint JNICALL Java_dev_vrift_platform_Sockets_connect(JNIEnv *env, jclass c, jbyteArray jpath, jint timeout) {
  (void)c;
  struct sockaddr_un addr;
  char path[PATH_LIMIT];
  int dirfd, r = address(env, jpath, &addr, path, &dirfd);
  if (r < 0) return r;
  int64_t deadline = now_ms() + timeout;
  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  r = fd < 0 ? -errno : fd;
  while (fd >= 0 && connect(fd, (struct sockaddr *)&addr, sizeof addr) < 0) {
    if (errno == EINTR) continue;
    if (errno == EAGAIN && now_ms() < deadline) { /* backlog full */
      poll(NULL, 0, 5);
      continue;
    }
    r = errno == EAGAIN ? -ETIMEDOUT : -errno;
    close(fd);
    break;
  }
  if (dirfd >= 0) close(dirfd);
  return r;
}

JNIEXPORT jint JNICALL Java_dev_vrift_platform_Sockets_peer(JNIEnv *env, jclass c, jint fd, jintArray out) {
  (void)c;
  struct ucred cred;
  socklen_t len = sizeof cred;
  if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) < 0) return -errno;
  jint v[2] = {cred.pid, (jint)cred.uid};
  if ((*env)->GetArrayLength(env, out) < 2) return -EINVAL;
  (*env)->SetIntArrayRegion(env, out, 0, 2, v);
  return 0;
}

static int range_ok(JNIEnv *env, jbyteArray a, jint off, jint len) {
  jsize n = (*env)->GetArrayLength(env, a);
  return off >= 0 && len >= 0 && off <= n && len <= n - off;
}

/* At most one descriptor is taken, the newest; any other that came is closed. */
static void take_descriptors(struct msghdr *m, int *passed) {
  for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c; c = CMSG_NXTHDR(m, c)) {
    if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS) continue;
    int fds[PASSED_MAX];
    size_t n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    if (n > PASSED_MAX) n = PASSED_MAX;
    memcpy(fds, CMSG_DATA(c), n * sizeof(int));
    for (size_t i = 0; i < n; i++) {
      if (*passed >= 0) close(*passed);
      *passed = fds[i];
    }
  }
}

JNIEXPORT jint JNICALL Java_dev_vrift_platform_Sockets_read(JNIEnv *env, jclass c, jint fd, jbyteArray buf, jint off, jint len,
                                                            jint timeout, jintArray passed) {
  (void)c;
  if (!range_ok(env, buf, off, len) || (passed && (*env)->GetArrayLength(env, passed) < 1)) return -EINVAL;
  int64_t deadline = timeout < 0 ? -1 : now_ms() + timeout;
  char tmp[CHUNK];
  size_t want = len > CHUNK ? CHUNK : (size_t)len;
  for (;;) {
    char room[CMSG_SPACE(sizeof(int) * PASSED_MAX)];
    struct iovec v = {tmp, want};
    struct msghdr m = {.msg_iov = &v, .msg_iovlen = 1, .msg_control = passed ? room : NULL, .msg_controllen = passed ? sizeof room : 0};
    ssize_t n = recvmsg(fd, &m, MSG_DONTWAIT | MSG_CMSG_CLOEXEC); /* without room what is passed is closed by the kernel */
    if (n >= 0) {
      if (passed && m.msg_controllen) {
        jint had;
        (*env)->GetIntArrayRegion(env, passed, 0, 1, &had);
        int now = had;
        take_descriptors(&m, &now);
        had = now;
        (*env)->SetIntArrayRegion(env, passed, 0, 1, &had);
      }
      if (n > 0) (*env)->SetByteArrayRegion(env, buf, off, (jsize)n, (jbyte *)tmp);
      return (jint)n;
    }
    if (errno == EINTR) continue;
    if (errno != EAGAIN) return -errno;
    int r = wait_for(fd, POLLIN, deadline);
    if (r < 0) return r;
  }
}

/* One byte at least, with a descriptor. Bytes sent, or -errno. */
static ssize_t send_passing(int fd, char *data, size_t n, int passing) {
  char room[CMSG_SPACE(sizeof(int))] = {0};
  struct iovec v = {data, n};
  struct msghdr m = {.msg_iov = &v, .msg_iovlen = 1, .msg_control = room, .msg_controllen = sizeof room};
  struct cmsghdr *c = CMSG_FIRSTHDR(&m);
  c->cmsg_level = SOL_SOCKET, c->cmsg_type = SCM_RIGHTS, c->cmsg_len = CMSG_LEN(sizeof(int));
  memcpy(CMSG_DATA(c), &passing, sizeof passing);
  return sendmsg(fd, &m, MSG_NOSIGNAL | MSG_DONTWAIT);
}

JNIEXPORT jint JNICALL Java_dev_vrift_platform_Sockets_write(JNIEnv *env, jclass c, jint fd, jbyteArray buf, jint off, jint len,
                                                             jint timeout, jint passing) {
  (void)c;
  if (!range_ok(env, buf, off, len)) return -EINVAL;
  int64_t deadline = timeout < 0 ? -1 : now_ms() + timeout;
  char tmp[CHUNK];
  jint done = 0;
  while (done < len) {
    jint part = len - done > CHUNK ? CHUNK : len - done;
    (*env)->GetByteArrayRegion(env, buf, off + done, part, (jbyte *)tmp);
    jint sent = 0;
    while (sent < part) {
      int with = passing >= 0 && done + sent == 0; /* the descriptor goes with the first byte */
      ssize_t n = with ? send_passing(fd, tmp, (size_t)part, passing) : send(fd, tmp + sent, (size_t)(part - sent), MSG_NOSIGNAL | MSG_DONTWAIT);
      if (n >= 0) {
        VR_FAULT(frame_sent);
        sent += (jint)n;
        continue;
      }
      if (errno == EINTR) continue;
      if (errno != EAGAIN) return -errno;
      int r = wait_for(fd, POLLOUT, deadline);
      if (r < 0) return r;
    }
    done += part;
  }
  return len;
}

JNIEXPORT jint JNICALL Java_dev_vrift_platform_Sockets_shutdown(JNIEnv *env, jclass c, jint fd) {
  (void)env, (void)c;
  return shutdown(fd, SHUT_RDWR) < 0 ? -errno : 0;
}

JNIEXPORT jint JNICALL Java_dev_vrift_platform_Sockets_close(JNIEnv *env, jclass c, jint fd) {
  (void)env, (void)c;
  return close(fd) < 0 ? -errno : 0;
}

JNIEXPORT jstring JNICALL Java_dev_vrift_platform_Sockets_message(JNIEnv *env, jclass c, jint err) {
  (void)c;
  char tmp[128];
  return (*env)->NewStringUTF(env, strerror_r(err < 0 ? -err : err, tmp, sizeof tmp));
}
