/* Where everything is: the installation, the runtime directory, the project. docs/PROTOCOL.md section 1. */
#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "launcher.h"
#include "vr_hash.h"

/* out = a + b. 0, or -1 when it does not fit. */
static int join(char *out, size_t size, const char *a, const char *b) {
  int n = snprintf(out, size, "%s%s", a, b);
  return n < 0 || (size_t)n >= size ? -1 : 0;
}

int find_dist(struct places *p) {
  char exe[TEXT_MAX - 32];
  ssize_t n = readlink("/proc/self/exe", exe, sizeof exe - 1);
  if (n <= 0) return -1;
  exe[n] = 0;
  char *slash = strrchr(exe, '/');
  if (!slash) return -1;
  *slash = 0;
  slash = strrchr(exe, '/');
  if (!slash) return -1;
  *slash = 0;
  return join(p->dist, sizeof p->dist, exe, "/lib/vrift");
}

/* By lstat: a directory, ours. */
static int our_dir(const char *path, struct stat *st) {
  return lstat(path, st) == 0 && S_ISDIR(st->st_mode) && st->st_uid == geteuid();
}

int is_utf8(const char *s) {
  const unsigned char *p = (const unsigned char *)s;
  while (*p) {
    int more = *p < 0x80 ? 0 : *p >= 0xc2 && *p < 0xe0 ? 1 : *p >= 0xe0 && *p < 0xf0 ? 2 : *p >= 0xf0 && *p < 0xf5 ? 3 : -1;
    if (more < 0) return 0;
    for (p++; more > 0; more--, p++)
      if ((*p & 0xc0) != 0x80) return 0;
  }
  return 1;
}

static void locate_run(struct places *p) {
  const char *env = getenv("VRIFT_RUNTIME_DIR");
  struct stat st;
  char base[64];
  if (env && *env) {
    if (env[0] != '/') snprintf(p->run_problem, sizeof p->run_problem, "VRIFT_RUNTIME_DIR must be an absolute path, not '%s'", env);
    else if (!is_utf8(env)) snprintf(p->run_problem, sizeof p->run_problem, "VRIFT_RUNTIME_DIR is not UTF-8, which the daemons cannot use");
    else if (join(p->run, sizeof p->run, env, "")) snprintf(p->run_problem, sizeof p->run_problem, "VRIFT_RUNTIME_DIR is too long");
    return;
  }
  env = getenv("XDG_RUNTIME_DIR");
  if (env && env[0] == '/' && is_utf8(env) && our_dir(env, &st) && join(p->run, sizeof p->run, env, "/vrift") == 0) return;
  snprintf(base, sizeof base, "/run/user/%u", (unsigned)geteuid());
  if (our_dir(base, &st)) {
    join(p->run, sizeof p->run, base, "/vrift");
    return;
  }
  snprintf(p->run, sizeof p->run, "/tmp/vrift-%u", (unsigned)geteuid());
}

void find_run(struct places *p, int create) {
  p->run_problem[0] = p->run[0] = 0;
  locate_run(p);
  if (p->run_problem[0]) return;
  size_t len = strlen(p->run);
  while (len > 1 && p->run[len - 1] == '/') p->run[--len] = 0;
  if (create && mkdir(p->run, 0700) < 0 && errno != EEXIST) {
    snprintf(p->run_problem, sizeof p->run_problem, "cannot make %s: %s", p->run, strerror(errno));
    return;
  }
  struct stat st;
  if (lstat(p->run, &st) < 0) {
    if (create || errno != ENOENT) snprintf(p->run_problem, sizeof p->run_problem, "%s: %s", p->run, strerror(errno));
  } else if (!S_ISDIR(st.st_mode)) {
    snprintf(p->run_problem, sizeof p->run_problem,
             "%s is not a directory (or is a symbolic link); remove it, or set VRIFT_RUNTIME_DIR", p->run);
  } else if (st.st_uid != geteuid()) {
    snprintf(p->run_problem, sizeof p->run_problem,
             "%s belongs to another user; set VRIFT_RUNTIME_DIR to a directory of yours", p->run);
  } else if (st.st_mode & 077) {
    snprintf(p->run_problem, sizeof p->run_problem, "%s is open to group or others; type: chmod 700 '%s'", p->run, p->run);
  }
}

const char *home_dir(void) {
  const char *h = getenv("HOME");
  if (h && h[0] == '/' && is_utf8(h)) return h;
  struct passwd *pw = getpwuid(geteuid());
  return pw && pw->pw_dir && pw->pw_dir[0] == '/' && is_utf8(pw->pw_dir) ? pw->pw_dir : NULL;
}

void forget_odd_dirs(void) {
  static const char *const dirs[] = {"XDG_STATE_HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_RUNTIME_DIR"};
  for (size_t i = 0; i < sizeof dirs / sizeof *dirs; i++) {
    const char *v = getenv(dirs[i]);
    if (v && !is_utf8(v)) unsetenv(dirs[i]);
  }
}

