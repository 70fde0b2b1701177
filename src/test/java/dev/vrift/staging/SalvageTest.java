package dev.vrift.staging;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.FileAlreadyExistsException;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.nio.file.attribute.FileTime;
import java.util.List;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Names and bounds of the salvage area; no native code. */
final class SalvageTest {
  @TempDir Path root;
  private Path area;

  @BeforeEach
  void makeArea() throws IOException {
    area = Files.createDirectories(root.resolve(".vrift/salvage"));
  }

  private void put(String name, int bytes, long time) throws IOException {
    Files.write(area.resolve(name), new byte[bytes]);
    Files.setLastModifiedTime(area.resolve(name), FileTime.fromMillis(time));
  }

  @Test
  void namesAreThoseOfTheCLibrary() {
    SalvageName n = SalvageName.parse("a%2Fb%20c.txt.12_34.new");
    assertEquals("a/b c.txt", n.path());
    assertEquals(34, n.pid());
    assertTrue(n.whole() && !n.old());
    SalvageName old = SalvageName.parse("src%2Fmain.o.old");
    assertTrue(old.old() && old.path().equals("src/main.o"));
    SalvageName cut = SalvageName.parse("%%0123456789abcdefdeep%2Fend.o.1_2.new");
    assertTrue(!cut.whole() && cut.path().endsWith("deep/end.o"));
    assertEquals("x%2F%C3%A4.7_8.new", SalvageName.encodeNew("x/ä", 7, 8));
    assertEquals("x/ä", SalvageName.parse("x%2F%C3%A4.7_8.new").path());
  }

  @Test
  void strangeNamesAreNobodys() {
    for (String name : List.of("x", ".old", ".new", "x.new", "x._.new", "x.1_.new", "x._1.new", "x.1_a.new", "x%2.old", "x%zz.old", "%%12.old", "x.1_99999999999.new", "ä.old")) {
      assertNull(SalvageName.parse(name), name);
    }
  }

  @Test
  void oldestGoFirstSecretsAlwaysOthersNever() throws IOException {
    put("a.old", 10, 1000);
    put("b.1_2.new", 10, 3000);
    put("c.old", 10, 2000);
    put(".env.old", 1, 9000);
    put("notes.txt", 10, 1);
    assertEquals(2, new Salvage(root).bound(2, 1000));
    assertFalse(Files.exists(area.resolve("a.old")));
    assertFalse(Files.exists(area.resolve(".env.old")));
    assertTrue(Files.exists(area.resolve("notes.txt")));
    assertEquals(1, new Salvage(root).bound(10, 15));
    assertEquals(List.of("b.1_2.new"), new Salvage(root).list().stream().map(Salvage.Item::name).toList());
  }

  @Test
  void restores() throws IOException {
    Files.writeString(area.resolve("d%2Fe.txt.5_6.new"), "bytes");
    Salvage salvage = new Salvage(root);
    assertEquals(root.resolve("d/e.txt"), salvage.restore("d%2Fe.txt.5_6.new", null, false));
    assertEquals("bytes", Files.readString(root.resolve("d/e.txt")));
    assertThrows(FileAlreadyExistsException.class, () -> salvage.restore("d%2Fe.txt.5_6.new", null, false));
    salvage.restore("d%2Fe.txt.5_6.new", null, true);
    assertThrows(NoSuchFileException.class, () -> salvage.restore("../../x.old", null, true));
    Files.writeString(area.resolve("..%2F..%2Fout.old"), "x");
    assertThrows(IOException.class, () -> salvage.restore("..%2F..%2Fout.old", null, true));
    Files.writeString(area.resolve("%%0123456789abcdefend.old"), "x");
    assertThrows(IOException.class, () -> salvage.restore("%%0123456789abcdefend.old", null, true));
    assertEquals(root.resolve("named"), salvage.restore("%%0123456789abcdefend.old", root.resolve("named"), true));
    assertEquals(3, salvage.dropAll());
    assertTrue(salvage.list().isEmpty());
  }
}
