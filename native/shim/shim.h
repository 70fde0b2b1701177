/* Inside of the InceptionLayer. One process-wide state, no locks, no allocation after init. Files: see ARCHITECTURE.md. */
#ifndef SHIM_H
#define SHIM_H
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <sys/types.h>
#include "vr_vdir.h"

#define HIDDEN __attribute__((visibility("hidden")))
#define EXPORT __attribute__((visibility("default")))
#define SHIM_PATH_MAX 4096
/* A page that is touched is paid for, more than all that is done with it in a short process. What every process touches lies together, at the
 * front of .bss (it is sorted by name), where the end of the page of .data is left. What a process touches that asks about its project and has
 * a few descriptors is one page more, WARM: of tables it has the first entries, the others are far. Then what is larger and touched at its
 * beginning only. A test holds all to that (native/test/house_test.sh). */
#define HOT_BSS __attribute__((section(".bss.0hot")))
#define STATE_BSS __attribute__((section(".bss.1state")))
#define WARM_FIRST_BSS __attribute__((section(".bss.warm0")))
#define WARM_BSS __attribute__((section(".bss.warm1")))
#define WARM_LAST_BSS __attribute__((section(".bss.warm2")))
#define NEAR_BSS __attribute__((section(".bss.3near")))
#define FAR_BSS __attribute__((section(".bss.4far")))

#define SHIM_LIBRARY_MAX 1024 /* bytes of our own file's name */

struct shim_state {
  int ready;           /* 0: before the constructor (raw system calls only), 1: ready, -1: off for this process */
  pid_t pid;           /* getpid() at init or after fork; a vfork child has another */
  uint32_t root_len;
  const char *root, *project_run; /* VRIFT_ROOT, VRIFT_PROJECT_RUN; they never move */
  uint64_t root_dev;   /* 0 until mapped */
  const struct vr_vdir *vdir; /* NULL: none mapped. Load it once per call: it may be replaced, what it points to never is */
  uint32_t verify, trace_fd_wanted, early_calls, leaky; /* leaky: 0 classified as seen, 1 unknown or leaky */
  uint32_t unrecorded; /* a change was made while no board existed */
  uint32_t reads_off;  /* 0, or the VR_STAT_NATIVE_* because of which this process reads natively from now on */
  /* Of the environment at the start, which programs may overwrite: "NAME=value" each, NULL: not set. */
  char *var_preload, *var_root, *var_run, *var_verify, *var_verify_log, *var_trace;
  const char *own_lib; /* our file as LD_PRELOAD has it; NULL: not there */
  struct vr_board board; /* base NULL: none mapped. A successor is mapped over it, at the same address. Last, for its header's end is never touched */
};
extern struct shim_state shim HIDDEN;
static inline int shim_active(void) { return __builtin_expect(shim.ready > 0, 1); }

/* Could it be a program's pointer? What is not is left to the kernel, which says EFAULT. (A pointer into nothing between the two ends is
 * not found out: docs/LIMITS.md.) */
static inline int shim_text(const void *p) { return __builtin_expect((uintptr_t)p - 4096 < (1ull << 56) - 4096, 1); } /* 56 bits: five-level paging */

/* next_symbol.c: in the constructor, when only the libraries of the start are there. */
HIDDEN void shim_remember_libraries(void);
/* ops_proc.c: the program ended by itself. */
HIDDEN void shim_ending(void);
/* init.c: first thing in the child of a fork: pid, counters. */
HIDDEN void shim_forked(void);

/* map.c: maps what is missing. Cheap when mapped; remaps when superseded. 1: that part is mapped. */
HIDDEN int shim_want_board(void);
HIDDEN int shim_look_for_board(void); /* the same for one that only asks: seldom, while there is none */
HIDDEN int shim_want_vdir(void);
HIDDEN uint64_t shim_now(void);
/* Credentials, namespaces or root changed: this process asks the kernel from now on. */
HIDDEN void shim_reads_off(uint32_t reason);
/* From now on nothing but the program's own calls is made in this process. */
HIDDEN void shim_off(void);
/* fdtab.c, called after a successor of the board was mapped: what is HELD is not in the new one. */
HIDDEN void shim_board_replaced(void);

