/* Running programs: exec*, posix_spawn*, system, popen. Before each: every staged file is promoted, what a child gets is left to the
 * daemon, counters are flushed, the environment is completed, and a program that will not have us is announced (BLIND). */
#include <sys/mman.h>
#include "writer.h"

#define VECTOR_ON_STACK 512 /* entries of argv or envp; longer ones are mapped (and by a vfork child left to its parent) */
#define SPAWN_OPENS 16
#define SPAWN_DUPS 64
#define SPAWN_PATH_MAX 1024

/* replaced: this very process becomes the program, and nobody is left to release what FD_CLOEXEC closes. */
static void before_program(int replaced) {
  shim_stage_promote_all();
  if (replaced && !shim_in_vfork_child()) shim_fd_escape_all();
  else shim_fd_escape_inherited();
  shim_count_flush();
}

/* Memory for n pointers: the caller's stack array, or a mapping that vanishes with the exec (or in end_vector). */
static char **begin_vector(struct exec_env *e, size_t n, char **stack) {
  e->mapped = NULL;
  if (n + EXEC_EXTRA <= VECTOR_ON_STACK) return stack;
  e->mapped_size = (n + EXEC_EXTRA) * sizeof(char *);
  long p = raw_mmap(NULL, e->mapped_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1);
  if (raw_failed(p)) return NULL;
  return e->mapped = (void *)p;
}
static void end_vector(struct exec_env *e) {
  if (e->mapped) raw2(SYS_munmap, (long)e->mapped, (long)e->mapped_size);
}

/* What stands around one exec: `call` sees the planned environment as `planned`. Returns only when the exec failed. */
#define EXEC(envp, program_expression, call)                                        \
  do {                                                                              \
    struct exec_env exec_;                                                          \
    char *stack_[VECTOR_ON_STACK];                                                  \
    enum program program_ = (program_expression);                                   \
    if (program_ != PROGRAM_MISSING) before_program(1);                             \
    char **vector_ = begin_vector(&exec_, shim_env_count(envp), stack_);            \
    shim_env_plan(&exec_, envp, vector_, program_, 0);                              \
    int blind_ = exec_.reaches || program_ == PROGRAM_MISSING ? SHIM_MUT_NONE : shim_blind_begin(); \
    char **planned = exec_.envp;                                                    \
    int result_ = (call);                                                           \
    int saved_ = errno;                                                             \
    shim_mut_end(blind_);                                                           \
    end_vector(&exec_);                                                             \
    errno = saved_;                                                                 \
    return result_;                                                                 \
  } while (0)

static int exec_raw(const char *path, char *const argv[], char *const envp[]) {
  return (int)raw_libc(raw3(SYS_execve, (long)path, (long)argv, (long)envp));
}

int hook_execve(const char *path, char *const argv[], char *const envp[]) {
  if (!recording()) return exec_raw(path, argv, envp);
  EXEC(envp, shim_program(AT_FDCWD, path), exec_raw(path, argv, planned));
}
ALIASES_execve
int hook_execv(const char *path, char *const argv[]) { return hook_execve(path, argv, environ); }
ALIASES_execv

int hook_execvpe(const char *file, char *const argv[], char *const envp[]) {
  if (!HAVE(execvpe)) {
    errno = ENOSYS;
    return -1;
  }
  if (!recording()) return real.execvpe(file, argv, envp);
  EXEC(envp, shim_program_search(file), real.execvpe(file, argv, planned));
}
ALIASES_execvpe
int hook_execvp(const char *file, char *const argv[]) { return hook_execvpe(file, argv, environ); }
ALIASES_execvp

