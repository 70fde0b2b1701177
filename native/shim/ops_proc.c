/* Processes and their place: fork, exit, working directory, namespaces, credentials. */
#include <sched.h>
#include <sys/mount.h>
#include "staging.h"
#include "writer.h"

/* --- fork: parent and child share what is open for writing, so those records are left to the daemon. --- */
static void before_fork(void) {
  shim_fork_begin();
  shim_stage_promote_all();
  shim_fd_escape_all();
}
static pid_t fork_with(pid_t (*call)(void)) {
  if (!recording() || shim_in_vfork_child()) return call();
  before_fork();
  pid_t pid = call();
  if (pid == 0) shim_fork_child();
  else shim_fork_end();
  return pid;
}
pid_t hook_fork(void) {
  if (!HAVE(fork)) {
    errno = ENOSYS;
    return -1;
  }
  return fork_with(real.fork);
}
ALIASES_fork
pid_t hook__Fork(void) {
  if (!HAVE(_Fork)) {
    errno = ENOSYS;
    return -1;
  }
  return fork_with(real._Fork);
}
ALIASES__Fork
int hook_daemon(int nochdir, int noclose) { /* the parent ends inside libc */
  if (!HAVE(daemon)) {
    errno = ENOSYS;
    return -1;
  }
  if (!recording()) return real.daemon(nochdir, noclose);
  before_fork();
  shim_count_flush();
  int result = real.daemon(nochdir, noclose);
  int saved = errno;
  if (raw_getpid() != shim.pid) shim_fork_child();
  else shim_fork_end();
  for (int fd = 0; fd < 3; fd++) shim_fd_forget(fd);
  shim_intent_cwd_moved();
  shim_cwd_changed();
  errno = saved;
  return result;
}
ALIASES_daemon
pid_t hook_forkpty(int *master, char *name, const void *termios, const void *winsize) {
  if (!HAVE(forkpty)) {
    errno = ENOSYS;
    return -1;
  }
  if (!recording()) return real.forkpty(master, name, termios, winsize);
  before_fork();
  pid_t pid = real.forkpty(master, name, termios, winsize);
  if (pid == 0) {
    shim_fork_child();
    for (int fd = 0; fd < 3; fd++) shim_fd_forget(fd);
  } else shim_fork_end();
  return pid;
}
ALIASES_forkpty

/* A child in other namespaces cannot be recorded: its pids and paths are not ours. Blind as long as this process lives (it waits for the child). */
#define NEW_VIEW (CLONE_NEWNS | CLONE_NEWUSER | CLONE_NEWPID)
void shim_before_clone(unsigned long flags) {
  if (!recording() || (flags & CLONE_THREAD)) return;
  if (flags & NEW_VIEW) shim_blind_begin();
  if ((flags & CLONE_VM) || shim_in_vfork_child()) return; /* shares our memory until it execs, through our hooks */
  shim_stage_promote_all();
  shim_fd_escape_all();
}
int hook_clone(int (*fn)(void *), void *stack, int flags, void *arg, ...) {
  va_list ap;
  va_start(ap, arg);
  void *parent_tid = va_arg(ap, void *), *tls = va_arg(ap, void *), *child_tid = va_arg(ap, void *);
  va_end(ap);
  if (!HAVE(clone)) {
    errno = ENOSYS;
    return -1;
  }
  int saved = errno;
  shim_before_clone((unsigned long)flags);
  errno = saved;
  return real.clone(fn, stack, flags, arg, parent_tid, tls, child_tid); /* a child with memory of its own is known by its canary */
}
ALIASES_clone

/* --- exit: bytes still in stdio's buffers go to the real file, as natively. --- */
static void before_exit(int last) { /* last: nothing of ours runs behind the program's last writes */
  if (!recording() || shim_in_vfork_child()) return;
  if (last) shim_stage_end();
  else shim_stage_promote_all();
  stage_area_give_back();
  shim_count_flush();
}
void shim_ending(void) { before_exit(1); }

