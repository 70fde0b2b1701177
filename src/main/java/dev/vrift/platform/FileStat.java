package dev.vrift.platform;

/**
 * What the kernel says about a file, in the order in which native code fills a {@code long[}{@value #WORDS}{@code ]}. Times are seconds since
 * the epoch plus nanoseconds; {@code blocks} are 512 bytes each.
 */
public record FileStat(
    long dev, long ino, long size, long blocks, long rdev, int mode, int nlink, int uid, int gid, int blksize,
    long mtime, int mtimeNs, long ctime, int ctimeNs, long atime, int atimeNs, long btime, int btimeNs) {
  public static final int WORDS = 18;
  private static final int TYPE_MASK = 0170000;
  private static final int REGULAR = 0100000;
  private static final int DIRECTORY = 0040000;

  /** Throws {@link IndexOutOfBoundsException} if {@code w} is shorter than {@link #WORDS}. */
  public static FileStat of(long[] w) {
    return new FileStat(
        w[0], w[1], w[2], w[3], w[4], (int) w[5], (int) w[6], (int) w[7], (int) w[8], (int) w[9],
        w[10], (int) w[11], w[12], (int) w[13], w[14], (int) w[15], w[16], (int) w[17]);
  }

  public boolean isRegular() {
    return (mode & TYPE_MASK) == REGULAR;
  }

  public boolean isDirectory() {
    return (mode & TYPE_MASK) == DIRECTORY;
  }

  /** Is it the same version of the same file? Device, inode, size, mtime and ctime are compared. */
  public boolean sameVersion(FileStat o) {
    return dev == o.dev && ino == o.ino && size == o.size && mtime == o.mtime && mtimeNs == o.mtimeNs && ctime == o.ctime && ctimeNs == o.ctimeNs;
  }
}
