/* The verifier of a closed LMDB file (format 1 of LMDB 0.9, 64 bit, little-endian): meta pages, both B-trees, the free list, the
 * accounting of every page, then the records and the seal. LMDB trusts its pages, and a wrong page number in one of them would
 * make it read outside its map; after this walk every reference inside the reachable tree is known to be good. */
#include "lmdb_store.h"
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define PAGE_HEADER 16u
#define NODE_HEADER 8u
#define META_MAGIC 0xBEEFC0DEu
#define META_VERSION 1u
#define PAGE_BRANCH 1u
#define PAGE_LEAF 2u
#define PAGE_OVERFLOW 4u
#define PAGE_META 8u
#define NODE_BIG 1u
#define FREE_FLAGS 8u /* integer keys */
#define NO_PAGE UINT64_MAX
#define MAX_DEPTH 32
#define VALUE_MAX (64u << 20) /* the longest free list that is believed */

struct tree { /* MDB_db */
  uint32_t pad;
  uint16_t flags, depth;
  uint64_t branches, leaves, overflows, entries, root;
};
struct meta { /* MDB_meta */
  uint32_t magic, version;
  uint64_t address, map_size;
  struct tree trees[2]; /* free list, main */
  uint64_t last_page, txn;
};
_Static_assert(sizeof(struct tree) == 48 && sizeof(struct meta) == 136, "LMDB format");

struct walk {
  int fd;
  char *why;
  size_t why_size;
  uint32_t page_size;
  uint64_t pages; /* last_page + 1 */
  uint8_t *seen;  /* bitmap */
  uint64_t accounted;
  struct tree found; /* counts of the tree being walked */
  bool main_tree;
  uint8_t *value; /* for overflow values */
  size_t value_cap;
  uint64_t count, sum;
  bool sealed;
  struct lm_seal seal;
  uint8_t *buffers[MAX_DEPTH];
};
struct bound {
  const uint8_t *key; /* NULL: none */
  size_t len;
};

static int bad(struct walk *w, const char *format, ...) {
  va_list args;
  va_start(args, format);
  vsnprintf(w->why, w->why_size, format, args);
  va_end(args);
  return LM_DAMAGED;
}

static uint16_t rd2(const uint8_t *p) { uint16_t v; memcpy(&v, p, 2); return v; }

static int read_at(struct walk *w, void *buf, size_t n, uint64_t at) {
  size_t done = 0;
  while (done < n) {
    ssize_t r = pread(w->fd, (uint8_t *)buf + done, n - done, (off_t)(at + done));
    if (r < 0 && errno == EINTR) continue;
    if (r < 0) {
      snprintf(w->why, w->why_size, "reading data.mdb at %llu: %s", (unsigned long long)(at + done), strerror(errno));
      return LM_IO;
    }
    if (r == 0) return bad(w, "data.mdb ends at %llu, inside a page that is in use", (unsigned long long)(at + done));
    done += (size_t)r;
  }
  return LM_OK;
}

/* Each page belongs to exactly one owner. */
static int claim(struct walk *w, uint64_t page, uint64_t n) {
  if (page < 2 || page >= w->pages || n > w->pages - page) return bad(w, "page number %llu out of range", (unsigned long long)page);
  for (uint64_t p = page; p < page + n; p++) {
    if (w->seen[p >> 3] & (1u << (p & 7))) return bad(w, "page %llu has two owners", (unsigned long long)p);
    w->seen[p >> 3] |= (uint8_t)(1u << (p & 7));
  }
  w->accounted += n;
  return LM_OK;
}

static int compare(const struct walk *w, const uint8_t *a, size_t an, const uint8_t *b, size_t bn) {
  if (!w->main_tree) {
    uint64_t x = vr_rd8(a), y = vr_rd8(b);
    return x < y ? -1 : x > y;
  }
  int c = memcmp(a, b, an < bn ? an : bn);
  return c ? c : an < bn ? -1 : an > bn;
}

