package dev.vrift.wire;

import dev.vrift.platform.Processes;

/** A client of a {@link UnixServer}. Lives on one thread, which is the only one to read or write it. */
public final class Connection {
  private final FrameChannel channel;
  private final long number;
  private Object attachment;
  private volatile boolean kept;
  private volatile boolean working;
  private volatile long since = Processes.monotonicMs();

  Connection(FrameChannel channel, long number) {
    this.channel = channel;
    this.number = number;
  }

  /** The client's pid by SO_PEERCRED. */
  public int pid() {
    return channel.peerPid();
  }

  /** Unique in this server's life. */
  public long number() {
    return number;
  }

  /** Whatever the handler keeps per connection (a session), or null. */
  public Object attachment() {
    return attachment;
  }

  public void attach(Object value) {
    attachment = value;
  }

  /** The descriptor that came with the request, which is the caller's now; -1: none, or this server takes none. */
  public int takePassed() {
    return channel.takePassed();
  }

  /** From now on this connection is never closed to make room for others: its end means something. */
  public void keep() {
    kept = true;
  }

  /** Since when (ms) it has been waiting for a request of the client; {@link Long#MAX_VALUE} when it may not be closed. */
  long idleSince() {
    return kept || working ? Long.MAX_VALUE : since;
  }

  void working(boolean now) {
    since = Processes.monotonicMs();
    working = now;
  }

  FrameChannel channel() {
    return channel;
  }
}
