/* Libraries that a program loads while it runs. The daemon's verdict on a program covers what its file needs; a plug-in with system calls of its own
 * (a compiler written in Rust behind a node module) would make it leaky all the same. So each library named to dlopen is noted before it is
 * loaded, and its process is leaky until the daemon has said of each that it is not (docs/PROTOCOL.md section 7). */
#include <string.h>
#include "interpose_gen.h"
#include "internal.h"
#include "raw.h"

#define LOADED_MAX 256 /* different ones; with more the process stays leaky */

static struct {
  struct vr_program file; /* of the row only what tells a file from others; stored before `ready` */
  uint32_t ready;
} loaded[LOADED_MAX] FAR_BSS;
static uint32_t loaded_count HOT_BSS, loaded_unknown HOT_BSS; /* unknown: one was named that we cannot find by its name alone */

void shim_file_key(struct vr_program *key, const struct statx *x) {
  memset(key, 0, sizeof *key);
  key->dev = ((uint64_t)x->stx_dev_major & 0xfff) << 8 | ((uint64_t)x->stx_dev_major & ~0xfffull) << 32 | (x->stx_dev_minor & 0xff) |
             ((uint64_t)x->stx_dev_minor & ~0xffull) << 12;
  key->ino = x->stx_ino;
  key->size = x->stx_size;
  key->mtime = (uint64_t)x->stx_mtime.tv_sec;
  key->mtime_ns = x->stx_mtime.tv_nsec;
  key->ctime = (uint64_t)x->stx_ctime.tv_sec;
  key->ctime_ns = x->stx_ctime.tv_nsec;
}

/* What the C library brings itself, found by name wherever ld.so looks: nothing else answers to these names. */
static int of_libc(const char *name) {
  static const char names[][16] = {"libc.so.6", "libm.so.6", "libdl.so.2", "libpthread.so.0", "librt.so.1", "libgcc_s.so.1", "libutil.so.1"};
  for (size_t i = 0; i < sizeof names / sizeof *names; i++)
    if (!strcmp(name, names[i])) return 1;
  return 0;
}

uint32_t shim_libraries_named(void) { return __atomic_load_n(&loaded_count, __ATOMIC_SEQ_CST); }

uint32_t shim_libraries_verdict(const struct vr_vdir *v) {
  uint32_t n = shim_libraries_named();
  if (loaded_unknown || n > LOADED_MAX) return VR_PROGRAM_LEAKY;
  uint32_t worst = VR_PROGRAM_SEEN;
  for (uint32_t i = 0; i < n; i++) {
    uint32_t verdict = __atomic_load_n(&loaded[i].ready, __ATOMIC_ACQUIRE) ? vr_program_verdict(v, &loaded[i].file) : VR_PROGRAM_UNKNOWN;
    if (verdict == VR_PROGRAM_LEAKY) return verdict;
    if (verdict != VR_PROGRAM_SEEN) worst = VR_PROGRAM_UNKNOWN;
  }
  return worst;
}

static void note(const char *file) {
  struct statx x;
  struct vr_program key;
  if (!shim_active() || !file || !*file) return;
  if (!strchr(file, '/')) {
    if (of_libc(file)) return;
    __atomic_store_n(&loaded_unknown, 1, __ATOMIC_RELEASE);
    __atomic_fetch_add(&loaded_count, 1, __ATOMIC_SEQ_CST); /* a classification under way looks again */
  } else {
    if (raw_statx(AT_FDCWD, file, 0, STATX_BASIC_STATS, &x)) return; /* nor will it be loaded */
    shim_file_key(&key, &x);
    uint32_t n = __atomic_load_n(&loaded_count, __ATOMIC_ACQUIRE);
    for (uint32_t i = 0; i < n && i < LOADED_MAX; i++)
      if (__atomic_load_n(&loaded[i].ready, __ATOMIC_ACQUIRE) && !memcmp(&loaded[i].file, &key, sizeof key)) return;
    uint32_t at = __atomic_fetch_add(&loaded_count, 1, __ATOMIC_ACQ_REL);
    if (at >= LOADED_MAX) __atomic_store_n(&loaded_unknown, 1, __ATOMIC_RELEASE);
    else {
      loaded[at].file = key;
      __atomic_store_n(&loaded[at].ready, 1, __ATOMIC_RELEASE);
    }
  }
  const struct vr_vdir *v = shim_vdir();
  if (v && !__atomic_load_n(&shim.leaky, __ATOMIC_SEQ_CST)) shim_classify(v); /* else it is looked at when the process asks */
}

/* Notes the library; the function that loads it, for the hook to go on with. */
__attribute__((used)) void *shim_library_named(const char *file, int which) {
  int saved = errno;
  note(file);
  errno = saved;
  return which ? (HAVE(dlmopen) ? (void *)(uintptr_t)real.dlmopen : NULL) : (HAVE(dlopen) ? (void *)(uintptr_t)real.dlopen : NULL);
}

#if defined(__x86_64__)
/* dlopen looks at who called it (its RUNPATH, its namespace): a jump leaves the caller's return address where it is. */
#define GO_ON(file_at, which)                                                                               \
  __asm__("push %rdi\n push %rsi\n push %rdx\n mov " file_at ", %rdi\n mov $" which ", %esi\n"              \
          "call shim_library_named\n pop %rdx\n pop %rsi\n pop %rdi\n test %rax, %rax\n jz 1f\n jmp *%rax\n" \
          "1: ret\n")
__attribute__((naked)) void *hook_dlopen(const char *file __attribute__((unused)), int flags __attribute__((unused))) { GO_ON("%rdi", "0"); }
__attribute__((naked)) void *hook_dlmopen(Lmid_t space __attribute__((unused)), const char *file __attribute__((unused)), int flags __attribute__((unused))) {
  GO_ON("%rsi", "1");
}
#else
void *hook_dlopen(const char *file, int flags) {
  void *go_on = shim_library_named(file, 0);
  return go_on ? (real.dlopen)(file, flags) : NULL;
}
void *hook_dlmopen(Lmid_t space, const char *file, int flags) {
  void *go_on = shim_library_named(file, 1);
  return go_on ? (real.dlmopen)(space, file, flags) : NULL;
}
#endif
ALIASES_dlopen
ALIASES_dlmopen
