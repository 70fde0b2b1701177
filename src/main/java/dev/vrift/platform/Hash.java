package dev.vrift.platform;

import java.lang.invoke.MethodHandles;
import java.lang.invoke.VarHandle;
import java.nio.ByteOrder;

/** Java twin of {@code native/core/vr_hash.h} (a multiply-fold hash in the family of wyhash). Stateless. */
public final class Hash {
  private static final VarHandle LONG = MethodHandles.byteArrayViewVarHandle(long[].class, ByteOrder.LITTLE_ENDIAN);
  private static final VarHandle INT = MethodHandles.byteArrayViewVarHandle(int[].class, ByteOrder.LITTLE_ENDIAN);
  private static final long K0 = 0xa0761d6478bd642fL;
  private static final long K1 = 0xe7037ed1a0b428dbL;
  private static final long K2 = 0x8ebc6af09c88c6e3L;
  private static final long K3 = 0x589965cc75374cc3L;

  private Hash() {}

  public static long hash64(byte[] data, long seed) {
    return hash64(data, 0, data.length, seed);
  }

  /** Hash of {@code data[from, from + length)}. Throws {@link IndexOutOfBoundsException} for a range outside the array. */
  public static long hash64(byte[] data, int from, int length, long seed) {
    java.util.Objects.checkFromIndexSize(from, length, data.length);
    long s = seed ^ K0;
    long a;
    long b;
    int p = from;
    if (length <= 16) {
      if (length >= 4) {
        int half = (length >> 3) << 2;
        a = (word4(data, p) << 32) | word4(data, p + half);
        b = (word4(data, p + length - 4) << 32) | word4(data, p + length - 4 - half);
      } else if (length > 0) {
        a = ((data[p] & 0xFFL) << 16) | ((data[p + (length >> 1)] & 0xFFL) << 8) | (data[p + length - 1] & 0xFFL);
        b = 0;
      } else {
        a = 0;
        b = 0;
      }
    } else {
      int left = length;
      if (left > 48) {
        long s1 = s;
        long s2 = s;
        do {
          s = mum(word8(data, p) ^ K1, word8(data, p + 8) ^ s);
          s1 = mum(word8(data, p + 16) ^ K2, word8(data, p + 24) ^ s1);
          s2 = mum(word8(data, p + 32) ^ K3, word8(data, p + 40) ^ s2);
          p += 48;
          left -= 48;
        } while (left > 48);
        s ^= s1 ^ s2;
      }
      while (left > 16) {
        s = mum(word8(data, p) ^ K1, word8(data, p + 8) ^ s);
        p += 16;
        left -= 16;
      }
      a = word8(data, p + left - 16);
      b = word8(data, p + left - 8);
    }
    return mum(K1 ^ length, mum(a ^ K1, b ^ s));
  }

  /** The two halves of {@link #hash64} folded; the checksum of buckets and entries. */
  public static int hash32(byte[] data, int from, int length, long seed) {
    long h = hash64(data, from, length, seed);
    return (int) (h ^ (h >>> 32));
  }

  /** The slot of a path hash: its top 14 bits, 0 replaced by 1 (0 is G). */
  public static int slot(long pathHash) {
    int s = (int) (pathHash >>> 50);
    return s == 0 ? 1 : s;
  }

  /** 16 lower-case hex digits. */
  public static String hex(long value) {
    byte[] out = new byte[16];
    for (int i = 0; i < 16; i++) {
      int digit = (int) (value >>> (60 - 4 * i)) & 15;
      out[i] = (byte) (digit < 10 ? '0' + digit : 'a' + digit - 10);
    }
    return new String(out, java.nio.charset.StandardCharsets.ISO_8859_1);
  }

  private static long mum(long a, long b) {
    return (a * b) ^ Math.unsignedMultiplyHigh(a, b);
  }

  private static long word8(byte[] data, int at) {
    return (long) LONG.get(data, at);
  }

  private static long word4(byte[] data, int at) {
    return (int) INT.get(data, at) & 0xFFFFFFFFL;
  }
}
