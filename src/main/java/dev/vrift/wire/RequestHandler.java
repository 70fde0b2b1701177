package dev.vrift.wire;

/** A daemon's side of the conversation. Called on the connection's own thread; different connections call at the same time. */
public interface RequestHandler {
  /** Answers one request. An exception is answered with ERROR and the connection goes on. */
  Answer handle(Connection connection, Frame request) throws WireException;

  /** The connection has ended, for whatever reason. Called once. */
  default void closed(Connection connection) {}
}
