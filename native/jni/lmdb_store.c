/* The store over LMDB. See lmdb_store.h. Values: a vr_meta (op 0, checksum set), then the path if the key is a hash, then the symlink
 * target; key-values: u64 checksum, then the bytes. */
#include "lmdb_store.h"
#include "vr_fault.h"
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* LMDB 0.9's C interface, as far as it is used. */
typedef struct { size_t size; void *data; } lm_val;
typedef struct { void *address; size_t map_size, last_page, last_txn; unsigned max_readers, readers; } lm_envinfo;
#define MDB_NOSYNC 0x10000u
#define MDB_RDONLY 0x20000u
#define MDB_NOMETASYNC 0x40000u
#define MDB_NOLOCK 0x400000u
#define MDB_NOTFOUND (-30798)
#define MDB_CORRUPTED (-30796)
#define MDB_PAGE_NOTFOUND (-30797)
#define MDB_PANIC (-30795)
#define MDB_VERSION_MISMATCH (-30794)
#define MDB_INVALID (-30793)
#define MDB_MAP_FULL (-30792)
#define MDB_CURSOR_FIRST 0
#define MDB_CURSOR_NEXT 8
#define MDB_CURSOR_SET_RANGE 17

struct api {
  int (*env_create)(void **);
  int (*env_set_mapsize)(void *, size_t);
  int (*env_open)(void *, const char *, unsigned, mode_t);
  void (*env_close)(void *);
  int (*env_sync)(void *, int);
  int (*env_info)(void *, lm_envinfo *);
  int (*txn_begin)(void *, void *, unsigned, void **);
  int (*txn_commit)(void *);
  void (*txn_abort)(void *);
  int (*dbi_open)(void *, const char *, unsigned, unsigned *);
  int (*get)(void *, unsigned, lm_val *, lm_val *);
  int (*put)(void *, unsigned, lm_val *, lm_val *, unsigned);
  int (*del)(void *, unsigned, lm_val *, lm_val *);
  int (*cursor_open)(void *, unsigned, void **);
  int (*cursor_get)(void *, lm_val *, lm_val *, int);
  void (*cursor_close)(void *);
  char *(*strerror)(int);
};

#define MAP_LIMIT (16ull << 30)
#define PAGE_GUESS 4096u
#define LOCK_POLL_NS 10000000L
#define WHY_SIZE 320

struct lm_store {
  int status;
  char why[WHY_SIZE];
  void *library;
  struct api api;
  void *env;
  unsigned dbi;
  int lock_fd;
  uint64_t map_size;
  struct lm_seal seal;
};

static const uint8_t zero_position[LM_POSITION_SIZE];

static int fail(struct lm_store *s, int status, const char *what, const char *detail) {
  snprintf(s->why, sizeof s->why, "%.60s: %.250s", what, detail);
  return s->status = status;
}

static int mdb_fail(struct lm_store *s, const char *what, int rc) {
  int status = LM_IO;
  if (rc == MDB_MAP_FULL || rc == ENOSPC || rc == EDQUOT || rc == ENOMEM) status = LM_FULL;
  else if (rc == MDB_CORRUPTED || rc == MDB_PAGE_NOTFOUND || rc == MDB_PANIC || rc == MDB_VERSION_MISMATCH || rc == MDB_INVALID) status = LM_DAMAGED;
  return fail(s, status, what, s->api.strerror(rc));
}

static uint64_t kv_checksum(const uint8_t *key, size_t key_len, const uint8_t *value, size_t size) {
  return vr_hash64(value + 8, size - 8, vr_hash64(key, key_len, 0));
}

bool lm_record_good(const uint8_t *key, size_t key_len, const uint8_t *value, size_t size) {
  if (key_len < 1 || size < 8 || vr_rd8(value) != kv_checksum(key, key_len, value, size)) return false;
  if (key[0] == 'm') return true;
  if (size < VR_META_FIXED || (key[0] != 'e' && key[0] != 'h')) return false;
  struct vr_meta m;
  memcpy(&m, value, sizeof m);
  const struct vr_entry *e = vr_meta_entry(&m);
  return m.version == VR_META_VERSION && e->path_len <= 4095 && e->target_len <= 4095 &&
         size == VR_META_FIXED + (key[0] == 'h' ? e->path_len : 0u) + e->target_len && (key[0] == 'h' || e->path_len == key_len - 1);
}

