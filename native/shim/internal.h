/* Shared by the reader's files only. */
#ifndef SHIM_INTERNAL_H
#define SHIM_INTERNAL_H
#include <sys/stat.h>
#include "shim.h"

/* A process maps the VDir only after this many questions about the project: a short one pays more for the page faults than it wins. */
#define SHIM_EARLY_CALLS 24
/* How often a process that found no VDir looks again. */
#define SHIM_RETRY_MAP_NS 50000000u
#define SHIM_RETRY_BAD_NS 20000000u   /* the same, of one that could not be used: mapping it is dear */
#define SHIM_RETRY_BOARD_NS 10000000u /* between looks for a board by who only asks: each is a system call */
/* How often a process whose program has no verdict yet looks again, in questions. */
#define SHIM_RECLASSIFY_EVERY 64

/* A mapped VDir and this process's need in it (its drain numbers mean nothing in another). Written before it is published in
 * shim.vdir, except need, which only grows. */
struct shim_mapped {
  uint64_t need;
  uint64_t root_dev;
  struct {
    uint32_t uid, gid, ngroups, may_access, noexec, readonly, synchronous, dac_override; /* may_access: real ids equal effective ids */
    uint32_t groups[64];
    uint32_t statx_ok; /* stx_mask holds nothing that an entry does not */
  } who;
  struct vr_vdir v; /* shim.vdir points here. Last, for its header's end is never touched */
};
static inline struct shim_mapped *shim_mapped_of(const struct vr_vdir *v) {
  return (struct shim_mapped *)((uintptr_t)v - offsetof(struct shim_mapped, v));
}
static inline const struct vr_vdir *shim_vdir(void) { return __atomic_load_n(&shim.vdir, __ATOMIC_ACQUIRE); }

/* exec.c: the entry of a separated list that is our library: start, or NULL. */
HIDDEN const char *shim_find_own(const char *list, size_t *len);
/* edge.c, report.c: at the start. */
HIDDEN void shim_edge_init(char *sync, char *need);
HIDDEN void shim_report_init(const char *trace, const char *verify_log);
HIDDEN void shim_report_forked(void);
/* edge.c: need of a VDir that is being mapped. */
HIDDEN uint64_t shim_first_need(const struct vr_vdir *v);
/* 1: the process that started this one had mapped these files, and vouches for our root and namespaces being the daemon's. */
HIDDEN int shim_vouched(uint64_t *vdir_id, uint64_t *board_id);
HIDDEN int shim_is_first(void); /* of a command: the launcher has just exec'ed us */
/* sigbus.c: from now on a mapping of ours that was cut off is no SIGBUS. */
HIDDEN void shim_bus_protect(void);
/* map.c */
HIDDEN void shim_classify(const struct vr_vdir *v);
/* libraries.c: how many libraries were named to dlopen, and the worst of the daemon's verdicts on them (SEEN: there are none). */
HIDDEN uint32_t shim_libraries_named(void);
HIDDEN uint32_t shim_libraries_verdict(const struct vr_vdir *v);
/* What of a row of programs[] tells a file from others. */
HIDDEN void shim_file_key(struct vr_program *key, const struct statx *x);
/* path.c: *rel of the working directory, as shim_resolve. */
HIDDEN int shim_cwd(char *rel);

/* ask.c. One question about one path. */
enum { ASK_FOLLOW = 1, ASK_COUNT_HITS_ONLY = 2 };
#define SHIM_TARGET_MAX 1024
struct shim_question {
  const struct vr_vdir *v; /* the VDir asked; NULL: none was */
  const char *rel;         /* the path that was asked about last, relative to the root, not zero ended; NULL: outside or unknown */
  int rel_len;
  struct vr_entry entry;   /* when FOUND */
  char target[SHIM_TARGET_MAX + 1]; /* when FOUND and a symlink */
  char buf[SHIM_PATH_MAX];
};
/* Asks memory. NATIVE: the reason is counted already and a staged file at the path is promoted; make the real call. Any other answer is
 * counted by the caller, under the reason that it deserves. */
HIDDEN enum vr_answer shim_ask(struct shim_question *q, const char *function, int dirfd, const char *path, int flags);
/* What the caller of a real call for an answer that memory gave, but not in the form wanted, does: counts, promotes. */
HIDDEN void shim_ask_native(struct shim_question *q, uint32_t reason);

/* verify.c: a question with both ways of answering it. memory: 0 and the answer in `m`, or -1: native. */
struct shim_check {
  const char *function, *path;
  struct shim_question *q;
  void *args, *m, *r;                             /* the call; its answer from memory; the real one */
  int (*memory)(struct shim_check *c);
  void (*real)(struct shim_check *c);
  const char *(*differ)(struct shim_check *c, char memory[64], char kernel[64]); /* NULL: equal; or the field's name */
};
/* Leaves the real answer in c->r. */
HIDDEN void shim_verify(struct shim_check *c);
HIDDEN void shim_number(char text[64], uint64_t value);
/* report.c */
HIDDEN void shim_report_diff(const char *function, const char *path, const char *field, const char *memory, const char *kernel);
/* ops */
HIDDEN int shim_do_stat(const char *function, int dirfd, const char *path, struct stat *buf, int flags);
HIDDEN int shim_do_statx(int dirfd, const char *path, int flags, unsigned mask, struct statx *buf);
HIDDEN int shim_do_access(const char *function, int dirfd, const char *path, int mode, int effective, int nofollow);
HIDDEN ssize_t shim_do_readlink(const char *function, int dirfd, const char *path, char *buf, size_t size);
#endif
