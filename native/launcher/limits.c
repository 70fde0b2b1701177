/* Resource limits of the shell that starts a daemon. The daemon serves every later command of the user too, so it must not carry the limits that
 * somebody set for one build: they are raised as far as this process may, and where that is not enough none is started. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
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

const char *limit_too_low(enum limited who) {
  static char text[256];
  for (size_t i = 0; i < LIMITS; i++) {
    const struct limit *w = &limits[i];
    rlim_t least = w->least[who];
    struct rlimit l;
    if (getrlimit(w->which, &l) || wanted(least, &l) == l.rlim_max || may_raise(w->which, least, &l)) continue;
    char need[32] = "no limit";
    if (least != RLIM_INFINITY) snprintf(need, sizeof need, "%llu", (unsigned long long)least);
    snprintf(text, sizeof text, "this shell is limited to %llu %s (`ulimit %s`), %s needs %s", (unsigned long long)l.rlim_max, w->what, w->option,
             who == LIMITED_DAEMON ? "a daemon" : "this command", need);
    return text;
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
  struct rlimit processes;
  if (getrlimit(RLIMIT_NPROC, &processes) == 0) {
    processes.rlim_cur = processes.rlim_max;
    setrlimit(RLIMIT_NPROC, &processes);
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
