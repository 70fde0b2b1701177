/* dev.vrift.platform.Processes and SafeDir. Every function returns -errno on failure. */
#include <errno.h>
#include <fcntl.h>
#include <jni.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "vr_fault.h"

#define PATH_LIMIT 4096
#define LIST_LIMIT 512
#define POLL_LIMIT 16
enum { NOT_A_DIRECTORY = 1, NOT_OURS = 2, NOT_PRIVATE = 3 };

#define NATIVE(type, name) JNIEXPORT type JNICALL Java_dev_vrift_platform_Processes_##name

/* Copies a Java byte array into a C string of at most limit bytes with the zero. 0 or -errno. */
static int c_string(JNIEnv *env, jbyteArray a, char *out, size_t limit) {
  jsize n = (*env)->GetArrayLength(env, a);
  if ((size_t)n >= limit) return -ENAMETOOLONG;
  (*env)->GetByteArrayRegion(env, a, 0, n, (jbyte *)out);
  out[n] = 0;
  return memchr(out, 0, (size_t)n) ? -EINVAL : 0;
}

NATIVE(jint, pid)(JNIEnv *env, jclass c) { return (void)env, (void)c, getpid(); }
NATIVE(jint, uid)(JNIEnv *env, jclass c) { return (void)env, (void)c, (jint)geteuid(); }
NATIVE(jint, close)(JNIEnv *env, jclass c, jint fd) { return (void)env, (void)c, close(fd) < 0 ? -errno : 0; }

NATIVE(jint, pidfd)(JNIEnv *env, jclass c, jint pid) {
  (void)env, (void)c;
  if (pid <= 0) return -EINVAL;
  int fd = (int)syscall(SYS_pidfd_open, pid, 0);
  return fd < 0 ? -errno : fd; /* close-on-exec by itself */
}

NATIVE(jint, signal)(JNIEnv *env, jclass c, jint pidfd, jint sig) {
  (void)env, (void)c;
  return syscall(SYS_pidfd_send_signal, pidfd, sig, NULL, 0) < 0 ? -errno : 0;
}

NATIVE(jint, killChild)(JNIEnv *env, jclass c, jint pid) {
  (void)env, (void)c;
  int status;
  if (pid <= 0) return -EINVAL;
  if (waitpid(pid, &status, WNOHANG) != 0) return errno == ECHILD ? -ECHILD : 0; /* not ours, or reaped just now */
  if (kill(pid, SIGKILL) < 0) return -errno;
  while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
  return 0;
}

/* Reads /proc/pid/stat and finds the text behind the command name, which may hold anything. NULL: no such process. */
static const char *stat_fields(int pid, char *buf, size_t size) {
  char name[64];
  if (pid <= 0) return NULL;
  snprintf(name, sizeof name, "/proc/%d/stat", pid);
  int fd = open(name, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return NULL;
  ssize_t n = read(fd, buf, size - 1);
  close(fd);
  if (n <= 0) return NULL;
  buf[n] = 0;
  char *p = strrchr(buf, ')');
  return p && p[1] == ' ' ? p + 2 : NULL;
}

/* Field number n of /proc/pid/stat as in proc(5), n >= 4. */
static jlong stat_number(int pid, int n) {
  char buf[1024];
  const char *p = stat_fields(pid, buf, sizeof buf);
  for (int i = 3; p && i < n; i++) {
    p = strchr(p, ' ');
    if (p) p++;
  }
  return p ? (jlong)strtoll(p, NULL, 10) : -1;
}

NATIVE(jlong, startTime)(JNIEnv *env, jclass c, jint pid) { return (void)env, (void)c, stat_number(pid, 22); }

NATIVE(jlong, cpuTime)(JNIEnv *env, jclass c, jint pid) {
  (void)env, (void)c;
  jlong user = stat_number(pid, 14), sys = stat_number(pid, 15);
  return user < 0 || sys < 0 ? -1 : user + sys;
}

NATIVE(jint, stateOf)(JNIEnv *env, jclass c, jint pid) {
  (void)env, (void)c;
  char buf[1024];
  const char *p = stat_fields(pid, buf, sizeof buf);
  return p ? *p : -1;
}

NATIVE(jint, reap)(JNIEnv *env, jclass c, jint pid) {
  (void)env, (void)c;
  int status;
  if (pid <= 0) return -EINVAL;
  for (;;) {
    pid_t r = waitpid(pid, &status, WNOHANG);
    if (r == pid) return status;
    if (r == 0) return -EAGAIN;
    if (errno != EINTR) return -errno;
  }
}

/* What the child of spawnDaemon needs; prepared before the fork, because only async-signal-safe calls are allowed after it. */
struct launch {
  char program[PATH_LIMIT];
  char log[PATH_LIMIT];
  char *argv[LIST_LIMIT + 2];
  char *envp[LIST_LIMIT + 1];
  char ready[16];
};

static int c_list(JNIEnv *env, jobjectArray list, char **out) {
  jsize n = (*env)->GetArrayLength(env, list);
  if (n > LIST_LIMIT) return -E2BIG;
  for (jsize i = 0; i < n; i++) {
    jbyteArray a = (*env)->GetObjectArrayElement(env, list, i);
    size_t size = (size_t)(*env)->GetArrayLength(env, a) + 1;
    out[i] = malloc(size);
    int r = out[i] ? c_string(env, a, out[i], size) : -ENOMEM;
    (*env)->DeleteLocalRef(env, a);
    if (r < 0) return r;
  }
  return n;
}

static void child(struct launch *l, int ready) {
  setsid();
  int null = open("/dev/null", O_RDWR), log = open(l->log, O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW, 0600);
  if (null < 0 || ready < 0) _exit(125);
  /* Out of the way of 0..2 and 3 first, then into place. */
  int keep = fcntl(ready, F_DUPFD, 10);
  dup2(null, 0);
  dup2(log >= 0 ? log : null, 1);
  dup2(log >= 0 ? log : null, 2);
  dup2(keep, 3);
  syscall(SYS_close_range, 4, ~0u, 0);
  struct sigaction dfl = {.sa_handler = SIG_DFL};
  for (int s = 1; s < NSIG; s++) sigaction(s, &dfl, NULL);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, NULL);
  setpriority(PRIO_PROCESS, 0, 0);
  umask(077);
  if (chdir("/") < 0) _exit(125);
  execve(l->program, l->argv, l->envp);
  _exit(127);
}

