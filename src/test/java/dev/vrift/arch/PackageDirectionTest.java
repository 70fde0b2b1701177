package dev.vrift.arch;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.lang.classfile.ClassFile;
import java.lang.classfile.ClassModel;
import java.lang.classfile.constantpool.ClassEntry;
import java.lang.classfile.constantpool.MethodTypeEntry;
import java.lang.classfile.constantpool.NameAndTypeEntry;
import java.lang.classfile.constantpool.PoolEntry;
import java.lang.classfile.constantpool.Utf8Entry;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;

/**
 * Which package may use which, read from the compiled classes. The table is the map a newcomer needs: a package may use those below it
 * and never those beside or above it. ARCHITECTURE.md has it in words.
 */
final class PackageDirectionTest {
  private static final Path CLASSES = Path.of("target/classes");
  private static final String ROOT = "dev/vrift/";

  private static final Set<String> BASE = Set.of("layout", "platform");
  private static final Set<String> PARTS = with(BASE, "wire", "vdir", "meta", "cas", "watch", "config");
  private static final Set<String> SERVICES = with(PARTS, "staging", "health");
  private static final Set<String> DAEMONS = with(SERVICES, "project", "coordinator");

  /** Package → the packages it may use besides itself. "" is dev.vrift, which holds Main only. */
  static final Map<String, Set<String>> ALLOWED =
      Map.ofEntries(
          Map.entry("layout", Set.of()),
          Map.entry("platform", Set.of("layout")),
          Map.entry("wire", BASE),
          Map.entry("vdir", BASE),
          Map.entry("meta", BASE),
          Map.entry("cas", BASE),
          Map.entry("watch", BASE),
          Map.entry("config", BASE),
          Map.entry("staging", PARTS),
          Map.entry("health", PARTS),
          Map.entry("project", SERVICES),
          Map.entry("coordinator", SERVICES),
          Map.entry("cli", DAEMONS),
          Map.entry("", with(DAEMONS, "cli")));

  private static final Pattern NAME_IN_DESCRIPTOR = Pattern.compile("L(" + ROOT + "[\\w/$]+)[;<]");

  @Test
  void everyEdgeBetweenPackagesIsAllowed() throws IOException {
    Set<String> refused = new TreeSet<>();
    for (Path file : classFiles()) {
      ClassModel model = ClassFile.of().parse(file);
      String from = model.thisClass().asInternalName();
      Set<String> allowed = ALLOWED.get(packageOf(from));
      if (allowed == null) {
        refused.add("package of " + from + " is not in the table");
        continue;
      }
      for (String to : namesUsed(model)) {
        if (!packageOf(to).equals(packageOf(from)) && !allowed.contains(packageOf(to))) {
          refused.add(from + " uses " + to);
        }
      }
    }
    assertTrue(refused.isEmpty(), () -> "package directions (see ALLOWED):\n  " + String.join("\n  ", refused));
  }

  @Test
  void theReaderOfClassFilesSeesFieldsMethodsAndTypes() throws IOException {
    ClassModel self = ClassFile.of().parse(Path.of("target/test-classes/dev/vrift/arch/PackageDirectionTest$Probe.class"));
    Set<String> seen = namesUsed(self);
    assertTrue(seen.contains("dev/vrift/layout/Struct"), () -> "by a field's type: " + seen);
    assertTrue(seen.contains("dev/vrift/layout/Opcode"), () -> "by a method's parameter: " + seen);
    assertTrue(seen.contains("dev/vrift/layout/HeaderGenerator"), () -> "by a call: " + seen);
    assertFalse(seen.contains("dev/vrift/layout/StatReason"));
  }

  @Test
  void namesSayWhatAClassIs() throws IOException {
    List<String> vague = new ArrayList<>();
    Pattern words = Pattern.compile(".*(Util|Utils|Manager|Helper|Helpers|Impl)");
    for (Path file : classFiles()) {
      String name = file.getFileName().toString().replaceAll("(\\$.*)?\\.class$", "");
      if (words.matcher(name).matches()) {
        vague.add(name);
      }
    }
    assertEquals(List.of(), vague);
  }

  /** Not used; read as a class file. */
  static final class Probe {
    dev.vrift.layout.Struct field;

    void takes(dev.vrift.layout.Opcode code) {}

    String calls() {
      return dev.vrift.layout.HeaderGenerator.generate();
    }
  }

  private static Set<String> with(Set<String> some, String... more) {
    Set<String> all = new TreeSet<>(some);
    all.addAll(List.of(more));
    return all;
  }

  private static List<Path> classFiles() throws IOException {
    try (Stream<Path> files = Files.walk(CLASSES.resolve(ROOT))) {
      List<Path> found = files.filter(f -> f.toString().endsWith(".class")).toList();
      assertFalse(found.isEmpty(), "no classes under " + CLASSES);
      return found;
    }
  }

  /** "layout" for dev/vrift/layout/Struct and for dev/vrift/layout/sub/X; "" for dev/vrift/Main. */
  private static String packageOf(String internalName) {
    String rest = internalName.substring(ROOT.length());
    int slash = rest.indexOf('/');
    return slash < 0 ? "" : rest.substring(0, slash);
  }

  private static Set<String> namesUsed(ClassModel model) {
    Set<String> names = new TreeSet<>();
    for (PoolEntry entry : model.constantPool()) {
      switch (entry) {
        case ClassEntry c when c.asInternalName().startsWith(ROOT) -> names.add(c.asInternalName());
        case ClassEntry c -> addAll(c.asInternalName(), names);
        case NameAndTypeEntry n -> addAll(n.type().stringValue(), names);
        case MethodTypeEntry m -> addAll(m.descriptor().stringValue(), names);
        case Utf8Entry u -> addAll(u.stringValue(), names); // descriptors of own members, signatures
        default -> {}
      }
    }
    return names;
  }

  private static void addAll(String descriptor, Set<String> names) {
    Matcher m = NAME_IN_DESCRIPTOR.matcher(descriptor);
    while (m.find()) {
      names.add(m.group(1));
    }
  }
}
