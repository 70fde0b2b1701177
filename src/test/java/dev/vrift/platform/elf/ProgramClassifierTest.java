package dev.vrift.platform.elf;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Real ELF files, made by the compiler that vrift needs anyway. */
class ProgramClassifierTest {
  @TempDir Path temp;

  /** A library whose text holds bytes that read as instructions, among them {@code syscall}, under a symbol of this type. */
  private Path library(String type, String inside) throws Exception {
    Path source = temp.resolve(type + inside.length() + ".s");
    Path out = temp.resolve(type + inside.length() + ".so");
    Files.writeString(
        source,
        ".text\n.globl t\n.type t,@" + type + "\nt:\n.fill 40,1,0x90\n" + inside + ".byte 0x0f,0x05\n.fill 8,1,0x90\nret\n.size t,.-t\n"
            + ".globl f\n.type f,@function\nf: ret\n.size f,.-f\n.section .note.GNU-stack,\"\",@progbits\n");
    int code = new ProcessBuilder("gcc", "-shared", "-nostdlib", "-o", out.toString(), source.toString()).inheritIO().start().waitFor();
    assertEquals(0, code);
    return out;
  }

  @Test
  void systemCallsOfItsOwnMakeLeaky() throws Exception {
    assertEquals(ProgramClassifier.Verdict.LEAKY, new ProgramClassifier().classify(library("function", "")));
  }

  @Test
  void tablesAmongCodeAreNotCode() throws Exception {
    assertEquals(ProgramClassifier.Verdict.SEEN, new ProgramClassifier().classify(library("object", "")));
  }

  @Test
  void aFunctionWithinATableIsCode() throws Exception {
    assertEquals(ProgramClassifier.Verdict.LEAKY, new ProgramClassifier().classify(library("object", ".globl g\n.type g,@function\ng:\n")));
  }

  @Test
  void theSystemsOwnLibraryIsTrusted() throws Exception {
    Path libc = Path.of("/lib/x86_64-linux-gnu/libc.so.6");
    org.junit.jupiter.api.Assumptions.assumeTrue(Files.exists(libc), "no " + libc);
    assertEquals(ProgramClassifier.Verdict.SEEN, new ProgramClassifier().classify(libc));
  }
}