NATIVE(jint, spawnDaemon)(JNIEnv *env, jclass c, jbyteArray program, jobjectArray argv, jobjectArray envp, jbyteArray log,
                          jintArray result) {
  (void)c;
  struct launch *l = calloc(1, sizeof *l);
  if (!l) return -ENOMEM;
  int r = c_string(env, program, l->program, sizeof l->program);
  if (r == 0) r = c_string(env, log, l->log, sizeof l->log);
  if (r == 0) r = c_list(env, envp, l->envp);
  if (r >= 0) r = c_list(env, argv, l->argv);
  int p[2] = {-1, -1};
  if (r >= 0) {
    snprintf(l->ready, sizeof l->ready, "3");
    l->argv[r] = l->ready;
    r = socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, p) < 0 ? -errno : 0;
  }
  if (r == 0) {
    pid_t pid = fork();
    if (pid == 0) child(l, p[1]);
    VR_FAULT(daemon_forked);
    jint out[2] = {pid, p[0]};
    r = pid < 0 ? -errno : 0;
    if (r == 0) (*env)->SetIntArrayRegion(env, result, 0, 2, out);
    else close(p[0]);
    close(p[1]);
  }
  for (int i = 0; i < LIST_LIMIT; i++) {
    if (l->argv[i] != l->ready) free(l->argv[i]);
    free(l->envp[i]);
  }
  free(l);
  return r;
}

NATIVE(jint, readByte)(JNIEnv *env, jclass c, jint fd, jbyteArray one) {
  (void)c;
  jbyte b;
  ssize_t n = read(fd, &b, 1);
  if (n == 1) (*env)->SetByteArrayRegion(env, one, 0, 1, &b);
  return n < 0 ? -errno : (jint)n;
}

NATIVE(jint, ready)(JNIEnv *env, jclass c, jint fd) {
  (void)env, (void)c;
  signal(SIGPIPE, SIG_IGN);
  int r = write(fd, "R", 1) == 1 ? 0 : -errno;
  close(fd);
  return r;
}

NATIVE(jboolean, isInotify)(JNIEnv *env, jclass c, jint fd) {
  (void)env, (void)c;
  char name[40], text[40];
  snprintf(name, sizeof name, "/proc/self/fd/%d", fd);
  ssize_t n = readlink(name, text, sizeof text - 1);
  if (fd < 0 || n <= 0) return JNI_FALSE;
  text[n] = 0;
  return !strcmp(text, "anon_inode:inotify");
}

/* Standard output and error go to the end of that file from now on. */
NATIVE(jint, logTo)(JNIEnv *env, jclass c, jbyteArray jpath) {
  (void)c;
  char path[PATH_LIMIT];
  int r = c_string(env, jpath, path, sizeof path);
  if (r < 0) return r;
  int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW | O_CLOEXEC, 0600);
  if (fd < 0) return -errno;
  r = dup2(fd, 1) < 0 || dup2(fd, 2) < 0 ? -errno : 0;
  if (fd > 2) close(fd);
  return r;
}

