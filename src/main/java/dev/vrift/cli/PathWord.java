package dev.vrift.cli;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;

/** A path as somebody typed it, and where it is in the project. Names need not be UTF-8, but Java's arguments are text: the bytes are the kernel's. */
final class PathWord {
  private static final char REPLACED = '\uFFFD';

  private PathWord() {}

  /**
   * Relative to the root, without links in its directories, as a program's call would go; empty: the root itself. Null: outside. What is not there is
   * taken as it was typed.
   */
  static byte[] beneath(String root, String word) {
    Path given = Path.of(System.getProperty("user.dir")).resolve(word);
    String real = real(given).toString();
    if (!real.equals(root) && !real.startsWith(root + "/")) {
      return null;
    }
    byte[] path = real.equals(root) ? new byte[0] : real.substring(root.length() + 1).getBytes(StandardCharsets.UTF_8);
    byte[] typed = word.indexOf(REPLACED) < 0 ? null : typed(word);
    return typed == null ? path : withNames(path, typed);
  }

  /** The path with every link in its directories followed; the last part is what is asked about. */
  private static Path real(Path given) {
    Path name = given.getFileName();
    try {
      if (name == null || name.toString().equals("..") || name.toString().equals(".")) {
        return given.toRealPath();
      }
      return given.getParent().toRealPath().resolve(name);
    } catch (IOException | RuntimeException e) {
      Path parent = given.getParent();
      return name == null || parent == null || parent.equals(given) ? given.normalize() : real(parent).resolve(name).normalize();
    }
  }

  /** The argument's own bytes. */
  private static byte[] typed(String word) {
    try {
      byte[] line = Files.readAllBytes(Path.of("/proc/self/cmdline"));
      byte[] found = null;
      for (int from = 0, at = 0; at < line.length; at++) {
        if (line[at] == 0) {
          byte[] one = Arrays.copyOfRange(line, from, at);
          found = new String(one, StandardCharsets.UTF_8).equals(word) ? one : found;
          from = at + 1;
        }
      }
      return found;
    } catch (IOException e) {
      return null;
    }
  }

  /** The last parts of a path replaced by those that were typed, as far as both have them. */
  private static byte[] withNames(byte[] path, byte[] typed) {
    String[] have = new String(path, StandardCharsets.UTF_8).split("/");
    String[] bytes = new String(typed, StandardCharsets.ISO_8859_1).split("/+");
    ByteArrayOutputStream out = new ByteArrayOutputStream();
    for (int i = 0; i < have.length; i++) {
      int k = bytes.length - have.length + i;
      byte[] own = k < 0 ? null : bytes[k].getBytes(StandardCharsets.ISO_8859_1);
      boolean same = own != null && new String(own, StandardCharsets.UTF_8).equals(have[i]);
      byte[] part = same ? own : have[i].getBytes(StandardCharsets.UTF_8);
      if (i > 0) {
        out.write('/');
      }
      out.write(part, 0, part.length);
    }
    return out.toByteArray();
  }
}