static int overflow(struct walk *w, uint64_t page, size_t size, const uint8_t **value) {
  if (size > VALUE_MAX) return bad(w, "a value of %zu bytes", size);
  uint64_t n = (PAGE_HEADER - 1 + size) / w->page_size + 1;
  int rc = claim(w, page, n);
  if (rc) return rc;
  w->found.overflows += n;
  size_t need = PAGE_HEADER + size;
  if (need > w->value_cap) {
    uint8_t *bigger = realloc(w->value, need);
    if (!bigger) return bad(w, "no memory for a value of %zu bytes", size);
    w->value = bigger;
    w->value_cap = need;
  }
  if ((rc = read_at(w, w->value, need, page * w->page_size))) return rc;
  if (vr_rd8(w->value) != page || rd2(w->value + 10) != PAGE_OVERFLOW || vr_rd4(w->value + 12) != n)
    return bad(w, "overflow page %llu has a wrong header", (unsigned long long)page);
  *value = w->value + PAGE_HEADER;
  return LM_OK;
}

static int free_list(struct walk *w, const uint8_t *value, size_t size) {
  if (size < 8 || (size & 7)) return bad(w, "a free list of %zu bytes", size);
  uint64_t n = vr_rd8(value);
  if (n > size / 8 - 1) return bad(w, "a free list is longer than its record");
  for (uint64_t i = 1; i <= n; i++) {
    if (i > 1 && vr_rd8(value + 8 * i) >= vr_rd8(value + 8 * i - 8)) return bad(w, "a free list is not in order");
    int rc = claim(w, vr_rd8(value + 8 * i), 1);
    if (rc) return rc;
  }
  return LM_OK;
}

static int record(struct walk *w, const uint8_t *key, size_t key_len, const uint8_t *value, size_t size) {
  if (!w->main_tree) return free_list(w, value, size);
  if (key_len == sizeof LM_SEAL_KEY - 1 && memcmp(key, LM_SEAL_KEY, key_len) == 0) {
    if (size != sizeof w->seal) return bad(w, "the seal has %zu bytes", size);
    memcpy(&w->seal, value, size);
    if (vr_hash64(value + 8, size - 8, LM_SEAL_SEED) != w->seal.checksum) return bad(w, "the seal's checksum is wrong");
    w->sealed = true;
    return LM_OK;
  }
  if (!lm_record_good(key, key_len, value, size)) return bad(w, "a record's checksum is wrong");
  w->count++;
  w->sum += lm_digest(key, key_len, value, size);
  return LM_OK;
}

static int walk_page(struct walk *w, uint64_t page, int depth, int leaf_depth, struct bound low, struct bound high);

static int node(struct walk *w, const uint8_t *n, bool leaf, int depth, int leaf_depth, struct bound low, struct bound high) {
  size_t key_len = rd2(n + 6);
  if (!leaf) {
    uint64_t child = (uint64_t)vr_rd4(n) | (uint64_t)rd2(n + 4) << 32;
    return walk_page(w, child, depth + 1, leaf_depth, low, high);
  }
  size_t size = vr_rd4(n);
  const uint8_t *value = n + NODE_HEADER + key_len;
  if (rd2(n + 4) == NODE_BIG) {
    int rc = overflow(w, vr_rd8(value), size, &value);
    if (rc) return rc;
  }
  w->found.entries++;
  return record(w, n + NODE_HEADER, key_len, value, size);
}

