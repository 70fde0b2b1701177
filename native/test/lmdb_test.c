/* The verifier of the metadata store under random damage: it ends, never reads outside its buffers (run under the sanitizers by `make asan`),
 * and believes a file only if LMDB then finds exactly what was put. LINK: jni/lmdb_check.c jni/lmdb_store.c */
#include "../jni/lmdb_store.h"
#include <assert.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define ROUNDS 6000
#define FILES 400

static uint64_t seed = 0x9e3779b97f4a7c15ull;
static uint32_t any(uint32_t below) {
  seed = seed * 6364136223846793005ull + 1442695040888963407ull;
  return (uint32_t)(seed >> 33) % below;
}

static char library[4096], dir[64] = "/tmp/vrift-lmdb-XXXXXX";

static void fill(struct lm_store *s) {
  static _Alignas(8) uint8_t batch[1 << 20];
  static char path[3000];
  for (uint32_t round = 0; round < 5; round++) {
    size_t used = 0;
    for (uint32_t i = 0; i < FILES; i++) {
      struct vr_entry e = {.ino = i, .size = round * 1000 + i, .mtime = round};
      uint32_t op = (i + round) % 11 == 0 && round ? VR_META_OP_DELETE : VR_META_OP_PUT;
      int n = i % 40 == 0 ? snprintf(path, sizeof path, "deep/%0*u", 600 + (int)i, i) : snprintf(path, sizeof path, "d%u/file%u", i % 7, i);
      size_t k = vr_meta_append(batch + used, sizeof batch - used, op, &e, 0, 1, path, (size_t)n, "target", i % 13 == 0 ? 6 : 0);
      assert(k);
      used += k;
    }
    assert(lm_apply(s, batch, used) == LM_OK);
  }
  assert(lm_kv_put(s, "schema", 6, "1", 1) == LM_OK);
}

/* A digest of everything lm_load delivers; 0 when something was refused. */
static uint64_t contents(struct lm_store *s, uint32_t *count) {
  static _Alignas(8) uint8_t buf[1 << 16];
  uint8_t position[LM_POSITION_SIZE] = {0};
  uint64_t sum = 1;
  *count = 0;
  for (;;) {
    int64_t n = lm_load(s, position, buf, sizeof buf);
    if (n < 0) return 0;
    if (n == 0) return sum;
    for (size_t at = 0; at < (size_t)n;) {
      size_t k = vr_meta_item(buf + at, (size_t)n - at);
      assert(k);
      sum = vr_hash64(buf + at, k, sum);
      ++*count;
      at += k;
    }
  }
}

static void write_file(const char *path, const uint8_t *bytes, size_t n) {
  int fd = open(path, O_WRONLY | O_CREAT, 0600); /* no O_TRUNC: ext4 would flush each time */
  assert(fd >= 0 && write(fd, bytes, n) == (ssize_t)n && ftruncate(fd, (off_t)n) == 0);
  close(fd);
}

static void remove_dir(void) {
  char path[400];
  DIR *d = opendir(dir);
  for (struct dirent *e; d && (e = readdir(d));) {
    snprintf(path, sizeof path, "%s/%s", dir, e->d_name);
    unlink(path);
  }
  if (d) closedir(d);
  rmdir(dir);
}

int main(void) {
  const char *out = getenv("OUT");
  snprintf(library, sizeof library, "%s/../dist/lib/vrift/liblmdb.so", out ? out : "build/native");
  if (access(library, R_OK)) {
    printf("skipped: %s is not there\n", library);
    return 77;
  }
  assert(mkdtemp(dir));
  struct lm_store *s = lm_open(dir, library, 1 << 20, 0);
  assert(s && lm_status_of(s) == LM_OK);
  fill(s);
  uint32_t count, again;
  uint64_t truth = contents(s, &count);
  assert(truth && count > FILES / 2);
  struct lm_store *second = lm_open(dir, library, 1 << 20, 30);
  assert(lm_status_of(second) == LM_BUSY);
  lm_close(second);
  lm_close(s);

  char data[100], why[200] = "";
  snprintf(data, sizeof data, "%s/data.mdb", dir);
  int fd = open(data, O_RDONLY);
  struct stat st;
  assert(fd >= 0 && fstat(fd, &st) == 0 && lm_check(fd, why, sizeof why) == LM_OK);
  size_t size = (size_t)st.st_size;
  uint8_t *good = malloc(size), *bad = malloc(size);
  assert(good && bad && read(fd, good, size) == (ssize_t)size);
  close(fd);
  uint32_t refused = 0, believed = 0;
  for (uint32_t round = 0; round < ROUNDS; round++) {
    memcpy(bad, good, size);
    size_t n = size;
    for (uint32_t i = 0; i <= any(4); i++) {
      size_t at = round % 3 == 0 ? any((uint32_t)(size / 4096)) * 4096 + any(48) : any((uint32_t)size);
      bad[at] = (uint8_t)(round % 2 ? bad[at] ^ 1u << any(8) : any(256));
    }
    if (round % 20 == 19) n = any((uint32_t)size);
    if (round % 20 == 9) memcpy(bad + any((uint32_t)(size / 4096)) * 4096, good + any((uint32_t)(size / 4096)) * 4096, 4096);
    write_file(data, bad, n);
    fd = open(data, O_RDONLY);
    int rc = lm_check(fd, why, sizeof why);
    close(fd);
    assert(rc == LM_OK || rc == LM_DAMAGED);
    if (rc) {
      refused++;
    } else if (n && round % 4 == 0) {
      s = lm_open(dir, library, 1 << 20, 0);
      assert(lm_status_of(s) == LM_OK && contents(s, &again) == truth && again == count);
      lm_close(s);
      believed++;
    }
  }
  assert(refused > ROUNDS / 4 && believed > ROUNDS / 100);
  printf("lmdb: %u of %u damaged files refused, %u believed ones looked at, all equal\n", refused, ROUNDS, believed);
  free(good);
  free(bad);
  remove_dir();
  return 0;
}
