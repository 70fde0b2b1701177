/* Counters, trace and difference reports. Counters are kept per process and added to the board's every FLUSH_EVERY questions and when the
 * program ends. Files are opened, written once with O_APPEND and closed again: the library keeps no descriptor. */
#include <sys/single_threaded.h>
#include "internal.h"
#include "raw.h"

#define FLUSH_EVERY 1024
#define LINE_MAX_BYTES 4608

static uint64_t counts[VR_STAT_COUNT] HOT_BSS;
static uint32_t since_flush HOT_BSS;
static const char *trace_file HOT_BSS, *diff_file HOT_BSS; /* NULL: none */

void shim_report_init(const char *trace, const char *verify_log) {
  trace_file = trace && *trace ? trace : NULL;
  diff_file = verify_log && *verify_log ? verify_log : NULL;
  shim.trace_fd_wanted = trace_file != NULL;
}

/* The child of a fork has its parent's unflushed counts: they are the parent's. */
void shim_report_forked(void) {
  memset(counts, 0, sizeof counts);
  since_flush = 0;
}

void shim_count(uint32_t reason) {
  if (reason >= VR_STAT_COUNT) return;
  if (__libc_single_threaded) counts[reason]++;
  else __atomic_fetch_add(&counts[reason], 1, __ATOMIC_RELAXED);
  if (__builtin_expect(++since_flush >= FLUSH_EVERY, 0)) shim_count_flush();
}

void shim_count_flush(void) {
  if (!__atomic_load_n(&shim.board.base, __ATOMIC_ACQUIRE)) return;
  since_flush = 0;
  uint64_t total = 0;
  for (uint32_t i = 1; i < VR_STAT_COUNT; i++) {
    uint64_t n = __atomic_load_n(&counts[i], __ATOMIC_RELAXED) ? __atomic_exchange_n(&counts[i], 0, __ATOMIC_RELAXED) : 0;
    if (!n) continue;
    if (i < VR_STAT_MUTATIONS) total += n; /* one question, one reason */
    __atomic_fetch_add(&shim.board.dyn->stats[i], n, __ATOMIC_RELAXED);
  }
  if (total) __atomic_fetch_add(&shim.board.dyn->stats[VR_STAT_TOTAL], total, __ATOMIC_RELAXED);
}

static size_t put(char *line, size_t at, const char *text) {
  while (*text && at < LINE_MAX_BYTES - 2) {
    unsigned char c = (unsigned char)*text++;
    line[at++] = c < ' ' || c == 127 ? '?' : (char)c;
  }
  return at;
}

static void write_line(const char *file, char *line, size_t n) {
  int fd = raw_open(AT_FDCWD, file, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0600);
  if (fd < 0) return;
  line[n++] = '\n';
  raw_write(fd, line, n);
  raw_close(fd);
}

void shim_number(char text[64], uint64_t value) {
  char digits[24];
  int k = 0, n = 0;
  do digits[k++] = (char)('0' + value % 10);
  while (value /= 10);
  while (k) text[n++] = digits[--k];
  text[n] = 0;
}

void shim_trace(const char *what, const char *path, const char *result) {
  if (!shim.trace_fd_wanted) return;
  char line[LINE_MAX_BYTES], pid[64];
  shim_number(pid, (uint64_t)raw_getpid());
  size_t n = put(line, 0, pid);
  n = put(line, put(line, n, " "), what);
  n = put(line, put(line, n, " "), result);
  n = put(line, put(line, n, " "), path ? path : "(null)");
  write_line(trace_file, line, n);
}

void shim_report_diff(const char *function, const char *path, const char *field, const char *memory, const char *kernel) {
  shim_count(VR_STAT_VERIFY_DIFFS);
  if (shim.board.base) __atomic_fetch_add(&shim.board.dyn->verify_diffs, 1, __ATOMIC_RELAXED);
  if (!diff_file) return;
  const char *parts[] = {"pid=", NULL, " function=", function, " path=", path, " field=", field, " memory=", memory, " kernel=", kernel};
  char line[LINE_MAX_BYTES], pid[64];
  shim_number(pid, (uint64_t)raw_getpid());
  parts[1] = pid;
  size_t n = 0;
  for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) n = put(line, n, parts[i]);
  write_line(diff_file, line, n);
}
