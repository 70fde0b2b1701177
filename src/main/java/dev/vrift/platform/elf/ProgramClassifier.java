package dev.vrift.platform.elf;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayDeque;
import java.util.Deque;
import java.util.HashMap;
import java.util.HashSet;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;

/**
 * Decides whether a dynamic program, with the libraries it names, makes system calls that do not pass through libc (PROTOCOL
 * section 7, "leaky"). Blocking and slow (some 100 MB of code a second): runs on a background thread only. Keeps verdicts of
 * libraries by path, size and mtime. Confined to one thread.
 */
public final class ProgramClassifier {
  /** SEEN: every system call goes through libc. LEAKY: some do not, or it could not be decided. */
  public enum Verdict {
    SEEN,
    LEAKY
  }

  private static final int CHUNK = 1 << 20;
  /** Bytes read again at the start of the next chunk: an instruction and its setting up are never cut in two. */
  private static final int OVERLAP = 64;
  private static final int MAX_OBJECTS = 512;

  /**
   * The C library itself and what the kernel or we bring: their system calls are what the hooks stand in front of. And OpenSSL's libcrypto, which asks
   * the kernel through libc only, but has tables among its code that look like anything.
   */
  private static final Set<String> TRUSTED =
      Set.of(
          "libc.so.6", "ld-linux-x86-64.so.2", "libpthread.so.0", "libdl.so.2", "librt.so.1", "libm.so.6",
          "libutil.so.1", "libresolv.so.2", "libanl.so.1", "libvrift_shim.so", "libcrypto.so.3", "libcrypto.so.1.1");

  private static final List<String> DEFAULT_DIRS =
      List.of("/lib/x86_64-linux-gnu", "/usr/lib/x86_64-linux-gnu", "/lib64", "/usr/lib64", "/lib", "/usr/lib", "/usr/local/lib");

  private record Key(Path path, long size, long mtime) {}

  private final Map<Key, Boolean> leakyObjects = new HashMap<>();
  private final byte[] buffer = new byte[CHUNK + OVERLAP];

  /** Classifies a program file. Anything that cannot be read or found is LEAKY: that costs speed, never truth. */
  public Verdict classify(Path program) {
    return classify(program, Set.of());
  }

  /** The same for a library that a process has loaded beside these files: what it needs by name may be one of them, as the dynamic linker sees it. */
  public Verdict classify(Path program, Set<String> loaded) {
    Set<Path> done = new HashSet<>();
    Deque<Path> todo = new ArrayDeque<>();
    Set<String> inherited = new LinkedHashSet<>();
    todo.add(program);
    try {
      if (ofTheSystem(program)) {
        return Verdict.SEEN;
      }
      while (!todo.isEmpty()) {
        Path object = todo.poll().toRealPath();
        if (!done.add(object)) {
          continue;
        }
        if (done.size() > MAX_OBJECTS) {
          return Verdict.LEAKY;
        }
        try (ElfFile elf = new ElfFile(object)) {
          if (leaky(object, elf)) {
            return Verdict.LEAKY;
          }
          for (String dir : elf.searchPaths()) {
            String origin = object.getParent().toString();
            inherited.add(dir.replace("${ORIGIN}", origin).replace("$ORIGIN", origin));
          }
          for (String name : elf.needed()) {
            if (!TRUSTED.contains(name)) {
              todo.add(find(name, inherited, loaded));
            }
          }
        }
      }
      return Verdict.SEEN;
    } catch (IOException | RuntimeException e) {
      return Verdict.LEAKY;
    }
  }

  /** A library of {@link #TRUSTED}, where the system has it. */
  public static boolean ofTheSystem(Path file) {
    return TRUSTED.contains(file.getFileName().toString()) && file.getParent() != null && DEFAULT_DIRS.contains(file.getParent().toString());
  }

  private static Path find(String name, Set<String> searchPaths, Set<String> loaded) throws IOException {
    if (name.indexOf('/') >= 0) {
      return Path.of(name);
    }
    for (String dir : searchPaths) {
      Path p = Path.of(dir, name);
      if (Files.isReadable(p)) {
        return p;
      }
    }
    for (String dir : DEFAULT_DIRS) {
      Path p = Path.of(dir, name);
      if (Files.isReadable(p)) {
        return p;
      }
    }
    for (String file : loaded) {
      if (file.endsWith("/" + name)) {
        return Path.of(file);
      }
    }
    throw new IOException("library " + name + " not found");
  }

  private boolean leaky(Path path, ElfFile elf) throws IOException {
    Key key = new Key(path, Files.size(path), Files.getLastModifiedTime(path).toMillis());
    Boolean known = leakyObjects.get(key);
    if (known == null) {
      known = scan(elf);
      leakyObjects.put(key, known);
    }
    return known;
  }

  private boolean scan(ElfFile elf) throws IOException {
    for (ElfFile.Range range : elf.code()) {
      long at = range.offset();
      long left = range.size();
      while (left > 0) {
        int want = (int) Math.min(left, CHUNK + OVERLAP);
        int got = elf.readAt(at, buffer, want);
        if (got != want) {
          throw new IOException("code outside the file");
        }
        if (SyscallScanner.hasSyscall(buffer, 0, got)) {
          return true;
        }
        int step = Math.min(want, CHUNK);
        at += step;
        left -= step;
        if (Thread.interrupted()) {
          throw new IOException("interrupted");
        }
      }
    }
    return false;
  }
}
