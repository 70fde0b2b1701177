/* syscall(): programs that go round libc's functions but not round libc (node does all its statx and close that way). Reads and
 * waits are decoded here, changes in ops_mutate.c; what nobody knows is made as it is, with all six words. */
#include "interpose_gen.h"
#include "internal.h"
#include "raw.h"

#ifndef SYS_faccessat2
#define SYS_faccessat2 439
#endif

static int read_side(long number, const long a[6], long *result) {
  switch (number) {
#ifdef SYS_stat
    case SYS_stat: *result = shim_do_stat("syscall-stat", AT_FDCWD, (const char *)a[0], (struct stat *)a[1], 0); return 1;
    case SYS_lstat: *result = shim_do_stat("syscall-lstat", AT_FDCWD, (const char *)a[0], (struct stat *)a[1], AT_SYMLINK_NOFOLLOW); return 1;
    case SYS_access: *result = shim_do_access("syscall-access", AT_FDCWD, (const char *)a[0], (int)a[1], 0, 0); return 1;
    case SYS_readlink: *result = shim_do_readlink("syscall-readlink", AT_FDCWD, (const char *)a[0], (char *)a[1], (size_t)a[2]); return 1;
#endif
    case SYS_newfstatat: *result = shim_do_stat("syscall-newfstatat", (int)a[0], (const char *)a[1], (struct stat *)a[2], (int)a[3]); return 1;
    case SYS_statx: *result = shim_do_statx((int)a[0], (const char *)a[1], (int)a[2], (unsigned)a[3], (struct statx *)a[4]); return 1;
    case SYS_faccessat: *result = shim_do_access("syscall-faccessat", (int)a[0], (const char *)a[1], (int)a[2], 0, 0); return 1;
    case SYS_faccessat2:
      if (a[3] & ~(long)(AT_EACCESS | AT_SYMLINK_NOFOLLOW)) return 0;
      *result = shim_do_access("syscall-faccessat2", (int)a[0], (const char *)a[1], (int)a[2], (a[3] & AT_EACCESS) != 0, (a[3] & AT_SYMLINK_NOFOLLOW) != 0);
      return 1;
    case SYS_readlinkat: *result = shim_do_readlink("syscall-readlinkat", (int)a[0], (const char *)a[1], (char *)a[2], (size_t)a[3]); return 1;
    default: return 0;
  }
}

#define FUTEX_PRIVATE 128

/* 0: no edge, 1: for the descriptor in the first word, 2: always */
static int edge_of(long number, const long a[6]) {
  switch (number) {
    case SYS_futex: return a[1] & FUTEX_PRIVATE ? 0 : 2; /* private: between threads of this process */
    case SYS_read: case SYS_readv: case SYS_pread64: case SYS_preadv: case SYS_preadv2: case SYS_splice: case SYS_tee:
    case SYS_recvfrom: case SYS_recvmsg: case SYS_recvmmsg: return 1;
    case SYS_wait4: case SYS_waitid: case SYS_ppoll: case SYS_pselect6: case SYS_epoll_pwait: case SYS_epoll_pwait2: case SYS_accept:
    case SYS_accept4: case SYS_connect: case SYS_flock: case SYS_rt_sigtimedwait: case SYS_rt_sigsuspend: case SYS_kill:
    case SYS_semop: case SYS_semtimedop: case SYS_msgrcv: case SYS_mq_timedreceive: case SYS_io_uring_enter: case SYS_io_getevents:
    case SYS_pidfd_getfd: return 2;
#ifdef SYS_poll
    case SYS_poll: case SYS_select: case SYS_epoll_wait: case SYS_pause: return 2;
#endif
    default: return 0;
  }
}

long hook_syscall(long number, ...) {
  long a[6], result;
  va_list ap;
  va_start(ap, number);
  for (int i = 0; i < 6; i++) a[i] = va_arg(ap, long);
  va_end(ap);
  if (shim_active()) {
    if (read_side(number, a, &result) || shim_syscall_mutate(number, a, &result)) return result;
  }
  result = raw6(number, a[0], a[1], a[2], a[3], a[4], a[5]);
  int edge = shim_active() ? edge_of(number, a) : 0;
  if (edge == 1 && (result >= 0 || result == -EINTR)) shim_edge_fd((int)a[0]);
  else if (edge == 2) shim_edge();
  return raw_libc(result);
}
ALIASES_syscall
