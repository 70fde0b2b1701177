/* Attributes and sizes, by path, by descriptor, through links, as functions and as system calls. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/xattr.h>
#include <unistd.h>
#include <utime.h>

#define SHOW(call)                                                                            \
  do {                                                                                        \
    errno = 0;                                                                                \
    long r_ = (long)(call);                                                                   \
    printf("%s = %ld %s\n", #call, r_, r_ < 0 ? strerror(errno) : errno ? "errno moved" : ""); \
    look();                                                                                   \
  } while (0)
static void look(void) {
  static const char *const paths[] = {"f", "l", "d"};
  for (int i = 0; i < 3; i++) {
    struct stat st;
    if (lstat(paths[i], &st)) continue;
    printf("  %s %o %ld %ld", paths[i], st.st_mode, S_ISREG(st.st_mode) ? (long)st.st_size : 0L, (long)st.st_uid);
    if (st.st_mtime < 1000000000) printf(" m%ld.%ld", (long)st.st_mtime, st.st_mtim.tv_nsec);
    if (st.st_atime < 1000000000) printf(" a%ld", (long)st.st_atime);
    printf("\n");
  }
}

int main(void) {
  umask(022);
  setvbuf(stdout, NULL, _IOLBF, 0);
  int fd = open("f", O_CREAT | O_RDWR | O_TRUNC, 0644), dir;
  struct timespec ts[2] = {{1000, 5}, {2000, 7}}, omit[2] = {{0, UTIME_OMIT}, {3000, 0}};
  struct timeval tv[2] = {{4000, 1}, {5000, 2}};
  struct utimbuf ub = {6000, 7000};
  mkdir("d", 0755), symlink("f", "l");
  SHOW(write(fd, "0123456789", 10));
  SHOW(ftruncate(fd, 4));
  SHOW(fchmod(fd, 0600));
  SHOW(fchown(fd, getuid(), getgid()));
  SHOW(futimens(fd, ts));
  SHOW(fallocate(fd, 0, 0, 100));
  SHOW(posix_fallocate(fd, 0, 200));
  SHOW(posix_fallocate(999, 0, 200));
  SHOW(fsetxattr(fd, "user.a", "1", 1, 0));
  SHOW(fsync(fd));
  SHOW(fdatasync(fd));
  SHOW(sync_file_range(fd, 0, 0, 0));
  SHOW(close(fd));
  SHOW(chmod("f", 0640));
  SHOW(chmod("l", 0604));
  SHOW(chmod("no/such", 0604));
  SHOW(lchmod("l", 0600));
  SHOW(fchmodat(AT_FDCWD, "f", 0666, 0));
  SHOW(fchmodat(AT_FDCWD, "l", 0611, AT_SYMLINK_NOFOLLOW));
  SHOW(fchmodat(AT_FDCWD, "f", 0611, 0x4000));
  SHOW(chmod("d", 0700));
  SHOW(chown("f", -1, -1));
  SHOW(lchown("l", getuid(), -1));
  SHOW(fchownat(AT_FDCWD, "l", getuid(), -1, AT_SYMLINK_NOFOLLOW));
  SHOW(truncate("f", 3));
  SHOW(truncate("l", 2));
  SHOW(truncate("d", 2));
  SHOW(truncate("f", -1));
  SHOW(utime("f", &ub));
  SHOW(utimes("f", tv));
  SHOW(lutimes("l", tv));
  SHOW(futimesat(AT_FDCWD, "d", tv));
  SHOW(utimensat(AT_FDCWD, "l", ts, AT_SYMLINK_NOFOLLOW));
  SHOW(utimensat(AT_FDCWD, "l", omit, 0));
  SHOW(utimensat(AT_FDCWD, "nothing", ts, 0));
  const char *volatile null = NULL;
  SHOW(utimensat(AT_FDCWD, null, ts, 0));
  SHOW(setxattr("f", "user.b", "22", 2, 0));
  SHOW(setxattr("l", "user.b", "22", 2, XATTR_CREATE));
  SHOW(lsetxattr("l", "user.b", "22", 2, 0));
  SHOW(removexattr("f", "user.b"));
  SHOW(removexattr("f", "user.b"));
  SHOW(lremovexattr("f", "user.none"));
  fd = open("f", O_RDONLY);
  SHOW(fchmod(fd, 0622));
  SHOW(futimes(fd, tv));
  SHOW(ftruncate(fd, 1));
  SHOW(fremovexattr(fd, "user.a"));
  SHOW(syscall(SYS_utimensat, fd, NULL, ts, 0));
  SHOW(fchownat(fd, "", getuid(), -1, AT_EMPTY_PATH));
  close(fd);
  SHOW(fchmod(fd, 0622));
  dir = open("d", O_RDONLY | O_DIRECTORY);
  SHOW(fchmod(dir, 0755));
  SHOW(futimens(dir, ts));
  SHOW(fchmodat(dir, "../f", 0600, 0));
  close(dir);
  SHOW(syscall(SYS_chmod, "f", 0644));
  SHOW(syscall(SYS_fchmodat, AT_FDCWD, "f", 0645));
  SHOW(syscall(SYS_truncate, "f", 1));
  SHOW(syscall(452, AT_FDCWD, "f", 0640, 0) == 0 || errno == ENOSYS);
  return 0;
}
