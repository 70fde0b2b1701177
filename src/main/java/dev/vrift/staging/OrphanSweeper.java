package dev.vrift.staging;

import dev.vrift.layout.BoardLayout;
import dev.vrift.platform.FaultPoint;
import dev.vrift.platform.Log;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.DirectoryNotEmptyException;
import java.nio.file.DirectoryStream;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;

/**
 * The daemon's side of staging: takes back what dead writers left, shows what lives too long, keeps the areas small. A staging file is
 * dead iff nobody has it open for writing (lease probe); pids, sockets and timers only say <em>when</em> to look. Owned by one thread of
 * {@code vdir_d}, never the apply thread: it makes real calls. No failure leaves this class as an exception; what cannot be done now is
 * done by a later sweep.
 */
public final class OrphanSweeper {
  /** Open longer than this, a file that is no build product is shown. */
  private static final long SHOW_AFTER_NS = 1_000_000_000L;
  /** A record claimed or damaged for this many sweeps belongs to nobody. */
  private static final int SWEEPS_UNTIL_FREED = 2;
  /** Passes of one sweep: more than one only when files with records came in between. */
  private static final int PASSES = 3;

  /** Below this many free bytes, salvage makes room. */
  private static final long DISK_RESERVE = 64L << 20;
  private static final long PRESSED_KEEP_MS = 600_000;

  private final Path root;
  private final byte[] rootBytes;
  private final long board;
  private final Salvage salvage;
  private final int maxSalvageFiles;
  private final long maxSalvageBytes;
  private final Map<Long, Integer> suspects = new HashMap<>();
  private int emptyCount;

  /**
   * @param root the project's real root
   * @param rootBytes the same as bytes, as in VRIFT_ROOT
   * @param board address of the mapped board, which must outlive this object
   */
  public OrphanSweeper(Path root, byte[] rootBytes, long board) {
    this(root, rootBytes, board, Salvage.MAX_FILES, Salvage.MAX_BYTES);
  }

  OrphanSweeper(Path root, byte[] rootBytes, long board, int maxSalvageFiles, long maxSalvageBytes) {
    this.root = root;
    this.rootBytes = rootBytes.clone();
    this.board = board;
    this.salvage = new Salvage(root);
    this.maxSalvageFiles = maxSalvageFiles;
    this.maxSalvageBytes = maxSalvageBytes;
  }

  /**
   * Looks after every record and every staging file. To be called at start (that adopts what a predecessor or a crash left), when a client
   * died, when a session ends, and every 5 s while anything is staged. Returns what was rolled back now.
   */
  public List<RolledBack> sweep() {
    List<RolledBack> rolledBack = new ArrayList<>();
    try {
      boolean again = true;
      for (int pass = 0; again && pass < PASSES; pass++) {
        Set<String> named = new HashSet<>();
        sweepRecords(rolledBack, named);
        again = sweepDirectories(rolledBack, named);
      }
      if (!rolledBack.isEmpty()) {
        salvage.bound(maxSalvageFiles, maxSalvageBytes);
      }
    } catch (IOException e) {
      Log.warn("staging: " + e + "; left as it is until the next sweep");
    }
    FaultPoint.SWEEP_DONE.hit();
    log(rolledBack);
    return rolledBack;
  }

  /**
   * Keeps the salvage area within its bounds and {@code room} bytes; promotions add to it without a daemon. When the disk has little left, what is older
   * than ten minutes goes too. Call now and then, and at the end of a session.
   */
  public void boundSalvage(long room) {
    try {
      salvage.bound(maxSalvageFiles, Math.min(maxSalvageBytes, room));
      if (Files.getFileStore(root).getUsableSpace() < DISK_RESERVE) {
        int gone = salvage.dropOlderThan(System.currentTimeMillis() - PRESSED_KEEP_MS);
        if (gone > 0) {
          Log.warn("the project's disk is nearly full: dropped " + gone + " salvaged files");
        }
      }
    } catch (IOException e) {
      Log.warn("salvage: " + e + "; not bounded this time");
    }
  }

  /** Shows files that have been open for more than a second, build products excepted. Returns how many. Cheap when nothing is staged. */
  public int promoteOld() {
    if (StagingNative.count(board) == 0) {
      return 0;
    }
    long[] records = StagingNative.records(board);
    long now = StagingNative.bootNanos();
    int shown = 0;
    for (int at = 0; at < records.length; at += StagingNative.FIELDS) {
      boolean live = (records[at + StagingNative.STATE] & BoardLayout.STAGED_STATE_MASK) == BoardLayout.STAGED_LIVE;
      boolean product = (records[at + StagingNative.FLAGS] & BoardLayout.STAGED_PRODUCT) != 0;
      if (live && !product && records[at + StagingNative.GOOD] == 1 && now - records[at + StagingNative.TIME] > SHOW_AFTER_NS) {
        shown += StagingNative.promote(board, rootBytes, (int) records[at + StagingNative.INDEX]);
      }
    }
    return shown;
  }

