package dev.vrift.wire;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * Reads one JSON document into maps, lists, strings, {@link Long}, {@link Double}, {@link Boolean} and null. For the reports of daemons, which may be
 * of another version. Bounded depth; not thread-safe.
 */
public final class JsonReader {
  private static final int MAX_DEPTH = 64;
  private final String text;
  private int at;
  private int depth;

  private JsonReader(String text) {
    this.text = text;
  }

  /** Throws {@link WireException} (MALFORMED) for anything that is not exactly one document. */
  public static Object parse(String text) throws WireException {
    JsonReader r = new JsonReader(text);
    Object value = r.value();
    r.space();
    if (r.at != text.length()) {
      throw r.bad("text behind the document");
    }
    return value;
  }

  /** A document that is an object. */
  @SuppressWarnings("unchecked")
  public static Map<String, Object> object(String text) throws WireException {
    Object value = parse(text);
    if (!(value instanceof Map)) {
      throw new WireException(WireException.Kind.MALFORMED, "the report is not a JSON object");
    }
    return (Map<String, Object>) value;
  }

  private Object value() throws WireException {
    space();
    if (at >= text.length() || ++depth > MAX_DEPTH) {
      throw bad("a value is missing, or nested too deep");
    }
    char c = text.charAt(at);
    Object out =
        switch (c) {
          case '{' -> map();
          case '[' -> list();
          case '"' -> string();
          case 't' -> word("true", Boolean.TRUE);
          case 'f' -> word("false", Boolean.FALSE);
          case 'n' -> word("null", null);
          default -> number();
        };
    depth--;
    return out;
  }

  private Map<String, Object> map() throws WireException {
    Map<String, Object> out = new LinkedHashMap<>();
    at++;
    space();
    if (take('}')) {
      return out;
    }
    do {
      space();
      if (at >= text.length() || text.charAt(at) != '"') {
        throw bad("a key is missing");
      }
      String key = string();
      space();
      need(':');
      out.put(key, value());
      space();
    } while (take(','));
    need('}');
    return out;
  }

  private List<Object> list() throws WireException {
    List<Object> out = new ArrayList<>();
    at++;
    space();
    if (take(']')) {
      return out;
    }
    do {
      out.add(value());
      space();
    } while (take(','));
    need(']');
    return out;
  }

  private String string() throws WireException {
    StringBuilder out = new StringBuilder();
    at++;
    while (at < text.length()) {
      char c = text.charAt(at++);
      if (c == '"') {
        return out.toString();
      }
      if (c != '\\') {
        out.append(c);
        continue;
      }
      if (at >= text.length()) {
        break;
      }
      char e = text.charAt(at++);
      switch (e) {
        case '"', '\\', '/' -> out.append(e);
        case 'n' -> out.append('\n');
        case 't' -> out.append('\t');
        case 'r' -> out.append('\r');
        case 'b' -> out.append('\b');
        case 'f' -> out.append('\f');
        case 'u' -> out.append(unit());
        default -> throw bad("an unknown escape");
      }
    }
    throw bad("a string is not closed");
  }

  private char unit() throws WireException {
    if (at + 4 > text.length()) {
      throw bad("an escape is cut off");
    }
    try {
      char c = (char) Integer.parseInt(text, at, at + 4, 16);
      at += 4;
      return c;
    } catch (NumberFormatException e) {
      throw bad("an escape is not hexadecimal");
    }
  }

  private Object number() throws WireException {
    int from = at;
    while (at < text.length() && "+-.eE0123456789".indexOf(text.charAt(at)) >= 0) {
      at++;
    }
    String word = text.substring(from, at);
    try {
      if (word.matches("-?[0-9]+")) {
        return Long.valueOf(word);
      }
      return Double.valueOf(word);
    } catch (NumberFormatException e) {
      throw bad("not a value");
    }
  }

  private Object word(String word, Object value) throws WireException {
    if (!text.startsWith(word, at)) {
      throw bad("not a value");
    }
    at += word.length();
    return value;
  }

  private void space() {
    while (at < text.length() && " \t\r\n".indexOf(text.charAt(at)) >= 0) {
      at++;
    }
  }

  private boolean take(char c) {
    if (at < text.length() && text.charAt(at) == c) {
      at++;
      return true;
    }
    return false;
  }

  private void need(char c) throws WireException {
    if (!take(c)) {
      throw bad("expected " + c);
    }
  }

  private WireException bad(String what) {
    return new WireException(WireException.Kind.MALFORMED, "JSON: " + what + " at character " + at);
  }
}
