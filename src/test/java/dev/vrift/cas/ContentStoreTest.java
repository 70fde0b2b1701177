package dev.vrift.cas;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.FileTime;
import java.nio.file.attribute.PosixFilePermissions;
import java.security.MessageDigest;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class ContentStoreTest {
  @TempDir Path temp;
  private ContentStore store;

  @BeforeEach
  void open() throws CasException {
    store = ContentStore.open(temp.resolve("cas"));
  }

  private static Digest digest(byte[] content) throws Exception {
    return Digest.of(MessageDigest.getInstance("SHA-256").digest(content));
  }

  private BlobWriter.Stored add(byte[] content) throws Exception {
    return add(store, temp, content);
  }

  static BlobWriter.Stored add(ContentStore store, Path temp, byte[] content) throws Exception {
    Path source = Files.createTempFile(temp, "source", "");
    Files.write(source, content);
    int fd = dev.vrift.platform.FileCalls.open(ContentStore.bytes(source), dev.vrift.platform.FileCalls.READ, 0);
    try {
      return new BlobWriter(store, null).store(fd, content.length, () -> true);
    } finally {
      dev.vrift.platform.FileCalls.close(fd);
      Files.delete(source);
    }
  }

  @Test
  void aBlobIsReadOnlyOursAloneAndNamedByItsContent() throws Exception {
    byte[] content = "hello, blob".getBytes();
    BlobWriter.Stored s = add(content);
    assertEquals(digest(content), s.digest());
    assertTrue(s.added());
    Path blob = store.path(s.digest());
    assertTrue(blob.toString().endsWith("/cas/sha256/" + s.digest().hex().substring(0, 2) + "/" + s.digest().hex().substring(2)));
    assertEquals("r--------", PosixFilePermissions.toString(Files.getPosixFilePermissions(blob)));
    assertEquals("rwx------", PosixFilePermissions.toString(Files.getPosixFilePermissions(blob.getParent())));
    assertEquals(1, Files.getAttribute(blob, "unix:nlink"));
    assertArrayEquals(content, new VerifyingReader(store).read(s.digest(), 1000));
    assertFalse(add(content).added());
    assertEquals(List.of(), ContentStore.names(store.temporaries()));
    assertNull(new VerifyingReader(store).read(s.digest(), 3));
    assertNull(new VerifyingReader(store).read(digest("else".getBytes()), 1000));
  }

  @Test
  void everyFlippedByteIsFoundAndHealed() throws Exception {
    byte[] content = new byte[300];
    new Random(3).nextBytes(content);
    Digest d = add(content).digest();
    Path blob = store.path(d);
    for (int at = 0; at < content.length; at++) {
      byte[] wrong = content.clone();
      wrong[at] ^= (byte) (1 << at % 8);
      overwrite(blob, wrong);
      if (at % 2 == 0) {
        assertNull(new VerifyingReader(store).read(d, 1000), "byte " + at);
        assertFalse(Files.exists(blob));
        assertTrue(add(content).added());
      } else {
        assertTrue(add(content).added(), "byte " + at + ": ingest trusted a bad blob");
      }
      assertArrayEquals(content, new VerifyingReader(store).read(d, 1000));
    }
    assertEquals(300, ContentStore.names(store.quarantined()).size());
  }

  @Test
  void truncatedGrownMissingMisnamedAndStrangeBlobsAreMisses() throws Exception {
    byte[] content = new byte[200];
    Arrays.fill(content, (byte) 7);
    Digest d = add(content).digest();
    VerifyingReader reader = new VerifyingReader(store);
    for (int length = 0; length < 203; length++) {
      if (length != 200) {
        overwrite(store.path(d), Arrays.copyOf(content, length));
        assertNull(reader.read(d, 1000), "length " + length);
        add(content);
      }
    }
    Digest other = add("other".getBytes()).digest();
    overwrite(store.path(other), content);
    assertNull(reader.read(other, 1000));
    assertEquals(ContentStore.Health.ABSENT, store.verify(other, -1));
    Files.delete(store.path(d));
    assertNull(reader.read(d, 1000));
    Files.createSymbolicLink(store.path(d), Path.of("/etc/passwd"));
    assertNull(reader.read(d, 1 << 20));
    assertTrue(add(content).added());
    assertEquals(ContentStore.Health.GOOD, store.verify(d, 200));
  }

  @Test
  void extractMakesAWritableFileThatIsNotTheBlob() throws Exception {
    byte[] content = new byte[200_000];
    new Random(9).nextBytes(content);
    Digest d = add(content).digest();
    Path out = temp.resolve("out");
    VerifyingReader reader = new VerifyingReader(store);
    assertTrue(reader.extract(d, out));
    assertArrayEquals(content, Files.readAllBytes(out));
    Files.writeString(out, "changed");
    assertEquals(ContentStore.Health.GOOD, store.verify(d, 200_000));
    assertThrows(CasException.class, () -> reader.extract(d, out)); // replaces nothing
    overwrite(store.path(d), new byte[200_000]);
    assertFalse(reader.extract(d, temp.resolve("out2")));
    assertFalse(Files.exists(temp.resolve("out2")));
    try (var list = Files.list(temp)) {
      assertTrue(list.noneMatch(p -> p.getFileName().toString().contains(".vrift-")));
    }
  }

  @Test
  void aStoreOpenToOthersIsRefused() throws Exception {
    Path open = temp.resolve("open");
    Files.createDirectory(open);
    Files.setPosixFilePermissions(open, PosixFilePermissions.fromString("rwxr-xr-x"));
    assertTrue(assertThrows(CasException.class, () -> ContentStore.open(open)).getMessage().contains("chmod 700"));
    Files.createSymbolicLink(temp.resolve("link"), temp.resolve("cas"));
    assertThrows(CasException.class, () -> ContentStore.open(temp.resolve("link")));
  }

  @Test
  void temporariesOfTheDeadAreSweptThoseOfTheLivingStay() throws Exception {
    Path mine = store.newTemporary();
    Files.writeString(mine, "x");
    Files.writeString(store.temporaries().resolve("999999999-1-a.tmp"), "x");
    Files.writeString(store.temporaries().resolve("strange"), "x");
    assertEquals(0, store.sweepTemporaries()); // their makers may live in another pid namespace
    for (String name : List.of("999999999-1-a.tmp", "strange", mine.getFileName().toString())) {
      Files.setLastModifiedTime(store.temporaries().resolve(name), FileTime.fromMillis(System.currentTimeMillis() - 61_000));
    }
    assertEquals(2, store.sweepTemporaries());
    assertTrue(Files.exists(mine));
  }

  /** Four JVMs ingest the same 60 contents at once: 60 good blobs, nothing else, and each was added exactly once. */
  @Test
  void manyProcessesIngestTheSameContents() throws Exception {
    List<Process> children = new ArrayList<>();
    for (int i = 0; i < 4; i++) {
      children.add(
          new ProcessBuilder(
                  ProcessHandle.current().info().command().orElseThrow(), "-Xmx64m", "--enable-native-access=ALL-UNNAMED", "-cp",
                  System.getProperty("java.class.path"), "-Dvrift.jni=" + System.getProperty("vrift.jni"), Adder.class.getName(), temp.toString())
              .redirectErrorStream(true)
              .start());
    }
    int added = 0;
    for (Process p : children) {
      String out = new String(p.getInputStream().readAllBytes()).strip();
      assertTrue(p.waitFor(60, TimeUnit.SECONDS));
      assertEquals(0, p.exitValue(), out);
      added += Integer.parseInt(out.substring(out.lastIndexOf('\n') + 1));
    }
    assertEquals(60, added);
    List<Digest> all = ContentStoreTest.all(store);
    assertEquals(60, all.size());
    for (Digest d : all) {
      assertEquals(ContentStore.Health.GOOD, store.verify(d, -1));
    }
    assertEquals(List.of(), ContentStore.names(store.temporaries()));
    assertEquals(List.of(), ContentStore.names(store.quarantined()));
  }

  static final class Adder {
    public static void main(String[] args) throws Exception {
      Path temp = Path.of(args[0]);
      ContentStore store = ContentStore.open(temp.resolve("cas"));
      int added = 0;
      for (int i = 0; i < 60; i++) {
        byte[] content = new byte[1000 + i * 777];
        new Random(i).nextBytes(content);
        BlobWriter.Stored s = add(store, temp, content);
        assertNotNull(s);
        added += s.added() ? 1 : 0;
      }
      System.out.println(added);
    }
  }

  static List<Digest> all(ContentStore store) {
    return store.shards().stream().flatMap(s -> store.digests(s).stream()).toList();
  }

  private static void overwrite(Path blob, byte[] content) throws Exception {
    Files.deleteIfExists(blob);
    Files.write(blob, content);
    Files.setPosixFilePermissions(blob, PosixFilePermissions.fromString("r--------"));
  }
}
