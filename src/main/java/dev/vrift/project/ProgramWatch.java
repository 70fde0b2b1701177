package dev.vrift.project;

import dev.vrift.layout.VDirLayout;
import dev.vrift.platform.Log;
import dev.vrift.platform.RunPaths;
import dev.vrift.platform.elf.ProgramClassifier;
import dev.vrift.vdir.Engine;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.locks.LockSupport;

/**
 * Classifies the programs that asked for it (PROTOCOL section 7) and keeps the verdicts in a file of the user's state directory, so that
 * each binary is scanned once. One thread of low priority, {@code programs}.
 */
final class ProgramWatch {
  private static final long PERIOD_MS = 100;
  private static final int MAX_KEPT = 4_096;
  /** dev, ino, size, mtime, its ns, ctime, its ns: as {@link Engine#identity} gives them. */
  private static final int KEY_WORDS = 7;
  /** In what {@link Engine#takeClassify} gives: the libraries that the process has loaded are asked about too (vr_board.h). */
  private static final int LIBRARIES = 0x4000_0000;
  private static final int MAX_LIBRARIES = 512;
  private static final String FILE = "programs.v2";
  private static final long STACK_BYTES = 256 * 1024;

  private final Path file;
  private final long engine;
  private final ApplyLoop loop;
  private final Sessions sessions;
  private final Thread thread;
  private final Map<String, Integer> verdicts = new LinkedHashMap<>();
  private volatile boolean stopping;

  ProgramWatch(Path stateDir, long engine, ApplyLoop loop, Sessions sessions) {
    this.file = stateDir.resolve(FILE);
    this.engine = engine;
    this.loop = loop;
    this.sessions = sessions;
    this.thread = new Thread(null, this::run, "programs", STACK_BYTES);
    thread.setDaemon(true);
    thread.setPriority(Thread.MIN_PRIORITY);
  }

  void start() {
    thread.start();
    loop.onClassify(() -> LockSupport.unpark(thread)); // a short process is looked at while it lives
  }

  void stop() {
    stopping = true;
    LockSupport.unpark(thread);
  }

  private void run() {
    ProgramClassifier classifier = new ProgramClassifier();
    load();
    publishKept();
    int[] pids = new int[64];
    while (!stopping) {
      int n = Engine.takeClassify(engine, pids);
      for (int i = 0; i < n; i++) {
        try {
          int pid = pids[i] & ~LIBRARIES;
          classify(classifier, "/proc/" + pid + "/exe", Set.of());
          if ((pids[i] & LIBRARIES) != 0) {
            Set<String> loaded = loaded(pid);
            for (String library : loaded) {
              classify(classifier, library, loaded);
            }
          }
        } catch (IOException | RuntimeException e) {
          // The process is gone or not ours to look at: the next one of that program asks again.
          continue;
        }
      }
      LockSupport.parkNanos(1_000_000L * (sessions.serve() ? PERIOD_MS : 10 * PERIOD_MS));
    }
  }

  /** The files that a process has mapped to execute. */
  private static Set<String> loaded(int pid) throws IOException {
    Set<String> files = new LinkedHashSet<>();
    for (String line : Files.readString(Path.of("/proc/" + pid + "/maps"), StandardCharsets.ISO_8859_1).split("\n")) {
      int at = line.indexOf('/');
      if (at > 0 && line.indexOf('x') > 0 && line.indexOf('x') < line.indexOf(' ', line.indexOf(' ') + 1) && files.size() < MAX_LIBRARIES) {
        String name = line.substring(line.lastIndexOf('/') + 1);
        if (name.equals("libvrift_shim.so")) {
          continue;
        }
        files.add(new String(line.substring(at).getBytes(StandardCharsets.ISO_8859_1), StandardCharsets.UTF_8));
      }
    }
    return files;
  }