/* ask.c. For hooks that only want to know whether a path is surely absent (open O_RDONLY, opendir, fopen "r"): ENOENT or ENOTDIR,
 * counted as a question answered; or 0: make the real call (a staged file at the path has then been promoted). Follows links. */
HIDDEN int shim_known_absent(int dirfd, const char *path);
/* ops_mutate.c: the mutating half of syscall(). 1: *result is libc's result (errno set); 0: not one of them. */
HIDDEN int shim_syscall_mutate(long number, const long args[6], long *result);

/* edge.c: something from outside became known to this process. */
HIDDEN void shim_edge(void);
HIDDEN void shim_edge_fd(int fd); /* only if fd is not a regular file or directory */
HIDDEN int shim_need_unsatisfied(void);
/* What this process knows, for the program it is about to start: "VRIFT_NEED=…" for the new environment, so that its start is no
 * edge. spawn: 1 when the child is made by libc (posix_spawn), 0 when the calling process itself execs. Length, or 0: pass nothing
 * (and drop any that is there). Never given to a BLIND program. */
#define SHIM_NEED_MAX 96
HIDDEN int shim_need_token(char out[SHIM_NEED_MAX], int spawn);

/* path.c. dirfd AT_FDCWD or a descriptor. Result: >= 0 length of the path relative to the root, written to rel[SHIM_PATH_MAX];
 * SHIM_OUTSIDE: lexically outside; SHIM_ODD: a form memory does not answer (.., trailing slash, unknown dirfd, too long). */
enum { SHIM_OUTSIDE = -1, SHIM_ODD = -2 };
HIDDEN int shim_resolve(int dirfd, const char *path, char *rel);
/* The same for readers: *rel points into path or buf (not ended by a zero); a trailing slash is taken off and *dir set; leading ".." of a path
 * relative to a known directory are resolved. */
HIDDEN int shim_resolve_read(int dirfd, const char *path, char *buf, const char **rel, int *dir);
HIDDEN void shim_cwd_changed(void);
/* After a directory was opened: remembers its real path, for questions relative to the descriptor. */
HIDDEN void shim_dir_opened(int fd, int dirfd, const char *path);

/* intent.c: names the real slots of what a mutator touches (section 4, "Real paths"): path and its parent. flags: SHIM_DIR names G if
 * the path is, or may be, a directory. */
enum { SHIM_DIR = 1, SHIM_FOLLOW = 2 };
HIDDEN void shim_intent_path(struct vr_intent *in, int dirfd, const char *path, int flags);
HIDDEN void shim_intent_fd(struct vr_intent *in, int fd);
/* Begin and end around the real call. mut_begin returns a token for mut_end (SHIM_MUT_NONE: outside the project). errno is kept. */
enum { SHIM_MUT_NONE = -2 };
HIDDEN int shim_mut_begin(struct vr_intent *in);
HIDDEN void shim_mut_end(int token);

/* fdtab.c: one atomic 64-bit word per descriptor below SHIM_FD_MAX. Kinds: unknown, other, regular (read), directory (path id),
 * writable in the project (HELD record index), staged (staged record index + HELD record index). dup'ed descriptors share a
 * reference-counted held object. All of it is a no-op in a vfork child. */
