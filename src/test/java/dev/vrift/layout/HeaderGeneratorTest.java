package dev.vrift.layout;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;

/** The committed header is what the Java layouts generate; a drift on either side fails here. */
final class HeaderGeneratorTest {
  @Test
  void theCommittedHeaderIsTheGeneratedOne() throws IOException {
    String committed = Files.readString(Path.of("native/include/vrift_layout.h"));
    assertEquals(HeaderGenerator.generate(), committed, "native/include/vrift_layout.h is out of date: run `make layout`");
  }
}
