package dev.vrift.coordinator;

import dev.vrift.health.DaemonProbe;
import dev.vrift.health.Leftovers;
import dev.vrift.layout.Opcode;
import dev.vrift.platform.FaultPoint;
import dev.vrift.platform.Log;
import dev.vrift.platform.Processes;
import dev.vrift.platform.RunPaths;
import dev.vrift.platform.UserDirs;
import dev.vrift.wire.Fields;
import dev.vrift.wire.WireException;
import java.io.IOException;
import java.nio.file.Files;
import java.util.List;
import java.util.random.RandomGenerator;

/**
 * Keeps one project's {@code vdir_d}: starts or adopts it, sees it die by its pidfd, replaces it, stops it. One thread per project, which is the only one
 * that waits for that project's daemon; other threads leave a wish and wait for its fulfilment at the monitor.
 */
final class ProjectSupervisor {
  static final int READY_MS = 15_000;
  static final int PING_EVERY_MS = 10_000;
  static final int PING_ANSWER_MS = 2_000;
  /** Pings without answer and without progress (CPU time) until the daemon is killed. */
  static final int MISSED_STUCK = 2;
  /** Pings without answer, whatever the CPU time says. */
  static final int MISSED_BUSY = 6;
  static final int STOP_MS = 2_000;
  static final int KILL_MS = 1_000;

  enum State { STOPPED, STARTING, RUNNING, WAITING, FENCING, QUARANTINED }

  private final RunPaths run;
  private final UserDirs dirs;
  private final RunPaths.Project project;
  private final String root;
  private final VdirStarter starter;
  private final RestartPolicy policy = new RestartPolicy(RandomGenerator.getDefault());
  private final int wake;
  private final Thread thread;

  // Wishes and what became of them; guarded by this.
  private State state = State.STOPPED;
  private boolean wanted;
  private boolean restart;
  private boolean end;
  private boolean ended;
  private long attempts;
  private String failure;
  private int pid;

  // Of the supervisor's thread only.
  private int pidfd = -1;
  private boolean child;
  private long startedAt;
  private long retryAt;
  private long pingAt;
  private int missed;
  private long lastCpu;

  ProjectSupervisor(RunPaths run, UserDirs dirs, RunPaths.Project project, String root, VdirStarter starter) {
    this.run = run;
    this.dirs = dirs;
    this.project = project;
    this.root = root;
    this.starter = starter;
    this.wake = Processes.eventfd();
    this.thread = new Thread(null, this::supervise, "project-".concat(project.id()), 256 * 1024);
    this.thread.setDaemon(true);
  }

  void begin() {
    thread.start();
  }

  RunPaths.Project project() {
    return project;
  }

  String root() {
    return root;
  }

  /** False once supervision has ended: a new supervisor is needed. */
  synchronized boolean isLive() {
    return !ended && !end;
  }

  synchronized State state() {
    return state;
  }

  synchronized int pid() {
    return pid;
  }

  /**
   * Asks for a running daemon and waits for it. The pid, or 0 when supervision ended meanwhile; throws {@link IOException} with the reason why there
   * is none.
   */
  int open(boolean again, int timeoutMs) throws IOException {
    long deadline = Processes.monotonicMs() + timeoutMs;
    synchronized (this) {
      if (!again && state == State.QUARANTINED) {
        throw new IOException("its daemon died too often (" + failure + "); it is quarantined. Type: vrift restart");
      }
      wanted = true;
      restart |= again;
      long before = attempts;
      Processes.wake(wake);
      while (!ended) {
        if (state == State.RUNNING && !restart) {
          return pid;
        }
        if (attempts > before && !restart && state != State.STARTING) {
          throw new IOException(failure);
        }
        long left = deadline - Processes.monotonicMs();
        if (left <= 0) {
          throw new IOException("its daemon was not ready within " + timeoutMs + " ms");
        }
        await(left);
      }
      return 0;
    }
  }

  /** Ends supervision, stopping the daemon. Returns when it is dead, or after {@code timeoutMs}. */
  synchronized boolean stop(int timeoutMs) {
    long deadline = Processes.monotonicMs() + timeoutMs;
    end = true;
    Processes.wake(wake);
    while (!ended && Processes.monotonicMs() < deadline) {
      await(Math.max(1, deadline - Processes.monotonicMs()));
    }
    return ended;
  }

  private void await(long ms) {
    try {
      wait(ms);
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
      ended = true;
    }
  }

  private synchronized void become(State next) {
    state = next;
    notifyAll();
  }