static size_t entry_key(const char *path, size_t len, uint8_t key[LM_KEY_MAX]) {
  if (len <= LM_DIRECT_PATH) {
    key[0] = 'e';
    memcpy(key + 1, path, len);
    return len + 1;
  }
  uint64_t a = vr_hash64(path, len, 2), b = vr_hash64(path, len, 3);
  key[0] = 'h';
  memcpy(key + 1, &a, 8);
  memcpy(key + 9, &b, 8);
  return 17;
}

static int load_api(struct lm_store *s, const char *library) {
  s->library = dlopen(library, RTLD_NOW | RTLD_LOCAL);
  if (!s->library) return fail(s, LM_ABSENT, "liblmdb cannot be loaded", dlerror());
  static const char *const names[] = {"mdb_env_create", "mdb_env_set_mapsize", "mdb_env_open", "mdb_env_close", "mdb_env_sync",
                                      "mdb_env_info", "mdb_txn_begin", "mdb_txn_commit", "mdb_txn_abort", "mdb_dbi_open", "mdb_get",
                                      "mdb_put", "mdb_del", "mdb_cursor_open", "mdb_cursor_get", "mdb_cursor_close", "mdb_strerror"};
  _Static_assert(sizeof names / sizeof *names == sizeof(struct api) / sizeof(void *), "one name per function");
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
    void *f = dlsym(s->library, names[i]);
    if (!f) return fail(s, LM_ABSENT, "liblmdb lacks a function", names[i]);
    memcpy((char *)&s->api + i * sizeof f, &f, sizeof f);
  }
  return LM_OK;
}

/* Takes dir/lock. After the lock is ours the name must still be the file we locked: a predecessor may have set the directory aside. */
static int take_lock(struct lm_store *s, const char *dir, int wait_ms) {
  char path[4200];
  if (snprintf(path, sizeof path, "%s/lock", dir) >= (int)sizeof path) return fail(s, LM_ARGUMENT, "path too long", dir);
  struct timespec pause = {0, LOCK_POLL_NS};
  for (int waited = 0;; waited += 10) {
    int fd = open(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0) return fail(s, LM_IO, path, strerror(errno));
    struct stat a, b;
    if (flock(fd, LOCK_EX | LOCK_NB) == 0 && fstat(fd, &a) == 0 && stat(path, &b) == 0 && a.st_dev == b.st_dev && a.st_ino == b.st_ino) {
      s->lock_fd = fd;
      return LM_OK;
    }
    close(fd);
    if (waited >= wait_ms) return fail(s, LM_BUSY, "another process holds the lock", path);
    nanosleep(&pause, NULL);
  }
}

static int verify(struct lm_store *s, const char *dir) {
  char path[4200], why[WHY_SIZE / 2];
  snprintf(path, sizeof path, "%s/data.mdb", dir);
  int fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
  if (fd < 0) return errno == ENOENT ? LM_OK : fail(s, errno == ELOOP ? LM_DAMAGED : LM_IO, path, strerror(errno));
  int rc = lm_check(fd, why, sizeof why);
  close(fd);
  return rc ? fail(s, rc, "damaged", why) : LM_OK;
}

static int begin(struct lm_store *s, unsigned flags, void **txn) {
  int rc = s->api.txn_begin(s->env, NULL, flags, txn);
  return rc ? mdb_fail(s, "mdb_txn_begin", rc) : LM_OK;
}

