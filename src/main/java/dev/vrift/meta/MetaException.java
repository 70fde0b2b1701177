package dev.vrift.meta;

/** The metadata store could not do what was asked. Never a reason to fail a build: the tree holds the truth. */
public final class MetaException extends Exception {
  private static final long serialVersionUID = 1L;

  public enum Kind {
    /** Something in the database is wrong; it must be set aside and rebuilt from the tree. */
    DAMAGED,
    /** Another process holds the lock. */
    BUSY,
    /** The kernel refused; the database is as before. */
    IO,
    /** No space; the database is as before. */
    FULL,
    /** No usable liblmdb. */
    ABSENT,
    /** A malformed batch or an argument out of range; the database is as before. */
    ARGUMENT
  }

  private final Kind kind;

  public MetaException(Kind kind, String message) {
    super(message);
    this.kind = kind;
  }

  public Kind kind() {
    return kind;
  }
}
