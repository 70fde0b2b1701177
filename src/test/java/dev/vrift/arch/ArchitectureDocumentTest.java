package dev.vrift.arch;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.TreeSet;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;

/** What the documents of entry name is there: tests behind promises, packages, links. */
final class ArchitectureDocumentTest {
  @Test
  void everyTestBehindAPromiseExists() throws IOException {
    String text = Files.readString(Path.of("ARCHITECTURE.md"));
    String promises = text.substring(text.indexOf("## Promises"), text.indexOf("## Packages"));
    String all = String.join("\n", treeOf("src"), treeOf("native/test"));
    StringBuilder scenarios = new StringBuilder();
    for (Path f : files("src/it/scenarios")) {
      if (f.toString().endsWith(".py")) {
        scenarios.append(Files.readString(f));
      }
    }
    List<String> missing = new ArrayList<>();
    Matcher m = Pattern.compile("`(\\w+Test|\\w+IT|\\w+_test\\.(?:c|sh)|[a-z0-9]+(?:_[a-z0-9]+)+)`").matcher(promises);
    int seen = 0;
    while (m.find()) {
      String name = m.group(1);
      boolean there = name.contains("_") && !name.contains(".") ? scenarios.indexOf("def " + name + "(") >= 0 : all.contains("/" + name);
      seen++;
      if (!there) {
        missing.add(name);
      }
    }
    assertTrue(seen >= 10, "no test names found in the table of promises");
    assertEquals(List.of(), missing);
  }

  @Test
  void everyPackageIsInTheMap() throws IOException {
    String text = Files.readString(Path.of("ARCHITECTURE.md"));
    List<String> missing = new ArrayList<>();
    try (Stream<Path> packages = Files.list(Path.of("src/main/java/dev/vrift"))) {
      for (Path p : packages.filter(Files::isDirectory).toList()) {
        if (!text.contains("`" + p.getFileName() + "`")) {
          missing.add(p.getFileName().toString());
        }
      }
    }
    assertEquals(List.of(), missing);
  }

  @Test
  void everyLocalLinkLeadsSomewhere() throws IOException {
    List<String> broken = new ArrayList<>();
    List<Path> documents = new ArrayList<>(files("docs"));
    documents.add(Path.of("README.md"));
    documents.add(Path.of("ARCHITECTURE.md"));
    for (Path document : documents) {
      Matcher m = Pattern.compile("\\]\\(([^)#:]+)(#[^)]*)?\\)").matcher(Files.readString(document));
      while (m.find()) {
        Path parent = document.getParent() == null ? Path.of(".") : document.getParent();
        if (!Files.exists(parent.resolve(m.group(1)))) {
          broken.add(document + ": " + m.group(1));
        }
      }
    }
    assertEquals(List.of(), broken);
  }

  private static String treeOf(String root) throws IOException {
    TreeSet<String> names = new TreeSet<>();
    for (Path f : files(root)) {
      names.add(f.toString());
    }
    return String.join("\n", names);
  }

  private static List<Path> files(String root) throws IOException {
    try (Stream<Path> walk = Files.walk(Path.of(root))) {
      return walk.filter(Files::isRegularFile).toList();
    }
  }
}
