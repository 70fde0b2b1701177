package dev.vrift.platform;

import java.time.Instant;
import java.time.temporal.ChronoUnit;

/**
 * A daemon's log: one line per event on standard error, which its starter pointed at the log file. Thread-safe: one write per line.
 * Nothing here is called on a path that a client waits for.
 */
public final class Log {
  private Log() {}

  public static void info(String text) {
    line("info  ", text);
  }

  public static void warn(String text) {
    line("warn  ", text);
  }

  /** With the exception's stack trace. */
  public static void error(String text, Throwable cause) {
    StringBuilder out = new StringBuilder(text).append(": ").append(cause);
    for (StackTraceElement e : cause.getStackTrace()) {
      out.append("\n    at ").append(e);
    }
    line("error ", out.toString());
  }

  private static void line(String level, String text) {
    System.err.print(
        new StringBuilder(64 + text.length())
            .append(Instant.now().truncatedTo(ChronoUnit.MILLIS))
            .append(' ')
            .append(level)
            .append(text)
            .append('\n')
            .toString());
    System.err.flush();
  }
}
