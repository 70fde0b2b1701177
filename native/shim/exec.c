/* What is about to be executed: will the library be in it, and what environment does it get? Looks at the file itself, as the kernel
 * and the loader will: #! lines (at most 4), PT_INTERP, setuid bits, file capabilities. No allocation; used in vfork children. */
#include <elf.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include "writer.h"

#define SCRIPT_DEPTH_MAX 4
#define HEAD_BYTES 1024
#define INTERP_MAX 256
#define PHDRS_MAX 256
#define LOADS_MAX 8
#define DYNAMIC_MAX 64 /* entries looked at; DT_NEEDED come first */

#if defined(__x86_64__)
#define OUR_MACHINE EM_X86_64
#else
#define OUR_MACHINE EM_AARCH64
#endif

static char own_interp[INTERP_MAX];
static char own_lib[1024];                 /* our file as LD_PRELOAD has it */
static char own_preload[1024 + 16];        /* "LD_PRELOAD=" own_lib */
static char var_root[VR_ROOT_PATH_MAX + 16], var_run[VR_ROOT_PATH_MAX + 24];
static char var_verify[32], var_verify_log[VR_ROOT_PATH_MAX + 24], var_trace[VR_ROOT_PATH_MAX + 16];

static const char *value_of(char *const envp[], const char *name) {
  size_t n = strlen(name);
  for (char *const *e = envp; e && *e; e++)
    if (!strncmp(*e, name, n) && (*e)[n] == '=') return *e + n + 1;
  return NULL;
}
static void set_var(char *to, size_t cap, const char *name, const char *value) {
  size_t n = strlen(name), v = value ? strlen(value) : 0;
  if (!value || n + v + 2 > cap) return;
  memcpy(to, name, n);
  to[n] = '=';
  memcpy(to + n + 1, value, v + 1);
}

/* The entry of a separated list that is our library: start, or NULL. */
static const char *find_own(const char *list, size_t *len) {
  while (list && *list) {
    size_t n = strcspn(list, ": ");
    const char *base = list + n;
    while (base > list && base[-1] != '/') base--;
    if (n && (own_lib[0] ? strlen(own_lib) == n && !memcmp(list, own_lib, n) : !strncmp(base, "libvrift_shim.so", 16))) {
      *len = n;
      return list;
    }
    list += n + (list[n] != 0);
  }
  return NULL;
}

static void find_own_interp(void) {
  const Elf64_Phdr *ph = (const Elf64_Phdr *)getauxval(AT_PHDR);
  size_t n = getauxval(AT_PHNUM), base = 0, len;
  const char *text = NULL;
  for (size_t i = 0; ph && i < n; i++)
    if (ph[i].p_type == PT_PHDR) base = (size_t)ph - ph[i].p_vaddr;
  for (size_t i = 0; ph && i < n; i++)
    if (ph[i].p_type == PT_INTERP) text = (const char *)(base + ph[i].p_vaddr);
  if (text && (len = strnlen(text, INTERP_MAX)) < INTERP_MAX) memcpy(own_interp, text, len + 1);
}

__attribute__((constructor(102))) static void remember_environment(int argc, char **argv, char **envp) {
  (void)argc, (void)argv;
  size_t n = 0;
  if (!shim_active()) return;
  find_own_interp();
  const char *own = find_own(value_of(envp, "LD_PRELOAD"), &n);
  if (own && n < sizeof own_lib) {
    memcpy(own_lib, own, n);
    own_lib[n] = 0;
    set_var(own_preload, sizeof own_preload, "LD_PRELOAD", own_lib);
  }
  set_var(var_root, sizeof var_root, "VRIFT_ROOT", shim.root);
  set_var(var_run, sizeof var_run, "VRIFT_PROJECT_RUN", shim.project_run);
  set_var(var_verify, sizeof var_verify, "VRIFT_VERIFY", value_of(envp, "VRIFT_VERIFY"));
  set_var(var_verify_log, sizeof var_verify_log, "VRIFT_VERIFY_LOG", value_of(envp, "VRIFT_VERIFY_LOG"));
  set_var(var_trace, sizeof var_trace, "VRIFT_TRACE", value_of(envp, "VRIFT_TRACE"));
}

