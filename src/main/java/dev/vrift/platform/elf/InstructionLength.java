package dev.vrift.platform.elf;

/**
 * Lengths of x86-64 instructions, from the opcode maps of the Intel SDM volume 2 (appendix A). Knows nothing of meaning; an
 * invalid or truncated instruction has length 0. Stateless and thread-safe.
 */
final class InstructionLength {
  private InstructionLength() {}

  private static final int NONE = 0;
  private static final int MODRM = 1;
  private static final int IMM8 = 2;
  private static final int IMMZ = 4;
  private static final int BAD = 8;
  private static final int IMM16 = 16;

  private static final byte[] ONE = oneByteMap();
  private static final byte[] TWO = twoByteMap();

  /** Length in bytes of the instruction at {@code at}, reading no byte at or beyond {@code end}; 0 if it is none. */
  static int at(byte[] code, int at, int end) {
    int p = at;
    boolean op16 = false;
    boolean addr32 = false;
    int limit = Math.min(end, at + 15);
    while (p < limit) {
      int b = code[p] & 0xff;
      if (b == 0x66) {
        op16 = true;
      } else if (b == 0x67) {
        addr32 = true;
      } else if (b != 0xf0 && b != 0xf2 && b != 0xf3 && b != 0x2e && b != 0x36 && b != 0x3e && b != 0x26 && b != 0x64 && b != 0x65) {
        break;
      }
      p++;
    }
    boolean wide = false;
    if (p < limit && (code[p] & 0xf0) == 0x40) {
      wide = (code[p] & 8) != 0;
      p++;
    }
    if (p >= limit) {
      return 0;
    }
    int op = code[p++] & 0xff;
    if (op == 0xc5 || op == 0xc4 || op == 0x62) {
      return vector(code, at, p, op, limit);
    }
    if (op == 0x8f && p < limit && (code[p] & 0x1f) >= 8) {
      return 0; // XOP: AMD only, long withdrawn
    }
    int kind;
    if (op == 0x0f) {
      if (p >= limit) {
        return 0;
      }
      op = code[p++] & 0xff;
      if (op == 0x38 || op == 0x3a) {
        boolean immediate = op == 0x3a;
        return p + 1 > limit ? 0 : finish(at, modrm(code, p + 1, limit), immediate ? 1 : 0, limit);
      }
      kind = TWO[op];
    } else {
      kind = ONE[op];
      if (op >= 0xb8 && op <= 0xbf && wide) {
        return finish(at, p, 8, limit);
      }
      if (op >= 0xa0 && op <= 0xa3) {
        return finish(at, p, addr32 ? 4 : 8, limit);
      }
      if (op == 0xe8 || op == 0xe9) {
        return finish(at, p, 4, limit);
      }
      if (op == 0xf6 || op == 0xf7) {
        boolean test = p < limit && (code[p] & 0x38) <= 8;
        int imm = !test ? 0 : op == 0xf6 ? 1 : op16 && !wide ? 2 : 4;
        return finish(at, modrm(code, p, limit), imm, limit);
      }
    }
    if ((kind & BAD) != 0) {
      return 0;
    }
    int q = (kind & MODRM) != 0 ? modrm(code, p, limit) : p;
    int imm = 0;
    if ((kind & IMM8) != 0) {
      imm += 1;
    }
    if ((kind & IMM16) != 0) {
      imm += 2;
    }
    if ((kind & IMMZ) != 0) {
      imm += op16 && !wide ? 2 : 4;
    }
    return finish(at, q, imm, limit);
  }

  /** End of the ModRM byte at {@code p}, its SIB byte and displacement; 0 if truncated. */
  private static int modrm(byte[] code, int p, int limit) {
    if (p >= limit) {
      return 0;
    }
    int m = code[p++] & 0xff;
    int mod = m >> 6;
    int rm = m & 7;
    if (mod == 3) {
      return p;
    }
    if (rm == 4) {
      if (p >= limit) {
        return 0;
      }
      int base = code[p++] & 7;
      if (mod == 0 && base == 5) {
        return p + 4;
      }
    } else if (mod == 0 && rm == 5) {
      return p + 4;
    }
    return p + (mod == 1 ? 1 : mod == 2 ? 4 : 0);
  }

