package dev.vrift.layout;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/**
 * Both languages see the same bytes: every element of every field of every structure gets a value of its own, written by Java through
 * {@link Struct} and read by C through the members of the committed header, and the other way round. A compiler is needed, as for vrift.
 */
final class LayoutGoldenTest {
  private static final Path INCLUDE = Path.of("native/include").toAbsolutePath();
  private static final long COMPILE_SECONDS = 60;

  @TempDir Path dir;

  @Test
  void javaWritesAndCReads() throws Exception {
    compile(program());
    Path image = dir.resolve("java.bin");
    Files.write(image, image());
    List<String> expected = new ArrayList<>();
    forEachElement((s, f, element, value) -> expected.add(line(s, f, element, value)));
    assertEquals(expected, List.of(run(dir, List.of("./golden", "read", "java.bin")).split("\n")));
  }

  @Test
  void cWritesAndJavaReads() throws Exception {
    compile(program());
    run(dir, List.of("./golden", "write", "c.bin"));
    byte[] fromC = Files.readAllBytes(dir.resolve("c.bin"));
    assertEquals(ByteBuffer.wrap(image()), ByteBuffer.wrap(fromC));
  }

  @Test
  void noTwoElementsShareAValueAndNoByteIsZero() {
    List<Long> wide = new ArrayList<>();
    forEachElement(
        (s, f, element, value) -> {
          for (int b = 0; b < f.width(); b++) {
            assertNotEquals(0, (value >>> (8 * b)) & 0xff, f.name());
          }
          if (f.width() == 8) {
            wide.add(value);
          }
        });
    assertEquals(wide.size(), wide.stream().distinct().count());
  }

  @Test
  void aDriftOfTheHeaderDoesNotCompile() throws Exception {
    String header = Files.readString(INCLUDE.resolve("vrift_layout.h"));
    for (Struct s : HeaderGenerator.STRUCTS) {
      Struct.Field wide = s.fields().stream().filter(f -> f.width() > 1 && f.count() == 1).findFirst().orElseThrow();
      String declaration = "struct " + s.name() + " {\n";
      int body = header.indexOf(declaration);
      assertTrue(body >= 0, s.name());
      String old = "  uint" + wide.width() * 8 + "_t " + wide.name() + ";";
      int at = header.indexOf(old, body);
      String narrowed = header.substring(0, at) + old.replace("uint" + wide.width() * 8, "uint" + wide.width() * 4) + header.substring(at + old.length());
      Files.writeString(dir.resolve("vrift_layout.h"), narrowed);
      Files.writeString(dir.resolve("drift.c"), "#include \"vrift_layout.h\"\n");
      assertNotEquals(0, start(dir, List.of("cc", "-std=c11", "-I.", "-fsyntax-only", "drift.c")).waitFor(), s.name() + "." + wide.name());
    }
    Files.writeString(dir.resolve("vrift_layout.h"), header);
    assertEquals(0, start(dir, List.of("cc", "-std=c11", "-I.", "-fsyntax-only", "drift.c")).waitFor());
  }

  private interface ElementVisitor {
    void visit(Struct s, Struct.Field f, int element, long value);
  }

  private static void forEachElement(ElementVisitor visitor) {
    long n = 0;
    for (Struct s : HeaderGenerator.STRUCTS) {
      for (Struct.Field f : s.fields()) {
        for (int i = 0; i < f.count(); i++) {
          visitor.visit(s, f, i, value(++n, f.width()));
        }
      }
    }
  }

  /** Element n's value: no byte of it is zero, bytes within it differ from their neighbours. */
  private static long value(long n, int width) {
    long mixed = n * 0x9E3779B97F4A7C15L;
    mixed ^= mixed >>> 29;
    long v = 0;
    for (int b = 0; b < width; b++) {
      long octet = (mixed >>> (8 * b)) & 0xff;
      v |= (octet == 0 ? 0x5aL : octet) << (8 * b);
    }
    return v;
  }

