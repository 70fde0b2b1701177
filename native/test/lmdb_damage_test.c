/* The metadata store of a small project: every byte x every bit, every length, a foreign version, and a disk that fills up at any moment. Whatever is
 * believed has exactly what was put. VRIFT_LMDB_ALL=1 opens every believed file instead of one in 32. LINK: jni/lmdb_check.c jni/lmdb_store.c */
#include "../jni/lmdb_store.h"
#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILES 24
static char library[4096], dir[64] = "/tmp/vrift-lmdb-XXXXXX", data[100];

static size_t put(uint8_t *batch, size_t cap, uint32_t i, uint32_t version, size_t name_length) {
  struct vr_entry e = {.ino = i, .size = version, .mtime = version};
  char path[800];
  int n = snprintf(path, sizeof path, "dir/%0*u", (int)name_length, i);
  size_t k = vr_meta_append(batch, cap, VR_META_OP_PUT, &e, 0, 1, path, (size_t)n, "to", i % 5 == 0 ? 2 : 0);
  assert(k);
  return k;
}

/* One commit of every file at a version. */
static int commit(struct lm_store *s, uint32_t files, uint32_t version, size_t name_length) {
  static _Alignas(8) uint8_t batch[1 << 20];
  size_t used = 0;
  for (uint32_t i = 0; i < files; i++) used += put(batch + used, sizeof batch - used, i, version, name_length);
  return lm_apply(s, batch, used);
}

/* Digest and number of all records, and the version of the last; 0: refused. */
static uint64_t contents(struct lm_store *s, uint32_t *count, uint32_t *version) {
  static _Alignas(8) uint8_t buf[1 << 18];
  uint8_t position[LM_POSITION_SIZE] = {0};
  uint64_t sum = 1;
  *count = 0;
  for (;;) {
    int64_t n = lm_load(s, position, buf, sizeof buf);
    if (n <= 0) return n < 0 ? 0 : sum;
    for (size_t at = 0; at < (size_t)n;) {
      size_t k = vr_meta_item(buf + at, (size_t)n - at);
      assert(k);
      struct vr_meta m;
      memcpy(&m, buf + at, sizeof m);
      if (*count) assert(*version == (uint32_t)vr_meta_entry(&m)->size); /* half a commit */
      *version = (uint32_t)vr_meta_entry(&m)->size;
      sum = vr_hash64(buf + at, k, sum);
      ++*count;
      at += k;
    }
  }
}

static void clean(void) {
  char path[400];
  DIR *d = opendir(dir);
  for (struct dirent *e; d && (e = readdir(d));) {
    snprintf(path, sizeof path, "%s/%s", dir, e->d_name);
    unlink(path);
  }
  if (d) closedir(d);
}

static int check(int fd) {
  char why[200];
  int rc = lm_check(fd, why, sizeof why);
  assert(rc == LM_OK || rc == LM_DAMAGED);
  return rc;
}

#define COMMITS 3
static uint32_t older;
static void believed_is_equal(uint64_t truth, uint32_t count, const char *what, size_t at) {
  uint32_t again = 0, version = 0;
  struct lm_store *s = lm_open(dir, library, 1 << 20, 0);
  int status = lm_status_of(s);
  uint64_t sum = status == LM_OK ? contents(s, &again, &version) : 0;
  /* The number of the newest commit says which of the two heads counts: with a bit of it flipped the commit before does, whole. That is what a
   * power cut leaves as well, and what is read here is verified against the tree. */
  int before = status == LM_OK && version == COMMITS - 1;
  older += before;
  if ((sum != truth && !before) || again != count) {
    fprintf(stderr, "%s %zu believed: status %d, %u of %u, version %u, %s\n", what, at, status, again, count, version, sum == truth ? "equal" : "not equal");
    abort();
  }
  lm_close(s);
}

