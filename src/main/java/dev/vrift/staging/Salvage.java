package dev.vrift.staging;

import dev.vrift.platform.FileCalls;
import dev.vrift.platform.FileStat;
import dev.vrift.platform.Sockets;
import java.io.IOException;
import java.nio.file.DirectoryStream;
import java.nio.file.FileAlreadyExistsException;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.nio.file.attribute.BasicFileAttributes;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;

/**
 * The salvage area of a project, {@code <root>/.vrift/salvage}: what promotions and rollbacks took away from view, bounded by number and
 * bytes, oldest first. Used by the daemon's sweep and by {@code vrift salvage}; both may run at once. Files with names that are not
 * ours are never touched. Not thread-safe within one object; cheap to make.
 */
public final class Salvage {
  public static final int MAX_FILES = 256;
  public static final long MAX_BYTES = 256L << 20;

  /**
   * One salvaged file. {@code kind} is "old" (the version before a promotion) or "rolled-back"; {@code time} the file's last write, ms
   * since the epoch; {@code restorable}: its whole path is known, so that {@link #restore} needs no place. {@code path} is for people (bytes
   * that are not UTF-8 are replaced); {@code encoded} has every byte, as {@code %XX} where it is not plain.
   */
  public record Item(String name, String path, String encoded, String kind, int pid, long bytes, long time, boolean restorable) {}

  private final Path root;
  private final Path directory;

  public Salvage(Path root) {
    this.root = root;
    this.directory = root.resolve(".vrift").resolve("salvage");
  }

  /** What there is, newest first; empty when there is no salvage area. */
  public List<Item> list() throws IOException {
    List<Item> items = new ArrayList<>();
    if (!Files.isDirectory(directory, LinkOption.NOFOLLOW_LINKS)) {
      return items;
    }
    try (DirectoryStream<Path> all = Files.newDirectoryStream(directory)) {
      for (Path file : all) {
        Item item = item(file);
        if (item != null) {
          items.add(item);
        }
      }
    }
    items.sort(Comparator.comparingLong(Item::time).reversed().thenComparing(Item::name));
    return items;
  }

  private static Item item(Path file) throws IOException {
    String name = file.getFileName().toString();
    SalvageName parsed = SalvageName.parse(name);
    if (parsed == null) {
      return null;
    }
    try {
      BasicFileAttributes a = Files.readAttributes(file, BasicFileAttributes.class, LinkOption.NOFOLLOW_LINKS);
      if (!a.isRegularFile()) {
        return null;
      }
      String kind = parsed.old() ? "old" : "rolled-back";
      return new Item(name, parsed.path(), parsed.encoded(), kind, parsed.pid(), a.size(), a.lastModifiedTime().toMillis(), parsed.whole() && !parsed.secret());
    } catch (NoSuchFileException gone) {
      return null; /* dropped by somebody else meanwhile */
    }
  }

  /** Deletes secrets, then the oldest until the bounds hold. Returns how many files went. */
  public int bound(int maxFiles, long maxBytes) throws IOException {
    int dropped = 0;
    int kept = 0;
    long bytes = 0;
    for (Item item : list()) {
      boolean fits = kept < maxFiles && item.bytes() <= maxBytes - bytes;
      if (fits && !SalvageName.parse(item.name()).secret()) {
        kept++;
        bytes += item.bytes();
      } else if (drop(item.name())) {
        dropped++;
      }
    }
    return dropped;
  }

  /** Deletes what was salvaged before {@code time} (ms since the epoch). Returns how many files went. */
  public int dropOlderThan(long time) throws IOException {
    int n = 0;
    for (Item item : list()) {
      n += item.time() < time && drop(item.name()) ? 1 : 0;
    }
    return n;
  }

  /** Deletes one file by its name in {@link #list}. False: there is none of that name. */
  public boolean drop(String name) throws IOException {
    return Files.deleteIfExists(checked(name));
  }

  /** Deletes everything of ours. Returns the number of files. */
  public int dropAll() throws IOException {
    int n = 0;
    for (Item item : list()) {
      n += drop(item.name()) ? 1 : 0;
    }
    return n;
  }

  /**
   * Copies a salvaged file to {@code to}, or to its own path when {@code to} is null, and keeps the salvaged one. Mode and times go with
   * it; it appears whole. Throws {@link FileAlreadyExistsException} when something is there and {@code replace} is false, and
   * {@link IOException} saying what to name when the path was too long to be kept, or leads out of the project.
   */
  public Path restore(String name, Path to, boolean replace) throws IOException {
    Path from = checked(name);
    SalvageName parsed = SalvageName.parse(name);
    if (parsed.secret()) {
      throw new IOException(name + " looks like a secret; those are not kept, and are not restored");
    }
    if (to == null && !parsed.whole()) {
      throw new IOException(
          "the path of " + name + " was too long to be kept (it ends in " + parsed.path() + "); name the place: vrift salvage restore NAME --to FILE");
    }
    int fd = openSalvaged(name);
    try {
      Path content = Path.of("/proc/self/fd/" + fd);
      return to == null ? SalvageRestore.beneath(root, from, content, parsed, replace) : SalvageRestore.to(content, to, replace);
    } finally {
      FileCalls.close(fd);
    }
  }

  /** The file itself, whatever somebody put in its place or in that of the area: a link is not followed, a fifo not waited for. */
  private int openSalvaged(String name) throws IOException {
    int[] error = new int[1];
    int top = FileCalls.open(FileCalls.bytes(root.toString()), FileCalls.DIRECTORY, 0);
    int fd = top < 0 ? top : FileCalls.openBeneath(top, FileCalls.bytes(".vrift/salvage/" + name), false);
    if (top >= 0) {
      FileCalls.close(top);
    }
    if (fd == FileCalls.ENOENT) {
      throw new NoSuchFileException(name, null, "no such salvaged file; vrift salvage list shows them");
    }
    FileStat st = fd < 0 ? null : FileCalls.stat(fd, null, error);
    if (st == null || !st.isRegular()) {
      if (fd >= 0) {
        FileCalls.close(fd);
      }
      throw new IOException(name + (fd < 0 ? ": " + Sockets.message(fd) : " is no regular file") + "; it is not vrift's, and is not restored");
    }
    return fd;
  }

  private Path checked(String name) throws IOException {
    if (SalvageName.parse(name) == null || name.indexOf('/') >= 0) {
      throw new NoSuchFileException(name, null, "no such salvaged file; vrift salvage list shows them");
    }
    return directory.resolve(name);
  }
}
