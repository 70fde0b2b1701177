/* The launcher: `vrift run` without a JVM, and the way into Java for everything else. One thread; nothing here may fail the
 * user's command: whatever is wrong with vrift, the command runs natively. */
#ifndef LAUNCHER_H
#define LAUNCHER_H
#include <limits.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include "vrift_layout.h"

#ifndef VRIFT_VERSION
#define VRIFT_VERSION "0.1.0"
#endif
#define TEXT_MAX 4096

/* Timeouts in ms. */
#define ANSWER_MS 50          /* all that a command ever waits for a daemon before it starts */
#define RETRY_MS 100          /* between attempts to open a session while the command runs */
#define REOPEN_MS 2000        /* between requests to start the daemon */
#define SESSION_ANSWER_MS 5000 /* then the connection is given up and tried again */
#define END_MS 50             /* for the report at the end; */
#define END_VERIFY_MS 3000    /* with VRIFT_VERIFY */
#define START_MS 15000        /* for a daemon to start, in the background */
#define HINT_MS 5000          /* a command that ran longer without ever having a session gets a hint */

/* places.c: where everything is. Every string is zero-terminated and absolute. */
struct places {
  char dist[TEXT_MAX];        /* directory of libvrift_shim.so, vrift.jar, java */
  char run[TEXT_MAX];         /* RUN */
  char run_problem[TEXT_MAX + 128]; /* why RUN is refused; empty: it is good */
  char log_dir[TEXT_MAX];     /* empty: none */
  char cwd[TEXT_MAX];
  char root[TEXT_MAX];        /* real root of the project */
  char root_problem[TEXT_MAX + 128]; /* why there can be no project here; empty: there can */
  char id[17];
  char project_run[TEXT_MAX]; /* RUN/p/<id> */
  int fresh;                  /* 1: `.vrift` was made by this call */
};
int find_dist(struct places *p);
/* Finds and, with create, makes RUN. Sets run_problem. */
void find_run(struct places *p, int create);
/* Finds the root for the current directory; with create, makes `.vrift`. Sets root_problem. */
void find_root(struct places *p, int create);
/* HOME, or what the list of users says; NULL: nobody knows. A path that is not UTF-8 is none: Java could not name the directory. */
const char *home_dir(void);
int is_utf8(const char *s);
/* XDG directories that are not UTF-8 count as not set, in every part alike. */
void forget_odd_dirs(void);
/* Names the directory of the logs; it is made when a daemon is started. */
void find_log_dir(struct places *p);

/* wire.c: docs/WIRE.md. */
struct inbox {
  size_t have;
  size_t skip;          /* bytes of the frame handed out last */
  uint8_t bytes[65536]; /* larger answers are refused: none that we ask for is */
};
struct frame {
  uint32_t opcode, request, length;
  const char *payload; /* not terminated; valid until the next take_frame */
};
int64_t now_ms(void);
/* Non-blocking connect to DIR/NAME, peer checked. Descriptor or -errno. */
int wire_connect(const char *dir, const char *name, pid_t *peer);
int wire_send(int fd, uint32_t opcode, uint32_t request, const char *payload);
/* Reads what is there. 1: a whole frame is in *f, 0: not yet, -1: the connection is over. */
int wire_take(int fd, struct inbox *in, struct frame *f);
/* As wire_take, but waits until the deadline (now_ms). */
int wire_wait(int fd, struct inbox *in, struct frame *f, int64_t deadline);
/* Value of a key, unescaped, into out; length or -1. */
int wire_field(const struct frame *f, const char *key, char *out, size_t size);
/* Appends key=value\n, escaped. 0, or -1 when it does not fit. */
int wire_put(char *payload, size_t size, const char *key, const char *value);

/* breaker.c: what one command has learned about a hung daemon, for the next. */
int breaker_open(const struct places *p, pid_t daemon); /* 1: somebody waited for it in vain: do not wait */
void breaker_trip(const struct places *p, pid_t daemon);
void breaker_close(const struct places *p);
int asking_already(const struct places *p); /* 1: another process is asking vriftd to open this project */
int ask_alone(const struct places *p);      /* 0: the same; 1: nobody is, and nobody will until this process ends */

/* coordinator.c: is there one, does it answer, is it of this version; and starting it. */
/* Who wants one: how long starts that went wrong are waited out depends on it. */
enum starter { STARTER_FOREGROUND, STARTER_COMMAND, STARTER_DAEMON };
/* Detached process: sees to it that there is a vriftd, and asks it to open the project. silent: the pid of a daemon that did not answer, or 0.
 * Returns at once. */
