package dev.vrift.project;

import dev.vrift.platform.Log;
import dev.vrift.platform.Processes;
import dev.vrift.vdir.Engine;
import dev.vrift.vdir.EngineReport;
import java.util.ArrayDeque;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.function.LongFunction;

/**
 * The apply thread: the only one that writes the VDir and its lease. Others hand it work through {@link #ask} and learn of drains through
 * {@link #awaitDrain}. It never waits for anybody.
 */
final class ApplyLoop {
  /** Time for verifying and scanning within one turn, µs. */
  private static final int BUDGET_US = 3_000;
  /** Events are gathered at least this long before the next turn, ms. */
  private static final int GATHER_MS = 1;
  /** Longest pause between turns while serving, ms: well below the lease. */
  private static final int SERVING_MS = 20;
  /** The same while a client waits for a drain, or work is left. */
  private static final int HURRY_MS = 2;
  /** The same with nobody to serve. */
  private static final int IDLE_MS = 1_000;
  private static final int ASK_SECONDS = 20;
  /** Batches of changes handed over at the end; the rest is found by the next daemon's scan. */
  private static final int REST_TURNS = 32;
  private static final long STACK_BYTES = 512 * 1024;

  /** Work for the apply thread; gets the engine's handle. */
  private record Task(LongFunction<Object> work, CompletableFuture<Object> result) {}

  private final long engine;
  private final Sessions sessions;
  private final Thread thread;
  private final int wake = Processes.eventfd();
  private final ArrayDeque<Task> tasks = new ArrayDeque<>();
  private final long[] counters = new long[Engine.COUNTERS];
  private volatile EngineReport report = EngineReport.none();
  private volatile boolean settledOnce;
  private volatile long turns;
  private volatile boolean stopping;
  private volatile Persistence persistence;
  private long wantSeen;
  private long corruptSeen;

  ApplyLoop(long engine, Sessions sessions) {
    this.engine = engine;
    this.sessions = sessions;
    this.thread = new Thread(null, this::run, "apply", STACK_BYTES);
  }

  void start() {
    thread.start();
  }

  /** From now on what changed is handed over once a turn. Any thread. */
  void attach(Persistence to) {
    persistence = to;
  }

  /** Apply thread; or, when it has ended, the one that ended it. */
  private void handOver() {
    Persistence p = persistence;
    if (p != null) {
      p.collect(engine);
    }
  }

  /** What is left, as far as it is taken, after {@link #stop}. */
  void handOverRest() {
    for (int i = 0; i < REST_TURNS; i++) {
      handOver();
    }
  }

  /** Any thread. */
  EngineReport report() {
    return report;
  }

  /** Any thread: grows while the loop lives. */
  long turns() {
    return turns;
  }

  ProjectState state() {
    EngineReport r = report;
    return r.nativeWhy() != 0 ? ProjectState.NATIVE : settledOnce ? ProjectState.SERVING : ProjectState.SCANNING;
  }

  void wake() {
    Processes.wake(wake);
  }

  /** Runs something on the apply thread and waits for its result. Any other thread. Throws {@link IllegalStateException} if it is too busy. */
  Object ask(LongFunction<Object> work) {
    CompletableFuture<Object> result = new CompletableFuture<>();
    synchronized (tasks) {
      tasks.add(new Task(work, result));
    }
    wake();
    try {
      return result.get(ASK_SECONDS, TimeUnit.SECONDS);
    } catch (TimeoutException | InterruptedException e) {
      throw new IllegalStateException("the daemon is too busy to answer; try again");
    } catch (ExecutionException e) {
      throw new IllegalStateException(e.getCause());
    }
  }

  /** Waits until a drain that began after this call is done; its number, or -1 after {@code timeoutMs}. Any thread. */
  long awaitDrain(int timeoutMs) {
    long after = Engine.drainStarted(engine);
    long end = Processes.monotonicMs() + timeoutMs;
    wake();
    synchronized (this) {
      while (report.drain() <= after) {
        long left = end - Processes.monotonicMs();
        if (left <= 0 || stopping) {
          return -1;
        }
        try {
          wait(left);
        } catch (InterruptedException e) {
          Thread.currentThread().interrupt();
          return -1;
        }
      }
      return report.drain();
    }
  }

  /** Ends the thread; true when it has ended. The engine is then the caller's. */
  boolean stop(int timeoutMs) {
    stopping = true;
    wake();
    try {
      thread.join(timeoutMs);
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
    }
    return !thread.isAlive();
  }

  private void run() {
    long[] words = new long[EngineReport.WORDS];
    try {
      while (!stopping) {
        int r = Engine.turn(engine, sessions.serve(), BUDGET_US, words);
        if (r < 0) {
          Log.warn("a turn failed: errno " + -r);
        }
        EngineReport now = EngineReport.of(words);
        settledOnce |= now.settledDown() && now.drain() > 0;
        turns++;
        synchronized (this) {
          report = now;
          notifyAll();
        }
        runTasks();
        lookAtBoard();
        handOver();
        pause(now);
      }
    } catch (RuntimeException | Error e) {
      Log.error("the apply thread died; the daemon ends and is replaced", e);
      Runtime.getRuntime().halt(70);
    }
  }

  private void runTasks() {
    while (true) {
      Task t;
      synchronized (tasks) {
        t = tasks.poll();
      }
      if (t == null) {
        return;
      }
      try {
        t.result().complete(t.work().apply(engine));
      } catch (RuntimeException e) {
        t.result().completeExceptionally(e);
      }
    }
  }

  /** CORRUPTION_DETECTED by a client: every checksum is looked at, and the VDir made anew if one is wrong. */
  private void lookAtBoard() {
    Engine.counters(engine, counters);
    if (counters[Engine.CORRUPT] != corruptSeen) {
      corruptSeen = counters[Engine.CORRUPT];
      long bad = Engine.scrub(engine);
      Log.warn("CORRUPTION_DETECTED reported by a client: " + bad + " bad entries or buckets found");
      if (bad > 0) {
        int r = Engine.rebuild(engine);
        Log.warn(r < 0 ? "rebuilding the VDir failed: errno " + -r : "the VDir was rebuilt in a new file");
      }
    }
    if (counters[Engine.OVERFLOW] != 0 && sessions.open() == 0) {
      Engine.clearOverflow(engine);
    }
  }

  private void pause(EngineReport r) {
    boolean wanted = counters[Engine.WANT] != wantSeen;
    wantSeen = counters[Engine.WANT];
    if (r.scans() > 0 || r.unverified() > 0) {
      return;
    }
    int longest = !sessions.serve() ? IDLE_MS : wanted || r.dirty() > 0 || r.busy() != 0 ? HURRY_MS : SERVING_MS;
    int woken = Engine.await(engine, wake, false, Math.min(GATHER_MS, longest));
    if ((woken & 2) == 0 && longest > GATHER_MS) {
      woken = Engine.await(engine, wake, true, longest - GATHER_MS);
    }
    if ((woken & 2) != 0) {
      Processes.unwake(wake);
    }
  }
}
