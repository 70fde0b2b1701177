package dev.vrift.platform;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import java.util.Arrays;
import org.junit.jupiter.api.Test;

/** The same numbers as in native/test/hash_twin_test.c: both sides are held to them. */
class HashTest {
  private static byte[] data() {
    byte[] d = new byte[301];
    long x = 0x12345678L;
    for (int i = 0; i < 300; i++) {
      x = x * 6364136223846793005L + 1442695040888963407L;
      d[i] = (byte) (x >>> 56);
    }
    return d;
  }

  private static long hash(int length) {
    return Hash.hash64(data(), 0, length, length * 0x9e3779b97f4a7c15L);
  }

  @Test
  void isTheTwinOfTheHashInC() {
    assertEquals(0x42bc986dc5eec4d3L, hash(0));
    assertEquals(0x74c4d8ee79675bb9L, hash(3));
    assertEquals(0xc338dcf9c670ace7L, hash(16));
    assertEquals(0x069ff137c9909064L, hash(17));
    assertEquals(0xbe95b8cac9b9dfd5L, hash(48));
    assertEquals(0xde1d8b579b374bccL, hash(49));
    assertEquals(0xb098284055d97cabL, hash(300));
    long all = 0;
    for (int n = 0; n <= 300; n++) {
      all = Long.rotateLeft(all, 7) ^ hash(n);
    }
    assertEquals(0x89cbf73a31073f45L, all);
    assertEquals(0x41f12057, Hash.hash32(data(), 0, 77, 5));
  }

  @Test
  void hashesARangeLikeItsCopy() {
    byte[] d = data();
    for (int from = 0; from < 20; from++) {
      for (int length = 0; length < 120; length++) {
        assertEquals(Hash.hash64(Arrays.copyOfRange(d, from, from + length), 9), Hash.hash64(d, from, length, 9));
      }
    }
    assertThrows(IndexOutOfBoundsException.class, () -> Hash.hash64(d, 290, 20, 0));
    assertThrows(IndexOutOfBoundsException.class, () -> Hash.hash64(d, -1, 2, 0));
  }

  @Test
  void namesSlotsAndHex() {
    assertEquals(1, Hash.slot(0));
    assertEquals(1, Hash.slot(1L << 50));
    assertEquals(16383, Hash.slot(-1L));
    assertEquals("00000000000000ff", Hash.hex(255));
    assertEquals("fedcba9876543210", Hash.hex(0xfedcba9876543210L));
  }
}
