package dev.vrift.cli;

import java.util.Locale;

/** Numbers for people. */
final class Human {
  private static final String[] UNITS = {"B", "KiB", "MiB", "GiB", "TiB"};

  private Human() {}

  static String bytes(Object value) {
    if (!(value instanceof Long n)) {
      return "?";
    }
    double v = n;
    int unit = 0;
    while (v >= 1024 && unit < UNITS.length - 1) {
      v /= 1024;
      unit++;
    }
    return unit == 0 ? n + " B" : String.format(Locale.ROOT, "%.1f %s", v, UNITS[unit]);
  }

  static String percent(long part, long whole) {
    return whole == 0 ? "-" : String.format(Locale.ROOT, "%.1f %%", 100.0 * part / whole);
  }

  static long number(Object value) {
    return value instanceof Long n ? n : 0;
  }
}
