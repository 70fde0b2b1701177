#include "table.h"
#include <stdlib.h>
#include <string.h>
#include "hash.h"

struct slot {
  char *word;
  unsigned long count;
};
struct table {
  struct slot *slots;
  size_t capacity, used;
};
enum { FIRST_CAPACITY = 64 };

struct table *table_new(void) {
  struct table *t = calloc(1, sizeof *t);
  if (!t) return NULL;
  t->capacity = FIRST_CAPACITY;
  t->slots = calloc(t->capacity, sizeof *t->slots);
  if (!t->slots) {
    free(t);
    return NULL;
  }
  return t;
}

void table_free(struct table *t) {
  for (size_t i = 0; i < t->capacity; i++) free(t->slots[i].word);
  free(t->slots);
  free(t);
}

static struct slot *find(struct slot *slots, size_t capacity, const char *word) {
  size_t i = hash_bytes(word, strlen(word)) & (capacity - 1);
  while (slots[i].word && strcmp(slots[i].word, word)) i = (i + 1) & (capacity - 1);
  return &slots[i];
}

static int grow(struct table *t) {
  size_t capacity = t->capacity * 2;
  struct slot *slots = calloc(capacity, sizeof *slots);
  if (!slots) return -1;
  for (size_t i = 0; i < t->capacity; i++)
    if (t->slots[i].word) *find(slots, capacity, t->slots[i].word) = t->slots[i];
  free(t->slots);
  t->slots = slots;
  t->capacity = capacity;
  return 0;
}

int table_add(struct table *t, const char *word) {
  if (t->used * 2 >= t->capacity && grow(t)) return -1;
  struct slot *s = find(t->slots, t->capacity, word);
  if (!s->word) {
    size_t n = strlen(word) + 1;
    s->word = malloc(n);
    if (!s->word) return -1;
    memcpy(s->word, word, n);
    t->used++;
  }
  s->count++;
  return 0;
}

size_t table_size(const struct table *t) { return t->used; }

void table_entries(const struct table *t, struct entry *out) {
  for (size_t i = 0; i < t->capacity; i++)
    if (t->slots[i].word) *out++ = (struct entry){t->slots[i].word, t->slots[i].count};
}
