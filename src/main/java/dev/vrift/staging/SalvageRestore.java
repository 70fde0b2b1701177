package dev.vrift.staging;

import dev.vrift.platform.FileCalls;
import dev.vrift.platform.Sockets;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.FileAlreadyExistsException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.Arrays;

/**
 * Puts one salvaged file back. Its own path came from a program, so it is walked beneath the root part by part: bytes as they were, no link followed, no
 * {@code ..}. The file appears whole, and replaces something only if it was told to, whatever happens at the same moment.
 */
final class SalvageRestore {
  private static final int DIRECTORY_MODE = 0777;

  private SalvageRestore() {}

  /** To its own path. {@code from} is for messages, {@code content} is what is read. */
  static Path beneath(Path root, Path from, Path content, SalvageName name, boolean replace) throws IOException {
    byte[] path = name.bytes();
    int slash = lastSlash(path);
    byte[] base = Arrays.copyOfRange(path, slash + 1, path.length);
    if (path[0] == '/' || base.length == 0 || bad(base) || hasEmptyPart(path)) {
      throw outside(from);
    }
    int fd = FileCalls.open(FileCalls.bytes(root.toString()), FileCalls.DIRECTORY, 0);
    try {
      for (int at = 0; at < slash && fd >= 0; ) {
        int end = at;
        while (end < slash && path[end] != '/') {
          end++;
        }
        byte[] part = Arrays.copyOfRange(path, at, end);
        if (part.length == 0 || bad(part) || at == 0 && Arrays.equals(part, FileCalls.bytes(".vrift"))) {
          throw outside(from);
        }
        int next = enter(fd, part);
        FileCalls.close(fd);
        fd = next;
        at = end + 1;
      }
      if (fd < 0) {
        throw new IOException(
            "the directory of " + name.path() + " cannot be entered (" + Sockets.message(fd) + "); name the place: vrift salvage restore NAME --to FILE");
      }
      place(content, fd, base, root.resolve(name.path()), replace);
      return root.resolve(name.path());
    } finally {
      if (fd >= 0) {
        FileCalls.close(fd);
      }
    }
  }

  /** To a place that a person named. */
  static Path to(Path from, Path target, boolean replace) throws IOException {
    Path parent = target.toAbsolutePath().getParent();
    Files.createDirectories(parent);
    int fd = FileCalls.open(FileCalls.bytes(parent.toRealPath().toString()), FileCalls.DIRECTORY, 0);
    if (fd < 0) {
      throw new IOException(parent + ": " + Sockets.message(fd));
    }
    try {
      place(from, fd, FileCalls.bytes(target.getFileName().toString()), target, replace);
    } finally {
      FileCalls.close(fd);
    }
    return target;
  }

  private static int lastSlash(byte[] path) {
    int at = path.length - 1;
    while (at >= 0 && path[at] != '/') {
      at--;
    }
    return at;
  }

  private static boolean hasEmptyPart(byte[] path) {
    for (int i = 1; i < path.length; i++) {
      if (path[i] == '/' && path[i - 1] == '/') {
        return true;
      }
    }
    return false;
  }

  private static boolean bad(byte[] part) {
    return part[0] == '.' && (part.length == 1 || part.length == 2 && part[1] == '.');
  }

  private static IOException outside(Path from) {
    return new IOException(from.getFileName() + " would be restored outside the project; name the place: vrift salvage restore NAME --to FILE");
  }

  /** Opens a directory in one that is open; made if it is not there. */
  private static int enter(int fd, byte[] part) {
    int next = FileCalls.openBeneath(fd, part, true);
    if (next == FileCalls.ENOENT) {
      FileCalls.mkdir(in(fd, part), DIRECTORY_MODE);
      next = FileCalls.openBeneath(fd, part, true);
    }
    return next;
  }

  /** A name in an open directory, as a path. */
  private static byte[] in(int fd, byte[] name) {
    byte[] directory = ("/proc/self/fd/" + fd + "/").getBytes(StandardCharsets.US_ASCII);
    byte[] out = Arrays.copyOf(directory, directory.length + name.length);
    System.arraycopy(name, 0, out, directory.length, name.length);
    return out;
  }

  private static void place(Path from, int fd, byte[] base, Path shown, boolean replace) throws IOException {
    String temporary = ".vrift-restore-" + ProcessHandle.current().pid() + "-" + System.nanoTime() + ".tmp";
    byte[] beside = in(fd, FileCalls.bytes(temporary));
    try {
      Files.copy(from, Path.of(new String(beside, StandardCharsets.US_ASCII)), StandardCopyOption.COPY_ATTRIBUTES);
      int rc = replace ? FileCalls.rename(beside, in(fd, base)) : FileCalls.publish(beside, in(fd, base));
      if (rc == FileCalls.EEXIST) {
        throw new FileAlreadyExistsException(shown.toString(), null, "it exists; vrift left it alone. Move it away, or pass --force");
      }
      if (rc < 0) {
        throw new IOException(shown + ": " + Sockets.message(rc));
      }
    } finally {
      FileCalls.unlink(beside);
    }
  }
}