void open_in_background(const struct places *p, pid_t silent);
/* In the foreground, without opening a project. 0: vriftd answers. */
int ensure_vriftd(const struct places *p, int64_t deadline, enum starter who);
/* The same for a project's daemon (vrift --ensure-coordinator): from the base cgroup, with the shared back-off. Exit code. */
int ensure_for_daemon(struct places *p);
/* One look at two files: 1 if vriftd is dead, stopped (then *stopped) or of a version that ours has replaced. */
int coordinator_needs_care(const struct places *p, int *stopped);
/* 1: the process is stopped (SIGSTOP): it is not going to answer. */
int is_stopped(pid_t pid);
/* 1: `vrift stop` was typed: nothing is started until the next explicit command. */
int is_stop_in_force(const struct places *p);
/* limits.c. Resource limits that would cripple a daemon, or a report, started by this process: what is too low, in words for the user, or NULL. */
enum limited { LIMITED_DAEMON, LIMITED_REPORT };
const char *limit_too_low(enum limited who);
/* The kernel's signal for files that became too large is no end for us: the write fails, and what it was for is done without. What we make
 * is ours alone whatever the umask: one of 0777 would give us directories that we cannot enter. */
void set_own_attributes(void);
/* The command gets what we were given. Only what a vfork child may do. */
void give_back_attributes(void);
void give_back_umask(void); /* the umask only: for a report */
/* In the child that becomes a daemon: as high as they may be. */
void raise_limits(void);

/* start.c: how a JVM and vriftd are started. */
/* Starts vriftd as a child in its own session. Read end of its ready pipe, or -errno. */
int spawn_vriftd(const struct places *p);
/* In a child: standard streams on /dev/null (or the log), every other descriptor closed but `ready`, default signals. */
void become_plain(int log, int ready);
/* argv of the JVM, up to and without the arguments of main. Returns the count. */
#define JVM_ARGS 32
int jvm_command(const struct places *p, const char *argv[JVM_ARGS], char (*store)[TEXT_MAX + 64]);
#define JVM_STORE 8

/* glance.c: the board, looked at before and after a command. */
struct glance {
  int fd; /* -1: none */
  uint32_t loads, rolled_back;
};
void glance_open(struct glance *g, const char *board); /* board: the 16 digits of its id */
int glance_quiet(struct glance *g, int64_t *loads);    /* 1: nothing was rolled back since, and nothing is staged */
void glance_close(struct glance *g);

/* session.c */
struct session {
  struct glance glance;
  int fd; /* -1: none */
  enum { SESSION_NONE, SESSION_ASKED, SESSION_UP } state;
  int ever;          /* 1: was up at some time */
  int ups;           /* how often it came up: more than once, if the daemon was replaced */
  int hung;          /* 1: it is noted that this daemon does not answer */
  pid_t daemon;
  int64_t since;     /* when asked */
  int64_t next_try, next_open;
  char drain[32];    /* answer to SYNC; empty: none */
  struct inbox in;
};
void session_init(struct session *s);
/* Before the command starts: at most ANSWER_MS. */
void session_first(struct session *s, const struct places *p, const char *command);
/* While it runs: called when s->fd is readable or the time has come. Never blocks. */
void session_step(struct session *s, const struct places *p, const char *command);
/* ms until session_step wants to be called; -1: only when readable. */
int session_timeout(const struct session *s);
struct outcome {
  int64_t loads, verify_diffs; /* -1: unknown */
};
/* Asks for the report, prints what was rolled back, closes. */
void session_end(struct session *s, const struct places *p, int verify, struct outcome *out);

/* library.c: a copy of the library in RUN, made if need be; its path in out. 0, or -1: the installed one has to be used. */
int library_copy(const struct places *p, const char *lib, char *out, size_t size);

/* program.c: can the library be loaded into this program? */
enum { PROGRAM_OK, PROGRAM_STATIC, PROGRAM_PRIVILEGED, PROGRAM_FOREIGN, PROGRAM_UNKNOWN };
int program_kind(const char *command, char *path, size_t size);
/* 1: the process has the library mapped. */
int has_library(pid_t pid);

/* run.c, java.c */
int run_command(struct places *p, char **argv);
int run_java(struct places *p, int argc, char **argv);

void say(const char *format, ...) __attribute__((format(printf, 1, 2)));
#endif
