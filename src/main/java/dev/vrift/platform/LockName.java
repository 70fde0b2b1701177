package dev.vrift.platform;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.Path;

/**
 * Whether the file that we hold a lock on is still the one of that name. When somebody has removed the runtime directory, others can take "the same" lock: whoever
 * finds that out has to leave. Immutable.
 */
public final class LockName {
  private final Path file;
  private final Object inode;

  /** To be made right after the lock was taken. */
  public LockName(Path file) {
    this.file = file;
    this.inode = inode(file);
  }

  /** One stat. */
  public boolean isOurs() {
    return inode != null && inode.equals(inode(file));
  }

  private static Object inode(Path file) {
    try {
      return Files.getAttribute(file, "unix:ino", LinkOption.NOFOLLOW_LINKS);
    } catch (IOException e) {
      return null;
    }
  }
}
