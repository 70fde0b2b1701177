/* What `vrift run` wants to know at the end stands on the board: was the library loaded, and is there anything to roll back or rolled back
 * already? Mostly there is nothing, and then nobody has to be asked. Read, not mapped: a file that is cut off must not kill us. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "launcher.h"
#include "vrift_layout.h"

static int read_words(struct glance *g, struct vr_board_dyn *to) {
  return pread(g->fd, to, sizeof *to, VR_BOARD_DYN_OFFSET) == (ssize_t)sizeof *to ? 0 : -1;
}

void glance_open(struct glance *g, const char *board) {
  char name[64];
  struct stat st;
  struct vr_board_header h;
  struct vr_board_dyn dyn;
  g->fd = -1;
  if (strlen(board) != 16 || strspn(board, "0123456789abcdef") != 16) return;
  snprintf(name, sizeof name, "/dev/shm/vrift_board_%s", board);
  g->fd = open(name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
  if (g->fd < 0) return;
  if (fstat(g->fd, &st) || !S_ISREG(st.st_mode) || st.st_uid != geteuid() || st.st_size != VR_BOARD_SIZE ||
      pread(g->fd, &h, sizeof h, 0) != (ssize_t)sizeof h || h.magic != VR_BOARD_MAGIC || h.version != VR_BOARD_VERSION || read_words(g, &dyn)) {
    glance_close(g);
    return;
  }
  g->loads = dyn.loads;
  g->rolled_back = dyn.rolled_back;
}

int glance_quiet(struct glance *g, int64_t *loads) {
  struct vr_board_dyn dyn;
  if (g->fd < 0 || read_words(g, &dyn) || dyn.superseded || dyn.staged_count || dyn.rolled_back != g->rolled_back) return 0;
  *loads = dyn.loads - g->loads;
  return 1;
}

void glance_close(struct glance *g) {
  if (g->fd >= 0) close(g->fd);
  g->fd = -1;
}
