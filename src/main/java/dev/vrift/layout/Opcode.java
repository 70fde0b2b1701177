package dev.vrift.layout;

/** Message kinds; {@link #code} is frozen for ever once released. The payloads are in docs/WIRE.md. */
public enum Opcode {
  STOP(0),
  PING(1),
  OPEN(2),
  SESSION(3),
  SYNC(4),
  STATUS(5),
  STATS(6),
  EXPLAIN(7),
  VERIFY(8),
  SESSION_END(9),
  RESTART(10),
  REGISTER(11),
  CAS(12),
  SALVAGE(13),
  FORGET(14),
  OK(100),
  ERROR(101);

  private final int code;

  Opcode(int code) {
    this.code = code;
  }

  public int code() {
    return code;
  }
}
