/* Resource limits of the shell that starts a daemon. The daemon serves every later command of the user too, so it must not carry the limits that
 * somebody set for one build: they are raised as far as this process may, and where that is not enough none is started. */
#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <linux/capability.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "launcher.h"

#define GIB (1ull << 30)
static const struct limit {
  int which;
  rlim_t least[2]; /* of one vriftd with some projects, or of one vdir_d with a large one (docs/LIMITS.md); of a JVM that prints a report */
  const char *option, *what;
} limits[] = {
    {RLIMIT_NOFILE, {256, 32}, "-n", "open files"},
    {RLIMIT_AS, {8 * GIB, 2 * GIB}, "-v", "bytes of address space"},
    {RLIMIT_DATA, {1 * GIB, 0}, "-d", "bytes of data"},
    {RLIMIT_FSIZE, {4 * GIB, 0}, "-f", "bytes of a file"},
    {RLIMIT_CPU, {RLIM_INFINITY, 0}, "-t", "seconds of processor time"},
};
#define LIMITS (sizeof limits / sizeof *limits)
/* Threads of all processes of the user are counted against the limit of whoever forks. The daemons have some 20 each, so that under a low one the
 * build's own forks would fail, whatever the daemons may do themselves. */
static const struct limit processes = {RLIMIT_NPROC, {256, 32}, "-u", "processes and threads"};

static rlim_t wanted(rlim_t least, const struct rlimit *l) {
  return l->rlim_max == RLIM_INFINITY || l->rlim_max >= least ? l->rlim_max : least;
}

/* May this process set it? Tried, and put back: the user's command inherits our limits. */
static int may_raise(int which, rlim_t least, const struct rlimit *now) {
  struct rlimit more = {now->rlim_cur, least};
  if (setrlimit(which, &more)) return 0;
  setrlimit(which, now);
  return 1;
}

/* Whom user 0 of this user namespace is outside (user_namespaces(7)): 0; 0, as every other number is what it is outside; somebody else. */
enum outside { OUTSIDE_ROOT, OUTSIDE_ALL_ALIKE, OUTSIDE_OTHER };
static enum outside outside(void) {
  FILE *f = fopen("/proc/self/uid_map", "re");
  enum outside is = OUTSIDE_OTHER;
  unsigned long in, out, count;
  while (f && fscanf(f, "%lu %lu %lu", &in, &out, &count) == 3)
    if (in == 0 && out == 0) is = count == UINT32_MAX ? OUTSIDE_ALL_ALIKE : OUTSIDE_ROOT;
  if (f) fclose(f);
  else is = OUTSIDE_ALL_ALIKE; /* no /proc: not in such a container, most likely */
  return is;
}

/* The kernel counts no processes for the superuser and for who may raise limits; but those of the initial user namespace are meant. */
static int counts_processes(void) {
  enum outside root = outside();
  if (getuid() == 0 && root != OUTSIDE_OTHER) return 0;
  if (root != OUTSIDE_ALL_ALIKE) return 1;
  struct __user_cap_header_struct head = {_LINUX_CAPABILITY_VERSION_3, 0};
  struct __user_cap_data_struct caps[2] = {{0}};
  if (syscall(SYS_capget, &head, caps)) return 1;
  return !(caps[0].effective & (1u << CAP_SYS_RESOURCE | 1u << CAP_SYS_ADMIN));
}

static const char *in_words(const struct limit *w, enum limited who, rlim_t have) {
  static char text[256];
  char need[32] = "no limit";
  if (w->least[who] != RLIM_INFINITY) snprintf(need, sizeof need, "%llu", (unsigned long long)w->least[who]);
  snprintf(text, sizeof text, "this shell is limited to %llu %s (`ulimit %s`), %s needs %s", (unsigned long long)have, w->what, w->option,
           who == LIMITED_DAEMON ? "a daemon" : "this command", need);
  return text;
}

const char *limit_too_low(enum limited who) {
  struct rlimit l;
  if (getrlimit(processes.which, &l) == 0 && l.rlim_cur < processes.least[who] && counts_processes()) return in_words(&processes, who, l.rlim_cur);
  for (size_t i = 0; i < LIMITS; i++) {
    const struct limit *w = &limits[i];
    rlim_t least = w->least[who];
    if (getrlimit(w->which, &l) || wanted(least, &l) == l.rlim_max || may_raise(w->which, least, &l)) continue;
    return in_words(w, who, l.rlim_max);
  }
  return NULL;
}

void raise_limits(void) {
  for (size_t i = 0; i < LIMITS; i++) {
    struct rlimit l;
    if (getrlimit(limits[i].which, &l)) continue;
    rlim_t most = wanted(limits[i].least[LIMITED_DAEMON], &l);
    struct rlimit more = {most, most};
    if (setrlimit(limits[i].which, &more) == 0) continue;
    l.rlim_cur = l.rlim_max;
    setrlimit(limits[i].which, &l);
  }
  struct rlimit l;
  if (getrlimit(RLIMIT_NPROC, &l) == 0) {
    l.rlim_cur = l.rlim_max;
    setrlimit(RLIMIT_NPROC, &l);
  }
  setpriority(PRIO_PROCESS, 0, 0);
}

static struct sigaction file_limit_before;
static mode_t umask_before;

void set_own_attributes(void) {
  struct sigaction ignore = {.sa_handler = SIG_IGN};
  sigaction(SIGXFSZ, &ignore, &file_limit_before);
  umask_before = umask(077);
}

void give_back_umask(void) { umask(umask_before); }

void give_back_attributes(void) {
  sigaction(SIGXFSZ, &file_limit_before, NULL);
  give_back_umask();
}
