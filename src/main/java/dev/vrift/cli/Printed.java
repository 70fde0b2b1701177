package dev.vrift.cli;

import java.io.FileDescriptor;
import java.io.FileOutputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;

/** Standard output that remembers why it could not be written: {@link PrintStream} only knows that. */
final class Printed extends OutputStream {
  private final OutputStream to;
  private IOException failure;

  private Printed(OutputStream to) {
    this.to = to;
  }

  /** Takes over {@link System#out}. */
  static Printed begin() {
    Printed p = new Printed(new FileOutputStream(FileDescriptor.out));
    System.setOut(new PrintStream(new java.io.BufferedOutputStream(p), false, StandardCharsets.UTF_8));
    return p;
  }

  /** Why something is missing, or null. A reader who has gone wants no more: an empty text. */
  String failure() {
    System.out.flush();
    if (failure == null) {
      return null;
    }
    String why = String.valueOf(failure.getMessage());
    return why.contains("Broken pipe") ? "" : why;
  }

  @Override
  public void write(int b) throws IOException {
    write(new byte[] {(byte) b}, 0, 1);
  }

  @Override
  public void write(byte[] bytes, int from, int length) throws IOException {
    try {
      to.write(bytes, from, length);
    } catch (IOException e) {
      failure = failure == null ? e : failure;
      throw e;
    }
  }
}
