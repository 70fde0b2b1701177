package dev.vrift.wire;

import java.io.ByteArrayOutputStream;
import java.nio.charset.StandardCharsets;
import java.util.LinkedHashMap;
import java.util.Map;

/**
 * A payload of {@code key=value} lines. Values are bytes (paths need not be UTF-8); bytes outside 0x21–0x7e and {@code %} travel as
 * {@code %XX}. Not thread-safe.
 */
public final class Fields {
  private static final int MAX_KEYS = 256;
  private final Map<String, byte[]> values = new LinkedHashMap<>();

  public Fields put(String key, byte[] value) {
    values.put(key, value);
    return this;
  }

  public Fields put(String key, String value) {
    return put(key, value.getBytes(StandardCharsets.UTF_8));
  }

  public Fields put(String key, long value) {
    return put(key, Long.toString(value));
  }

  /** The bytes, or null when the key is absent. */
  public byte[] bytes(String key) {
    return values.get(key);
  }

  /** The value as UTF-8 text, or null when the key is absent. */
  public String text(String key) {
    byte[] v = values.get(key);
    return v == null ? null : new String(v, StandardCharsets.UTF_8);
  }

  /** A decimal number, or {@code absent}. Throws {@link WireException} (MALFORMED) for anything else. */
  public long number(String key, long absent) throws WireException {
    String v = text(key);
    if (v == null) {
      return absent;
    }
    try {
      return Long.parseLong(v);
    } catch (NumberFormatException e) {
      throw new WireException(WireException.Kind.MALFORMED, key.concat(" is not a number"));
    }
  }

  /** A key that must be there. */
  public byte[] required(String key) throws WireException {
    byte[] v = values.get(key);
    if (v == null) {
      throw new WireException(WireException.Kind.MALFORMED, "the field ".concat(key).concat(" is missing"));
    }
    return v;
  }

  /** The payload. */
  public byte[] encode() {
    ByteArrayOutputStream out = new ByteArrayOutputStream(128);
    for (Map.Entry<String, byte[]> e : values.entrySet()) {
      byte[] key = e.getKey().getBytes(StandardCharsets.US_ASCII);
      out.write(key, 0, key.length);
      out.write('=');
      for (byte b : e.getValue()) {
        if (b >= 0x21 && b <= 0x7e && b != '%') {
          out.write(b);
        } else {
          out.write('%');
          out.write(digit((b >> 4) & 15));
          out.write(digit(b & 15));
        }
      }
      out.write('\n');
    }
    return out.toByteArray();
  }

  /** Reads a payload. Throws {@link WireException} (MALFORMED) for a line without {@code =}, a bad escape, or too many keys. */
  public static Fields parse(byte[] payload) throws WireException {
    Fields out = new Fields();
    int at = 0;
    while (at < payload.length) {
      int end = at;
      int equals = -1;
      while (end < payload.length && payload[end] != '\n') {
        if (equals < 0 && payload[end] == '=') {
          equals = end;
        }
        end++;
      }
      if (equals <= at || out.values.size() >= MAX_KEYS) {
        throw new WireException(WireException.Kind.MALFORMED, "a line of the message is not key=value");
      }
      out.values.put(new String(payload, at, equals - at, StandardCharsets.ISO_8859_1), unescape(payload, equals + 1, end));
      at = end + 1;
    }
    return out;
  }

  private static byte[] unescape(byte[] in, int from, int to) throws WireException {
    byte[] out = new byte[to - from];
    int n = 0;
    for (int i = from; i < to; i++) {
      if (in[i] != '%') {
        out[n++] = in[i];
        continue;
      }
      int high = i + 2 < to ? value(in[i + 1]) : -1;
      int low = i + 2 < to ? value(in[i + 2]) : -1;
      if (high < 0 || low < 0) {
        throw new WireException(WireException.Kind.MALFORMED, "an escape of the message is not %XX");
      }
      out[n++] = (byte) (high << 4 | low);
      i += 2;
    }
    return java.util.Arrays.copyOf(out, n);
  }

  private static int digit(int v) {
    return v < 10 ? '0' + v : 'A' + v - 10;
  }

  private static int value(byte b) {
    if (b >= '0' && b <= '9') {
      return b - '0';
    }
    if (b >= 'A' && b <= 'F') {
      return b - 'A' + 10;
    }
    return b >= 'a' && b <= 'f' ? b - 'a' + 10 : -1;
  }
}
