/* Start of the InceptionLayer in a process: who are we, where is the project, is there a reason to stay out. The library is linked
 * with -z initfirst, so this runs before the constructors of every other library; calls that come even earlier (an allocator used
 * by the loader) find shim.ready == 0 and are made raw. Every process of a build pays for this: one walk over the environment, hardly
 * a function of libc (each first call into another page of it is a page fault), nothing looked up before it is needed. */
#include <sys/auxv.h>
#include "interpose_gen.h"
#include "raw.h"
#include "internal.h"
#include "writer.h"
#include "vr_fault.h"

#define PRELOAD_NAME "LD_PRELOAD="

struct shim_state shim STATE_BSS;
/* Copies of what the environment said, which programs may overwrite: in the page that is there already while it lasts, and room for all at their
 * longest. */
#define SHORT_TEXT 640
static char short_text[SHORT_TEXT] HOT_BSS;
static char text[5 * (VR_ROOT_PATH_MAX + 32) + 2 * (SHIM_LIBRARY_MAX + 32)] FAR_BSS;
static volatile uint32_t warm WARM_BSS;
static uint32_t short_used HOT_BSS, text_used HOT_BSS;

struct settings {
  char *off, *root, *run, *preload, *verify, *verify_log, *trace, *sync, *need, *fault, *fault_log; /* whole entries, "NAME=value"; NULL: not set */
};

static size_t length(const char *s) {
  size_t n = 0;
  while (s[n]) n++;
  return n;
}
static int starts(const char *s, const char *with) {
  while (*with && *s == *with) s++, with++;
  return !*with;
}
static int has(const char *s, const char *part) {
  for (; *s; s++)
    if (starts(s, part)) return 1;
  return 0;
}
static char *room(size_t n) {
  int is_short = n < sizeof short_text - short_used;
  if (!is_short && n >= sizeof text - text_used) return NULL;
  uint32_t *used = is_short ? &short_used : &text_used;
  char *to = (is_short ? short_text : text) + *used;
  *used += (uint32_t)n + 1;
  return to;
}
static char *copy(char *to, const char *from, size_t n) {
  for (size_t i = 0; i < n; i++) to[i] = from[i];
  to[n] = 0;
  return to;
}
static char *keep(const char *from, size_t n) {
  char *to = room(n);
  return to ? copy(to, from, n) : NULL;
}

/* The first entry of a name counts, as for getenv. What is meant for this process only is taken out: a program that prints its environment, or
 * passes it on, would otherwise differ from run to run. */
static void read_environment(char **envp, struct settings *s) {
  const struct { const char *name; char **to; } names[] = {
      {"VRIFT=", &s->off}, {"VRIFT_ROOT=", &s->root}, {"VRIFT_PROJECT_RUN=", &s->run}, {PRELOAD_NAME, &s->preload},
      {"VRIFT_VERIFY=", &s->verify}, {"VRIFT_VERIFY_LOG=", &s->verify_log}, {"VRIFT_TRACE=", &s->trace}, {"VRIFT_SYNC=", &s->sync},
      {"VRIFT_NEED=", &s->need}, {"VRIFT_FAULT=", &s->fault}, {"VRIFT_FAULT_LOG=", &s->fault_log}};
  char **to = envp;
  int rest = 0;
  for (char **e = envp; e && *e; e++) {
    int mine = 0;
    if (((*e)[0] == 'V' && (*e)[1] == 'R') || ((*e)[0] == 'L' && (*e)[1] == 'D')) {
      for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (!*names[i].to && starts(*e, names[i].name)) *names[i].to = *e;
      mine = starts(*e, "VRIFT_SYNC=") || starts(*e, "VRIFT_NEED=");
      rest |= starts(*e, SHIM_REST_IS_OURS);
    }
    if (mine | rest) continue;
    if (to != e) *to = *e;
    to++;
  }
  if (to && *to) *to = NULL;
}
static char *value(char *entry) {
  while (entry && *entry && *entry != '=') entry++;
  return entry && *entry ? entry + 1 : NULL;
}

/* Is it absolute, with no trailing slash, no empty, "." or ".." part, and short enough? */
static size_t plain_path(const char *path) {
  if (!path || path[0] != '/' || !path[1]) return 0;
  size_t n = length(path);
  if (n >= VR_ROOT_PATH_MAX || path[n - 1] == '/') return 0;
  for (const char *p = path; *p; p++) {
    if (*p != '/') continue;
    if (p[1] == '/' || (p[1] == '.' && (p[2] == '/' || !p[2] || (p[2] == '.' && (p[3] == '/' || !p[3]))))) return 0;
  }
  return n;
}
static char *keep_path(char *entry) {
  size_t n = plain_path(value(entry));
  return n ? keep(entry, (size_t)(value(entry) - entry) + n) : NULL;
}
static char *keep_short(char *entry) {
  size_t n = entry ? length(entry) : 0;
  return n && n < VR_ROOT_PATH_MAX ? keep(entry, n) : NULL;
}

static void keep_own_library(char *preload) {
  size_t n = 0;
  const char *own = shim_find_own(preload, &n);
  if (!own || n >= SHIM_LIBRARY_MAX) return;
  const size_t name = sizeof PRELOAD_NAME - 1;
  char *entry = room(name + n);
  if (!entry) return;
  copy(entry, PRELOAD_NAME, name);
  shim.own_lib = copy(entry + name, own, n);
  shim.var_preload = entry;
}

static int wanted(struct settings *s) {
  const char *off = value(s->off), *preload = value(s->preload);
  if (off && off[0] == '0' && !off[1]) return 0;
  if (getauxval(AT_SECURE)) return 0;
  /* Owners and modes that are made up cannot be told from real ones. */
  if (preload && has(preload, "fakeroot")) return 0;
  shim.var_root = keep_path(s->root);
  shim.var_run = keep_path(s->run);
  if (!shim.var_root || !shim.var_run) return 0;
  shim.root = value(shim.var_root);
  shim.root_len = (uint32_t)length(shim.root);
  shim.project_run = value(shim.var_run);
  return 1;
}

/* DT_INIT and DT_FINI (Makefile) rather than constructors, whose table of two pointers was a page that every process had to copy. */
HIDDEN void shim_start(int argc, char **argv, char **envp);
HIDDEN void shim_stop(void);

void shim_start(int argc, char **argv, char **envp) {
  (void)argc, (void)argv;
  struct settings s = {NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL};
  int saved = errno;
  shim_remember_libraries();
  shim.pid = raw_getpid();
  read_environment(envp, &s);
  if (!wanted(&s)) {
    shim.ready = -1;
    errno = saved;
    return;
  }
  const char *verify = value(s.verify);
  shim.verify = verify && verify[0] == '1' && !verify[1];
  shim.var_verify = keep_short(s.verify);
  shim.var_verify_log = keep_short(s.verify_log);
  shim.var_trace = keep_short(s.trace);
  keep_own_library(value(s.preload));
  shim_edge_init(value(s.sync), value(s.need));
  shim_report_init(value(shim.var_trace), value(shim.var_verify_log));
  if (s.fault) vr_fault_arm(value(s.fault), value(keep_short(s.fault_log)));
  shim.leaky = 1;
  warm = 1; /* a page that is read first and then written costs two faults */
  __atomic_store_n(&shim.ready, 1, __ATOMIC_RELEASE);
  if (shim_is_first()) shim_fd_inherited();
  errno = saved;
}

void shim_stop(void) {
  shim_ending();
  if (shim_active()) shim_count_flush();
}

void shim_forked(void) {
  shim.pid = raw_getpid();
  shim_report_forked();
}
