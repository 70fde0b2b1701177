package dev.vrift.wire;

import dev.vrift.layout.Opcode;
import dev.vrift.layout.WireLayout;
import dev.vrift.platform.Processes;
import dev.vrift.platform.Sockets;
import java.lang.invoke.MethodHandles;
import java.lang.invoke.VarHandle;
import java.nio.ByteOrder;

/**
 * Frames over a connected socket, which it owns. One reader thread and one writer thread at a time. The peer's uid was checked before the
 * first byte is read ({@link #checkPeer}).
 */
public final class FrameChannel {
  /** Longest payload of a request: the connections of a daemon together need a few MiB for them, whoever fills them. */
  public static final int REQUEST_MAX = 64 * 1024;

  /** A frame must be complete this many ms after its first byte. */
  public static final int FRAME_TIMEOUT_MS = 5000;

  private static final int HEADER = WireLayout.FRAME.size();
  private static final int AT_PROTOCOL = WireLayout.FRAME.at("protocol");
  private static final int AT_OPCODE = WireLayout.FRAME.at("opcode");
  private static final int AT_LENGTH = WireLayout.FRAME.at("length");
  private static final int AT_REQUEST = WireLayout.FRAME.at("request");
  private static final VarHandle INT = MethodHandles.byteArrayViewVarHandle(int[].class, ByteOrder.LITTLE_ENDIAN);
  private static final VarHandle SHORT = MethodHandles.byteArrayViewVarHandle(short[].class, ByteOrder.LITTLE_ENDIAN);

  private final int fd;
  private int peerPid;
  private boolean closed;
  /** Of the reader; null: what the peer passes is dropped. */
  private int[] passed;

  public FrameChannel(int fd) {
    this.fd = fd;
  }

  /** From now on a descriptor that comes with a frame is kept for {@link #takePassed}. */
  public void acceptPassed() {
    passed = new int[] {-1};
  }

  /** The descriptor that came with the frame read last, which is the caller's now; -1: none. */
  public int takePassed() {
    int fd = passed == null ? -1 : passed[0];
    if (fd >= 0) {
      passed[0] = -1;
    }
    return fd;
  }

  /** Refuses a peer of another user (FOREIGN). */
  public void checkPeer() throws WireException {
    int[] pidUid = new int[2];
    int r = Sockets.peer(fd, pidUid);
    if (r < 0) {
      throw system("peer credentials", r);
    }
    if (pidUid[1] != Processes.uid()) {
      throw new WireException(WireException.Kind.FOREIGN, "the peer belongs to user ".concat(Integer.toString(pidUid[1])));
    }
    peerPid = pidUid[0];
  }

  /** The peer's pid as of connect or listen; 0 before {@link #checkPeer} or from another pid namespace. */
  public int peerPid() {
    return peerPid;
  }

  /** The descriptor, for waiting; it stays ours. */
  public int fd() {
    return fd;
  }

  /**
   * Reads one frame. Waits {@code firstByteMs} (-1: for ever) for its first byte, then {@link #FRAME_TIMEOUT_MS} for the rest. The length is
   * checked before anything is allocated.
   */
  public Frame read(int firstByteMs) throws WireException {
    return read(firstByteMs, WireLayout.PAYLOAD_MAX);
  }

  /** The same for payloads of at most {@code max} bytes. */
  Frame read(int firstByteMs, int max) throws WireException {
    byte[] header = new byte[HEADER];
    int got = Sockets.read(fd, header, 0, HEADER, firstByteMs, passed);
    if (got == 0) {
      throw new WireException(WireException.Kind.CLOSED, "the peer closed the connection");
    }
    if (got < 0) {
      throw system("reading a frame", got);
    }
    long deadline = Processes.monotonicMs() + FRAME_TIMEOUT_MS;
    fill(header, got, deadline);
    int length = (int) INT.get(header, AT_LENGTH);
    if ((int) INT.get(header, 0) != WireLayout.MAGIC
        || ((short) SHORT.get(header, AT_PROTOCOL) & 0xFFFF) != WireLayout.PROTOCOL
        || length < 0
        || length > max) {
      throw new WireException(WireException.Kind.MALFORMED, "not a frame of this protocol version");
    }
    byte[] payload = new byte[length];
    fill(payload, 0, deadline);
    return new Frame((short) SHORT.get(header, AT_OPCODE) & 0xFFFF, (int) INT.get(header, AT_REQUEST), payload);
  }

  private void fill(byte[] buffer, int from, long deadline) throws WireException {
    int at = from;
    while (at < buffer.length) {
      long left = deadline - Processes.monotonicMs();
      int n = left <= 0 ? -Sockets.ETIMEDOUT : Sockets.read(fd, buffer, at, buffer.length - at, (int) left, passed);
      if (n == 0) {
        throw new WireException(WireException.Kind.MALFORMED, "the connection ended inside a frame");
      }
      if (n < 0) {
        throw system("reading a frame", n);
      }
      at += n;
    }
  }

  /** Writes one frame within {@link #FRAME_TIMEOUT_MS}. */
  public void write(Opcode opcode, int request, byte[] payload) throws WireException {
    write(opcode, request, payload, -1);
  }

  /** The same with a duplicate of the descriptor {@code passing}, unless that is -1. */
  public void write(Opcode opcode, int request, byte[] payload, int passing) throws WireException {
    if (payload.length > WireLayout.PAYLOAD_MAX) {
      throw new WireException(WireException.Kind.MALFORMED, "the message is longer than 1 MiB");
    }
    byte[] out = new byte[HEADER + payload.length];
    INT.set(out, 0, WireLayout.MAGIC);
    SHORT.set(out, AT_PROTOCOL, (short) WireLayout.PROTOCOL);
    SHORT.set(out, AT_OPCODE, (short) opcode.code());
    INT.set(out, AT_LENGTH, payload.length);
    INT.set(out, AT_REQUEST, request);
    System.arraycopy(payload, 0, out, HEADER, payload.length);
    int r = Sockets.write(fd, out, 0, out.length, FRAME_TIMEOUT_MS, passing);
    if (r < 0) {
      throw system("writing a frame", r);
    }
  }

  /** Wakes a thread that is blocked in {@link #read}; the descriptor stays open until {@link #close}. */
  public synchronized void shutdown() {
    if (!closed) {
      Sockets.shutdown(fd);
    }
  }

  /** Idempotent. To be called by the thread that reads, so that no number is reused under a read. */
  public synchronized void close() {
    if (!closed) {
      closed = true;
      int left = takePassed();
      if (left >= 0) {
        Sockets.close(left);
      }
      Sockets.close(fd);
    }
  }

  static WireException system(String what, int errno) {
    WireException.Kind kind =
        errno == -Sockets.ETIMEDOUT
            ? WireException.Kind.TIMEOUT
            : errno == -Sockets.ENOENT || errno == -Sockets.ECONNREFUSED
                ? WireException.Kind.ABSENT
                : errno == -Sockets.EPIPE || errno == -Sockets.ECONNRESET ? WireException.Kind.CLOSED : WireException.Kind.SYSTEM;
    return new WireException(kind, what.concat(": ").concat(Sockets.message(errno)));
  }
}