static void every_bit_and_length(void) {
  struct lm_store *s = lm_open(dir, library, 1 << 20, 0);
  assert(lm_status_of(s) == LM_OK);
  for (uint32_t v = 1; v <= COMMITS; v++) assert(commit(s, FILES, v, 8) == LM_OK);
  uint32_t count, version;
  uint64_t truth = contents(s, &count, &version);
  assert(truth && count == FILES && version == COMMITS);
  lm_close(s);
  int fd = open(data, O_RDWR), all = getenv("VRIFT_LMDB_ALL") != NULL;
  struct stat st;
  assert(fd >= 0 && fstat(fd, &st) == 0 && check(fd) == LM_OK);
  size_t size = (size_t)st.st_size;
  uint8_t *good = malloc(size);
  assert(good && pread(fd, good, size, 0) == (ssize_t)size);
  uint32_t refused = 0, believed = 0, opened = 0;
  for (size_t at = 0; at < size; at++) {
    for (int bit = 0; bit < 8; bit++) {
      uint8_t b = (uint8_t)(good[at] ^ 1u << bit);
      assert(pwrite(fd, &b, 1, (off_t)at) == 1);
      if (check(fd)) {
        refused++;
      } else if (believed++ % 32 == 0 || all) { /* a byte that nothing refers to */
        believed_is_equal(truth, count, "bit", at * 8 + (size_t)bit);
        opened++;
      }
    }
    assert(pwrite(fd, good + at, 1, (off_t)at) == 1);
  }

  assert(check(fd) == LM_OK && refused > size / 2);
  printf("lmdb: %zu bytes x 8 bits: %u refused, %u believed (%u of them opened: equal, or %u times the commit before)\n", size, refused, believed, opened, older);
  refused = believed = 0;
  for (size_t n = size; n-- > 1;) {
    assert(ftruncate(fd, (off_t)n) == 0);
    if (check(fd)) refused++;
    else if (believed++ % 32 == 0 || all) believed_is_equal(truth, count, "length", n);
  }
  assert(refused > size / 2);
  printf("lmdb: every length: %u refused, %u believed and equal\n", refused, believed);
  assert(ftruncate(fd, 0) == 0 && pwrite(fd, good, size, 0) == (ssize_t)size);
  for (uint32_t other = 0; other < 4; other++) { /* another LMDB format, an exclusive-or of versions */
    uint32_t version_word = 1 ^ (1u << other);
    assert(pwrite(fd, &version_word, 4, 16 + 4) == 4 && check(fd) == LM_DAMAGED);
  }
  close(fd);
  free(good);
  clean();
}

/* A tmpfs that is full at another page each round: no SIGBUS, the last whole commit stays, and with room again the next one works. */
static void full_disk(void) {
  if (unshare(CLONE_NEWNS) || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL)) {
    printf("skipped: a full disk (no mount namespace: %s)\n", strerror(errno));
    return;
  }
  uint32_t rounds = 0, failures = 0, damaged = 0;
  for (int kib = 40; kib <= 1000; kib += 20) {
    char options[40];
    snprintf(options, sizeof options, "size=%dk", kib);
    if (mount("none", dir, "tmpfs", 0, options)) {
      printf("skipped: a full disk (no tmpfs: %s)\n", strerror(errno));
      return;
    }
    struct lm_store *s = lm_open(dir, library, 1 << 20, 0);
    if (lm_status_of(s) == LM_OK) {
      for (uint32_t v = 1; v <= 60; v++) {
        int rc = commit(s, 40 + v * 8, v, 8 + v % 400);
        assert(rc == LM_OK || rc == LM_FULL || rc == LM_IO);
        failures += rc != LM_OK;
      }
    } else {
      assert(lm_status_of(s) == LM_FULL || lm_status_of(s) == LM_IO);
    }
    lm_close(s);
    assert(mount("none", dir, "tmpfs", MS_REMOUNT, "size=16m") == 0);
    s = lm_open(dir, library, 1 << 20, 0);
    assert(lm_status_of(s) == LM_OK || lm_status_of(s) == LM_DAMAGED); /* damaged: a commit cut short; it is set aside and rebuilt */
    if (lm_status_of(s) == LM_OK) assert(commit(s, 10, 99, 8) == LM_OK);
    else damaged++;
    lm_close(s);
    umount2(dir, MNT_DETACH);
    rounds++;
  }
  assert(failures > rounds);
  printf("lmdb: %u disks that filled up, %u commits refused, %u databases found damaged afterwards, the others whole\n", rounds, failures, damaged);
}

int main(void) {
  const char *out = getenv("OUT");
  snprintf(library, sizeof library, "%s/../dist/lib/vrift/liblmdb.so", out ? out : "build/native");
  if (access(library, R_OK)) {
    printf("skipped: %s is not there\n", library);
    return 77;
  }
  assert(mkdtemp(dir));
  snprintf(data, sizeof data, "%s/data.mdb", dir);
  every_bit_and_length();
  full_disk();
  rmdir(dir);
  return 0;
}
