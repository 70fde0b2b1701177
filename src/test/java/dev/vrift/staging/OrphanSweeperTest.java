package dev.vrift.staging;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.vrift.layout.BoardLayout;
import dev.vrift.layout.VDirLayout;
import dev.vrift.platform.Hash;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** The sweep against records written as a client writes them, with real processes as owners. */
final class OrphanSweeperTest {
  private static final long SEED = 4711;
  private static final long STAMP = 123456;
  private static final long AGE_NS = 1_300_000_000L;

  @TempDir Path temp;
  private Path root;
  private Arena arena;
  private MemorySegment board;
  private String id;
  private OrphanSweeper sweeper;

  @BeforeEach
  void makeBoard() throws IOException {
    root = temp.toRealPath();
    byte[] rootBytes = root.toString().getBytes(StandardCharsets.UTF_8);
    arena = Arena.ofShared();
    board = arena.allocate(BoardLayout.SIZE, 4096);
    u32(BoardLayout.HEADER.at("magic"), BoardLayout.MAGIC);
    u32(BoardLayout.HEADER.at("version"), BoardLayout.VERSION);
    u64(BoardLayout.HEADER.at("file_size"), BoardLayout.SIZE);
    u64(BoardLayout.HEADER.at("hash_seed"), SEED);
    u64(BoardLayout.HEADER.at("root_dev"), dev());
    u64(BoardLayout.HEADER.at("root_ino"), ino(root));
    long project = Hash.hash64(rootBytes, 0);
    id = Hash.hex(project);
    u64(BoardLayout.HEADER.at("project_id"), project);
    byte[] header = board.asSlice(0, BoardLayout.HEADER.at("checksum")).toArray(ValueLayout.JAVA_BYTE);
    u64(BoardLayout.HEADER.at("checksum"), Hash.hash64(header, Integer.toUnsignedLong(BoardLayout.MAGIC)));
    Files.createDirectories(root.resolve(".vrift"));
    sweeper = new OrphanSweeper(root, rootBytes, board.address(), 10, 1000);
  }

  @AfterEach
  void free() {
    arena.close();
  }

  private void u32(long at, int value) {
    board.set(ValueLayout.JAVA_INT, at, value);
  }

  private void u64(long at, long value) {
    board.set(ValueLayout.JAVA_LONG, at, value);
  }

  private long dev() throws IOException {
    return (Long) Files.getAttribute(root, "unix:dev");
  }

  private static long ino(Path file) throws IOException {
    return (Long) Files.getAttribute(file, "unix:ino");
  }

  private Path stagingFile(long pid) {
    return root.resolve(".vrift/staging/project_" + id + "/pid_" + pid + "/fd_5_" + STAMP + ".tmp");
  }

  /** Publishes a staged record and its HELD record; the target is {@code path}, absent at open. */
  private void record(int index, long pid, String path, int flags, long age) throws IOException {
    int at = BoardLayout.STAGED_OFFSET + index * BoardLayout.STAGED_RECORD.size();
    byte[] bytes = path.getBytes(StandardCharsets.UTF_8);
    u32(at + BoardLayout.STAGED_RECORD.at("pid"), (int) pid);
    u64(at + BoardLayout.STAGED_RECORD.at("time"), StagingNative.bootNanos() - age);
    u64(at + BoardLayout.STAGED_RECORD.at("path_hash"), Hash.hash64(bytes, SEED));
    u64(at + BoardLayout.STAGED_RECORD.at("staging_ino"), ino(stagingFile(pid)));
    u64(at + BoardLayout.STAGED_RECORD.at("parent_dev"), dev());
    u64(at + BoardLayout.STAGED_RECORD.at("parent_ino"), ino(root));
    u32(at + BoardLayout.STAGED_RECORD.at("fd"), 5);
    u32(at + BoardLayout.STAGED_RECORD.at("flags"), flags);
    u64(at + BoardLayout.STAGED_RECORD.at("stamp"), STAMP);
    board.set(ValueLayout.JAVA_SHORT, at + BoardLayout.STAGED_RECORD.at("path_len"), (short) bytes.length);
    MemorySegment.copy(bytes, 0, board, ValueLayout.JAVA_BYTE, at + BoardLayout.STAGED_RECORD.at("path"), bytes.length);
    u32(at + BoardLayout.STAGED_RECORD.at("checksum"), 0);
    byte[] sum = board.asSlice(at + 4, BoardLayout.STAGED_RECORD.at("path") - 4 + bytes.length).toArray(ValueLayout.JAVA_BYTE);
    u32(at + BoardLayout.STAGED_RECORD.at("checksum"), Hash.hash32(sum, 0, sum.length, 0));
    u32(at, BoardLayout.STAGED_GENERATION * 3 | BoardLayout.STAGED_LIVE);
    u32(BoardLayout.DYN_OFFSET + BoardLayout.DYN.at("staged_high"), index + 1);
    u32(BoardLayout.DYN_OFFSET + BoardLayout.DYN.at("staged_count"), BoardLayout.STEP);
    int held = BoardLayout.RECORDS_OFFSET + 7 * BoardLayout.RECORD.size();
    u32(held + BoardLayout.RECORD.at("kind"), BoardLayout.KIND_HELD);
    u32(held + BoardLayout.RECORD.at("pid"), (int) pid);
    for (int i = 0; i < 6; i++) {
      board.set(ValueLayout.JAVA_SHORT, held + BoardLayout.RECORD.at("slots") + 2L * i, (short) (i == 0 ? 9 : BoardLayout.NO_SLOT));
    }
    u32(held + BoardLayout.RECORD.at("staged"), index + 1);
    u32(held, BoardLayout.RECORD_LIVE);
  }

