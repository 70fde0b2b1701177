package dev.vrift.wire;

import dev.vrift.layout.Opcode;

/** One message. {@code opcode} is a number, because a peer of another version may send one we do not know. */
public record Frame(int opcode, int request, byte[] payload) {
  private static final Opcode[] OPCODES = Opcode.values();

  /** The opcode as we know it, or null. */
  public Opcode known() {
    for (Opcode o : OPCODES) {
      if (o.code() == opcode) {
        return o;
      }
    }
    return null;
  }

  /** The payload as key=value lines. Throws {@link WireException} when it is not. */
  public Fields fields() throws WireException {
    return Fields.parse(payload);
  }
}
