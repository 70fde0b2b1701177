/* What a command is given open for writing: `vrift run -- make >build.log` in the project. Nothing of ours saw that open, and what is written through
 * it passes every record. So the first process leaves a record of the inode, which the daemon frees when nobody has it open for writing any more. */
#include "writer.h"

#define INHERITED_MAX 10 /* descriptors that a shell redirects */

void shim_fd_inherited(void) {
  for (int fd = 0; fd < INHERITED_MAX; fd++) {
    struct stat st;
    struct vr_intent in;
    if (raw_fstat(fd, &st) < 0 || !S_ISREG(st.st_mode)) continue;
    long flags = raw2(SYS_fcntl, fd, F_GETFL);
    if (raw_failed(flags) || (flags & O_ACCMODE) == O_RDONLY) continue;
    vr_intent_init(&in);
    shim_intent_fd(&in, fd);
    if (!in.nslots) continue; /* not in the project */
    int token = shim_mut_begin(&in);
    if (token != SHIM_MUT_NONE) shim_token_keep(token, VR_BOARD_KIND_ESCAPED, st.st_ino);
  }
}
