/* The storm of killed clients (src/it/storms/run clients). Several workers, each a process with the library that forks (or forks and execs) one
 * writer per round; the driver, which is without it, lets the writer go, kills it at a random instant or lets a fault point kill it, and judges the
 * file right after the worker's wait().
 *   storm_clients SHIM ROOT RUN ROUNDS SEED WORKERS [POINT...]   with points: ROUNDS for each of them, killed there
 * SHIM "-" runs the writers natively: the control. Prints one JSON object; what is wrong, one line each, on standard error. */
#include <glob.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include "storm_judge.h"
#include "storm_ops.h"

#define WORKERS_MAX 16
#define RECENT 1024 /* rounds of a worker whose rolled back bytes must be in salvage */
#define POINTS_MAX 128
#define ROUND_LIMIT_MS 20000

struct reply { pid_t pid; int status, looker_status; };

/* ---- the worker: has the library, forks writers */
static int is_looker_fault(const struct storm_round *r) { return !strncmp(r->fault, "promote_other", 13); }

static void become_program(const struct storm_round *r, const char *what, int page_fd, int with_fault) {
  char a[16];
  snprintf(a, sizeof a, "%d", page_fd);
  if (with_fault && r->fault[0]) setenv("VRIFT_FAULT", r->fault, 1);
  execl("/proc/self/exe", "storm_clients", what, a, (char *)NULL);
  _exit(4);
}
static void become_writer(struct storm_round *r, int page_fd) {
  if (r->exec) become_program(r, "write", page_fd, !is_looker_fault(r));
  act(r, page_fd);
  exit(0);
}

static int worker(int page_fd, int from, int to) {
  struct storm_round *r = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, page_fd, 0);
  char c;
  prctl(PR_SET_CHILD_SUBREAPER, 1);
  while (read(from, &c, 1) == 1) {
    uint32_t op = r->op; /* the page is the next round's once the reply is out */
    pid_t looker = op == OP_LOOKED ? fork() : -1;
    if (looker == 0) {
      if (is_looker_fault(r)) become_program(r, "look", page_fd, 1);
      look_on(r);
    }
    pid_t pid = fork();
    if (pid == 0) {
      close(from);
      close(to);
      become_writer(r, page_fd);
    }
    struct reply reply = {pid, 0, 0};
    if (write(to, &reply, sizeof reply) != (ssize_t)sizeof reply) return 1;
    if (pid < 0) continue;
    while (waitpid(pid, &reply.status, 0) < 0 && errno == EINTR) {
    }
    if (looker > 0) {
      if (!is_looker_fault(r)) kill(looker, SIGKILL); /* ours and not reaped: it cannot be another's pid */
      waitpid(looker, &reply.looker_status, 0);
    }
    if (op != OP_INHERITED && write(to, &reply, sizeof reply) != (ssize_t)sizeof reply) return 1;
    while (waitpid(-1, NULL, 0) > 0) { /* children that outlived the writer */
    }
    if (op == OP_INHERITED && write(to, &reply, sizeof reply) != (ssize_t)sizeof reply) return 1;
  }
  return 0;
}

/* ---- a writer that lives through all of it: what the storm does to others must not touch its files */
static int bystander(int page_fd) {
  struct storm_round *r = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, page_fd, 0);
  for (r->version = 1; __atomic_load_n(&r->go, __ATOMIC_SEQ_CST) == 1; r->version++) {
    body_size = storm_fill(body, r->file, r->version);
    r->written = 0;
    int fd = open_new(r, r->path);
    while (r->written < body_size) {
      put(r, fd, r->written + 600 < body_size ? r->written + 600 : body_size);
      usleep(1500);
    }
    if (close(fd)) r->failed++;
    char have[STORM_SIZE_MAX + 1];
    fd = (int)unseen(SYS_openat, AT_FDCWD, (long)r->path, O_RDONLY, 0);
    long n = unseen(SYS_read, fd, (long)have, sizeof have, 0);
    unseen(SYS_close, fd, 0, 0, 0);
    if (n != (long)body_size || memcmp(have, body, body_size)) r->failed++;
  }
  return 0;
}

