package dev.vrift.coordinator;

import dev.vrift.platform.Log;
import dev.vrift.platform.Processes;
import java.io.IOException;
import java.util.function.BooleanSupplier;

/**
 * One {@code vdir_d} that is started already and belongs to no project: a project whose daemon died does not wait for a virtual machine (docs/ADOPTION.md
 * section 6). It ends with us, by the end of its control socket. Thread-safe.
 */
final class SpareDaemon {
  /** After any start, so that the two do not compete. */
  static final int REST_MS = 3_000;
  /** After one that died by itself or could not be started. */
  private static final int SICK_MS = 30_000;
  private static final int LOOK_MS = 1_000;

  /** Starts one. */
  interface Starter {
    VdirStarter.Started start() throws IOException;
  }

  private final Starter starter;
  private VdirStarter.Started spare;
  private int pidfd = -1;
  private long due = Processes.monotonicMs() + REST_MS;
  private boolean closed;

  SpareDaemon(Starter starter) {
    this.starter = starter;
  }

  /** From now on there is one while it is wanted. */
  void keep(BooleanSupplier wanted) {
    Thread t = new Thread(null, () -> loop(wanted), "spare", 256 * 1024);
    t.setDaemon(true);
    t.start();
  }

  /** The spare one, which is the caller's now, or null. Also tells of a start, whether there was one or not. */
  synchronized VdirStarter.Started take() {
    due = Processes.monotonicMs() + REST_MS;
    look();
    VdirStarter.Started s = spare;
    forget();
    return s;
  }

  /** The last thing: none is left, and none is started. */
  synchronized void close() {
    closed = true;
    end();
    notifyAll();
  }

  private void end() {
    if (spare != null) {
      Processes.close(spare.control());
      Processes.killChild(spare.pid());
    }
    forget();
  }

  private void forget() {
    if (pidfd >= 0) {
      Processes.close(pidfd);
    }
    pidfd = -1;
    spare = null;
  }

  /** Buries one that died. */
  private void look() {
    if (spare != null && Processes.poll(new int[] {pidfd}, 0) == 1) {
      Log.warn("the spare daemon, pid " + spare.pid() + ", died");
      Processes.reap(spare.pid());
      Processes.close(spare.control());
      forget();
      due = Processes.monotonicMs() + SICK_MS;
    }
  }

  private void loop(BooleanSupplier wanted) {
    while (true) {
      boolean want = wanted.getAsBoolean(); // not under our monitor
      synchronized (this) {
        if (closed) {
          return;
        }
        look();
        long now = Processes.monotonicMs();
        if (want && spare == null && now >= due) {
          begin(now);
        } else if (!want) {
          end();
        }
        try {
          wait(Math.max(1, Math.min(LOOK_MS, spare == null && want ? due - Processes.monotonicMs() : LOOK_MS)));
        } catch (InterruptedException e) {
          return;
        }
      }
    }
  }

  private void begin(long now) {
    due = now + SICK_MS;
    try {
      VdirStarter.Started s = starter.start();
      int fd = Processes.pidfd(s.pid());
      if (fd < 0) {
        Processes.close(s.control());
        Processes.killChild(s.pid());
        return;
      }
      spare = s;
      pidfd = fd;
    } catch (IOException e) {
      Log.warn("no spare daemon: " + e.getMessage());
    }
  }
}