void hook_exit(int status) {
  before_exit(0);
  if (HAVE(exit)) real.exit(status);
  for (;;) raw1(SYS_exit_group, status);
}
ALIASES_exit
void hook__exit(int status) {
  before_exit(1);
  for (;;) raw1(SYS_exit_group, status);
}
ALIASES__exit
void hook_quick_exit(int status) {
  before_exit(1);
  if (HAVE(quick_exit)) real.quick_exit(status);
  for (;;) raw1(SYS_exit_group, status);
}
ALIASES_quick_exit
void hook_abort(void) { /* asked for by the program itself, so it leaves what it leaves natively; only a death from outside rolls back */
  before_exit(1);
  if (HAVE(abort)) real.abort();
  __builtin_trap();
}
ALIASES_abort

/* --- working directory. A vfork child moves itself only, but its parent's cached name is worth nothing to either meanwhile. --- */
static int cwd_moved(long r) {
  if (r == 0 && recording()) {
    shim_intent_cwd_moved();
    shim_cwd_changed();
  }
  return (int)raw_libc(r);
}
int hook_chdir(const char *path) { return cwd_moved(raw1(SYS_chdir, (long)path)); }
ALIASES_chdir
int hook_fchdir(int fd) { return cwd_moved(raw1(SYS_fchdir, fd)); }
ALIASES_fchdir

/* --- another view of the file system: nothing can be named from here any more. The project waits until this process is gone. --- */
static int leave(long number, long a, long b) {
  int token = recording() ? shim_blind_begin() : SHIM_MUT_NONE;
  if (recording() && !shim_in_vfork_child()) shim_stage_promote_all();
  long r = raw2(number, a, b);
  if (r < 0) shim_mut_end(token);
  else if (recording()) shim_reads_off(VR_STAT_NATIVE_CREDENTIALS); /* a vfork child's parent too: they share this */
  return cwd_moved(r);
}
int hook_chroot(const char *path) { return leave(SYS_chroot, (long)path, 0); }
ALIASES_chroot
int hook_pivot_root(const char *to, const char *old) { return leave(SYS_pivot_root, (long)to, (long)old); }
ALIASES_pivot_root
int hook_setns(int fd, int flags) { return leave(SYS_setns, fd, flags); }
ALIASES_setns
int hook_unshare(int flags) {
  if (flags & (NEW_VIEW | CLONE_FS)) return leave(SYS_unshare, flags, 0);
  return (int)raw_libc(raw1(SYS_unshare, flags));
}
ALIASES_unshare

/* A mount changes what everybody sees; the daemon polls the mount table when G is cleaned. */
static int mount_call(long number, long a, long b, long c, long d, long e) {
  struct vr_intent in;
  vr_intent_init(&in);
  if (recording()) vr_intent_slot(&in, 0);
  int token = shim_mut_begin(&in);
  if (recording()) shim_stage_promote_below("", 0); /* it may cover anybody's */
  long r = raw6(number, a, b, c, d, e, 0);
  shim_mut_end(token);
  if (r == 0 && recording() && !shim_in_vfork_child()) shim_reads_off(VR_STAT_NATIVE_CREDENTIALS);
  return (int)raw_libc(r);
}
int hook_mount(const char *source, const char *target, const char *type, unsigned long flags, const void *data) {
  return mount_call(SYS_mount, (long)source, (long)target, (long)type, (long)flags, (long)data);
}
ALIASES_mount
int hook_umount(const char *target) { return mount_call(SYS_umount2, (long)target, 0, 0, 0, 0); }
ALIASES_umount
int hook_umount2(const char *target, int flags) { return mount_call(SYS_umount2, (long)target, flags, 0, 0, 0); }
ALIASES_umount2