static int open_env(struct lm_store *s, const char *dir) {
  struct api *m = &s->api;
  int rc = m->env_create(&s->env);
  if (rc) return mdb_fail(s, "mdb_env_create", rc);
  if ((rc = m->env_set_mapsize(s->env, s->map_size))) return mdb_fail(s, "mdb_env_set_mapsize", rc);
  /* Our own lock file and the owner's lock make LMDB's reader table and mutexes unnecessary. */
  if ((rc = m->env_open(s->env, dir, MDB_NOSYNC | MDB_NOMETASYNC | MDB_NOLOCK, 0600))) return mdb_fail(s, "mdb_env_open", rc);
  lm_envinfo info;
  m->env_info(s->env, &info);
  s->map_size = info.map_size;
  void *txn;
  if (begin(s, MDB_RDONLY, &txn)) return s->status;
  rc = m->dbi_open(txn, NULL, 0, &s->dbi);
  lm_val key = {sizeof LM_SEAL_KEY - 1, (void *)LM_SEAL_KEY}, value;
  if (!rc) {
    rc = m->get(txn, s->dbi, &key, &value);
    if (!rc && value.size == sizeof s->seal) memcpy(&s->seal, value.data, sizeof s->seal);
    if (rc == MDB_NOTFOUND) rc = 0;
  }
  /* A commit, though of nothing: an aborted transaction would take the handle opened in it with it. */
  int committed = m->txn_commit(txn);
  if (rc || committed) return mdb_fail(s, "opening the database", rc ? rc : committed);
  return LM_OK;
}

struct lm_store *lm_open(const char *dir, const char *library, uint64_t map_size, int wait_ms) {
  struct lm_store *s = calloc(1, sizeof *s);
  if (!s) return NULL;
  s->lock_fd = -1;
  s->map_size = map_size;
  if (load_api(s, library) || take_lock(s, dir, wait_ms) || verify(s, dir) || VR_FAULT(lmdb_verified) || open_env(s, dir)) return s;
  return s;
}

int lm_status_of(const struct lm_store *s) { return s->status; }
const char *lm_why(const struct lm_store *s) { return s->why; }

void lm_close(struct lm_store *s) {
  if (!s) return;
  if (s->env) s->api.env_close(s->env);
  if (s->lock_fd >= 0) close(s->lock_fd);
  /* liblmdb stays loaded: it holds no state of ours, and a later open finds it. */
  free(s);
}

/* ---- writing */
static int stored(struct lm_store *s, void *txn, lm_val *key, lm_val *value) {
  int rc = s->api.get(txn, s->dbi, key, value);
  if (rc == MDB_NOTFOUND) {
    value->size = 0;
    value->data = NULL;
    return LM_OK;
  }
  if (rc) return mdb_fail(s, "mdb_get", rc);
  if (!lm_record_good(key->data, key->size, value->data, value->size)) return fail(s, LM_DAMAGED, "damaged", "a record's checksum is wrong");
  return LM_OK;
}

/* Replaces (value.data not NULL) or removes a record and keeps the seal's numbers. old is what stored() found. */
static int replace(struct lm_store *s, void *txn, lm_val *key, const lm_val *old, lm_val *value, struct lm_seal *seal) {
  if (old->data) {
    seal->sum -= lm_digest(key->data, key->size, old->data, old->size);
    seal->count--;
  } else if (!value->data) {
    return LM_OK;
  }
  if (value->data) {
    seal->sum += lm_digest(key->data, key->size, value->data, value->size);
    seal->count++;
  }
  int rc = value->data ? s->api.put(txn, s->dbi, key, value, 0) : s->api.del(txn, s->dbi, key, NULL);
  return rc ? mdb_fail(s, value->data ? "mdb_put" : "mdb_del", rc) : LM_OK;
}

static bool same_file(const struct vr_meta *am, const struct vr_meta *bm) {
  const struct vr_entry *a = (const struct vr_entry *)am->entry, *b = (const struct vr_entry *)bm->entry;
  return (am->dev == bm->dev || !am->dev || !bm->dev) && a->ino == b->ino && a->size == b->size && a->mtime == b->mtime &&
         a->mtime_ns == b->mtime_ns && a->ctime == b->ctime && a->ctime_ns == b->ctime_ns;
}