/* Bounds of one node, and its bytes (rounded to even, as LMDB packs them). 0: malformed. */
static size_t node_extent(const struct walk *w, const uint8_t *p, uint32_t at, uint32_t upper, bool leaf, bool first) {
  if (at < upper || at + NODE_HEADER > w->page_size || (at & 1)) return 0;
  const uint8_t *n = p + at;
  size_t key_len = rd2(n + 6), size = NODE_HEADER + key_len;
  if (key_len > LM_KEY_MAX) return 0;
  if (key_len == 0 && (leaf || !first)) return 0;
  if (!w->main_tree && key_len != 8 && !(key_len == 0 && !leaf)) return 0;
  if (leaf) {
    uint16_t flags = rd2(n + 4);
    if (flags == NODE_BIG) size += 8;
    else if (flags == 0) size += vr_rd4(n);
    else return 0;
  }
  return at + size <= w->page_size ? (size + 1) & ~(size_t)1 : 0;
}

static int page_nodes(struct walk *w, const uint8_t *p, uint64_t page, int depth, int leaf_depth, struct bound low, struct bound high) {
  bool leaf = depth == leaf_depth;
  uint32_t lower = rd2(p + 12), upper = rd2(p + 14), keys = (lower - PAGE_HEADER) / 2;
  size_t used = 0;
  for (uint32_t i = 0; i < keys; i++) {
    size_t extent = node_extent(w, p, rd2(p + PAGE_HEADER + 2 * i), upper, leaf, i == 0);
    if (!extent) return bad(w, "node %u of page %llu is malformed", i, (unsigned long long)page);
    used += extent;
  }
  if (used != w->page_size - upper) return bad(w, "the nodes of page %llu do not fill it", (unsigned long long)page);
  for (uint32_t i = 0; i < keys; i++) {
    const uint8_t *n = p + rd2(p + PAGE_HEADER + 2 * i);
    struct bound own = {n + NODE_HEADER, rd2(n + 6)}, next = high;
    if (i + 1 < keys) {
      const uint8_t *m = p + rd2(p + PAGE_HEADER + 2 * (i + 1));
      next = (struct bound){m + NODE_HEADER, rd2(m + 6)};
    }
    if (i == 0 && !leaf) own = low; /* the leftmost key of a branch is not looked at by searches */
    if (own.key && ((low.key && compare(w, own.key, own.len, low.key, low.len) < 0) ||
                    (next.key && compare(w, own.key, own.len, next.key, next.len) >= 0)))
      return bad(w, "keys of page %llu are out of order", (unsigned long long)page);
    int rc = node(w, n, leaf, depth, leaf_depth, own, next);
    if (rc) return rc;
  }
  return LM_OK;
}

static int walk_page(struct walk *w, uint64_t page, int depth, int leaf_depth, struct bound low, struct bound high) {
  int rc = claim(w, page, 1);
  if (rc) return rc;
  if (!w->buffers[depth] && !(w->buffers[depth] = malloc(w->page_size))) return bad(w, "no memory");
  uint8_t *p = w->buffers[depth];
  if ((rc = read_at(w, p, w->page_size, page * w->page_size))) return rc;
  bool leaf = depth == leaf_depth;
  uint32_t lower = rd2(p + 12), upper = rd2(p + 14);
  if (vr_rd8(p) != page || rd2(p + 10) != (leaf ? PAGE_LEAF : PAGE_BRANCH))
    return bad(w, "page %llu has a wrong header", (unsigned long long)page);
  if (lower < PAGE_HEADER + 2 || (lower & 1) || lower > upper || upper > w->page_size)
    return bad(w, "page %llu has wrong bounds", (unsigned long long)page);
  if (leaf) w->found.leaves++;
  else w->found.branches++;
  return page_nodes(w, p, page, depth, leaf_depth, low, high);
}

static int walk_tree(struct walk *w, const struct tree *t, bool main_tree) {
  struct bound none = {NULL, 0};
  memset(&w->found, 0, sizeof w->found);
  w->main_tree = main_tree;
  if (t->root == NO_PAGE) {
    if (t->depth || t->entries || t->leaves || t->branches || t->overflows) return bad(w, "an empty tree with pages");
    return LM_OK;
  }
  if (t->depth < 1 || t->depth > MAX_DEPTH) return bad(w, "a tree of depth %u", t->depth);
  int rc = walk_page(w, t->root, 0, t->depth - 1, none, none);
  if (rc) return rc;
  if (w->found.entries != t->entries || w->found.leaves != t->leaves || w->found.branches != t->branches || w->found.overflows != t->overflows)
    return bad(w, "a tree does not have the pages or entries its root claims");
  return LM_OK;
}

