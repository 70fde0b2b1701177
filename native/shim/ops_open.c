/* open and its kin. Reading: fast ENOENT, else the real call. Writing inside the project: staged if staging.c takes it, else
 * recorded around the real call and HELD until the last close. */
#include "staging.h"
#include "writer.h"

#define LINKS_MAX 8

/* from, "/", text in path, which may hold from: its length, or -1. */
static int join(char *path, const char *from, int from_len, const char *text, int len) {
  if (from_len + len + 2 > SHIM_PATH_MAX) return -1;
  if (path != from) memcpy(path, from, (size_t)from_len);
  path[from_len] = '/';
  memcpy(path + from_len + 1, text, (size_t)len);
  path[from_len + 1 + len] = 0;
  return from_len + 1 + len;
}
static __attribute__((noinline)) void follow(const char *rel, int len) {
  char path[SHIM_PATH_MAX], target[SHIM_PATH_MAX];
  len = join(path, shim.root, (int)shim.root_len, rel, len);
  for (int i = 0; i < LINKS_MAX && len > 0; i++) {
    int n = (int)raw_readlink(AT_FDCWD, path, target, sizeof target - 1);
    if (n <= 0) return;
    while (len > 0 && path[len - 1] != '/') len--;
    len = target[0] == '/' ? join(path, path, 0, target + 1, n - 1) : join(path, path, len ? len - 1 : 0, target, n);
    int at = len > 0 ? shim_real_rel(AT_FDCWD, path, target) : SHIM_ODD;
    if (at >= 0) shim_stage_promote_rel(target, at);
  }
}
void shim_stage_promote_link(const char *rel, int len) {
  if (len > 0 && shim_stage_any()) follow(rel, len);
}

static __attribute__((noinline)) void promote_slowly(int dirfd, const char *path) {
  char rel[SHIM_PATH_MAX];
  int n = shim_real_rel(dirfd, path, rel);
  if (n >= 0) {
    shim_stage_promote_rel(rel, n);
    shim_stage_promote_link(rel, n);
  }
  else if (n == SHIM_ODD) shim_stage_promote_all();
}
/* A second description of an open output (/dev/stdout, /proc/self/fd/N): its file must be in its place for good, whatever closes first. */
static __attribute__((noinline)) void promote_described(const char *path) {
  static const char *const streams[] = {"/dev/stdin", "/dev/stdout", "/dev/stderr"};
  for (int i = 0; i < 3; i++)
    if (!strcmp(path, streams[i])) return shim_stage_promote_fd(i);
  const char *number = strstr(path, "/fd/");
  if (!number) return;
  int fd = 0;
  for (number += 4; *number >= '0' && *number <= '9' && fd < 100000000; number++) fd = fd * 10 + (*number - '0');
  if (!*number) shim_stage_promote_fd(fd);
}
void shim_promote_path(int dirfd, const char *path) {
  if (__atomic_load_n(&stage_used, __ATOMIC_ACQUIRE) && shim_text(path) && (!strncmp(path, "/dev/", 5) || !strncmp(path, "/proc/", 6))) promote_described(path);
  if (shim_text(path) && path[0] && shim_want_board() && __atomic_load_n(&shim.board.dyn->staged_count, __ATOMIC_ACQUIRE))
    promote_slowly(dirfd, path);
}

static int wants_mode(int flags) { return (flags & O_CREAT) || (flags & O_TMPFILE) == O_TMPFILE; }

/* libc's open is a cancellation point, and other preloads may stand behind us. */
static int real_open(int dirfd, const char *path, int flags, mode_t mode) {
  if (!LIBC(open) || !LIBC(openat)) return (int)raw_libc(raw_open(dirfd, path, flags, mode));
  return dirfd == AT_FDCWD ? real.open(path, flags, mode) : real.openat(dirfd, path, flags, mode);
}

static int open_read(int dirfd, const char *path, int flags, mode_t mode) {
  if (!(flags & (O_NOFOLLOW | O_PATH))) {
    int error = shim_known_absent(dirfd, path);
    if (error) {
      errno = error;
      return -1;
    }
  } else {
    shim_promote_path(dirfd, path);
  }
  int fd = real_open(dirfd, path, flags, mode);
  if (fd < 0) return fd;
  if ((flags & O_DIRECTORY) || (path[0] == '.' && !path[1])) shim_dir_opened(fd, dirfd, path);
  else shim_fd_forget(fd);
  return fd;
}

