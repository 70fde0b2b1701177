package dev.vrift.cas;

import dev.vrift.platform.FileCalls;
import dev.vrift.platform.FileStat;
import dev.vrift.platform.Processes;
import dev.vrift.platform.Trouble;
import java.io.IOException;
import java.nio.file.FileAlreadyExistsException;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Comparator;
import java.util.List;

/**
 * Copies of small contents in memory, {@code /dev/shm/vrift_cas/<64 hex>}: directory 0500, files 0400. A cache of the store and nothing more: every read is
 * verified, whatever is odd is a miss, and it may vanish at any moment. Any number of processes of the user; no lock. Off unless the settings say otherwise.
 */
public final class HotTier {
  public static final Path PLACE = Path.of("/dev/shm/vrift_cas");
  /** Largest content kept, bytes. */
  static final int MAX_CONTENT = 1 << 20;
  /** Values of the setting. */
  public static final int OFF = 0;
  public static final int ON = 1;
  public static final int IF_SLOW = 2;
  /** A disk on which opening and reading a small file takes longer is slow, µs. */
  static final long SLOW_MICROS = 1_000;
  private static final int SAMPLES = 32;

  private final Path dir;
  private final long maxBytes;
  private final String state;
  private final boolean usable;

  private HotTier(Path dir, long maxBytes, String state, boolean usable) {
    this.dir = dir;
    this.maxBytes = maxBytes;
    this.state = state;
    this.usable = usable;
  }

  /** Never throws: what cannot be used is off and {@link #state} says why. {@code setting}: OFF, ON or IF_SLOW. */
  public static HotTier open(ContentStore store, long setting, long maxBytes) {
    return open(PLACE, store, setting, maxBytes);
  }

  static HotTier open(Path dir, ContentStore store, long setting, long maxBytes) {
    if (setting == OFF) {
      return new HotTier(dir, 0, "off", false);
    }
    String why = "on";
    if (setting == IF_SLOW) {
      long micros = measured(store);
      if (micros < SLOW_MICROS) {
        return new HotTier(dir, 0, "off: the disk is fast enough (" + micros + " µs for a small file, measured once)", false);
      }
      why = "on: the disk is slow (" + micros + " µs for a small file, measured once)";
    }
    String refused = prepare(dir);
    return refused == null ? new HotTier(dir, maxBytes, why, true) : new HotTier(dir, 0, "refused: " + refused, false);
  }

  /** {@code on}, {@code off} or {@code refused}, with the reason. */
  public String state() {
    return state;
  }

  /** Removes it if it is ours: when nothing of vrift is to be left. */
  public static void remove() {
    if (!Files.isDirectory(PLACE, LinkOption.NOFOLLOW_LINKS) || prepare(PLACE) != null) {
      return;
    }
    HotTier tier = new HotTier(PLACE, 0, "off", true);
    tier.write(() -> ContentStore.names(PLACE).forEach(name -> FileCalls.unlink(ContentStore.bytes(PLACE.resolve(name)))));
    try {
      Files.deleteIfExists(PLACE);
    } catch (IOException e) {
      return; // somebody uses it again
    }
  }

  /** Null if all is well. */
  private static String prepare(Path dir) {
    try {
      try {
        Files.createDirectory(dir, PosixFilePermissions.asFileAttribute(PosixFilePermissions.fromString("r-x------")));
      } catch (FileAlreadyExistsException e) {
        // looked at below
      }
      int uid = (int) Files.getAttribute(dir, "unix:uid", LinkOption.NOFOLLOW_LINKS);
      int mode = (int) Files.getAttribute(dir, "unix:mode", LinkOption.NOFOLLOW_LINKS);
      if (!Files.isDirectory(dir, LinkOption.NOFOLLOW_LINKS) || uid != Processes.uid() || (mode & 077) != 0) {
        return dir + " is not a directory of yours alone; it is left alone and not used";
      }
      return null;
    } catch (IOException e) {
      return Trouble.of(e);
    }
  }

  private Path file(Digest d) {
    return dir.resolve(d.hex());
  }

  /** The content if it is here and right, else null; a wrong one is removed. */
  byte[] get(Digest digest, int limit) {
    int fd = usable ? FileCalls.open(ContentStore.bytes(file(digest)), FileCalls.READ, 0) : -1;
    if (fd < 0) {
      return null;
    }
    try {
      FileStat st = FileCalls.stat(fd, null, new int[1]);
      boolean odd = st == null || !st.isRegular() || st.uid() != Processes.uid() || st.nlink() != 1 || (st.mode() & 0377) != 0 || st.size() > MAX_CONTENT;
      byte[] content = odd ? null : VerifyingReader.slurp(fd, digest, st.size());
      if (content == null) {
        write(() -> FileCalls.unlink(ContentStore.bytes(file(digest))));
      }
      return content == null || content.length > limit ? null : content;
    } catch (CasException e) {
      return null;
    } finally {
      FileCalls.close(fd);
    }
  }

