package dev.vrift.wire;

/** A client of a {@link UnixServer}. Lives on one thread, which is the only one to read or write it. */
public final class Connection {
  private final FrameChannel channel;
  private final long number;
  private Object attachment;

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

  FrameChannel channel() {
    return channel;
  }
}