  private synchronized void failed(String why) {
    failure = why;
    attempts++;
    notifyAll();
  }

  // ---- the supervisor's thread

  private void supervise() {
    try {
      adopt();
      while (step()) {
        int[] fds = {wake, pidfd};
        int ready = Processes.poll(fds, timeout());
        if ((ready & 1) != 0) {
          Processes.unwake(wake);
        }
        if ((ready & 2) != 0) {
          buried();
        }
      }
    } catch (RuntimeException e) {
      Log.error("supervisor of " + root, e);
    } finally {
      synchronized (this) {
        ended = true;
        state = State.STOPPED;
        notifyAll();
      }
    }
  }

  private int timeout() {
    long now = Processes.monotonicMs();
    State s = state();
    long at = s == State.RUNNING ? pingAt : s == State.WAITING ? retryAt : s == State.FENCING ? now + KILL_MS : now + PING_EVERY_MS;
    return (int) Math.max(0, Math.min(at - now, PING_EVERY_MS));
  }

  /** What is due now. False: supervision ends. */
  private boolean step() {
    boolean start;
    boolean replace;
    synchronized (this) {
      if (end) {
        start = false;
        replace = false;
      } else {
        replace = restart && pidfd >= 0;
        start = wanted || restart;
      }
    }
    if (isEnding()) {
      stopDaemon();
      return false;
    }
    long now = Processes.monotonicMs();
    State s = state();
    if (replace && s != State.FENCING) {
      policy.forgive();
      stopDaemon();
      s = state();
    }
    if (pidfd >= 0 && s == State.RUNNING && now >= pingAt) {
      ping();
    } else if (pidfd < 0 && start && (s != State.WAITING || now >= retryAt) && s != State.FENCING) {
      start(s);
    }
    return true;
  }

  private synchronized boolean isEnding() {
    return end;
  }

  private void start(State before) {
    boolean forced;
    synchronized (this) {
      forced = restart;
      restart = false;
    }
    if (forced) {
      policy.forgive();
    } else if (before == State.QUARANTINED || Files.exists(run.stopped()) || Files.exists(project.stopped())) {
      synchronized (this) {
        wanted = false;
      }
      failed(before == State.QUARANTINED ? failure : "vrift was stopped; the next `vrift run` starts it again");
      return;
    }
    become(State.STARTING);
    if (!adopt()) {
      launch();
    }
  }

  /** Takes over a daemon that runs already: one of our predecessor's. A daemon that holds the lock but does not answer is killed. */
  private boolean adopt() {
    if (!DaemonProbe.locked(project.lock())) {
      return false;
    }
    int found = 0;
    try {
      found = DaemonProbe.ping(project.socket(), PING_ANSWER_MS);
    } catch (WireException e) {
      found = 0;
    }
    int byFile = DaemonProbe.daemonOf(project);
    int candidate = found > 0 && DaemonProbe.isDaemon(found, root) ? found : byFile;
    int fd = candidate > 0 ? Processes.pidfd(candidate) : -1;
    if (fd < 0 || !DaemonProbe.isDaemon(candidate, root)) {
      if (fd >= 0) {
        Processes.close(fd);
      }
      return false;
    }
    if (found != candidate) {
      Log.warn("the daemon of " + root + ", pid " + candidate + ", holds the project and does not answer: killing it");
      kill(fd);
      Processes.close(fd);
      return false;
    }
    pidfd = fd;
    child = false;
    Log.info("adopted pid " + candidate + " of " + root);
    running(candidate);
    return true;
  }

  private void launch() {
    int launched = 0;
    startedAt = Processes.monotonicMs();
    try {
      VdirStarter.Started s = starter.start(project, root);
      FaultPoint.DAEMON_STARTED.hit();
      launched = s.pid();
      child = true;
      pidfd = Processes.pidfd(launched);
      boolean ready = awaitReady(s.readyFd());
      Processes.close(s.readyFd());
      if (ready) {
        FaultPoint.DAEMON_READY.hit();
        Log.info("started pid " + launched + " for " + root);
        running(launched);
        return;
      }
      failure("its daemon did not come up; see `vrift logs`");
      kill(pidfd);
    } catch (IOException e) {
      failure(e.getMessage());
    }
    if (pidfd >= 0) {
      Processes.reap(launched);
      Processes.close(pidfd);
      pidfd = -1;
    }
    Log.warn(root + ": " + failureText());
    rest();
    failed(failureText());
  }

  private synchronized void failure(String why) {
    failure = why;
  }