/* The variadic ones: the arguments are counted, copied to the stack (or a mapping), then it is one of the above. */
enum { LIST_PATH, LIST_FILE, LIST_ENV };
static int exec_list(int kind, const char *path, const char *arg, va_list ap) {
  va_list count;
  size_t n = 1;
  va_copy(count, ap);
  if (arg)
    while (va_arg(count, char *)) n++;
  va_end(count);
  char *stack[VECTOR_ON_STACK];
  struct exec_env memory;
  char **argv = begin_vector(&memory, n, stack);
  if (!argv) {
    errno = E2BIG;
    return -1;
  }
  argv[0] = (char *)(uintptr_t)arg;
  for (size_t i = 1; arg && (argv[i] = va_arg(ap, char *)) != NULL; i++) {
  }
  if (!arg) argv[0] = NULL;
  char *const *envp = kind == LIST_ENV ? va_arg(ap, char *const *) : environ;
  int result = kind == LIST_FILE ? hook_execvpe(path, argv, envp) : hook_execve(path, argv, envp);
  int saved = errno;
  end_vector(&memory);
  errno = saved;
  return result;
}
#define EXEC_LIST(kind, first, last)               \
  va_list ap;                                      \
  va_start(ap, last);                              \
  int result = exec_list(kind, first, last, ap);   \
  va_end(ap);                                      \
  return result
int hook_execl(const char *path, const char *arg, ...) { EXEC_LIST(LIST_PATH, path, arg); }
ALIASES_execl
int hook_execlp(const char *file, const char *arg, ...) { EXEC_LIST(LIST_FILE, file, arg); }
ALIASES_execlp
int hook_execle(const char *path, const char *arg, ...) { EXEC_LIST(LIST_ENV, path, arg); }
ALIASES_execle

static enum program program_of_fd(int fd) {
  char proc[40] = "/proc/self/fd/";
  size_t at = 14, k = 0;
  char digits[12];
  unsigned v = (unsigned)fd;
  if (fd < 0) return PROGRAM_MISSING;
  do digits[k++] = (char)('0' + v % 10);
  while (v /= 10);
  while (k) proc[at++] = digits[--k];
  enum program p = shim_program(AT_FDCWD, proc);
  return p == PROGRAM_MISSING ? PROGRAM_ODD : p;
}
int hook_fexecve(int fd, char *const argv[], char *const envp[]) {
  if (!HAVE(fexecve)) {
    errno = ENOSYS;
    return -1;
  }
  if (!recording()) return real.fexecve(fd, argv, envp);
  EXEC(envp, program_of_fd(fd), real.fexecve(fd, argv, planned));
}
ALIASES_fexecve
static int execveat_raw(int dirfd, const char *path, char *const argv[], char *const envp[], int flags) {
  return (int)raw_libc(raw6(SYS_execveat, dirfd, (long)path, (long)argv, (long)envp, flags, 0));
}
int hook_execveat(int dirfd, const char *path, char *const argv[], char *const envp[], int flags) {
  if (!recording() || !shim_text(path)) return execveat_raw(dirfd, path, argv, envp, flags);
  int by_fd = (flags & AT_EMPTY_PATH) && !path[0];
  EXEC(envp, by_fd ? program_of_fd(dirfd) : shim_program(dirfd, path), execveat_raw(dirfd, path, argv, planned, flags));
}
ALIASES_execveat

/* --- posix_spawn. File actions open files inside libc, in the child: those for writing are remembered with the actions. --- */
static struct spawn_open {
  const void *actions; /* NULL: free */
  char path[SPAWN_PATH_MAX];
} spawn_opens[SPAWN_OPENS];
static uint32_t spawn_open_lost HOT_BSS; /* one did not fit: every spawn with actions counts as blind */
/* Descriptors that the actions copy: the copy is inherited whatever FD_CLOEXEC says. */
static struct {
  const void *actions; /* NULL: free */
  int fd;
} spawn_dups[SPAWN_DUPS];
static uint32_t spawn_dup_lost HOT_BSS; /* one did not fit: every spawn with actions hands on everything */
/* Actions that change the directory: what they open by a relative name after that is not known here. */
static const void *spawn_moves[SPAWN_DUPS];
static uint32_t spawn_move_lost HOT_BSS; /* one did not fit: any actions may be such */

