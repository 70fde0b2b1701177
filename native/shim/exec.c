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
#define NAMES_BYTES 512

#if defined(__x86_64__)
#define OUR_MACHINE EM_X86_64
#else
#define OUR_MACHINE EM_AARCH64
#endif


static const char *value_of(char *const envp[], const char *name) {
  size_t n = strlen(name);
  for (char *const *e = envp; e && *e; e++)
    if (!strncmp(*e, name, n) && (*e)[n] == '=') return *e + n + 1;
  return NULL;
}
const char *shim_find_own(const char *list, size_t *len) {
  static const char name[] = "libvrift_shim.so";
  while (list && *list) {
    size_t n = 0, base = 0, k = 0;
    for (; list[n] && list[n] != ':' && list[n] != ' '; n++)
      if (list[n] == '/') base = n + 1;
    if (shim.own_lib) {
      while (k < n && shim.own_lib[k] == list[k]) k++;
      if (n && k == n && !shim.own_lib[k]) return *len = n, list;
    } else {
      while (name[k] && list[base + k] == name[k]) k++;
      if (n && !name[k]) return *len = n, list;
    }
    list += n + (list[n] != 0);
  }
  return NULL;
}

/* Our own program interpreter, in the program's own read-only memory; NULL: unknown. */
static const char *own_interp(void) {
  const Elf64_Phdr *ph = (const Elf64_Phdr *)getauxval(AT_PHDR);
  size_t n = getauxval(AT_PHNUM), base = 0;
  for (size_t i = 0; ph && i < n; i++)
    if (ph[i].p_type == PT_PHDR) base = (size_t)ph - ph[i].p_vaddr;
  for (size_t i = 0; ph && i < n; i++)
    if (ph[i].p_type == PT_INTERP) return (const char *)(base + ph[i].p_vaddr);
  return NULL;
}

/* --- the program --- */
static long pread_raw(int fd, void *buf, size_t n, uint64_t at) { return raw4(SYS_pread64, fd, (long)buf, (long)n, (long)at); }

