/* Records, intents and the descriptor table against a board in memory, without the hooks around them, so that the sanitizers can look.
 * LINK: shim/intent.c shim/fdtab.c */
#include <assert.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include "writer.h"
#undef assert
#define assert(c) ((c) ? (void)0 : (fprintf(stderr, "%s:%d: not so: %s\n", __func__, __LINE__, #c), exit(1)))

/* What the rest of the library would be. */
struct shim_state shim;
static int unsatisfied, staged_promoted, committed;
int shim_want_board(void) { return shim.board.base != NULL; }
int shim_want_vdir(void) { return 0; }
int shim_need_unsatisfied(void) { return unsatisfied; }
void shim_count(uint32_t reason) { (void)reason; }
void shim_forked(void) { shim.pid = getpid(); }
void shim_watch_forked(void) {}
void shim_stage_promote_fd(int fd) {
  __atomic_fetch_add(&staged_promoted, 1, __ATOMIC_RELAXED);
  shim_fd_unstaged(fd);
}
void shim_stage_promote_all(void) {}
static int closed_unseen;
void shim_stage_closed_unseen(int index, int fd) { closed_unseen = fd * 100 + index; }
int shim_stage_commit(int index, int fd, int (*real_close)(int)) {
  committed = index + 1;
  return real_close(fd);
}
int shim_resolve(int dirfd, const char *path, char *rel) {
  if (dirfd != AT_FDCWD || !path[0]) return SHIM_ODD;
  if (path[0] == '/') {
    if (strncmp(path, shim.root, shim.root_len) || path[shim.root_len] != '/') return SHIM_OUTSIDE;
    path += shim.root_len + 1;
  }
  size_t n = strlen(path);
  if (strstr(path, "..") || path[n - 1] == '/' || n >= SHIM_PATH_MAX) return SHIM_ODD;
  memcpy(rel, path, n + 1);
  return (int)n;
}

