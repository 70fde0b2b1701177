package dev.vrift.wire;

/**
 * Writes one JSON document, in order, with commas and escapes right. Keys and strings are text; use {@link #bytes} for a path that may not be
 * UTF-8 (bad bytes become U+FFFD). Not thread-safe. Misuse (closing what is not open) throws {@link IllegalStateException}.
 */
public final class Json {
  private static final String HEX = "0123456789abcdef";
  private final StringBuilder out = new StringBuilder(256);
  private final StringBuilder open = new StringBuilder();
  private boolean comma;

  public Json object() {
    return begin('{', '}');
  }

  public Json array() {
    return begin('[', ']');
  }

  /** Closes the innermost object or array. */
  public Json end() {
    if (open.isEmpty()) {
      throw new IllegalStateException("nothing to close");
    }
    out.append(open.charAt(open.length() - 1));
    open.setLength(open.length() - 1);
    comma = true;
    return this;
  }

  public Json key(String key) {
    separate();
    quote(key);
    out.append(':');
    comma = false;
    return this;
  }

  public Json value(String value) {
    separate();
    if (value == null) {
      out.append("null");
    } else {
      quote(value);
    }
    comma = true;
    return this;
  }

  public Json value(long value) {
    separate();
    out.append(value);
    comma = true;
    return this;
  }

  public Json value(boolean value) {
    separate();
    out.append(value);
    comma = true;
    return this;
  }

  public Json bytes(byte[] value) {
    return value(new String(value, java.nio.charset.StandardCharsets.UTF_8));
  }

  /** A finished JSON document as a value. */
  public Json raw(String document) {
    separate();
    out.append(document);
    comma = true;
    return this;
  }

  public Json field(String key, String value) {
    return key(key).value(value);
  }

  public Json field(String key, long value) {
    return key(key).value(value);
  }

  public Json field(String key, boolean value) {
    return key(key).value(value);
  }

  @Override
  public String toString() {
    if (!open.isEmpty()) {
      throw new IllegalStateException("not closed: ".concat(open.toString()));
    }
    return out.toString();
  }

  private Json begin(char first, char last) {
    separate();
    out.append(first);
    open.append(last);
    comma = false;
    return this;
  }

  private void separate() {
    if (comma) {
      out.append(',');
    }
    comma = false;
  }

  private void quote(String text) {
    out.append('"');
    for (int i = 0; i < text.length(); i++) {
      char c = text.charAt(i);
      if (c == '"' || c == '\\') {
        out.append('\\').append(c);
      } else if (c < 0x20 || c == 0x7f) {
        out.append("\\u00").append(HEX.charAt(c >> 4)).append(HEX.charAt(c & 15));
      } else {
        out.append(c);
      }
    }
    out.append('"');
  }
}
