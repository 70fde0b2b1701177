/* Raw system calls for code that runs inside the InceptionLayer and inside the daemon's library: never through a libc symbol,
 * because the shim interposes those. Every function returns the kernel's value: >= 0, or -errno. errno is not touched.
 * Linux x86_64 and aarch64; only calls that exist on both. */
#ifndef VR_SYS_H
#define VR_SYS_H
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>

#ifdef VR_SYS_INJECT /* test builds: the n-th call fails, vr_inject.c */
#define VR_SYS6 vr_sys6_real
#else
#define VR_SYS6 vr_sys6
#endif
static inline long VR_SYS6(long n, long a, long b, long c, long d, long e, long f) {
#if defined(__x86_64__)
  register long r10 __asm__("r10") = d;
  register long r8 __asm__("r8") = e;
  register long r9 __asm__("r9") = f;
  long ret;
  __asm__ volatile("syscall" : "=a"(ret) : "a"(n), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9) : "rcx", "r11", "memory");
  return ret;
#elif defined(__aarch64__)
  register long x8 __asm__("x8") = n;
  register long x0 __asm__("x0") = a;
  register long x1 __asm__("x1") = b;
  register long x2 __asm__("x2") = c;
  register long x3 __asm__("x3") = d;
  register long x4 __asm__("x4") = e;
  register long x5 __asm__("x5") = f;
  __asm__ volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5) : "memory");
  return x0;
#else
#error "vrift: unsupported processor"
#endif
}
#ifdef VR_SYS_INJECT
long vr_inject6(long n, long a, long b, long c, long d, long e, long f) __attribute__((visibility("hidden")));
static inline long vr_sys6(long n, long a, long b, long c, long d, long e, long f) { return vr_inject6(n, a, b, c, d, e, f); }
#endif
static inline int vr_openat(int dir, const char *path, int flags, mode_t mode) {
  return (int)vr_sys6(SYS_openat, dir, (long)path, flags, mode, 0, 0);
}
static inline int vr_openat2(int dir, const char *path, int flags, uint64_t resolve) {
  struct open_how how = {.flags = (uint64_t)flags, .mode = 0, .resolve = resolve};
  return (int)vr_sys6(SYS_openat2, dir, (long)path, (long)&how, sizeof how, 0, 0);
}
static inline int vr_close(int fd) { return (int)vr_sys6(SYS_close, fd, 0, 0, 0, 0, 0); }
static inline int vr_statx(int dir, const char *path, int flags, struct statx *out) {
  return (int)vr_sys6(SYS_statx, dir, (long)path, flags, STATX_BASIC_STATS | STATX_BTIME, (long)out, 0);
}
static inline int vr_fstatx(int fd, struct statx *out) { return vr_statx(fd, "", AT_EMPTY_PATH, out); }
static inline uint64_t vr_statx_dev(const struct statx *st) {
  uint64_t major = st->stx_dev_major, minor = st->stx_dev_minor; /* the encoding of st_dev */
  return ((major & 0xfffff000u) << 32) | ((major & 0xfffu) << 8) | ((minor & 0xffffff00u) << 12) | (minor & 0xffu);
}
static inline int vr_renameat2(int from_dir, const char *from, int to_dir, const char *to, unsigned flags) {
  return (int)vr_sys6(SYS_renameat2, from_dir, (long)from, to_dir, (long)to, flags, 0);
}
static inline int vr_linkat(int from_dir, const char *from, int to_dir, const char *to, int flags) {
  return (int)vr_sys6(SYS_linkat, from_dir, (long)from, to_dir, (long)to, flags, 0);
}
static inline int vr_unlinkat(int dir, const char *path, int flags) { return (int)vr_sys6(SYS_unlinkat, dir, (long)path, flags, 0, 0, 0); }
static inline int vr_mkdirat(int dir, const char *path, mode_t mode) { return (int)vr_sys6(SYS_mkdirat, dir, (long)path, mode, 0, 0, 0); }
static inline long vr_readlinkat(int dir, const char *path, char *out, size_t cap) {
  return vr_sys6(SYS_readlinkat, dir, (long)path, (long)out, (long)cap, 0, 0);
}
static inline int vr_fcntl(int fd, int command, long arg) { return (int)vr_sys6(SYS_fcntl, fd, command, arg, 0, 0, 0); }
static inline long vr_pread(int fd, void *to, size_t n, int64_t at) { return vr_sys6(SYS_pread64, fd, (long)to, (long)n, (long)at, 0, 0); }
static inline long vr_pwrite(int fd, const void *from, size_t n, int64_t at) {
  return vr_sys6(SYS_pwrite64, fd, (long)from, (long)n, (long)at, 0, 0);
}
static inline uint64_t vr_boot_ns(void) { /* CLOCK_BOOTTIME, ns */
  struct timespec t = {0, 0};
  vr_sys6(SYS_clock_gettime, CLOCK_BOOTTIME, (long)&t, 0, 0, 0, 0);
  return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}
#endif
