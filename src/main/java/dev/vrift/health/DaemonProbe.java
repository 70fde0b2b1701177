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
import java.nio.file.LinkOption;
import java.nio.file.Path;
import java.util.function.IntPredicate;

/** Questions to a daemon that may be dead, stopped or busy. Stateless; each call opens a connection of its own. */
public final class DaemonProbe {
  private static final int CONNECT_MS = 200;
  private static final int EAGAIN = 11;
  private static final Path LOCKS = Path.of("/proc/locks");

  private DaemonProbe() {}

  /** What answered a PING. */
  public record Pong(int pid, Fields fields) {}

  /** One request with an answer within {@code timeoutMs}. A daemon that is stopped (SIGSTOP) is not waited for. */
  public static Frame ask(Path socket, Opcode opcode, Fields fields, int timeoutMs) throws WireException {
    try (UnixClient client = connect(socket, timeoutMs)) {
      return client.ask(opcode, fields, timeoutMs);
    }
  }

  /** The pid that answers PING there. */
  public static int ping(Path socket, int timeoutMs) throws WireException {
    return pong(socket, timeoutMs).pid();
  }

  /** Who answers PING there, and what it says. */
  public static Pong pong(Path socket, int timeoutMs) throws WireException {
    try (UnixClient client = connect(socket, timeoutMs)) {
      return new Pong(client.pid(), client.ask(Opcode.PING, timeoutMs).fields());
    }
  }

  private static UnixClient connect(Path socket, int timeoutMs) throws WireException {
    UnixClient client = UnixClient.connect(RunPaths.bytes(socket), Math.min(CONNECT_MS, timeoutMs));
    if (isStopped(client.pid())) {
      client.close();
      throw new WireException(WireException.Kind.TIMEOUT, "pid " + client.pid() + " is stopped (SIGSTOP) and cannot answer");
    }
    return client;
  }

  /** Whether a process is stopped by a signal or a debugger: it makes no progress. */
  public static boolean isStopped(int pid) {
    int state = Processes.stateOf(pid);
    return state == 'T' || state == 't';
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

  /**
   * The {@code vdir_d} that holds a project's lock, or 0: by the kernel's list of locks, which needs neither a pid file nor an answer; where that list
   * does not show it (another pid namespace), by the pid file.
   */
  public static int holderOf(RunPaths.Project project, String root) {
    int pid = holder(project.lock(), p -> isDaemon(p, root));
    return pid > 0 ? pid : daemonOf(project);
  }

  /** The {@code vriftd} that holds the lock of this runtime directory, listening or not, or 0. */
  public static int coordinatorOf(RunPaths run) {
    return holder(run.lock(), p -> isCoordinator(p, run));
  }

  private static int holder(Path lock, IntPredicate is) {
    try {
      String inode = ":" + Files.getAttribute(lock, "unix:ino", LinkOption.NOFOLLOW_LINKS) + " ";
      for (String line : Files.readAllLines(LOCKS, StandardCharsets.US_ASCII)) {
        int at = line.indexOf(inode);
        if (at < 0 || !line.contains(" FLOCK ")) {
          continue;
        }
        String[] words = line.substring(0, at).split(" +");
        int pid = words.length > 2 ? Integer.parseInt(words[words.length - 2]) : 0;
        if (pid > 0 && is.test(pid)) {
          return pid;
        }
      }
    } catch (IOException | NumberFormatException e) {
      return 0;
    }
    return 0;
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
