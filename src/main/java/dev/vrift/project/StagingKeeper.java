package dev.vrift.project;

import dev.vrift.platform.Log;
import java.io.IOException;
import java.nio.file.FileVisitResult;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.SimpleFileVisitor;
import java.nio.file.attribute.BasicFileAttributes;
import java.util.ArrayList;
import java.util.List;
import java.util.function.LongSupplier;

/**
 * Looks after the staging area: at the end of a session, when the apply thread saw a dead owner, and every few seconds. One thread,
 * {@code staging}. Keeps the list of what was rolled back for SESSION_END.
 */
final class StagingKeeper {
  /** Between looks at files that have been open for long. */
  private static final long TICK_MS = 1_000;
  /** Between full passes that nobody asked for, in ticks. */
  private static final int TICKS_PER_SWEEP = 5;
  private static final long STOP_WAIT_MS = 1_000;
  private static final int MAX_ROLLBACKS = 1_000;
  private static final long STACK_BYTES = 256 * 1024;

  /** What there is to do. All three are called by the keeper's thread only. */
  interface Sweep {
    /** One pass over staged records and staging files; returns the paths rolled back. {@code bytes} counts the staging area when asked. */
    List<byte[]> sweep(LongSupplier bytes) throws IOException;

    /** Once a second; must cost nothing when nothing is staged. */
    void tick();

    /** The last thing: the board may be unmapped afterwards. */
    void end();
  }

  private final Path area;
  private final Sweep sweep;
  private final Thread thread;
  private final List<byte[]> rolledBack = new ArrayList<>();
  private long dropped;
  private long asked;
  private long done;
  private boolean stopping;

  StagingKeeper(Path area, Sweep sweep) {
    this.area = area;
    this.sweep = sweep;
    this.thread = new Thread(null, this::run, "staging", STACK_BYTES);
    thread.setDaemon(true);
  }

  void start() {
    thread.start();
  }

  /** Asks for a pass soon. */
  synchronized void look() {
    asked++;
    notifyAll();
  }

  /** Asks for a pass and waits for it, at most a second. */
  synchronized void lookNow() {
    long mine = ++asked;
    notifyAll();
    long end = System.nanoTime() + 1_000_000_000L;
    while (done < mine && !stopping) {
      long left = (end - System.nanoTime()) / 1_000_000;
      if (left <= 0) {
        return;
      }
      try {
        wait(left);
      } catch (InterruptedException e) {
        Thread.currentThread().interrupt();
        return;
      }
    }
  }

  /** A point in the list of rollbacks. */
  synchronized long mark() {
    return dropped + rolledBack.size();
  }

  /** Paths rolled back since a mark. */
  synchronized List<byte[]> since(long mark) {
    int from = (int) Math.max(0, mark - dropped);
    return from >= rolledBack.size() ? List.of() : List.copyOf(rolledBack.subList(from, rolledBack.size()));
  }

  /** Ends the thread and waits for it, at most a second. False: it still uses the board. */
  boolean stop() {
    synchronized (this) {
      stopping = true;
      notifyAll();
    }
    try {
      thread.join(STOP_WAIT_MS);
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
    }
    return !thread.isAlive();
  }

  /** Bytes in the staging area now. */
  long bytes() {
    long[] sum = {0};
    try {
      Files.walkFileTree(
          area,
          new SimpleFileVisitor<>() {
            @Override
            public FileVisitResult visitFile(Path file, BasicFileAttributes a) {
              sum[0] += a.size();
              return FileVisitResult.CONTINUE;
            }

            @Override
            public FileVisitResult visitFileFailed(Path file, IOException e) {
              return FileVisitResult.CONTINUE;
            }
          });
    } catch (IOException e) {
      return sum[0];
    }
    return sum[0];
  }

  private void run() {
    for (int ticks = TICKS_PER_SWEEP; ; ticks++) {
      long serving;
      boolean due;
      synchronized (this) {
        if (asked <= done && !stopping && ticks < TICKS_PER_SWEEP) {
          try {
            wait(TICK_MS);
          } catch (InterruptedException e) {
            return;
          }
        }
        if (stopping) {
          break;
        }
        serving = asked;
        due = asked > done || ticks >= TICKS_PER_SWEEP;
      }
      sweep.tick();
      if (!due) {
        continue;
      }
      ticks = 0;
      List<byte[]> paths = List.of();
      try {
        paths = sweep.sweep(this::bytes);
      } catch (IOException | RuntimeException e) {
        Log.warn("staging clean-up failed, it is tried again: ".concat(e.toString()));
      }
      synchronized (this) {
        rolledBack.addAll(paths);
        while (rolledBack.size() > MAX_ROLLBACKS) {
          rolledBack.removeFirst();
          dropped++;
        }
        done = serving;
        notifyAll();
      }
    }
    sweep.end();
  }
}
