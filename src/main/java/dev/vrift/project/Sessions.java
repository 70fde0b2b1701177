package dev.vrift.project;

import dev.vrift.platform.Processes;

/**
 * Commands attached to the project. While there is one (and {@link #GRACE_MS} longer, for the next command of a script) the lease is kept.
 * Thread-safe.
 */
final class Sessions {
  /** How long the lease is kept after the last session, in ms. */
  static final long GRACE_MS = 2_000;

  private int open;
  private long total;
  private long lastEnd = Processes.monotonicMs();
  private boolean expected;

  /** The commands that our predecessor served will be back within the grace: they are served until then. To be called before anything is. */
  synchronized void expect() {
    expected = true;
  }

  synchronized void begin() {
    open++;
    total++;
  }

  synchronized void end() {
    open--;
    lastEnd = Processes.monotonicMs();
  }

  synchronized int open() {
    return open;
  }

  synchronized long total() {
    return total;
  }

  /** Ms without a session; 0 while there is one. */
  synchronized long idleMs() {
    return open > 0 ? 0 : Processes.monotonicMs() - lastEnd;
  }

  synchronized boolean serve() {
    return open > 0 || (expected || total > 0) && Processes.monotonicMs() - lastEnd < GRACE_MS;
  }
}
