/* How a JVM and the coordinator are started: command line, environment, descriptors. When, and by whom: coordinator.c. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "launcher.h"

#define LOG_MAX (1 << 20) /* bytes; then the log is turned over once */
#define READY_FD 3
extern char **environ;

int jvm_command(const struct places *p, const char *argv[JVM_ARGS], char (*store)[TEXT_MAX + 64]) {
  static const char *const fixed[] = {
      "-XX:+UseSerialGC", "-Xms4m", "-Xmx64m", "-Xss512k", "-XX:-UsePerfData", "-XX:+DisableAttachMechanism", "-Xlog:disable",
      "-XX:+ExitOnOutOfMemoryError", "-Dstdout.encoding=UTF-8", "-Dstderr.encoding=UTF-8"};
  int n = 0;
  snprintf(store[0], sizeof store[0], "%s/java", p->dist);
  snprintf(store[1], sizeof store[1], "-XX:SharedArchiveFile=%s/vrift.jsa", p->dist);
  snprintf(store[2], sizeof store[2], "-Dvrift.home=%s", p->dist);
  snprintf(store[3], sizeof store[3], "%s/vrift.jar", p->dist);
  argv[n++] = store[0];
  for (size_t i = 0; i < sizeof fixed / sizeof *fixed; i++) argv[n++] = fixed[i];
  argv[n++] = store[1];
  if (p->log_dir[0]) { /* what a dying JVM writes down does not belong into the directory it happens to be in */
    snprintf(store[4], sizeof store[4], "-XX:ErrorFile=%s/jvm_%%p.log", p->log_dir);
    argv[n++] = store[4];
  }
  argv[n++] = store[2];
  return n;
}

/* Variables a daemon may see. LD_*, JAVA_* and the clients' own are not among them. */
static int daemon_keeps(const char *e) {
  static const char *const keep[] = {"HOME=", "PATH=", "USER=", "LOGNAME=", "TMPDIR=", "XDG_", "VRIFT_", "TZ=", NULL};
  static const char *const drop[] = {"VRIFT_ROOT=",   "VRIFT_PROJECT_RUN=", "VRIFT_SYNC=", "VRIFT_VERIFY=",
                                     "VRIFT_VERIFY_LOG=", "VRIFT_TRACE=",      "VRIFT_FAULT=",  "VRIFT_FAULT_LOG=", NULL};
  for (int i = 0; drop[i]; i++)
    if (!strncmp(e, drop[i], strlen(drop[i]))) return 0;
  for (int i = 0; keep[i]; i++)
    if (!strncmp(e, keep[i], strlen(keep[i]))) return 1;
  return 0;
}

void become_plain(int log, int ready) {
  int null = open("/dev/null", O_RDWR | O_CLOEXEC);
  if (null < 0) _exit(125);
  int high = ready < 0 ? -1 : fcntl(ready, F_DUPFD, 10);
  dup2(null, 0);
  dup2(log >= 0 ? log : null, 1);
  dup2(log >= 0 ? log : null, 2);
  if (high >= 0) dup2(high, READY_FD);
  syscall(SYS_close_range, high >= 0 ? READY_FD + 1 : 3, ~0u, 0);
  struct sigaction dfl = {.sa_handler = SIG_DFL};
  for (int s = 1; s < NSIG; s++) sigaction(s, &dfl, NULL);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, NULL);
}

static int open_log(const struct places *p) {
  char name[TEXT_MAX + 32], old[TEXT_MAX + 32];
  struct stat st;
  if (!p->log_dir[0]) return -1;
  snprintf(name, sizeof name, "%s/", p->log_dir);
  for (char *s = name + 1; (s = strchr(s, '/')); s++) {
    *s = 0;
    mkdir(name, 0700);
    *s = '/';
  }
  snprintf(name, sizeof name, "%s/vriftd.log", p->log_dir);
  if (lstat(name, &st) == 0 && st.st_size > LOG_MAX) {
    snprintf(old, sizeof old, "%s/vriftd.log.1", p->log_dir);
    rename(name, old);
  }
  return open(name, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
}

/* Starts vriftd as a child in its own session. Read end of its ready pipe, or -errno. */
int spawn_vriftd(const struct places *p) {
  int ready[2];
  if (pipe2(ready, O_CLOEXEC) < 0) return -errno;
  pid_t pid = fork();
  if (pid < 0) {
    close(ready[0]);
    close(ready[1]);
    return -EAGAIN;
  }
  if (pid > 0) {
    close(ready[1]);
    return ready[0];
  }
  static char store[JVM_STORE][TEXT_MAX + 64];
  const char *argv[JVM_ARGS];
  int n = jvm_command(p, argv, store);
  argv[n++] = "-jar";
  argv[n++] = store[3];
  argv[n++] = "vriftd";
  argv[n++] = "--run-dir";
  argv[n++] = p->run;
  argv[n++] = "--ready-fd";
  argv[n++] = "3";
  argv[n] = NULL;
  static char *env[512];
  int e = 0;
  forget_odd_dirs();
  for (char **v = environ; *v && e < 500; v++)
    if (daemon_keeps(*v) && strncmp(*v, "HOME=", 5)) env[e++] = *v;
  static char home[TEXT_MAX + 8];
  const char *h = home_dir();
  if (h && snprintf(home, sizeof home, "HOME=%s", h) < (int)sizeof home) env[e++] = home;
  env[e++] = "LC_ALL=C.UTF-8"; /* how Java decodes its arguments */
  env[e++] = "MALLOC_ARENA_MAX=2";
  env[e] = NULL;
  setsid();
  become_plain(open_log(p), ready[1]);
  raise_limits();
  umask(077);
  if (chdir("/") < 0) _exit(125);
  execve(argv[0], (char **)argv, env);
  dprintf(2, "vrift: cannot start %s: %s\n", argv[0], strerror(errno));
  _exit(127);
}
