package dev.vrift.platform.elf;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.HexFormat;
import org.junit.jupiter.api.Test;

final class SyscallScannerTest {
  private static byte[] code(String hex) {
    return HexFormat.of().parseHex(hex.replace(" ", ""));
  }

  private static int length(String hex) {
    byte[] c = code(hex);
    return InstructionLength.at(c, 0, c.length);
  }

  @Test
  void knowsLengths() {
    assertEquals(1, length("90"));
    assertEquals(1, length("c3 00"));
    assertEquals(5, length("b8 01 00 00 00"));
    assertEquals(10, length("48 b8 01 02 03 04 05 06 07 08"));
    assertEquals(4, length("66 b8 01 00"));
    assertEquals(7, length("48 8b 05 01 02 03 04"));
    assertEquals(8, length("48 8b 04 25 01 02 03 04"));
    assertEquals(5, length("48 8b 44 24 08"));
    assertEquals(6, length("0f 84 01 02 03 04"));
    assertEquals(4, length("c5 f8 28 c1"));
    assertEquals(3, length("c5 f8 77"));
    assertEquals(6, length("62 f1 7c 48 28 c1"));
    assertEquals(10, length("f7 05 01 02 03 04 05 06 07 08"));
    assertEquals(2, length("f7 d0"));
    assertEquals(6, length("66 0f 3a 0f c1 08"));
    assertEquals(0, length("06"));
    assertEquals(0, length("48 8b"), "truncated");
  }

  @Test
  void findsARealSystemCall() {
    assertTrue(SyscallScanner.hasSyscall(code("55 48 89 e5 b8 08 01 00 00 0f 05 5d c3"), 0, 13));
    assertTrue(SyscallScanner.hasSyscall(code("89 f8 48 89 d6 0f 05 c3"), 0, 8), "number from a register");
  }

  @Test
  void isNotFooledByImmediatesAndDisplacements() {
    assertFalse(SyscallScanner.hasSyscall(code("b8 0f 05 00 00 c3"), 0, 6));
    assertFalse(SyscallScanner.hasSyscall(code("48 8b 05 0f 05 00 00 c3"), 0, 8));
    assertFalse(SyscallScanner.hasSyscall(code("e8 00 0f 05 00 c3"), 0, 6));
  }
}
