package dev.vrift.wire;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Random;
import org.junit.jupiter.api.Test;

class JsonTest {
  @Test
  void writesWhatItReads() throws WireException {
    String nasty = "q\" b\\ n\n t\t nul\0 del\u007f ü \uD83D\uDE00";
    String text =
        new Json().object().field("schema_version", 1).field("s", nasty).field("n", Long.MIN_VALUE).field("t", true)
            .key("list").array().value(1).value((String) null).object().end().array().end().end().end().toString();
    Map<String, Object> back = JsonReader.object(text);
    assertEquals(1L, back.get("schema_version"));
    assertEquals(nasty, back.get("s"));
    assertEquals(Long.MIN_VALUE, back.get("n"));
    assertEquals(true, back.get("t"));
    assertEquals(Arrays.asList(1L, null, Map.of(), List.of()), back.get("list"));
    assertThrows(IllegalStateException.class, () -> new Json().object().toString());
    assertThrows(IllegalStateException.class, () -> new Json().end());
  }

  @Test
  void refusesBadDocuments() {
    for (String bad :
        new String[] {"", "{", "[1,]", "{\"a\"}", "{\"a\":1,}", "1 2", "\"x", "\"\\q\"", "\"\\u12\"", "tru", "nul", "-", "[".repeat(100), "{a:1}"}) {
      assertThrows(WireException.class, () -> JsonReader.parse(bad), bad);
    }
    assertThrows(WireException.class, () -> JsonReader.object("[]"));
  }

  @Test
  void damagedDocumentsNeverEscape() {
    String good = new Json().object().field("a", "b\\\"").key("c").array().value(1).value(true).end().end().toString();
    long seed = 7;
    Random random = new Random(seed);
    List<String> escaped = new ArrayList<>();
    for (int i = 0; i < 20_000; i++) {
      char[] c = good.toCharArray();
      for (int k = random.nextInt(4); k >= 0; k--) {
        c[random.nextInt(c.length)] = (char) random.nextInt(128);
      }
      try {
        JsonReader.parse(new String(c));
      } catch (WireException e) {
        continue;
      } catch (RuntimeException e) {
        escaped.add(new String(c) + ": " + e);
      }
    }
    assertEquals(List.of(), escaped, "seed " + seed);
  }
}
