/* The one hash of vrift: path hashes, checksums, project ids. A multiply-fold hash in the family of wyhash (public domain
 * idea by Wang Yi): 128-bit products folded to 64 bits, three lanes above 48 bytes. Not cryptographic; path hashes are
 * seeded at random per board and every hit compares the whole path. dev.vrift.platform.Hash is its Java twin; a test
 * compares the two. Little-endian only. */
#ifndef VR_HASH_H
#define VR_HASH_H
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define VR_HASH_K0 0xa0761d6478bd642full
#define VR_HASH_K1 0xe7037ed1a0b428dbull
#define VR_HASH_K2 0x8ebc6af09c88c6e3ull
#define VR_HASH_K3 0x589965cc75374cc3ull

static inline uint64_t vr_mum(uint64_t a, uint64_t b) {
  __uint128_t p = (__uint128_t)a * b;
  return (uint64_t)p ^ (uint64_t)(p >> 64);
}
static inline uint64_t vr_rd8(const uint8_t *p) { uint64_t v; __builtin_memcpy(&v, p, 8); return v; }
static inline uint64_t vr_rd4(const uint8_t *p) { uint32_t v; __builtin_memcpy(&v, p, 4); return v; }

static inline uint64_t vr_hash64(const void *data, size_t len, uint64_t seed) {
  const uint8_t *p = (const uint8_t *)data;
  uint64_t a, b;
  seed ^= VR_HASH_K0;
  if (len <= 16) {
    if (len >= 4) {
      size_t half = (len >> 3) << 2;
      a = (vr_rd4(p) << 32) | vr_rd4(p + half);
      b = (vr_rd4(p + len - 4) << 32) | vr_rd4(p + len - 4 - half);
    } else if (len > 0) {
      a = ((uint64_t)p[0] << 16) | ((uint64_t)p[len >> 1] << 8) | p[len - 1];
      b = 0;
    } else {
      a = b = 0;
    }
  } else {
    size_t i = len;
    if (i > 48) {
      uint64_t s1 = seed, s2 = seed;
      do {
        seed = vr_mum(vr_rd8(p) ^ VR_HASH_K1, vr_rd8(p + 8) ^ seed);
        s1 = vr_mum(vr_rd8(p + 16) ^ VR_HASH_K2, vr_rd8(p + 24) ^ s1);
        s2 = vr_mum(vr_rd8(p + 32) ^ VR_HASH_K3, vr_rd8(p + 40) ^ s2);
        p += 48;
        i -= 48;
      } while (i > 48);
      seed ^= s1 ^ s2;
    }
    while (i > 16) {
      seed = vr_mum(vr_rd8(p) ^ VR_HASH_K1, vr_rd8(p + 8) ^ seed);
      p += 16;
      i -= 16;
    }
    a = vr_rd8(p + i - 16);
    b = vr_rd8(p + i - 8);
  }
  return vr_mum(VR_HASH_K1 ^ (uint64_t)len, vr_mum(a ^ VR_HASH_K1, b ^ seed));
}
static inline uint32_t vr_hash32(const void *data, size_t len, uint64_t seed) {
  uint64_t h = vr_hash64(data, len, seed);
  return (uint32_t)(h ^ (h >> 32));
}
/* The slot of a path hash: its top 14 bits, so that the entries of a slot lie in neighbouring buckets. 0 is G. */
static inline uint32_t vr_slot(uint64_t path_hash) {
  uint32_t s = (uint32_t)(path_hash >> 50);
  return s ? s : 1;
}
/* First bucket probed; then (b + 1) & (buckets - 1) while the bucket is full. buckets is a power of two. */
static inline uint64_t vr_bucket_of(uint64_t path_hash, uint64_t buckets) {
  return buckets <= 1 ? 0 : path_hash >> (64 - __builtin_ctzll(buckets));
}
#endif
