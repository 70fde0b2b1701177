package dev.vrift.project;

import dev.vrift.layout.Opcode;
import dev.vrift.platform.Processes;
import dev.vrift.platform.RunPaths;
import dev.vrift.wire.Fields;
import dev.vrift.wire.UnixClient;
import dev.vrift.wire.WireException;
import java.nio.file.Files;

/** Keeps a connection to vriftd, whose end tells it of our death. vriftd absent is no fault: tried again every second. */
final class Registration {
  private static final long RETRY_MS = 1_000;
  private static final int ANSWER_MS = 2_000;
  private static final long STACK_BYTES = 256 * 1024;

  private final Project project;
  private final Thread thread;
  private volatile boolean stopping;

  Registration(Project project) {
    this.project = project;
    this.thread = new Thread(null, this::run, "registration", STACK_BYTES);
    thread.setDaemon(true);
  }

  void start() {
    thread.start();
  }

  void stop() {
    stopping = true;
    thread.interrupt();
  }

  private void run() {
    while (!stopping) {
      try {
        stay();
        Thread.sleep(RETRY_MS);
      } catch (InterruptedException e) {
        return;
      }
    }
  }

  private void stay() {
    if (Files.exists(project.run().stopped())) {
      return;
    }
    try (UnixClient c = UnixClient.connect(RunPaths.bytes(project.run().socket()), ANSWER_MS)) {
      c.ask(
          Opcode.REGISTER,
          new Fields().put("id", project.id()).put("root", RunPaths.bytes(project.root())).put("pid", Processes.pid()),
          ANSWER_MS);
      while (!stopping) {
        // Readable: vriftd has gone (it never speaks first).
        if (Processes.poll(new int[] {c.fd()}, 1_000) != 0) {
          return;
        }
      }
    } catch (WireException e) {
      // No vriftd, or one that refuses: the project is served all the same.
      return;
    }
  }
}
