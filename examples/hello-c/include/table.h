/* A hash table from words to counts. Owns its keys. */
#ifndef TABLE_H
#define TABLE_H
#include <stddef.h>
struct table;
struct entry {
  const char *word;
  unsigned long count;
};
struct table *table_new(void); /* NULL: no memory */
void table_free(struct table *t);
int table_add(struct table *t, const char *word); /* 0, or -1: no memory */
size_t table_size(const struct table *t);
/* Copies all entries, in no order, to out[table_size(t)]. */
void table_entries(const struct table *t, struct entry *out);
#endif
