package dev.vrift.health;

import dev.vrift.layout.Opcode;
import dev.vrift.platform.RunPaths;
import dev.vrift.wire.Fields;
import dev.vrift.wire.Json;
import dev.vrift.wire.WireException;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;

/** One project as an object of {@code status --json}: what its daemon says, or what can be seen from outside when it does not answer. */
public final class ProjectReport {
  private static final int ANSWER_MS = 500;
  private static final String FAILED = "failed";
  private static final int WHY_MAX = 500;

  private ProjectReport() {}

  /** {@code stateIfSilent} is used when the daemon does not answer. Null when there is neither a daemon nor a root. */
  public static String of(RunPaths.Project project, String stateIfSilent) {
    try {
      return DaemonProbe.report(project.socket(), Opcode.STATUS, new Fields(), ANSWER_MS).strip();
    } catch (WireException e) {
      String root = project.root().orElse(null);
      return root == null ? null : silent(project, root, stateIfSilent, e.getMessage());
    }
  }

  /** Leaves the reason why a daemon cannot serve for those who ask later; null: it serves. Never fails. */
  public static void failed(RunPaths.Project project, String why) {
    Path file = project.dir().resolve(FAILED);
    try {
      if (why == null) {
        Files.deleteIfExists(file);
      } else {
        Files.writeString(file, why.length() > WHY_MAX ? why.substring(0, WHY_MAX) : why);
      }
    } catch (IOException e) {
      return; // the log has it too
    }
  }

  private static String failure(RunPaths.Project project) {
    try {
      Path file = project.dir().resolve(FAILED);
      return Files.size(file) > 4L * WHY_MAX ? "" : "; the last one could not serve: ".concat(Files.readString(file).strip());
    } catch (IOException e) {
      return "";
    }
  }

  private static String silent(RunPaths.Project project, String root, String state, String reason) {
    int pid = DaemonProbe.daemonOf(project);
    Json out = new Json().object();
    out.field("root", root).field("id", project.id());
    out.field("state", state != null ? state : pid > 0 ? "native" : "stopped");
    out.field("reason", pid > 0 ? "the daemon does not answer: " + reason : GoneProjects.isGone(root) ? "its directory is gone; `vrift doctor --fix` forgets it" : "no daemon".concat(failure(project)));
    out.field("pid", pid).field("generation", 0).field("entries", 0);
    out.field("vdir_path", project.shared().map(s -> s.vdirPath().toString()).orElse(null));
    out.field("board_path", project.shared().map(s -> s.boardPath().toString()).orElse(null));
    out.field("socket", project.socket().toString()).field("staging_bytes", 0);
    return out.end().toString();
  }
}