static int open_any(int dirfd, const char *path, int flags, mode_t mode) {
  if (!recording() || !shim_text(path)) return real_open(dirfd, path, flags, mode);
  int reading = (flags & O_ACCMODE) == O_RDONLY;
  if ((flags & O_PATH) || (reading && !(flags & (O_CREAT | O_TRUNC)))) return open_read(dirfd, path, flags, mode);
  int saved = errno;
  shim_promote_path(dirfd, path);
  errno = 0;
  int fd = shim_in_vfork_child() ? -1 : shim_stage_open(dirfd, path, flags, mode);
  if (fd >= 0 || errno) {
    if (fd >= 0) errno = saved;
    return fd;
  }
  errno = saved;
  struct vr_intent in;
  vr_intent_init(&in);
  int excl = (flags & (O_CREAT | O_EXCL)) == (O_CREAT | O_EXCL);
  shim_intent_path(&in, dirfd, path, (flags & O_NOFOLLOW) || excl ? 0 : SHIM_FOLLOW);
  uint32_t mark = shim_fork_mark();
  int token = shim_mut_begin(&in);
  fd = real_open(dirfd, path, flags, mode);
  if (fd >= 0 && !reading) shim_fd_opened_write_at(fd, token, mark);
  else {
    shim_mut_end(token);
    if (fd >= 0) shim_fd_forget(fd);
  }
  return fd;
}

static mode_t mode_argument(int flags, va_list *ap) { return wants_mode(flags) ? (mode_t)va_arg(*ap, int) : 0; }

int hook_open(const char *path, int flags, ...) {
  va_list ap;
  va_start(ap, flags);
  mode_t mode = mode_argument(flags, &ap);
  va_end(ap);
  return open_any(AT_FDCWD, path, flags, mode);
}
ALIASES_open
int hook_openat(int dirfd, const char *path, int flags, ...) {
  va_list ap;
  va_start(ap, flags);
  mode_t mode = mode_argument(flags, &ap);
  va_end(ap);
  return open_any(dirfd, path, flags, mode);
}
ALIASES_openat
int hook___open_2(const char *path, int flags) { return open_any(AT_FDCWD, path, flags, 0); }
ALIASES___open_2
int hook___openat_2(int dirfd, const char *path, int flags) { return open_any(dirfd, path, flags, 0); }
ALIASES___openat_2
int hook_creat(const char *path, mode_t mode) { return open_any(AT_FDCWD, path, O_CREAT | O_WRONLY | O_TRUNC, mode); }
ALIASES_creat

/* What fopen would pass to open; -1: not a mode of libc's. Like libc, looks at seven characters and stops at a comma. */
static int flags_of_mode(const char *mode) {
  int flags;
  switch (mode[0]) {
    case 'r': flags = O_RDONLY; break;
    case 'w': flags = O_WRONLY | O_CREAT | O_TRUNC; break;
    case 'a': flags = O_WRONLY | O_CREAT | O_APPEND; break;
    default: return -1;
  }
  for (int i = 1; i < 7 && mode[i] && mode[i] != ','; i++) {
    if (mode[i] == '+') flags = (flags & ~O_ACCMODE) | O_RDWR;
    else if (mode[i] == 'x') flags |= O_EXCL;
    else if (mode[i] == 'e') flags |= O_CLOEXEC;
  }
  return flags;
}

/* fdopen looks at fewer characters of a mode than fopen: what counts, in front. `to`: 6 bytes. */
static const char *short_mode(const char *mode, int flags, char *to) {
  char *at = to;
  *at++ = mode[0];
  if ((flags & O_ACCMODE) == O_RDWR) *at++ = '+';
  for (const char *c = "cme"; *c; c++)
    if (memchr(mode, *c, strnlen(mode, 7))) *at++ = *c;
  *at = 0;
  return to;
}

