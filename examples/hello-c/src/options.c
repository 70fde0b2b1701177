#include "options.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { DEFAULT_TOP = 10 };

int options_parse(int argc, char **argv, struct options *out) {
  *out = (struct options){DEFAULT_TOP, 1};
  if (argc > 1 && !strcmp(argv[1], "-n")) {
    char *end;
    if (argc < 3 || (out->top = strtoul(argv[2], &end, 10)) == 0 || *end) {
      fprintf(stderr, "wordcount: -n wants a number above 0\n");
      return -1;
    }
    out->first_file = 3;
  }
  if (out->first_file >= argc) {
    fprintf(stderr, "usage: wordcount [-n TOP] FILE...\n");
    return -1;
  }
  return 0;
}
