package dev.vrift.project;

import dev.vrift.layout.Opcode;
import dev.vrift.platform.Processes;
import dev.vrift.platform.RunPaths;
import dev.vrift.vdir.Engine;
import dev.vrift.wire.Fields;
import dev.vrift.wire.UnixClient;
import dev.vrift.wire.WireException;
import java.nio.file.Files;

/** Keeps a connection to vriftd, whose end tells it of our death, and which gives it the watch queue to keep (docs/ADOPTION.md). vriftd absent is no fault: one is started, and the connection tried again every second. */
final class Registration {
  private static final long RETRY_MS = 1_000;
  /** After a connection that had been good: its successor is there by now. */
  private static final long AGAIN_MS = 10;
  private static final int LOOK_MS = 1_000;
  private static final int ANSWER_MS = 2_000;
  private static final long STACK_BYTES = 256 * 1024;

  private final Project project;
  private final Thread thread;
  private final CoordinatorCare care;
  private volatile boolean stopping;
  private boolean stayed;

  Registration(Project project) {
    this.project = project;
    this.care = new CoordinatorCare(project.run());
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
        if (!stay() && !stopping) {
          care.ensure();
        }
        Thread.sleep(stayed ? AGAIN_MS : RETRY_MS);
      } catch (InterruptedException e) {
        return;
      }
    }
  }

  /** False: there is no vriftd, or none that answers. */
  private boolean stay() {
    stayed = false;
    if (Files.exists(project.run().stopped())) {
      return true;
    }
    try (UnixClient c = UnixClient.connect(RunPaths.bytes(project.run().socket()), ANSWER_MS)) {
      long[] number = new long[1];
      int watch = Engine.watch(project.engine(), number);
      c.ask(
          Opcode.REGISTER,
          new Fields().put("id", project.id()).put("root", RunPaths.bytes(project.root())).put("pid", Processes.pid()).put("watch", Project.hex(number[0])),
          ANSWER_MS,
          watch);
      care.connected();
      stayed = true;
      while (!stopping) {
        // Readable: vriftd has gone (it never speaks first).
        if (Processes.poll(new int[] {c.fd()}, LOOK_MS) != 0 || care.isHung(c)) {
          return false;
        }
      }
      return true;
    } catch (WireException e) {
      // No vriftd, or one that refuses: the project is served all the same.
      return e.kind() == WireException.Kind.REFUSED;
    }
  }
}
