package dev.vrift.platform;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class SafeDirTest {
  @TempDir Path temp;

  private int check(Path p) {
    return SafeDir.check(RunPaths.bytes(p));
  }

  private Path mode(String name, String mode) throws IOException {
    Path p = Files.createDirectory(temp.resolve(name));
    return Files.setPosixFilePermissions(p, PosixFilePermissions.fromString(mode));
  }

  @Test
  void takesAPrivateDirectoryAndMakesOne() throws IOException {
    assertEquals(0, check(mode("private", "rwx------")));
    Path made = temp.resolve("made");
    assertEquals(0, SafeDir.make(RunPaths.bytes(made)));
    assertEquals("rwx------", PosixFilePermissions.toString(Files.getPosixFilePermissions(made)));
    assertEquals(0, SafeDir.make(RunPaths.bytes(made)));
  }

  @Test
  void refusesWhatOthersCanReach() throws IOException {
    for (String m : new String[] {"rwxrwxrwx", "rwxr-x---", "rwx-----x"}) {
      assertEquals(SafeDir.NOT_PRIVATE, check(mode("d" + m, m)), m);
    }
  }

  @Test
  void refusesLinksFilesAndNothing() throws IOException {
    Path good = mode("good", "rwx------");
    assertEquals(SafeDir.NOT_A_DIRECTORY, check(Files.createSymbolicLink(temp.resolve("link"), good)));
    assertEquals(SafeDir.NOT_A_DIRECTORY, check(Files.createFile(temp.resolve("file"))));
    assertEquals(-Sockets.ENOENT, check(temp.resolve("absent")));
    assertTrue(SafeDir.make(new byte[] {'/', 0, 'x'}) < 0);
    assertTrue(SafeDir.check(new byte[5000]) < 0);
  }

  @Test
  void refusesAnotherUsersDirectory() throws IOException {
    assumeTrue(Processes.uid() == 0, "only root can give a directory away");
    Path p = mode("foreign", "rwx------");
    Files.setAttribute(p, "unix:uid", 12345);
    assertEquals(SafeDir.NOT_OURS, check(p));
    assertTrue(SafeDir.explain(p.toString(), SafeDir.NOT_OURS).contains("another user"));
  }
}