/* What others see as our command line is our memory: the argument that is `from` becomes `to`, in place. The fields arg_start and arg_end of
 * /proc/self/stat say where it lies. */
NATIVE(jint, renameArgument)(JNIEnv *env, jclass c, jbyteArray jfrom, jbyteArray jto) {
  (void)c;
  char from[PATH_LIMIT], to[PATH_LIMIT];
  int r = c_string(env, jfrom, from, sizeof from);
  if (r == 0) r = c_string(env, jto, to, sizeof to);
  if (r < 0) return r;
  size_t n = strlen(from);
  if (strlen(to) > n) return -ENAMETOOLONG;
  jlong start = stat_number(getpid(), 48), end = stat_number(getpid(), 49);
  if (start <= 0 || end <= start || end - start > (1 << 20)) return -EIO;
  char *at = (char *)(intptr_t)start, *stop = (char *)(intptr_t)end;
  while (at < stop && strcmp(at, from)) at += strlen(at) + 1; /* the last one ends with a zero before end */
  if (at >= stop || (size_t)(stop - at) <= n) return -ENOENT;
  memset(at, 0, n);
  memcpy(at, to, strlen(to));
  return 0;
}

NATIVE(jint, lock)(JNIEnv *env, jclass c, jbyteArray jpath) {
  (void)c;
  char path[PATH_LIMIT];
  int r = c_string(env, jpath, path, sizeof path);
  if (r < 0) return r;
  for (;;) {
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0) return -errno;
    struct stat st, named;
    r = flock(fd, LOCK_EX | LOCK_NB) < 0 || fstat(fd, &st) < 0 ? -errno : 0;
    if (r == 0 && lstat(path, &named) == 0 && named.st_ino == st.st_ino && named.st_dev == st.st_dev) return fd;
    close(fd);
    if (r < 0) return r; /* else the file was removed by its last holder between our open and lock: once more */
  }
}

NATIVE(jint, eventfd)(JNIEnv *env, jclass c) {
  (void)env, (void)c;
  int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  return fd < 0 ? -errno : fd;
}

NATIVE(jint, wake)(JNIEnv *env, jclass c, jint fd) {
  (void)env, (void)c;
  uint64_t one = 1;
  return write(fd, &one, 8) == 8 || errno == EAGAIN ? 0 : -errno;
}

NATIVE(jint, unwake)(JNIEnv *env, jclass c, jint fd) {
  (void)env, (void)c;
  uint64_t n;
  return read(fd, &n, 8) == 8 || errno == EAGAIN ? 0 : -errno;
}

NATIVE(jint, poll)(JNIEnv *env, jclass c, jintArray fds, jint timeout) {
  (void)c;
  jsize n = (*env)->GetArrayLength(env, fds);
  jint v[POLL_LIMIT];
  struct pollfd p[POLL_LIMIT];
  if (n > POLL_LIMIT) return -EINVAL;
  (*env)->GetIntArrayRegion(env, fds, 0, n, v);
  for (jsize i = 0; i < n; i++) p[i] = (struct pollfd){.fd = v[i], .events = POLLIN}; /* a negative fd is ignored by poll */
  int r = poll(p, (nfds_t)n, timeout);
  if (r < 0) return errno == EINTR ? 0 : -errno;
  jint bits = 0;
  for (jsize i = 0; i < n; i++)
    if (p[i].revents) bits |= 1 << i;
  return bits;
}

NATIVE(jlong, monotonicMs)(JNIEnv *env, jclass c) {
  (void)env, (void)c;
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (jlong)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static int check_dir(const char *path) {
  struct stat st;
  if (lstat(path, &st) < 0) return -errno;
  if (!S_ISDIR(st.st_mode)) return NOT_A_DIRECTORY;
  if (st.st_uid != geteuid()) return NOT_OURS;
  return st.st_mode & 077 ? NOT_PRIVATE : 0;
}

JNIEXPORT jint JNICALL Java_dev_vrift_platform_SafeDir_check(JNIEnv *env, jclass c, jbyteArray jpath) {
  (void)c;
  char path[PATH_LIMIT];
  int r = c_string(env, jpath, path, sizeof path);
  return r < 0 ? r : check_dir(path);
}

JNIEXPORT jint JNICALL Java_dev_vrift_platform_SafeDir_make(JNIEnv *env, jclass c, jbyteArray jpath) {
  (void)c;
  char path[PATH_LIMIT];
  int r = c_string(env, jpath, path, sizeof path);
  if (r < 0) return r;
  if (mkdir(path, 0700) < 0 && errno != EEXIST) return -errno;
  return check_dir(path);
}
