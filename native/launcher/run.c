/* `vrift run`: starts the command with the library, waits for it, passes signals and its end on. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include "launcher.h"
#include "vr_fault.h"

#define EXIT_VERIFY 124
#define EXIT_OURS 125
#define EXIT_CANNOT 126
#define EXIT_MISSING 127
#define LOADED_MS 1000 /* a command that ran longer and never had the library gets a warning; */
#define LOOK_MS 500    /* whether it has is looked at once, then */

/* Signals passed on. Those of the terminal reach the command by themselves and are passed on only when sent by a process. */
static const int passed[] = {SIGHUP,  SIGINT, SIGQUIT, SIGTERM,  SIGUSR1, SIGUSR2, SIGALRM, SIGVTALRM, SIGPROF,
                             SIGIO,   SIGPWR, SIGWINCH, SIGABRT, SIGTRAP, SIGSYS,  SIGXCPU, SIGSTKFLT, SIGURG};
#define PASSED (sizeof passed / sizeof *passed)

struct run {
  char **argv;
  struct session session;
  char preload[2 * TEXT_MAX];
  char *users_preload; /* NULL: there was none */
  char verify_log[TEXT_MAX];
  int verify, own_log;
  int looked, loaded; /* 1: the process was looked at; it had the library, whether or not it had a question for it */
  sigset_t old_mask;
  struct sigaction old_chld, old_pipe;
  pid_t self, child;
  int64_t started;
};

/* Runs the command without vrift; the process becomes the command. */
static int exec_native(char **argv) {
  give_back_attributes();
  execvp(argv[0], argv);
  int e = errno;
  fprintf(stderr, "vrift: %s: %s\n", argv[0], strerror(e));
  return e == ENOENT ? EXIT_MISSING : EXIT_CANNOT;
}

/* LD_PRELOAD with our library behind what the user has. The separators of LD_PRELOAD cannot be escaped: a library whose path has
 * one is reached through a link in RUN. 0, or -1: not possible (said). */
static int set_preload(struct run *r, const struct places *p) {
  char lib[TEXT_MAX + 96], link[TEXT_MAX + 96];
  const char *user = getenv("LD_PRELOAD");
  snprintf(lib, sizeof lib, "%s/libvrift_shim.so", p->dist);
  if (access(lib, R_OK) < 0) {
    say("%s: %s; running natively. Install vrift again", lib, strerror(errno));
    return -1;
  }
  if (library_copy(p, lib, link, sizeof link) == 0) {
    strcpy(lib, link);
  } else if (strpbrk(lib, " :")) {
    snprintf(link, sizeof link, "%s/libvrift_shim.so", p->run);
    char now[TEXT_MAX + 96] = "";
    if (readlink(link, now, sizeof now - 1) < 0 || strcmp(now, lib)) {
      unlink(link);
      if (symlink(lib, link) < 0 && errno != EEXIST) link[0] = 0;
    }
    if (!link[0] || strpbrk(link, " :")) {
      say("%s has a space or colon in its path and cannot be preloaded; running natively", lib);
      return -1;
    }
    strcpy(lib, link);
  }
  if (user) r->users_preload = strdup(user);
  const char *there = user ? strstr(user, "/libvrift_shim.so") : NULL;
  int n = there ? snprintf(r->preload, sizeof r->preload, "%s", user)
                : snprintf(r->preload, sizeof r->preload, "%s%s%s", user ? user : "", user && *user ? ":" : "", lib);
  if (n >= (int)sizeof r->preload) {
    say("LD_PRELOAD is too long; running natively");
    return -1;
  }
  return setenv("LD_PRELOAD", r->preload, 1);
}

static void set_environment(struct run *r, const struct places *p) {
  setenv("VRIFT_ROOT", p->root, 1);
  setenv("VRIFT_PROJECT_RUN", p->project_run, 1);
  unsetenv("VRIFT_SYNC");
  const char *v = getenv("VRIFT_VERIFY");
  r->verify = v && *v && strcmp(v, "0");
  if (!r->verify) return;
  const char *log = getenv("VRIFT_VERIFY_LOG");
  if (log && *log) {
    snprintf(r->verify_log, sizeof r->verify_log, "%s", log);
    return;
  }
  const char *tmp = getenv("TMPDIR");
  snprintf(r->verify_log, sizeof r->verify_log, "%s/vrift-verify-XXXXXX", tmp && tmp[0] == '/' ? tmp : "/tmp");
  int fd = mkostemp(r->verify_log, O_CLOEXEC);
  if (fd < 0) {
    r->verify_log[0] = 0;
    return;
  }
  close(fd);
  r->own_log = 1;
  setenv("VRIFT_VERIFY_LOG", r->verify_log, 1);
}

