/* Only in test builds with -DVR_SYS_INJECT (docs/FAULTS.md); else this file is empty. Every raw system call of ours goes through here, and the n-th
 * fails, once or for ever: VRIFT_INJECT=WHAT:N[+], WHAT an errno or "short" (a write takes half of what it could). What is counted starts with the
 * first call of each process. VRIFT_INJECT_LOG: a file that gets one line when it happens. */
#ifdef VR_SYS_INJECT
#include "vr_sys.h"
#include <stddef.h>

extern char **environ;
static uint32_t calls, fails_at, onward, error_number, is_short;
static const char *log_to;

static const char *setting(const char *name) {
  for (char **e = environ; e && *e; e++) {
    size_t i = 0;
    while (name[i] && (*e)[i] == name[i]) i++;
    if (!name[i] && (*e)[i] == '=') return *e + i + 1;
  }
  return NULL;
}
static const char *number(const char *at, uint32_t *out) {
  for (*out = 0; *at >= '0' && *at <= '9'; at++) *out = *out * 10 + (uint32_t)(*at - '0');
  return at;
}
static void configure(void) {
  const char *s = setting("VRIFT_INJECT");
  log_to = setting("VRIFT_INJECT_LOG");
  if (!s) return;
  if (*s == 's') {
    is_short = 1;
    while (*s && *s != ':') s++;
  } else {
    s = number(s, &error_number);
  }
  uint32_t n = 0;
  if (*s == ':') s = number(s + 1, &n);
  onward = *s == '+';
  fails_at = n;
}

/* These cannot fail in ways that a kernel would think of, or end the process, or are how the test itself is told. */
static int exempt(long n) {
  return n == SYS_getpid || n == SYS_gettid || n == SYS_exit_group || n == SYS_exit || n == SYS_kill || n == SYS_tgkill || n == SYS_clock_gettime || n == SYS_nanosleep ||
         n == SYS_munmap || n == SYS_geteuid || n == SYS_getegid || n == SYS_rt_sigprocmask || n == SYS_rt_sigaction || n == SYS_wait4 || n == SYS_waitid;
}
static int can_be_short(long n) { return n == SYS_write || n == SYS_pwrite64 || n == SYS_copy_file_range; }

static void tell(long n) {
  char line[32] = "call ";
  int at = 5, digits = 0;
  char d[12];
  do d[digits++] = (char)('0' + n % 10);
  while ((n /= 10) != 0);
  while (digits) line[at++] = d[--digits];
  line[at++] = '\n';
  long fd = log_to ? vr_sys6_real(SYS_openat, AT_FDCWD, (long)log_to, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600, 0, 0) : -1;
  if (fd < 0) return;
  vr_sys6_real(SYS_write, fd, (long)line, at, 0, 0, 0);
  vr_sys6_real(SYS_close, fd, 0, 0, 0, 0, 0);
}

__attribute__((visibility("hidden"))) long vr_inject6(long n, long a, long b, long c, long d, long e, long f) {
  if (exempt(n)) return vr_sys6_real(n, a, b, c, d, e, f);
  uint32_t call = __atomic_add_fetch(&calls, 1, __ATOMIC_RELAXED);
  if (call == 1) configure();
  if (!fails_at || call < fails_at || (call > fails_at && !onward)) return vr_sys6_real(n, a, b, c, d, e, f);
  if (call == fails_at) tell(n);
  if (is_short) {
    if (can_be_short(n) && (n == SYS_copy_file_range ? e : c) > 1) {
      if (n == SYS_copy_file_range) e /= 2;
      else c /= 2;
    }
    return vr_sys6_real(n, a, b, c, d, e, f);
  }
  if (n == SYS_close) vr_sys6_real(n, a, b, c, d, e, f); /* a close that reports an error has closed */
  return -(long)error_number;
}
#else
typedef int vr_inject_is_empty;
#endif
