package dev.vrift.project;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.vrift.layout.MetaLayout;
import dev.vrift.layout.VDirLayout;
import dev.vrift.platform.NativeLibrary;
import dev.vrift.wire.Fields;
import dev.vrift.wire.Json;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.TreeSet;
import java.util.function.BooleanSupplier;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class PersistenceTest {
  private static final String ID = "00112233445566aa";

  @TempDir Path temp;

  /** One record as vr_engine_changes writes it. */
  private static byte[] change(String path, int state, int mode) {
    byte[] p = path.getBytes(StandardCharsets.UTF_8);
    ByteBuffer b = ByteBuffer.allocate(8 + 128 + p.length).order(ByteOrder.LITTLE_ENDIAN);
    b.putShort(0, (short) p.length);
    b.putInt(8 + VDirLayout.ENTRY.at("state"), state);
    b.putInt(8 + VDirLayout.ENTRY.at("mode"), mode);
    b.putShort(8 + VDirLayout.ENTRY.at("target_len"), (short) 9); // the target itself is not handed over
    b.put(8 + 128, p);
    return b.array();
  }

  private static void collect(Persistence p, byte[]... changes) {
    var all = new java.io.ByteArrayOutputStream();
    for (byte[] c : changes) {
      all.writeBytes(c);
    }
    waitFor(() -> p.offer(all.toByteArray()));
  }

  private static void waitFor(BooleanSupplier done) {
    long end = System.currentTimeMillis() + 10_000;
    while (!done.getAsBoolean()) {
      assertTrue(System.currentTimeMillis() < end, "not within 10 s");
      try {
        Thread.sleep(5);
      } catch (InterruptedException e) {
        throw new AssertionError(e);
      }
    }
  }

  @Test
  void whatTheEngineReportedIsThereForTheNextDaemon() throws Exception {
    NativeLibrary.load();
    Path root = Files.createDirectory(temp.resolve("root"));
    byte[] rootBytes = root.toString().getBytes(StandardCharsets.UTF_8);
    try (Persistence p = Persistence.start(temp.resolve("state"), temp.resolve("cas"), ID, rootBytes, null)) {
      collect(p, change("a", VDirLayout.ENTRY_CLEAN, 0100644), change("dir", VDirLayout.ENTRY_CLEAN, 0040755), change("dir/b", VDirLayout.ENTRY_CLEAN, 0100644));
      collect(p, change("a", VDirLayout.ENTRY_CLEAN | VDirLayout.ENTRY_GONE, 0));
    }
    List<String> names = new ArrayList<>();
    try (Persistence p =
        Persistence.start(temp.resolve("state"), temp.resolve("cas"), ID, rootBytes, (bytes, length) -> read(bytes, length, names))) {
      waitFor(() -> status(p).contains("\"state\":\"loaded\""));
      assertEquals(new TreeSet<>(List.of("dir", "dir/b")), new TreeSet<>(names));
      assertTrue(status(p).contains("\"epoch\":2"), status(p));
    }
  }

  private static void read(byte[] bytes, int length, List<String> into) {
    for (int at = 0; at < length; ) {
      int n = (bytes[at] & 0xFF) | (bytes[at + 1] & 0xFF) << 8;
      into.add(new String(bytes, at + 2, n, StandardCharsets.UTF_8));
      at += 2 + n;
    }
  }

  private static String status(Persistence p) {
    Json out = new Json().object();
    p.describe(out);
    return out.end().toString();
  }

  @Test
  void ingestIsRememberedAndAnsweredAsJson() throws Exception {
    Path root = Files.createDirectory(temp.resolve("root"));
    Files.writeString(root.resolve("file"), "some content");
    byte[] rootBytes = root.toString().getBytes(StandardCharsets.UTF_8);
    Fields ingest = new Fields().put("command", "ingest").put("all", 1);
    for (int round = 0; round < 2; round++) {
      try (Persistence p = Persistence.start(temp.resolve("state"), temp.resolve("cas"), ID, rootBytes, null)) {
        waitFor(() -> status(p).contains("\"contents\":\"open\""));
        String report = new String(p.answer(ingest).payload(), StandardCharsets.UTF_8);
        if (round == 0) {
          assertTrue(report.contains("\"stored\":1,"), report);
        } else {
          assertTrue(report.contains("\"unchanged\":1,") && report.contains("\"read_bytes\":0"), report);
        }
        assertEquals(dev.vrift.layout.Opcode.ERROR, p.answer(new Fields().put("command", "stat")).opcode());
        dev.vrift.cas.CasStat stat = dev.vrift.cas.CasStat.of(dev.vrift.cas.ContentStore.open(temp.resolve("cas")));
        assertEquals(List.of(1L, 1L, 12L, 0L), List.of(stat.blobs(), stat.projects(), stat.logicalBytes(), stat.pending()));
      }
    }
  }

  @Test
  void withoutAPlaceToWriteNothingFails() throws Exception {
    Path blocked = temp.resolve("blocked");
    Files.writeString(blocked, "a file where the directory should be");
    byte[] rootBytes = temp.toString().getBytes(StandardCharsets.UTF_8);
    try (Persistence p = Persistence.start(blocked.resolve("state"), temp.resolve("cas"), ID, rootBytes, null)) {
      waitFor(() -> status(p).contains("unavailable"));
      assertTrue(!p.offer(new byte[8]));
      assertEquals(dev.vrift.layout.Opcode.ERROR, p.answer(new Fields().put("command", "stat")).opcode());
    }
    assertTrue(MetaLayout.BATCH_MAX > 2 * Persistence.CHANGES_BYTES);
  }
}
