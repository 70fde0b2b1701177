/* See vr_fault.h. Every shared object and program of ours has its own copy: each is armed for itself. */
#include "vr_fault.h"
#include <signal.h>
#include "vr_sys.h"
#include <string.h>

enum action { NONE, KILL, STOP, EXIT, DELAY, ERRNO, LOG };
#define EXIT_CODE 70
#define LINE_MAX_BYTES 200
enum { NOT, CAN };

static const struct {
  char name[32], component[12], meaning[120]; /* no pointers: nothing to relocate at the start of each client */
  int can_fail;
} points[VR_POINTS + 1] = {
#define VR_POINT(component, name, errno_, meaning) {#name, #component, meaning, errno_},
#include "vr_fault_points.def"
#undef VR_POINT
};
static const char action_names[][8] = {"none", "kill", "stop", "exit", "delay", "errno", "log"};

struct arm {
  uint32_t action, argument, nth, onward; /* onward: 1: from the nth hit on */
  uint32_t hits, fired;                   /* atomic */
};
uint32_t vr_fault_on __attribute__((section(".bss.0hot"))); /* in the shim: shim.h, HOT_BSS */
static struct arm arms[VR_POINTS + 1];
static const char *log_to;

const char *vr_fault_name(enum vr_fault_point p) { return p < VR_POINTS ? points[p].name : ""; }
const char *vr_fault_component(enum vr_fault_point p) { return p < VR_POINTS ? points[p].component : ""; }
const char *vr_fault_meaning(enum vr_fault_point p) { return p < VR_POINTS ? points[p].meaning : ""; }
uint32_t vr_fault_hits(enum vr_fault_point p) { return p < VR_POINTS ? __atomic_load_n(&arms[p].hits, __ATOMIC_RELAXED) : 0; }
uint32_t vr_fault_fired(enum vr_fault_point p) { return p < VR_POINTS ? __atomic_load_n(&arms[p].fired, __ATOMIC_RELAXED) : 0; }

int vr_fault_find(const char *name, size_t n) {
  for (int p = 0; p < VR_POINTS; p++)
    if (!strncmp(points[p].name, name, n) && !points[p].name[n]) return p;
  return -1;
}

static char *put_text(char *at, const char *end, const char *text) {
  while (*text && at < end) *at++ = *text++;
  return at;
}
static char *put_number(char *at, const char *end, uint64_t v) {
  char d[20];
  int n = 0;
  do d[n++] = (char)('0' + v % 10);
  while ((v /= 10) != 0);
  while (n && at < end) *at++ = d[--n];
  return at;
}

