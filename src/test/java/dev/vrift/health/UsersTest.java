package dev.vrift.health;

import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class UsersTest {
  @TempDir Path temp;

  @Test
  void whatCannotBeLookedIntoCountsAsUsed() throws IOException {
    Path maps = Files.writeString(temp.resolve("maps"), "7f00-7f01 r--s /dev/shm/vrift_vdir_0123456789abcdef\n");
    assertTrue(Users.contains(maps, "vrift_vdir_0123456789abcdef"));
    assertFalse(Users.contains(maps, "vrift_vdir_fedcba9876543210"));
    assertFalse(Users.contains(temp.resolve("ended"), "x"), "a process that has ended uses nothing");
    assertTrue(Users.contains(temp, "x"), "an error that is not its end says nothing about it");
  }
}
