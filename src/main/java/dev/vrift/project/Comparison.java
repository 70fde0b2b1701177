package dev.vrift.project;

import dev.vrift.vdir.Engine;
import dev.vrift.wire.Json;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;

/** {@code vrift verify}: every CLEAN entry against the tree, in steps between which the apply thread does its work. */
final class Comparison {
  private static final int STEP = 2_000;
  private static final int BUFFER = 64 * 1024;
  private static final int MAX_REPORTED = 1_000;

  private Comparison() {}

  static String of(ApplyLoop loop) {
    loop.awaitDrain(2_000);
    Json out = new Json().object().field("schema_version", ProjectHandler.SCHEMA_VERSION);
    int[] cursor = {0};
    long[] checked = {0};
    long found = 0;
    out.key("differences").array();
    while (cursor[0] != -1) {
      byte[] buffer = new byte[BUFFER];
      int n = (int) (Integer) loop.ask(engine -> Engine.compare(engine, cursor, STEP, buffer, checked));
      if (n < 0) {
        throw new IllegalStateException("comparing failed: errno " + -n);
      }
      ByteBuffer in = ByteBuffer.wrap(buffer, 0, n).order(ByteOrder.LITTLE_ENDIAN);
      while (in.remaining() >= 8) {
        int[] lengths = {in.getShort() & 0xffff, in.getShort() & 0xffff, in.getShort() & 0xffff, in.getShort() & 0xffff};
        String[] text = new String[4];
        for (int i = 0; i < 4; i++) {
          byte[] b = new byte[lengths[i]];
          in.get(b);
          text[i] = new String(b, StandardCharsets.UTF_8);
        }
        if (found++ < MAX_REPORTED) {
          out.object().field("path", text[0]).field("field", text[1]).field("memory", text[2]).field("kernel", text[3]).end();
        }
      }
    }
    return out.end().field("checked", checked[0]).field("found", found).end().toString();
  }
}