  /** Keeps a content that was just verified, the oldest making room. May do nothing. */
  void put(Digest digest, byte[] content) {
    if (!usable || content.length > MAX_CONTENT || content.length > maxBytes || Files.exists(file(digest), LinkOption.NOFOLLOW_LINKS)) {
      return;
    }
    write(
        () -> {
          if (!makeRoom(content.length)) {
            return;
          }
          Path temporary = dir.resolve(".new-" + ProcessHandle.current().pid() + "-" + System.nanoTime());
          int out = FileCalls.open(ContentStore.bytes(temporary), FileCalls.CREATE_NEW, ContentStore.TEMPORARY_MODE);
          if (out < 0) {
            return;
          }
          boolean whole = true;
          for (int at = 0; whole && at < content.length; at += FileCalls.PIECE) {
            byte[] piece = Arrays.copyOfRange(content, at, Math.min(content.length, at + FileCalls.PIECE));
            whole = FileCalls.write(out, piece, piece.length) == piece.length; // a full /dev/shm is an error here, never a signal
          }
          whole &= FileCalls.chmod(out, ContentStore.BLOB_MODE) == 0;
          FileCalls.close(out);
          if (!whole || FileCalls.publish(ContentStore.bytes(temporary), ContentStore.bytes(file(digest))) != 0) {
            FileCalls.unlink(ContentStore.bytes(temporary));
          }
        });
  }

  /** Bytes kept now. */
  public long bytes() {
    return usable ? kept().stream().mapToLong(Kept::size).sum() : 0;
  }

  private record Kept(Path file, long size, long time) {}

  private List<Kept> kept() {
    List<Kept> out = new ArrayList<>();
    for (String name : ContentStore.names(dir)) {
      try {
        Path p = dir.resolve(name);
        out.add(new Kept(p, Files.size(p), Files.getLastModifiedTime(p, LinkOption.NOFOLLOW_LINKS).toMillis()));
      } catch (IOException e) {
        continue; // gone meanwhile
      }
    }
    return out;
  }

  private boolean makeRoom(long bytes) {
    List<Kept> all = kept();
    long sum = all.stream().mapToLong(Kept::size).sum();
    all.sort(Comparator.comparingLong(Kept::time));
    for (Kept k : all) {
      if (sum + bytes <= maxBytes) {
        break;
      }
      if (FileCalls.unlink(ContentStore.bytes(k.file())) == 0) {
        sum -= k.size();
      }
    }
    return sum + bytes <= maxBytes;
  }

  /** The directory is writable for the moment only. Another process may close it in between: then nothing is kept this time. */
  private void write(Runnable change) {
    int fd = FileCalls.open(ContentStore.bytes(dir), FileCalls.DIRECTORY, 0);
    if (fd >= 0) {
      FileCalls.chmod(fd, 0700);
      change.run();
      FileCalls.chmod(fd, 0500);
      FileCalls.close(fd);
    }
  }

  /** Median time to open and read a small file of the store's disk, µs; measured once and kept in {@code measured}. */
  private static long measured(ContentStore store) {
    Path kept = store.dir().resolve("measured");
    try {
      if (Files.exists(kept)) {
        return Long.parseLong(Files.readString(kept).strip());
      }
    } catch (IOException | NumberFormatException e) {
      // measured again
    }
    try {
      long micros = measure(store);
      Files.writeString(kept, micros + "\n");
      return micros;
    } catch (IOException e) {
      return 0;
    }
  }

  private static long measure(ContentStore store) throws IOException {
    long[] nanos = new long[SAMPLES];
    List<Path> files = new ArrayList<>();
    try {
      for (int i = 0; i < SAMPLES; i++) {
        Path p = store.newTemporary();
        files.add(p);
        Files.write(p, new byte[4096]);
      }
      for (int i = 0; i < SAMPLES; i++) {
        long start = System.nanoTime();
        Files.readAllBytes(files.get(i));
        nanos[i] = System.nanoTime() - start;
      }
    } finally {
      for (Path p : files) {
        FileCalls.unlink(ContentStore.bytes(p));
      }
    }
    Arrays.sort(nanos);
    return nanos[SAMPLES / 2] / 1000;
  }
}
