package dev.vrift.coordinator;

import dev.vrift.platform.Processes;
import dev.vrift.platform.RunPaths;
import dev.vrift.wire.Answer;
import dev.vrift.wire.Fields;
import dev.vrift.wire.Json;
import dev.vrift.wire.UnixServer;
import java.nio.file.Files;
import java.nio.file.Path;

/**
 * Stands in for {@code vdir_d}: lock, socket, pid file, PING, STATUS, STOP, and nothing else. A file {@code die} in the root makes it exit before it is
 * ready, {@code hang} makes it accept and never answer, {@code busy} the same while it computes, {@code slow} makes it start for 3 s, {@code home} holds the
 * version's directory that it claims to be from, {@code sessions} says that a command runs.
 */
public final class FakeDaemon {
  private FakeDaemon() {}

  /** The command line of the real one: {@code vdir_d --run-dir DIR --root ROOT --ready-fd N}. */
  public static void main(String[] args) throws Exception {
    RunPaths run = new RunPaths(Path.of(args[2]));
    Path root = Path.of(args[4]);
    int ready = Integer.parseInt(args[6]);
    RunPaths.Project p = run.of(args[4]);
    if (Files.exists(root.resolve("die")) || Processes.lock(RunPaths.bytes(p.lock())) < 0) {
      System.exit(3);
    }
    boolean hang = Files.exists(root.resolve("hang"));
    boolean busy = Files.exists(root.resolve("busy"));
    String home = Files.exists(root.resolve("home")) ? Files.readString(root.resolve("home")) : "";
    if (Files.exists(root.resolve("slow"))) {
      Thread.sleep(3000);
    }
    Files.writeString(p.dir().resolve("pid"), Processes.pid() + "\n");
    Runnable stop = () -> {
      p.socket().toFile().delete();
      Runtime.getRuntime().halt(0);
    };
    UnixServer.open("fake", RunPaths.bytes(p.socket()), (c, request) -> {
      if (hang) {
        sleep();
      }
      while (busy && Files.exists(root.resolve("busy"))) {
        Thread.onSpinWait();
      }
      return switch (request.known()) {
        case PING -> Answer.ok(new Fields().put("pid", Processes.pid()).put("version", "0").put("home", home).put("sessions", Files.exists(root.resolve("sessions")) ? 1 : 0));
        case STATUS -> Answer.json(new Json().object().field("root", args[4]).field("id", p.id()).field("state", "serving")
            .field("pid", Processes.pid()).end().toString());
        case STOP -> Answer.ok().then(stop);
        default -> Answer.error("no", "only a stand-in");
      };
    });
    Processes.ready(ready);
    sleep();
  }

  private static void sleep() {
    try {
      Thread.sleep(600_000);
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
    }
  }
}
