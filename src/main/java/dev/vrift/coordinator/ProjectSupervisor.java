package dev.vrift.coordinator;

import dev.vrift.config.Config;
import dev.vrift.config.Setting;
import dev.vrift.health.DaemonProbe;
import dev.vrift.health.Leftovers;
import dev.vrift.layout.Opcode;
import dev.vrift.platform.FaultPoint;
import dev.vrift.platform.Log;
import dev.vrift.platform.Processes;
import dev.vrift.platform.RunPaths;
import dev.vrift.platform.Sockets;
import dev.vrift.platform.Trouble;
import dev.vrift.platform.UserDirs;
import dev.vrift.wire.Fields;
import dev.vrift.wire.Json;
import dev.vrift.wire.WireException;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Locale;
import java.util.random.RandomGenerator;

/**
 * Keeps one project's {@code vdir_d}: starts or adopts it, sees it die by its pidfd, replaces it, stops it. One thread per project, which is the only one
 * that waits for that project's daemon; other threads leave a wish and wait for its fulfilment at the monitor.
 */
final class ProjectSupervisor {
  static final int READY_MS = 15_000;
  private static final int ANSWER_MS = 500;
  private static final int STARTING_STEP_MS = 50;
  static final int STOP_MS = 2_000;
  static final int KILL_MS = 1_000;
  /** Requests that may wait for one project at the same time: the threads of vriftd are everybody's. */
  static final int WAITING_MAX = 32;

  enum State { STOPPED, STARTING, RUNNING, WAITING, FENCING, QUARANTINED }

  private final RunPaths run;
  private final UserDirs dirs;
  private final RunPaths.Project project;
  private final String root;
  private final VdirStarter starter;
  private final RestartPolicy policy = new RestartPolicy(RandomGenerator.getDefault());
  private final DaemonWatch watch;
  private final ProjectCgroup cgroup;
  private final KeptWatch kept = new KeptWatch();
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
  private int waiting;
  private long quarantineEnd;
  private long starts;
  private long deaths;

  // Of the supervisor's thread only.
  private int pidfd = -1;
  private boolean child;
  private long startedAt;
  private long retryAt;

  ProjectSupervisor(RunPaths run, UserDirs dirs, RunPaths.Project project, String root, VdirStarter starter, CgroupPlaces places) {
    this.run = run;
    this.dirs = dirs;
    this.project = project;
    this.root = root;
    this.starter = starter;
    this.watch = new DaemonWatch(project.socket());
    this.cgroup = new ProjectCgroup(places, run, project.id());
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

  /** What is known about this project here, as fields of an object that is open. Any thread. */
  void describe(Json out) {
    synchronized (this) {
      out.field("state", state.name().toLowerCase(Locale.ROOT)).field("starts", starts).field("deaths", deaths);
      if (state == State.QUARANTINED) {
        out.field("quarantine_left_ms", Math.max(0, quarantineEnd - Processes.monotonicMs()));
      }
      if (failure != null) {
        out.field("last_failure", failure);
      }
    }
    cgroup.describe(out);
  }

  /** Its daemon gives us its watch queue to keep. The descriptor is ours then. Any thread. */
  void keep(int queue, long number) {
    synchronized (this) {
      if (ended || end) {
        Processes.close(queue);
        return;
      }
      if (!kept.keep(queue, number)) {
        Log.warn("what the daemon of " + root + " gave us to keep is no watch queue");
      }
    }
  }

  /** A launcher got no answer from this daemon. Any thread. */
  void suspect(int silent) {
    if (silent > 0 && silent == pid()) {
      watch.hurry();
      Processes.wake(wake);
    }
  }

  /**
   * Asks for a running daemon and waits for it. The pid, or 0 when supervision ended meanwhile; throws {@link IOException} with the reason why there
   * is none.
   */
  int open(boolean again, int timeoutMs) throws IOException {
    long deadline = Processes.monotonicMs() + timeoutMs;
    synchronized (this) {
      if (!again && state == State.QUARANTINED && Processes.monotonicMs() < quarantineEnd) {
        long seconds = (quarantineEnd - Processes.monotonicMs() + 999) / 1000;
        throw new IOException(
            "its daemon died too often (" + failure + "); it is quarantined for " + seconds + " s more, commands run natively. Type: vrift restart");
      }
      if (waiting >= WAITING_MAX) {
        throw new IOException("busy: " + waiting + " others wait for this project's daemon");
      }
      wanted = true;
      restart |= again;
      long before = attempts;
      Processes.wake(wake);
      waiting++;
      try {
        while (!ended) {
          if (state == State.RUNNING && !restart) {
            return pid;
          }
          if (state == State.FENCING || attempts > before && !restart && state != State.STARTING) {
            throw new IOException(failure);
          }
          long left = deadline - Processes.monotonicMs();
          if (left <= 0) {
            throw new IOException("its daemon was not ready within " + timeoutMs + " ms");
          }
          await(left);
        }
        return 0;
      } finally {
        waiting--;
      }
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
        if (ready > 0 && (ready & 1) != 0) {
          Processes.unwake(wake);
        }
        if (ready > 0 && (ready & 2) != 0) {
          buried();
        }
      }
    } catch (RuntimeException e) {
      Log.error("supervisor of " + root, e);
    } finally {
      if (pidfd < 0) {
        cgroup.remove();
      } else {
        Processes.close(pidfd); // does not die: a supervisor that comes later finds it by its lock
      }
      synchronized (this) {
        ended = true;
        kept.drop();
        state = State.STOPPED;
        notifyAll();
      }
    }
  }

