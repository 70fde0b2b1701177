/* syscall(): the numbers that change something, taken to the functions that know how. Node makes all its file calls this way. */
#include <sched.h>
#include "writer.h"

#define A(i) ((const char *)arg[i])
#define N(i) ((int)arg[i])

/* Legacy numbers that only some architectures have. */
static int legacy(long number, const long arg[6], long *result) {
  switch (number) {
#ifdef SYS_open
    case SYS_open: *result = hook_open(A(0), N(1), (mode_t)arg[2]); return 1;
    case SYS_creat: *result = hook_creat(A(0), (mode_t)arg[1]); return 1;
    case SYS_dup2: *result = hook_dup2(N(0), N(1)); return 1;
    case SYS_rename: *result = hook_rename(A(0), A(1)); return 1;
    case SYS_link: *result = hook_link(A(0), A(1)); return 1;
    case SYS_symlink: *result = hook_symlink(A(0), A(1)); return 1;
    case SYS_unlink: *result = hook_unlink(A(0)); return 1;
    case SYS_rmdir: *result = hook_rmdir(A(0)); return 1;
    case SYS_mkdir: *result = hook_mkdir(A(0), (mode_t)arg[1]); return 1;
    case SYS_mknod: *result = hook_mknod(A(0), (mode_t)arg[1], (dev_t)arg[2]); return 1;
    case SYS_chmod: *result = hook_chmod(A(0), (mode_t)arg[1]); return 1;
    case SYS_chown: *result = hook_chown(A(0), (uid_t)arg[1], (gid_t)arg[2]); return 1;
    case SYS_lchown: *result = hook_lchown(A(0), (uid_t)arg[1], (gid_t)arg[2]); return 1;
    case SYS_utime: *result = hook_utime(A(0), (const struct utimbuf *)arg[1]); return 1;
    case SYS_utimes: *result = hook_utimes(A(0), (const struct timeval *)arg[1]); return 1;
    case SYS_futimesat: *result = hook_futimesat(N(0), A(1), (const struct timeval *)arg[2]); return 1;
#endif
#ifdef SYS_renameat
    case SYS_renameat: *result = hook_renameat(N(0), A(1), N(2), A(3)); return 1;
#endif
    default: return 0;
  }
}

static int names(long number, const long arg[6], long *result) {
  switch (number) {
    case SYS_openat: *result = hook_openat(N(0), A(1), N(2), (mode_t)arg[3]); return 1;
    case SYS_renameat2: *result = hook_renameat2(N(0), A(1), N(2), A(3), (unsigned)arg[4]); return 1;
    case SYS_linkat: *result = hook_linkat(N(0), A(1), N(2), A(3), N(4)); return 1;
    case SYS_symlinkat: *result = hook_symlinkat(A(0), N(1), A(2)); return 1;
    case SYS_unlinkat: *result = hook_unlinkat(N(0), A(1), N(2)); return 1;
    case SYS_mkdirat: *result = hook_mkdirat(N(0), A(1), (mode_t)arg[2]); return 1;
    case SYS_mknodat: *result = hook_mknodat(N(0), A(1), (mode_t)arg[2], (dev_t)arg[3]); return 1;
    case SYS_bind: *result = hook_bind(N(0), (const struct sockaddr *)arg[1], (socklen_t)arg[2]); return 1;
    case SYS_chdir: *result = hook_chdir(A(0)); return 1;
    case SYS_fchdir: *result = hook_fchdir(N(0)); return 1;
    case SYS_chroot: *result = hook_chroot(A(0)); return 1;
    case SYS_pivot_root: *result = hook_pivot_root(A(0), A(1)); return 1;
    case SYS_unshare: *result = hook_unshare(N(0)); return 1;
    case SYS_setns: *result = hook_setns(N(0), N(1)); return 1;
    case SYS_mount: *result = hook_mount(A(0), A(1), A(2), (unsigned long)arg[3], (const void *)arg[4]); return 1;
    case SYS_umount2: *result = hook_umount2(A(0), N(1)); return 1;
    case SYS_setuid: case SYS_setgid: case SYS_setreuid: case SYS_setregid: case SYS_setresuid: case SYS_setresgid: case SYS_setgroups:
    case SYS_setfsuid: case SYS_setfsgid: case SYS_capset: *result = shim_credentials_call(number, arg[0], arg[1], arg[2]); return 1;
    case SYS_prctl: case SYS_seccomp: case 446: /* landlock_restrict_self */ *result = shim_confining_call(number, arg); return 1;
    case SYS_inotify_add_watch: *result = hook_inotify_add_watch(N(0), A(1), (uint32_t)arg[2]); return 1;
    default: return legacy(number, arg, result);
  }
}