/* As it was before us. */
static void give_back_environment(const struct run *r) {
  unsetenv("VRIFT_ROOT");
  unsetenv("VRIFT_PROJECT_RUN");
  if (r->own_log) unsetenv("VRIFT_VERIFY_LOG");
  if (r->users_preload) setenv("LD_PRELOAD", r->users_preload, 1);
  else unsetenv("LD_PRELOAD");
}

static int block_signals(struct run *r) {
  sigset_t set;
  sigemptyset(&set);
  for (size_t i = 0; i < PASSED; i++) sigaddset(&set, passed[i]);
  for (int s = SIGRTMIN; s <= SIGRTMAX; s++) sigaddset(&set, s);
  sigaddset(&set, SIGCHLD);
  sigprocmask(SIG_BLOCK, &set, &r->old_mask);
  struct sigaction dfl = {.sa_handler = SIG_DFL}, ign = {.sa_handler = SIG_IGN};
  sigaction(SIGCHLD, &dfl, &r->old_chld); /* ignored by our parent, we would never learn how the command ended */
  sigaction(SIGPIPE, &ign, &r->old_pipe);
  return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

static void restore_signals(struct run *r) {
  sigaction(SIGCHLD, &r->old_chld, NULL);
  sigaction(SIGPIPE, &r->old_pipe, NULL);
  give_back_attributes();
  sigprocmask(SIG_SETMASK, &r->old_mask, NULL);
}

/* In the new process, whose memory is still ours: only what the kernel keeps for each process by itself may be changed. */
static __attribute__((noinline, noreturn)) void become_command(struct run *r, char *sync, size_t room, volatile int *error) {
  if (sync) snprintf(sync, room, "VRIFT_SYNC=%d:%s", (int)getpid(), r->session.drain);
  /* Natively, who kills this process kills the command: what cannot be passed on (SIGKILL) ends it as well. Nothing the command starts inherits this. */
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != r->self) _exit(128 + SIGKILL);
  restore_signals(r);
  execvp(r->argv[0], r->argv);
  *error = errno;
  _exit(*error == ENOENT ? EXIT_MISSING : EXIT_CANNOT);
}

/* Starts the command; without a copy of our memory, which would take longer than the program needs to start. 0, or the errno of exec in *error. */
static int start(struct run *r, int *error) {
  static char sync[96] = "VRIFT_SYNC=";
  volatile int failed = 0;
  *error = 0;
  r->started = now_ms();
  r->self = getpid();
  int with = r->session.drain[0] && putenv(sync) == 0;
  VR_FAULT(command_forking);
  pid_t child = vfork();
  if (child == 0) become_command(r, with ? sync : NULL, sizeof sync, &failed);
  if (with) unsetenv("VRIFT_SYNC");
  if (child < 0) return -1;
  r->child = child;
  VR_FAULT(command_forked);
  *error = failed;
  return 0;
}

static void pass_signals(struct run *r, int sfd) {
  struct signalfd_siginfo si;
  while (read(sfd, &si, sizeof si) == (ssize_t)sizeof si) {
    if (si.ssi_signo == SIGCHLD) continue;
    int from_process = si.ssi_code <= 0; /* SI_USER and SI_QUEUE; the terminal's have SI_KERNEL */
    int of_terminal = si.ssi_signo == SIGINT || si.ssi_signo == SIGQUIT || si.ssi_signo == SIGWINCH;
    if (!of_terminal || from_process) kill(r->child, (int)si.ssi_signo);
  }
}

/* Waits for the command while keeping the session; its wait status. */
static int wait_for_child(struct run *r, const struct places *p, int sfd) {
  int status;
  for (;;) {
    pid_t w = waitpid(r->child, &status, WNOHANG);
    if (w == r->child) return status;
    if (w < 0 && errno != EINTR) return EXIT_OURS << 8;
    struct pollfd fds[2] = {{.fd = sfd, .events = POLLIN}, {.fd = r->session.fd, .events = POLLIN}};
    int64_t look = r->looked ? -1 : r->started + LOOK_MS - now_ms();
    int wait = session_timeout(&r->session);
    if (!r->looked && look <= 0) {
      r->looked = 1;
      r->loaded = has_library(r->child);
    } else if (!r->looked && (wait < 0 || wait > look)) {
      wait = (int)look;
    }
    poll(fds, 2, wait);
    pass_signals(r, sfd);
    session_step(&r->session, p, r->argv[0]);
  }
}

static int64_t log_lines(const char *name) {
  char buf[8192];
  int64_t lines = 0;
  ssize_t n;
  struct stat st;
  int fd = name[0] ? open(name, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY) : -1;
  if (fd < 0) return 0;
  if (fstat(fd, &st) || !S_ISREG(st.st_mode)) st.st_size = 0; /* a pipe or a device has no lines to count, or endless ones */
  while (st.st_size > 0 && (n = read(fd, buf, sizeof buf)) > 0)
    for (ssize_t i = 0; i < n; i++) lines += buf[i] == '\n';
  close(fd);
  return lines;
}

