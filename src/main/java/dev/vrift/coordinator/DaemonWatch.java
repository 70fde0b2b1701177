package dev.vrift.coordinator;

import dev.vrift.health.DaemonProbe;
import dev.vrift.platform.Processes;
import dev.vrift.wire.WireException;
import java.nio.file.Path;

/**
 * Tells a daemon that is slow from one that is stuck: no answer to PING <em>and</em> no progress (docs/SUPERVISION.md section 2). Of the
 * supervisor's thread only, but for {@link #hurry}. Times in ms of CLOCK_MONOTONIC.
 */
final class DaemonWatch {
  static final int EVERY_MS = 10_000;
  /** While a command runs. */
  static final int EVERY_SESSION_MS = 1_000;
  static final int ANSWER_MS = 2_000;
  /** Then a stopped process is not waited for any longer. */
  static final int FIRST_ANSWER_MS = 500;
  /** PINGs without answer and without progress until it is stuck. */
  static final int MISSED_STUCK = 2;
  /** PINGs without answer, whatever the CPU time says. */
  static final int MISSED_BUSY = 6;
  /** Clock ticks that the kernel's own bookkeeping may move. */
  private static final long CPU_NOISE_TICKS = 1;

  private static final int[] NOBODY = {-1};

  enum Verdict { ANSWERS, SILENT, STUCK }

  private final Path socket;
  private int pid;
  private int missed;
  private long lastCpu;
  private String home = "";
  private volatile long at;

  DaemonWatch(Path socket) {
    this.socket = socket;
  }

  /** From now on this process is meant; its first PING is due in {@code inMs}. */
  void begin(int who, int inMs) {
    pid = who;
    missed = 0;
    lastCpu = -1;
    home = "";
    at = Processes.monotonicMs() + inMs;
  }

  /** When {@link #look} is due. */
  long at() {
    return at;
  }

  /** Somebody got no answer: look now. Any thread. */
  void hurry() {
    at = Math.min(at, Processes.monotonicMs());
  }

  /** The installed version's directory of the one that answered last; empty: unknown. */
  String home() {
    return home;
  }

  /** One PING. */
  Verdict look() {
    try {
      DaemonProbe.Pong pong;
      try {
        pong = DaemonProbe.pong(socket, FIRST_ANSWER_MS);
      } catch (WireException e) {
        if (e.kind() != WireException.Kind.TIMEOUT) {
          throw e;
        }
        if (staysStopped()) {
          return Verdict.STUCK;
        }
        pong = DaemonProbe.pong(socket, ANSWER_MS - FIRST_ANSWER_MS);
      }
      if (pong.pid() != pid) {
        throw new WireException(WireException.Kind.FOREIGN, "pid " + pong.pid() + " answers instead of pid " + pid);
      }
      missed = 0;
      String said = pong.fields().text("home");
      home = said == null ? "" : said;
      at = Processes.monotonicMs() + (pong.fields().number("sessions", 0) > 0 ? EVERY_SESSION_MS : EVERY_MS);
      return Verdict.ANSWERS;
    } catch (WireException e) {
      return missed(e);
    }
  }

  private boolean staysStopped() {
    for (int i = 0; i < 2; i++) {
      if (!DaemonProbe.isStopped(pid)) {
        return false;
      }
      if (i == 0) {
        Processes.poll(NOBODY, FIRST_ANSWER_MS);
      }
    }
    return true;
  }

  private Verdict missed(WireException e) {
    long cpu = Processes.cpuTime(pid);
    boolean progress = lastCpu < 0 || cpu > lastCpu + CPU_NOISE_TICKS;
    lastCpu = cpu;
    missed++;
    at = Processes.monotonicMs() + (e.kind() == WireException.Kind.TIMEOUT ? 0 : ANSWER_MS);
    return missed >= (progress ? MISSED_BUSY : MISSED_STUCK) ? Verdict.STUCK : Verdict.SILENT;
  }
}