  private int state(int index) {
    return board.get(ValueLayout.JAVA_INT, BoardLayout.STAGED_OFFSET + (long) index * BoardLayout.STAGED_RECORD.size())
        & BoardLayout.STAGED_STATE_MASK;
  }

  private int count() {
    return board.get(ValueLayout.JAVA_INT, BoardLayout.DYN_OFFSET + BoardLayout.DYN.at("staged_count"));
  }

  private static long deadPid() throws Exception {
    Process p = new ProcessBuilder("true").start();
    p.waitFor();
    return p.pid();
  }

  @Test
  void deadWriterIsRolledBackAndItsRecordsFreed() throws Exception {
    long pid = deadPid();
    Files.createDirectories(stagingFile(pid).getParent());
    Files.writeString(stagingFile(pid), "partial");
    record(2, pid, "out.txt", 0, 0);
    List<RolledBack> back = sweeper.sweep();
    assertEquals(1, back.size());
    assertEquals("out.txt", back.getFirst().path());
    assertEquals(7, back.getFirst().bytes());
    assertEquals(pid, back.getFirst().pid());
    assertNotNull(back.getFirst().name());
    assertEquals("partial", Files.readString(root.resolve(".vrift/salvage").resolve(back.getFirst().name())));
    assertFalse(Files.exists(root.resolve("out.txt")));
    assertEquals(BoardLayout.STAGED_FREE, state(2));
    assertEquals(0, count());
    assertEquals(BoardLayout.RECORD_FREE, board.get(ValueLayout.JAVA_INT, BoardLayout.RECORDS_OFFSET + 7L * BoardLayout.RECORD.size()));
    assertEquals(BoardLayout.BUMP, board.get(ValueLayout.JAVA_LONG, BoardLayout.VER_OFFSET + 9L * 8), "its slot was bumped");
    assertFalse(Files.exists(stagingFile(pid).getParent()));
    assertEquals(List.of(), sweeper.sweep());
    sweeper.removeEmptyDirectories();
    assertFalse(Files.exists(root.resolve(".vrift/staging")));
    assertEquals(VDirLayout.SLOTS * 8, BoardLayout.RECORDS_OFFSET - BoardLayout.VER_OFFSET);
  }

  @Test
  void writerAtWorkIsLeftAloneThenShownThenItsUnseenCloseCompletes() throws Exception {
    Process writer = new ProcessBuilder("sh", "-c", "read go; exec 3>>\"$go\"; echo open; read x; exec 3>&-; echo closed; read x").start();
    try (var in = writer.outputWriter(); var out = writer.inputReader()) {
      Files.createDirectories(stagingFile(writer.pid()).getParent());
      Files.writeString(stagingFile(writer.pid()), "bytes");
      record(0, writer.pid(), "live.txt", 0, -60_000_000_000L); // young, however slow this machine is
      in.write(stagingFile(writer.pid()) + "\n");
      in.flush();
      assertEquals("open", out.readLine());
      assertEquals(List.of(), sweeper.sweep());
      assertTrue(Files.exists(stagingFile(writer.pid())));
      assertEquals(0, sweeper.promoteOld(), "younger than a second");
      record(0, writer.pid(), "live.txt", BoardLayout.STAGED_PRODUCT, 0);
      assertEquals(5, sweeper.stagingBytes());
      in.write("\n");
      in.flush();
      assertEquals("closed", out.readLine());
      assertEquals(List.of(), sweeper.sweep());
      assertEquals("bytes", Files.readString(root.resolve("live.txt")));
      assertEquals(BoardLayout.STAGED_PROMOTED, state(0));
      assertEquals(0, count());
    } finally {
      writer.destroyForcibly().waitFor(10, TimeUnit.SECONDS);
    }
  }

  @Test
  void oldFilesAreShownProductsAreNot() throws Exception {
    long pid = ProcessHandle.current().pid();
    Thread.sleep(AGE_NS / 1_000_000 + 200); /* the owner must be older than its record */
    Files.createDirectories(stagingFile(pid).getParent());
    try (var open = Files.newOutputStream(stagingFile(pid))) {
      open.write('x');
      record(1, pid, "page.html", BoardLayout.STAGED_PRODUCT, AGE_NS);
      assertEquals(0, sweeper.promoteOld());
      record(1, pid, "page.html", 0, AGE_NS);
      assertEquals(1, sweeper.promoteOld());
      assertEquals("x", Files.readString(root.resolve("page.html")));
    }
    assertEquals(0, sweeper.promoteOld());
  }

  @Test
  void filesWithoutRecordAndDamagedRecords() throws Exception {
    long pid = deadPid();
    Files.createDirectories(stagingFile(pid).getParent());
    Files.writeString(stagingFile(pid), "lost");
    Files.createFile(stagingFile(pid).resolveSibling("fd_6_1.tmp"));
    record(3, pid, "x", 0, 0);
    u32(BoardLayout.STAGED_OFFSET + 3L * BoardLayout.STAGED_RECORD.size() + BoardLayout.STAGED_RECORD.at("checksum"), 1);
    List<RolledBack> back = sweeper.sweep();
    assertEquals(1, back.size());
    assertEquals("lost", Files.readString(root.resolve(".vrift/salvage").resolve(back.getFirst().name())));
    assertFalse(Files.exists(stagingFile(pid).getParent()));
    sweeper.sweep();
    sweeper.sweep();
    assertEquals(BoardLayout.STAGED_FREE, state(3));
    assertEquals(0, count());
  }
}
