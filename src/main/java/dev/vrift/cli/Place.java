package dev.vrift.cli;

import dev.vrift.health.DaemonProbe;
import dev.vrift.layout.Opcode;
import dev.vrift.platform.RunPaths;
import dev.vrift.platform.UserDirs;
import dev.vrift.wire.Fields;
import dev.vrift.wire.WireException;
import java.nio.file.Path;

/** Where a command is at work: found by the launcher and handed over as system properties. Immutable. */
record Place(RunPaths run, String runProblem, String root, String rootProblem, UserDirs dirs, String home) {

  static Place find() throws Failure {
    String run = System.getProperty("vrift.run", "");
    String home = System.getProperty("vrift.home");
    if (home == null || run.isEmpty() && System.getProperty("vrift.run.problem") == null) {
      throw new Failure(Failure.OURS, "this is the inside of bin/vrift; start that");
    }
    try {
      return new Place(
          new RunPaths(Path.of(run.isEmpty() ? "/nonexistent" : run)),
          System.getProperty("vrift.run.problem"),
          System.getProperty("vrift.root", ""),
          System.getProperty("vrift.root.problem"),
          UserDirs.of(System.getenv()),
          home);
    } catch (IllegalStateException e) {
      throw new Failure(Failure.OURS, e.getMessage());
    }
  }

  /** Refuses to go on with a runtime directory that is not safe. */
  void needRun() throws Failure {
    if (runProblem != null) {
      throw new Failure(Failure.NEGATIVE, runProblem);
    }
  }

  /** The project here; refuses to go on where there can be none. */
  RunPaths.Project project() throws Failure {
    needRun();
    if (rootProblem != null || root.isEmpty()) {
      throw new Failure(Failure.NEGATIVE, rootProblem == null ? "there is no project here" : rootProblem);
    }
    return run.of(root);
  }

  /** Asks this project's daemon for a report. */
  String report(Opcode opcode, Fields fields, int timeoutMs) throws Failure {
    RunPaths.Project p = project();
    try {
      return DaemonProbe.report(p.socket(), opcode, fields, timeoutMs);
    } catch (WireException e) {
      if (e.kind() == WireException.Kind.ABSENT) {
        throw new Failure(
            Failure.NEGATIVE, "no daemon is running for " + root + ". `vrift init` or the next `vrift run` starts it");
      }
      throw new Failure(
          Failure.NEGATIVE, "the daemon of " + root + ": " + e.getMessage() + ". See `vrift logs`, or type: vrift restart");
    }
  }
}
