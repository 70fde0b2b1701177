package dev.vrift.platform;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;

class VersionTest {
  @Test
  void isThatOfTheTree() throws IOException {
    assertEquals(Files.readString(Path.of("VERSION")).strip(), Version.TEXT);
  }
}