/* ---- the driver */
struct totals {
  unsigned long rounds, killed, ended, committed, kept, torn, lost, failed, stopped, by_point, native, salvage;
  unsigned long op[OPS], op_killed[OPS];
};
struct need { uint32_t file, version, bytes, op, stage, exec; };
struct seat {
  pthread_t thread;
  int index, to, from, page_fd;
  pid_t pid;
  struct storm_round *r;
  unsigned seed;
  uint32_t next_version;
  uint64_t usual[OPS][2]; /* us that an op takes when it is not killed; forked, exec'ed */
  struct totals t;
  struct need recent[RECENT];
  unsigned fired[POINTS_MAX];
  struct storm_round *by;
  pid_t by_pid;
};
static struct seat seats[WORKERS_MAX];
static const char *root, *shim_path, *run_dir;
static char **points;
static int point_count, workers, control;
static unsigned seed0;
static long rounds_left;
static volatile sig_atomic_t stop_asked;

static void complain(const struct seat *s, const struct storm_round *r, const struct judged *j, int status, const char *what) {
  fprintf(stderr, "%s: seed %u worker %d version %u %s %s%s: stage %x written %u shown %u old %u; status %x; the file: %s version %u, %u bytes\n", what, seed0,
          s->index, r->version, storm_op_names[r->op], r->exec ? "exec'ed " : "", r->fault, r->stage, r->written, r->shown, r->old, (unsigned)status,
          j->sight == ABSENT ? "absent" : j->sight == WHOLE ? "whole" : j->sight == PART ? "a part of" : "other", j->version, j->bytes);
}

static pid_t start(char *const argv[], int page_fd) {
  pid_t pid = fork();
  if (pid) return pid;
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  fcntl(page_fd, F_SETFD, 0);
  if (!control) {
    setenv("LD_PRELOAD", shim_path, 1);
    setenv("VRIFT_ROOT", root, 1);
    setenv("VRIFT_PROJECT_RUN", run_dir, 1);
  }
  if (chdir(root)) _exit(4);
  execv("/proc/self/exe", argv);
  _exit(4);
}

static int new_page(struct storm_round **r) {
  int fd = memfd_create("storm", MFD_CLOEXEC);
  if (fd < 0 || ftruncate(fd, 4096)) return -1;
  *r = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  return *r == MAP_FAILED ? -1 : fd;
}

static int sit_down(struct seat *s) {
  int down[2], up[2];
  char a[16], b[16], c[16], dir[64];
  s->page_fd = new_page(&s->r);
  int by_fd = new_page(&s->by);
  if (s->page_fd < 0 || by_fd < 0 || pipe2(down, O_CLOEXEC) || pipe2(up, O_CLOEXEC)) return -1;
  snprintf(dir, sizeof dir, "%s/w%d", root, s->index);
  if (strlen(root) > 50 || (mkdir(dir, 0755) && errno != EEXIST)) return -1;
  snprintf(a, sizeof a, "%d", s->page_fd);
  snprintf(b, sizeof b, "%d", down[0]);
  snprintf(c, sizeof c, "%d", up[1]);
  fcntl(down[0], F_SETFD, 0);
  fcntl(up[1], F_SETFD, 0);
  s->pid = start((char *[]){"storm_clients", "worker", a, b, c, NULL}, s->page_fd);
  close(down[0]);
  close(up[1]);
  s->to = down[1];
  s->from = up[0];
  snprintf(s->by->path, sizeof s->by->path, "w%d/bystander.o", s->index);
  s->by->file = 0x10000u + (uint32_t)s->index;
  s->by->go = 1;
  snprintf(a, sizeof a, "%d", by_fd);
  s->by_pid = start((char *[]){"storm_clients", "bystander", a, NULL}, by_fd);
  close(by_fd);
  return s->pid > 0 && s->by_pid > 0 ? 0 : -1;
}

static int take(struct seat *s, struct reply *reply) { return read(s->from, reply, sizeof *reply) == (ssize_t)sizeof *reply; }

static void clear(const char *path, const char *suffix) {
  char p[STORM_PATH + 128];
  snprintf(p, sizeof p, "%s/%s%s", root, path, suffix);
  unlink(p);
}