  /** Pids that own staged records now: those to watch by pidfd. */
  public Set<Integer> owners() {
    Set<Integer> pids = new HashSet<>();
    long[] records = StagingNative.records(board);
    for (int at = 0; at < records.length; at += StagingNative.FIELDS) {
      if (records[at + StagingNative.GOOD] == 1) {
        pids.add((int) records[at + StagingNative.PID]);
      }
    }
    return pids;
  }

  /** Bytes in the staging area now. */
  public long stagingBytes() {
    long[] sum = new long[1];
    try {
      eachFile((directory, file) -> sum[0] += Files.size(file));
    } catch (IOException e) {
      return sum[0]; /* files come and go: what was counted so far */
    }
    return sum[0];
  }

  private void sweepRecords(List<RolledBack> rolledBack, Set<String> named) {
    int counted = StagingNative.count(board);
    long[] records = StagingNative.records(board);
    int live = 0;
    for (int at = 0; at < records.length; at += StagingNative.FIELDS) {
      int index = (int) records[at + StagingNative.INDEX];
      if (records[at + StagingNative.GOOD] != 1) {
        freeSuspect(index, (int) records[at + StagingNative.STATE]);
        continue;
      }
      live++;
      int pid = (int) records[at + StagingNative.PID];
      String file = nameOfFile(records, at);
      byte[] path = StagingNative.path(board, index);
      long bytes = sizeInStaging(file);
      int result = StagingNative.sweep(board, rootBytes, index);
      if (result == StagingNative.ROLLED_BACK) {
        rolledBack.add(
            new RolledBack(path == null ? file : new String(path, StandardCharsets.UTF_8), pid, bytes, nameOf(records[at + StagingNative.STAMP], pid)));
      } else {
        named.add(file);
      }
    }
    clearCount(counted, live);
  }

  /* A client killed between count and record leaves the count too high for ever: twice seen without any record, it is cleared. */
  private void clearCount(int counted, int live) {
    emptyCount = counted != 0 && live == 0 ? emptyCount + 1 : 0;
    if (emptyCount >= SWEEPS_UNTIL_FREED) {
      StagingNative.clearCount(board, counted);
      emptyCount = 0;
    }
  }

  /* Claimed by a client that died before it published, or damaged: the same claim seen again at the next sweep is freed. */
  private void freeSuspect(int index, int state) {
    long claim = (long) index << Integer.SIZE | Integer.toUnsignedLong(state);
    if (suspects.merge(claim, 1, Integer::sum) > SWEEPS_UNTIL_FREED) {
      suspects.remove(claim);
      StagingNative.free(board, index, state);
    }
  }

  private String nameOf(long stamp, int pid) {
    String tail = "." + Long.toUnsignedString(stamp) + "_" + pid + ".new";
    try {
      for (Salvage.Item item : salvage.list()) {
        if (item.name().endsWith(tail)) {
          return item.name();
        }
      }
    } catch (IOException e) {
      Log.warn("salvage: " + e);
    }
    return null;
  }

  private interface FileVisitor {
    void visit(Path pidDirectory, Path file) throws IOException;
  }

  /* All project_<id>/pid_<n> of this root: ids change when a project is moved, and what is below this root is ours. */
  private void eachFile(FileVisitor visitor) throws IOException {
    for (Path pidDirectory : pidDirectories()) {
      try (DirectoryStream<Path> files = Files.newDirectoryStream(pidDirectory, "fd_*.tmp")) {
        for (Path file : files) {
          visitor.visit(pidDirectory, file);
        }
      } catch (NoSuchFileException gone) {
        continue; /* its owner is at work, or somebody cleaned up */
      }
    }
  }

  private List<Path> pidDirectories() throws IOException {
    List<Path> found = new ArrayList<>();
    for (Path project : projectDirectories()) {
      found.addAll(directoriesIn(project, "pid_*"));
    }
    return found;
  }

  private List<Path> projectDirectories() throws IOException {
    return directoriesIn(root.resolve(".vrift").resolve("staging"), "project_*");
  }

  private static List<Path> directoriesIn(Path parent, String pattern) throws IOException {
    List<Path> found = new ArrayList<>();
    if (!Files.isDirectory(parent, LinkOption.NOFOLLOW_LINKS)) {
      return found;
    }
    try (DirectoryStream<Path> all = Files.newDirectoryStream(parent, pattern)) {
      for (Path entry : all) {
        if (Files.isDirectory(entry, LinkOption.NOFOLLOW_LINKS)) {
          found.add(entry);
        }
      }
    } catch (NoSuchFileException gone) {
      return found;
    }
    return found;
  }

