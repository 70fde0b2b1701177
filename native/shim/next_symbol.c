/* The function of a name in the libraries behind ours, as dlsym(RTLD_NEXT) finds it, when a hook first needs it. dlsym has locks and
 * allocates when it fails, and most processes need a handful of our 140 names: this reads the GNU hash tables in place, of the libraries
 * that were there at the start (libc among them, so what was loaded later is never asked). What it does not understand is left to dlsym. */
#include <dlfcn.h>
#include <elf.h>
#include <link.h>
#include <string.h>
#include "shim.h"

/* As dlsym(RTLD_NEXT, name). Any thread, any time. */
void *shim_next_symbol(const char *name);
void *shim_find_real(void **slot, const char *name) HIDDEN;

#define LIBRARIES_MAX 32
#define NEAR_MAX 12
#define VERSION_HIDDEN 0x8000

struct library {
  uintptr_t base;
  const uint32_t *hash; /* nbuckets, first symbol, words of bloom, bloom shift; bloom, buckets, chains */
  const Elf64_Sym *symbols;
  const char *strings;
  const uint16_t *versions;
};
static struct library near_libraries[NEAR_MAX] WARM_BSS, libraries[LIBRARIES_MAX]; /* the first of libraries are not used */
static struct library *library_at(int i) { return i < NEAR_MAX ? &near_libraries[i] : &libraries[i]; }
static int library_count = -1; /* -1: not looked yet; -2: cannot be done */
static const struct link_map *last_at_start HOT_BSS;

extern ElfW(Dyn) _DYNAMIC[] HIDDEN;

void shim_remember_libraries(void) {
  const struct link_map *m = _r_debug.r_map;
  while (m && m->l_next) m = m->l_next;
  last_at_start = m;
}

static int read_library(struct library *to, const struct link_map *m) {
  struct library found = {.base = m->l_addr}, *l = &found;
  for (const Elf64_Dyn *d = m->l_ld; d->d_tag != DT_NULL; d++) {
    uintptr_t at = d->d_un.d_ptr < m->l_addr ? d->d_un.d_ptr + m->l_addr : d->d_un.d_ptr; /* ld.so relocates them, except the vdso's */
    if (d->d_tag == DT_GNU_HASH) l->hash = (const uint32_t *)at;
    else if (d->d_tag == DT_SYMTAB) l->symbols = (const Elf64_Sym *)at;
    else if (d->d_tag == DT_STRTAB) l->strings = (const char *)at;
    else if (d->d_tag == DT_VERSYM) l->versions = (const uint16_t *)at;
  }
  if (!l->hash || !l->symbols || !l->strings) return 0;
  *to = found;
  return l->hash[0] > 0 && l->hash[2] > 0;
}

/* Every library behind ours must be understood: one left out could be the one that answers. Two threads that come at once write the
 * same. Returns the count, or -2. */
static int read_libraries(void) {
  const struct link_map *m = _r_debug.r_map;
  int n = 0;
  while (m && m->l_ld != _DYNAMIC) m = m->l_next;
  if (!m) return -2;
  while (m != last_at_start && (m = m->l_next)) {
    if (m->l_name && strstr(m->l_name, "linux-vdso")) continue;
    if (n == LIBRARIES_MAX || !m->l_ld || !read_library(library_at(n++), m)) return -2;
  }
  return n;
}

static uint32_t gnu_hash(const char *name) {
  uint32_t h = 5381;
  for (const unsigned char *p = (const unsigned char *)name; *p; p++) h = h * 33 + *p;
  return h;
}

/* 1: *found is the answer (NULL: this library has none). 0: dlsym must say. */
static int look(const struct library *l, const char *name, uint32_t hash, void **found) {
  const uint32_t nbuckets = l->hash[0], first = l->hash[1], words = l->hash[2], shift = l->hash[3];
  const uint64_t *bloom = (const uint64_t *)(const void *)(l->hash + 4);
  const uint32_t *buckets = (const uint32_t *)(bloom + words), *chains = buckets + nbuckets;
  uint64_t word = bloom[(hash / 64) & (words - 1)];
  *found = NULL;
  if (!((word >> (hash % 64)) & (word >> ((hash >> shift) % 64)) & 1)) return 1;
  uint32_t i = buckets[hash % nbuckets];
  if (i < first) return 1;
  for (;; i++) {
    uint32_t chain = chains[i - first];
    const Elf64_Sym *s = &l->symbols[i];
    if ((chain | 1) == (hash | 1) && s->st_shndx != SHN_UNDEF && !strcmp(l->strings + s->st_name, name) &&
        !(l->versions && (l->versions[i] & VERSION_HIDDEN))) {
      int type = ELF64_ST_TYPE(s->st_info);
      if (type != STT_FUNC && type != STT_NOTYPE) return 0; /* an indirect function: its resolver must run */
      *found = (void *)(l->base + s->st_value);
      return 1;
    }
    if (chain & 1) return 1;
  }
}

void *shim_next_symbol(const char *name) {
  uint32_t hash = gnu_hash(name);
  int count = __atomic_load_n(&library_count, __ATOMIC_ACQUIRE);
  if (count == -1) __atomic_store_n(&library_count, count = read_libraries(), __ATOMIC_RELEASE);
  for (int i = 0; i < count; i++) {
    void *found;
    if (!look(library_at(i), name, hash, &found)) return dlsym(RTLD_NEXT, name);
    if (found) return found;
  }
  return count < 0 ? dlsym(RTLD_NEXT, name) : NULL;
}

void *shim_find_real(void **slot, const char *name) {
  void *found = shim_next_symbol(name);
  __atomic_store_n(slot, found, __ATOMIC_RELAXED);
  return found;
}