  private static int finish(int at, int p, int imm, int limit) {
    return p == 0 || p + imm > limit ? 0 : p + imm - at;
  }

  /** VEX and EVEX: the map is in the prefix. {@code p} is just after the first prefix byte. */
  private static int vector(byte[] code, int at, int p, int prefix, int limit) {
    int more = prefix == 0xc5 ? 1 : prefix == 0xc4 ? 2 : 3;
    if (p + more >= limit) {
      return 0;
    }
    int map = prefix == 0xc5 ? 1 : code[p] & (prefix == 0xc4 ? 0x1f : 7);
    if (map < 1 || map > 6) {
      return 0;
    }
    int op = code[p + more] & 0xff;
    int next = p + more + 1;
    if (map == 1 && op == 0x77) {
      return finish(at, next, 0, limit);
    }
    boolean imm = map == 3 || map == 1 && ((op >= 0x70 && op <= 0x73) || op == 0xc2 || (op >= 0xc4 && op <= 0xc6));
    return finish(at, modrm(code, next, limit), imm ? 1 : 0, limit);
  }

  private static byte[] oneByteMap() {
    byte[] m = new byte[256];
    for (int row = 0; row < 0x40; row += 8) {
      set(m, row, row + 3, MODRM);
      m[row + 4] = IMM8;
      m[row + 5] = IMMZ;
      set(m, row + 6, row + 7, BAD);
    }
    set(m, 0x60, 0x62, BAD);
    m[0x63] = MODRM;
    m[0x68] = IMMZ;
    m[0x69] = MODRM | IMMZ;
    m[0x6a] = IMM8;
    m[0x6b] = MODRM | IMM8;
    set(m, 0x70, 0x7f, IMM8);
    m[0x80] = MODRM | IMM8;
    m[0x81] = MODRM | IMMZ;
    m[0x82] = BAD;
    m[0x83] = MODRM | IMM8;
    set(m, 0x84, 0x8f, MODRM);
    m[0x9a] = BAD;
    m[0xa8] = IMM8;
    m[0xa9] = IMMZ;
    set(m, 0xb0, 0xb7, IMM8);
    set(m, 0xb8, 0xbf, IMMZ);
    set(m, 0xc0, 0xc1, MODRM | IMM8);
    m[0xc2] = IMM16;
    m[0xc6] = MODRM | IMM8;
    m[0xc7] = MODRM | IMMZ;
    m[0xc8] = IMM16 | IMM8;
    m[0xca] = IMM16;
    m[0xcd] = IMM8;
    m[0xce] = BAD;
    set(m, 0xd0, 0xd3, MODRM);
    set(m, 0xd4, 0xd6, BAD);
    set(m, 0xd8, 0xdf, MODRM);
    set(m, 0xe0, 0xe7, IMM8);
    m[0xea] = BAD;
    m[0xeb] = IMM8;
    set(m, 0xfe, 0xff, MODRM);
    return m;
  }

  private static byte[] twoByteMap() {
    byte[] m = new byte[256];
    set(m, 0x00, 0xff, MODRM);
    for (int op : new int[] {0x04, 0x0a, 0x0c, 0x24, 0x25, 0x26, 0x27, 0x36, 0x39, 0x3b, 0x3c, 0x3d, 0x3e, 0x3f}) {
      m[op] = BAD;
    }
    set(m, 0x05, 0x09, NONE);
    m[0x0b] = NONE;
    m[0x0e] = NONE;
    m[0x0f] = MODRM | IMM8;
    set(m, 0x30, 0x35, NONE);
    m[0x37] = NONE;
    set(m, 0x70, 0x73, MODRM | IMM8);
    m[0x77] = NONE;
    set(m, 0x80, 0x8f, IMMZ);
    set(m, 0xa0, 0xa2, NONE);
    m[0xa4] = MODRM | IMM8;
    set(m, 0xa8, 0xaa, NONE);
    m[0xac] = MODRM | IMM8;
    m[0xba] = MODRM | IMM8;
    m[0xc2] = MODRM | IMM8;
    set(m, 0xc4, 0xc6, MODRM | IMM8);
    set(m, 0xc8, 0xcf, NONE);
    return m;
  }

  private static void set(byte[] m, int from, int to, int kind) {
    for (int i = from; i <= to; i++) {
      m[i] = (byte) kind;
    }
  }
}
