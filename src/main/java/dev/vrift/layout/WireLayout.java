package dev.vrift.layout;

/** The frame of every message on a Unix stream socket: this header, then {@code length} bytes of payload. */
public final class WireLayout {
  private WireLayout() {}

  public static final int MAGIC = 0x314D5256; // "VRM1"
  public static final int PROTOCOL = 1;
  /** Largest payload in bytes; checked before anything is allocated. */
  public static final int PAYLOAD_MAX = 1 << 20;

  public static final Struct FRAME =
      Struct.builder("vr_frame")
          .u32("magic", "\"VRM1\"")
          .u16("protocol", "")
          .u16("opcode", "")
          .u32("length", "bytes of payload, at most PAYLOAD_MAX")
          .u32("request", "chosen by the asker, repeated in the answer")
          .build(16);
}
