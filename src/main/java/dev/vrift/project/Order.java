package dev.vrift.project;

import dev.vrift.layout.Opcode;
import dev.vrift.platform.Log;
import dev.vrift.platform.Processes;
import dev.vrift.platform.RunPaths;
import dev.vrift.platform.Sockets;
import dev.vrift.wire.Fields;
import dev.vrift.wire.Frame;
import dev.vrift.wire.FrameChannel;
import dev.vrift.wire.WireException;
import java.nio.charset.StandardCharsets;

/** Which project a daemon is to serve, and the watch queue of the one that did before (-1: none), as vriftd says on the control socket. Immutable. */
record Order(String root, int watch, long watchId) {
  private static final int NOW = 0;
  private static final int HEX = 16;

  /** What a daemon that was started by hand has. */
  static Order of(String root) {
    return new Order(root, -1, 0);
  }

  /**
   * Waits for the order; {@code warmth} is made while there is none. Our command line, where {@code named} stands for the root, and our log are then those of
   * the project. Null: vriftd has ended, and so do we. Throws {@link WireException} for what is no order.
   */
  static Order take(int control, String named, Runnable warmth) throws WireException {
    if (Processes.poll(new int[] {control}, NOW) == 0) {
      warmth.run();
    }
    FrameChannel channel = new FrameChannel(control);
    channel.acceptPassed();
    Frame frame;
    try {
      frame = channel.read(-1);
    } catch (WireException e) {
      if (e.kind() == WireException.Kind.CLOSED) {
        return null;
      }
      throw e;
    }
    int watch = channel.takePassed();
    if (frame.opcode() != Opcode.OPEN.code()) {
      throw new WireException(WireException.Kind.MALFORMED, "the first message is no order");
    }
    Fields fields = frame.fields();
    String root = new String(fields.required("root"), StandardCharsets.UTF_8);
    if (!root.equals(named)) {
      belongTo(root, named, fields.required("log"));
    }
    String id = fields.text("watch");
    if (watch < 0 || id == null || id.length() != HEX) {
      Processes.close(watch);
      return of(root);
    }
    try {
      return new Order(root, watch, Long.parseUnsignedLong(id, HEX));
    } catch (NumberFormatException e) {
      throw new WireException(WireException.Kind.MALFORMED, "the number of the watch queue is none");
    }
  }

  /** The command line is how others know whose daemon we are: without it nobody could tell, so it must not fail. */
  private static void belongTo(String root, String named, byte[] log) throws WireException {
    int r = Processes.renameArgument(RunPaths.bytes(named), RunPaths.bytes(root));
    if (r < 0) {
      throw new WireException(WireException.Kind.SYSTEM, "our command line cannot name the project: ".concat(Sockets.message(r)));
    }
    r = Processes.logTo(log);
    if (r < 0) {
      Log.warn("the project's log cannot be opened: ".concat(Sockets.message(r)));
    }
  }
}