  private static byte[] image() {
    int size = HeaderGenerator.STRUCTS.stream().mapToInt(Struct::size).sum();
    ByteBuffer out = ByteBuffer.allocate(size).order(ByteOrder.LITTLE_ENDIAN);
    forEachElement(
        (s, f, element, value) -> {
          int at = baseOf(s) + s.at(f.name()) + element * f.width();
          for (int b = 0; b < f.width(); b++) {
            out.put(at + b, (byte) (value >>> (8 * b)));
          }
        });
    return out.array();
  }

  private static int baseOf(Struct wanted) {
    int base = 0;
    for (Struct s : HeaderGenerator.STRUCTS) {
      if (s == wanted) {
        return base;
      }
      base += s.size();
    }
    throw new IllegalArgumentException(wanted.name());
  }

  private static String line(Struct s, Struct.Field f, int element, long value) {
    return String.format(Locale.ROOT, "%s.%s[%d]=%x", s.name(), f.name(), element, value);
  }

  /** A C program that knows the members by name only: offsets and sizes come from the compiler and the header. */
  private static String program() {
    StringBuilder read = new StringBuilder();
    StringBuilder write = new StringBuilder();
    for (Struct s : HeaderGenerator.STRUCTS) {
      read.append(String.format("  { struct %s s; if (fread(&s, sizeof s, 1, f) != 1) return 1;%n", s.name()));
      for (Struct.Field f : s.fields()) {
        String element = f.count() > 1 ? f.name() + "[i]" : f.name();
        read.append(
            String.format(
                "    for (unsigned i = 0; i < %d; i++) printf(\"%s.%s[%%u]=%%llx\\n\", i, (unsigned long long)s.%s);%n",
                f.count(), s.name(), f.name(), element));
      }
      read.append("  }\n");
      write.append(String.format("  { struct %s s; memset(&s, 0, sizeof s);%n", s.name()));
      for (Struct.Field f : s.fields()) {
        String element = f.count() > 1 ? f.name() + "[i]" : f.name();
        write.append(String.format("    for (unsigned i = 0; i < %d; i++) s.%s = value(++n, %d);%n", f.count(), element, f.width()));
      }
      write.append("    if (fwrite(&s, sizeof s, 1, f) != 1) return 1; }\n");
    }
    return """
        #include <stdio.h>
        #include <string.h>
        #include "vrift_layout.h"
        static uint64_t value(uint64_t n, int width) {
          uint64_t mixed = n * 0x9E3779B97F4A7C15ull, v = 0;
          mixed ^= mixed >> 29;
          for (int b = 0; b < width; b++) { uint64_t o = mixed >> (8 * b) & 0xff; v |= (o ? o : 0x5a) << (8 * b); }
          return v;
        }
        static int read_all(FILE *f) {
        %s  return 0; }
        static int write_all(FILE *f) { uint64_t n = 0;
        %s  return 0; }
        int main(int argc, char **argv) {
          if (argc != 3) return 2;
          FILE *f = fopen(argv[2], argv[1][0] == 'r' ? "r" : "w");
          if (!f) return 3;
          int r = argv[1][0] == 'r' ? read_all(f) : write_all(f);
          return fclose(f) || r;
        }
        """
        .formatted(read, write);
  }

  private void compile(String source) throws Exception {
    Files.writeString(dir.resolve("golden.c"), source);
    run(dir, List.of("cc", "-std=c11", "-Wall", "-Werror", "-I" + INCLUDE, "-o", "golden", "golden.c"));
  }

  private static Process start(Path where, List<String> command) throws IOException {
    return new ProcessBuilder(command).directory(where.toFile()).redirectErrorStream(true).redirectOutput(ProcessBuilder.Redirect.DISCARD).start();
  }

  private static String run(Path where, List<String> command) throws Exception {
    Path log = Files.createTempFile(where, "run", ".log");
    Process p = new ProcessBuilder(command).directory(where.toFile()).redirectErrorStream(true).redirectOutput(log.toFile()).start();
    if (!p.waitFor(COMPILE_SECONDS, TimeUnit.SECONDS)) {
      p.destroyForcibly();
      throw new AssertionError(command + ": no end within " + COMPILE_SECONDS + " s");
    }
    String said = Files.readString(log);
    assertEquals(0, p.exitValue(), () -> command + ": " + said);
    return said;
  }
}
