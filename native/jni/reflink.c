/* dev.vrift.platform.FileCalls: files by descriptor, beneath a directory, never through a symbolic link. Results below 0 are -errno. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <jni.h>
#include <linux/fs.h>
#include <linux/openat2.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#define NATIVE(type, name) JNIEXPORT type JNICALL Java_dev_vrift_platform_FileCalls_##name
#define PATH_BYTES 4096
#define IO_BYTES 65536
#define IOPRIO_IDLE (3 << 13)
#define IDLE_NICE 19

static int get_path(JNIEnv *env, jbyteArray path, char out[PATH_BYTES]) {
  jsize n = (*env)->GetArrayLength(env, path);
  if (n >= PATH_BYTES) return -ENAMETOOLONG;
  (*env)->GetByteArrayRegion(env, path, 0, n, (jbyte *)out);
  out[n] = 0;
  return strlen(out) == (size_t)n ? 0 : -EINVAL;
}

/* One component at a time with O_NOFOLLOW, for kernels and sandboxes without openat2. */
static int walk(int dir, char *path, int flags) {
  int at = dir;
  for (char *part = path;;) {
    char *slash = strchr(part, '/');
    if (slash) *slash = 0;
    if (!*part || !strcmp(part, "..")) {
      if (at != dir) close(at);
      return -EINVAL;
    }
    int next = openat(at, part, (slash ? O_PATH | O_DIRECTORY : flags) | O_NOFOLLOW | O_CLOEXEC);
    int e = errno;
    if (at != dir) close(at);
    if (next < 0) return -e;
    if (!slash) return next;
    at = next;
    part = slash + 1;
  }
}

