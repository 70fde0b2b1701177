/* A project's LMDB: open under a lock, verified before use, changed in batches, read in batches. One opener, one thread at a
 * time (the Java owner holds a lock). LMDB itself (OpenLDAP Public License) is loaded at run time; the few declarations of its
 * stable C interface that are needed stand in lmdb_store.c. */
#ifndef VR_LMDB_STORE_H
#define VR_LMDB_STORE_H
#include "vr_hash.h"
#include "vr_meta.h"
#include <stdbool.h>

enum lm_status {
  LM_OK = 0,
  LM_DAMAGED = -1, /* set it aside, rebuild from the tree */
  LM_BUSY = -2,    /* another process holds the lock */
  LM_IO = -3,      /* the kernel refused; the database is as before */
  LM_FULL = -4,    /* no space, or the map reached its limit; the database is as before */
  LM_ABSENT = -5,  /* no liblmdb on this machine */
  LM_ARGUMENT = -6 /* a malformed batch; the database is as before */
};

/* Keys: 'e' + path, or 'h' + 16 bytes of hash for paths longer than LM_DIRECT_PATH (the path is then in the value too);
 * 'm' + name for key-values; LM_SEAL_KEY for the seal. */
#define LM_KEY_MAX 511
#define LM_DIRECT_PATH 500
#define LM_SEAL_KEY "s"
#define LM_KV_MAX 4096

/* Written by every commit: it binds all records together, so that a lost, doubled or older record is noticed at the next open. */
struct lm_seal {
  uint64_t checksum; /* hash64 of the rest, seed LM_SEAL_SEED */
  uint64_t count;    /* records, the seal excluded */
  uint64_t sum;      /* sum modulo 2^64 of lm_digest() of all of them */
  uint64_t commits;  /* number of this commit */
};
#define LM_SEAL_SEED 0x6c6d7365616cull

/* What a record adds to the sum. */
static inline uint64_t lm_digest(const void *key, size_t key_len, const void *value, size_t value_len) {
  return vr_hash64(value, value_len, vr_hash64(key, key_len, 1));
}
/* Is a stored value whole and does it belong to the key? Values may be unaligned. */
bool lm_record_good(const uint8_t *key, size_t key_len, const uint8_t *value, size_t value_len);

/* Walks every page of the file with pread (never through a mapping), trusting nothing, before LMDB may touch it: structure, page
 * accounting, order of keys, records, seal. 0: good or empty, LM_DAMAGED with a reason, LM_IO. */
int lm_check(int fd, char *why, size_t why_size);

struct lm_store;
/* Never NULL but for lack of memory; lm_status_of tells how it went. Waits wait_ms at most for the lock. */
struct lm_store *lm_open(const char *dir, const char *library, uint64_t map_size, int wait_ms);
int lm_status_of(const struct lm_store *s);
const char *lm_why(const struct lm_store *s);
/* All items of the batch in one transaction, or none. */
int lm_apply(struct lm_store *s, const void *items, size_t length);
int lm_kv_put(struct lm_store *s, const void *key, size_t key_len, const void *value, size_t value_len);
/* Length of the value, LM_KV_NONE, or a status. */
#define LM_KV_NONE (-100)
int lm_kv_get(struct lm_store *s, const void *key, size_t key_len, void *value, size_t cap);
/* Fills buf with items whose key is above *position and moves it on. Bytes written; 0 at the end; a status. */
#define LM_POSITION_SIZE 514 /* u16 length, key; all zero: the beginning */
int64_t lm_load(struct lm_store *s, uint8_t *position, void *buf, size_t cap);
/* One record by path into buf: bytes, 0 if there is none, a status. */
int64_t lm_get(struct lm_store *s, const char *path, size_t path_len, void *buf, size_t cap);
int lm_sync(struct lm_store *s);
/* map size, pages used, commits, records, sum, bytes of a page */
void lm_info(struct lm_store *s, int64_t out[6]);
void lm_close(struct lm_store *s);
#endif