/* --- credentials. libc tells all threads; a result that changes nothing changes nothing. --- */
struct who {
  long uid, gid;
};
static struct who who_now(void) { return (struct who){raw0(SYS_geteuid), raw0(SYS_getegid)}; }
static void who_changed(const struct who *before, int result, int surely) {
  struct who now = who_now();
  /* A vfork child shares this with its parent, which is native from then on too: that costs time, an answer to the wrong user costs more. */
  if (result == 0 && recording() && (surely || now.uid != before->uid || now.gid != before->gid))
    shim_reads_off(VR_STAT_NATIVE_CREDENTIALS);
}
/* What is staged gets to its place while we may still put it there. */
static void before_leaving(void) {
  if (recording() && !shim_in_vfork_child()) shim_stage_promote_all();
}
#define CREDENTIALS(name, call)                                          \
  if (!HAVE(name)) {       \
    errno = ENOSYS;                                                      \
    return -1;                                                           \
  }                                                                      \
  before_leaving();                                                      \
  struct who before = who_now();                                         \
  int result = call;                                                     \
  who_changed(&before, result, 0);                                       \
  return result
int hook_setuid(uid_t uid) { CREDENTIALS(setuid, real.setuid(uid)); }
ALIASES_setuid
int hook_setgid(gid_t gid) { CREDENTIALS(setgid, real.setgid(gid)); }
ALIASES_setgid
int hook_seteuid(uid_t uid) { CREDENTIALS(seteuid, real.seteuid(uid)); }
ALIASES_seteuid
int hook_setegid(gid_t gid) { CREDENTIALS(setegid, real.setegid(gid)); }
ALIASES_setegid
int hook_setreuid(uid_t ruid, uid_t euid) { CREDENTIALS(setreuid, real.setreuid(ruid, euid)); }
ALIASES_setreuid
int hook_setregid(gid_t rgid, gid_t egid) { CREDENTIALS(setregid, real.setregid(rgid, egid)); }
ALIASES_setregid
int hook_setresuid(uid_t ruid, uid_t euid, uid_t suid) { CREDENTIALS(setresuid, real.setresuid(ruid, euid, suid)); }
ALIASES_setresuid
int hook_setresgid(gid_t rgid, gid_t egid, gid_t sgid) { CREDENTIALS(setresgid, real.setresgid(rgid, egid, sgid)); }
ALIASES_setresgid
int hook_setgroups(size_t n, const gid_t *list) {
  if (!HAVE(setgroups)) {
    errno = ENOSYS;
    return -1;
  }
  before_leaving();
  int result = real.setgroups(n, list);
  who_changed(NULL, result, 1);
  return result;
}
ALIASES_setgroups
int hook_initgroups(const char *user, gid_t group) {
  if (!HAVE(initgroups)) {
    errno = ENOSYS;
    return -1;
  }
  before_leaving();
  int result = real.initgroups(user, group);
  who_changed(NULL, result, 1);
  return result;
}
ALIASES_initgroups
int hook_setfsuid(uid_t uid) {
  before_leaving();
  int old = (int)raw_libc(raw1(SYS_setfsuid, uid));
  if ((uid_t)old != uid) who_changed(NULL, 0, 1);
  return old;
}
ALIASES_setfsuid
int hook_setfsgid(gid_t gid) {
  before_leaving();
  int old = (int)raw_libc(raw1(SYS_setfsgid, gid));
  if ((gid_t)old != gid) who_changed(NULL, 0, 1);
  return old;
}
ALIASES_setfsgid

/* By syscall(), so for this thread only; and capabilities, which libc passes on as they are. -1, or what the call gives. */
long shim_credentials_call(long number, long a, long b, long c) {
  before_leaving();
  struct who before = who_now();
  long r = raw3(number, a, b, c);
  int fs = number == SYS_setfsuid || number == SYS_setfsgid; /* these give the old one, and never fail */
  if (fs ? (uint32_t)r != (uint32_t)a : r == 0) who_changed(&before, 0, fs || number == SYS_setgroups || number == SYS_capset);
  return raw_libc(r);
}
int hook_capset(void *header, const void *data) { return (int)shim_credentials_call(SYS_capset, (long)header, (long)data, 0); }
ALIASES_capset