  private long sizeInStaging(String file) {
    try {
      for (Path directory : pidDirectories()) {
        Path candidate = directory.resolveSibling(file);
        if (Files.isRegularFile(candidate, LinkOption.NOFOLLOW_LINKS)) {
          return Files.size(candidate);
        }
      }
    } catch (IOException gone) {
      return 0;
    }
    return 0;
  }

  /* Files without a record (their client died before publishing it, or the board is a new one), and directories of dead owners. True: there
     are files of records that the pass before did not know. */
  private boolean sweepDirectories(List<RolledBack> rolledBack, Set<String> named) throws IOException {
    FaultPoint.SWEEP_RECORDS_DONE.hit();
    boolean[] late = new boolean[1];
    eachFile(
        (directory, file) -> {
          String pidName = directory.getFileName().toString();
          String name = pidName + "/" + file.getFileName();
          if (named.contains(name) || StagingNative.hasWriter(bytes(file)) != 0) {
            return;
          }
          /* A record is published before its writer's descriptor can be closed: whoever has no writer and no record now never had one. The
             records read before may be older than the file. */
          if (recorded().contains(name)) {
            late[0] = true;
          } else {
            rollBackUnknown(pidName, file, rolledBack);
          }
        });
    for (Path directory : pidDirectories()) {
      String pid = directory.getFileName().toString().substring("pid_".length());
      if (!Files.exists(Path.of("/proc", pid))) {
        removeEmpty(directory);
      }
    }
    return late[0];
  }

  /** The staging files that records name at this moment, as {@code pid_<n>/fd_<n>_<stamp>.tmp}. */
  private Set<String> recorded() {
    Set<String> names = new HashSet<>();
    long[] records = StagingNative.records(board);
    for (int at = 0; at < records.length; at += StagingNative.FIELDS) {
      if (records[at + StagingNative.GOOD] == 1) {
        names.add(nameOfFile(records, at));
      }
    }
    return names;
  }

  private static String nameOfFile(long[] records, int at) {
    long stamp = records[at + StagingNative.STAMP];
    return "pid_" + records[at + StagingNative.PID] + "/fd_" + records[at + StagingNative.FD] + "_" + Long.toUnsignedString(stamp) + ".tmp";
  }

  private void rollBackUnknown(String pidName, Path file, List<RolledBack> rolledBack) throws IOException {
    long bytes = Files.size(file);
    if (bytes == 0) {
      Files.deleteIfExists(file);
      return;
    }
    int pid = number(pidName);
    String name = SalvageName.encodeNew("unknown-" + file.getFileName(), StagingNative.bootNanos(), pid);
    Path area = root.resolve(".vrift").resolve("salvage");
    if (!Files.isDirectory(area, LinkOption.NOFOLLOW_LINKS)) {
      Files.createDirectory(area);
    }
    if (StagingNative.moveNew(bytes(file), bytes(area.resolve(name))) == 0) {
      rolledBack.add(new RolledBack("(a file whose name was lost)", pid, bytes, name));
    }
  }

  private static int number(String pidName) {
    try {
      return Integer.parseInt(pidName.substring("pid_".length()));
    } catch (NumberFormatException e) {
      return 0;
    }
  }

  private byte[] bytes(Path below) {
    byte[] tail = root.relativize(below).toString().getBytes(StandardCharsets.US_ASCII); /* all our names are */
    byte[] whole = new byte[rootBytes.length + 1 + tail.length];
    System.arraycopy(rootBytes, 0, whole, 0, rootBytes.length);
    whole[rootBytes.length] = '/';
    System.arraycopy(tail, 0, whole, rootBytes.length + 1, tail.length);
    return whole;
  }

  /** At a daemon's clean stop: directories that hold nothing. */
  public void removeEmptyDirectories() {
    try {
      for (Path directory : pidDirectories()) {
        removeEmpty(directory);
      }
      for (Path project : projectDirectories()) {
        for (Path pooled : directoriesIn(project, "free_*")) { // given back by processes, for the next ones
          removeEmpty(pooled);
        }
        removeEmpty(project);
      }
      removeEmpty(root.resolve(".vrift").resolve("staging"));
      removeEmpty(root.resolve(".vrift").resolve("salvage"));
    } catch (IOException e) {
      Log.warn("staging: " + e + "; directories left");
    }
  }

  private static void removeEmpty(Path directory) throws IOException {
    try {
      Files.deleteIfExists(directory);
    } catch (DirectoryNotEmptyException inUse) {
      return; /* a file in it is still at work, or kept */
    }
  }

  private static void log(List<RolledBack> rolledBack) {
    Map<Integer, Integer> perPid = new HashMap<>();
    for (RolledBack r : rolledBack) {
      perPid.merge(r.pid(), 1, Integer::sum);
    }
    perPid.forEach((pid, n) -> Log.info("client " + pid + " is gone, rolled back " + n + (n == 1 ? " file" : " files") + " to .vrift/salvage"));
  }
}