/* One item of a batch. A PUT keeps the content known for the same version of the file; a CONTENT keeps the entry state. */
static int apply_item(struct lm_store *s, void *txn, const uint8_t *item, struct lm_seal *seal, uint8_t *scratch) {
  struct vr_meta m, before;
  memcpy(&m, item, sizeof m);
  struct vr_entry *e = vr_meta_entry(&m);
  uint8_t key_bytes[LM_KEY_MAX];
  const char *path = (const char *)item + VR_META_FIXED;
  lm_val key = {entry_key(path, e->path_len, key_bytes), key_bytes}, old, value = {0, NULL};
  int rc = stored(s, txn, &key, &old);
  if (rc) return rc;
  if (m.op != VR_META_OP_DELETE) {
    bool had = old.data != NULL;
    if (had) memcpy(&before, old.data, sizeof before);
    if (m.op == VR_META_OP_PUT) {
      bool keep = had && (before.flags & VR_META_FLAG_CONTENT) && same_file(&m, &before);
      m.flags = keep ? before.flags : 0;
      if (keep) memcpy(m.content, before.content, sizeof m.content);
      else memset(m.content, 0, sizeof m.content);
    } else if (had) {
      e->state = vr_meta_entry(&before)->state;
    }
    m.op = 0;
    e->seq = e->checksum = 0;
    e->path_hash = 0;
    size_t kept = key_bytes[0] == 'h' ? e->path_len : 0u;
    value.size = VR_META_FIXED + kept + e->target_len;
    value.data = scratch;
    m.length = (uint32_t)vr_meta_size(e->path_len, e->target_len);
    memcpy(scratch, &m, sizeof m);
    memcpy(scratch + VR_META_FIXED, path, kept);
    memcpy(scratch + VR_META_FIXED + kept, path + e->path_len, e->target_len);
    uint64_t sum = kv_checksum(key_bytes, key.size, scratch, value.size);
    memcpy(scratch, &sum, 8);
    if (had && old.size == value.size && memcmp(old.data, scratch, old.size) == 0) return LM_OK;
  }
  return replace(s, txn, &key, &old, &value, seal);
}

static int finish(struct lm_store *s, void *txn, struct lm_seal *seal) {
  seal->commits++;
  seal->checksum = vr_hash64((const uint8_t *)seal + 8, sizeof *seal - 8, LM_SEAL_SEED);
  lm_val key = {sizeof LM_SEAL_KEY - 1, (void *)LM_SEAL_KEY}, value = {sizeof *seal, seal};
  int rc = s->api.put(txn, s->dbi, &key, &value, 0);
  if (rc) {
    s->api.txn_abort(txn);
    return mdb_fail(s, "mdb_put", rc);
  }
  VR_FAULT(lmdb_sealed);
  rc = s->api.txn_commit(txn);
  if (rc) return mdb_fail(s, "mdb_txn_commit", rc);
  VR_FAULT(lmdb_committed);
  s->seal = *seal;
  return LM_OK;
}

/* The map grows before it is 80 % full. Only legal without a transaction. */
static int make_room(struct lm_store *s, size_t bytes, bool anyway) {
  lm_envinfo info;
  s->api.env_info(s->env, &info);
  uint64_t wanted = info.last_page * PAGE_GUESS + 3 * (uint64_t)bytes + (1u << 20), size = s->map_size;
  if (anyway) size *= 2;
  while (wanted > size / 5 * 4) size *= 2;
  if (size == s->map_size) return LM_OK;
  if (size > MAP_LIMIT) return fail(s, LM_FULL, "the metadata of this project exceed the limit", "16 GiB");
  VR_FAULT(lmdb_growing);
  int rc = s->api.env_set_mapsize(s->env, size);
  if (rc) return mdb_fail(s, "mdb_env_set_mapsize", rc);
  s->map_size = size;
  return LM_OK;
}

static int apply_once(struct lm_store *s, const uint8_t *items, size_t length) {
  void *txn;
  uint8_t scratch[VR_META_FIXED + 2 * 4096];
  struct lm_seal seal = s->seal;
  if (begin(s, 0, &txn)) return s->status;
  VR_FAULT(lmdb_begun);
  for (size_t at = 0; at < length;) {
    int rc = apply_item(s, txn, items + at, &seal, scratch);
    if (rc) {
      s->api.txn_abort(txn);
      return rc;
    }
    at += ((const struct vr_meta *)(items + at))->length;
    VR_FAULT(lmdb_item_put);
  }
  return finish(s, txn, &seal);
}