/* Reports at the end. 1: VRIFT_VERIFY found differences. */
static int report(struct run *r, const struct outcome *o, int64_t lines_before) {
  int64_t took = now_ms() - r->started;
  char path[TEXT_MAX];
  if (!r->session.ever) {
    if (took > HINT_MS) say("no daemon answered while this ran, so it ran natively. Type: vrift doctor");
  } else if (o->loads == 0) {
    switch (program_kind(r->argv[0], path, sizeof path)) {
      case PROGRAM_STATIC: say("%s is statically linked: the library cannot be loaded into it, it ran natively", path); break;
      case PROGRAM_PRIVILEGED: say("%s is setuid or setgid: the library is not loaded into it, it ran natively", path); break;
      case PROGRAM_FOREIGN: say("%s is not a glibc x86-64 program: it ran natively", path); break;
      default:
        if (took > LOADED_MS && !r->loaded) say("the library was used by no program of this command; it ran natively. Type: vrift doctor");
    }
  }
  if (!r->verify) return 0;
  int64_t lines = log_lines(r->verify_log) - lines_before;
  int64_t diffs = o->verify_diffs > lines ? o->verify_diffs : lines;
  if (diffs > 0) {
    say("VRIFT_VERIFY: %lld answer(s) differed from the kernel's; see %s", (long long)diffs, r->verify_log);
    return 1;
  }
  if (r->own_log) unlink(r->verify_log);
  return 0;
}

/* Ends as the command ended. */
static int end_like(struct run *r, int status, int differed) {
  if (differed) return EXIT_VERIFY;
  if (!WIFSIGNALED(status)) return WEXITSTATUS(status);
  int sig = WTERMSIG(status);
  prctl(PR_SET_DUMPABLE, 0); /* one core is enough */
  sigset_t one;
  sigemptyset(&one);
  sigaddset(&one, sig);
  struct sigaction dfl = {.sa_handler = SIG_DFL};
  sigaction(sig, &dfl, NULL);
  sigprocmask(SIG_UNBLOCK, &one, NULL);
  raise(sig);
  (void)r;
  return 128 + sig;
}

/* An explicit `run` ends a `stop`. */
static void forget_stop(const struct places *p) {
  char name[TEXT_MAX + 32];
  snprintf(name, sizeof name, "%s/stopped", p->run);
  unlink(name);
  snprintf(name, sizeof name, "%s/stopped", p->project_run);
  unlink(name);
}

int run_command(struct places *p, char **argv) {
  const char *off = getenv("VRIFT");
  if (off && !strcmp(off, "0")) return exec_native(argv);
  static struct run r;
  r.argv = argv;
  if (!p->dist[0]) {
    say("/proc is not there, so vrift cannot find its library. Running natively");
    return exec_native(argv);
  }
  find_run(p, 1);
  if (p->run_problem[0]) {
    say("%s. Running natively", p->run_problem);
    return exec_native(argv);
  }
  find_root(p, 1);
  if (p->root_problem[0]) {
    say("%s. Running natively", p->root_problem);
    return exec_native(argv);
  }
  if (set_preload(&r, p) < 0) return exec_native(argv);
  set_environment(&r, p);
  find_log_dir(p);
  forget_stop(p);
  int64_t lines_before = r.verify ? log_lines(r.verify_log) : 0;
  int sfd = block_signals(&r);
  session_init(&r.session);
  session_first(&r.session, p, argv[0]);
  int stopped = 0, care = coordinator_needs_care(p, &stopped), silent = r.session.fd >= 0 && r.session.state != SESSION_UP && is_stopped(r.session.daemon);
  if (stopped && r.session.state != SESSION_UP) say("the coordinator (vriftd) is stopped; it is being replaced, running natively meanwhile");
  if (r.session.fd < 0 || care || silent) {
    if (p->fresh && isatty(2)) say("first use of %s: getting to know it in the background, running natively meanwhile", p->root);
    open_in_background(p, silent ? r.session.daemon : 0);
    r.session.next_open = now_ms() + REOPEN_MS;
  }
  int error;
  if (start(&r, &error) < 0) {
    restore_signals(&r);
    return exec_native(argv); /* no process to be had: at least become the command */
  }
  if (error == E2BIG) { /* the arguments may leave no room for our variables */
    waitpid(r.child, NULL, 0);
    if (r.own_log) unlink(r.verify_log);
    give_back_environment(&r);
    restore_signals(&r);
    return exec_native(argv);
  }
  int status = wait_for_child(&r, p, sfd);
  struct outcome o;
  VR_FAULT(command_ended);
  session_end(&r.session, p, r.verify, &o);
  if (error) {
    fprintf(stderr, "vrift: %s: %s\n", argv[0], strerror(error));
    if (r.own_log) unlink(r.verify_log);
    return error == ENOENT ? EXIT_MISSING : EXIT_CANNOT;
  }
  return end_like(&r, status, report(&r, &o, lines_before));
}
