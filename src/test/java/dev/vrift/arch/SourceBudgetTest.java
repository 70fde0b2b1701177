package dev.vrift.arch;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;

/** No file grows past what can be read in one sitting, and integration tests are found by their runner. */
final class SourceBudgetTest {
  private static final int LINES_MAX = 700;

  @Test
  void noSourceFileHasMoreThan700Lines() throws IOException {
    List<String> tooLong = new ArrayList<>();
    int seen = 0;
    for (Path file : sources()) {
      seen++;
      long lines = Files.readString(file, StandardCharsets.ISO_8859_1).lines().count();
      if (lines > LINES_MAX) {
        tooLong.add(file + ": " + lines);
      }
    }
    assertTrue(seen > 10, "sources were not found; run from the root of the tree");
    assertEquals(List.of(), tooLong);
  }

  /** src/it/java classes with tests end in IT (run by failsafe against build/dist), those in src/test/java end in Test. */
  @Test
  void testClassesAreNamedAsTheirRunnerExpects() throws IOException {
    List<String> lost = new ArrayList<>();
    for (Path file : sources()) {
      String path = file.toString().replace('\\', '/');
      if (!path.endsWith(".java") || !Files.readString(file).contains("org.junit.jupiter.api.Test;")) {
        continue;
      }
      if (path.startsWith("src/it/") && !path.endsWith("IT.java") || path.startsWith("src/test/") && !path.endsWith("Test.java")) {
        lost.add(path);
      }
    }
    assertEquals(List.of(), lost);
  }

  private static List<Path> sources() throws IOException {
    List<Path> all = new ArrayList<>();
    for (String root : List.of("src", "native", "bench", "scripts")) {
      if (Files.isDirectory(Path.of(root))) {
        try (Stream<Path> files = Files.walk(Path.of(root))) {
          files.filter(Files::isRegularFile).filter(f -> !f.toString().contains("/results/")).forEach(all::add);
        }
      }
    }
    return all;
  }
}
