package dev.vrift.cli;

import dev.vrift.health.DaemonProbe;
import dev.vrift.health.DaemonStop;
import dev.vrift.health.Leftovers;
import dev.vrift.health.ProjectReport;
import dev.vrift.layout.Opcode;
import dev.vrift.platform.Processes;
import dev.vrift.platform.RunPaths;
import dev.vrift.wire.Fields;
import dev.vrift.wire.Json;
import dev.vrift.wire.WireException;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;

/** {@code vrift init} and {@code vrift init --undo}. The launcher has made {@code .vrift} and started vriftd for the former. */
final class InitCommand {
  /** Longer than this nobody waits for the first scan; it goes on without us. */
  private static final int SCAN_MS = 60_000;
  private static final int LOOK_MS = 100;
  private static final int FORGET_MS = 20_000;
  /** As long as a starter waits for vriftd. */
  private static final int ASKING_MS = 16_000;
  private static final int ASKING_STEP_MS = 10;
  private static final int EAGAIN = 11;
  private static final int[] NOTHING = {-1};

  private InitCommand() {}

  static int run(Place place, List<String> words) throws Failure, InterruptedException {
    Arguments a = Arguments.parse("init", words, 0, "--undo", "--json");
    RunPaths.Project p = place.project();
    if (a.has("--undo")) {
      return undo(place, p, a.has("--json"));
    }
    RestartCommand.open(place, Opcode.OPEN);
    Map<String, Object> report = awaitServing(p);
    if (a.has("--json")) {
      System.out.println(RestartCommand.json(p));
    } else if ("serving".equals(report.get("state"))) {
      System.out.println(place.root() + " is served: " + report.get("entries") + " entries. Now: vrift run -- YOUR COMMAND");
    } else {
      System.out.println(place.root() + ": " + report.get("state") + (report.get("reason") == null ? "" : ", " + report.get("reason")));
    }
    return 0;
  }

  private static Map<String, Object> awaitServing(RunPaths.Project p) throws Failure, InterruptedException {
    long deadline = Processes.monotonicMs() + SCAN_MS;
    boolean terminal = System.console() != null && System.console().isTerminal();
    while (true) {
      String json = ProjectReport.of(p, null);
      Map<String, Object> report = json == null ? Map.of() : ReportCommands.parse(json);
      boolean scanning = "scanning".equals(report.get("state"));
      if (terminal && (scanning || Processes.monotonicMs() > deadline - SCAN_MS + 500)) {
        System.err.print("\rscanning: " + report.get("entries") + " entries \033[K");
      }
      if (!scanning || Processes.monotonicMs() > deadline) {
        if (terminal) {
          System.err.print("\r\033[K");
        }
        return report;
      }
      Thread.sleep(LOOK_MS);
    }
  }

  /** Stops the daemon and removes everything of the project; with the last project also what is common to all. */
  private static int undo(Place place, RunPaths.Project p, boolean json) throws Failure {
    int asking = nobodyAsks(place.run().asking(p.id()));
    try {
      return undo(place, p, json, new ArrayList<>());
    } finally {
      if (asking >= 0) {
        Processes.close(asking);
      }
    }
  }

  /** A command that has just ended may still be asking for the daemon, in the background: it is waited for, and no other begins. A descriptor, or below 0. */
  private static int nobodyAsks(Path lock) {
    long deadline = Processes.monotonicMs() + ASKING_MS;
    int fd = Processes.lock(RunPaths.bytes(lock));
    while (fd == -EAGAIN && Processes.monotonicMs() < deadline) {
      Processes.poll(NOTHING, ASKING_STEP_MS);
      fd = Processes.lock(RunPaths.bytes(lock));
    }
    return fd;
  }

  private static int undo(Place place, RunPaths.Project p, boolean json, List<String> failed) throws Failure {
    try {
      DaemonProbe.ask(place.run().socket(), Opcode.FORGET, new Fields().put("root", place.root()), FORGET_MS);
    } catch (WireException e) {
      if (e.kind() != WireException.Kind.ABSENT) {
        System.err.println("vrift: vriftd: " + e.getMessage());
      }
    }
    if (Files.isDirectory(p.dir()) && DaemonStop.project(p) == DaemonStop.Outcome.ALIVE) {
      throw new Failure(Failure.NEGATIVE, "the daemon of " + place.root() + " does not die; nothing more was removed");
    }
    failed.addAll(Leftovers.forget(place.run(), place.dirs(), p, place.root()));
    Path ours = Path.of(place.root(), ".vrift");
    if (Files.isDirectory(ours, LinkOption.NOFOLLOW_LINKS)) { // a file or a link of that name is somebody else's
      Leftovers.removeTree(ours, failed);
    }
    Path projects = place.dirs().state().resolve("projects");
    if (place.run().all().isEmpty() && !Files.exists(projects)) {
      failed.addAll(Leftovers.removeCommon(place.run(), place.dirs()));
    }
    if (!failed.isEmpty()) {
      throw new Failure(Failure.NEGATIVE, "not removed: " + String.join("; ", failed));
    }
    System.out.println(
        json ? new Json().object().field("schema_version", 1).field("removed", place.root()).end() : "nothing of vrift is left in " + place.root());
    return 0;
  }
}