/* --- the program --- */
static long pread_raw(int fd, void *buf, size_t n, uint64_t at) { return raw4(SYS_pread64, fd, (long)buf, (long)n, (long)at); }

static int same_interp(const char *interp) {
  struct stat a, b;
  if (!own_interp[0] || !strcmp(interp, own_interp)) return 1;
  return raw_stat(AT_FDCWD, interp, &a, 0) == 0 && raw_stat(AT_FDCWD, own_interp, &b, 0) == 0 && a.st_dev == b.st_dev &&
         a.st_ino == b.st_ino;
}

/* Address Sanitizer refuses to start behind a preloaded library: "runtime does not come first". */
static int is_first_or_nothing(const char *library) {
  return !strncmp(library, "libasan.so", 10) || !strncmp(library, "libhwasan.so", 12) || !strncmp(library, "libclang_rt.asan", 16) ||
         !strncmp(library, "libclang_rt.hwasan", 18);
}

struct segments {
  Elf64_Phdr dynamic, load[LOADS_MAX];
  unsigned loads;
};
static uint64_t file_offset(const struct segments *g, uint64_t address) {
  for (unsigned i = 0; i < g->loads; i++)
    if (address >= g->load[i].p_vaddr && address - g->load[i].p_vaddr < g->load[i].p_filesz)
      return address - g->load[i].p_vaddr + g->load[i].p_offset;
  return 0;
}
static int refuses_preload(int fd, const struct segments *g) {
  Elf64_Dyn d[DYNAMIC_MAX];
  uint64_t strings = 0;
  char name[24];
  long got = g->dynamic.p_filesz ? pread_raw(fd, d, g->dynamic.p_filesz < sizeof d ? g->dynamic.p_filesz : sizeof d, g->dynamic.p_offset) : 0;
  size_t n = got > 0 ? (size_t)got / sizeof *d : 0;
  for (size_t i = 0; i < n && d[i].d_tag != DT_NULL; i++)
    if (d[i].d_tag == DT_STRTAB) strings = file_offset(g, d[i].d_un.d_ptr);
  for (size_t i = 0; strings && i < n && d[i].d_tag != DT_NULL; i++) {
    if (d[i].d_tag != DT_NEEDED) continue;
    long r = pread_raw(fd, name, sizeof name - 1, strings + d[i].d_un.d_val);
    name[r > 0 ? r : 0] = 0;
    if (is_first_or_nothing(name)) return 1;
  }
  return 0;
}

static enum program elf_program(int fd, const Elf64_Ehdr *h) {
  char interp[INTERP_MAX] = "";
  struct segments g = {.loads = 0};
  if (h->e_ident[EI_CLASS] != ELFCLASS64 || h->e_machine != OUR_MACHINE || h->e_phentsize != sizeof(Elf64_Phdr)) return PROGRAM_FOREIGN;
  for (unsigned i = 0; i < h->e_phnum && i < PHDRS_MAX; i++) {
    Elf64_Phdr p;
    if (pread_raw(fd, &p, sizeof p, h->e_phoff + i * sizeof p) != (long)sizeof p) return PROGRAM_ODD;
    if (p.p_type == PT_DYNAMIC) g.dynamic = p;
    else if (p.p_type == PT_LOAD && g.loads < LOADS_MAX) g.load[g.loads++] = p;
    else if (p.p_type == PT_INTERP) {
      if (p.p_filesz < 2 || p.p_filesz > sizeof interp) return PROGRAM_FOREIGN;
      if (pread_raw(fd, interp, p.p_filesz, p.p_offset) != (long)p.p_filesz || interp[p.p_filesz - 1]) return PROGRAM_FOREIGN;
    }
  }
  if (!interp[0]) return PROGRAM_STATIC;
  return same_interp(interp) && !refuses_preload(fd, &g) ? PROGRAM_SEEN : PROGRAM_FOREIGN;
}