static struct vr_board *b = &shim.board;
static void make_board(void) {
  uint8_t *p = mmap(NULL, VR_BOARD_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  struct vr_board_header *h = (void *)p;
  struct stat st;
  assert(!stat(".", &st));
  *h = (struct vr_board_header){.magic = VR_BOARD_MAGIC, .version = VR_BOARD_VERSION, .file_size = VR_BOARD_SIZE, .board_id = 0x1234567890abcdef, .hash_seed = 77, .root_dev = st.st_dev};
  assert(vr_board_attach(b, p, VR_BOARD_SIZE) == -1);
  h->checksum = vr_hash64(h, offsetof(struct vr_board_header, checksum), VR_BOARD_MAGIC);
  assert(vr_board_attach(b, p, VR_BOARD_SIZE - 1) == -1 && vr_board_attach(b, NULL, VR_BOARD_SIZE) == -1);
  for (size_t bit = 0; bit < 8 * sizeof *h; bit++) { /* any flipped bit of the header is found */
    struct vr_board other = {0};
    p[bit / 8] ^= (uint8_t)(1 << bit % 8);
    assert(vr_board_attach(&other, p, VR_BOARD_SIZE) == -1);
    p[bit / 8] ^= (uint8_t)(1 << bit % 8);
  }
  assert(vr_board_attach(b, p, VR_BOARD_SIZE) == 0);
}
static unsigned live(uint32_t kind) {
  unsigned n = 0;
  for (unsigned i = 0; i < VR_BOARD_RECORDS; i++) n += b->records[i].state != VR_BOARD_RECORD_FREE && (!kind || b->records[i].kind == kind);
  return n;
}
static uint32_t slot(const char *rel) { return vr_slot(vr_hash64(rel, strlen(rel), 77)); }
static int has(const struct vr_intent *in, uint32_t s) {
  for (uint32_t i = 0; i < in->nslots; i++)
    if (in->slots[i] == s) return 1;
  return 0;
}

static void records(void) {
  struct vr_intent in;
  vr_intent_init(&in);
  vr_intent_slot(&in, 5), vr_intent_slot(&in, 9), vr_intent_slot(&in, 5);
  assert(in.nslots == 2);
  uint64_t v5 = b->ver[5];
  int r = vr_mutation_begin(b, &in, VR_BOARD_KIND_OP, 10, 11);
  struct vr_record *rec = &b->records[r];
  assert(r >= 0 && rec->state == VR_BOARD_RECORD_LIVE && rec->kind == VR_BOARD_KIND_OP && rec->pid == 10 && rec->tid == 11 && rec->time);
  assert(rec->slots[0] == 5 && rec->slots[1] == 9 && rec->slots[2] == VR_BOARD_NO_SLOT && b->ver[5] == v5 + VR_BOARD_BUMP);
  assert(b->dyn->record_high >= (uint32_t)r + 1);
  vr_mutation_keep(b, r, VR_BOARD_KIND_HELD, 42);
  assert(rec->kind == VR_BOARD_KIND_HELD && rec->ino[0] == 42);
  vr_mutation_keep(b, r, VR_BOARD_KIND_HELD, 42);
  vr_mutation_keep(b, r, VR_BOARD_KIND_HELD, 43);
  assert(rec->ino[1] == 43);
  uint64_t g = b->ver[0];
  vr_mutation_keep(b, r, VR_BOARD_KIND_HELD, 44); /* a third: the whole project */
  assert(b->ver[0] != g);
  for (uint32_t s = 100; s < 110; s++) {
    uint64_t v = b->ver[s];
    vr_mutation_add_slot(b, r, s);
    assert(b->ver[s] == v + VR_BOARD_BUMP);
  }
  assert(rec->slots[5] == 0);
  vr_held_release(b, r);
  assert(live(0) == 0 && b->ver[5] == v5 + 2 * VR_BOARD_BUMP);
  vr_intent_init(&in);
  for (uint32_t s = 1; s < 10; s++) vr_intent_slot(&in, s);
  assert(in.nslots == 6 && has(&in, 0)); /* more than six: G */
  for (unsigned i = 0; i < VR_BOARD_RECORDS; i++) assert(vr_mutation_begin(b, &in, VR_BOARD_KIND_BLIND, 1, i) >= 0);
  g = b->ver[0];
  assert(vr_mutation_begin(b, &in, VR_BOARD_KIND_OP, 1, 1) == -1 && b->ver[0] != g);
  g = b->ver[0];
  vr_mutation_end(b, -1);
  assert(b->ver[0] != g);
  for (unsigned i = 0; i < VR_BOARD_RECORDS; i++) vr_mutation_end(b, (int)i);
  vr_mutation_end(b, VR_BOARD_RECORDS + 5), vr_held_release(b, -7), vr_mutation_keep(b, 1 << 20, 1, 1), vr_mutation_owner(b, -1, 1);
  assert(live(0) == 0);
}

static void *claimer(void *arg) {
  for (int i = 0; i < 3000; i++) {
    struct vr_intent in;
    vr_intent_init(&in);
    vr_intent_slot(&in, 7);
    int r = vr_mutation_begin(b, &in, VR_BOARD_KIND_OP, 1, (uint32_t)(long)arg);
    if (r < 0 || b->records[r].tid != (uint32_t)(long)arg) return (void *)1;
    vr_mutation_end(b, r);
  }
  return NULL;
}
static void claims(void) {
  pthread_t t[4];
  void *bad;
  uint64_t v = b->ver[7];
  for (long i = 0; i < 4; i++) pthread_create(&t[i], NULL, claimer, (void *)i);
  for (int i = 0; i < 4; i++) pthread_join(t[i], &bad), assert(!bad);
  assert(live(0) == 0 && b->ver[7] == v + 12000 * VR_BOARD_BUMP);
}

static void intents(void) {
  struct vr_intent in;
  char far[4300], deep[6000];
  vr_intent_init(&in);
  assert(!mkdir("d", 0755) && !symlink("d", "ld") && !close(open("d/f", O_CREAT | O_WRONLY, 0644)));
  shim_intent_path(&in, AT_FDCWD, "d/f", 0);
  assert(in.nslots == 2 && has(&in, slot("d/f")) && has(&in, slot("d")));
  vr_intent_init(&in);
  shim_intent_path(&in, AT_FDCWD, "d/f", 0); /* from the cache */
  assert(in.nslots == 2 && has(&in, slot("d/f")));
  vr_intent_init(&in);
  shim_intent_path(&in, AT_FDCWD, "ld/new", 0);
  assert(in.nslots == 2 && has(&in, slot("d/new")) && has(&in, slot("d")));
  vr_intent_init(&in);
  shim_intent_path(&in, AT_FDCWD, "d/../ld/./f", 0);
  assert(has(&in, slot("d/f")));
  vr_intent_init(&in);
  shim_intent_path(&in, AT_FDCWD, "d/", SHIM_DIR);
  assert(has(&in, 0) && has(&in, slot("d")));
  vr_intent_init(&in);
  shim_intent_path(&in, AT_FDCWD, "/tmp/none-of-ours", 0);
  assert(!intent_inside(&in) && shim_mut_begin(&in) == SHIM_MUT_NONE);
  snprintf(far, sizeof far, "%s", shim.root);
  *strrchr(far, '/') = 0;
  shim_intent_path(&in, AT_FDCWD, far, SHIM_DIR); /* an ancestor of the root */
  assert(has(&in, 0));
  memset(deep, 'x', sizeof deep), deep[sizeof deep - 1] = 0;
  vr_intent_init(&in);
  shim_intent_path(&in, AT_FDCWD, deep, SHIM_FOLLOW | SHIM_DIR);
  for (size_t i = 1; i < sizeof deep - 1; i += 2) deep[i] = '/';
  shim_intent_path(&in, AT_FDCWD, deep, SHIM_FOLLOW | SHIM_DIR);
  shim_intent_path(&in, AT_FDCWD, "/", SHIM_FOLLOW);
  shim_intent_path(&in, AT_FDCWD, "", SHIM_FOLLOW);
  shim_intent_path(&in, 999, "x", SHIM_FOLLOW | SHIM_DIR);
  shim_intent_path(&in, AT_FDCWD, NULL, 0);
  shim_intent_fd(&in, 999);
  shim_intent_fd(&in, -1);
  assert(!symlink("loop2", "loop1") && !symlink("loop1", "loop2"));
  shim_intent_path(&in, AT_FDCWD, "loop1", SHIM_FOLLOW);
  vr_intent_init(&in);
  int fd = open("ld/f", O_RDONLY);
  struct stat st;
  assert(!fstat(fd, &st));
  shim_intent_fd(&in, fd);
  assert(in.ino[0] == st.st_ino && has(&in, slot("d/f")) && !has(&in, 0));
  close(fd);
  unsatisfied = 1;
  int token = shim_mut_begin(&in);
  assert(b->records[shim_token_record(token)].slots[2] == 0);
  unsatisfied = 0;
  b->header->board_id++; /* the board was replaced in between: its records are not touched */
  shim_mut_end(token);
  assert(live(0) == 1);
  b->header->board_id--;
  shim_mut_end(token);
  assert(live(0) == 0);
}

static int real_close(int fd) { return close(fd); }
static int opened(const char *path) {
  struct vr_intent in;
  vr_intent_init(&in);
  shim_intent_path(&in, AT_FDCWD, path, 0);
  uint32_t mark = shim_fork_mark();
  int token = shim_mut_begin(&in), fd = open(path, O_CREAT | O_RDWR, 0644);
  shim_fd_opened_write_at(fd, token, mark);
  return fd;
}
static void table(void) {
  char rel[SHIM_PATH_MAX];
  int fd = opened("t1");
  assert(shim_fd_kind(fd) == SHIM_FD_WRITE && live(VR_BOARD_KIND_HELD) == 1 && shim_fd_is_held(fd));
  int ref = shim_dup_begin(fd), to = dup(fd);
  shim_dup_end(ref, to);
  assert(shim_close(fd, real_close) == 0 && live(0) == 1 && shim_close(to, real_close) == 0 && live(0) == 0);
  assert(shim_close(to, real_close) == -1 && errno == EBADF);
  assert(shim_dup_begin(to) == 0 && shim_dup_begin(-5) == 0 && shim_dup_begin(1 << 30) == 0);
  fd = opened("t2");
  ref = shim_dup_begin(fd);
  shim_dup_end(ref, -1);
  close(fd); /* behind our back; the number's next owner tells */
  int again = opened("t3");
  assert(again == fd && live(0) == 1);
  shim_fd_escape(again);
  assert(live(VR_BOARD_KIND_ESCAPED) == 1 && !shim_fd_is_held(again) && shim_close(again, real_close) == 0);
  assert(live(VR_BOARD_KIND_ESCAPED) == 1);
  for (unsigned i = 0; i < VR_BOARD_RECORDS; i++) b->records[i].state = VR_BOARD_RECORD_FREE;
  int dir = open("d", O_RDONLY | O_DIRECTORY);
  shim_fd_opened_dir(dir, "d", 1);
  assert(shim_fd_dir_path(dir, rel) == 1 && !strcmp(rel, "d"));
  vr_bump(b, 0);
  assert(shim_fd_dir_path(dir, rel) == -1); /* something may have moved */
  assert(shim_close(dir, real_close) == 0 && shim_fd_kind(dir) == SHIM_FD_UNKNOWN);
  for (int i = 0; i < 400; i++) shim_fd_opened_dir(i + 300, "d", 1), shim_fd_opened_dir(i + 300, rel, 4000);
  assert(shim_fd_dir_path(310, rel) == -1);
  shim_close_range(300, ~0u, real_close);
  shim_fd_opened_dir(300, "d", 1);
  assert(shim_fd_dir_path(300, rel) == 1);
  shim_fd_forget(300);
  fd = opened("t4");
  struct vr_intent in;
  vr_intent_init(&in);
  vr_intent_slot(&in, 3);
  close(fd), shim_fd_forget(fd);
  fd = open("t4", O_RDWR);
  shim_fd_opened_staged(fd, 6, vr_mutation_begin(b, &in, VR_BOARD_KIND_HELD, 1, 1), 77);
  assert(shim_fd_kind(fd) == SHIM_FD_STAGED && shim_close(fd, real_close) == 0 && committed == 7 && live(0) == 0);
  fd = open("t4", O_RDWR);
  shim_fd_opened_staged(fd, 6, vr_mutation_begin(b, &in, VR_BOARD_KIND_HELD, 1, 1), 77);
  close(fd); /* unseen */
  assert(opened("t5") == fd && closed_unseen == fd * 100 + 6 && live(0) == 1);
  closed_unseen = 0;
  shim_fd_forget(fd); /* a plain one */
  assert(!closed_unseen && live(0) == 0);
  close(fd);
  fd = opened("t5");
  shim_fork_begin();
  int other = opened("t6"); /* while a child is being made */
  shim_fork_end();
  assert(live(VR_BOARD_KIND_ESCAPED) == 1 && live(VR_BOARD_KIND_HELD) == 1);
  shim_board_replaced();
  shim_close_range(0, 2, real_close);
  shim_close(other, real_close);
  shim_close(fd, real_close);
  for (unsigned i = 0; i < VR_BOARD_RECORDS; i++) b->records[i].state = VR_BOARD_RECORD_FREE;
  static int many[5000];
  int n = 0;
  while (n < 900 && (many[n] = opened("t7")) >= 0) n++;
  assert(live(VR_BOARD_KIND_HELD) == (unsigned)n);
  while (n) shim_close(many[--n], real_close);
  assert(live(0) == 0);
}

static void *closer(void *arg) {
  char path[30];
  for (int i = 0; i < 300; i++) {
    snprintf(path, sizeof path, "c%ld", (long)arg);
    int fd = opened(path), ref = shim_dup_begin(fd), to = dup(fd);
    shim_dup_end(ref, to);
    if (shim_close(fd, real_close) || shim_close(to, real_close)) return (void *)1;
  }
  return NULL;
}

int main(void) {
  static char root_text[VR_ROOT_PATH_MAX];
  assert(getcwd(root_text, sizeof root_text));
  shim.root = root_text;
  shim.root_len = (uint32_t)strlen(shim.root);
  shim.ready = 1;
  shim.pid = getpid();
  make_board();
  records();
  claims();
  intents();
  table();
  pthread_t t[4];
  void *bad;
  for (long i = 0; i < 4; i++) pthread_create(&t[i], NULL, closer, (void *)i);
  for (int i = 0; i < 4; i++) pthread_join(t[i], &bad), assert(!bad);
  assert(live(0) == 0);
  printf("writer core: all as the protocol says (%d promotions)\n", staged_promoted);
  return 0;
}
