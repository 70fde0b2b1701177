package dev.vrift.platform;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class ProcessesTest {
  private static final int EAGAIN = 11;
  @TempDir Path temp;

  @Test
  void aLockIsHeldByOneAndNotByTheHolderOfARemovedFile() throws IOException {
    byte[] name = RunPaths.bytes(temp.resolve("lock"));
    int first = Processes.lock(name);
    assertTrue(first >= 0);
    assertEquals(-EAGAIN, Processes.lock(name));
    Files.delete(temp.resolve("lock"));
    int second = Processes.lock(name);
    assertTrue(second >= 0, "the removed file's lock protects nothing");
    Processes.close(first);
    assertEquals(-EAGAIN, Processes.lock(name));
    Processes.close(second);
  }

  @Test
  void aDaemonStartsCleanAndSaysWhenItIsReady() throws Exception {
    Path seen = temp.resolve("seen");
    Path log = temp.resolve("log");
    String script = "ls /proc/self/fd | tr '\\n' ' ' >" + seen + "; umask >>" + seen + "; pwd >>" + seen + "; env >>" + seen
        + "; echo to-the-log; eval \"printf R >&$1\"; exec sleep 30";
    int[] result = new int[2];
    byte[][] argv = bytes("/bin/sh", "-c", script, "sh");
    assertEquals(0, Processes.spawnDaemon(argv[0], argv, bytes("PATH=/usr/bin:/bin", "ONLY=this"), RunPaths.bytes(log), result));
    int pidfd = Processes.pidfd(result[0]);
    try {
      assertEquals(1, Processes.poll(new int[] {result[1]}, 5000));
      byte[] one = new byte[1];
      assertEquals(1, Processes.readByte(result[1], one));
      assertEquals('R', one[0]);
      String text = Files.readString(seen);
      assertTrue(text.startsWith("0 1 2 3 "), text); // one more is ls's own
      assertTrue(text.contains("0077\n/\n") && text.contains("ONLY=this"), text);
      assertTrue(!text.contains("JAVA_HOME") && !text.contains("HOME="), text);
      assertEquals("to-the-log\n", Files.readString(log));
      assertTrue(Processes.startTime(result[0]) > 0);
    } finally {
      Processes.signal(pidfd, Processes.SIGKILL);
      assertEquals(1, Processes.poll(new int[] {pidfd}, 5000));
      assertEquals(Processes.SIGKILL, Processes.reap(result[0]));
      Processes.close(pidfd);
      Processes.close(result[1]);
    }
  }

  @Test
  void wakesAndForgets() {
    int fd = Processes.eventfd();
    assertEquals(0, Processes.poll(new int[] {fd, -1}, 0));
    Processes.wake(fd);
    assertEquals(2, Processes.poll(new int[] {-1, fd}, 1000));
    Processes.unwake(fd);
    assertEquals(0, Processes.poll(new int[] {fd}, 0));
    Processes.close(fd);
    assertTrue(Processes.pidfd(-5) < 0);
    assertEquals(-1, Processes.startTime(-5));
  }

  static byte[][] bytes(String... words) {
    byte[][] out = new byte[words.length][];
    for (int i = 0; i < out.length; i++) {
      out[i] = RunPaths.bytes(words[i]);
    }
    return out;
  }
}