int lm_apply(struct lm_store *s, const void *items, size_t length) {
  if (!s->env || s->status == LM_DAMAGED) return s->status ? s->status : LM_ARGUMENT;
  for (size_t at = 0; at < length;) {
    size_t n = vr_meta_item((const uint8_t *)items + at, length - at);
    const struct vr_meta *m = (const struct vr_meta *)((const uint8_t *)items + at);
    if (!n || m->op < VR_META_OP_PUT || m->op > VR_META_OP_CONTENT) return fail(s, LM_ARGUMENT, "malformed batch", "an item is not what it claims");
    at += n;
  }
  s->status = LM_OK;
  int rc = make_room(s, length, false);
  if (!rc) rc = apply_once(s, items, length);
  if (rc == LM_FULL && s->map_size < MAP_LIMIT && make_room(s, length, true) == LM_OK) {
    s->status = LM_OK;
    rc = apply_once(s, items, length);
  }
  return rc;
}

int lm_kv_put(struct lm_store *s, const void *key, size_t key_len, const void *value, size_t value_len) {
  uint8_t k[LM_KEY_MAX], v[8 + LM_KV_MAX];
  if (!s->env || key_len < 1 || key_len >= LM_KEY_MAX || value_len > LM_KV_MAX) return fail(s, LM_ARGUMENT, "key or value", "too long");
  k[0] = 'm';
  memcpy(k + 1, key, key_len);
  memcpy(v + 8, value, value_len);
  uint64_t sum = kv_checksum(k, key_len + 1, v, value_len + 8);
  memcpy(v, &sum, 8);
  s->status = LM_OK;
  int rc = make_room(s, sizeof v, false);
  void *txn;
  if (rc || (rc = begin(s, 0, &txn))) return rc;
  lm_val mk = {key_len + 1, k}, mv = {value_len + 8, v}, old;
  struct lm_seal seal = s->seal;
  if ((rc = stored(s, txn, &mk, &old)) || (rc = replace(s, txn, &mk, &old, &mv, &seal))) {
    s->api.txn_abort(txn);
    return rc;
  }
  return finish(s, txn, &seal);
}

/* ---- reading */
int lm_kv_get(struct lm_store *s, const void *key, size_t key_len, void *value, size_t cap) {
  uint8_t k[LM_KEY_MAX];
  if (!s->env || key_len < 1 || key_len >= LM_KEY_MAX) return fail(s, LM_ARGUMENT, "key", "too long");
  k[0] = 'm';
  memcpy(k + 1, key, key_len);
  s->status = LM_OK;
  void *txn;
  if (begin(s, MDB_RDONLY, &txn)) return s->status;
  lm_val mk = {key_len + 1, k}, mv;
  int rc = stored(s, txn, &mk, &mv);
  if (!rc) {
    if (!mv.data) rc = LM_KV_NONE;
    else if (mv.size - 8 > cap) rc = fail(s, LM_DAMAGED, "damaged", "a value is too long");
    else memcpy(value, (uint8_t *)mv.data + 8, (size_t)(rc = (int)(mv.size - 8)));
  }
  s->api.txn_abort(txn);
  return rc;
}

/* A stored record as an item. Its size, 0 when it does not fit. */
static size_t deliver(const lm_val *key, const lm_val *value, uint8_t *buf, size_t cap) {
  struct vr_meta m;
  memcpy(&m, value->data, sizeof m);
  const struct vr_entry *e = vr_meta_entry(&m);
  size_t n = vr_meta_size(e->path_len, e->target_len);
  if (n > cap) return 0;
  bool direct = ((const uint8_t *)key->data)[0] == 'e';
  const uint8_t *rest = (const uint8_t *)value->data + VR_META_FIXED;
  memset(buf + n - 8, 0, 8);
  m.checksum = 0;
  m.op = VR_META_OP_PUT;
  m.length = (uint32_t)n;
  memcpy(buf, &m, sizeof m);
  memcpy(buf + VR_META_FIXED, direct ? (const uint8_t *)key->data + 1 : rest, e->path_len);
  memcpy(buf + VR_META_FIXED + e->path_len, direct ? rest : rest + e->path_len, e->target_len);
  return n;
}

