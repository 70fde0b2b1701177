#include "print.h"

void print_entries(FILE *to, const struct entry *entries, size_t n) {
  for (size_t i = 0; i < n; i++) fprintf(to, "%6lu %s\n", entries[i].count, entries[i].word);
}
