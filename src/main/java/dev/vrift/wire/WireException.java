package dev.vrift.wire;

/** A message could not be exchanged: the connection is to be closed. */
public final class WireException extends Exception {
  private static final long serialVersionUID = 1L;

  /** What happened, so that callers need not read the text. */
  public enum Kind {
    /** The peer closed the connection. */
    CLOSED,
    /** Nothing, or not all, came within the time allowed. */
    TIMEOUT,
    /** The bytes are not a frame or a payload of ours. */
    MALFORMED,
    /** Nobody listens there. */
    ABSENT,
    /** The peer is another user's process. */
    FOREIGN,
    /** The peer answered ERROR. */
    REFUSED,
    /** The system call failed. */
    SYSTEM
  }

  private final transient Kind kind;

  public WireException(Kind kind, String message) {
    super(message);
    this.kind = kind;
  }

  public Kind kind() {
    return kind;
  }
}
