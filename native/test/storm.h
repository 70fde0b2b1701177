/* What the storm of killed clients has in common: contents that say what they are, and the page that driver and writer share. */
#ifndef STORM_H
#define STORM_H
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define STORM_HEAD 27u       /* bytes of "file version size" at the beginning */
#define STORM_SIZE_MAX 40000u
#define STORM_PATH 96

/* What a writer does; storm_ops.h. */
#define STORM_OPS(X) \
  X(REWRITE) X(CREATE) X(SAME) X(FSYNC) X(FORKED) X(RENAMED) X(STDIO) X(INHERITED) X(EXECED) X(UNSEEN_CLOSE) X(LINKED) X(NO_DESCRIPTOR) \
  X(LOCKED) X(MOVED_OPEN) X(UNLINKED_OPEN) X(LOOKED) X(REPLACED)
enum storm_op {
#define X(name) OP_##name,
  STORM_OPS(X)
#undef X
  OPS
};
static const char *const storm_op_names[OPS + 1] = {
#define X(name) #name,
    STORM_OPS(X)
#undef X
};

/* How far the writer is. Set in order, each before or after the call that it tells of; SIGKILL cannot take them back. */
enum {
  BEGUN = 1,
  SHOWING = 2,  /* a call that shows the file (fsync, fork, exec, lock, another's look) has begun */
  SHOWN = 4,    /* ... and returned: `shown` bytes are visible for good */
  CLOSING = 8,
  CLOSED = 16,  /* close returned 0 */
  NAMING = 32,  /* rename or unlink has begun */
  NAMED = 64,   /* ... and returned */
  UNSEEN = 128, /* closed by a call that the library cannot see */
  WANT_LOOK = 256,
  LOOKED_AT = 512,
  CHILD = 1024, /* a child has the descriptor and goes on */
  CHILD_DONE = 2048,
  ENDED = 4096,
  STAGED = 8192, /* the descriptor is on a staging file */
  PLAIN = 16384, /* the open was passed through */
};

/* One page per worker. */
struct storm_round {
  uint32_t go;       /* the writer starts */
  uint32_t stage;    /* bits above */
  uint32_t written;  /* bytes that write has taken */
  uint32_t shown;
  uint32_t op, file, version, old; /* old: version in the file before; 0: absent */
  uint32_t failed;   /* errno of a call that should not have failed */
  uint32_t exec;     /* the writer is a program of its own, with `fault` in its environment */
  char path[STORM_PATH]; /* relative to the root, which is the working directory */
  char fault[96];
};

static inline void storm_set(struct storm_round *r, uint32_t bits) { __atomic_fetch_or(&r->stage, bits, __ATOMIC_SEQ_CST); }
static inline uint32_t storm_get(struct storm_round *r) { return __atomic_load_n(&r->stage, __ATOMIC_SEQ_CST); }

static inline uint32_t storm_size(uint32_t file, uint32_t version) {
  uint32_t h = file * 2654435761u ^ version * 2246822519u;
  h ^= h >> 15;
  return STORM_HEAD + h % (h & 1 ? 400u : STORM_SIZE_MAX - STORM_HEAD);
}
/* The whole content of a version. Returns its size. */
static inline uint32_t storm_fill(char *to, uint32_t file, uint32_t version) {
  uint32_t size = storm_size(file, version);
  char head[STORM_HEAD + 1];
  snprintf(head, sizeof head, "%08x %08x %08x\n", file, version, size);
  memcpy(to, head, STORM_HEAD);
  for (uint32_t i = STORM_HEAD; i < size; i++) to[i] = (char)(file * 31 + version * 17 + i * 7 + (i >> 8));
  return size;
}

/* What lies at a path. */
enum sight { ABSENT, WHOLE, PART, OTHER }; /* PART: a beginning of *version; OTHER: no version of this file, nor a beginning of one */
static inline enum sight storm_look(const char *path, uint32_t file, uint32_t candidate, uint32_t *version, uint32_t *bytes) {
  static __thread char have[STORM_SIZE_MAX + 1], want[STORM_SIZE_MAX];
  *version = *bytes = 0;
  int fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
  if (fd < 0) return errno == ENOENT ? ABSENT : OTHER;
  ssize_t n = read(fd, have, sizeof have);
  close(fd);
  if (n < 0) return OTHER;
  *bytes = (uint32_t)n;
  unsigned f, v, s;
  if (n >= (ssize_t)STORM_HEAD && sscanf(have, "%8x %8x %8x\n", &f, &v, &s) == 3 && f == file) candidate = v;
  *version = candidate;
  uint32_t size = storm_fill(want, file, candidate);
  if ((uint32_t)n > size || memcmp(have, want, (size_t)n)) return OTHER;
  return (uint32_t)n == size ? WHOLE : PART;
}

static inline uint64_t storm_us(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (uint64_t)t.tv_sec * 1000000u + (uint64_t)t.tv_nsec / 1000;
}
#endif
