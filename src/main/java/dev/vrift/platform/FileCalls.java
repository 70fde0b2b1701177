package dev.vrift.platform;

import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.Iterator;
import java.util.NoSuchElementException;

/**
 * File calls by descriptor (native/jni/reflink.c): names are bytes, symbolic links are never followed, descriptors are close-on-exec. Results below 0
 * are -errno. Thread-safe as the kernel is; the caller owns descriptors.
 */
public final class FileCalls {
  static {
    NativeLibrary.load();
  }

  /** Kinds of {@link #open}. */
  public static final int READ = 0;
  public static final int DIRECTORY = 1;
  public static final int CREATE_NEW = 2;

  /** Largest piece {@link #read} and {@link #write} move, in bytes. */
  public static final int PIECE = 65536;

  public static final int ENOENT = -2;
  public static final int EEXIST = -17;
  public static final int ENOSPC = -28;
  public static final int EDQUOT = -122;

  private FileCalls() {}

  /** Opens for reading below {@code dir}; no component may be a link or {@code ..}. Does not move the access time. */
  public static native int openBeneath(int dir, byte[] path, boolean directory);

  public static native int open(byte[] path, int kind, int mode);

  public static native int close(int fd);

  /** Of the descriptor ({@code name} null) or of a name in it, links not followed. {@code out}: {@link FileStat#WORDS} words. */
  public static native int stat(int fd, byte[] name, long[] out);

  /** At most {@link #PIECE} bytes; 0 at the end. */
  public static native int read(int fd, byte[] into);

  /** All of {@code length} (at most {@link #PIECE}) or -errno. */
  public static native int write(int fd, byte[] from, int length);

  public static native int rewind(int fd);

  /** FICLONE: the whole of source shares its blocks with target. */
  public static native int clone(int source, int target);

  public static native int chmod(int fd, int mode);

  /** Renames without replacing what may be there. */
  public static native int publish(byte[] from, byte[] to);

  public static native int rename(byte[] from, byte[] to);

  public static native int unlink(byte[] path);

  public static native int mkdir(byte[] path, int mode);

  /** Sets the times of a file to now; a link is not followed. */
  public static native int touch(byte[] path);

  private static native byte[] list(int fd);

  /** {@code out[0]} free, {@code out[1]} total bytes of the filesystem. */
  public static native int space(int fd, long[] out);

  /** The calling thread becomes last in line for processor and disk. */
  public static native void idlePriority();

  /** A name in a directory with its d_type. */
  public record Name(byte[] name, int type) {
    public static final int TYPE_UNKNOWN = 0;
    public static final int TYPE_DIRECTORY = 4;
    public static final int TYPE_REGULAR = 8;
  }

  /** The names in an open directory, taken apart one by one: a directory may have millions. Null if it cannot be read. */
  public static Iterable<Name> names(int fd) {
    byte[] packed = list(fd);
    return packed == null ? null : () -> new Names(packed);
  }

  private static final class Names implements Iterator<Name> {
    private final byte[] packed;
    private int at;

    Names(byte[] packed) {
      this.packed = packed;
    }

    @Override
    public boolean hasNext() {
      return at < packed.length;
    }

    @Override
    public Name next() {
      if (!hasNext()) {
        throw new NoSuchElementException();
      }
      int end = at + 1;
      while (packed[end] != 0) {
        end++;
      }
      Name out = new Name(Arrays.copyOfRange(packed, at + 1, end), packed[at]);
      at = end + 1;
      return out;
    }
  }

  /** Null and -errno are told apart by {@code result[0]}. */
  public static FileStat stat(int fd, byte[] name, int[] result) {
    long[] w = new long[FileStat.WORDS];
    result[0] = stat(fd, name, w);
    return result[0] == 0 ? FileStat.of(w) : null;
  }

  public static byte[] bytes(String path) {
    return path.getBytes(StandardCharsets.UTF_8);
  }
}
