package dev.vrift.coordinator;

import dev.vrift.config.Config;
import dev.vrift.config.Setting;
import dev.vrift.health.DaemonProbe;
import dev.vrift.health.Leftovers;
import dev.vrift.platform.FaultPoint;
import dev.vrift.platform.Faults;
import dev.vrift.platform.LockName;
import dev.vrift.platform.Log;
import dev.vrift.platform.Processes;
import dev.vrift.platform.RunPaths;
import dev.vrift.platform.SafeDir;
import dev.vrift.platform.Sockets;
import dev.vrift.platform.UserDirs;
import dev.vrift.platform.Version;
import dev.vrift.wire.UnixServer;
import dev.vrift.wire.WireException;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;

/**
 * {@code vriftd}: one per user and runtime directory. Knows the projects, keeps their daemons running, and does nothing that a client waits for. It
 * may die at any time: the daemons go on, and its successor adopts them.
 */
public final class Coordinator {
  private static final long MINUTE_MS = 60_000;
  private static final long LOOK_MS = 10_000;
  static final int STOP_ALL_MS = 10_000;
  /** Connections of one process: commands and daemons need one or two. */
  private static final int OF_ONE_PEER = 32;
  private static final int EXIT_FAILED = 1;
  private static final int EAGAIN = 11;

  private final RunPaths run;
  private final CountDownLatch stop = new CountDownLatch(1);
  private final Registry registry;
  private final SpareDaemon spare;
  /** Without a project for this long, it ends. */
  private final long idleMs;
  private volatile boolean stopProjects;
  private volatile boolean done;
  private final LockName lock;

  private Coordinator(RunPaths run, Registry registry, SpareDaemon spare, Config config) {
    this.spare = spare;
    this.lock = new LockName(run.lock());
    this.run = run;
    this.registry = registry;
    this.idleMs = config.get(Setting.VRIFTD_IDLE_MINUTES) * MINUTE_MS;
  }

  /** Usage: {@code --run-dir DIR [--ready-fd N]}. Returns the exit code. */
  public static int main(String[] args) {
    String dir = null;
    int ready = -1;
    for (int i = 0; i + 1 < args.length; i += 2) {
      if (args[i].equals("--run-dir")) {
        dir = args[i + 1];
      } else if (args[i].equals("--ready-fd")) {
        ready = Integer.parseInt(args[i + 1]);
      }
    }
    String home = System.getProperty("vrift.home");
    if (dir == null || home == null) {
      Log.warn("vriftd is started by bin/vrift, with --run-dir and -Dvrift.home");
      return EXIT_FAILED;
    }
    try {
      return serve(new RunPaths(Path.of(dir)), home, ready);
    } catch (IOException | WireException | InterruptedException e) {
      Log.error("vriftd ends", e);
      return EXIT_FAILED;
    }
  }

  private static int serve(RunPaths run, String home, int ready) throws IOException, WireException, InterruptedException {
    int safe = SafeDir.check(RunPaths.bytes(run.dir()));
    if (safe != 0) {
      Log.warn(SafeDir.explain(run.dir().toString(), safe));
      return EXIT_FAILED;
    }
    Faults.start(run.dir());
    int lock = Processes.lock(RunPaths.bytes(run.lock()));
    if (lock == -EAGAIN) {
      Log.info("another vriftd serves " + run.dir());
      return 0;
    }
    if (lock < 0) {
      Log.warn(run.lock() + ": " + Sockets.message(lock));
      return EXIT_FAILED;
    }
    FaultPoint.COORDINATOR_LOCKED.hit();
    if (Files.exists(run.stopped())) {
      Log.info("vrift was stopped; the next `vrift run` starts it again");
      return 0;
    }
    UserDirs dirs = UserDirs.of(System.getenv());
    CgroupPlaces places = CgroupPlaces.ours();
    Base.settle(run, home, places);
    VdirStarter starter = new VdirStarter(home, run, dirs);
    Registry registry = new Registry(run, dirs, starter, places);
    Config config = Config.load(Config.SYSTEM, dirs.config(), null, System.getenv(), List.of());
    config.problems().forEach(Log::warn);
    Coordinator c = new Coordinator(run, registry, starter.spare(), config);
    Files.writeString(run.pid(), Processes.pid() + "\n");
    UnixServer server = UnixServer.open("vriftd", RunPaths.bytes(run.socket()), new CoordinatorHandler(c, registry), OF_ONE_PEER, true);
    Runtime.getRuntime().addShutdownHook(new Thread(() -> c.terminated(server), "terminated"));
    FaultPoint.COORDINATOR_LISTENING.hit();
    if (ready >= 0) {
      Processes.ready(ready);
    }
    Log.info("vriftd " + Version.TEXT + " serves " + run.dir() + ", pid " + Processes.pid());
    FaultPoint.COORDINATOR_READY.hit();
    c.adoptAll();
    FaultPoint.COORDINATOR_ADOPTED.hit();
    ContentsKeeper contents = ContentsKeeper.start(home, run, dirs, registry, config);
    new HealthLoop(run, dirs, registry, places).start();
    if (config.get(Setting.VRIFTD_SPARE) != 0) {
      starter.spare().keep(() -> !registry.all().isEmpty());
    }
    c.awaitEnd();
    contents.stop();
    c.end(server);
    return 0;
  }

  /** Daemons that outlived our predecessor. */
  private void adoptAll() {
    for (RunPaths.Project p : run.all()) {
      String root = p.root().orElse(null);
      if (root == null || !DaemonProbe.locked(p.lock())) {
        continue;
      }
      try {
        registry.of(root);
      } catch (IOException e) {
        Log.warn("not adopted: " + e.getMessage());
      }
    }
  }

  private void awaitEnd() throws InterruptedException {
    while (!stop.await(LOOK_MS, TimeUnit.MILLISECONDS)) {
      if (!lock.isOurs()) {
        Log.warn(run.lock() + " was removed: another vriftd may come up; ending");
        return;
      }
      if (registry.emptyForMs() >= idleMs) {
        Log.info("no project for " + idleMs / MINUTE_MS + " minutes");
        return;
      }
    }
  }

  /** From the handler of STOP, after the answer was sent. */
  void requestStop() {
    stopProjects = true;
    stop.countDown();
  }

  private void end(UnixServer server) throws InterruptedException {
    spare.close();
    if (stopProjects) {
      registry.stopAll(STOP_ALL_MS);
    }
    done = true;
    removeNames();
    server.close();
    Log.info("vriftd ends");
  }

  /** SIGTERM: only we end; the daemons go on and are adopted by the next vriftd. */
  private void terminated(UnixServer server) {
    if (!done) {
      spare.close();
      removeNames();
      server.close();
      Log.info("vriftd was terminated; the projects' daemons go on");
    }
  }

  private void removeNames() {
    if (!lock.isOurs()) {
      return; // the names there are those of another
    }
    Leftovers.delete(run.socket());
    Leftovers.delete(run.pid());
  }
}
