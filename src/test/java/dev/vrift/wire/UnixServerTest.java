package dev.vrift.wire;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.vrift.layout.Opcode;
import dev.vrift.layout.WireLayout;
import dev.vrift.platform.Processes;
import dev.vrift.platform.RunPaths;
import dev.vrift.platform.Sockets;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class UnixServerTest {
  private static final int ANSWER_MS = 5000;
  @TempDir Path temp;
  private final AtomicInteger closed = new AtomicInteger();
  private Path socket;
  private UnixServer server;

  private final java.io.PrintStream log = System.err;

  @BeforeEach
  void open() throws WireException {
    System.setErr(new java.io.PrintStream(java.io.OutputStream.nullOutputStream())); // hundreds of bad clients are one line each

    socket = temp.resolve("s");
    server = UnixServer.open("test", RunPaths.bytes(socket), handler());
  }

  private RequestHandler handler() {
    return new RequestHandler() {
      @Override
      public Answer handle(Connection c, Frame request) throws WireException {
        return switch (request.known()) {
          case PING -> Answer.ok(new Fields().put("pid", c.pid()));
          case EXPLAIN -> Answer.ok(new Fields().put("path", request.fields().required("path")));
          case SESSION -> {
            c.keep();
            yield Answer.ok();
          }
          case STATS -> throw new IllegalStateException("on purpose");
          default -> Answer.error("no", "not answered here");
        };
      }

      @Override
      public void closed(Connection c) {
        closed.incrementAndGet();
      }
    };
  }

  @AfterEach
  void close() {
    server.close();
    System.setErr(log);
  }

  private UnixClient client() throws WireException {
    return UnixClient.connect(RunPaths.bytes(socket), ANSWER_MS);
  }

  private void stillServes() throws WireException {
    try (UnixClient c = client()) {
      assertEquals(Processes.pid(), c.ask(Opcode.PING, ANSWER_MS).fields().number("pid", 0));
      assertEquals(Processes.pid(), c.pid());
    }
  }

  @Test
  void answersEachRequestAndSurvivesItsHandler() throws Exception {
    assertEquals("rw-------", PosixFilePermissions.toString(Files.getPosixFilePermissions(socket)));
    try (UnixClient c = client()) {
      byte[] path = {'a', 0, (byte) 0xff, '%', '\n'};
      assertArrayEquals(path, c.ask(Opcode.EXPLAIN, new Fields().put("path", path), ANSWER_MS).fields().bytes("path"));
      WireException e = assertThrows(WireException.class, () -> c.ask(Opcode.STATS, ANSWER_MS));
      assertEquals(WireException.Kind.REFUSED, e.kind());
      assertThrows(WireException.class, () -> c.ask(Opcode.EXPLAIN, ANSWER_MS), "a field is missing");
      assertThrows(WireException.class, () -> c.ask(Opcode.OK, ANSWER_MS), "an answer is no request");
      assertEquals(Processes.pid(), c.ask(Opcode.PING, ANSWER_MS).fields().number("pid", 0));
    }
    waitFor(1);
  }

  private void waitFor(int count) throws InterruptedException {
    for (int i = 0; i < 500 && closed.get() < count; i++) {
      Thread.sleep(10);
    }
    assertEquals(count, closed.get());
  }

  @Test
  void manyAtOnceAndNoMoreThanAllowed() throws Exception {
    List<UnixClient> clients = new ArrayList<>();
    try {
      for (int i = 0; i < UnixServer.MAX_CONNECTIONS; i++) {
        clients.add(client());
        clients.get(i).ask(Opcode.SESSION, ANSWER_MS);
      }
      assertEquals(UnixServer.MAX_CONNECTIONS, server.connections());
      WireException e = assertThrows(WireException.class, () -> {
        try (UnixClient c = client()) {
          c.ask(Opcode.PING, ANSWER_MS);
        }
      });
      assertTrue(e.kind() == WireException.Kind.CLOSED || e.kind() == WireException.Kind.SYSTEM, e.toString());
      clients.get(0).ask(Opcode.PING, ANSWER_MS);
    } finally {
      clients.forEach(UnixClient::close);
    }
    waitFor(UnixServer.MAX_CONNECTIONS);
    stillServes();
  }

  /** A flood of connections that say nothing keeps nobody out, and ends none that means something. */
  @Test
  void silentOnesMakeRoom() throws Exception {
    List<UnixClient> silent = new ArrayList<>();
    try (UnixClient kept = client()) {
      kept.ask(Opcode.SESSION, ANSWER_MS);
      for (int i = 0; i < 2 * UnixServer.MAX_CONNECTIONS; i++) {
        try {
          silent.add(client());
        } catch (WireException e) {
          break; // full, and none of them silent for long enough yet
        }
      }
      Thread.sleep(1_500);
      int served = 0;
      for (int i = 0; i < 200 && served < 20; i++) {
        try (UnixClient c = client()) {
          c.ask(Opcode.PING, ANSWER_MS);
          served++;
        } catch (WireException e) {
          Thread.sleep(10); // refused while room is being made
        }
      }
      assertEquals(20, served);
      kept.ask(Opcode.PING, ANSWER_MS);
      assertTrue(server.connections() <= UnixServer.MAX_CONNECTIONS);
    } finally {
      silent.forEach(UnixClient::close);
    }
  }

  @Test
  void aDescriptorIsTakenOnlyWhereOneIsWanted() throws Exception {
    RequestHandler counts = new RequestHandler() {
      @Override
      public Answer handle(Connection c, Frame request) throws WireException {
        int fd = request.known() == Opcode.EXPLAIN ? -1 : c.takePassed(); // EXPLAIN leaves it to the server
        if (fd >= 0) {
          Processes.close(fd);
        }
        return Answer.ok(new Fields().put("passed", fd >= 0 ? 1 : 0));
      }

      @Override
      public void closed(Connection c) {
        closed.incrementAndGet();
      }
    };
    int passed = Processes.eventfd();
    assertTrue(passed >= 0 && !Processes.isInotify(passed));
    for (boolean takes : new boolean[] {true, false}) {
      Path other = temp.resolve("passing-" + takes);
      UnixServer.open("passing", RunPaths.bytes(other), counts, UnixServer.MAX_CONNECTIONS, takes);
      long before = descriptors();
      try (UnixClient c = UnixClient.connect(RunPaths.bytes(other), ANSWER_MS)) {
        for (int i = 0; i < 50; i++) {
          assertEquals(takes ? 1 : 0, c.ask(Opcode.PING, new Fields(), ANSWER_MS, passed).fields().number("passed", -1));
          assertEquals(0, c.ask(Opcode.PING, ANSWER_MS).fields().number("passed", -1), "it came with the request before");
          c.ask(Opcode.EXPLAIN, new Fields(), ANSWER_MS, passed);
        }
        assertTrue(descriptors() < before + 20, "what was passed is left open");
      }
    }
    Processes.close(passed);
  }

  private static long descriptors() throws Exception {
    try (var all = Files.list(Path.of("/proc/self/fd"))) {
      return all.count();
    }
  }

  @Test
  void oneProcessHasItsShareOnly() throws Exception {
    Path other = temp.resolve("t");
    UnixServer.open("share", RunPaths.bytes(other), handler(), 32, false);
    List<UnixClient> clients = new ArrayList<>();
    int refused = 0;
    try {
      for (int i = 0; i < UnixServer.MAX_CONNECTIONS; i++) {
        UnixClient c = UnixClient.connect(RunPaths.bytes(other), ANSWER_MS);
        clients.add(c);
        try {
          c.ask(Opcode.SESSION, ANSWER_MS);
        } catch (WireException e) {
          refused++;
        }
      }
    } finally {
      clients.forEach(UnixClient::close);
    }
    assertTrue(refused >= UnixServer.MAX_CONNECTIONS / 2 - 1, refused + " were refused: half is for everybody, the rest is not for one process");
  }

  /** Junk, cut frames, wrong magic, protocol, length: the connection ends, the server does not. */
  @Test
  void fuzz() throws Exception {
    long seed = 4711;
    Random random = new Random(seed);
    for (int i = 0; i < 400; i++) {
      byte[] payload = new byte[random.nextInt(64)];
      random.nextBytes(payload);
      byte[] frame = frame(random.nextInt(20), payload.length, payload);
      switch (random.nextInt(5)) {
        case 0 -> random.nextBytes(frame);
        case 1 -> frame = java.util.Arrays.copyOf(frame, random.nextInt(frame.length));
        case 2 -> frame[random.nextInt(16)] ^= (byte) (1 << random.nextInt(8));
        case 3 -> ByteBuffer.wrap(frame).order(ByteOrder.LITTLE_ENDIAN).putInt(8, random.nextInt());
        default -> { }
      }
      int fd = Sockets.connect(RunPaths.bytes(socket), ANSWER_MS);
      assertTrue(fd >= 0, "seed " + seed + " round " + i);
      Sockets.write(fd, frame, 0, frame.length, ANSWER_MS);
      Sockets.close(fd);
    }
    stillServes();
  }

  @Test
  void aLengthBeyondTheLimitEndsTheConnectionAtOnce() {
    for (int length : new int[] {FrameChannel.REQUEST_MAX + 1, WireLayout.PAYLOAD_MAX + 1, Integer.MAX_VALUE, -1}) {
      int fd = Sockets.connect(RunPaths.bytes(socket), ANSWER_MS);
      byte[] frame = frame(Opcode.PING.code(), length, new byte[0]);
      Sockets.write(fd, frame, 0, frame.length, ANSWER_MS);
      int n = Sockets.read(fd, new byte[16], 0, 16, 1000);
      assertTrue(n == 0 || n == -104, "the server hung up: " + n);
      Sockets.close(fd);
    }
  }

  static byte[] frame(int opcode, int length, byte[] payload) {
    ByteBuffer b = ByteBuffer.allocate(16 + payload.length).order(ByteOrder.LITTLE_ENDIAN);
    b.putInt(WireLayout.MAGIC).putShort((short) WireLayout.PROTOCOL).putShort((short) opcode).putInt(length).putInt(1).put(payload);
    return b.array();
  }

  @Test
  void pathsLongerThanSunPathWork() throws Exception {
    Path deep = temp;
    for (int i = 0; i < 6; i++) {
      deep = Files.createDirectory(deep.resolve("a-directory-with-quite-a-long-name"));
    }
    socket = deep.resolve("vdir_d.sock");
    assertTrue(socket.toString().length() > 108);
    UnixServer other = UnixServer.open("deep", RunPaths.bytes(socket), handler());
    stillServes();
    other.close();
  }

  @Test
  void nobodyThereIsSaidSoAndSilenceTimesOut() throws Exception {
    WireException e = assertThrows(WireException.class, () -> UnixClient.connect(RunPaths.bytes(temp.resolve("none")), 100));
    assertEquals(WireException.Kind.ABSENT, e.kind());
    int listener = Sockets.listen(RunPaths.bytes(temp.resolve("silent")), 1);
    try (UnixClient c = UnixClient.connect(RunPaths.bytes(temp.resolve("silent")), 100)) {
      long start = Processes.monotonicMs();
      e = assertThrows(WireException.class, () -> c.ask(Opcode.PING, 100));
      assertEquals(WireException.Kind.TIMEOUT, e.kind());
      assertTrue(Processes.monotonicMs() - start < 2000);
    }
    Sockets.close(listener);
  }

  @Test
  void closingEndsEveryConnection() throws Exception {
    try (UnixClient c = client()) {
      c.ask(Opcode.PING, ANSWER_MS);
      server.close();
      assertThrows(WireException.class, () -> c.ask(Opcode.PING, ANSWER_MS));
    }
    assertThrows(WireException.class, this::client);
  }
}