static int read_metas(struct walk *w, struct meta *newest, uint64_t file_size) {
  struct meta m[2];
  uint8_t head[PAGE_HEADER + sizeof(struct meta)];
  int rc = read_at(w, head, sizeof head, 0);
  if (rc) return rc;
  memcpy(&m[0], head + PAGE_HEADER, sizeof m[0]);
  uint32_t size = m[0].trees[0].pad;
  if (m[0].magic != META_MAGIC || size < 512 || size > 65536 || (size & (size - 1))) return bad(w, "data.mdb has no LMDB header");
  w->page_size = size;
  for (unsigned i = 0; i < 2; i++) {
    if ((rc = read_at(w, head, sizeof head, (uint64_t)i * size))) return rc;
    memcpy(&m[i], head + PAGE_HEADER, sizeof m[i]);
    if (vr_rd8(head) != i || rd2(head + 10) != PAGE_META || m[i].magic != META_MAGIC || m[i].version != META_VERSION || m[i].address ||
        m[i].trees[0].pad != size || m[i].trees[0].flags != FREE_FLAGS || m[i].trees[1].flags || m[i].trees[1].pad)
      return bad(w, "meta page %u is malformed", i);
  }
  bool fresh = m[0].txn == 0 && m[1].txn == 0;
  if (!fresh && ((m[0].txn & 1) || !(m[1].txn & 1) || (m[0].txn + 1 != m[1].txn && m[1].txn + 1 != m[0].txn)))
    return bad(w, "the transactions of the meta pages do not follow each other");
  *newest = m[0].txn < m[1].txn ? m[1] : m[0];
  if (newest->last_page < 1 || newest->last_page >= file_size / size) return bad(w, "data.mdb is shorter than its pages");
  if (newest->map_size / size <= newest->last_page || newest->map_size > (1ull << 44)) return bad(w, "the map size is not possible");
  return LM_OK;
}

static int check_all(struct walk *w, uint64_t file_size) {
  struct meta m;
  int rc = read_metas(w, &m, file_size);
  if (rc) return rc;
  w->pages = m.last_page + 1;
  if (!(w->seen = calloc(1, w->pages / 8 + 1))) return bad(w, "no memory");
  if ((rc = walk_tree(w, &m.trees[1], true)) || (rc = walk_tree(w, &m.trees[0], false))) return rc;
  if (w->accounted + 2 != w->pages) return bad(w, "%llu pages have no owner", (unsigned long long)(w->pages - 2 - w->accounted));
  if (m.trees[1].root == NO_PAGE && m.txn == 0) return LM_OK;
  if (!w->sealed) return bad(w, "there is no seal");
  if (w->seal.count != w->count || w->seal.sum != w->sum) return bad(w, "the seal does not match the records");
  return LM_OK;
}

int lm_check(int fd, char *why, size_t why_size) {
  struct stat st;
  if (fstat(fd, &st) != 0) {
    snprintf(why, why_size, "data.mdb: %s", strerror(errno));
    return LM_IO;
  }
  if (!S_ISREG(st.st_mode)) {
    snprintf(why, why_size, "data.mdb is not a regular file");
    return LM_DAMAGED;
  }
  if (st.st_size == 0) return LM_OK;
  struct walk w = {.fd = fd, .why = why, .why_size = why_size};
  int rc = check_all(&w, (uint64_t)st.st_size);
  free(w.seen);
  free(w.value);
  for (int i = 0; i < MAX_DEPTH; i++) free(w.buffers[i]);
  return rc;
}
