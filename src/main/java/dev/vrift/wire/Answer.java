package dev.vrift.wire;

import dev.vrift.layout.Opcode;
import java.nio.charset.StandardCharsets;

/** What a handler answers: OK or ERROR with a payload, and something to be done once it has been sent. */
public record Answer(Opcode opcode, byte[] payload, Runnable afterwards) {
  private static final byte[] EMPTY = {};

  public static Answer ok() {
    return new Answer(Opcode.OK, EMPTY, null);
  }

  public static Answer ok(Fields fields) {
    return new Answer(Opcode.OK, fields.encode(), null);
  }

  public static Answer json(String document) {
    return new Answer(Opcode.OK, document.getBytes(StandardCharsets.UTF_8), null);
  }

  /** {@code code} is a stable word for programs, {@code error} a sentence for people. */
  public static Answer error(String code, String error) {
    return new Answer(Opcode.ERROR, new Fields().put("code", code).put("error", error).encode(), null);
  }

  /** The same answer, and then {@code action} on the connection's thread. */
  public Answer then(Runnable action) {
    return new Answer(opcode, payload, action);
  }
}
