package dev.vrift.platform;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.TreeMap;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** The table of fault points, the places of the points in the sources, the document, and the file that arms a daemon. */
final class FaultPointTest {
  private static final Path TABLE = Path.of("native/core/vr_fault_points.def");
  private static final Pattern LINE = Pattern.compile("^VR_POINT\\((\\w+), (\\w+), (CAN|NOT), \"([^\"]+)\"\\)$", Pattern.MULTILINE);
  private static final int EPERM = 1;
  private static final int ENOENT = 2;
  private static final int EINVAL = 22;
  @TempDir Path temp;

  private record Point(String component, boolean canFail, String meaning) {}

  private static Map<String, Point> table() throws IOException {
    Map<String, Point> out = new TreeMap<>();
    Matcher m = LINE.matcher(Files.readString(TABLE));
    while (m.find()) {
      out.put(m.group(2), new Point(m.group(1), m.group(3).equals("CAN"), m.group(4)));
    }
    assertTrue(out.size() >= 25, "the table was not read");
    return out;
  }

  @AfterEach
  void disarm() throws IOException {
    Path file = file("");
    Faults.take(RunPaths.bytes(file), new byte[64]);
    FaultPoint.on = false;
  }

  private Path file(String text) throws IOException {
    Path f = temp.resolve("faults");
    Files.deleteIfExists(f);
    Files.createFile(f, PosixFilePermissions.asFileAttribute(PosixFilePermissions.fromString("rw-------")));
    return Files.writeString(f, text);
  }

  @Test
  void theEnumIsTheJavaPartOfTheTable() throws IOException {
    List<String> wanted = table().entrySet().stream().filter(e -> e.getValue().component().equals("java")).map(Map.Entry::getKey).sorted().toList();
    List<String> got = Arrays.stream(FaultPoint.values()).map(p -> p.name().toLowerCase(Locale.ROOT)).sorted().toList();
    assertEquals(wanted, got);
  }

  @Test
  void theCompiledTableIsTheFile() throws IOException {
    Map<String, Point> all = table();
    List<String> compiled = new ArrayList<>();
    for (String component : List.of("board", "stage", "shim", "engine", "jni", "launcher", "java")) {
      String names = new String(Faults.names(RunPaths.bytes(component)), StandardCharsets.US_ASCII);
      for (String name : names.lines().toList()) {
        assertEquals(component, all.get(name).component(), name);
        compiled.add(name);
      }
    }
    assertEquals(List.copyOf(all.keySet()), compiled.stream().sorted().toList());
  }

  @Test
  void everyPointStandsOnceInTheSourcesOfItsComponent() throws IOException {
    Map<String, List<String>> found = new TreeMap<>();
    collect(Path.of("native"), Pattern.compile("VR_FAULT\\((\\w+)\\)"), found);
    collect(Path.of("src/main/java"), Pattern.compile("FaultPoint\\.([A-Z_0-9]+)\\.hit\\(\\)"), found);
    List<String> wrong = new ArrayList<>();
    for (Map.Entry<String, Point> e : table().entrySet()) {
      List<String> places = found.getOrDefault(e.getKey(), List.of());
      if (places.size() != 1 || !belongs(places.getFirst(), e.getValue().component())) {
        wrong.add(e.getKey() + " of " + e.getValue().component() + " stands in " + places);
      }
      found.remove(e.getKey());
    }
    assertEquals(List.of(), wrong);
    assertEquals(Map.of(), found, "points that are not in the table");
  }

  private static boolean belongs(String place, String component) {
    return switch (component) {
      case "board" -> place.equals("native/core/vr_board.c");
      case "stage" -> place.matches("native/core/vr_(stage\\w*|salvage|sweep)\\.c");
      case "engine" -> place.startsWith("native/core/vr_engine_");
      case "java" -> place.startsWith("src/main/java/");
      default -> place.startsWith("native/" + component + "/");
    };
  }

  private static void collect(Path root, Pattern use, Map<String, List<String>> into) throws IOException {
    try (Stream<Path> all = Files.walk(root)) {
      for (Path f : all.filter(p -> p.toString().matches(".*\\.(c|java)")).filter(p -> !p.startsWith("native/test")).toList()) {
        Matcher m = use.matcher(Files.readString(f));
        while (m.find()) {
          into.computeIfAbsent(m.group(1).toLowerCase(Locale.ROOT), k -> new ArrayList<>()).add(f.toString());
        }
      }
    }
  }

  @Test
  void aFaultFileIsTakenOnceAndOnlyIfItIsOurs() throws IOException {
    byte[] name = RunPaths.bytes(temp.resolve("faults"));
    byte[] text = new byte[64];
    assertEquals(-ENOENT, Faults.take(name, text));
    Path f = file("faults_taken:delay=1:2+\n");
    assertEquals(24, Faults.take(name, text));
    assertFalse(Files.exists(f));
    FaultPoint.on = true;
    FaultPoint.FAULTS_TAKEN.hit();
    assertEquals("", new String(Faults.fired(), StandardCharsets.US_ASCII));
    FaultPoint.FAULTS_TAKEN.hit();
    FaultPoint.FAULTS_TAKEN.hit();
    assertEquals("faults_taken=2\n", new String(Faults.fired(), StandardCharsets.US_ASCII));
    file("no such point:kill");
    assertEquals(-EINVAL, Faults.take(name, text));
    assertFalse(Files.exists(f), "a wrong file would be read for ever");
    Files.setPosixFilePermissions(file("faults_taken:delay=1"), PosixFilePermissions.fromString("rw-r--r--"));
    assertEquals(-EPERM, Faults.take(name, text));
    Files.delete(f);
    Path target = Files.writeString(temp.resolve("target"), "faults_taken:delay=1");
    Files.createSymbolicLink(f, target);
    assertTrue(Faults.take(name, text) < 0, "a link is not followed");
  }

  @Test
  void nothingIsReadWithoutTheVariable() throws Exception {
    Path f = file("faults_taken:kill");
    Faults.start(temp);
    Thread.sleep(50);
    assertTrue(Files.exists(f));
    assertFalse(Faults.allowed());
  }
}
