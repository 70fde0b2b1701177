/* What the writer's files (intent.c, fdtab.c, exec.c, ops_{open,fd,stdio,mutate,meta,exec,proc,misc}.c) share. */
#ifndef WRITER_H
#define WRITER_H
#include "interpose_gen.h"
#include "raw.h"

/* Is this process one that records what it does? Before the constructor and when off: only the real call. */
static inline int recording(void) { return shim_active(); }

/* intent.c. As shim_intent_path, by descriptor. flags: SHIM_DIR. */
HIDDEN void shim_intent_fd_as(struct vr_intent *in, int fd, int flags);
/* The path names an existing or future name inside the project (after an intent was made for it). */
static inline int intent_inside(const struct vr_intent *in) { return in->nslots > 0 || in->ino[0]; }
/* Names the parent directory of path only: mkstemp and the like, whose name is not known before. */
HIDDEN void shim_intent_parent(struct vr_intent *in, int dirfd, const char *path);
/* The real path relative to the root, a final link not followed: length, SHIM_OUTSIDE or SHIM_ODD. rel[SHIM_PATH_MAX]. */
HIDDEN int shim_real_rel(int dirfd, const char *path, char *rel);
/* ops_open.c: somebody's staged file at this path becomes visible before the real call looks. Nearly free when none is staged. */
HIDDEN int shim_token_record(int token); /* record index on the present board, or -1 */
HIDDEN void shim_token_add_path(int token, int dirfd, const char *path); /* one more path, after the fact: named and bumped */
HIDDEN void shim_token_keep(int token, uint32_t kind, uint64_t ino);
HIDDEN void shim_intent_cwd_moved(void);
/* Real path of an open descriptor relative to the root: length, SHIM_OUTSIDE, or SHIM_ODD when unknown. */
HIDDEN int shim_fd_real_rel(int fd, char *rel);

/* fdtab.c */
HIDDEN int shim_dup_begin(int from);                /* before a real dup: promotes, takes a reference; 0: nothing to share */
HIDDEN void shim_dup_end(int reference, int to);    /* after it; to < 0: it failed */
HIDDEN uint64_t shim_fd_take(int fd);               /* clears the word before something else closes the descriptor (fclose) */
HIDDEN int shim_fd_taken_staged(uint64_t word, int fd, int (*real_close)(int), int *result); /* 1: committed, *result is close's */
HIDDEN void shim_fd_taken_done(uint64_t word);      /* after that close: releases */
HIDDEN int shim_fd_is_held(int fd);                 /* its inode is named by a live record of ours that is not escaped */
HIDDEN void shim_fd_escape(int fd);                 /* its record is left to the daemon */
HIDDEN void shim_fd_escape_all(void);
HIDDEN uint32_t shim_fork_mark(void);               /* read before an open for writing: has a child been made meanwhile? */
HIDDEN void shim_fork_begin(void);                  /* around everything that makes a child or replaces the program */
HIDDEN void shim_fork_end(void);
HIDDEN void shim_fork_child(void);                  /* first thing in a child that is a process of its own */
HIDDEN void shim_watch_forked(void);                 /* the same, for what watches the project (watchers.c) */
HIDDEN void shim_fd_escape_inherited(void);         /* those without FD_CLOEXEC */
HIDDEN void shim_fd_opened_write_at(int fd, int token, uint32_t mark);
HIDDEN void shim_close_range(unsigned first, unsigned last, int (*real)(int)); /* the tracked ones in a range */

/* exec.c. How a program about to be run will appear to us. */
enum program { PROGRAM_SEEN, PROGRAM_STATIC, PROGRAM_FOREIGN, PROGRAM_SECURE, PROGRAM_ODD, PROGRAM_MISSING };
HIDDEN enum program shim_program(int dirfd, const char *path);
HIDDEN enum program shim_program_search(const char *file); /* along PATH, as execvp */
/* The environment handed on: storage for what is added lies on the caller's stack. */
#define EXEC_PRELOAD_MAX 4096
struct exec_env {
  char **envp;      /* what to pass */
  int reaches;      /* 1: the program will have us */
  void *mapped;     /* the vector, when too large for the stack */
  size_t mapped_size;
  char need[SHIM_NEED_MAX];
  char preload[EXEC_PRELOAD_MAX];
};
#define EXEC_EXTRA 9 /* variables we may add, and the end */
#define SHIM_REST_IS_OURS "VRIFT_OURS=" /* the entry before those that the program did not give: it and they are taken out again by the library's start */
HIDDEN size_t shim_env_count(char *const envp[]);
HIDDEN void shim_env_plan(struct exec_env *e, char *const envp[], char **vector, enum program program, int spawn);
HIDDEN int shim_env_reaches(char *const envp[]); /* would a child with exactly this environment have us? */
/* BLIND on G for this process, if the program cannot be seen. A token for shim_mut_end (exec failed) or shim_blind_child. */
HIDDEN int shim_blind_begin(void);
HIDDEN void shim_blind_child(int token, pid_t child);

HIDDEN long shim_confining_call(long number, const long arg[6]); /* ops_confine.c: seccomp, landlock, prctl; as libc returns */
/* ops_proc.c: before a child made by hand, with these CLONE_* flags. */
HIDDEN void shim_before_clone(unsigned long flags);
HIDDEN long shim_credentials_call(long number, long a, long b, long c); /* ops_proc.c: set*id and capset as raw calls; as libc returns */

#endif
