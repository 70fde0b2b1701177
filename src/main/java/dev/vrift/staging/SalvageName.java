package dev.vrift.staging;

import dev.vrift.cas.SecretNames;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.Locale;

/**
 * Names in {@code .vrift/salvage}: the encoded target path, then {@code .old} (the version before a promotion) or
 * {@code .<stamp>_<pid>.new} (bytes taken back). Bytes other than {@code [A-Za-z0-9._+-]} are {@code %XX}. A path too long for a name
 * starts with {@code %%} and a hash, and only its end is kept. Twin of {@code vr_salvage_name} in C.
 *
 * @param path the target path as people read it; for a cut path its end
 * @param whole whether {@code path} is the whole path, so that it can be restored without naming a place
 * @param old whether it is the version before a promotion
 * @param pid of the writer, 0 for an old version
 */
record SalvageName(String path, byte[] bytes, boolean whole, boolean old, int pid) {
  private static final int HASH_DIGITS = 16;
  private static final int MAX_DIGITS = 20;
  private static final int MAX_PID_DIGITS = 10;

  /** Null for a name that is not ours: such files are never touched. */
  static SalvageName parse(String name) {
    if (name.endsWith(".old")) {
      return of(name.substring(0, name.length() - 4), true, 0);
    }
    if (!name.endsWith(".new")) {
      return null;
    }
    String rest = name.substring(0, name.length() - 4);
    int dot = rest.lastIndexOf('.');
    int bar = rest.lastIndexOf('_');
    if (dot <= 0 || bar < dot + 2 || !digits(rest, dot + 1, bar) || !digits(rest, bar + 1, rest.length())) {
      return null;
    }
    long pid = rest.length() - bar > MAX_PID_DIGITS + 1 ? -1 : Long.parseLong(rest.substring(bar + 1));
    return pid < 0 || pid > Integer.MAX_VALUE ? null : of(rest.substring(0, dot), false, (int) pid);
  }

  private static boolean digits(String s, int from, int to) {
    boolean good = to > from && to - from <= MAX_DIGITS;
    for (int i = from; good && i < to; i++) {
      good = s.charAt(i) >= '0' && s.charAt(i) <= '9';
    }
    return good;
  }

  private static SalvageName of(String encoded, boolean old, int pid) {
    boolean whole = !encoded.startsWith("%%");
    if (!whole && encoded.length() < 2 + HASH_DIGITS) {
      return null;
    }
    byte[] bytes = decode(whole ? encoded : encoded.substring(2 + HASH_DIGITS));
    if (bytes == null || bytes.length == 0) {
      return null;
    }
    String path = new String(bytes, StandardCharsets.UTF_8);
    return new SalvageName(whole ? path : "…".concat(path), bytes, whole, old, pid);
  }

  private static byte[] decode(String encoded) {
    byte[] out = new byte[encoded.length()];
    int n = 0;
    for (int i = 0; i < encoded.length(); i++) {
      char c = encoded.charAt(i);
      if (c == '%') {
        boolean room = i + 2 < encoded.length();
        int high = room ? Character.digit(encoded.charAt(i + 1), 16) : -1;
        int low = room ? Character.digit(encoded.charAt(i + 2), 16) : -1;
        if (high < 0 || low < 0) {
          return null;
        }
        if (high + low == 0) { /* no path has a NUL */
          return null;
        }
        out[n++] = (byte) (high << 4 | low);
        i += 2;
      } else if (c < 0x80) {
        out[n++] = (byte) c;
      } else {
        return null;
      }
    }
    return Arrays.copyOf(out, n);
  }

  /** Encodes a path for a {@code .new} name; at most 190 characters, as in C. */
  static String encodeNew(String path, long stamp, int pid) {
    StringBuilder out = new StringBuilder();
    for (byte b : path.getBytes(StandardCharsets.UTF_8)) {
      append(out, b);
    }
    return out.append('.').append(stamp).append('_').append(pid).append(".new").toString();
  }

  /** Every byte of the path as it stands in the name. */
  String encoded() {
    StringBuilder out = new StringBuilder();
    for (byte b : bytes) {
      append(out, b);
    }
    return out.toString();
  }

  private static void append(StringBuilder out, byte b) {
    char c = (char) (b & 0xFF);
    boolean plain = c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || "._+-".indexOf(c) >= 0;
    if (plain) {
      out.append(c);
    } else {
      out.append('%').append(Character.toUpperCase(Character.forDigit(c >> 4, 16))).append(Character.toUpperCase(Character.forDigit(c & 15, 16)));
    }
  }

  /** Keys and environments are never kept. Staging refuses them already; this is the second lock. */
  boolean secret() {
    String base = path.substring(path.lastIndexOf('/') + 1).toLowerCase(Locale.ROOT);
    return SecretNames.matches(bytes)
        || base.startsWith("id_")
        || base.contains("secret")
        || base.contains("password")
        || base.contains("private_key");
  }
}
