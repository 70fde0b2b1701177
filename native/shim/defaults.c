/* Defaults for functions that live in files of their own: an incomplete build of the library links, and does without them. */
#include "shim.h"
#define DEFAULT __attribute__((weak)) HIDDEN
DEFAULT int shim_fd_kind(int fd) { (void)fd; return SHIM_FD_UNKNOWN; }
DEFAULT void shim_fd_forget(int fd) { (void)fd; }
DEFAULT void shim_fd_opened_other(int fd, int regular) { (void)fd, (void)regular; }
DEFAULT void shim_fd_opened_dir(int fd, const char *rel, int len) { (void)fd, (void)rel, (void)len; }
DEFAULT int shim_fd_dir_path(int fd, char *rel) { (void)fd, (void)rel; return -1; }
DEFAULT void shim_board_replaced(void) {}
DEFAULT void shim_stage_promote_rel(const char *rel, int len) { (void)rel, (void)len; }
DEFAULT void shim_stage_promote_children(const char *rel, int len) { (void)rel, (void)len; }
DEFAULT void shim_stage_promote_all(void) {}
DEFAULT int shim_syscall_mutate(long number, const long args[6], long *result) { (void)number, (void)args, (void)result; return 0; }