  private int timeout() {
    long now = Processes.monotonicMs();
    State s = state();
    long at =
        switch (s) {
          case RUNNING -> watch.at();
          case WAITING -> retryAt;
          case FENCING -> now + KILL_MS;
          case QUARANTINED -> quarantineEnd();
          case STOPPED, STARTING -> now + DaemonWatch.EVERY_MS;
        };
    return (int) Math.max(0, Math.min(at - now, DaemonWatch.EVERY_MS));
  }

  private synchronized long quarantineEnd() {
    return quarantineEnd;
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
    if (s == State.QUARANTINED && now >= quarantineEnd()) {
      Log.info(root + ": its quarantine is over; the next command starts its daemon");
      policy.forgive();
      become(State.STOPPED);
      s = State.STOPPED;
    }
    if (pidfd >= 0 && s == State.RUNNING && now >= watch.at()) {
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

  /**
   * Takes over a daemon that runs already: one of our predecessor's, whether it answers at this moment or not. False: there is none (any more). True also
   * when there is one that does not die: then the state is FENCING.
   */
  private boolean adopt() {
    if (!DaemonProbe.locked(project.lock())) {
      return false;
    }
    int holder = DaemonProbe.holderOf(project, root);
    int fd = holder > 0 ? Processes.pidfd(holder) : -1;
    if (fd < 0 || !DaemonProbe.isDaemon(holder, root)) {
      if (fd >= 0) {
        Processes.close(fd);
      }
      return false;
    }
    pidfd = fd;
    child = false;
    startedAt = Processes.monotonicMs();
    synchronized (this) {
      pid = holder;
    }
    become(State.STARTING);
    watch.begin(holder, 0);
    DaemonWatch.Verdict verdict = isListening() ? firstAnswer() : DaemonWatch.Verdict.STUCK;
    if (Processes.poll(new int[] {pidfd}, 0) == 1) {
      dead();
      become(State.STOPPED);
      return false;
    }
    boolean outdated = verdict == DaemonWatch.Verdict.ANSWERS && !watch.home().isEmpty() && !watch.home().equals(starter.home());
    if (isEnding() || verdict == DaemonWatch.Verdict.ANSWERS && !outdated) {
      Log.info("adopted pid " + holder + " of " + root);
      running(holder);
      return true;
    }
    Log.warn("pid " + holder + " of " + root + (outdated ? " is of another version (" + watch.home() + ")" : " holds the project and is stuck") + ": replacing it");
    synchronized (this) {
      wanted = true;
    }
    if (!kill()) {
      return true;
    }
    become(State.STOPPED);
    return false;
  }

  /** Waits for the socket of a daemon that may just be starting. False: nobody listens there though it had {@link #READY_MS}, or it died. */
  private boolean isListening() {
    long deadline = Processes.monotonicMs() + READY_MS;
    while (!isEnding()) {
      try {
        DaemonProbe.ping(project.socket(), ANSWER_MS);
        return true;
      } catch (WireException e) {
        if (e.kind() != WireException.Kind.ABSENT) {
          return true;
        }
      }
      if (Processes.monotonicMs() > deadline || Processes.poll(new int[] {pidfd}, STARTING_STEP_MS) == 1) {
        return false;
      }
    }
    return true;
  }

  /** ANSWERS or STUCK; SILENT when it died or supervision ends. */
  private DaemonWatch.Verdict firstAnswer() {
    while (true) {
      DaemonWatch.Verdict v = watch.look();
      int left = (int) Math.max(0, watch.at() - Processes.monotonicMs());
      if (v != DaemonWatch.Verdict.SILENT || isEnding() || Processes.poll(new int[] {pidfd}, left) == 1) {
        return v;
      }
    }
  }

  private void launch() {
    int launched = 0;
    startedAt = Processes.monotonicMs();
    try {
      VdirStarter.Started s = starter.start(project, root, kept);
      FaultPoint.DAEMON_STARTED.hit();
      launched = s.pid();
      child = true;
      pidfd = Processes.pidfd(launched);
      synchronized (this) {
        pid = launched;
        starts++;
      }
      cgroup.enter(launched, limits());
      cgroup.weigh(policy.recentDeaths() > 1);
      boolean ready = pidfd >= 0 && awaitReady(s.control());
      Processes.close(s.control());
      if (ready) {
        FaultPoint.DAEMON_READY.hit();
        Log.info("started pid " + launched + " for " + root);
        running(launched);
        return;
      }
      failure(pidfd < 0 ? "its daemon cannot be watched: " + Sockets.message(pidfd) : "its daemon did not come up; see `vrift logs`");
      if (pidfd < 0) {
        Processes.killChild(launched);
        synchronized (this) {
          pid = 0;
        }
      } else if (!kill()) {
        return;
      }
    } catch (IOException e) {
      failure("its daemon cannot be started: ".concat(Trouble.of(e)));
    }
    Log.warn(root + ": " + failureText());
    rest();
    failed(failureText());
  }

  /** As set in the configuration now. */
  private ProjectCgroup.Limits limits() {
    return ProjectCgroup.Limits.of(Config.load(Config.SYSTEM, dirs.config(), Path.of(root), System.getenv(), List.of()));
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
      if (ready > 0 && (ready & 1) != 0) {
        return Processes.readByte(fd, one) == 1 && one[0] == 'R';
      }
      if (left <= 0 || isEnding()) {
        return false;
      }
      if (ready > 0 && (ready & 2) != 0) {
        Processes.unwake(wake);
      }
    }
  }

  private void running(int who) {
    watch.begin(who, DaemonWatch.EVERY_SESSION_MS);
    if (!child) {
      cgroup.enter(who, limits());
    }
    cgroup.weigh(false);
    synchronized (this) {
      pid = who;
      attempts++;
      state = State.RUNNING;
      notifyAll();
    }
  }

  /** The pidfd says it is dead: nothing is left of it but what it wrote. */
  private void dead() {
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
  }

  private void buried() {
    int who = pid();
    dead();
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
    synchronized (this) {
      deaths++;
    }
    rest();
  }

  /** After a death or a failed start: when to try again. */
  private void rest() {
    long now = Processes.monotonicMs();
    long wait = policy.died(startedAt, now);
    if (wait == RestartPolicy.QUARANTINE) {
      Log.warn(root + " is quarantined: its daemon died more than " + RestartPolicy.MAX_DEATHS + " times in a minute");
      Leftovers.removeRuntimeOfDead(project);
      kept.drop();
      long seconds = Config.load(Config.SYSTEM, dirs.config(), Path.of(root), System.getenv(), List.of()).get(Setting.VDIR_QUARANTINE_SECONDS);
      synchronized (this) {
        wanted = false;
        quarantineEnd = now + seconds * 1000;
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
    if (watch.look() == DaemonWatch.Verdict.STUCK) {
      Log.warn("pid " + pid() + " of " + root + " does not answer and makes no progress: replacing it");
      if (kill(pidfd)) {
        buried();
      } else {
        fence();
      }
    }
  }

  /** Kills through the pidfd and waits a moment. True: dead. */
  private static boolean kill(int fd) {
    Processes.signal(fd, Processes.SIGKILL);
    return Processes.poll(new int[] {fd}, KILL_MS) == 1;
  }

  /** Kills our daemon. False: it does not die, and the state is FENCING. */
  private boolean kill() {
    if (kill(pidfd)) {
      dead();
      return true;
    }
    fence();
    return false;
  }

  /** Nothing is started until the pidfd says that it is dead; then {@link #buried} goes on. */
  private void fence() {
    failure("pid " + pid() + " was killed and does not die (frozen, or in uninterruptible sleep); the project is native until it does");
    Log.warn(root + ": " + failureText());
    become(State.FENCING);
  }

  private void stopDaemon() {
    if (pidfd >= 0) {
      boolean asked = true;
      try {
        DaemonProbe.ask(project.socket(), Opcode.STOP, new Fields(), STOP_MS);
      } catch (WireException e) {
        Log.info("pid " + pid() + " of " + root + ": " + e.getMessage());
        asked = false;
      }
      if (asked && Processes.poll(new int[] {pidfd}, STOP_MS) == 1) {
        dead();
      } else if (!kill()) {
        return;
      }
    }
    Leftovers.removeRuntimeOfDead(project);
    kept.drop(); // what comes next begins anew
    become(State.STOPPED);
  }

  /** Removes everything of the project. To be called after {@link #stop} returned true. */
  List<String> forget() {
    return Leftovers.forget(run, dirs, project, root);
  }
}