void find_log_dir(struct places *p) {
  const char *state = getenv("XDG_STATE_HOME"), *h = home_dir();
  char tmp[TEXT_MAX];
  p->log_dir[0] = 0;
  if (state && state[0] == '/' && is_utf8(state)) {
    if (join(tmp, sizeof tmp, state, "/vrift/log")) return;
  } else if (!h || join(tmp, sizeof tmp, h, "/.local/state/vrift/log")) {
    return;
  }
  join(p->log_dir, sizeof p->log_dir, tmp, "");
}

/* The nearest of dir and its ancestors in which `name` exists (only_dir: as a directory). Result in dir. What another user put
 * into a directory that everybody can write (/tmp/.vrift, /tmp/.git) makes no project of it. */
static int ancestor_with(char *dir, const char *name, int only_dir) {
  char tmp[TEXT_MAX + 16];
  struct stat st, above;
  for (;;) {
    snprintf(tmp, sizeof tmp, "%s/%s", strcmp(dir, "/") ? dir : "", name);
    if (lstat(tmp, &st) == 0 && (!only_dir || S_ISDIR(st.st_mode)) &&
        (st.st_uid == geteuid() || (lstat(dir, &above) == 0 && !(above.st_mode & S_IWOTH))))
      return 1;
    char *slash = strrchr(dir, '/');
    if (!slash || !strcmp(dir, "/")) return 0;
    slash[slash == dir] = 0;
  }
}

/* No project may be `/` or the home directory: what it is, or NULL. */
static const char *too_big(const char *root) {
  const char *h = home_dir();
  char real[PATH_MAX];
  if (!strcmp(root, "/")) return "the root of the file system";
  return h && realpath(h, real) && !strcmp(real, root) ? "your home directory (HOME)" : NULL;
}

static void write_once(const char *dir, const char *name, const char *text) {
  char tmp[TEXT_MAX + 64];
  snprintf(tmp, sizeof tmp, "%s/%s", dir, name);
  int fd = open(tmp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (fd < 0) return;
  if (write(fd, text, strlen(text)) < 0) unlink(tmp);
  close(fd);
}

/* Makes `.vrift`. A project in which it cannot be made (another user's, read-only) is served without staging. */
static void make_private(struct places *p) {
  char dir[TEXT_MAX + 16];
  struct stat st;
  snprintf(dir, sizeof dir, "%s/.vrift", p->root);
  if (mkdir(dir, 0700) == 0) p->fresh = 1;
  else if (errno != EEXIST) return;
  if (lstat(dir, &st) < 0 || !S_ISDIR(st.st_mode)) {
    snprintf(p->root_problem, sizeof p->root_problem, "%s is not a directory; remove it", dir);
    return;
  }
  if (st.st_uid != geteuid()) return;
  /* The one name that git, and the tools that pack a source tree (dpkg-source), pass over: no other file of ours is left here. */
  write_once(dir, ".gitignore", "*\n");
}

void find_root(struct places *p, int create) {
  p->root_problem[0] = p->root[0] = 0;
  if (!getcwd(p->cwd, sizeof p->cwd) || p->cwd[0] != '/') {
    p->cwd[0] = 0;
    snprintf(p->root_problem, sizeof p->root_problem, "the current directory cannot be named: %s", strerror(errno ? errno : ENOENT));
    return;
  }
  char dir[TEXT_MAX];
  strcpy(dir, p->cwd);
  if (!ancestor_with(dir, ".vrift", 1) || too_big(dir)) {
    strcpy(dir, p->cwd);
    if (!ancestor_with(dir, ".git", 0) || too_big(dir)) strcpy(dir, p->cwd);
  }
  strcpy(p->root, dir);
  const char *big = too_big(p->root);
  if (big) {
    snprintf(p->root_problem, sizeof p->root_problem,
             "%s is %s, which is too big to be a project; change to the project's directory (or type `git init` there)", p->root, big);
    return;
  }
  if (!is_utf8(p->root)) {
    snprintf(p->root_problem, sizeof p->root_problem, "the path of this project is not UTF-8, which vrift cannot serve yet");
    return;
  }
  if (strlen(p->root) >= VR_ROOT_PATH_MAX) {
    snprintf(p->root_problem, sizeof p->root_problem, "the path of this project is longer than %u bytes", VR_ROOT_PATH_MAX - 1);
    return;
  }
  snprintf(p->id, sizeof p->id, "%016llx", (unsigned long long)vr_hash64(p->root, strlen(p->root), 0));
  if (snprintf(p->project_run, sizeof p->project_run, "%s/p/%s", p->run, p->id) >= (int)sizeof p->project_run) {
    snprintf(p->root_problem, sizeof p->root_problem, "the runtime directory's path is too long");
    return;
  }
  if (create) make_private(p);
}
