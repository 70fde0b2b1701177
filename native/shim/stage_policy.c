/* What is never staged, by flags, name and program. Conservative: what is not clearly an output written once passes through. */
#include <string.h>
#include "staging.h"
#include "vr_sys.h"

extern char *program_invocation_short_name;

int stage_flags_ok(int flags) {
  int access = flags & O_ACCMODE;
  if (access != O_WRONLY && access != O_RDWR) return 0;
  if (!(flags & (O_TRUNC | O_CREAT))) return 0;
  /* O_NOFOLLOW would stay visible in F_GETFL, and natively refuses links: pass it through. */
  return !(flags & (O_EXCL | O_APPEND | (O_TMPFILE & ~O_DIRECTORY) | O_DIRECTORY | O_SYNC | O_DSYNC | O_DIRECT | O_PATH | O_NOFOLLOW | O_ASYNC));
}

static int is_one_of(const char *name, const char *const *list) {
  for (; *list; list++)
    if (!strcmp(name, *list)) return 1;
  return 0;
}
static int ends(const char *name, uint32_t len, const char *tail) {
  uint32_t n = (uint32_t)strlen(tail);
  return len > n && !memcmp(name + len - n, tail, n);
}
static int ends_one_of(const char *name, uint32_t len, const char *const *list) {
  for (; *list; list++)
    if (ends(name, len, *list)) return 1;
  return 0;
}
static int begins(const char *name, const char *head) { return !strncmp(name, head, strlen(head)); }
static int has(const char *name, const char *part) { return strstr(name, part) != NULL; }

/* Shells and tee: the descriptor outlives the command that made it, or is written line by line for a reader. */
static const char *const SHELLS[] = {"sh", "bash", "rbash", "dash", "ash", "zsh", "ksh", "ksh93", "mksh", "lksh", "yash", "fish", "csh", "tcsh",
                                     "busybox", "toybox", "tee", "script", "nohup", "xonsh", "nu", "pwsh", NULL};
/* Their outputs are complete at close and nobody waits for the first bytes. */
/* Aligned: it is the first of what the linker puts before .data (by name), so that all of that and what every process touches (shim.h, HOT_BSS) is one
 * page, wherever the code ends. */
static const char *const COMPILERS[] __attribute__((aligned(4096))) = {"as", "ld", "ld.bfd", "ld.gold", "gold", "ld.lld", "lld", "mold", "ld.mold", "ar", "ranlib", "strip", "objcopy",
                                        "cc1", "cc1plus", "cc1obj", "f951", "collect2", "lto1", "lto-wrapper", "clang", "clang++", "rustc", "javac",
                                        "x86_64-linux-gnu-as", "x86_64-linux-gnu-ar", "x86_64-linux-gnu-ld.bfd", "x86_64-linux-gnu-ld.gold", NULL};
static uint32_t program_class HOT_BSS; /* 0 not asked, 1 staged, 2 never staged, 3 compiler; every thread finds the same */

static uint32_t program(void) {
  uint32_t known = __atomic_load_n(&program_class, __ATOMIC_RELAXED);
  if (known) return known;
  const char *called = program_invocation_short_name ? program_invocation_short_name : "";
  if (*called == '-') called++; /* a login shell */
  if (is_one_of(called, COMPILERS)) { /* no need to ask /proc, whose first use is dear in a short process */
    __atomic_store_n(&program_class, 3, __ATOMIC_RELAXED);
    return 3;
  }
  char path[512];
  long n = vr_readlinkat(AT_FDCWD, "/proc/self/exe", path, sizeof path - 1);
  path[n > 0 ? n : 0] = 0;
  const char *exe = strrchr(path, '/');
  exe = exe ? exe + 1 : path;
  if (n <= 0 || is_one_of(exe, SHELLS) || is_one_of(called, SHELLS) || begins(exe, "zsh-") || begins(exe, "bash-")) known = 2;
  else known = is_one_of(exe, COMPILERS) ? 3 : 1;
  __atomic_store_n(&program_class, known, __ATOMIC_RELAXED);
  return known;
}

int stage_program_ok(void) { return program() != 2; }