static void make_old(const struct storm_round *r) {
  static __thread char content[STORM_SIZE_MAX];
  uint32_t n = storm_fill(content, r->file, r->old);
  int fd = open(r->path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  if (fd < 0 || write(fd, content, n) != (ssize_t)n || close(fd)) perror(r->path);
}

/* The op that gets to a point most surely. */
static uint32_t op_for(const char *point, uint32_t otherwise) {
  static const struct { const char *begin; uint32_t op; } best[] = {
      {"copy_", OP_LINKED}, {"salvage_", OP_REPLACED}, {"promote_other", OP_LOOKED}, {"rename_by_path", OP_NO_DESCRIPTOR}, {"lost_", OP_UNSEEN_CLOSE},
      {"demote_", OP_LOCKED}, {"same_", OP_SAME}, {"old_link", OP_FSYNC}, {"promote_", OP_FSYNC}, {"commit_", OP_REWRITE}};
  for (size_t i = 0; i < sizeof best / sizeof *best; i++)
    if (!strncmp(point, best[i].begin, strlen(best[i].begin))) return best[i].op;
  return otherwise;
}

/* Fills the page for the next round: a path of its own, with an old version in it or none. */
static void plan(struct seat *s, int point) {
  struct storm_round *r = s->r;
  memset(r, 0, sizeof *r);
  r->op = (uint32_t)(rand_r(&s->seed) % OPS);
  if (point >= 0 && rand_r(&s->seed) % 4) r->op = op_for(points[point], r->op);
  r->file = (uint32_t)s->index;
  r->old = ++s->next_version;
  r->version = r->op == OP_SAME ? r->old : ++s->next_version;
  snprintf(r->path, sizeof r->path, "w%d/f%u.%s", s->index, r->version, rand_r(&s->seed) & 1 ? "o" : "txt");
  if (r->op == OP_CREATE || rand_r(&s->seed) % 3 == 0) r->old = 0;
  else make_old(r);
  if (point >= 0 && !r->old && r->op != OP_CREATE && rand_r(&s->seed) % 4) {
    r->old = s->next_version - (r->version != s->next_version ? 0 : 1);
    if (r->op == OP_SAME) r->old = r->version;
    make_old(r);
  }
  if (r->op == OP_SAME && !r->old) r->op = OP_CREATE;
  r->exec = point >= 0 || rand_r(&s->seed) % 8 == 0;
  if (point >= 0) snprintf(r->fault, sizeof r->fault, "%s:kill:%d", points[point], rand_r(&s->seed) % 3 ? 1 : 1 + (int)(rand_r(&s->seed) % 4));
}

/* Kills the writer at a random instant, or stops it for a moment, or leaves it alone. */
static int disturb(struct seat *s, int pidfd, uint64_t usual) {
  unsigned kind = rand_r(&s->seed) % 20;
  if (kind < 4) return 0;
  uint64_t us = usual ? (uint64_t)rand_r(&s->seed) % (usual + usual / 4 + 1) : (uint64_t)rand_r(&s->seed) % 3000;
  struct timespec t = {(time_t)(us / 1000000), (long)(us % 1000000) * 1000};
  nanosleep(&t, NULL);
  if (kind < 6) {
    syscall(SYS_pidfd_send_signal, pidfd, SIGSTOP, NULL, 0);
    t = (struct timespec){0, 2000000};
    nanosleep(&t, NULL);
    s->t.stopped++;
    if (kind == 4) {
      syscall(SYS_pidfd_send_signal, pidfd, SIGCONT, NULL, 0);
      return 0;
    }
  }
  syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, NULL, 0);
  return 1;
}

static int is_kill(int status) { return WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL; }

static void count(struct seat *s, int point, int status, int looker, const struct judged *j) {
  struct storm_round *r = s->r;
  int killed = is_kill(status);
  s->t.rounds++;
  s->t.op[r->op]++;
  s->t.op_killed[r->op] += (unsigned)killed;
  if (killed) s->t.killed++;
  else s->t.ended++;
  if (point >= 0 && (killed || (is_looker_fault(r) && is_kill(looker)))) s->fired[point]++, s->t.by_point++;
  if (j->committed) s->t.committed++;
  else s->t.kept++;
  if (!killed && (!WIFEXITED(status) || WEXITSTATUS(status) || r->failed)) {
    s->t.failed++;
    fprintf(stderr, "failed: seed %u worker %d version %u %s%s: status %x, %s\n", seed0, s->index, r->version, storm_op_names[r->op], r->fault, (unsigned)status, strerror((int)r->failed));
  }
  if (j->verdict == TORN) {
    s->t.torn++;
    complain(s, r, j, status, "torn");
  } else if (j->verdict == LOST) {
    s->t.lost++;
    complain(s, r, j, status, "lost");
  } else if (j->verdict == NATIVE) {
    s->t.native++;
  }
  if (j->salvage) s->recent[s->t.salvage++ % RECENT] = (struct need){r->file, r->version, j->salvage_bytes, r->op, r->stage, r->exec};
  clear(r->path, "");
  clear(r->path, ".new");
  clear(r->path, ".link");
}

