package dev.vrift.layout;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Locale;

/** Writes {@code native/include/vrift_layout.h}, the C view of the layouts. The result is committed; a test compares. */
public final class HeaderGenerator {
  private HeaderGenerator() {}

  static final List<Struct> STRUCTS =
      List.of(
          VDirLayout.HEADER,
          VDirLayout.DYN,
          VDirLayout.BUCKET,
          VDirLayout.ENTRY,
          VDirLayout.PROGRAM,
          BoardLayout.HEADER,
          BoardLayout.DYN,
          BoardLayout.RECORD,
          BoardLayout.STAGED_RECORD,
          WireLayout.FRAME,
          MetaLayout.RECORD);

  /** Usage: HeaderGenerator FILE. */
  public static void main(String[] args) throws IOException {
    Files.writeString(Path.of(args[0]), generate());
  }

  /** The text of the header. */
  public static String generate() {
    StringBuilder out = new StringBuilder();
    out.append("/* Generated from dev.vrift.layout by `make layout`. Do not edit. */\n");
    out.append("#ifndef VRIFT_LAYOUT_H\n#define VRIFT_LAYOUT_H\n#include <stddef.h>\n#include <stdint.h>\n\n");
    constants(VDirLayout.class, "VR_", out);
    constants(BoardLayout.class, "VR_BOARD_", out);
    constants(WireLayout.class, "VR_WIRE_", out);
    constants(MetaLayout.class, "VR_META_", out);
    for (StatReason r : StatReason.values()) {
      out.append("#define VR_STAT_").append(r).append(' ').append(r.ordinal()).append('\n');
    }
    out.append("#define VR_STAT_COUNT ").append(StatReason.values().length).append("\n");
    for (Opcode o : Opcode.values()) {
      out.append("#define VR_OP_").append(o).append(' ').append(o.code()).append('\n');
    }
    out.append('\n');
    for (Struct s : STRUCTS) {
      struct(s, out);
    }
    return out.append("#endif\n").toString();
  }

  private static void constants(Class<?> owner, String prefix, StringBuilder out) {
    for (var f : owner.getDeclaredFields()) {
      try {
        if (f.getType() == int.class) {
          out.append(String.format(Locale.ROOT, "#define %s%s 0x%xu%n", prefix, f.getName(), f.getInt(null)));
        } else if (f.getType() == long.class) {
          out.append(String.format(Locale.ROOT, "#define %s%s 0x%xull%n", prefix, f.getName(), f.getLong(null)));
        }
      } catch (IllegalAccessException e) {
        throw new IllegalStateException(e);
      }
    }
  }

  private static void struct(Struct s, StringBuilder out) {
    out.append("struct ").append(s.name()).append(" {\n");
    for (Struct.Field f : s.fields()) {
      String type = f.width() == 1 ? "uint8_t" : "uint" + f.width() * 8 + "_t";
      out.append("  ").append(type).append(' ').append(f.name());
      if (f.count() > 1) {
        out.append('[').append(f.count()).append(']');
      }
      out.append(';').append(f.comment().isEmpty() ? "" : " /* " + f.comment().replace("*/", "* /") + " */").append('\n');
    }
    out.append("};\n");
    for (Struct.Field f : s.fields()) {
      String name = "struct " + s.name();
      out.append(
          String.format(
              Locale.ROOT, "_Static_assert(offsetof(%s, %s) == %d, \"%s\");%n", name, f.name(), f.offset(), f.name()));
      out.append(
          String.format(
              Locale.ROOT, "_Static_assert(sizeof(((%s *)0)->%s) == %d, \"%s\");%n", name, f.name(), f.size(), f.name()));
    }
    out.append(
        String.format(Locale.ROOT, "_Static_assert(sizeof(struct %s) == %d, \"%s\");%n%n", s.name(), s.size(), s.name()));
  }
}