/* Opens a file or directory for reading below dir. The access time is left alone; -EPERM where that is not allowed to us. */
NATIVE(jint, openBeneath)(JNIEnv *env, jclass c, jint dir, jbyteArray path, jboolean directory) {
  (void)c;
  char p[PATH_BYTES];
  int rc = get_path(env, path, p);
  if (rc) return rc;
  int flags = O_RDONLY | O_NONBLOCK | O_NOCTTY | O_NOATIME | (directory ? O_DIRECTORY : 0);
  struct open_how how = {.flags = (uint64_t)(flags | O_CLOEXEC), .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS};
  long fd = syscall(SYS_openat2, dir, p, &how, sizeof how);
  if (fd >= 0) return (jint)fd;
  if (errno != ENOSYS && errno != EPERM) return -errno;
  return walk(dir, p, flags);
}
/* flags: see FileCalls. mode for creation. */
NATIVE(jint, open)(JNIEnv *env, jclass c, jbyteArray path, jint kind, jint mode) {
  (void)c;
  static const int flags[] = {O_RDONLY, O_RDONLY | O_DIRECTORY, O_RDWR | O_CREAT | O_EXCL};
  char p[PATH_BYTES];
  int rc = get_path(env, path, p);
  if (rc) return rc;
  if (kind < 0 || kind > 2) return -EINVAL;
  int fd = open(p, flags[kind] | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, (mode_t)mode);
  return fd < 0 ? -errno : fd;
}
NATIVE(jint, close)(JNIEnv *env, jclass c, jint fd) {
  (void)env, (void)c;
  return close(fd) ? -errno : 0;
}
NATIVE(jint, stat)(JNIEnv *env, jclass c, jint fd, jbyteArray name, jlongArray out) {
  (void)c;
  char p[PATH_BYTES] = "";
  int rc = name ? get_path(env, name, p) : 0;
  struct statx x;
  if (rc) return rc;
  if ((*env)->GetArrayLength(env, out) < 18) return -EINVAL;
  if (statx(fd, p, AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT, STATX_BASIC_STATS | STATX_BTIME, &x)) return -errno;
  jlong v[18] = {(jlong)makedev(x.stx_dev_major, x.stx_dev_minor), (jlong)x.stx_ino, (jlong)x.stx_size, (jlong)x.stx_blocks,
                 (jlong)makedev(x.stx_rdev_major, x.stx_rdev_minor), x.stx_mode, x.stx_nlink, x.stx_uid, x.stx_gid, x.stx_blksize,
                 x.stx_mtime.tv_sec, x.stx_mtime.tv_nsec, x.stx_ctime.tv_sec, x.stx_ctime.tv_nsec, x.stx_atime.tv_sec, x.stx_atime.tv_nsec,
                 x.stx_btime.tv_sec, x.stx_btime.tv_nsec};
  (*env)->SetLongArrayRegion(env, out, 0, 18, v);
  return 0;
}
NATIVE(jint, read)(JNIEnv *env, jclass c, jint fd, jbyteArray into) {
  (void)c;
  char buf[IO_BYTES];
  jsize cap = (*env)->GetArrayLength(env, into);
  ssize_t n;
  do n = read(fd, buf, cap < IO_BYTES ? (size_t)cap : IO_BYTES);
  while (n < 0 && errno == EINTR);
  if (n < 0) return -errno;
  (*env)->SetByteArrayRegion(env, into, 0, (jsize)n, (const jbyte *)buf);
  return (jint)n;
}
NATIVE(jint, write)(JNIEnv *env, jclass c, jint fd, jbyteArray from, jint length) {
  (void)c;
  char buf[IO_BYTES];
  if (length < 0 || length > IO_BYTES || length > (*env)->GetArrayLength(env, from)) return -EINVAL;
  (*env)->GetByteArrayRegion(env, from, 0, length, (jbyte *)buf);
  for (jint done = 0; done < length;) {
    ssize_t n = write(fd, buf + done, (size_t)(length - done));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return -errno;
    if (n == 0) return -EIO;
    done += (jint)n;
  }
  return length;
}
NATIVE(jint, rewind)(JNIEnv *env, jclass c, jint fd) {
  (void)env, (void)c;
  return lseek(fd, 0, SEEK_SET) < 0 ? -errno : 0;
}
NATIVE(jint, clone)(JNIEnv *env, jclass c, jint source, jint target) {
  (void)env, (void)c;
  return ioctl(target, FICLONE, source) ? -errno : 0;
}
NATIVE(jint, chmod)(JNIEnv *env, jclass c, jint fd, jint mode) {
  (void)env, (void)c;
  return fchmod(fd, (mode_t)mode) ? -errno : 0;
}
/* Renames without replacing: -EEXIST if there is something. Where the filesystem cannot, link and unlink, which is the same to others. */
NATIVE(jint, publish)(JNIEnv *env, jclass c, jbyteArray from, jbyteArray to) {
  (void)c;
  char a[PATH_BYTES], b[PATH_BYTES];
  int rc = get_path(env, from, a);
  if (!rc) rc = get_path(env, to, b);
  if (rc) return rc;
  if (renameat2(AT_FDCWD, a, AT_FDCWD, b, RENAME_NOREPLACE) == 0) return 0;
  if (errno != EINVAL && errno != ENOSYS) return -errno;
  if (link(a, b)) return -errno;
  return unlink(a) ? -errno : 0;
}
NATIVE(jint, rename)(JNIEnv *env, jclass c, jbyteArray from, jbyteArray to) {
  (void)c;
  char a[PATH_BYTES], b[PATH_BYTES];
  int rc = get_path(env, from, a);
  if (!rc) rc = get_path(env, to, b);
  if (rc) return rc;
  return rename(a, b) ? -errno : 0;
}
NATIVE(jint, unlink)(JNIEnv *env, jclass c, jbyteArray path) {
  (void)c;
  char p[PATH_BYTES];
  int rc = get_path(env, path, p);
  if (rc) return rc;
  return unlink(p) ? -errno : 0;
}
NATIVE(jint, mkdir)(JNIEnv *env, jclass c, jbyteArray path, jint mode) {
  (void)c;
  char p[PATH_BYTES];
  int rc = get_path(env, path, p);
  if (rc) return rc;
  return mkdir(p, (mode_t)mode) ? -errno : 0;
}
NATIVE(jint, touch)(JNIEnv *env, jclass c, jbyteArray path) {
  (void)c;
  char p[PATH_BYTES];
  int rc = get_path(env, path, p);
  if (rc) return rc;
  return utimensat(AT_FDCWD, p, NULL, AT_SYMLINK_NOFOLLOW) ? -errno : 0;
}
/* Names in an open directory: for each a type byte (DT_*), then the name, then 0. Null on failure. "." and ".." left out. */
NATIVE(jbyteArray, list)(JNIEnv *env, jclass c, jint fd) {
  (void)c;
  size_t used = 0, cap = 8192;
  char *out = malloc(cap);
  int own = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOATIME);
  if (own < 0 && errno == EPERM) own = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  DIR *d = own < 0 ? NULL : fdopendir(own);
  if (!d && own >= 0) close(own);
  bool ok = out && d;
  while (ok) {
    errno = 0;
    struct dirent *e = readdir(d);
    if (!e) {
      ok = errno == 0;
      break;
    }
    if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, "..")) continue;
    size_t n = strlen(e->d_name) + 2;
    if (used + n > cap) {
      char *bigger = realloc(out, cap *= 2);
      if (!bigger) {
        ok = false;
        break;
      }
      out = bigger;
    }
    out[used] = (char)e->d_type;
    memcpy(out + used + 1, e->d_name, n - 1);
    used += n;
  }
  jbyteArray result = ok && used < INT32_MAX ? (*env)->NewByteArray(env, (jsize)used) : NULL;
  if (result) (*env)->SetByteArrayRegion(env, result, 0, (jsize)used, (const jbyte *)out);
  free(out);
  if (d) closedir(d);
  return result;
}
/* Free and total bytes of the filesystem, for us. */
NATIVE(jint, space)(JNIEnv *env, jclass c, jint fd, jlongArray out) {
  (void)c;
  struct statvfs v;
  if ((*env)->GetArrayLength(env, out) < 2) return -EINVAL;
  if (fstatvfs(fd, &v)) return -errno;
  jlong w[2] = {(jlong)(v.f_bavail * v.f_frsize), (jlong)(v.f_blocks * v.f_frsize)};
  (*env)->SetLongArrayRegion(env, out, 0, 2, w);
  return 0;
}
/* This thread only: last in line for processor and disk. */
NATIVE(void, idlePriority)(JNIEnv *env, jclass c) {
  (void)env, (void)c;
  pid_t tid = (pid_t)syscall(SYS_gettid);
  setpriority(PRIO_PROCESS, (id_t)tid, IDLE_NICE);
  syscall(SYS_ioprio_set, 1, tid, IOPRIO_IDLE);
}
