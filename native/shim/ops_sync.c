/* The fsync family and explicit flushes: whoever asks for durability, or hands bytes over, gets them at the real path first. */
#include "writer.h"

static void before_sync(int fd) {
  if (recording() && shim_fd_kind(fd) == SHIM_FD_STAGED && !shim_in_vfork_child()) shim_stage_sync_fd(fd);
}
static void before_sync_all(void) {
  if (recording() && !shim_in_vfork_child()) shim_stage_promote_all();
}
int hook_fsync(int fd) {
  before_sync(fd);
  return LIBC(fsync) ? real.fsync(fd) : (int)raw_libc(raw1(SYS_fsync, fd));
}
ALIASES_fsync
int hook_fdatasync(int fd) {
  before_sync(fd);
  return LIBC(fdatasync) ? real.fdatasync(fd) : (int)raw_libc(raw1(SYS_fdatasync, fd));
}
ALIASES_fdatasync
int hook_sync_file_range(int fd, off64_t offset, off64_t n, unsigned flags) {
  before_sync(fd);
  return LIBC(sync_file_range) ? real.sync_file_range(fd, offset, n, flags)
                              : (int)raw_libc(raw4(SYS_sync_file_range, fd, offset, n, flags));
}
ALIASES_sync_file_range
int hook_syncfs(int fd) {
  before_sync_all();
  return LIBC(syncfs) ? real.syncfs(fd) : (int)raw_libc(raw1(SYS_syncfs, fd));
}
ALIASES_syncfs
void hook_sync(void) {
  before_sync_all();
  if (LIBC(sync)) real.sync();
  else raw0(SYS_sync);
}
ALIASES_sync

static void before_flush(FILE *stream) {
  if (!recording()) return;
  if (!stream) before_sync_all();
  else if (shim_fd_kind(stream->_fileno) == SHIM_FD_STAGED && !shim_in_vfork_child()) shim_stage_promote_fd(stream->_fileno);
}
int hook_fflush(FILE *stream) {
  if (!HAVE(fflush)) return EOF;
  before_flush(stream);
  return real.fflush(stream);
}
ALIASES_fflush
int hook_fflush_unlocked(FILE *stream) {
  if (!HAVE(fflush_unlocked)) return EOF;
  before_flush(stream);
  return real.fflush_unlocked(stream);
}
ALIASES_fflush_unlocked
