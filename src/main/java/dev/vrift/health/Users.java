package dev.vrift.health;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.AccessDeniedException;
import java.nio.file.DirectoryStream;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;

/** Who uses a file: looks through /proc. What cannot be looked into (another user's process) is not ours and does not count. */
final class Users {
  private Users() {}

  /** Whether a process has something below {@code dir} mapped or named in its environment. True when /proc cannot be read. */
  static boolean has(Path dir) {
    String beneath = dir + "/";
    try (DirectoryStream<Path> in = Files.newDirectoryStream(Path.of("/proc"), "[0-9]*")) {
      for (Path p : in) {
        if (contains(p.resolve("maps"), beneath) || contains(p.resolve("environ"), beneath)) {
          return true;
        }
      }
      return false;
    } catch (IOException e) {
      return true;
    }
  }

  /** Whether a process maps a file. True when /proc cannot be read. */
  static boolean maps(Path file) {
    try (DirectoryStream<Path> in = Files.newDirectoryStream(Path.of("/proc"), "[0-9]*")) {
      for (Path p : in) {
        if (contains(p.resolve("maps"), file.toString())) {
          return true;
        }
      }
      return false;
    } catch (IOException e) {
      return true;
    }
  }

  /** What cannot be read for lack of descriptors or memory counts as containing everything. */
  static boolean contains(Path file, String text) {
    try {
      return new String(Files.readAllBytes(file), StandardCharsets.ISO_8859_1).contains(text);
    } catch (NoSuchFileException | AccessDeniedException | SecurityException e) {
      return false; // gone, or another user's
    } catch (IOException e) {
      return !String.valueOf(e.getMessage()).contains("No such process"); // not known (no more descriptors, no memory): then it counts as used
    }
  }
}
