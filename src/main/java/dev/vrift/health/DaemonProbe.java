package dev.vrift.health;

import dev.vrift.layout.Opcode;
import dev.vrift.platform.Processes;
import dev.vrift.platform.RunPaths;
import dev.vrift.wire.Fields;
import dev.vrift.wire.Frame;
import dev.vrift.wire.UnixClient;
import dev.vrift.wire.WireException;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;

/** Questions to a daemon that may be dead, stopped or busy. Stateless; each call opens a connection of its own. */
public final class DaemonProbe {
  private static final int CONNECT_MS = 200;
  private static final int EAGAIN = 11;

  private DaemonProbe() {}

  /** One request with an answer within {@code timeoutMs}. */
  public static Frame ask(Path socket, Opcode opcode, Fields fields, int timeoutMs) throws WireException {
    try (UnixClient client = UnixClient.connect(RunPaths.bytes(socket), Math.min(CONNECT_MS, timeoutMs))) {
      return client.ask(opcode, fields, timeoutMs);
    }
  }

  /** The pid that answers PING there. */
  public static int ping(Path socket, int timeoutMs) throws WireException {
    try (UnixClient client = UnixClient.connect(RunPaths.bytes(socket), Math.min(CONNECT_MS, timeoutMs))) {
      client.ask(Opcode.PING, timeoutMs);
      return client.pid();
    }
  }

  /** A report that is one JSON document. */
  public static String report(Path socket, Opcode opcode, Fields fields, int timeoutMs) throws WireException {
    return new String(ask(socket, opcode, fields, timeoutMs).payload(), StandardCharsets.UTF_8);
  }

  /** Whether some process holds the lock: the owner lives, even if it answers nothing. */
  public static boolean locked(Path lock) {
    if (!Files.exists(lock)) {
      return false;
    }
    int fd = Processes.lock(RunPaths.bytes(lock));
    if (fd >= 0) {
      Processes.close(fd);
      return false;
    }
    return fd == -EAGAIN;
  }

  /**
   * The living {@code vdir_d} of a project by its pid file, or 0. The number alone proves nothing: the command line must be that of a daemon for
   * this root.
   */
  public static int daemonOf(RunPaths.Project project) {
    int pid = project.pid().orElse(0);
    String root = project.root().orElse(null);
    return pid > 0 && root != null && isDaemon(pid, root) ? pid : 0;
  }

  /** Whether the process is a {@code vdir_d} for this root. */
  public static boolean isDaemon(int pid, String root) {
    try {
      byte[] line = Files.readAllBytes(Path.of("/proc/" + pid + "/cmdline"));
      String text = new String(line, StandardCharsets.UTF_8);
      return text.contains("\0vdir_d\0") && text.contains("\0--root\0" + root + "\0") && Processes.stateOf(pid) != 'Z';
    } catch (IOException e) {
      return false;
    }
  }

  /** Whether the process is a {@code vriftd} for this runtime directory. */
  public static boolean isCoordinator(int pid, RunPaths run) {
    try {
      String text = new String(Files.readAllBytes(Path.of("/proc/" + pid + "/cmdline")), StandardCharsets.UTF_8);
      return text.contains("\0vriftd\0") && text.contains("\0--run-dir\0" + run.dir() + "\0") && Processes.stateOf(pid) != 'Z';
    } catch (IOException e) {
      return false;
    }
  }
}
