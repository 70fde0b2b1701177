/* Start of the InceptionLayer in a process: who are we, where is the project, is there a reason to stay out. The library is linked
 * with -z initfirst, so this runs before the constructors of every other library; calls that come even earlier (an allocator used
 * by the loader) find shim.ready == 0 and are made raw. */
#include <sys/auxv.h>
#include "interpose_gen.h"
#include "raw.h"
#include "internal.h"
#include "vr_fault.h"

struct shim_state shim;

static const char *value_of(char **envp, const char *name) {
  size_t n = strlen(name);
  for (char **e = envp; e && *e; e++)
    if (!strncmp(*e, name, n) && (*e)[n] == '=') return *e + n + 1;
  return NULL;
}

/* Absolute, no trailing slash, no empty, "." or ".." part, and short enough. */
static int take_path(const char *from, char *to, size_t cap) {
  if (!from || from[0] != '/' || !from[1]) return 0;
  size_t n = strlen(from);
  if (n >= cap || from[n - 1] == '/') return 0;
  for (const char *p = from; (p = strchr(p, '/')); p++) {
    size_t part = strcspn(p + 1, "/");
    if (!part || (part == 1 && p[1] == '.') || (part == 2 && p[1] == '.' && p[2] == '.')) return 0;
  }
  memcpy(to, from, n + 1);
  return (int)n;
}

static int wanted(char **envp) {
  const char *off = value_of(envp, "VRIFT"), *preload = value_of(envp, "LD_PRELOAD");
  if (off && !strcmp(off, "0")) return 0;
  if (getauxval(AT_SECURE)) return 0;
  /* Owners and modes that are made up cannot be told from real ones. */
  if (preload && strstr(preload, "fakeroot")) return 0;
  shim.root_len = (uint32_t)take_path(value_of(envp, "VRIFT_ROOT"), shim.root, VR_ROOT_PATH_MAX);
  return shim.root_len && take_path(value_of(envp, "VRIFT_PROJECT_RUN"), shim.project_run, VR_ROOT_PATH_MAX);
}

__attribute__((constructor(101))) static void start(int argc, char **argv, char **envp) {
  (void)argc, (void)argv;
  int saved = errno;
  shim_resolve_reals();
  shim.pid = raw_getpid();
  if (!wanted(envp)) {
    shim.ready = -1;
    errno = saved;
    return;
  }
  const char *verify = value_of(envp, "VRIFT_VERIFY");
  shim.verify = verify && !strcmp(verify, "1");
  shim_edge_init((char *)(uintptr_t)value_of(envp, "VRIFT_SYNC"), (char *)(uintptr_t)value_of(envp, "VRIFT_NEED"));
  shim_report_init(value_of(envp, "VRIFT_TRACE"), value_of(envp, "VRIFT_VERIFY_LOG"));
  vr_fault_arm(value_of(envp, "VRIFT_FAULT"), value_of(envp, "VRIFT_FAULT_LOG"));
  shim.leaky = 1;
  __atomic_store_n(&shim.ready, 1, __ATOMIC_RELEASE);
  errno = saved;
}

__attribute__((destructor)) static void stop(void) {
  if (shim_active()) shim_count_flush();
}

void shim_forked(void) {
  shim.pid = raw_getpid();
  shim_report_forked();
}