/* The interpreter of a #! line, zero ended in place; NULL: none. */
static char *script_interpreter(char *head, long n) {
  head[n < HEAD_BYTES ? n : HEAD_BYTES - 1] = 0;
  char *p = head + 2 + strspn(head + 2, " \t");
  p[strcspn(p, " \t\r\n")] = 0;
  return *p ? p : NULL;
}

static enum program program_at(int dirfd, const char *path, int depth) {
  _Alignas(Elf64_Ehdr) char head[HEAD_BYTES];
  struct stat st;
  int fd = raw_open(dirfd, path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, 0);
  if (fd < 0) return fd == -EACCES || fd == -EMFILE || fd == -ENFILE || fd == -ENOMEM ? PROGRAM_ODD : PROGRAM_MISSING;
  enum program result = PROGRAM_ODD;
  long n = -1;
  if (raw_fstat(fd, &st) < 0) result = PROGRAM_ODD;
  else if (!S_ISREG(st.st_mode)) result = PROGRAM_MISSING;
  else if ((n = pread_raw(fd, head, sizeof head, 0)) < 4) result = PROGRAM_ODD;
  else if (head[0] == '#' && head[1] == '!') {
    char *next = script_interpreter(head, n);
    raw_close(fd);
    return !next ? PROGRAM_ODD : depth >= SCRIPT_DEPTH_MAX ? PROGRAM_MISSING : program_at(AT_FDCWD, next, depth + 1);
  } else if ((st.st_mode & S_ISUID) || (st.st_mode & (S_ISGID | S_IXGRP)) == (S_ISGID | S_IXGRP) ||
             raw4(SYS_fgetxattr, fd, (long)"security.capability", 0, 0) > 0)
    result = PROGRAM_SECURE;
  else if (n >= (long)sizeof(Elf64_Ehdr) && !memcmp(head, ELFMAG, SELFMAG)) result = elf_program(fd, (Elf64_Ehdr *)(void *)head);
  raw_close(fd);
  return result;
}
enum program shim_program(int dirfd, const char *path) { return path ? program_at(dirfd, path, 0) : PROGRAM_MISSING; }

enum program shim_program_search(const char *file) {
  char path[SHIM_PATH_MAX];
  const char *list = value_of(environ, "PATH");
  if (!file || !*file) return PROGRAM_MISSING;
  if (strchr(file, '/')) return shim_program(AT_FDCWD, file);
  if (!list) list = "/bin:/usr/bin";
  size_t name = strlen(file);
  for (;;) {
    size_t n = strcspn(list, ":");
    if (n + name + 2 <= sizeof path) {
      memcpy(path, list, n);
      if (n) path[n] = '/';
      memcpy(path + n + (n > 0), file, name + 1);
      if (raw3(SYS_faccessat, AT_FDCWD, (long)path, 1 /* X_OK */) == 0) {
        enum program p = shim_program(AT_FDCWD, path);
        if (p != PROGRAM_MISSING) return p;
      }
    }
    if (!list[n]) return PROGRAM_MISSING;
    list += n + 1;
  }
}

/* --- the environment --- */
size_t shim_env_count(char *const envp[]) {
  size_t n = 0;
  while (envp && envp[n]) n++;
  return n;
}

/* Switched off, faked owners, or a program of another project: left as it is, and it does not have us. */
static int left_alone(char *const envp[]) {
  const char *off = value_of(envp, "VRIFT"), *preload = value_of(envp, "LD_PRELOAD"), *root = value_of(envp, "VRIFT_ROOT");
  return (off && !strcmp(off, "0")) || (preload && strstr(preload, "fakeroot")) || (root && strcmp(root, shim.root)) || !own_lib[0];
}
int shim_env_reaches(char *const envp[]) {
  size_t n;
  return !left_alone(envp) && find_own(value_of(envp, "LD_PRELOAD"), &n) && value_of(envp, "VRIFT_ROOT") && value_of(envp, "VRIFT_PROJECT_RUN");
}

