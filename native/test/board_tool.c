/* Makes, shows and removes a board without a daemon, for tests of the writer.
 *   board_tool create RUN ROOT [no_stage]   a fresh board in /dev/shm and RUN/map
 *   board_tool records RUN                  live records: "OP n HELD n BLIND n ESCAPED n STAGED n overflow n"
 *   board_tool remove RUN                   the file and the link */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>
#include "vr_board.h"
#include "vr_stage.h"

static void die(const char *what) {
  perror(what);
  exit(2);
}
static void map_of(const char *run, char name[64]) {
  char link[4200], text[40];
  snprintf(link, sizeof link, "%s/map", run);
  ssize_t n = readlink(link, text, sizeof text - 1);
  if (n != 33) die(link);
  text[n] = 0;
  snprintf(name, 64, "/dev/shm/vrift_board_%s", text + 17);
}

static int create(const char *run, const char *root, int no_stage) {
  static uint8_t image[VR_BOARD_SIZE];
  struct vr_board_header *h = (void *)image;
  struct stat st;
  char name[64], link[4200], text[40];
  if (stat(root, &st)) die(root);
  *h = (struct vr_board_header){.magic = VR_BOARD_MAGIC, .version = VR_BOARD_VERSION, .file_size = VR_BOARD_SIZE, .uid = geteuid()};
  if (getrandom(&h->board_id, 8, 0) != 8 || getrandom(&h->hash_seed, 8, 0) != 8) die("getrandom");
  h->root_dev = st.st_dev;
  h->root_ino = st.st_ino;
  h->project_id = vr_hash64(root, strlen(root), 0);
  h->checksum = vr_hash64(h, offsetof(struct vr_board_header, checksum), VR_BOARD_MAGIC);
  ((struct vr_board_dyn *)(void *)(image + VR_BOARD_DYN_OFFSET))->no_stage = (uint32_t)no_stage;
  snprintf(name, sizeof name, "/dev/shm/vrift_board_%016llx", (unsigned long long)h->board_id);
  int fd = open(name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW, 0600);
  if (fd < 0 || write(fd, image, sizeof image) != (ssize_t)sizeof image || close(fd)) die(name);
  snprintf(text, sizeof text, "%016llx.%016llx", 0ull, (unsigned long long)h->board_id);
  snprintf(link, sizeof link, "%s/map", run);
  if (symlink(text, link)) die(link);
  return 0;
}

static int records(const char *run) {
  char name[64];
  unsigned kinds[8] = {0};
  struct vr_board b = {0};
  map_of(run, name);
  int fd = open(name, O_RDWR);
  void *p = fd < 0 ? MAP_FAILED : mmap(NULL, VR_BOARD_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (p == MAP_FAILED || vr_board_attach(&b, p, VR_BOARD_SIZE)) die(name);
  unsigned staged = 0, dead = 0;
  for (unsigned i = 0; i < VR_BOARD_RECORDS; i++)
    if (b.records[i].state == VR_BOARD_RECORD_LIVE && kill((pid_t)b.records[i].pid, 0) && errno == ESRCH && b.records[i].kind != VR_BOARD_KIND_ESCAPED)
      dead++; /* the daemon's to free */
    else if (b.records[i].state == VR_BOARD_RECORD_LIVE) kinds[b.records[i].kind & 7]++;
    else if (b.records[i].state != VR_BOARD_RECORD_FREE) kinds[0]++;
  for (unsigned i = 0; i < VR_BOARD_STAGED; i++) staged += VR_STAGED_STATE(b.staged[i].state) != VR_BOARD_STAGED_FREE;
  printf("OP %u HELD %u BLIND %u ESCAPED %u STAGED %u CLAIMED %u overflow %u dead %u staged %llu\n", kinds[VR_BOARD_KIND_OP], kinds[VR_BOARD_KIND_HELD],
         kinds[VR_BOARD_KIND_BLIND], kinds[VR_BOARD_KIND_ESCAPED], staged, kinds[0], b.dyn->overflow, dead,
         (unsigned long long)b.dyn->stats[VR_STAT_STAGED]);
  return 0;
}

int main(int argc, char **argv) {
  if (argc >= 4 && !strcmp(argv[1], "create")) return create(argv[2], argv[3], argc > 4);
  if (argc == 3 && !strcmp(argv[1], "records")) return records(argv[2]);
  if (argc == 3 && !strcmp(argv[1], "remove")) {
    char name[64], link[4200];
    map_of(argv[2], name);
    snprintf(link, sizeof link, "%s/map", argv[2]);
    return unlink(name) | unlink(link) ? 1 : 0;
  }
  fprintf(stderr, "usage: board_tool create RUN ROOT [no_stage] | records RUN | remove RUN\n");
  return 2;
}
