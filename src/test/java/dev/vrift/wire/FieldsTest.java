package dev.vrift.wire;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;

import java.nio.charset.StandardCharsets;
import java.util.Random;
import org.junit.jupiter.api.Test;

class FieldsTest {
  @Test
  void everyByteSurvives() throws WireException {
    byte[] all = new byte[256];
    for (int i = 0; i < 256; i++) {
      all[i] = (byte) i;
    }
    byte[] encoded = new Fields().put("root", all).put("empty", "").put("n", -5).encode();
    for (byte b : encoded) {
      assertEquals(true, b == '\n' || b >= 0x21 && b <= 0x7e);
    }
    Fields back = Fields.parse(encoded);
    assertArrayEquals(all, back.bytes("root"));
    assertEquals("", back.text("empty"));
    assertEquals(-5, back.number("n", 0));
    assertEquals(7, back.number("absent", 7));
    assertNull(back.bytes("absent"));
  }

  @Test
  void refusesWhatIsNotFields() {
    for (String bad : new String[] {"novalue\n", "=x\n", "a=%\n", "a=%4", "a=%zz\n", "\n", "a=1\n\nb=2\n"}) {
      WireException e = assertThrows(WireException.class, () -> Fields.parse(bad.getBytes(StandardCharsets.US_ASCII)), bad);
      assertEquals(WireException.Kind.MALFORMED, e.kind());
    }
    assertThrows(WireException.class, () -> Fields.parse("n=x\n".getBytes(StandardCharsets.US_ASCII)).number("n", 0));
    assertThrows(WireException.class, () -> new Fields().required("root"));
  }

  @Test
  void anyBytesAreFieldsOrRefused() {
    long seed = 20261124;
    Random random = new Random(seed);
    for (int i = 0; i < 20_000; i++) {
      byte[] junk = new byte[random.nextInt(60)];
      random.nextBytes(junk);
      for (int j = 0; j < junk.length; j++) {
        if (random.nextInt(3) == 0) {
          junk[j] = (byte) "=\n%Aa0".charAt(random.nextInt(6));
        }
      }
      try {
        Fields.parse(junk);
      } catch (WireException e) {
        assertEquals(WireException.Kind.MALFORMED, e.kind(), "seed " + seed + " round " + i);
      }
    }
  }
}
