/* The life of descriptors: close, dup, locks, shared mappings, descriptors sent away. */
#include <sys/mman.h>
#include "writer.h"

static int libc_close(int fd) { return LIBC(close) ? real.close(fd) : (int)raw_libc(raw_close(fd)); }
static int no_close(int fd) {
  (void)fd;
  return 0;
}
/* Kinds change under no lock: only a hint, the callee looks again. */
static int is_staged(int fd) { return shim_fd_kind(fd) == SHIM_FD_STAGED; }

int hook_close(int fd) { return recording() ? shim_close(fd, libc_close) : libc_close(fd); }
ALIASES_close

int hook_fclose(FILE *stream) {
  if (!HAVE(fclose)) return EOF;
  if (!recording() || !stream || stream->_fileno < 0) return real.fclose(stream);
  int fd = stream->_fileno, result = 0, error = 0;
  if (is_staged(fd) && !shim_in_vfork_child()) { /* everything written must be in the file before it is renamed */
    if (HAVE(fflush) && real.fflush(stream) != 0) error = errno;
    uint64_t w = shim_fd_take(fd);
    if (shim_fd_taken_staged(w, fd, no_close, &result) && result < 0 && !error) error = errno;
    result = real.fclose(stream);
    if (result != 0 && !error) error = errno;
    shim_fd_taken_done(w);
    if (error) errno = error;
    return error ? EOF : result;
  }
  uint64_t w = shim_fd_take(fd);
  result = real.fclose(stream);
  shim_fd_taken_done(w);
  return result;
}
ALIASES_fclose

int hook_fcloseall(void) { /* flushes everything; libc leaves the descriptors open */
  if (!HAVE(fcloseall)) return EOF;
  if (recording()) shim_stage_promote_all();
  return real.fcloseall();
}
ALIASES_fcloseall

#ifndef CLOSE_RANGE_CLOEXEC
#define CLOSE_RANGE_CLOEXEC 4u
#endif
int hook_close_range(unsigned first, unsigned last, int flags) {
  if (recording() && first <= last && !(flags & ~2)) shim_close_range(first, last, libc_close);
  return (int)raw_libc(raw3(SYS_close_range, first, last, flags));
}
ALIASES_close_range
void hook_closefrom(int first) {
  if (!HAVE(closefrom)) return;
  if (recording()) shim_close_range(first > 0 ? (unsigned)first : 0, ~0u, libc_close);
  real.closefrom(first);
}
ALIASES_closefrom

int hook_dup(int fd) {
  if (!recording()) return (int)raw_libc(raw1(SYS_dup, fd));
  int reference = shim_dup_begin(fd);
  int to = (int)raw_libc(raw1(SYS_dup, fd));
  shim_dup_end(reference, to);
  return to;
}
ALIASES_dup

static int dup_onto(int from, int to, int flags) {
  if (!recording()) return (int)raw_libc(raw3(SYS_dup3, from, to, flags));
  shim_fd_will_replace(to);
  int reference = shim_dup_begin(from);
  int result = (int)raw_libc(raw3(SYS_dup3, from, to, flags));
  shim_dup_end(reference, result);
  return result;
}
int hook_dup2(int from, int to) {
  if (from != to) return dup_onto(from, to, 0);
  long r = raw2(SYS_fcntl, from, F_GETFD);
  return raw_failed(r) ? (int)raw_libc(r) : to;
}
ALIASES_dup2
int hook_dup3(int from, int to, int flags) { return dup_onto(from, to, flags); }
ALIASES_dup3

