package dev.vrift.project;

import dev.vrift.platform.FaultPoint;
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
  /** Longest pause between turns while serving and all is calm, ms. */
  private static final int SERVING_MS = 20;
  /**
   * The same while clients wait for drains or something changes, and {@link #CALM_MS} longer: the engine itself returns earlier when many wait. Well below
   * the lease.
   */
  private static final int HURRY_MS = 32;
  private static final int CALM_MS = 100;
  /** {@link #GATHER_MS} with nobody to serve. */
  private static final int IDLE_GATHER_MS = 50;
  /** The bit of {@code wake} in what {@link Engine#await} returns. */
  private static final int WOKEN = 2;
  /** The same with nobody to serve. */
  private static final int IDLE_MS = 1_000;
  private static final int ASK_SECONDS = 20;
  /** Batches of changes handed over at the end; the rest is found by the next daemon's scan. */
  private static final int REST_TURNS = 32;
  /** Between two batches of changes, ms: what is written again and again in a build is then told once. */
  private static final int HAND_OVER_MS = 200;
  private static final long STACK_BYTES = 512 * 1024;

  /** Work for the apply thread; gets the engine's handle. */
  private record Task(LongFunction<Object> work, CompletableFuture<Object> result) {}

  private final long engine;
  private final Sessions sessions;
  private final Thread thread;
  private final int wake = Processes.eventfd();
  private final ArrayDeque<Task> tasks = new ArrayDeque<>();
  private volatile EngineReport report = EngineReport.none();
  private volatile boolean settledOnce;
  private volatile long turns;
  private volatile boolean stopping;
  private volatile Persistence persistence;
  private volatile Runnable classify = () -> {};
  private long rebuildsSeen;
  private long lastBusy;
  private long lastHandOver;
  private boolean moreChanges;

  ApplyLoop(long engine, Sessions sessions) {
    this.engine = engine;
    this.sessions = sessions;
    this.thread = new Thread(null, this::run, "apply", STACK_BYTES);
  }

  void start() {
    thread.start();
  }

  /** From now on what changed is handed over every {@link #HAND_OVER_MS}. Any thread. */
  void attach(Persistence to) {
    persistence = to;
  }

  /** {@code look} is run by the apply thread after a turn that saw programs waiting for a verdict; it must not wait. Any thread. */
  void onClassify(Runnable look) {
    classify = look;
  }

  /** Apply thread. A batch each turn would cost a build more than the turn itself; a full one is followed at once. */
  private void handOver() {
    Persistence p = persistence;
    long now = Processes.monotonicMs();
    if (p != null && (moreChanges || now - lastHandOver >= HAND_OVER_MS)) {
      moreChanges = p.collect(engine);
      lastHandOver = now;
    }
  }

  /** What is left, as far as it is taken, after {@link #stop}. */
  void handOverRest() {
    Persistence p = persistence;
    for (int i = 0; p != null && i < REST_TURNS; i++) {
      p.collect(engine);
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
    Engine.ring(engine);
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
        turnOnce(words);
      }
    } catch (RuntimeException | Error e) {
      Log.error("the apply thread died; the daemon ends and is replaced", e);
      Runtime.getRuntime().halt(70);
    }
  }

  /** A method of its own: a loop that never ends is not compiled for a long time, what it calls is. */
  private void turnOnce(long[] words) {
    int r = Engine.turn(engine, sessions.serve(), BUDGET_US, words);
    if (r < 0) {
      Log.warn("a turn failed: errno " + -r);
    }
    FaultPoint.TURN_DONE.hit();
    EngineReport now = EngineReport.of(words);
    settledOnce |= now.settledDown() && now.drain() > 0;
    turns++;
    synchronized (this) {
      report = now;
      notifyAll();
    }
    runTasks();
    FaultPoint.TASKS_DONE.hit();
    lookForRebuilds(now);
    if (now.classify() != 0) {
      classify.run();
    }
    handOver();
    FaultPoint.CHANGES_HANDED_OVER.hit();
    pause(now);
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

  /** CORRUPTION_DETECTED: the engine has looked at every checksum itself, and made the VDir anew. */
  private void lookForRebuilds(EngineReport r) {
    if (r.rebuilds() != rebuildsSeen) {
      rebuildsSeen = r.rebuilds();
      Log.warn(
          "damage was found in the VDir; it was made anew in another file in " + r.rebuildUs() + " us, every entry is verified again (rebuilds "
              + r.rebuilds() + ", of them reading the whole tree " + r.forgotten() + ", files cut off " + r.cuts() + ")");
    }
  }

  /** Waits for the next turn: in a rhythm while clients wait for drains, else until something happens. */
  private void pause(EngineReport r) {
    if (r.scans() > 0 || r.unverified() > 0) {
      return;
    }
    boolean serving = sessions.serve();
    if (r.busy() != 0 || serving && r.dirty() > 0) {
      lastBusy = Processes.monotonicMs();
    }
    boolean hurry = serving ? Processes.monotonicMs() - lastBusy < CALM_MS : r.busy() != 0 && r.settles() > 0;
    if (hurry) {
      Engine.hurry(engine, wake, HURRY_MS);
    } else if ((Engine.await(engine, wake, false, serving ? GATHER_MS : IDLE_GATHER_MS) & WOKEN) == 0) {
      Engine.await(engine, wake, true, serving ? SERVING_MS : IDLE_MS);
    }
  }
}