  private void classify(ProgramClassifier classifier, String name, Set<String> loaded) throws IOException {
    long[] key = new long[KEY_WORDS];
    if (Engine.identity(RunPaths.bytes(name), key) < 0) {
      return;
    }
    Path program = name.startsWith("/proc/") ? Files.readSymbolicLink(Path.of(name)) : Path.of(name);
    String line = line(key);
    Integer verdict = verdicts.get(line);
    if (verdict == null) {
      long[] again = new long[KEY_WORDS];
      verdict =
          classifier.classify(program, loaded) == ProgramClassifier.Verdict.SEEN ? VDirLayout.PROGRAM_SEEN : VDirLayout.PROGRAM_LEAKY;
      if (Engine.identity(RunPaths.bytes(program), again) < 0 || !Arrays.equals(key, again)) {
        return; // replaced while we looked, or in another mount namespace
      }
      Log.info("program " + program + (verdict == VDirLayout.PROGRAM_SEEN ? ": every system call goes through libc" : ": makes system calls of its own"));
      verdicts.put(line, verdict);
      save();
    }
    int v = verdict;
    loop.ask(e -> Engine.program(e, key, v));
  }

  /** The newest verdicts, so that a new project's first build need not wait for them. A program that was replaced has another key. */
  private void publishKept() {
    List<long[]> keys = new ArrayList<>();
    int skip = Math.max(0, verdicts.size() - VDirLayout.PROGRAMS / 2);
    try {
      for (Map.Entry<String, Integer> e : verdicts.entrySet()) {
        String[] words = e.getKey().trim().split(" ");
        if (skip-- > 0 || words.length != KEY_WORDS) {
          continue;
        }
        long[] key = new long[KEY_WORDS + 1];
        for (int i = 0; i < KEY_WORDS; i++) {
          key[i] = Long.parseLong(words[i]);
        }
        key[KEY_WORDS] = e.getValue();
        keys.add(key);
      }
      loop.ask(
          engine -> {
            keys.forEach(k -> Engine.program(engine, k, (int) k[KEY_WORDS]));
            return 0;
          });
    } catch (RuntimeException e) {
      Log.warn("the kept verdicts on programs are not used, programs are looked at again: ".concat(e.toString()));
    }
  }

  private static String line(long[] key) {
    StringBuilder s = new StringBuilder();
    for (long k : key) {
      s.append(k).append(' ');
    }
    return s.toString();
  }

  /** A damaged file only means that programs are scanned again. Libraries are part of a verdict: the file lives as long as the C library does. */
  private void load() {
    try {
      if (!Files.isRegularFile(file) || Files.size(file) > 1 << 20 || Files.getLastModifiedTime(file).compareTo(libraryTime()) < 0) {
        return;
      }
      for (String s : Files.readAllLines(file, StandardCharsets.US_ASCII)) {
        int at = s.lastIndexOf(' ');
        if (at > 0 && s.length() == at + 2 && (s.charAt(at + 1) == '1' || s.charAt(at + 1) == '2')) {
          verdicts.put(s.substring(0, at + 1), s.charAt(at + 1) - '0');
        }
      }
    } catch (IOException | RuntimeException e) {
      Log.warn("the kept verdicts on programs cannot be read, programs are scanned again: ".concat(e.toString()));
    }
  }

  private static java.nio.file.attribute.FileTime libraryTime() throws IOException {
    Path cache = Path.of("/etc/ld.so.cache");
    return Files.exists(cache) ? Files.getLastModifiedTime(cache) : java.nio.file.attribute.FileTime.fromMillis(0);
  }

  private void save() {
    List<String> lines = new ArrayList<>();
    int skip = Math.max(0, verdicts.size() - MAX_KEPT);
    for (Map.Entry<String, Integer> e : verdicts.entrySet()) {
      if (skip-- <= 0) {
        lines.add(e.getKey() + e.getValue());
      }
    }
    try {
      Path temporary = Files.createTempFile(file.getParent(), FILE, ".tmp");
      Files.write(temporary, lines, StandardCharsets.US_ASCII);
      Files.move(temporary, file, StandardCopyOption.ATOMIC_MOVE, StandardCopyOption.REPLACE_EXISTING);
    } catch (IOException e) {
      Log.warn("the verdicts on programs cannot be kept: ".concat(e.toString()));
    }
  }
}
