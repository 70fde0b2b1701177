package dev.vrift.project;

import dev.vrift.cas.IngestPolicy;
import dev.vrift.config.Config;
import dev.vrift.config.Setting;
import dev.vrift.platform.FaultPoint;
import dev.vrift.platform.Faults;
import dev.vrift.health.ProjectReport;
import dev.vrift.platform.LockName;
import dev.vrift.platform.Log;
import dev.vrift.platform.Processes;
import dev.vrift.platform.RunPaths;
import dev.vrift.platform.SafeDir;
import dev.vrift.platform.Sockets;
import dev.vrift.platform.Trouble;
import dev.vrift.platform.UserDirs;
import dev.vrift.vdir.Engine;
import dev.vrift.vdir.EngineReport;
import dev.vrift.wire.UnixServer;
import dev.vrift.wire.WireException;
import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.List;

/** The daemon of one project: takes the lock, makes the VDir, serves until told to stop or long unused. */
public final class VdirDaemon {
  private static final int EXIT_FAILED = 125;
  /** Another daemon has the project: nothing to do. */
  private static final int EXIT_TAKEN = 3;
  private static final long LOCK_WAIT_MS = 1_000;
  private static final long MINUTE_MS = 60_000;
  private static final int STOP_MS = 2_000;
  private static final long ESCAPED_PERIOD_MS = 3_000;

  private final Object end = new Object();
  private boolean stopRequested;
  private boolean finished;
  private LockName lockName;

  private VdirDaemon() {}

  /** {@code --run-dir DIR --root ROOT [--ready-fd N]}; the exit code. */
  public static int main(String[] args) {
    String runDir = null;
    String root = null;
    int readyFd = -1;
    for (int i = 0; i + 1 < args.length; i += 2) {
      switch (args[i]) {
        case "--run-dir" -> runDir = args[i + 1];
        case "--root" -> root = args[i + 1];
        case "--ready-fd" -> readyFd = Integer.parseInt(args[i + 1]);
        default -> {
          System.err.println("vdir_d: unknown argument ".concat(args[i]));
          return EXIT_FAILED;
        }
      }
    }
    if (runDir == null || root == null) {
      System.err.println("vdir_d: is started by vriftd; usage: vdir_d --run-dir DIR --root ROOT [--ready-fd N]");
      return EXIT_FAILED;
    }
    Order order;
    try {
      order = readyFd < 0 ? Order.of(root) : Order.take(readyFd, root, Warmth::up);
    } catch (WireException e) {
      Log.error("vdir_d got no order", e);
      return EXIT_FAILED;
    }
    if (order == null) {
      return 0; // vriftd has ended and nobody needs a spare one
    }
    root = order.root();
    try {
      return new VdirDaemon().serve(new RunPaths(Path.of(runDir)), order, readyFd);
    } catch (IOException | RuntimeException e) {
      ProjectReport.failed(new RunPaths(Path.of(runDir)).of(root), Trouble.of(e));
      Log.error("vdir_d of ".concat(root).concat(" cannot serve; builds go on natively"), e);
      return EXIT_FAILED;
    }
  }

