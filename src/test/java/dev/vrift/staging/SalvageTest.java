package dev.vrift.staging;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.vrift.platform.FileCalls;
import java.io.IOException;
import java.nio.file.FileAlreadyExistsException;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.nio.file.attribute.FileTime;
import java.util.List;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Names, bounds and restoring of the salvage area. */
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
    for (String name : List.of("x", ".old", ".new", "x.new", "x._.new", "x.1_.new", "x._1.new", "x.1_a.new", "x%2.old", "x%zz.old", "x%00y.old", "%%12.old", "x.1_99999999999.new", "ä.old")) {
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

  /** What stands in a salvaged file's place and is no regular file: not waited for, not followed, not copied. */
  @Test
  void onlyRegularFilesAreRestored() throws Exception {
    Salvage salvage = new Salvage(root);
    assertEquals(0, new ProcessBuilder("mkfifo", area.resolve("pipe.old").toString()).start().waitFor());
    Files.createDirectory(area.resolve("dir.old"));
    Files.createSymbolicLink(area.resolve("link.old"), Path.of("/etc/hostname"));
    for (String name : List.of("pipe", "dir", "link")) {
      assertThrows(IOException.class, () -> salvage.restore(name + ".old", null, true), name);
      assertThrows(IOException.class, () -> salvage.restore(name + ".old", root.resolve("to"), true), name);
      assertFalse(Files.exists(root.resolve(name), LinkOption.NOFOLLOW_LINKS), name);
    }
    assertFalse(Files.exists(root.resolve("to"), LinkOption.NOFOLLOW_LINKS));
    assertThrows(NoSuchFileException.class, () -> salvage.restore("none.old", null, true));
  }

  private static byte[] in(Path dir, byte[] name) {
    byte[] d = (dir + "/").getBytes();
    byte[] out = java.util.Arrays.copyOf(d, d.length + name.length);
    System.arraycopy(name, 0, out, d.length, name.length);
    return out;
  }

  /** Spaces, newlines and bytes that are no UTF-8 come back as exactly the path they were. */
  @Test
  void oddNamesAreRestoredByteByByte() throws IOException {
    Salvage salvage = new Salvage(root);
    String name = "sub%20dir%2Fnew%0Aline%FF%FE.1_2.new";
    Files.writeString(area.resolve(name), "odd");
    Salvage.Item item = salvage.list().getFirst();
    assertEquals("sub%20dir%2Fnew%0Aline%FF%FE", item.encoded());
    salvage.restore(name, null, false);
    byte[] base = {'n', 'e', 'w', '\n', 'l', 'i', 'n', 'e', (byte) 0xff, (byte) 0xfe};
    byte[] whole = in(root.resolve("sub dir"), base);
    int fd = FileCalls.open(whole, FileCalls.READ, 0);
    byte[] content = new byte[10];
    assertEquals(3, FileCalls.read(fd, content));
    FileCalls.close(fd);
    assertThrows(FileAlreadyExistsException.class, () -> salvage.restore(name, null, false));
    FileCalls.unlink(whole); // JUnit could not
  }

  /** A path that a program named is no way out: not by dots, not by a link that is there now. */
  @Test
  void nothingIsRestoredThroughALinkOrOutOfTheProject() throws IOException {
    Salvage salvage = new Salvage(root);
    Path outside = Files.createDirectory(root.resolveSibling(root.getFileName() + "-outside"));
    try {
      Files.createSymbolicLink(root.resolve("link"), outside);
      for (String path : List.of("link%2Ff", "a%2F..%2F..%2Ff", "%2Fetc%2Ff", "..", "a%2F.%2Ff", "a%2F%2Ff", ".vrift%2Fsalvage%2Fx", "a%2F")) {
        Files.writeString(area.resolve(path + ".old"), "x");
        assertThrows(IOException.class, () -> salvage.restore(path + ".old", null, true), path);
      }
      assertEquals(0, outside.toFile().list().length);
      Files.writeString(area.resolve("g.old"), "new");
      Files.writeString(outside.resolve("g"), "theirs");
      Files.createSymbolicLink(root.resolve("g"), outside.resolve("g"));
      assertThrows(FileAlreadyExistsException.class, () -> salvage.restore("g.old", null, false));
      salvage.restore("g.old", null, true); // replaces the link, not what it leads to
      assertEquals("theirs", Files.readString(outside.resolve("g")));
      assertEquals("new", Files.readString(root.resolve("g")));
    } finally {
      Files.deleteIfExists(outside.resolve("g"));
      Files.delete(outside);
    }
  }

  /** Somebody makes the file while it is being restored, again and again: never replaced, never half. */
  @Test
  void aWriterAtTheSameMomentIsNotOverwritten() throws Exception {
    Salvage salvage = new Salvage(root);
    Files.writeString(area.resolve("f.old"), "salvaged");
    int restored = 0;
    for (int round = 0; round < 200; round++) {
      Path f = root.resolve("f");
      Thread writer = new Thread(() -> {
        try {
          Files.writeString(f, "theirs", java.nio.file.StandardOpenOption.CREATE_NEW);
        } catch (IOException e) {
          return; // ours was first
        }
      });
      writer.start();
      boolean ours;
      try {
        salvage.restore("f.old", null, false);
        ours = true;
      } catch (FileAlreadyExistsException e) {
        ours = false;
      }
      writer.join();
      assertEquals(ours ? "salvaged" : "theirs", Files.readString(f));
      restored += ours ? 1 : 0;
      Files.delete(f);
    }
    assertTrue(restored > 0);
    try (var left = Files.list(root)) {
      assertTrue(left.noneMatch(p -> p.getFileName().toString().contains("restore")));
    }
  }

  @Test
  void secretsAreNeitherKeptNorRestored() throws IOException {
    Salvage salvage = new Salvage(root);
    for (String path : List.of(".env", "tls%2Fserver.pem", "home%2F.ssh%2Fconfig", "id_ed25519", ".npmrc", "my_password.txt", "credentials.json")) {
      put(path + ".1_2.new", 3, 5000);
      assertThrows(IOException.class, () -> salvage.restore(path + ".1_2.new", null, true), path);
    }
    assertEquals(7, salvage.bound(100, 1000));
    assertEquals(0, salvage.list().size());
  }

  @Test
  void underPressureWhatIsOldGoes() throws IOException {
    put("a.old", 10, 1000);
    put("b.old", 10, System.currentTimeMillis());
    assertEquals(1, new Salvage(root).dropOlderThan(System.currentTimeMillis() - 60_000));
    assertEquals(List.of("b.old"), new Salvage(root).list().stream().map(Salvage.Item::name).toList());
  }
}
