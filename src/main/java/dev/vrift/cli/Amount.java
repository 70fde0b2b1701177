package dev.vrift.cli;

import java.util.Locale;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** Sizes, ages and shares as people type them. */
final class Amount {
  private static final Pattern NUMBER = Pattern.compile("(\\d{1,15})([a-z]*)");
  private static final long HOUR_MS = 3_600_000;

  private Amount() {}

  /** {@code 100M}, {@code 5G}, {@code 1024}: bytes, powers of 1024. */
  static long bytes(String text, String command) throws Failure {
    Matcher m = match(text, command, "a size, as 500M or 10G");
    int shift =
        switch (m.group(2)) {
          case "", "b" -> 0;
          case "k", "kb", "kib" -> 10;
          case "m", "mb", "mib" -> 20;
          case "g", "gb", "gib" -> 30;
          case "t", "tb", "tib" -> 40;
          default -> throw Failure.usage("'" + text + "' is not a size, as 500M or 10G", command);
        };
    long n = Long.parseLong(m.group(1));
    if (n > Long.MAX_VALUE >> shift) {
      throw Failure.usage("'" + text + "' is too large", command);
    }
    return n << shift;
  }

  /** {@code 45s}, {@code 30m}, {@code 12h}, {@code 7d}: milliseconds. */
  static long age(String text, String command) throws Failure {
    Matcher m = match(text, command, "an age, as 12h or 7d");
    long unit =
        switch (m.group(2)) {
          case "s" -> 1000;
          case "m", "min" -> 60_000;
          case "h" -> HOUR_MS;
          case "d" -> 24 * HOUR_MS;
          case "w" -> 7 * 24 * HOUR_MS;
          default -> throw Failure.usage("'" + text + "' is not an age, as 12h or 7d", command);
        };
    long n = Long.parseLong(m.group(1));
    if (n > Long.MAX_VALUE / unit) {
      throw Failure.usage("'" + text + "' is too long", command);
    }
    return n * unit;
  }

  private static Matcher match(String text, String command, String what) throws Failure {
    Matcher m = NUMBER.matcher(text.strip().toLowerCase(Locale.ROOT));
    if (!m.matches()) {
      throw Failure.usage("'" + text + "' is not " + what, command);
    }
    return m;
  }
}