static int attributes(long number, const long arg[6], long *result) {
  switch (number) {
    case SYS_fchmod: *result = hook_fchmod(N(0), (mode_t)arg[1]); return 1;
    case SYS_fchmodat: *result = hook_fchmodat(N(0), A(1), (mode_t)arg[2], 0); return 1;
    case SYS_fchown: *result = hook_fchown(N(0), (uid_t)arg[1], (gid_t)arg[2]); return 1;
    case SYS_fchownat: *result = hook_fchownat(N(0), A(1), (uid_t)arg[2], (gid_t)arg[3], N(4)); return 1;
    case SYS_utimensat:
      /* the kernel, unlike libc, takes a null path: then it is the descriptor */
      *result = arg[1] ? hook_utimensat(N(0), A(1), (const struct timespec *)arg[2], N(3))
                       : hook_futimens(N(0), (const struct timespec *)arg[2]);
      return 1;
    case SYS_truncate: *result = hook_truncate(A(0), arg[1]); return 1;
    case SYS_ioctl: *result = hook_ioctl(N(0), (unsigned long)arg[1], (void *)arg[2]); return 1;
    case SYS_ftruncate: *result = hook_ftruncate(N(0), arg[1]); return 1;
    case SYS_fallocate: *result = hook_fallocate(N(0), N(1), arg[2], arg[3]); return 1;
    case SYS_getxattr: *result = hook_getxattr(A(0), A(1), (void *)arg[2], (size_t)arg[3]); return 1;
    case SYS_lgetxattr: *result = hook_lgetxattr(A(0), A(1), (void *)arg[2], (size_t)arg[3]); return 1;
    case SYS_listxattr: *result = hook_listxattr(A(0), (char *)arg[1], (size_t)arg[2]); return 1;
    case SYS_llistxattr: *result = hook_llistxattr(A(0), (char *)arg[1], (size_t)arg[2]); return 1;
    case SYS_setxattr: *result = hook_setxattr(A(0), A(1), A(2), (size_t)arg[3], N(4)); return 1;
    case SYS_lsetxattr: *result = hook_lsetxattr(A(0), A(1), A(2), (size_t)arg[3], N(4)); return 1;
    case SYS_fsetxattr: *result = hook_fsetxattr(N(0), A(1), A(2), (size_t)arg[3], N(4)); return 1;
    case SYS_removexattr: *result = hook_removexattr(A(0), A(1)); return 1;
    case SYS_lremovexattr: *result = hook_lremovexattr(A(0), A(1)); return 1;
    case SYS_fremovexattr: *result = hook_fremovexattr(N(0), A(1)); return 1;
    default: return names(number, arg, result);
  }
}

static int descriptors(long number, const long arg[6], long *result) {
  switch (number) {
    case SYS_close: *result = hook_close(N(0)); return 1;
    case SYS_close_range: *result = hook_close_range((unsigned)arg[0], (unsigned)arg[1], N(2)); return 1;
    case SYS_dup: *result = hook_dup(N(0)); return 1;
    case SYS_dup3: *result = hook_dup3(N(0), N(1), N(2)); return 1;
    case SYS_fcntl: *result = hook_fcntl(N(0), N(1), (void *)arg[2]); return 1;
    case SYS_flock: *result = hook_flock(N(0), N(1)); return 1;
    case SYS_fsync: *result = hook_fsync(N(0)); return 1;
    case SYS_fdatasync: *result = hook_fdatasync(N(0)); return 1;
    case SYS_syncfs: *result = hook_syncfs(N(0)); return 1;
    case SYS_sendmsg: *result = hook_sendmsg(N(0), (const struct msghdr *)arg[1], N(2)); return 1;
    case SYS_mmap: *result = (long)hook_mmap((void *)arg[0], (size_t)arg[1], N(2), N(3), N(4), arg[5]); return 1;
    default: return attributes(number, arg, result);
  }
}

#ifdef SYS_openat2
/* Its flags lie in the caller's memory: named as if it wrote, and the descriptor says whether it does. */
static long openat2_call(const long arg[6]) {
  struct vr_intent in;
  vr_intent_init(&in);
  shim_promote_path(N(0), A(1));
  shim_intent_path(&in, N(0), A(1), SHIM_FOLLOW);
  uint32_t mark = shim_fork_mark();
  int token = shim_mut_begin(&in);
  long fd = raw4(SYS_openat2, arg[0], arg[1], arg[2], arg[3]);
  long flags = fd >= 0 ? raw2(SYS_fcntl, fd, F_GETFL) : 0;
  if (fd >= 0 && !(flags & O_PATH) && (flags & O_ACCMODE) != O_RDONLY) shim_fd_opened_write_at((int)fd, token, mark);
  else {
    shim_mut_end(token);
    if (fd >= 0) shim_fd_forget((int)fd);
  }
  return raw_libc(fd);
}
#endif

/* Calls that cannot be taken apart: named as a change of everything while they run, or for as long as this process lives. */
static int whole_project(long number, const long arg[6], long *result) {
  struct vr_intent in;
  switch (number) {
#ifdef SYS_openat2
    case SYS_openat2:
      if (!recording()) return 0;
      *result = openat2_call(arg);
      return 1;
#endif
    case 452: /* fchmodat2 */
    case 463: /* setxattrat */
    case 466: /* removexattrat */
      vr_intent_init(&in);
      if (recording()) vr_intent_slot(&in, 0);
      int token = shim_mut_begin(&in);
      *result = raw_libc(raw6(number, arg[0], arg[1], arg[2], arg[3], arg[4], arg[5]));
      shim_mut_end(token);
      return 1;
    case SYS_io_uring_setup: /* opens, renames and writes that nothing sees */
      if (recording()) shim_blind_begin();
      return 0;
    default: return descriptors(number, arg, result);
  }
}

int shim_syscall_mutate(long number, const long arg[6], long *result) {
  switch (number) {
    case SYS_execve: *result = hook_execve(A(0), (char *const *)arg[1], (char *const *)arg[2]); return 1;
    case SYS_execveat: *result = hook_execveat(N(0), A(1), (char *const *)arg[2], (char *const *)arg[3], N(4)); return 1;
    case SYS_exit_group: hook__exit(N(0)); return 1;
      /* The caller makes the child; it is recognised by its pid and its canary. */
#ifdef SYS_fork
    case SYS_fork: shim_before_clone(0); return 0;
#endif
    case SYS_clone: shim_before_clone((unsigned long)arg[0]); return 0;
#ifdef SYS_clone3
    case SYS_clone3: shim_before_clone(arg[1] >= 8 ? *(const uint64_t *)arg[0] : 0); return 0;
#endif
    default: return whole_project(number, arg, result);
  }
}
