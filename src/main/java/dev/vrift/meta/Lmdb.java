package dev.vrift.meta;

import dev.vrift.platform.NativeLibrary;
import java.nio.ByteBuffer;

/** Native calls of native/jni/lmdb.c. Handles are pointers: the owner serialises calls and makes none after {@link #close}. */
final class Lmdb {
  static {
    NativeLibrary.load();
  }

  static final int POSITION_SIZE = 514;
  static final int OK = 0;
  static final int DAMAGED = -1;
  static final int BUSY = -2;
  static final int IO = -3;
  static final int FULL = -4;
  static final int ABSENT = -5;
  static final int ARGUMENT = -6;

  private Lmdb() {}

  /** 0 for lack of memory; else look at {@link #status}, and {@link #close} it in any case. */
  static native long open(byte[] dir, byte[] library, long mapSize, int waitMs);

  static native int status(long handle);

  static native byte[] why(long handle);

  static native int apply(long handle, long address, int length);

  static native int load(long handle, byte[] position, long address, int capacity);

  static native int get(long handle, byte[] path, long address, int capacity);

  static native int put(long handle, byte[] key, byte[] value);

  static native byte[] value(long handle, byte[] key);

  static native int sync(long handle);

  static native void info(long handle, long[] out);

  static native void close(long handle);

  static native byte[] here();

  static native long allocate(int size);

  static native void release(long address);

  /** Engine changes into a batch; see native/jni/lmdb_convert.c. */
  static native int fromChanges(long changes, int length, long batch, int capacity, long epoch);

  /** The paths of a batch as u16 length and bytes each. */
  static native int names(long batch, int length, byte[] into);

  static native ByteBuffer view(long address, int size);
}
