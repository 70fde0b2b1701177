#include <stdio.h>
#include <stdlib.h>
#include "options.h"
#include "order.h"
#include "print.h"
#include "table.h"
#include "words.h"

static int count_file(struct table *t, const char *path) {
  FILE *f = fopen(path, "r");
  if (!f) {
    perror(path);
    return -1;
  }
  char word[WORD_MAX];
  int r = 0;
  while (!r && words_next(f, word)) r = table_add(t, word);
  fclose(f);
  return r;
}

int main(int argc, char **argv) {
  struct options o;
  if (options_parse(argc, argv, &o)) return 2;
  struct table *t = table_new();
  if (!t) return 1;
  for (int i = o.first_file; i < argc; i++)
    if (count_file(t, argv[i])) return 1;
  size_t n = table_size(t);
  struct entry *entries = calloc(n + 1, sizeof *entries);
  if (!entries) return 1;
  table_entries(t, entries);
  order_by_count(entries, n);
  print_entries(stdout, entries, n < o.top ? n : o.top);
  free(entries);
  table_free(t);
  return fflush(stdout) ? 1 : 0;
}
