package dev.vrift.cas;

import dev.vrift.platform.FileCalls;

/** The store could not do what was asked; nothing wrong was published. {@link #errno} is negative, 0 if the kernel had no part in it. */
public final class CasException extends Exception {
  private static final long serialVersionUID = 1L;
  private final int errno;

  public CasException(String what, int errno) {
    super(errno == 0 ? what : what + ": error " + -errno);
    this.errno = errno;
  }

  public int errno() {
    return errno;
  }

  /** Disk or quota full: stop ingesting, nothing else is wrong. */
  public boolean full() {
    return errno == FileCalls.ENOSPC || errno == FileCalls.EDQUOT;
  }
}