static int64_t load_with(struct lm_store *s, void *cursor, uint8_t *position, uint8_t *buf, size_t cap) {
  uint16_t len;
  memcpy(&len, position, 2);
  bool start = memcmp(position, zero_position, LM_POSITION_SIZE) == 0;
  lm_val key = {start ? 1 : len, start ? (void *)"e" : position + 2}, value;
  int rc = s->api.cursor_get(cursor, &key, &value, MDB_CURSOR_SET_RANGE);
  if (!rc && !start && key.size == len && memcmp(key.data, position + 2, len) == 0)
    rc = s->api.cursor_get(cursor, &key, &value, MDB_CURSOR_NEXT);
  size_t done = 0;
  for (; !rc; rc = s->api.cursor_get(cursor, &key, &value, MDB_CURSOR_NEXT)) {
    uint8_t kind = key.size ? ((const uint8_t *)key.data)[0] : 0;
    if (kind != 'e' && kind != 'h') return (int64_t)done; /* keys sort e, h, m, s */
    if (key.size > LM_KEY_MAX || !lm_record_good(key.data, key.size, value.data, value.size))
      return fail(s, LM_DAMAGED, "damaged", "a record's checksum is wrong");
    size_t n = deliver(&key, &value, buf + done, cap - done);
    if (!n) return (int64_t)done;
    done += n;
    len = (uint16_t)key.size;
    memcpy(position, &len, 2);
    memcpy(position + 2, key.data, key.size);
  }
  return rc == MDB_NOTFOUND ? (int64_t)done : mdb_fail(s, "mdb_cursor_get", rc);
}

int64_t lm_load(struct lm_store *s, uint8_t *position, void *buf, size_t cap) {
  uint16_t len;
  memcpy(&len, position, 2);
  if (!s->env || len > LM_KEY_MAX || cap < VR_META_FIXED + 2 * 4096) return fail(s, LM_ARGUMENT, "load", "position or buffer");
  s->status = LM_OK;
  void *txn, *cursor;
  if (begin(s, MDB_RDONLY, &txn)) return s->status;
  int rc = s->api.cursor_open(txn, s->dbi, &cursor);
  int64_t n = rc ? mdb_fail(s, "mdb_cursor_open", rc) : load_with(s, cursor, position, buf, cap);
  if (!rc) s->api.cursor_close(cursor);
  s->api.txn_abort(txn);
  return n;
}

int64_t lm_get(struct lm_store *s, const char *path, size_t path_len, void *buf, size_t cap) {
  uint8_t k[LM_KEY_MAX];
  if (!s->env || path_len > 4095 || cap < VR_META_FIXED + 2 * 4096) return fail(s, LM_ARGUMENT, "get", "path or buffer");
  lm_val key = {entry_key(path, path_len, k), k}, value;
  void *txn;
  s->status = LM_OK;
  if (begin(s, MDB_RDONLY, &txn)) return s->status;
  int64_t n = stored(s, txn, &key, &value);
  if (!n && value.data) {
    n = (int64_t)deliver(&key, &value, buf, cap);
    const struct vr_meta *m = buf;
    /* Another path with the same hash is not this path. */
    if (((const struct vr_entry *)m->entry)->path_len != path_len || memcmp(vr_meta_path(m), path, path_len)) n = 0;
  }
  s->api.txn_abort(txn);
  return n;
}

int lm_sync(struct lm_store *s) {
  if (!s->env) return fail(s, LM_ARGUMENT, "sync", "not open");
  VR_FAULT(lmdb_syncing);
  int rc = s->api.env_sync(s->env, 1);
  return rc ? mdb_fail(s, "mdb_env_sync", rc) : LM_OK;
}

void lm_info(struct lm_store *s, int64_t out[6]) {
  lm_envinfo info = {0};
  if (s->env) s->api.env_info(s->env, &info);
  out[0] = (int64_t)s->map_size;
  out[1] = s->env ? (int64_t)info.last_page + 1 : 0;
  out[2] = (int64_t)s->seal.commits;
  out[3] = (int64_t)s->seal.count;
  out[4] = (int64_t)s->seal.sum;
  out[5] = PAGE_GUESS;
}