  private int serve(RunPaths run, Order order, int readyFd) throws IOException {
    String root = order.root();
    RunPaths.Project paths = run.of(root);
    if (readyFd >= 0 && !Files.isDirectory(run.dir())) { // vriftd started us there: everything was stopped and removed since
      Log.info(run.dir() + " is gone; not serving ".concat(root));
      return EXIT_TAKEN;
    }
    if (!Files.isDirectory(Path.of(root))) { // before anything is made for it
      throw new IOException("cannot open ".concat(root).concat(": it is no directory"));
    }
    privateDir(run.dir());
    privateDir(run.projects());
    privateDir(paths.dir());
    Faults.start(paths.dir());
    int lock = lock(paths.lock());
    if (lock < 0) {
      Log.info("another daemon serves ".concat(root));
      return EXIT_TAKEN;
    }
    FaultPoint.VDIR_LOCKED.hit();
    lockName = new LockName(paths.lock());
    // After the lock: who stops marks first and then looks for holders of locks, so that one of us sees the other.
    if (Files.exists(run.stopped()) || Files.exists(paths.stopped())) {
      Log.info("vrift was stopped; not serving ".concat(root));
      return EXIT_TAKEN;
    }
    UserDirs dirs = UserDirs.of(System.getenv());
    Path state = dirs.project(paths.id());
    Files.createDirectories(state, PosixFilePermissions.asFileAttribute(PosixFilePermissions.fromString("rwx------")));
    Config config = Config.load(Config.SYSTEM, dirs.config(), Path.of(root), System.getenv(), List.of());
    for (String problem : config.problems()) {
      Log.warn(problem);
    }
    byte[] reason = new byte[256];
    long engine =
        Engine.open(
            RunPaths.bytes(root), RunPaths.bytes(paths.map()), config.get(Setting.QUOTA_MAX_FILES), vdirBytes(config, paths),
            watchBudget(), 0, order.watch(), order.watchId(), reason);
    if (engine < 0 && engine > -4096) {
      String why = new String(reason, StandardCharsets.UTF_8).trim(); // says the error too, if it knows more than that
      throw new IOException(why.isEmpty() ? Sockets.message((int) engine) : why);
    }
    String said = new String(reason, StandardCharsets.UTF_8).trim();
    if (!said.isEmpty()) {
      Log.info(said);
    }
    FaultPoint.VDIR_OPENED.hit();
    write(paths.dir().resolve("root"), root);
    write(paths.dir().resolve("pid"), Integer.toString(Processes.pid()));
    Project project = new Project(root, run, dirs, config, engine);
    run(project, dirs, readyFd);
    return 0;
  }

  private void run(Project project, UserDirs dirs, int readyFd) throws IOException {
    Sessions sessions = new Sessions();
    if (Engine.adopted(project.engine())) {
      sessions.expect();
    }
    ApplyLoop loop = new ApplyLoop(project.engine(), sessions);
    StagingKeeper staging = Staging.keeper(project);
    ProjectHandler handler = new ProjectHandler(project, loop, sessions, staging, this::requestStop);
    UnixServer server;
    int published = Engine.publish(project.engine());
    if (published < 0) {
      throw new IOException("publishing the VDir failed: ".concat(Sockets.message(published)));
    }
    FaultPoint.VDIR_PUBLISHED.hit();
    loop.start();
    Persistence persistence =
        Persistence.start(
            dirs.project(project.id()),
            dirs.cas(),
            project.id(),
            RunPaths.bytes(project.root()),
            Engine.adopted(project.engine()) ? null : (names, length) -> loop.ask(engine -> Engine.preload(engine, names, length)), // else it knows them better
            IngestPolicy.BACKGROUND.withCopyLimit(project.config().get(Setting.CAS_MAX_FILE_BYTES))
                .withMinimumFree(project.config().get(Setting.CAS_MIN_FREE_BYTES)),
            project.config().get(Setting.CAS_INGEST) != 0,
            project.config().get(Setting.CAS_MAX_BYTES));
    persistence.holdWhile(() -> sessions.open() > 0);
    FaultPoint.VDIR_STORES_BEGUN.hit();
    project.attach(persistence);
    loop.attach(persistence);
    try {
      server = UnixServer.open("vdir_d", RunPaths.bytes(project.paths().socket()), handler);
    } catch (WireException e) {
      throw new IOException(e.getMessage(), e);
    }
    FaultPoint.VDIR_LISTENING.hit();
    if (readyFd >= 0) {
      Processes.ready(readyFd);
    }
    FaultPoint.VDIR_READY.hit();
    ProjectReport.failed(project.paths(), null);
    Log.info((Engine.adopted(project.engine()) ? "going on serving " : "serving ").concat(project.root()));
    Runtime.getRuntime().addShutdownHook(new Thread(this::stopAndWait, "shutdown"));
    ProgramWatch programs = new ProgramWatch(dirs.state(), project.engine(), loop, sessions);
    Registration registration = new Registration(project);
    staging.start();
    programs.start();
    registration.start();
    waitForEnd(project, loop, sessions, staging);
    FaultPoint.VDIR_STOPPING.hit();
    registration.stop();
    programs.stop();
    server.close();
    staging.lookNow();
    staging.stop();
    FaultPoint.VDIR_UNSTAGED.hit();
    boolean ended = loop.stop(STOP_MS);
    if (ended) {
      loop.handOverRest();
      Engine.retire(project.engine(), true); // unmaps nothing: a late look at the board does no harm
    }
    FaultPoint.VDIR_RETIRED.hit();
    if (lockName.isOurs()) { // else these names are another's
      Files.deleteIfExists(project.paths().socket());
      Files.deleteIfExists(project.paths().dir().resolve("pid"));
    }
    persistence.close();
    FaultPoint.VDIR_CLOSED.hit();
    Log.info("stopped serving ".concat(project.root()));
    synchronized (end) {
      finished = true;
      end.notifyAll();
    }
  }