static void spawn_moved(const void *actions) {
  for (int i = 0; i < SPAWN_DUPS; i++) {
    const void *none = NULL;
    if (__atomic_compare_exchange_n(&spawn_moves[i], &none, actions, 0, __ATOMIC_SEQ_CST, __ATOMIC_RELAXED) || none == actions) return;
  }
  __atomic_store_n(&spawn_move_lost, 1, __ATOMIC_SEQ_CST);
}
static int spawn_moves_first(const void *actions) {
  if (__atomic_load_n(&spawn_move_lost, __ATOMIC_ACQUIRE)) return 1;
  for (int i = 0; i < SPAWN_DUPS; i++)
    if (__atomic_load_n(&spawn_moves[i], __ATOMIC_ACQUIRE) == actions) return 1;
  return 0;
}
int hook_posix_spawn_file_actions_addchdir_np(posix_spawn_file_actions_t *actions, const char *path) {
  if (!HAVE(posix_spawn_file_actions_addchdir_np)) return ENOSYS;
  int result = real.posix_spawn_file_actions_addchdir_np(actions, path);
  if (result == 0 && recording()) spawn_moved(actions);
  return result;
}
ALIASES_posix_spawn_file_actions_addchdir_np
int hook_posix_spawn_file_actions_addfchdir_np(posix_spawn_file_actions_t *actions, int fd) {
  if (!HAVE(posix_spawn_file_actions_addfchdir_np)) return ENOSYS;
  int result = real.posix_spawn_file_actions_addfchdir_np(actions, fd);
  if (result == 0 && recording()) spawn_moved(actions);
  return result;
}
ALIASES_posix_spawn_file_actions_addfchdir_np

int hook_posix_spawn_file_actions_addopen(posix_spawn_file_actions_t *actions, int fd, const char *path, int flags, mode_t mode) {
  if (!HAVE(posix_spawn_file_actions_addopen))
    return ENOSYS;
  int result = real.posix_spawn_file_actions_addopen(actions, fd, path, flags, mode);
  if (result || !recording()) return result;
  if (path[0] != '/' && spawn_moves_first(actions)) {
    int saved = errno;
    if (shim_stage_any()) shim_stage_promote_below("", 0);
    errno = saved;
    __atomic_store_n(&spawn_open_lost, 1, __ATOMIC_SEQ_CST);
    return 0;
  }
  if ((flags & O_ACCMODE) == O_RDONLY && !(flags & (O_CREAT | O_TRUNC))) {
    int saved = errno;
    shim_promote_path(AT_FDCWD, path); /* libc will open it in the child, where nobody sees that */
    errno = saved;
    return 0;
  }
  size_t n = strlen(path);
  for (int i = 0; i < SPAWN_OPENS && n < SPAWN_PATH_MAX; i++) {
    const void *none = NULL;
    if (!__atomic_compare_exchange_n(&spawn_opens[i].actions, &none, actions, 0, __ATOMIC_SEQ_CST, __ATOMIC_RELAXED)) continue;
    memcpy(spawn_opens[i].path, path, n + 1);
    return 0;
  }
  __atomic_store_n(&spawn_open_lost, 1, __ATOMIC_SEQ_CST);
  return 0;
}
ALIASES_posix_spawn_file_actions_addopen
int hook_posix_spawn_file_actions_adddup2(posix_spawn_file_actions_t *actions, int from, int to) {
  if (!HAVE(posix_spawn_file_actions_adddup2))
    return ENOSYS;
  int result = real.posix_spawn_file_actions_adddup2(actions, from, to);
  if (result || !recording()) return result;
  for (int i = 0; i < SPAWN_DUPS; i++) {
    const void *none = NULL;
    if (!__atomic_compare_exchange_n(&spawn_dups[i].actions, &none, actions, 0, __ATOMIC_SEQ_CST, __ATOMIC_RELAXED)) continue;
    spawn_dups[i].fd = from;
    return 0;
  }
  __atomic_store_n(&spawn_dup_lost, 1, __ATOMIC_SEQ_CST);
  return 0;
}
ALIASES_posix_spawn_file_actions_adddup2
static void escape_spawn_dups(const void *actions) {
  if (!actions) return;
  if (__atomic_load_n(&spawn_dup_lost, __ATOMIC_ACQUIRE)) shim_fd_escape_all();
  for (int i = 0; i < SPAWN_DUPS; i++)
    if (__atomic_load_n(&spawn_dups[i].actions, __ATOMIC_ACQUIRE) == actions) shim_fd_escape(spawn_dups[i].fd);
}
int hook_posix_spawn_file_actions_destroy(posix_spawn_file_actions_t *actions) {
  for (int i = 0; i < SPAWN_OPENS; i++) {
    const void *mine = actions;
    __atomic_compare_exchange_n(&spawn_opens[i].actions, &mine, NULL, 0, __ATOMIC_SEQ_CST, __ATOMIC_RELAXED);
  }
  for (int i = 0; i < SPAWN_DUPS; i++) {
    const void *mine = actions;
    __atomic_compare_exchange_n(&spawn_moves[i], &mine, NULL, 0, __ATOMIC_SEQ_CST, __ATOMIC_RELAXED);
    mine = actions;
    __atomic_compare_exchange_n(&spawn_dups[i].actions, &mine, NULL, 0, __ATOMIC_SEQ_CST, __ATOMIC_RELAXED);
  }
  if (!HAVE(posix_spawn_file_actions_destroy))
    return ENOSYS;
  return real.posix_spawn_file_actions_destroy(actions);
}
ALIASES_posix_spawn_file_actions_destroy

