package dev.vrift.project;

import dev.vrift.health.DaemonProbe;
import dev.vrift.layout.Opcode;
import dev.vrift.platform.Log;
import dev.vrift.platform.Processes;
import dev.vrift.platform.RunPaths;
import dev.vrift.wire.UnixClient;
import dev.vrift.wire.WireException;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.concurrent.ThreadLocalRandom;
import java.util.concurrent.TimeUnit;

/**
 * What a project's daemon does for vriftd: sees it hung, and sees to it that there is one (docs/SUPERVISION.md section 3). The work is the launcher's, which
 * knows the lock and the back-off that all starters share. Of the registration's thread only; nothing else in the daemon waits for this.
 */
final class CoordinatorCare {
  /** Between questions on a connection that is silent otherwise. */
  private static final long PING_EVERY_MS = 10_000;
  private static final int ANSWER_MS = 2_000;
  private static final int JITTER_MS = 50;
  /** Longer than the launcher's own patience: back-off and start. */
  private static final int ENSURE_S = 60;

  private final RunPaths run;
  private final Path launcher;
  private long pingAt;
  private int stoppedLooks;
  private String said = "";

  CoordinatorCare(RunPaths run) {
    this.run = run;
    this.launcher = Path.of(System.getProperty("vrift.home", "/nonexistent")).resolve("../../bin/vrift").normalize();
  }

  /** A new connection to it. */
  void connected() {
    pingAt = Processes.monotonicMs() + PING_EVERY_MS;
    stoppedLooks = 0;
  }

  /** To be called once a second. True: it is stopped, or does not answer; the connection is over. */
  boolean isHung(UnixClient c) {
    stoppedLooks = DaemonProbe.isStopped(c.pid()) ? stoppedLooks + 1 : 0;
    if (stoppedLooks > 0 || Processes.monotonicMs() < pingAt) {
      return stoppedLooks > 1;
    }
    pingAt = Processes.monotonicMs() + PING_EVERY_MS;
    try {
      c.ask(Opcode.PING, ANSWER_MS);
      return false;
    } catch (WireException e) {
      return true;
    }
  }

  /** Starts or replaces it, unless vrift was stopped. Returns when one answers, or when it has no sense now. */
  void ensure() throws InterruptedException {
    Thread.sleep(ThreadLocalRandom.current().nextInt(JITTER_MS));
    if (Files.exists(run.stopped()) || !Files.isExecutable(launcher)) {
      return;
    }
    ProcessBuilder b = new ProcessBuilder(launcher.toString(), "--ensure-coordinator");
    b.environment().put("VRIFT_RUNTIME_DIR", run.dir().toString());
    b.redirectInput(Path.of("/dev/null").toFile()).redirectOutput(ProcessBuilder.Redirect.DISCARD).redirectError(ProcessBuilder.Redirect.DISCARD);
    try {
      Process p = b.start();
      try {
        if (!p.waitFor(ENSURE_S, TimeUnit.SECONDS)) {
          p.destroyForcibly();
        }
      } catch (InterruptedException e) {
        p.destroyForcibly();
        throw e;
      }
    } catch (IOException e) {
      String text = "vriftd is not there and cannot be started: ".concat(String.valueOf(e.getMessage()));
      if (!text.equals(said)) {
        Log.warn(text);
        said = text;
      }
    }
  }
}