#define SHIM_FD_MAX 65536
HIDDEN int shim_in_vfork_child(void);
HIDDEN void shim_fd_opened_write(int fd, int mut_token);         /* after a real open for writing: HELD */
HIDDEN void shim_fd_opened_dir(int fd, const char *rel, int len); /* remembers the path of a directory descriptor */
HIDDEN void shim_fd_opened_other(int fd, int regular);
enum { SHIM_FD_UNKNOWN, SHIM_FD_OTHER, SHIM_FD_REGULAR, SHIM_FD_DIR, SHIM_FD_WRITE, SHIM_FD_STAGED };
HIDDEN int shim_fd_kind(int fd);                                  /* UNKNOWN also for numbers out of range */
HIDDEN void shim_fd_forget(int fd);                               /* before something else closes it (closedir) */
HIDDEN int shim_fd_dir_path(int fd, char *rel);                   /* length or -1 */
HIDDEN int shim_close(int fd, int (*real)(int));                  /* the whole life-cycle rule: commit, real close, release */
HIDDEN void shim_fd_duped(int from, int to);
HIDDEN void shim_fd_will_replace(int to);                         /* before dup2/dup3 onto it */
/* A staged object has exactly one descriptor: every dup, F_DUPFD, fork, exec, SCM_RIGHTS promotes first. Called by staging.c only: */
HIDDEN void shim_fd_opened_staged(int fd, int staged_index, int held_record, uint64_t ino);
HIDDEN uint32_t shim_fd_expected(void); /* the number that the next open will probably get */
HIDDEN void shim_fd_unstaged(int fd); /* promoted or demoted: from now on plain HELD with the same record */

/* staging.c */
HIDDEN int shim_stage_open(int dirfd, const char *path, int flags, mode_t mode); /* fd (already in fdtab), or -1 with errno == 0: not staged, go on natively */
HIDDEN int shim_stage_commit(int staged_index, int fd, int (*real_close)(int)); /* result of close; the caller then releases HELD */
HIDDEN void shim_stage_closed_unseen(int staged_index, int fd);    /* before its HELD is released: the number is another file's now, so what was written is complete */
HIDDEN void shim_stage_promote_fd(int fd);                        /* dup, fork, mmap shared, SCM_RIGHTS, fflush, replace by dup2 */
HIDDEN void shim_stage_lock_fd(int fd);                           /* before flock, lockf, fcntl locks: keeps the inode of the real file */
HIDDEN void shim_stage_sync_fd(int fd);                           /* before the fsync family: promotes, syncs the parent */
HIDDEN void shim_stage_promote_all(void);                         /* fork, exec, spawn, exit */
HIDDEN void shim_stage_promote_rel(const char *rel, int len);     /* anybody's staged file at this path; cheap when none is staged */
HIDDEN void shim_promote_path(int dirfd, const char *path);         /* the same for any spelling; resolves it if something is staged (ops_open.c) */
HIDDEN void shim_stage_promote_link(const char *rel, int len);    /* what the symlinks that end this path lead to (ops_open.c) */
HIDDEN void shim_stage_promote_children(const char *rel, int len);/* staged files whose parent is this directory: opendir, rmdir */
HIDDEN void shim_stage_promote_in(uint64_t dev, uint64_t ino);    /* the same for any spelling of the directory */
HIDDEN void shim_stage_end(void);                                 /* everything to its place, and nothing is staged in this process any more */
HIDDEN void shim_stage_locked(int fd);                            /* the process has a lock on this file: it keeps its inode */
HIDDEN void shim_fd_inherited(void);                              /* first process of a command: what it was given open for writing is recorded */
HIDDEN int shim_stage_any(void);                                  /* anything staged by anybody? */
HIDDEN void shim_stage_promote_below(const char *rel, int len);   /* staged files anywhere below: rename, chmod of a directory */

/* exec.c */
HIDDEN char **shim_exec_env(const char *file, char *const envp[], char **storage, size_t cap); /* re-injects */
HIDDEN int shim_exec_blind(const char *file, pid_t pid);          /* publishes BLIND if needed; record or -1 */

/* report.c */
HIDDEN void shim_count(uint32_t reason);
HIDDEN void shim_count_flush(void);
HIDDEN void shim_trace(const char *what, const char *path, const char *result);
#endif