static void begin_spawn_opens(const void *actions, int tokens[SPAWN_OPENS]) {
  for (int i = 0; i < SPAWN_OPENS; i++) {
    struct vr_intent in;
    tokens[i] = SHIM_MUT_NONE;
    if (!actions || __atomic_load_n(&spawn_opens[i].actions, __ATOMIC_ACQUIRE) != actions) continue;
    shim_promote_path(AT_FDCWD, spawn_opens[i].path);
    vr_intent_init(&in);
    shim_intent_path(&in, AT_FDCWD, spawn_opens[i].path, SHIM_FOLLOW);
    tokens[i] = shim_mut_begin(&in);
  }
}
/* The child writes on: the daemon frees the record when nobody does any more. */
static void end_spawn_opens(const int tokens[SPAWN_OPENS], int started) {
  for (int i = 0; i < SPAWN_OPENS; i++) {
    struct stat st;
    if (tokens[i] == SHIM_MUT_NONE) continue;
    if (started && tokens[i] >= 0 && raw_stat(AT_FDCWD, spawn_opens[i].path, &st, 0) == 0 && S_ISREG(st.st_mode))
      shim_token_keep(tokens[i], VR_BOARD_KIND_ESCAPED, st.st_ino);
    else shim_mut_end(tokens[i]);
  }
}

typedef int spawn_function(pid_t *, const char *, const posix_spawn_file_actions_t *, const posix_spawnattr_t *, char *const[],
                           char *const[]);
