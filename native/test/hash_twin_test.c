/* The same numbers as in dev.vrift.platform.HashTest: both sides are held to them. */
#include <stdio.h>
#include "vr_hash.h"

int main(void) {
  static const struct { int len; uint64_t hash; } known[] = {
      {0, 0x42bc986dc5eec4d3ull},  {3, 0x74c4d8ee79675bb9ull},  {16, 0xc338dcf9c670ace7ull}, {17, 0x069ff137c9909064ull},
      {48, 0xbe95b8cac9b9dfd5ull}, {49, 0xde1d8b579b374bccull}, {300, 0xb098284055d97cabull}};
  uint8_t d[300];
  uint64_t x = 0x12345678, all = 0;
  int bad = 0;
  for (int i = 0; i < 300; i++) {
    x = x * 6364136223846793005ull + 1442695040888963407ull;
    d[i] = (uint8_t)(x >> 56);
  }
  for (int n = 0; n <= 300; n++) {
    uint64_t h = vr_hash64(d, (size_t)n, (uint64_t)n * 0x9e3779b97f4a7c15ull);
    all = (all << 7 | all >> 57) ^ h;
    for (size_t k = 0; k < sizeof known / sizeof *known; k++)
      if (known[k].len == n && known[k].hash != h) bad++, printf("length %d: %016llx\n", n, (unsigned long long)h);
  }
  if (all != 0x89cbf73a31073f45ull) bad++, printf("all lengths: %016llx\n", (unsigned long long)all);
  if (vr_hash32(d, 77, 5) != 0x41f12057u) bad++, printf("hash32: %08x\n", vr_hash32(d, 77, 5));
  return bad != 0;
}
