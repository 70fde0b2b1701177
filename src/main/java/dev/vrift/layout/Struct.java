package dev.vrift.layout;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * One fixed-layout structure shared between C and Java. Fields are little-endian, naturally aligned, and laid out in
 * declaration order; implicit padding is refused, so every byte of a structure has a name. Immutable once built.
 */
public final class Struct {
  /** A field: {@code count} elements of {@code width} bytes at {@code offset} from the start of the structure. */
  public record Field(String name, int offset, int width, int count, String comment) {
    public int size() {
      return width * count;
    }
  }

  private final String name;
  private final int size;
  private final Map<String, Field> fields;

  private Struct(String name, int size, Map<String, Field> fields) {
    this.name = name;
    this.size = size;
    this.fields = fields;
  }

  public String name() {
    return name;
  }

  /** Size in bytes. */
  public int size() {
    return size;
  }

  public List<Field> fields() {
    return List.copyOf(fields.values());
  }

  /** Offset in bytes of a field. Throws {@link IllegalArgumentException} for an unknown name. */
  public int at(String field) {
    Field f = fields.get(field);
    if (f == null) {
      throw new IllegalArgumentException("no field " + field + " in " + name);
    }
    return f.offset();
  }

  static Builder builder(String name) {
    return new Builder(name);
  }

  static final class Builder {
    private final String name;
    private final Map<String, Field> fields = new LinkedHashMap<>();
    private int offset;

    private Builder(String name) {
      this.name = name;
    }

    Builder u64(String field, String comment) {
      return add(field, 8, 1, comment);
    }

    Builder u32(String field, String comment) {
      return add(field, 4, 1, comment);
    }

    Builder u16(String field, String comment) {
      return add(field, 2, 1, comment);
    }

    Builder bytes(String field, int count, String comment) {
      return add(field, 1, count, comment);
    }

    Builder array(String field, int width, int count, String comment) {
      return add(field, width, count, comment);
    }

    /** Names the bytes up to {@code end}, which writers zero. */
    Builder padTo(int end) {
      if (end < offset) {
        throw new IllegalStateException(name + ": already at " + offset + ", cannot pad to " + end);
      }
      return end == offset ? this : add("reserved" + offset, 1, end - offset, "zero");
    }

    private Builder add(String field, int width, int count, String comment) {
      if (offset % width != 0) {
        throw new IllegalStateException(name + "." + field + ": offset " + offset + " not aligned to " + width);
      }
      if (fields.put(field, new Field(field, offset, width, count, comment)) != null) {
        throw new IllegalStateException(name + "." + field + " defined twice");
      }
      offset += width * count;
      return this;
    }

    Struct build(int expectedSize) {
      if (offset != expectedSize) {
        throw new IllegalStateException(name + ": " + offset + " bytes, expected " + expectedSize);
      }
      if (offset % 8 != 0) {
        throw new IllegalStateException(name + ": size " + offset + " not a multiple of 8");
      }
      return new Struct(name, offset, fields);
    }
  }
}
