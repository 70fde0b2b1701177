package dev.vrift.platform;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNull;

import java.util.List;
import org.junit.jupiter.api.Test;

class SpellingTest {
  @Test
  void aWordIsNearOnlyIfMostOfItIsRight() {
    List<String> known = List.of("status", "stats", "gc", "run");
    assertEquals("stats", Spelling.nearest("statsu", known));
    assertEquals("status", Spelling.nearest("sttaus", known));
    assertEquals("run", Spelling.nearest("rn", known));
    assertNull(Spelling.nearest("", known));
    assertNull(Spelling.nearest("x", known));
    assertNull(Spelling.nearest("frobnicate", known));
    assertEquals("", Spelling.hint("frobnicate", known));
  }
}
