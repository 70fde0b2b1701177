package dev.vrift.cas;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.Arrays;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class HotTierTest {
  @TempDir Path temp;
  private ContentStore store;
  private Path dir;

  @BeforeEach
  void open() throws Exception {
    store = ContentStore.open(temp.resolve("cas"));
    dir = temp.resolve("hot");
  }

  @AfterEach
  void writable() throws Exception {
    if (Files.isDirectory(dir)) {
      Files.setPosixFilePermissions(dir, PosixFilePermissions.fromString("rwx------")); // so that it can be removed
    }
  }

  private HotTier hot(long max) {
    return HotTier.open(dir, store, HotTier.ON, max);
  }

  private Digest add(String content) throws Exception {
    return ContentStoreTest.add(store, temp, content.getBytes()).digest();
  }

  @Test
  void keepsVerifiedCopiesThatNobodyCanWrite() throws Exception {
    Digest d = add("hot content");
    HotTier hot = hot(1000);
    assertEquals("on", hot.state());
    VerifyingReader reader = new VerifyingReader(store, hot);
    reader.read(d, 1000);
    Path copy = dir.resolve(d.hex());
    assertEquals("r--------", PosixFilePermissions.toString(Files.getPosixFilePermissions(copy)));
    assertEquals("r-x------", PosixFilePermissions.toString(Files.getPosixFilePermissions(dir)));
    Files.delete(store.path(d)); // served from memory now
    assertArrayEquals("hot content".getBytes(), reader.read(d, 1000));
    assertNull(reader.read(d, 3));
  }

  @Test
  void everyBitAndLengthOfACopyIsFound() throws Exception {
    Digest d = add("hot content");
    HotTier hot = hot(1000);
    byte[] good = "hot content".getBytes();
    for (int i = 0; i < good.length * 8 + good.length; i++) {
      hot.put(d, good);
      byte[] bad = i < good.length * 8 ? good.clone() : Arrays.copyOf(good, i - good.length * 8);
      if (i < good.length * 8) {
        bad[i / 8] ^= (byte) (1 << i % 8);
      }
      Path copy = dir.resolve(d.hex());
      Files.setPosixFilePermissions(copy, PosixFilePermissions.fromString("rw-------"));
      Files.write(copy, bad);
      Files.setPosixFilePermissions(copy, PosixFilePermissions.fromString("r--------"));
      assertNull(hot.get(d, 1000), "case " + i);
      assertFalse(Files.exists(copy));
      assertArrayEquals(good, new VerifyingReader(store, hot).read(d, 1000)); // from the store, and a copy again
    }
  }

  @Test
  void staysWithinItsSizeTheOldestGoFirst() throws Exception {
    HotTier hot = hot(100);
    for (int i = 0; i < 20; i++) {
      byte[] content = ("content number " + i + "x".repeat(20)).getBytes();
      hot.put(add(new String(content)), content);
      assertTrue(hot.bytes() <= 100, hot.bytes() + " bytes");
    }
    assertTrue(hot.bytes() > 0);
    byte[] big = new byte[101];
    hot.put(Digest.of(new byte[32]), big);
    assertFalse(Files.exists(dir.resolve(Digest.of(new byte[32]).hex())));
  }

  @Test
  void whatIsNotOursAloneIsRefusedAndLeftAlone() throws Exception {
    Files.createDirectory(dir);
    Files.setPosixFilePermissions(dir, PosixFilePermissions.fromString("rwxr-xr-x"));
    HotTier open = hot(1000);
    assertTrue(open.state().startsWith("refused"), open.state());
    open.put(Digest.of(new byte[32]), new byte[3]);
    assertEquals(0, ContentStore.names(dir).size());
    Files.delete(dir);
    Files.createSymbolicLink(dir, temp.resolve("cas"));
    assertTrue(hot(1000).state().startsWith("refused"));
    Files.delete(dir);
    if ("root".equals(System.getProperty("user.name"))) {
      Files.createDirectory(dir, PosixFilePermissions.asFileAttribute(PosixFilePermissions.fromString("rwx------")));
      Files.setAttribute(dir, "unix:uid", 4242);
      assertTrue(hot(1000).state().startsWith("refused"));
      Files.setAttribute(dir, "unix:uid", 0);
    }
  }

  @Test
  void offUnlessSwitchedOnOrTheDiskIsSlow() throws Exception {
    assertEquals("off", HotTier.open(dir, store, HotTier.OFF, 1000).state());
    assertFalse(Files.exists(dir));
    HotTier measured = HotTier.open(dir, store, HotTier.IF_SLOW, 1000);
    assertTrue(measured.state().contains("measured once"), measured.state());
    Files.writeString(store.dir().resolve("measured"), "50000\n");
    assertTrue(HotTier.open(dir, store, HotTier.IF_SLOW, 1000).state().startsWith("on: the disk is slow"));
    Files.writeString(store.dir().resolve("measured"), "50\n");
    assertTrue(HotTier.open(dir, store, HotTier.IF_SLOW, 1000).state().startsWith("off: the disk is fast"));
  }
}