static void has_locked(int fd) {
  int saved = errno;
  shim_stage_locked(fd);
  errno = saved;
}
static int is_lock(int cmd) {
  return cmd == F_SETLK || cmd == F_SETLKW || cmd == F_OFD_SETLK || cmd == F_OFD_SETLKW;
}
int hook_fcntl(int fd, int cmd, ...) {
  va_list ap;
  va_start(ap, cmd);
  void *argument = va_arg(ap, void *);
  va_end(ap);
  if (!LIBC(fcntl)) return (int)raw_libc(raw3(SYS_fcntl, fd, cmd, (long)argument));
  if (!recording()) return real.fcntl(fd, cmd, argument);
  if (cmd == F_DUPFD || cmd == F_DUPFD_CLOEXEC) {
    int reference = shim_dup_begin(fd);
    int to = real.fcntl(fd, cmd, argument);
    shim_dup_end(reference, to);
    return to;
  }
  if (!is_lock(cmd) && cmd != F_SETLEASE) return real.fcntl(fd, cmd, argument);
  if (is_staged(fd)) shim_stage_lock_fd(fd);
  int result = real.fcntl(fd, cmd, argument);
  if (result >= 0 && cmd != F_SETLEASE) has_locked(fd);
  if (result >= 0 || errno == EINTR) shim_edge();
  return result;
}
ALIASES_fcntl
int hook_flock(int fd, int operation) {
  if (recording() && is_staged(fd)) shim_stage_lock_fd(fd);
  int result = LIBC(flock) ? real.flock(fd, operation) : (int)raw_libc(raw2(SYS_flock, fd, operation));
  if (recording() && result >= 0) has_locked(fd);
  if (recording() && (result >= 0 || errno == EINTR)) shim_edge();
  return result;
}
ALIASES_flock
int hook_lockf(int fd, int cmd, off_t len) {
  if (!HAVE(lockf)) {
    errno = ENOSYS;
    return -1;
  }
  if (recording() && is_staged(fd)) shim_stage_lock_fd(fd);
  int result = real.lockf(fd, cmd, len);
  if (recording() && result >= 0) has_locked(fd);
  if (recording() && (result >= 0 || errno == EINTR)) shim_edge();
  return result;
}
ALIASES_lockf

/* A shared mapping outlives close(): the record is left to the daemon, which sees when no writer is left. Also for PROT_READ: mprotect
 * may make it writable. jemalloc maps before the constructor, so this is one raw call. */
void *hook_mmap(void *at, size_t size, int prot, int flags, int fd, off_t offset) {
  int type = flags & 0x0f;
  if (fd >= 0 && (type == MAP_SHARED || type == MAP_SHARED_VALIDATE) && shim.ready > 0 && shim_fd_kind(fd) >= SHIM_FD_WRITE)
    shim_fd_escape(fd);
  long r = raw6(SYS_mmap, (long)at, (long)size, prot, flags, fd, offset);
  return (void *)raw_libc(r);
}
ALIASES_mmap

/* Descriptors that leave in a message. */
static void escape_sent(const struct msghdr *msg) {
  if (!msg || !msg->msg_control) return;
  struct msghdr copy = *msg;
  for (struct cmsghdr *c = CMSG_FIRSTHDR(&copy); c; c = CMSG_NXTHDR(&copy, c)) {
    if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS || c->cmsg_len < CMSG_LEN(0)) continue;
    size_t n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (size_t i = 0; i < n; i++) {
      int fd;
      memcpy(&fd, CMSG_DATA(c) + i * sizeof fd, sizeof fd);
      shim_fd_escape(fd);
    }
  }
}
ssize_t hook_sendmsg(int fd, const struct msghdr *msg, int flags) {
  if (recording()) escape_sent(msg);
  return LIBC(sendmsg) ? real.sendmsg(fd, msg, flags) : raw_libc(raw3(SYS_sendmsg, fd, (long)msg, flags));
}
ALIASES_sendmsg
int hook_sendmmsg(int fd, struct mmsghdr *msgs, unsigned count, int flags) {
  for (unsigned i = 0; msgs && recording() && i < count; i++) escape_sent(&msgs[i].msg_hdr);
  return LIBC(sendmmsg) ? real.sendmmsg(fd, msgs, count, flags) : (int)raw_libc(raw4(SYS_sendmmsg, fd, (long)msgs, count, flags));
}
ALIASES_sendmmsg