  private void waitForEnd(Project project, ApplyLoop loop, Sessions sessions, StagingKeeper staging) {
    long idleExit = project.config().get(Setting.VDIR_IDLE_MINUTES) * MINUTE_MS;
    long next = 0;
    long nextHealth = Processes.monotonicMs() + Limits.HEALTH_MS;
    synchronized (end) {
      while (!stopRequested && sessions.idleMs() < idleExit) {
        try {
          end.wait(1_000);
        } catch (InterruptedException e) {
          return;
        }
        if (loop.report().stagedDead() > 0) {
          staging.look();
        }
        long now = Processes.monotonicMs();
        if (now >= nextHealth) {
          nextHealth = now + Limits.HEALTH_MS;
          if (project.limits().roomAgain(loop.report(), project.contentsProblem())) {
            Log.info("there is room again for what is known of files; the tree is read anew");
            loop.ask(engine -> {
              Engine.distrust(engine);
              return null;
            });
          }
        }
        if (loop.report().nativeWhy() == EngineReport.ROOT_MOVED) {
          // What lies at that path now, if anything, is another project: it gets a daemon of its own when it is used.
          Log.info("the project is no longer at ".concat(project.root()).concat("; ending"));
          return;
        }
        if (!lockName.isOurs()) {
          Log.warn(project.paths().lock().toString().concat(" was removed: another daemon may come up; ending"));
          return;
        }
        if (loop.report().escaped() > 0 && now >= next) {
          Engine.freeEscaped(project.engine());
          next = now + ESCAPED_PERIOD_MS;
        }
      }
    }
  }

  private void requestStop() {
    synchronized (end) {
      stopRequested = true;
      end.notifyAll();
    }
  }

  /** SIGTERM: the same clean end as STOP. */
  private void stopAndWait() {
    requestStop();
    long until = Processes.monotonicMs() + 2L * STOP_MS;
    synchronized (end) {
      while (!finished && Processes.monotonicMs() < until) {
        try {
          end.wait(100);
        } catch (InterruptedException e) {
          return;
        }
      }
    }
  }

  private static void privateDir(Path dir) throws IOException {
    int r = SafeDir.make(RunPaths.bytes(dir));
    if (r != 0) {
      throw new IOException(SafeDir.explain(dir.toString(), r));
    }
  }

  /** The lock of a predecessor that is just ending is waited for. */
  private static int lock(Path file) {
    long until = Processes.monotonicMs() + LOCK_WAIT_MS;
    while (true) {
      int fd = Processes.lock(RunPaths.bytes(file));
      if (fd >= 0 || Processes.monotonicMs() >= until) {
        return fd;
      }
      try {
        Thread.sleep(10);
      } catch (InterruptedException e) {
        return -1;
      }
    }
  }

  /** What this project's file may have: its own limit, within what the user's other projects leave, but never less than the least setting. */
  private static long vdirBytes(Config config, RunPaths.Project paths) {
    String mine = paths.shared().map(s -> s.vdirPath().getFileName().toString()).orElse(null);
    long left = config.get(Setting.QUOTA_USER_VDIR_BYTES) - UserUsage.otherVdirs(Path.of("/dev/shm"), mine);
    return Math.max(Setting.QUOTA_MAX_VDIR_BYTES.least(), Math.min(config.get(Setting.QUOTA_MAX_VDIR_BYTES), left));
  }

  /** Half of the user's watches over all projects; what others hold is found out by failing. */
  private static int watchBudget() {
    // One read: a sysctl file has nothing to give at any other offset than 0.
    try (InputStream in = Files.newInputStream(Path.of("/proc/sys/fs/inotify/max_user_watches"))) {
      byte[] digits = new byte[32];
      String text = new String(digits, 0, Math.max(0, in.read(digits)), StandardCharsets.US_ASCII).trim();
      return (int) Math.min(Integer.MAX_VALUE, Long.parseLong(text) / 2);
    } catch (IOException | NumberFormatException e) {
      return 4_096;
    }
  }

  private static void write(Path file, String text) throws IOException {
    Files.writeString(file, text.concat("\n"));
  }
}