static int same_interp(const char *interp) {
  struct stat a, b;
  const char *own = own_interp();
  if (!own || !strcmp(interp, own)) return 1;
  return raw_stat(AT_FDCWD, interp, &a, 0) == 0 && raw_stat(AT_FDCWD, own, &b, 0) == 0 && a.st_dev == b.st_dev && a.st_ino == b.st_ino;
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
/* The names of the first libraries needed, mostly with one read: they lie together. */
static int refuses_preload(int fd, const struct segments *g) {
  Elf64_Dyn d[DYNAMIC_MAX];
  uint64_t strings = 0, low = UINT64_MAX, have = 0;
  char names[NAMES_BYTES], one[24];
  long got = g->dynamic.p_filesz ? pread_raw(fd, d, g->dynamic.p_filesz < sizeof d ? g->dynamic.p_filesz : sizeof d, g->dynamic.p_offset) : 0;
  size_t n = got > 0 ? (size_t)got / sizeof *d : 0;
  for (size_t i = 0; i < n && d[i].d_tag != DT_NULL; i++) {
    if (d[i].d_tag == DT_STRTAB) strings = file_offset(g, d[i].d_un.d_ptr);
    else if (d[i].d_tag == DT_NEEDED && d[i].d_un.d_val < low) low = d[i].d_un.d_val;
  }
  if (!strings || low == UINT64_MAX) return 0;
  long r = pread_raw(fd, names, sizeof names, strings + low);
  if (r > 0) have = (uint64_t)r;
  for (size_t i = 0; i < n && d[i].d_tag != DT_NULL; i++) {
    if (d[i].d_tag != DT_NEEDED) continue;
    uint64_t at = d[i].d_un.d_val - low;
    const char *name = names + at;
    if (at >= have || have - at < sizeof one) {
      r = pread_raw(fd, one, sizeof one - 1, strings + d[i].d_un.d_val);
      one[r > 0 ? r : 0] = 0;
      name = one;
    }
    if (is_first_or_nothing(name)) return 1;
  }
  return 0;
}

/* head: the file's first `have` bytes, where program headers and interpreter mostly lie. */
static int part_of_file(int fd, const char *head, size_t have, void *to, size_t n, uint64_t at) {
  if (at <= have && n <= have - at) return memcpy(to, head + at, n), 1;
  return pread_raw(fd, to, n, at) == (long)n;
}
static enum program elf_program(int fd, const char *head, size_t have) {
  char interp[INTERP_MAX] = "";
  struct segments g = {.loads = 0};
  Elf64_Ehdr h;
  memcpy(&h, head, sizeof h);
  if (h.e_ident[EI_CLASS] != ELFCLASS64 || h.e_machine != OUR_MACHINE || h.e_phentsize != sizeof(Elf64_Phdr)) return PROGRAM_FOREIGN;
  for (unsigned i = 0; i < h.e_phnum && i < PHDRS_MAX; i++) {
    Elf64_Phdr p;
    if (!part_of_file(fd, head, have, &p, sizeof p, h.e_phoff + i * sizeof p)) return PROGRAM_ODD;
    if (p.p_type == PT_DYNAMIC) g.dynamic = p;
    else if (p.p_type == PT_LOAD && g.loads < LOADS_MAX) g.load[g.loads++] = p;
    else if (p.p_type == PT_INTERP) {
      if (p.p_filesz < 2 || p.p_filesz > sizeof interp) return PROGRAM_FOREIGN;
      if (!part_of_file(fd, head, have, interp, p.p_filesz, p.p_offset) || interp[p.p_filesz - 1]) return PROGRAM_FOREIGN;
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

static int gains_privilege(mode_t mode) { return (mode & S_ISUID) || (mode & (S_ISGID | S_IXGRP)) == (S_ISGID | S_IXGRP); }

/* The daemon has a verdict about this very file, and verdicts are given only to programs that had us in them. */
static int ran_with_us(int dirfd, const char *path) {
  const struct vr_vdir *v = __atomic_load_n(&shim.vdir, __ATOMIC_ACQUIRE);
  struct stat st;
  if (!v || shim.reads_off || raw_stat(dirfd, path, &st, 0) || !S_ISREG(st.st_mode) || gains_privilege(st.st_mode)) return 0;
  struct vr_program file = {.dev = st.st_dev, .ino = st.st_ino, .size = (uint64_t)st.st_size, .mtime = (uint64_t)st.st_mtim.tv_sec,
                            .mtime_ns = (uint32_t)st.st_mtim.tv_nsec, .ctime = (uint64_t)st.st_ctim.tv_sec, .ctime_ns = (uint32_t)st.st_ctim.tv_nsec};
  return vr_program_verdict(v, &file) != VR_PROGRAM_UNKNOWN;
}

static enum program program_at(int dirfd, const char *path, int depth) {
  _Alignas(Elf64_Ehdr) char head[HEAD_BYTES];
  struct stat st;
  if (ran_with_us(dirfd, path)) return PROGRAM_SEEN;
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
  } else if (gains_privilege(st.st_mode) || raw4(SYS_fgetxattr, fd, (long)"security.capability", 0, 0) > 0)
    result = PROGRAM_SECURE;
  else if (n >= (long)sizeof(Elf64_Ehdr) && !memcmp(head, ELFMAG, SELFMAG)) result = elf_program(fd, head, (size_t)n);
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
  return (off && !strcmp(off, "0")) || (preload && strstr(preload, "fakeroot")) || (root && strcmp(root, shim.root)) || !shim.own_lib;
}
int shim_env_reaches(char *const envp[]) {
  size_t n;
  return !left_alone(envp) && shim_find_own(value_of(envp, "LD_PRELOAD"), &n) && value_of(envp, "VRIFT_ROOT") && value_of(envp, "VRIFT_PROJECT_RUN");
}

static int is_var(const char *entry, const char *name) {
  size_t n = strlen(name);
  return !strncmp(entry, name, n) && entry[n] == '=';
}

/* The user's preloads with ours behind them, or, for a foreign loader that would refuse ours, without. NULL: nothing left of it. */
static char *preload_for(struct exec_env *e, char *entry, int foreign) {
  size_t n, total = strlen(entry);
  const char *own = shim_find_own(entry + 11, &n);
  if (!foreign && own) return entry;
  if (foreign && !own) return entry;
  if (foreign) {
    size_t before = (size_t)(own - entry), after = total - before - n;
    if (total >= sizeof e->preload) return entry;
    memcpy(e->preload, entry, before);
    memcpy(e->preload + before, own + n, after + 1);
    return e->preload[11] == 0 ? NULL : e->preload;
  }
  size_t lib = strlen(shim.own_lib);
  if (total + lib + 2 > sizeof e->preload) return entry;
  memcpy(e->preload, entry, total);
  size_t at = total;
  if (total > 11) e->preload[at++] = ':';
  memcpy(e->preload + at, shim.own_lib, lib + 1);
  return e->preload;
}

/* Another user now, or in another root: can the program's loader still open our file? It would complain on the user's terminal. */
static int out_of_reach(void) {
  uid_t now = (uid_t)raw0(SYS_geteuid);
  struct stat st;
  if (shim.reads_off != VR_STAT_NATIVE_CREDENTIALS && now == getauxval(AT_EUID)) return 0;
  int fd = raw_open(AT_FDCWD, shim.own_lib, O_RDONLY | O_CLOEXEC, 0);
  if (fd < 0) return fd == -EACCES || fd == -ENOENT || fd == -ENOTDIR;
  int known = raw_fstat(fd, &st) == 0;
  raw_close(fd);
  return known && now && now != st.st_uid && !(st.st_mode & S_IROTH); /* capabilities that were kept end with the exec */
}

void shim_env_plan(struct exec_env *e, char *const envp[], char **vector, enum program program, int spawn) {
  e->envp = (char **)(uintptr_t)envp;
  e->reaches = 0;
  if (left_alone(envp) || !vector) return;
  size_t n = 0, own;
  int preload = 0, root = 0, run = 0, bare = 1, foreign = program == PROGRAM_FOREIGN || out_of_reach();
  for (char *const *v = envp; v && *v; v++) {
    char *entry = *v;
    if (is_var(entry, "LD_PRELOAD") && !preload) {
      preload = 1;
      if (!(entry = preload_for(e, entry, foreign))) continue;
      e->reaches = shim_find_own(entry + 11, &own) != NULL;
    } else if (is_var(entry, "VRIFT_NEED")) continue;
    else if (is_var(entry, "VRIFT_ROOT")) root = 1;
    else if (is_var(entry, "VRIFT_PROJECT_RUN")) run = 1;
    else if (is_var(entry, "PATH")) bare = 0;
    vector[n++] = entry;
  }
  /* An environment without PATH was emptied on purpose: the program does not get to see what follows. (With one it may be a whole build, whose
   * system() starts a shell with what the program has.) */
  if (bare && !foreign && program == PROGRAM_SEEN) vector[n++] = (char *)(uintptr_t)SHIM_REST_IS_OURS;
  if (!preload && !foreign) {
    vector[n++] = shim.var_preload;
    e->reaches = 1;
  }
  if (!root) vector[n++] = shim.var_root;
  if (!run) vector[n++] = shim.var_run;
  if (shim.var_verify && !value_of(envp, "VRIFT_VERIFY")) vector[n++] = shim.var_verify;
  if (shim.var_verify_log && !value_of(envp, "VRIFT_VERIFY_LOG")) vector[n++] = shim.var_verify_log;
  if (shim.var_trace && !value_of(envp, "VRIFT_TRACE")) vector[n++] = shim.var_trace;
  /* What this process knows from outside is handed on only if the VDir says that it misses nothing itself (leaky programs do), and only to
   * a program that reads it: another could learn things and then become one that does. Without it the child's every change would name G. */
  if (program == PROGRAM_SEEN) {
    if (!shim.vdir && !shim_need_unsatisfied()) shim_want_vdir();
    if (shim_need_token(e->need, spawn) > 0) vector[n++] = e->need;
  }
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
