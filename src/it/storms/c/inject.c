/* Stands in front of libc (LD_PRELOAD) and makes the n-th call of a process fail, once or for ever. Built by src/it/storms/calls.py.
 *   INJECT=WHAT:N[+]     WHAT an errno, or "short": a write or read takes half
 *   INJECT_CALLS=a,b,…   only these functions (default: all below)
 *   INJECT_FROM=x,y      only calls made by code in libraries whose path contains one of these (default: any)
 *   INJECT_LOG=FILE      gets one line when it happens, with the number of the process */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

static unsigned count, at_call, onward, number;
static int is_short, ready;
static const char *only, *from, *log_to;

static void configure(void) {
  const char *s = getenv("INJECT");
  only = getenv("INJECT_CALLS"), from = getenv("INJECT_FROM"), log_to = getenv("INJECT_LOG");
  if (s) {
    is_short = *s == 's';
    number = (unsigned)atoi(s);
    const char *colon = strchr(s, ':');
    at_call = colon ? (unsigned)strtoul(colon + 1, NULL, 10) : 0;
    onward = s[strlen(s) - 1] == '+';
  }
  ready = 1;
}
static int listed(const char *list, const char *name) { /* name is one of list, separated by commas */
  size_t n = strlen(name);
  for (const char *p = list; (p = strstr(p, name)); p++)
    if ((p == list || p[-1] == ',') && (p[n] == ',' || !p[n])) return 1;
  return 0;
}
static int comes_from(const void *caller) {
  Dl_info i;
  if (!dladdr(caller, &i) || !i.dli_fname) return 0;
  char part[64];
  for (const char *p = from; *p;) {
    size_t n = strcspn(p, ",");
    if (n < sizeof part) {
      memcpy(part, p, n);
      part[n] = 0;
      if (strstr(i.dli_fname, part)) return 1;
    }
    p += n + (p[n] == ',');
  }
  return 0;
}
/* 0: make the call; 1: it fails; 2: it is to be short. */
static int fails(const char *name, const void *caller) {
  if (!ready) configure();
  if (!at_call || (only && !listed(only, name)) || (from && !comes_from(caller))) return 0;
  unsigned c = __atomic_add_fetch(&count, 1, __ATOMIC_RELAXED);
  if (c < at_call || (c > at_call && !onward)) return 0;
  if (c == at_call && log_to) {
    int (*real_open)(const char *, int, ...) = dlsym(RTLD_NEXT, "open");
    ssize_t (*real_write)(int, const void *, size_t) = dlsym(RTLD_NEXT, "write");
    int (*real_close)(int) = dlsym(RTLD_NEXT, "close");
    char line[64];
    int fd = real_open(log_to, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600), n = snprintf(line, sizeof line, "%s %d\n", name, getpid());
    if (fd >= 0) {
      if (real_write(fd, line, (size_t)n) < 0) n = 0;
      real_close(fd);
    }
  }
  if (is_short) return 2;
  errno = (int)number;
  return 1;
}
#define CALLER __builtin_return_address(0)
#define REAL(ret, name, ...) ((ret(*)(__VA_ARGS__))dlsym(RTLD_NEXT, #name))
#define WRAP(ret, name, params, types, args) \
  ret name params { return fails(#name, CALLER) == 1 ? (ret)-1 : ((ret(*) types)dlsym(RTLD_NEXT, #name)) args; }
#define WRAP_IO(name, buffer) \
  ssize_t name(int fd, buffer p, size_t n) { \
    int f = fails(#name, CALLER); \
    return f == 1 ? -1 : REAL(ssize_t, name, int, buffer, size_t)(fd, p, f == 2 && n > 1 ? n / 2 : n); \
  }
#define WRAP_AT(name, buffer) \
  ssize_t name(int fd, buffer p, size_t n, off_t o) { \
    int f = fails(#name, CALLER); \
    return f == 1 ? -1 : REAL(ssize_t, name, int, buffer, size_t, off_t)(fd, p, f == 2 && n > 1 ? n / 2 : n, o); \
  }
#define WRAP_OPEN(name, first_params, first_types, first_args) \
  int name(first_params int flags, ...) { \
    va_list a; \
    va_start(a, flags); \
    mode_t mode = flags & (O_CREAT | __O_TMPFILE) ? va_arg(a, mode_t) : 0; \
    va_end(a); \
    return fails(#name, CALLER) == 1 ? -1 : ((int (*)(first_types int, ...))dlsym(RTLD_NEXT, #name))(first_args flags, mode); \
  }
#define C_ ,
WRAP_IO(write, const void *)
WRAP_IO(read, void *)
WRAP_AT(pwrite, const void *)
WRAP_AT(pwrite64, const void *)
WRAP_AT(pread, void *)
WRAP_AT(pread64, void *)
WRAP_OPEN(open, const char *p C_, const char * C_, p C_)
WRAP_OPEN(open64, const char *p C_, const char * C_, p C_)
WRAP_OPEN(openat, int d C_ const char *p C_, int C_ const char * C_, d C_ p C_)
WRAP_OPEN(openat64, int d C_ const char *p C_, int C_ const char * C_, d C_ p C_)
WRAP(ssize_t, writev, (int fd, const struct iovec *v, int n), (int, const struct iovec *, int), (fd, v, n))
WRAP(ssize_t, pwritev, (int fd, const struct iovec *v, int n, off_t o), (int, const struct iovec *, int, off_t), (fd, v, n, o))
WRAP(int, fsync, (int fd), (int), (fd))
WRAP(int, fdatasync, (int fd), (int), (fd))
WRAP(int, msync, (void *p, size_t n, int f), (void *, size_t, int), (p, n, f))
WRAP(int, ftruncate, (int fd, off_t n), (int, off_t), (fd, n))
WRAP(int, ftruncate64, (int fd, off_t n), (int, off_t), (fd, n))
WRAP(void *, mmap, (void *p, size_t n, int a, int b, int fd, off_t o), (void *, size_t, int, int, int, off_t), (p, n, a, b, fd, o))
WRAP(void *, mmap64, (void *p, size_t n, int a, int b, int fd, off_t o), (void *, size_t, int, int, int, off_t), (p, n, a, b, fd, o))
WRAP(int, rename, (const char *a, const char *b), (const char *, const char *), (a, b))
WRAP(int, unlink, (const char *a), (const char *), (a))
WRAP(int, link, (const char *a, const char *b), (const char *, const char *), (a, b))
WRAP(int, symlink, (const char *a, const char *b), (const char *, const char *), (a, b))
WRAP(int, mkdir, (const char *a, mode_t m), (const char *, mode_t), (a, m))
WRAP(int, chmod, (const char *a, mode_t m), (const char *, mode_t), (a, m))
WRAP(int, fchmod, (int a, mode_t m), (int, mode_t), (a, m))
WRAP(int, stat, (const char *a, struct stat *s), (const char *, struct stat *), (a, s))
WRAP(int, lstat, (const char *a, struct stat *s), (const char *, struct stat *), (a, s))
WRAP(int, fstat, (int a, struct stat *s), (int, struct stat *), (a, s))
WRAP(int, statx, (int d, const char *a, int f, unsigned m, struct statx *s), (int, const char *, int, unsigned, struct statx *), (d, a, f, m, s))
WRAP(ssize_t, readlink, (const char *a, char *b, size_t n), (const char *, char *, size_t), (a, b, n))
WRAP(int, inotify_init1, (int f), (int), (f))
WRAP(int, inotify_add_watch, (int fd, const char *p, uint32_t m), (int, const char *, uint32_t), (fd, p, m))
WRAP(int, socket, (int a, int b, int c), (int, int, int), (a, b, c))
WRAP(int, accept4, (int a, struct sockaddr *s, socklen_t *n, int f), (int, struct sockaddr *, socklen_t *, int), (a, s, n, f))
WRAP(int, listen, (int a, int b), (int, int), (a, b))
WRAP(int, bind, (int a, const struct sockaddr *s, socklen_t n), (int, const struct sockaddr *, socklen_t), (a, s, n))
WRAP(int, connect, (int a, const struct sockaddr *s, socklen_t n), (int, const struct sockaddr *, socklen_t), (a, s, n))
WRAP(int, poll, (struct pollfd *p, nfds_t n, int t), (struct pollfd *, nfds_t, int), (p, n, t))
WRAP(ssize_t, recv, (int a, void *b, size_t n, int f), (int, void *, size_t, int), (a, b, n, f))
WRAP(ssize_t, send, (int a, const void *b, size_t n, int f), (int, const void *, size_t, int), (a, b, n, f))
WRAP(int, eventfd, (unsigned a, int b), (unsigned, int), (a, b))
WRAP(int, flock, (int a, int b), (int, int), (a, b))
WRAP(int, dup, (int a), (int), (a))
