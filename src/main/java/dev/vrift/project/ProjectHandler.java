package dev.vrift.project;

import dev.vrift.layout.StatReason;
import dev.vrift.layout.WireLayout;
import dev.vrift.platform.FaultPoint;
import dev.vrift.platform.Processes;
import dev.vrift.platform.Version;
import dev.vrift.vdir.Engine;
import dev.vrift.vdir.EngineReport;
import dev.vrift.wire.Answer;
import dev.vrift.wire.Connection;
import dev.vrift.wire.Fields;
import dev.vrift.wire.Frame;
import dev.vrift.wire.Json;
import dev.vrift.wire.RequestHandler;
import dev.vrift.wire.WireException;
import java.util.List;

/** What a project's daemon answers (docs/WIRE.md). Called by one thread per connection. */
final class ProjectHandler implements RequestHandler {
  private static final int DRAIN_MS = 2_000;
  /** Versions of the JSON documents. */
  static final int SCHEMA_VERSION = 1;

  /** A session's view of the board when it began. */
  private record Session(int pid, long loads, long verifyDiffs, long rollbacks) {}

  private final Project project;
  private final ApplyLoop loop;
  private final Sessions sessions;
  private final StagingKeeper staging;
  private final Runnable stop;

  ProjectHandler(Project project, ApplyLoop loop, Sessions sessions, StagingKeeper staging, Runnable stop) {
    this.project = project;
    this.loop = loop;
    this.sessions = sessions;
    this.staging = staging;
    this.stop = stop;
  }

  @Override
  public Answer handle(Connection c, Frame request) throws WireException {
    return switch (request.known()) {
      case STOP -> Answer.ok().then(stop);
      case PING -> Answer.ok(ping());
      case SESSION -> session(c, request.fields());
      case SYNC -> sync();
      case STATUS -> Answer.json(status());
      case STATS -> Answer.json(stats(request.fields()));
      case EXPLAIN -> Answer.json(Explanation.of(loop, request.fields().required("path")));
      case VERIFY -> Answer.json(Comparison.of(loop));
      case SESSION_END -> Answer.json(sessionEnd(c));
      case CAS -> project.cas(request.fields());
      default -> Answer.error("not-here", "a project's daemon does not answer this; ask vriftd");
    };
  }

  @Override
  public void closed(Connection c) {
    if (c.attachment() instanceof Session) {
      c.attach(null);
      FaultPoint.SESSION_HUNG_UP.hit();
      sessions.end();
      if (counters()[Engine.STAGED_COUNT] != 0) { // else what is left are directories at most: the pass every five seconds sees to them
        staging.look();
      }
    }
  }

  private Fields ping() {
    return new Fields()
        .put("pid", Processes.pid())
        .put("version", Version.TEXT)
        .put("home", System.getProperty("vrift.home", ""))
        .put("sessions", sessions.open())
        .put("protocol", WireLayout.PROTOCOL)
        .put("state", loop.state().text())
        .put("progress", loop.turns());
  }

  private long[] counters() {
    long[] v = new long[Engine.COUNTERS];
    Engine.counters(project.engine(), v);
    return v;
  }

  private Answer session(Connection c, Fields fields) throws WireException {
    if (c.attachment() == null) {
      long[] v = counters();
      c.attach(new Session((int) fields.number("pid", 0), v[Engine.LOADS], v[Engine.VERIFY_DIFFS], staging.mark()));
      FaultPoint.SESSION_BEGINS.hit();
      c.keep();
      sessions.begin();
      loop.wake();
    }
    EngineReport r = loop.report();
    return Answer.ok(
        new Fields()
            .put("vdir", Project.hex(r.vdirId()))
            .put("board", Project.hex(r.boardId()))
            .put("drain", r.drain())
            .put("state", loop.state().text())
            .put("version", Version.TEXT));
  }

  private Answer sync() {
    long drain = loop.awaitDrain(DRAIN_MS);
    FaultPoint.SYNC_DRAINED.hit();
    return drain < 0 ? Answer.error("busy", "no drain was finished within 2 s; going on natively") : Answer.ok(new Fields().put("drain", drain));
  }

  private String sessionEnd(Connection c) {
    staging.lookNow();
    long[] v = counters();
    Json out = new Json().object().field("schema_version", SCHEMA_VERSION);
    Session s = c.attachment() instanceof Session begun ? begun : new Session(0, 0, 0, staging.mark());
    List<byte[]> rolledBack = staging.since(s.rollbacks());
    out.key("rolled_back").array();
    for (byte[] path : rolledBack) {
      out.bytes(path);
    }
    out.end();
    out.field("loads", v[Engine.LOADS] - s.loads());
    out.field("verify_diffs", v[Engine.VERIFY_DIFFS] - s.verifyDiffs());
    return out.end().toString();
  }

  private String status() {
    EngineReport r = loop.report();
    long[] v = counters();
    Json out = new Json().object();
    out.field("schema_version", SCHEMA_VERSION);
    out.field("root", project.root()).field("id", project.id()).field("state", loop.state().text()).field("reason", r.why());
    out.field("pid", Processes.pid()).field("version", Version.TEXT).field("generation", r.generation());
    out.field("entries", r.entries()).field("directories", r.dirs()).field("watches", r.watches());
    out.field("limited_directories", r.limitedDirs()).field("limited", r.limited() != 0);
    out.field("unverified", r.unverified()).field("to_scan", r.scans()).field("to_settle", r.settles()).field("dirty_slots", r.dirty());
    out.field("vdir_path", "/dev/shm/vrift_vdir_".concat(Project.hex(r.vdirId())));
    out.field("board_path", "/dev/shm/vrift_board_".concat(Project.hex(r.boardId())));
    out.field("vdir_bytes", r.fileSize()).field("socket", project.paths().socket().toString());
    out.field("staging_bytes", staging.bytes()).field("staged", v[Engine.STAGED_COUNT]);
    out.field("sessions", sessions.open()).field("sessions_total", sessions.total());
    out.field("drain", r.drain()).field("turns", loop.turns()).field("events", r.events()).field("verified", r.verified());
    out.field("overflows", r.overflows()).field("reaped", r.reaped()).field("escaped", r.escaped()).field("corrupt", r.corrupt());
    out.field("rebuilds", r.rebuilds()).field("rebuild_us", r.rebuildUs()).field("forgotten", r.forgotten()).field("repaired", r.repaired());
    out.field("patrols", r.patrols()).field("drifts", r.drifts()).field("cuts", r.cuts()).field("bad_records", r.badRecords());
    out.field("adopted", r.adopted() != 0).field("adopt_us", r.adoptUs()).field("adoptable", r.adoptable() != 0);
    out.field("uptime_ms", Processes.monotonicMs() - project.started());
    project.limits().describe(out, r, project.contentsProblem());
    project.describe(out);
    return out.end().toString();
  }

  private String stats(Fields fields) throws WireException {
    long[] v = counters();
    Json out = new Json().object().field("schema_version", SCHEMA_VERSION).field("root", project.root());
    out.key("counters").object();
    for (StatReason reason : StatReason.values()) {
      out.field(reason.name(), v[reason.ordinal()]);
    }
    out.end();
    out.field("processes", v[Engine.LOADS]).field("faults", v[Engine.FAULTS]);
    if (fields.number("zero", 0) == 1) {
      Engine.zeroStats(project.engine());
    }
    return out.end().toString();
  }
}
