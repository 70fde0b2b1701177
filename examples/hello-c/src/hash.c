#include "hash.h"

/* FNV-1a, 32 bits. */
uint32_t hash_bytes(const void *bytes, size_t length) {
  const unsigned char *p = bytes;
  uint32_t h = 2166136261u;
  for (size_t i = 0; i < length; i++) h = (h ^ p[i]) * 16777619u;
  return h;
}
