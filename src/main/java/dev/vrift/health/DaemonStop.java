package dev.vrift.health;

import dev.vrift.layout.Opcode;
import dev.vrift.platform.Processes;
import dev.vrift.platform.RunPaths;
import dev.vrift.wire.Fields;
import dev.vrift.wire.WireException;
import java.nio.file.Path;

/** Stops daemons for good, with or without a coordinator. Only processes whose command line is a daemon's of ours are ever signalled, through a pidfd. */
public final class DaemonStop {
  public static final int STOP_MS = 2_000;
  public static final int COORDINATOR_MS = 15_000;
  private static final int KILL_MS = 1_000;

  private DaemonStop() {}

  /** What {@link #project} found and did. */
  public enum Outcome { NONE, STOPPED, ALIVE }

  /** Asks the daemon of a project to stop, kills it after {@link #STOP_MS}, and removes what it left. */
  public static Outcome project(RunPaths.Project project) {
    int pid = project.root().map(r -> DaemonProbe.holderOf(project, r)).orElse(0);
    if (pid == 0) {
      pid = whoAnswers(project.socket());
      if (pid != 0 && !DaemonProbe.isDaemon(pid, project.root().orElse("/"))) {
        pid = 0;
      }
    }
    boolean dead = pid == 0 || end(pid, project.socket(), STOP_MS);
    if (dead && Leftovers.removeRuntimeOfDead(project)) {
      RunPaths run = new RunPaths(project.dir().getParent().getParent());
      CgroupLeftovers.remove(CgroupLeftovers.places(run), CgroupLeftovers.name(run, project.id())::equals);
      return pid == 0 ? Outcome.NONE : Outcome.STOPPED;
    }
    return Outcome.ALIVE;
  }

  /** Stops vriftd, which stops every project's daemon first. True: there is none any more. */
  public static boolean coordinator(RunPaths run) {
    int pid = DaemonProbe.coordinatorOf(run);
    if (pid == 0) {
      pid = whoAnswers(run.socket());
    }
    if (pid == 0) {
      pid = pidFile(run);
    }
    boolean dead = pid == 0 || !DaemonProbe.isCoordinator(pid, run) || end(pid, run.socket(), COORDINATOR_MS);
    if (dead && !DaemonProbe.locked(run.lock())) {
      Leftovers.delete(run.socket());
      Leftovers.delete(run.pid());
    }
    return dead;
  }

  private static int pidFile(RunPaths run) {
    try {
      return Integer.parseInt(java.nio.file.Files.readString(run.pid()).strip());
    } catch (java.io.IOException | NumberFormatException e) {
      return 0;
    }
  }

  private static int whoAnswers(Path socket) {
    try {
      return DaemonProbe.ping(socket, STOP_MS);
    } catch (WireException e) {
      return 0;
    }
  }

  /** STOP, then SIGKILL. True: dead. */
  private static boolean end(int pid, Path socket, int patienceMs) {
    int fd = Processes.pidfd(pid);
    if (fd < 0) {
      return true;
    }
    try {
      boolean asked = true;
      try {
        DaemonProbe.ask(socket, Opcode.STOP, new Fields(), STOP_MS);
      } catch (WireException e) {
        asked = false;
      }
      if (asked && Processes.poll(new int[] {fd}, patienceMs) == 1) {
        return true;
      }
      Processes.signal(fd, Processes.SIGKILL);
      return Processes.poll(new int[] {fd}, KILL_MS) == 1;
    } finally {
      Processes.close(fd);
    }
  }
}