/* Killed before it could tell: a staged open leaves its staging file, which nobody takes away this soon. */
static int has_staging(pid_t pid) {
  char pattern[512];
  glob_t g;
  snprintf(pattern, sizeof pattern, "%s/.vrift/staging/project_*/pid_%d/fd_*", root, pid);
  int found = glob(pattern, GLOB_NOSORT, NULL, &g) == 0;
  if (found) globfree(&g);
  return found;
}

static int play(struct seat *s, int point) {
  struct reply reply;
  struct storm_round *r = s->r;
  plan(s, point);
  if (write(s->to, "x", 1) != 1 || !take(s, &reply) || reply.pid < 0) return -1;
  int pidfd = (int)syscall(SYS_pidfd_open, reply.pid, 0);
  uint64_t *usual = &s->usual[r->op][r->exec], began = storm_us();
  __atomic_store_n(&r->go, 1, __ATOMIC_SEQ_CST);
  if (point < 0) disturb(s, pidfd, *usual);
  if (!take(s, &reply)) return -1;
  uint64_t took = storm_us() - began;
  close(pidfd);
  if (!WIFSIGNALED(reply.status)) *usual = *usual ? (*usual * 7 + took) / 8 : took;
  struct judged j = judge(r, took);
  if (!control && j.verdict == TORN && !(storm_get(r) & STAGED) && ((storm_get(r) & PLAIN) || !has_staging(reply.pid))) j.verdict = NATIVE;
  count(s, point, reply.status, reply.looker_status, &j);
  return 0;
}

static void *drive(void *arg) {
  struct seat *s = arg;
  int point = -1;
  while (!stop_asked) {
    long left = __atomic_sub_fetch(&rounds_left, 1, __ATOMIC_RELAXED);
    if (left < 0) return NULL;
    if (point_count) point = (int)(left % point_count);
    if (play(s, point)) {
      fprintf(stderr, "worker %d is gone\n", s->index);
      s->t.failed++;
      return NULL;
    }
  }
  return NULL;
}

static void add_up(struct totals *t) {
  memset(t, 0, sizeof *t);
  for (int w = 0; w < workers; w++)
    for (size_t i = 0; i < sizeof *t / sizeof(unsigned long); i++) ((unsigned long *)t)[i] += ((unsigned long *)&seats[w].t)[i];
}

static void print(const struct totals *t, double seconds, unsigned by_rounds, unsigned by_bad) {
  printf("{\"rounds\":%lu,\"seed\":%u,\"workers\":%d,\"killed\":%lu,\"ended\":%lu,\"stopped\":%lu,\"committed\":%lu,\"kept\":%lu,\"torn\":%lu,\"lost\":%lu,\"native\":%lu,\"failed\":%lu,"
         "\"bystander_rounds\":%u,\"bystander_bad\":%u,\"seconds\":%.2f,\"ops\":{",
         t->rounds, seed0, workers, t->killed, t->ended, t->stopped, t->committed, t->kept, t->torn, t->lost, t->native, t->failed, by_rounds, by_bad, seconds);
  for (int i = 0; i < OPS; i++) printf("%s\"%s\":[%lu,%lu]", i ? "," : "", storm_op_names[i], t->op[i], t->op_killed[i]);
  printf("},\"points\":{");
  for (int p = 0; p < point_count; p++) {
    unsigned n = 0;
    for (int w = 0; w < workers; w++) n += seats[w].fired[p];
    printf("%s\"%s\":%u", p ? "," : "", points[p], n);
  }
  printf("},\"salvage\":[");
  int first = 1;
  for (int w = 0; w < workers; w++)
    for (unsigned long i = 0; i < seats[w].t.salvage && i < RECENT; i++) {
      struct need *n = &seats[w].recent[(seats[w].t.salvage - 1 - i) % RECENT];
      printf("%s[%u,%u,%u,\"%s%s %x\"]", first ? "" : ",", n->file, n->version, n->bytes, storm_op_names[n->op], n->exec ? " exec'ed" : "", n->stage);
      first = 0;
    }
  printf("]}\n");
}

