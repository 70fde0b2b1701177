package dev.vrift.coordinator;

import dev.vrift.health.DaemonProbe;
import dev.vrift.health.ProjectReport;
import dev.vrift.layout.WireLayout;
import dev.vrift.platform.Hash;
import dev.vrift.platform.Log;
import dev.vrift.platform.Processes;
import dev.vrift.platform.RunPaths;
import dev.vrift.platform.Version;
import dev.vrift.wire.Answer;
import dev.vrift.wire.Connection;
import dev.vrift.wire.Fields;
import dev.vrift.wire.Frame;
import dev.vrift.wire.Json;
import dev.vrift.wire.RequestHandler;
import dev.vrift.wire.WireException;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.InvalidPathException;
import java.util.List;
import java.util.Locale;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.FutureTask;
import java.util.regex.Pattern;

/** What vriftd answers (docs/WIRE.md). Thread-safe. */
final class CoordinatorHandler implements RequestHandler {
  private static final Pattern NUMBER = Pattern.compile("[0-9a-f]{16}");
  private static final long STATUS_STACK = 256 * 1024;
  private static final int OPEN_MS = ProjectSupervisor.READY_MS + 5_000;

  /** A daemon may end by itself while somebody asks for it; its successor is asked then. */
  private static final int OPEN_TRIES = 3;

  private final Coordinator coordinator;
  private final Registry registry;
  private final long started = Processes.monotonicMs();

  CoordinatorHandler(Coordinator coordinator, Registry registry) {
    this.coordinator = coordinator;
    this.registry = registry;
  }

  @Override
  public Answer handle(Connection c, Frame request) throws WireException {
    try {
      return switch (request.known()) {
        case STOP -> Answer.ok().then(coordinator::requestStop);
        case PING -> Answer.ok(ping());
        case OPEN -> open(request.fields(), false);
        case RESTART -> open(request.fields(), true);
        case REGISTER -> register(c, request.fields());
        case STATUS -> Answer.json(status());
        case FORGET -> forget(request.fields());
        default -> Answer.error("not-here", "vriftd does not answer this; ask the project's daemon");
      };
    } catch (IOException | InvalidPathException e) {
      return Answer.error("failed", e.getMessage());
    }
  }

  private Fields ping() {
    return new Fields()
        .put("pid", Processes.pid())
        .put("version", Version.TEXT)
        .put("home", System.getProperty("vrift.home", ""))
        .put("protocol", WireLayout.PROTOCOL)
        .put("state", "serving")
        .put("progress", Processes.monotonicMs());
  }

  private static String root(Fields fields) throws WireException, IOException {
    byte[] bytes = fields.required("root");
    String root = new String(bytes, StandardCharsets.UTF_8);
    if (!java.util.Arrays.equals(bytes, RunPaths.bytes(root)) || root.indexOf('\0') >= 0) {
      throw new IOException("the path of this project is not UTF-8, which vrift cannot serve yet");
    }
    return root;
  }

  private Answer open(Fields fields, boolean again) throws WireException, IOException {
    for (int i = 0; i < OPEN_TRIES; i++) {
      ProjectSupervisor s = registry.of(root(fields));
      s.suspect((int) fields.number("silent", 0));
      int pid = s.open(again, OPEN_MS);
      if (pid > 0) {
        return Answer.ok(
            new Fields().put("id", s.project().id()).put("pid", pid).put("socket", RunPaths.bytes(s.project().socket())));
      }
    }
    return Answer.error("stopping", "the daemon of this project is just stopping; try again");
  }

  /** A vdir_d says that it is there. One that we did not start is adopted by its project's supervisor. */
  private Answer register(Connection c, Fields fields) throws WireException, IOException {
    String root = root(fields);
    String id = Hash.hex(Hash.hash64(RunPaths.bytes(root), 0));
    if (!id.equals(fields.text("id")) || fields.number("pid", 0) != c.pid()) {
      return Answer.error("bad-request", "id, root and pid do not belong together");
    }
    ProjectSupervisor s = registry.of(root);
    keepWatch(c, s, root, fields.text("watch"));
    c.keep();
    Log.info("pid " + c.pid() + " registers " + root);
    return Answer.ok();
  }

  /** Only from the one that has the project: it alone knows what its watch numbers mean. */
  private static void keepWatch(Connection c, ProjectSupervisor s, String root, String number) {
    int queue = c.takePassed();
    if (queue < 0) {
      return;
    }
    if (number == null || !NUMBER.matcher(number).matches() || DaemonProbe.holderOf(s.project(), root) != c.pid()) {
      Processes.close(queue);
      return;
    }
    s.keep(queue, Long.parseUnsignedLong(number, 16));
  }

  private String status() {
    Json out = new Json().object().field("schema_version", 1);
    out.key("vriftd").object();
    out.field("pid", Processes.pid()).field("version", Version.TEXT).field("uptime_ms", Processes.monotonicMs() - started);
    out.end();
    out.key("projects").array();
    // At the same time: a project that does not answer costs its half second once, not once for each.
    registry.all().stream().map(p -> new FutureTask<>(() -> project(p))).peek(t -> new Thread(null, t, "status", STATUS_STACK).start()).toList().forEach(t -> {
      try {
        String report = t.get();
        if (report != null) {
          out.raw(report);
        }
      } catch (InterruptedException e) {
        Thread.currentThread().interrupt();
      } catch (ExecutionException e) {
        Log.error("status of a project", e.getCause());
      }
    });
    return out.end().end().toString();
  }

  /** What the daemon says of itself, or what is seen when it does not, and what we know of it. Null: it is no project. */
  private static String project(ProjectSupervisor s) {
    String word =
        switch (s.state()) {
          case FENCING, QUARANTINED, STOPPED -> s.state().name().toLowerCase(Locale.ROOT);
          case STARTING, WAITING -> "native";
          case RUNNING -> null;
        };
    String report = ProjectReport.of(s.project(), word);
    if (report == null || !report.endsWith("}")) {
      return report;
    }
    Json supervision = new Json().object();
    s.describe(supervision);
    return report.substring(0, report.length() - 1) + ",\"supervision\":" + supervision.end() + "}";
  }

  private Answer forget(Fields fields) throws WireException, IOException {
    String root = root(fields);
    ProjectSupervisor s = registry.find(root);
    if (s == null) {
      return Answer.ok();
    }
    if (!s.stop(Coordinator.STOP_ALL_MS)) {
      return Answer.error("fencing", "the daemon of " + root + " does not die");
    }
    registry.remove(s);
    List<String> failed = s.forget();
    return failed.isEmpty() ? Answer.ok() : Answer.error("failed", "not removed: " + String.join(", ", failed));
  }
}