static int is_var(const char *entry, const char *name) {
  size_t n = strlen(name);
  return !strncmp(entry, name, n) && entry[n] == '=';
}

/* The user's preloads with ours behind them, or, for a foreign loader that would refuse ours, without. NULL: nothing left of it. */
static char *preload_for(struct exec_env *e, char *entry, int foreign) {
  size_t n, total = strlen(entry);
  const char *own = find_own(entry + 11, &n);
  if (!foreign && own) return entry;
  if (foreign && !own) return entry;
  if (foreign) {
    size_t before = (size_t)(own - entry), after = total - before - n;
    if (total >= sizeof e->preload) return entry;
    memcpy(e->preload, entry, before);
    memcpy(e->preload + before, own + n, after + 1);
    return e->preload[11] == 0 ? NULL : e->preload;
  }
  size_t lib = strlen(own_lib);
  if (total + lib + 2 > sizeof e->preload) return entry;
  memcpy(e->preload, entry, total);
  size_t at = total;
  if (total > 11) e->preload[at++] = ':';
  memcpy(e->preload + at, own_lib, lib + 1);
  return e->preload;
}

void shim_env_plan(struct exec_env *e, char *const envp[], char **vector, enum program program, int spawn) {
  e->envp = (char **)(uintptr_t)envp;
  e->reaches = 0;
  if (left_alone(envp) || !vector) return;
  size_t n = 0, own;
  int preload = 0, root = 0, run = 0, foreign = program == PROGRAM_FOREIGN;
  for (char *const *v = envp; v && *v; v++) {
    char *entry = *v;
    if (is_var(entry, "LD_PRELOAD") && !preload) {
      preload = 1;
      if (!(entry = preload_for(e, entry, foreign))) continue;
      e->reaches = find_own(entry + 11, &own) != NULL;
    } else if (is_var(entry, "VRIFT_NEED")) continue;
    else if (is_var(entry, "VRIFT_ROOT")) root = 1;
    else if (is_var(entry, "VRIFT_PROJECT_RUN")) run = 1;
    vector[n++] = entry;
  }
  if (!preload && !foreign) {
    vector[n++] = own_preload;
    e->reaches = 1;
  }
  if (!root) vector[n++] = var_root;
  if (!run) vector[n++] = var_run;
  if (var_verify[0] && !value_of(envp, "VRIFT_VERIFY")) vector[n++] = var_verify;
  if (var_verify_log[0] && !value_of(envp, "VRIFT_VERIFY_LOG")) vector[n++] = var_verify_log;
  if (var_trace[0] && !value_of(envp, "VRIFT_TRACE")) vector[n++] = var_trace;
  /* What this process knows from outside is handed on only if the VDir says that it misses nothing itself (leaky programs do). Without it the
   * child's every change would name G. */
  if (!shim.vdir && !shim_need_unsatisfied()) shim_want_vdir();
  if (shim_need_token(e->need, spawn) > 0) vector[n++] = e->need;
  vector[n] = NULL;
  e->envp = vector;
  if (program != PROGRAM_SEEN) e->reaches = 0;
}

/* --- what cannot be seen --- */
int shim_blind_begin(void) {
  struct vr_intent in;
  vr_intent_init(&in);
  vr_intent_slot(&in, 0);
  if (!shim_want_board()) {
    __atomic_store_n(&shim.unrecorded, 1, __ATOMIC_RELAXED);
    return SHIM_MUT_NONE;
  }
  shim_count(VR_STAT_BLIND);
  int token = shim_mut_begin(&in);
  if (token != -1) shim_token_keep(token, VR_BOARD_KIND_BLIND, 0);
  return token;
}
void shim_blind_child(int token, pid_t child) {
  int r = shim_token_record(token);
  if (r >= 0) vr_mutation_owner(&shim.board, r, (uint32_t)child);
  else shim_mut_end(token);
}