/* A writer that closes by a call of its own and then only waits: the daemon has to find out. */
static int closed_and_idle(const char *path) {
  int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
  if (fd < 0 || write(fd, "done\n", 5) != 5) return 1;
  unseen(SYS_close, fd, 0, 0, 0);
  for (;;) pause();
}

/* Writes half of a version, says where, and writes the rest once the file `go` is there. */
static int hold(const char *path, const char *go, uint32_t file, uint32_t version) {
  struct storm_round r = {.stage = 0};
  body_size = storm_fill(body, file, version);
  int fd = open_new(&r, path);
  put(&r, fd, half());
  printf("%d %s\n", getpid(), r.stage & STAGED ? "staged" : "plain");
  fflush(stdout);
  while (unseen(SYS_faccessat, AT_FDCWD, (long)go, F_OK, 0)) usleep(5000);
  put(&r, fd, body_size);
  if (close(fd)) return 1;
  uint32_t v, n;
  return storm_look(path, file, version, &v, &n) == WHOLE && v == version ? 0 : 3;
}

static void on_term(int sig) { stop_asked = sig; }

static int as_child(int argc, char **argv) {
  struct storm_round *r = MAP_FAILED;
  if (!strcmp(argv[1], "closed-and-idle") && argc == 3) return closed_and_idle(argv[2]);
  if (!strcmp(argv[1], "hold") && argc == 6) return hold(argv[2], argv[3], (uint32_t)atoi(argv[4]), (uint32_t)atoi(argv[5]));
  int page = argc > 2 ? atoi(argv[2]) : -1;
  if (!strcmp(argv[1], "worker") && argc == 5) return worker(page, atoi(argv[3]), atoi(argv[4]));
  if (!strcmp(argv[1], "bystander") && argc == 3) return bystander(page);
  if (!strcmp(argv[1], "write") || !strcmp(argv[1], "look") || !strcmp(argv[1], "finish")) r = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, page, 0);
  if (r == MAP_FAILED) return -1;
  if (argc == 4) return finish(r, atoi(argv[3]));
  if (!strcmp(argv[1], "look")) look_on(r);
  act(r, page);
  return 0;
}

int main(int argc, char **argv) {
  if (argc >= 3) {
    int code = as_child(argc, argv);
    if (code >= 0) return code;
  }
  if (argc < 7) return fprintf(stderr, "usage: storm_clients SHIM|- ROOT RUN ROUNDS SEED WORKERS [POINT...]\n"), 2;
  shim_path = argv[1], root = argv[2], run_dir = argv[3];
  control = !strcmp(shim_path, "-");
  long rounds = atol(argv[4]);
  seed0 = (unsigned)atol(argv[5]);
  workers = atoi(argv[6]);
  points = argv + 7;
  point_count = argc - 7;
  if (workers < 1 || workers > WORKERS_MAX || point_count > POINTS_MAX || chdir(root)) return fprintf(stderr, "storm_clients: workers, points or root\n"), 2;
  rounds_left = point_count ? rounds * point_count : rounds;
  struct sigaction term = {.sa_handler = on_term};
  sigaction(SIGTERM, &term, NULL);
  sigaction(SIGINT, &term, NULL);
  uint64_t began = storm_us();
  for (int w = 0; w < workers; w++) {
    seats[w].index = w;
    seats[w].seed = seed0 * 31u + (unsigned)w;
    seats[w].next_version = seed0 % 1000u * 100000u; /* runs in the same directory do not repeat versions */
    if (sit_down(&seats[w])) return perror("storm_clients"), 2;
  }
  for (int w = 0; w < workers; w++) pthread_create(&seats[w].thread, NULL, drive, &seats[w]);
  unsigned by_rounds = 0, by_bad = 0;
  for (int w = 0; w < workers; w++) {
    pthread_join(seats[w].thread, NULL);
    close(seats[w].to);
    waitpid(seats[w].pid, NULL, 0);
  }
  for (int w = 0; w < workers; w++) {
    int status;
    seats[w].by->go = 2;
    waitpid(seats[w].by_pid, &status, 0);
    by_rounds += seats[w].by->version - 1;
    by_bad += seats[w].by->failed + (status != 0);
  }
  struct totals t;
  add_up(&t);
  print(&t, (double)(storm_us() - began) / 1e6, by_rounds, by_bad);
  return t.torn || t.lost || t.failed || by_bad ? 1 : 0;
}