  private synchronized String failureText() {
    return failure;
  }

  private boolean awaitReady(int fd) {
    long deadline = Processes.monotonicMs() + READY_MS;
    byte[] one = new byte[1];
    int[] fds = {fd, wake};
    while (true) {
      long left = deadline - Processes.monotonicMs();
      int ready = left <= 0 ? 0 : Processes.poll(fds, (int) left);
      if ((ready & 1) != 0) {
        return Processes.readByte(fd, one) == 1 && one[0] == 'R';
      }
      if (left <= 0 || isEnding()) {
        return false;
      }
      if ((ready & 2) != 0) {
        Processes.unwake(wake);
      }
    }
  }

  private void running(int who) {
    missed = 0;
    lastCpu = -1;
    if (startedAt == 0 || !child) {
      startedAt = Processes.monotonicMs();
    }
    pingAt = Processes.monotonicMs() + PING_EVERY_MS;
    synchronized (this) {
      pid = who;
      attempts++;
      state = State.RUNNING;
      notifyAll();
    }
  }

  /** The pidfd says it is dead. */
  private void buried() {
    FaultPoint.DAEMON_DEAD.hit();
    int who = pid();
    if (child && who > 0) {
      Processes.reap(who);
    }
    Processes.close(pidfd);
    pidfd = -1;
    synchronized (this) {
      pid = 0;
    }
    // A clean exit (idle, SIGTERM, `vrift stop`) removes its socket; a crash cannot.
    if (!Files.exists(project.socket()) && state() == State.RUNNING) {
      Log.info("pid " + who + " of " + root + " has stopped");
      synchronized (this) {
        wanted = restart;
        end |= !restart;
      }
      become(State.STOPPED);
      return;
    }
    Log.warn("pid " + who + " of " + root + " died");
    failure("its daemon died");
    rest();
  }

  /** After a death or a failed start: when to try again. */
  private void rest() {
    long now = Processes.monotonicMs();
    long wait = policy.died(startedAt, now);
    if (wait == RestartPolicy.QUARANTINE) {
      Log.warn(root + " is quarantined: its daemon died more than " + RestartPolicy.MAX_DEATHS + " times in a minute");
      Leftovers.removeRuntimeOfDead(project);
      synchronized (this) {
        wanted = false;
      }
      become(State.QUARANTINED);
    } else {
      retryAt = now + wait;
      synchronized (this) {
        wanted = true;
      }
      become(State.WAITING);
    }
  }

  private void ping() {
    pingAt = Processes.monotonicMs() + PING_EVERY_MS;
    int who = pid();
    try {
      DaemonProbe.ping(project.socket(), PING_ANSWER_MS);
      missed = 0;
    } catch (WireException e) {
      long cpu = Processes.cpuTime(who);
      boolean progress = lastCpu >= 0 && cpu > lastCpu + 1;
      lastCpu = cpu;
      missed++;
      pingAt = Processes.monotonicMs() + PING_ANSWER_MS;
      if (missed >= (progress ? MISSED_BUSY : MISSED_STUCK)) {
        Log.warn("pid " + who + " of " + root + " does not answer and makes no progress: replacing it");
        if (kill(pidfd)) {
          buried();
        } else {
          become(State.FENCING);
        }
      }
    }
  }

  /** Kills through the pidfd and waits a moment. True: dead. */
  private static boolean kill(int fd) {
    Processes.signal(fd, Processes.SIGKILL);
    return Processes.poll(new int[] {fd}, KILL_MS) == 1;
  }

  private void stopDaemon() {
    if (pidfd >= 0) {
      int who = pid();
      try {
        DaemonProbe.ask(project.socket(), Opcode.STOP, new Fields(), STOP_MS);
      } catch (WireException e) {
        Log.info("pid " + who + " of " + root + ": " + e.getMessage());
      }
      if (Processes.poll(new int[] {pidfd}, STOP_MS) != 1 && !kill(pidfd)) {
        Log.warn("pid " + who + " of " + root + " does not die");
        become(State.FENCING);
        return;
      }
      if (child) {
        Processes.reap(who);
      }
      Processes.close(pidfd);
      pidfd = -1;
      synchronized (this) {
        pid = 0;
      }
    }
    Leftovers.removeRuntimeOfDead(project);
    become(State.STOPPED);
  }

  /** Removes everything of the project. To be called after {@link #stop} returned true. */
  List<String> forget() {
    return Leftovers.forget(run, dirs, project, root);
  }
}
