/* shim_next_symbol must find what dlsym(RTLD_NEXT) finds, for every name that the library stands in front of.
 * LINK: shim/next_symbol.c */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void *shim_next_symbol(const char *name);

static int failures, names;
static void compare(const char *name) {
  void *ours = shim_next_symbol(name), *theirs = dlsym(RTLD_NEXT, name);
  names++;
  if (ours != theirs) failures++, printf("%s: %p, dlsym says %p\n", name, ours, theirs);
}

int main(void) {
  static const char *const some[] = {"open", "open64", "fopen", "fclose", "memcpy", "strlen", "time", "gettimeofday", "clock_gettime", "pthread_create",
                                     "sem_wait", "dlsym", "no_such_function", "", "environ", "stdout", "__xstat", "_IO_getc", "posix_spawn", "realpath",
                                     "fmemopen", "regexec", "pthread_cond_wait", "memchr", "errno", "sys_errlist"};
  for (size_t i = 0; i < sizeof some / sizeof *some; i++)
    if (strcmp(some[i], "errno")) compare(some[i]);
  char path[4200], name[200];
  snprintf(path, sizeof path, "%s/gen/symbols.txt", getenv("OUT") ? getenv("OUT") : ".");
  FILE *f = fopen(path, "r");
  while (f && fscanf(f, "%199s", name) == 1) compare(name);
  if (f) fclose(f);
  printf("next symbol: %d names, %d differ\n", names, failures);
  return failures != 0;
}