static const char *const NEVER_DIRS[] = {".git", ".hg", ".svn", ".jj", ".vrift", ".bzr", "CVS", NULL};
static const char *const NEVER_NAMES[] = {"4913", "nohup.out", "LOCK", "lock", "lockfile", "DEADJOE", ".ninja_log", ".ninja_deps", ".netrc", ".pgpass",
                                          ".npmrc", ".pypirc", ".htpasswd", "credentials", "secrets", "shadow", NULL};
/* Logs, pid, port, socket and lock files; databases and their journals; editors' and compilers' temporaries; keys. */
static const char *const NEVER_ENDS[] = {
    ".log", ".pid", ".port", ".sock", ".socket", ".lock", ".lck", ".fifo", ".db", ".sqlite", ".sqlite3", ".mdb", ".ldb", ".sst", ".wal", "-wal", "-shm",
    "-journal", ".journal", ".kch", ".rdb", ".aof", ".ibd", "~", ".swp", ".swo", ".swx", ".tmp", ".temp", ".bak", ".orig", ".part", ".partial",
    ".crdownload", ".rcgu.o", ".pem", ".key", ".p12", ".pfx", ".jks", ".keystore", ".kdbx", ".gpg", ".asc", ".ppk", ".ovpn", "_rsa", "_ed25519", "_ecdsa", "_dsa",
    ".out.log", NULL};

/* st?????? of ar and strip, cc?????? of gcc: six random letters after the prefix. */
static int is_compiler_temporary(const char *base, uint32_t len) {
  if ((len == 8 && begins(base, "st")) || (len >= 8 && begins(base, "cc") && (base[8] == '.' || !base[8]))) {
    int mixed = 0; /* "stdarg.h" and "cc1plus" are words, "stQx71Rz" is not */
    for (uint32_t i = 2; i < 8; i++) {
      char c = base[i];
      if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9'))) return 0;
      if ((c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9')) mixed = 1;
    }
    return mixed;
  }
  return has(base, ".tmp") || has(base, "-tmp") || begins(base, "tmp") || begins(base, ".tmp");
}

static int is_secret(const char *base) {
  return begins(base, ".env") || begins(base, "id_") || has(base, "secret") || has(base, "password") || has(base, "private_key") || begins(base, ".secret");
}

/* rel is NUL-terminated at len. */
int stage_name_ok(const char *rel, uint32_t len) {
  if (!len || len >= VR_STAGE_PATH_MAX) return 0;
  uint32_t start = 0;
  for (uint32_t i = 0; i < len; i++) {
    if (rel[i] != '/') continue;
    char part[16];
    uint32_t n = i - start;
    if (n < sizeof part) {
      memcpy(part, rel + start, n);
      part[n] = 0;
      if (is_one_of(part, NEVER_DIRS)) return 0;
      /* target/debug/deps/rustcAbCdEf/: rustc's scratch directory */
      if (n == 11 && begins(part, "rustc")) return 0;
    }
    start = i + 1;
  }
  const char *base = rel + start;
  uint32_t n = len - start;
  if (n == 0 || is_one_of(base, NEVER_DIRS) || is_one_of(base, NEVER_NAMES) || ends_one_of(base, n, NEVER_ENDS)) return 0;
  if (begins(base, ".#") || (base[0] == '#' && base[n - 1] == '#') || begins(base, ".nfs") || begins(base, ".fuse_hidden")) return 0;
  if (has(base, ".db-") || has(base, ".sqlite-") || has(base, ".log.") || has(base, ".lock.")) return 0;
  return !is_secret(base) && !is_compiler_temporary(base, n);
}

static const char *const PRODUCT_ENDS[] = {".o",   ".obj", ".a",   ".so",  ".lo", ".d",   ".rlib", ".rmeta", ".class", ".pyc", ".gch",
                                           ".pch", ".pcm", ".dwo", ".gcno", ".s",  ".ii",  ".bc",   ".ll",    ".jar",   ".wasm", NULL};
int stage_is_product(const char *rel, uint32_t len) { return program() == 3 || ends_one_of(rel, len, PRODUCT_ENDS) || has(rel, ".so."); }
