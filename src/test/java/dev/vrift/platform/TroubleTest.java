package dev.vrift.platform;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.io.IOException;
import java.nio.charset.MalformedInputException;
import java.nio.file.AccessDeniedException;
import java.nio.file.FileSystemException;
import java.nio.file.NoSuchFileException;
import org.junit.jupiter.api.Test;

class TroubleTest {
  @Test
  void exceptionsOfFilesSayWhatAndWhy() {
    assertEquals("/a: permission denied", Trouble.of(new AccessDeniedException("/a")));
    assertEquals("/a: no such file or directory", Trouble.of(new NoSuchFileException("/a")));
    assertEquals("/a: Not a directory", Trouble.of(new FileSystemException("/a", null, "Not a directory")));
    assertEquals("/a: none is kept", Trouble.of(new NoSuchFileException("/a", null, "none is kept")));
    assertEquals("is not UTF-8 text", Trouble.of(new MalformedInputException(1)));
    assertEquals("disk full", Trouble.of(new IOException("disk full")));
    assertEquals("IllegalStateException: odd", Trouble.of(new IllegalStateException("odd")));
    assertEquals("java.io.IOException", Trouble.of(new IOException()));
  }
}