FILE *hook_fopen(const char *path, const char *mode) {
  if (!HAVE(fopen)) return NULL;
  int flags = recording() && shim_text(path) && shim_text(mode) ? flags_of_mode(mode) : -1;
  if (flags < 0) return real.fopen(path, mode);
  FILE *stream;
  if ((flags & O_ACCMODE) == O_RDONLY) {
    int error = shim_known_absent(AT_FDCWD, path);
    if (error) {
      errno = error;
      return NULL;
    }
    stream = real.fopen(path, mode);
    if (stream) shim_fd_forget(stream->_fileno);
    return stream;
  }
  int saved = errno;
  shim_promote_path(AT_FDCWD, path);
  if (!strchr(mode, ',') && !(flags & (O_EXCL | O_APPEND)) && !shim_in_vfork_child()) {
    errno = 0;
    int fd = shim_stage_open(AT_FDCWD, path, flags, 0666);
    if (fd >= 0) {
      errno = saved;
      char brief[6];
      if ((stream = fdopen(fd, short_mode(mode, flags, brief)))) return stream;
      saved = errno; /* no memory: the same failure as native, the empty file is there as it would be */
      hook_close(fd);
      errno = saved;
      return NULL;
    }
    if (errno) return NULL;
  }
  errno = saved;
  struct vr_intent in;
  vr_intent_init(&in);
  shim_intent_path(&in, AT_FDCWD, path, flags & O_EXCL ? 0 : SHIM_FOLLOW);
  uint32_t mark = shim_fork_mark();
  int token = shim_mut_begin(&in);
  stream = real.fopen(path, mode);
  if (stream) shim_fd_opened_write_at(stream->_fileno, token, mark);
  else shim_mut_end(token);
  return stream;
}
ALIASES_fopen

static int keep_open(int fd) {
  (void)fd;
  return 0;
}

/* libc closes the old file, opens the new one and moves it to the old number. A NULL path opens the old file anew. */
FILE *hook_freopen(const char *path, const char *mode, FILE *stream) {
  if (!HAVE(freopen)) return NULL;
  if (!recording() || !mode || !stream) return real.freopen(path, mode, stream);
  int fd = stream->_fileno, flags = flags_of_mode(mode), ignored;
  int writing = flags >= 0 && (flags & O_ACCMODE) != O_RDONLY;
  shim_stage_promote_fd(fd);
  if (path) shim_promote_path(AT_FDCWD, path);
  struct vr_intent in;
  vr_intent_init(&in);
  if (writing && path) shim_intent_path(&in, AT_FDCWD, path, SHIM_FOLLOW);
  else if (writing) shim_intent_fd(&in, fd);
  uint64_t old = shim_fd_take(fd);
  if (shim_fd_taken_staged(old, fd, keep_open, &ignored)) fd = -1; /* promotion had failed */
  uint32_t mark = shim_fork_mark();
  int token = shim_mut_begin(&in);
  FILE *result = real.freopen(path, mode, stream);
  if (result && writing) shim_fd_opened_write_at(result->_fileno, token, mark);
  else {
    shim_mut_end(token);
    if (result) shim_fd_forget(result->_fileno);
  }
  shim_fd_taken_done(old);
  return result;
}
ALIASES_freopen

/* The name is chosen inside libc: the parent is named before, the name itself when it is known. A path that was answered as absent
 * is covered by the parent: no ENOENT is given while its directory's slot is dirty. */
#define TEMPLATE(call)                                                                \
  if (!recording()) return call;                                                     \
  struct vr_intent in;                                                               \
  vr_intent_init(&in);                                                               \
  shim_intent_parent(&in, AT_FDCWD, template);                                       \
  uint32_t mark = shim_fork_mark();                                                  \
  int token = shim_mut_begin(&in);                                                   \
  int fd = call;                                                                     \
  if (fd >= 0) {                                                                     \
    shim_token_add_path(token, AT_FDCWD, template);                                  \
    shim_fd_opened_write_at(fd, token, mark);                                        \
  } else shim_mut_end(token);                                                        \
  return fd
#define NEED(name)                                                                         \
  if (!HAVE(name)) {                         \
    errno = ENOSYS;                                                                        \
    return -1;                                                                             \
  }

int hook_mkstemp(char *template) {
  NEED(mkstemp)
  TEMPLATE(real.mkstemp(template));
}
ALIASES_mkstemp
int hook_mkostemp(char *template, int flags) {
  NEED(mkostemp)
  TEMPLATE(real.mkostemp(template, flags));
}
ALIASES_mkostemp
int hook_mkstemps(char *template, int suffix) {
  NEED(mkstemps)
  TEMPLATE(real.mkstemps(template, suffix));
}
ALIASES_mkstemps
int hook_mkostemps(char *template, int suffix, int flags) {
  NEED(mkostemps)
  TEMPLATE(real.mkostemps(template, suffix, flags));
}
ALIASES_mkostemps

char *hook_mkdtemp(char *template) {
  if (!HAVE(mkdtemp)) return NULL;
  if (!recording()) return real.mkdtemp(template);
  struct vr_intent in;
  vr_intent_init(&in);
  shim_intent_parent(&in, AT_FDCWD, template);
  int token = shim_mut_begin(&in);
  char *result = real.mkdtemp(template);
  if (result) shim_token_add_path(token, AT_FDCWD, template);
  shim_mut_end(token);
  return result;
}
ALIASES_mkdtemp
