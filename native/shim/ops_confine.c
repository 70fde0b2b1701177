/* A process that locks itself out. Behind a seccomp filter a system call that the program does not make itself may end it: so its outputs go to
 * their places first, and from then on it makes the program's calls and no others. It counts as one that cannot be seen. Behind landlock
 * it goes on being seen, but stages nothing. Inode flags (chattr) are a change like any other, and may close a directory to us. */
#include <linux/fs.h>
#include <linux/seccomp.h>
#include <stdarg.h>
#include <sys/prctl.h>
#include "staging.h"
#include "writer.h"

#ifndef SYS_landlock_restrict_self
#define SYS_landlock_restrict_self 446
#endif

/* What filters the calls of this process: 1. Other operations only ask, and so does a filter that is not there (libseccomp tries what the kernel knows). */
static int confines(long number, const long arg[6]) {
  switch (number) {
    case SYS_seccomp: return arg[0] == SECCOMP_SET_MODE_STRICT || (arg[0] == SECCOMP_SET_MODE_FILTER && arg[2]);
    case SYS_prctl: return arg[0] == PR_SET_SECCOMP && (arg[1] == SECCOMP_MODE_STRICT || arg[2]);
    default: return 0;
  }
}

long shim_confining_call(long number, const long arg[6]) {
  int landlock = number == SYS_landlock_restrict_self;
  if (!recording() || (!landlock && !confines(number, arg))) return raw_libc(raw6(number, arg[0], arg[1], arg[2], arg[3], arg[4], arg[5]));
  if (landlock) {
    if (!shim_in_vfork_child()) shim_stage_end();
    return raw_libc(raw6(number, arg[0], arg[1], arg[2], arg[3], arg[4], arg[5]));
  }
  int saved = errno, token = shim_blind_begin(), child = shim_in_vfork_child();
  if (!child) {
    shim_stage_end(); /* another thread's next output would not get to its place any more */
    stage_area_give_back();
    shim_count_flush();
  }
  errno = saved;
  long r = raw6(number, arg[0], arg[1], arg[2], arg[3], arg[4], arg[5]);
  if (r < 0) {
    shim_mut_end(token);
  } else {
    if (child && token >= 0) shim_blind_child(token, shim.pid); /* its parent shares this memory, and is off with it */
    shim_off(); /* the record stays until its owner is gone */
  }
  return raw_libc(r);
}

int hook_prctl(int op, ...) {
  long arg[6] = {op};
  va_list ap;
  va_start(ap, op);
  for (int i = 1; i < 5; i++) arg[i] = va_arg(ap, long);
  va_end(ap);
  return (int)shim_confining_call(SYS_prctl, arg);
}
ALIASES_prctl

/* Sets flags, an immutable directory among them: what is staged in it could not get there any more. */
static int set_flags(int fd, unsigned long request, void *arg) {
  struct vr_intent in;
  struct stat st;
  int saved = errno;
  shim_stage_promote_fd(fd);
  if (shim_stage_any() && raw_fstat(fd, &st) == 0) shim_stage_promote_in(st.st_dev, st.st_ino);
  vr_intent_init(&in);
  shim_intent_fd(&in, fd);
  int token = shim_mut_begin(&in);
  errno = saved;
  long r = raw3(SYS_ioctl, fd, (long)request, (long)arg);
  shim_mut_end(token);
  return (int)raw_libc(r);
}

int hook_ioctl(int fd, unsigned long request, ...) {
  va_list ap;
  va_start(ap, request);
  void *arg = va_arg(ap, void *);
  va_end(ap);
  if (__builtin_expect(request == FS_IOC_SETFLAGS || request == FS_IOC32_SETFLAGS || request == FS_IOC_FSSETXATTR, 0) && recording()) return set_flags(fd, request, arg);
  return (int)raw_libc(raw3(SYS_ioctl, fd, (long)request, (long)arg));
}
ALIASES_ioctl
