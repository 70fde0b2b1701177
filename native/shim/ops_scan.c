/* The variadic forms of stdio input: edges like the rest, through the functions that take a va_list. */
#include "interpose_gen.h"
#include "internal.h"

#define SCAN(name, vname, stream_of, format)                                              \
  int hook_##name {                                                                              \
    if (!HAVE(vname)) return (errno = ENOSYS), EOF;                                              \
    va_list ap;                                                                                  \
    va_start(ap, format);                                                                        \
    int result = real.vname(stream_of, format, ap);                                              \
    va_end(ap);                                                                                  \
    shim_edge_fd((stream_of)->_fileno);                                                          \
    return result;                                                                               \
  }
SCAN(fscanf(FILE *stream, const char *format, ...), vfscanf, stream, format)
ALIASES_fscanf
SCAN(__isoc99_fscanf(FILE *stream, const char *format, ...), __isoc99_vfscanf, stream, format)
ALIASES___isoc99_fscanf
SCAN(__isoc23_fscanf(FILE *stream, const char *format, ...), __isoc23_vfscanf, stream, format)
ALIASES___isoc23_fscanf
SCAN(scanf(const char *format, ...), vfscanf, stdin, format)
ALIASES_scanf
SCAN(__isoc99_scanf(const char *format, ...), __isoc99_vfscanf, stdin, format)
ALIASES___isoc99_scanf
SCAN(__isoc23_scanf(const char *format, ...), __isoc23_vfscanf, stdin, format)
ALIASES___isoc23_scanf

int hook_vscanf(const char *format, va_list ap) {
  if (!HAVE(vfscanf)) return (errno = ENOSYS), EOF;
  int result = real.vfscanf(stdin, format, ap);
  shim_edge_fd(stdin->_fileno);
  return result;
}
ALIASES_vscanf
int hook___isoc99_vscanf(const char *format, va_list ap) {
  if (!HAVE(__isoc99_vfscanf)) return (errno = ENOSYS), EOF;
  int result = real.__isoc99_vfscanf(stdin, format, ap);
  shim_edge_fd(stdin->_fileno);
  return result;
}
ALIASES___isoc99_vscanf
