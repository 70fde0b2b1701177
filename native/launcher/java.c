/* Everything but `run` is done in Java; this becomes that JVM. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "launcher.h"

#define EXIT_OURS 125
extern char **environ;

static int has(int argc, char **argv, const char *word) {
  for (int i = 0; i < argc; i++)
    if (!strcmp(argv[i], word)) return 1;
  return 0;
}

/* Commands that say "serve again": they end a stop and start vriftd. */
static int starts(int argc, char **argv) {
  return (!strcmp(argv[0], "init") || !strcmp(argv[0], "restart")) && !has(argc, argv, "--undo") && !has(argc, argv, "--help") &&
         !has(argc, argv, "-h");
}

/* The words of `init` and `restart` are all known: what Java will refuse must not have done half of it before. */
static int understood(int argc, char **argv) {
  int words = !strcmp(argv[0], "restart"), plain = 0;
  for (int i = 1; i < argc; i++) {
    if (!plain && !strcmp(argv[i], "--")) plain = 1;
    else if (!plain && !strcmp(argv[i], "--json")) continue;
    else if ((!plain && argv[i][0] == '-' && argv[i][1]) || words-- == 0) return 0;
  }
  return 1;
}

/* `restart PROJECT` is restart in that directory. 0, or -1: it is none (why is in root_problem). */
static int enter_project(struct places *p, int argc, char **argv) {
  int plain = 0;
  if (strcmp(argv[0], "restart")) return 0;
  for (int i = 1; i < argc; i++) {
    if (!plain && argv[i][0] == '-' && argv[i][1]) {
      plain = !strcmp(argv[i], "--");
      continue;
    }
    if (chdir(argv[i]) == 0) return 0;
    snprintf(p->root_problem, sizeof p->root_problem, "%s: %s. restart takes the directory of a project, as `vrift status` shows it", argv[i],
             strerror(errno));
    return -1;
  }
  return 0;
}

static void start_for(struct places *p) {
  char name[TEXT_MAX + 32];
  if (p->run_problem[0] || p->root_problem[0]) return;
  snprintf(name, sizeof name, "%s/stopped", p->run);
  unlink(name);
  snprintf(name, sizeof name, "%s/stopped", p->project_run);
  unlink(name);
  ensure_vriftd(p, now_ms() + START_MS, STARTER_FOREGROUND); /* Java says what is wrong if it is not there */
}

int run_java(struct places *p, int argc, char **argv) {
  static char store[JVM_STORE][TEXT_MAX + 64], where[6][2 * TEXT_MAX];
  int starting = starts(argc, argv) && understood(argc, argv);
  const char *low = limit_too_low(LIMITED_REPORT), *h = home_dir();
  if (low) {
    say("%s. Raise the limit, or type it in another shell", low);
    return EXIT_OURS;
  }
  raise_limits();
  static const char *const needed[] = {"vrift.jar", "libvrift_jni.so"};
  for (size_t i = 0; i < sizeof needed / sizeof *needed; i++) {
    char name[TEXT_MAX + 32];
    snprintf(name, sizeof name, "%s/%s", p->dist, needed[i]);
    if (access(name, R_OK) == 0) continue;
    say("the installation is not whole: %s: %s. Build or install vrift again; commands run natively meanwhile", name, strerror(errno));
    return EXIT_OURS;
  }
  find_run(p, starting);
  if (enter_project(p, argc, argv) == 0) find_root(p, starting && !strcmp(argv[0], "init"));
  find_log_dir(p);
  if (starting) start_for(p);
  const char **args = calloc((size_t)argc + JVM_ARGS + 16, sizeof *args);
  if (!args) return EXIT_OURS;
  int n = jvm_command(p, args, store), w = 0;
  snprintf(where[w++], sizeof where[0], "-Dvrift.run=%s", p->run);
  snprintf(where[w++], sizeof where[0], "-Dvrift.root=%s", p->root);
  if (p->run_problem[0]) snprintf(where[w++], sizeof where[0], "-Dvrift.run.problem=%s", p->run_problem);
  if (p->root_problem[0]) snprintf(where[w++], sizeof where[0], "-Dvrift.root.problem=%s", p->root_problem);
  snprintf(where[w++], sizeof where[0], "-Dvrift.logs=%s", p->log_dir);
  for (int i = 0; i < w; i++) args[n++] = where[i];
  args[n++] = "-XX:TieredStopAtLevel=1";
  args[n++] = "-jar";
  args[n++] = store[3];
  args[n++] = "cli";
  for (int i = 0; i < argc; i++) args[n++] = argv[i];
  args[n] = NULL;
  static const char *const scrub[] = {"LD_PRELOAD", "JAVA_TOOL_OPTIONS", "JDK_JAVA_OPTIONS", "_JAVA_OPTIONS", "VRIFT_SYNC", NULL};
  for (int i = 0; scrub[i]; i++) unsetenv(scrub[i]);
  if (h) setenv("HOME", h, 1);
  else unsetenv("HOME");
  forget_odd_dirs();
  if (!p->cwd[0] && chdir("/") < 0) return EXIT_OURS; /* a JVM cannot start where the directory has no name; what needs one says so */
  for (int fd = 0; fd < 3; fd++) fcntl(fd, F_SETFD, 0); /* those that were closed are ours, and Java's files must not become them */
  setenv("LC_ALL", "C.UTF-8", 1); /* how Java decodes its arguments */
  give_back_umask();
  execv(args[0], (char **)args);
  say("cannot start %s: %s. vrift needs a JDK 25; build or install vrift again with JAVA_HOME set to one", args[0], strerror(errno));
  return EXIT_OURS;
}