/* One write, so that lines of several processes do not mix. */
static void say(enum vr_fault_point p, uint32_t action, uint32_t hit) {
  char line[LINE_MAX_BYTES], *at = line, *end = line + sizeof line - 1;
  at = put_text(at, end, "fault point ");
  at = put_text(at, end, points[p].name);
  at = put_text(at, end, ": ");
  at = put_text(at, end, action_names[action]);
  at = put_text(at, end, " at hit ");
  at = put_number(at, end, hit);
  at = put_text(at, end, ", pid ");
  at = put_number(at, end, (uint64_t)vr_sys6(SYS_getpid, 0, 0, 0, 0, 0, 0));
  *at++ = '\n';
  int fd = 2;
  if (log_to && *log_to) fd = vr_openat(AT_FDCWD, log_to, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (fd < 0) fd = 2; /* EMFILE can be what is being tested */
  vr_sys6(SYS_write, fd, (long)line, at - line, 0, 0, 0);
  if (fd != 2) vr_close(fd);
}

static void pause_ms(uint32_t ms) {
  struct timespec t = {ms / 1000, (long)(ms % 1000) * 1000000};
  while (vr_sys6(SYS_nanosleep, (long)&t, (long)&t, 0, 0, 0, 0) == -EINTR) {
  }
}

int vr_fault_hit(enum vr_fault_point p) {
  struct arm *a = &arms[p];
  uint32_t hit = __atomic_add_fetch(&a->hits, 1, __ATOMIC_RELAXED);
  uint32_t action = __atomic_load_n(&a->action, __ATOMIC_ACQUIRE);
  if (action == NONE || hit < a->nth || (hit > a->nth && !a->onward)) return 0;
  __atomic_fetch_add(&a->fired, 1, __ATOMIC_RELAXED);
  say(p, action, hit);
  long self = vr_sys6(SYS_getpid, 0, 0, 0, 0, 0, 0);
  switch (action) {
    case KILL: vr_sys6(SYS_kill, self, SIGKILL, 0, 0, 0, 0); return 0;
    case STOP: vr_sys6(SYS_kill, self, SIGSTOP, 0, 0, 0, 0); return 0;
    case EXIT: vr_sys6(SYS_exit_group, EXIT_CODE, 0, 0, 0, 0, 0); return 0;
    case DELAY: pause_ms(a->argument); return 0;
    case ERRNO: return -(int)a->argument;
    default: return 0;
  }
}

/* A number of at most 9 digits. Returns the byte after it, or NULL. */
static const char *number(const char *at, const char *end, uint32_t *out) {
  const char *from = at;
  for (*out = 0; at < end && at - from < 9 && *at >= '0' && *at <= '9'; at++) *out = *out * 10 + (uint32_t)(*at - '0');
  return at > from ? at : NULL;
}

static int is_word(const char *at, const char *end, const char *word) {
  size_t n = strlen(word);
  return (size_t)(end - at) == n && !memcmp(at, word, n);
}

/* ACTION[=ARGUMENT], whole. 0 or -EINVAL. */
static int take_action(const char *at, const char *end, struct arm *a) {
  const char *equals = at;
  while (equals < end && *equals != '=') equals++;
  for (uint32_t k = KILL; k <= LOG; k++) {
    if (!is_word(at, equals, action_names[k])) continue;
    a->action = k;
    int wants = k == DELAY || k == ERRNO;
    if (wants != (equals < end)) return -EINVAL;
    if (!wants) return 0;
    if (number(equals + 1, end, &a->argument) != end) return -EINVAL;
    return k == ERRNO && (a->argument < 1 || a->argument > 4095) ? -EINVAL : 0;
  }
  return -EINVAL;
}

static int take_nth(const char *at, const char *end, struct arm *a) {
  at = number(at, end, &a->nth);
  if (!at || !a->nth) return -EINVAL;
  a->onward = at < end && *at == '+';
  return at + a->onward == end ? 0 : -EINVAL;
}

static int arm_one(const char *at, const char *end) {
  const char *parts[4] = {at};
  int n = 1;
  for (const char *c = at; c < end; c++) {
    if (*c != ':') continue;
    if (n == 3) return -EINVAL;
    parts[n++] = c + 1;
  }
  if (n < 2) return -EINVAL;
  struct arm a = {.nth = 1};
  if (take_action(parts[1], n == 3 ? parts[2] - 1 : end, &a) || (n == 3 && take_nth(parts[2], end, &a))) return -EINVAL;
  if (is_word(at, parts[1] - 1, "*")) {
    if (a.action != LOG && a.action != DELAY) return -EINVAL;
    for (int p = 0; p < VR_POINTS; p++) arms[p] = a;
    return 0;
  }
  int p = vr_fault_find(at, (size_t)(parts[1] - 1 - at));
  if (p < 0 || (a.action == ERRNO && !points[p].can_fail)) return -EINVAL;
  arms[p] = a;
  return 0;
}

static int separates(char c) { return c == ',' || c == ' ' || c == '\n' || c == '\t'; }

int vr_fault_arm(const char *text, const char *log_path) {
  __atomic_store_n(&vr_fault_on, 0, __ATOMIC_SEQ_CST);
  memset(arms, 0, sizeof arms);
  log_to = log_path;
  int any = 0;
  for (const char *at = text; at && *at;) {
    const char *end = at;
    while (*end && !separates(*end)) end++;
    if (end > at) {
      if (arm_one(at, end)) {
        memset(arms, 0, sizeof arms);
        return -EINVAL;
      }
      any = 1;
    }
    at = *end ? end + 1 : end;
  }
  if (any) __atomic_store_n(&vr_fault_on, 1, __ATOMIC_SEQ_CST);
  return 0;
}
