/* System calls without libc: for calls before the constructor, for vfork children, and wherever libc would call nothing else
 * anyway. The *at forms are used everywhere, so that the list is the same on every architecture. raw_* return the kernel's value
 * (-errno on failure) and leave errno alone; raw_libc turns that into libc's convention. */
#ifndef RAW_H
#define RAW_H
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#if defined(VR_SYS_INJECT) /* test builds: the n-th call fails, core/vr_inject.c */
long vr_inject6(long n, long a, long b, long c, long d, long e, long f) __attribute__((visibility("hidden")));
static inline long raw6(long n, long a, long b, long c, long d, long e, long f) { return vr_inject6(n, a, b, c, d, e, f); }
#elif defined(__x86_64__)
static inline long raw6(long n, long a, long b, long c, long d, long e, long f) {
  register long r10 __asm__("r10") = d;
  register long r8 __asm__("r8") = e;
  register long r9 __asm__("r9") = f;
  long result;
  __asm__ volatile("syscall" : "=a"(result) : "a"(n), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9) : "rcx", "r11", "memory");
  return result;
}
#elif defined(__aarch64__)
static inline long raw6(long n, long a, long b, long c, long d, long e, long f) {
  register long x8 __asm__("x8") = n;
  register long x0 __asm__("x0") = a;
  register long x1 __asm__("x1") = b;
  register long x2 __asm__("x2") = c;
  register long x3 __asm__("x3") = d;
  register long x4 __asm__("x4") = e;
  register long x5 __asm__("x5") = f;
  __asm__ volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5) : "memory");
  return x0;
}
#else
#error "no system call instruction known for this architecture"
#endif
static inline long raw4(long n, long a, long b, long c, long d) { return raw6(n, a, b, c, d, 0, 0); }
static inline long raw3(long n, long a, long b, long c) { return raw6(n, a, b, c, 0, 0, 0); }
static inline long raw2(long n, long a, long b) { return raw6(n, a, b, 0, 0, 0, 0); }
static inline long raw1(long n, long a) { return raw6(n, a, 0, 0, 0, 0, 0); }
static inline long raw0(long n) { return raw6(n, 0, 0, 0, 0, 0, 0); }

static inline int raw_failed(long r) { return (unsigned long)r > -4096ul; }
static inline long raw_libc(long r) {
  if (raw_failed(r)) {
    errno = (int)-r;
    return -1;
  }
  return r;
}

static inline int raw_open(int dirfd, const char *path, int flags, mode_t mode) {
  return (int)raw4(SYS_openat, dirfd, (long)path, flags, mode);
}
static inline int raw_close(int fd) { return (int)raw1(SYS_close, fd); }
static inline int raw_stat(int dirfd, const char *path, struct stat *buf, int flags) {
  return (int)raw4(SYS_newfstatat, dirfd, (long)path, (long)buf, flags);
}
static inline int raw_fstat(int fd, struct stat *buf) { return (int)raw2(SYS_fstat, fd, (long)buf); }
static inline long raw_statx(int dirfd, const char *path, int flags, unsigned mask, struct statx *buf) {
  return raw6(SYS_statx, dirfd, (long)path, flags, mask, (long)buf, 0);
}
static inline long raw_readlink(int dirfd, const char *path, char *buf, size_t size) {
  return raw4(SYS_readlinkat, dirfd, (long)path, (long)buf, (long)size);
}
static inline long raw_getcwd(char *buf, size_t size) { return raw2(SYS_getcwd, (long)buf, (long)size); }
static inline long raw_write(int fd, const void *buf, size_t n) { return raw3(SYS_write, fd, (long)buf, (long)n); }
static inline int raw_getpid(void) { return (int)raw0(SYS_getpid); }
static inline int raw_gettid(void) { return (int)raw0(SYS_gettid); }
static inline long raw_mmap(void *at, size_t size, int prot, int flags, int fd) {
  return raw6(SYS_mmap, (long)at, (long)size, prot, flags, fd, 0);
}
/* For the generated wrappers: libc's convention. */
static inline long shim_raw_early(long n, long a, long b, long c, long d, long e, long f) {
  return raw_libc(raw6(n, a, b, c, d, e, f));
}
#endif
