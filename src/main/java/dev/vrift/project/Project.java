package dev.vrift.project;

import dev.vrift.config.Config;
import dev.vrift.platform.Faults;
import dev.vrift.platform.Processes;
import dev.vrift.platform.RunPaths;
import dev.vrift.platform.UserDirs;
import dev.vrift.wire.Answer;
import dev.vrift.wire.Fields;
import dev.vrift.wire.Json;
import java.nio.charset.StandardCharsets;

/** What a daemon knows of its one project. Immutable but for what its parts guard themselves. */
final class Project {
  private final String root;
  private final RunPaths run;
  private final RunPaths.Project paths;
  private final UserDirs dirs;
  private final long engine;
  private final Config config;
  private final Limits limits;
  private final long started = Processes.monotonicMs();
  private volatile Persistence persistence;

  Project(String root, RunPaths run, UserDirs dirs, Config config, long engine) {
    this.config = config;
    this.limits = new Limits(config);
    this.root = root;
    this.run = run;
    this.paths = run.of(root);
    this.dirs = dirs;
    this.engine = engine;
  }

  static String hex(long id) {
    String h = Long.toHexString(id);
    return "0000000000000000".substring(h.length()).concat(h);
  }

  String root() {
    return root;
  }

  String id() {
    return paths.id();
  }

  RunPaths run() {
    return run;
  }

  RunPaths.Project paths() {
    return paths;
  }

  UserDirs dirs() {
    return dirs;
  }

  /** The engine's handle: only for calls that any thread may make. */
  long engine() {
    return engine;
  }

  Config config() {
    return config;
  }

  Limits limits() {
    return limits;
  }

  /** Why contents are not kept, or "". */
  String contentsProblem() {
    Persistence p = persistence;
    return p == null ? "" : p.contentsProblem();
  }

  /** CLOCK_MONOTONIC ms. */
  long started() {
    return started;
  }

  /** What outlives the daemon; attached once it serves. */
  void attach(Persistence what) {
    persistence = what;
  }

  /** Adds what the optional parts have to say to a status object. */
  void describe(Json out) {
    out.field("state_directory", dirs.project(id()).toString());
    if (Faults.allowed()) {
      out.field("faults_fired", new String(Faults.fired(), StandardCharsets.US_ASCII));
    }
    Persistence p = persistence;
    if (p != null) {
      p.describe(out);
    }
  }

  Answer cas(Fields request) {
    Persistence p = persistence;
    return p == null ? Answer.error("unavailable", "the daemon is starting; try again") : p.answer(request);
  }
}
