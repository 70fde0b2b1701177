package dev.vrift.coordinator;

import dev.vrift.layout.Opcode;
import dev.vrift.platform.Hash;
import dev.vrift.platform.Processes;
import dev.vrift.wire.Fields;
import dev.vrift.wire.FrameChannel;
import dev.vrift.wire.WireException;

/**
 * A descriptor of the watch queue of one project's daemon, kept so that the queue outlives that daemon: its successor reads on where it died
 * (docs/ADOPTION.md). Never read here. Thread-safe; owns the descriptor.
 */
final class KeptWatch {
  private int fd = -1;
  private long number;

  /** From now on this one, which is ours then. False, and it is closed: it is no watch queue. */
  synchronized boolean keep(int queue, long itsNumber) {
    if (!Processes.isInotify(queue)) {
      Processes.close(queue);
      return false;
    }
    drop();
    fd = queue;
    number = itsNumber;
    return true;
  }

  synchronized void drop() {
    if (fd >= 0) {
      Processes.close(fd);
    }
    fd = -1;
  }

  /** Sends a daemon its order, with the queue if there is one. */
  synchronized void order(int control, Fields order) throws WireException {
    if (fd >= 0) {
      order.put("watch", Hash.hex(number));
    }
    new FrameChannel(control).write(Opcode.OPEN, 0, order.encode(), fd);
  }
}
