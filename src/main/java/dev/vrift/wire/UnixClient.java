package dev.vrift.wire;

import dev.vrift.layout.Opcode;
import dev.vrift.platform.Sockets;

/** Asks a daemon. One request at a time; not thread-safe. Owns its socket. */
public final class UnixClient implements AutoCloseable {
  private static final byte[] EMPTY = {};
  private final FrameChannel channel;
  private int request;

  private UnixClient(FrameChannel channel) {
    this.channel = channel;
  }

  /** Connects within {@code timeoutMs} and checks that the daemon is ours. ABSENT when nobody listens. */
  public static UnixClient connect(byte[] path, int timeoutMs) throws WireException {
    int fd = Sockets.connect(path, timeoutMs);
    if (fd < 0) {
      throw FrameChannel.system("connecting", fd);
    }
    FrameChannel channel = new FrameChannel(fd);
    try {
      channel.checkPeer();
    } catch (WireException e) {
      channel.close();
      throw e;
    }
    return new UnixClient(channel);
  }

  /** The daemon's pid by SO_PEERCRED. */
  public int pid() {
    return channel.peerPid();
  }

  /** The descriptor, to wait for its end. */
  public int fd() {
    return channel.fd();
  }

  public Frame ask(Opcode opcode, int timeoutMs) throws WireException {
    return ask(opcode, EMPTY, timeoutMs, -1);
  }

  public Frame ask(Opcode opcode, Fields fields, int timeoutMs) throws WireException {
    return ask(opcode, fields.encode(), timeoutMs, -1);
  }

  /** The same with a duplicate of the descriptor {@code passing}, unless that is -1. */
  public Frame ask(Opcode opcode, Fields fields, int timeoutMs, int passing) throws WireException {
    return ask(opcode, fields.encode(), timeoutMs, passing);
  }

  /** Sends a request and waits for its answer. An ERROR answer is thrown (REFUSED) with the daemon's sentence. */
  private Frame ask(Opcode opcode, byte[] payload, int timeoutMs, int passing) throws WireException {
    int number = ++request;
    channel.write(opcode, number, payload, passing);
    Frame answer = channel.read(timeoutMs);
    if (answer.request() != number) {
      throw new WireException(WireException.Kind.MALFORMED, "an answer to another request");
    }
    if (answer.opcode() == Opcode.ERROR.code()) {
      String text = answer.fields().text("error");
      throw new WireException(WireException.Kind.REFUSED, text == null ? "refused without a reason" : text);
    }
    if (answer.opcode() != Opcode.OK.code()) {
      throw new WireException(WireException.Kind.MALFORMED, "the answer is neither OK nor ERROR");
    }
    return answer;
  }

  /** Wakes a thread blocked in {@link #ask}. */
  public void shutdown() {
    channel.shutdown();
  }

  @Override
  public void close() {
    channel.close();
  }
}