/* by_pid: *pid is the child's pid (pidfd_spawn gives a descriptor instead). */
static int spawn_any(spawn_function *call, int by_pid, enum program program, pid_t *pid, const char *path,
                     const posix_spawn_file_actions_t *actions, const posix_spawnattr_t *attr, char *const argv[], char *const envp[]) {
  struct exec_env e;
  char *stack[VECTOR_ON_STACK];
  int opens[SPAWN_OPENS];
  pid_t child = -1;
  int lost = actions && __atomic_load_n(&spawn_open_lost, __ATOMIC_ACQUIRE);
  shim_fork_begin();
  before_program(0);
  escape_spawn_dups(actions);
  begin_spawn_opens(actions, opens);
  char **vector = begin_vector(&e, shim_env_count(envp), stack);
  shim_env_plan(&e, envp, vector, program, 1);
  int blind = (e.reaches && !lost) || program == PROGRAM_MISSING ? SHIM_MUT_NONE : shim_blind_begin();
  int error = call(by_pid || pid ? &child : NULL, path, actions, attr, argv, e.envp);
  int saved = errno;
  if (error == 0 && pid) *pid = child;
  if (error == 0 && by_pid) shim_blind_child(blind, child);
  else if (error) shim_mut_end(blind);
  end_spawn_opens(opens, error == 0);
  end_vector(&e);
  shim_fork_end();
  errno = saved;
  return error;
}
#define SPAWN(name, by_pid, program)                                                            \
  if (!HAVE(name)) return ENOSYS;                 \
  if (!recording()) return real.name(pid, path, actions, attr, argv, envp);                     \
  return spawn_any(real.name, by_pid, program, pid, path, actions, attr, argv, envp)
int hook_posix_spawn(pid_t *pid, const char *path, const posix_spawn_file_actions_t *actions, const posix_spawnattr_t *attr,
                     char *const argv[], char *const envp[]) {
  SPAWN(posix_spawn, 1, shim_program(AT_FDCWD, path));
}
ALIASES_posix_spawn
int hook_posix_spawnp(pid_t *pid, const char *path, const posix_spawn_file_actions_t *actions, const posix_spawnattr_t *attr,
                      char *const argv[], char *const envp[]) {
  SPAWN(posix_spawnp, 1, shim_program_search(path));
}
ALIASES_posix_spawnp
int hook_pidfd_spawn(int *pid, const char *path, const posix_spawn_file_actions_t *actions, const posix_spawnattr_t *attr,
                     char *const argv[], char *const envp[]) {
  SPAWN(pidfd_spawn, 0, shim_program(AT_FDCWD, path));
}
ALIASES_pidfd_spawn
int hook_pidfd_spawnp(int *pid, const char *path, const posix_spawn_file_actions_t *actions, const posix_spawnattr_t *attr,
                      char *const argv[], char *const envp[]) {
  SPAWN(pidfd_spawnp, 0, shim_program_search(path));
}
ALIASES_pidfd_spawnp

/* --- the shell. It is started inside libc with our own environment. --- */
static int shell_blind(void) {
  return shim_env_reaches(environ) && shim_program(AT_FDCWD, "/bin/sh") == PROGRAM_SEEN ? SHIM_MUT_NONE : shim_blind_begin();
}
int hook_system(const char *command) {
  if (!HAVE(system)) {
    errno = ENOSYS;
    return -1;
  }
  if (!recording() || !command) return real.system(command);
  shim_fork_begin();
  before_program(0);
  int blind = shell_blind();
  int result = real.system(command);
  int saved = errno;
  shim_mut_end(blind);
  shim_fork_end();
  shim_edge();
  errno = saved;
  return result;
}
ALIASES_system
FILE *hook_popen(const char *command, const char *mode) {
  if (!HAVE(popen)) return NULL;
  if (!recording()) return real.popen(command, mode);
  shim_fork_begin();
  before_program(0);
  int blind = shell_blind(); /* nobody tells us the child's pid: blind until this process ends */
  FILE *result = real.popen(command, mode);
  int saved = errno;
  if (!result) shim_mut_end(blind);
  else shim_fd_forget(result->_fileno);
  shim_fork_end();
  errno = saved;
  return result;
}
ALIASES_popen
int hook_pclose(FILE *stream) {
  if (!HAVE(pclose)) return -1;
  if (recording() && stream) shim_fd_forget(stream->_fileno);
  int result = real.pclose(stream);
  int saved = errno;
  if (recording()) shim_edge();
  errno = saved;
  return result;
}
ALIASES_pclose
