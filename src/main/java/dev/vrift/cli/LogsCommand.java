package dev.vrift.cli;

import dev.vrift.platform.Trouble;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** {@code vrift logs}. */
final class LogsCommand {
  private static final int LOOK_MS = 250;
  private static final long FIRST_BYTES = 64 * 1024;

  private LogsCommand() {}

  static int run(Place place, List<String> words) throws Failure, InterruptedException {
    Arguments a = Arguments.parse("logs", words, 0, "-f", "--all");
    boolean project = place.rootProblem() == null && place.runProblem() == null;
    Map<Path, Long> read = new LinkedHashMap<>();
    if (a.has("--all") || !project) {
      read.put(place.dirs().log("vriftd"), -1L);
    }
    if (project) {
      read.put(place.dirs().log(place.project().id()), -1L);
    }
    for (Path log : read.keySet()) {
      if (!Files.exists(log)) {
        System.err.println("vrift: there is no " + log + " yet" + (a.has("-f") ? ": waiting for it" : ""));
      }
    }
    do {
      for (Map.Entry<Path, Long> e : read.entrySet()) {
        try {
          e.setValue(show(e.getKey(), e.getValue(), read.size() > 1));
        } catch (IOException x) {
          throw new Failure(Failure.NEGATIVE, Trouble.of(x));
        }
      }
      System.out.flush();
      if (a.has("-f")) {
        if (System.out.checkError()) {
          return 0;
        }
        Thread.sleep(LOOK_MS);
      }
    } while (a.has("-f"));
    return 0;
  }

  /** Prints what was added since {@code from} (-1: the last lines); a log that became shorter was turned over. Returns the new end. */
  private static long show(Path log, long from, boolean headline) throws IOException {
    if (!Files.exists(log)) {
      return from;
    }
    try (FileChannel in = FileChannel.open(log, StandardOpenOption.READ)) {
      long size = in.size();
      long at = from < 0 ? Math.max(0, size - FIRST_BYTES) : from > size ? 0 : from;
      if (at == size) {
        return size;
      }
      if (headline) {
        System.out.println("==> " + log + " <==");
      }
      byte[] chunk = new byte[(int) Math.min(size - at, FIRST_BYTES)];
      int n = in.read(ByteBuffer.wrap(chunk), at);
      int skip = 0;
      if (from < 0 && at > 0) {
        while (skip < n && chunk[skip++] != '\n') {
          // The first line shown is a whole one.
        }
      }
      System.out.write(chunk, skip, Math.max(0, n - skip));
      return at + Math.max(0, n);
    }
  }
}
