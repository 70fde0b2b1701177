package dev.vrift.platform.elf;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.TreeSet;

/**
 * What the classifier needs of a 64-bit little-endian x86 ELF file: code ranges, needed libraries, search paths. Every offset and
 * count of the file is checked before use; a malformed file is an {@link IOException}. Reads with read(), never mmap, so that
 * a truncation under our feet is an error and not a signal. Not thread-safe; close it.
 */
public final class ElfFile implements AutoCloseable {
  private static final int PT_LOAD = 1;
  private static final int PT_DYNAMIC = 2;
  private static final int PT_INTERP = 3;
  private static final int MAX_HEADERS = 4096;
  private static final int MAX_DYNAMIC = 1 << 20;

  /** A range of bytes in the file. */
  public record Range(long offset, long size) {}

  private record Segment(int type, int flags, long offset, long vaddr, long filesz) {}

  private final FileChannel channel;
  private final long length;
  private final List<Segment> segments = new ArrayList<>();
  private static final int SHT_SYMTAB = 2;
  private static final int SHN_LORESERVE = 0xff00;
  private static final int STT_OBJECT = 1;
  private static final int STT_FUNC = 2;
  private static final int SYMBOL_SIZE = 24;
  private static final long MAX_SYMBOLS = 64L << 20;
  private final List<Range> code = new ArrayList<>();
  private Range symbols;
  private final List<String> needed = new ArrayList<>();
  private final List<String> searchPaths = new ArrayList<>();

  public ElfFile(Path path) throws IOException {
    channel = FileChannel.open(path, StandardOpenOption.READ);
    try {
      length = channel.size();
      ByteBuffer h = read(0, 64);
      if (h.getInt(0) != 0x464c457f || h.get(4) != 2 || h.get(5) != 1 || h.getShort(18) != 62) {
        throw new IOException(path + " is not an x86-64 ELF file");
      }
      readSegments(h.getLong(32), h.getShort(54) & 0xffff, h.getShort(56) & 0xffff);
      readSections(h.getLong(40), h.getShort(58) & 0xffff, h.getShort(60) & 0xffff);
      if (code.isEmpty()) {
        for (Segment s : segments) {
          if (s.type() == PT_LOAD && (s.flags() & 1) != 0) {
            code.add(new Range(s.offset(), s.filesz()));
          }
        }
      }
      leaveOutData();
      readDynamic();
    } catch (IOException | RuntimeException e) {
      channel.close();
      throw e instanceof IOException io ? io : new IOException(path + " is malformed", e);
    }
  }

  /** Executable sections, or executable segments where there is no section table; without what the symbol table calls data. */
  public List<Range> code() {
    return List.copyOf(code);
  }

  /** DT_NEEDED, in order. */
  public List<String> needed() {
    return List.copyOf(needed);
  }

  /** DT_RPATH and DT_RUNPATH, split at colons, with $ORIGIN not yet replaced. */
  public List<String> searchPaths() {
    return List.copyOf(searchPaths);
  }

  /** Whether the kernel starts it through a loader. */
  public boolean hasInterpreter() {
    return segments.stream().anyMatch(s -> s.type() == PT_INTERP);
  }

  /** Reads at most {@code into.length} bytes at {@code offset}; returns how many. */
  public int readAt(long offset, byte[] into, int count) throws IOException {
    ByteBuffer b = ByteBuffer.wrap(into, 0, count);
    int got = 0;
    while (b.hasRemaining()) {
      int n = channel.read(b, offset + got);
      if (n <= 0) {
        break;
      }
      got += n;
    }
    return got;
  }

  @Override
  public void close() throws IOException {
    channel.close();
  }

  private ByteBuffer read(long offset, long size) throws IOException {
    if (offset < 0 || size < 0 || size > Integer.MAX_VALUE - 16 || offset > length - size) {
      throw new IOException("truncated ELF file");
    }
    byte[] bytes = new byte[(int) size];
    if (readAt(offset, bytes, bytes.length) != bytes.length) {
      throw new IOException("truncated ELF file");
    }
    return ByteBuffer.wrap(bytes).order(ByteOrder.LITTLE_ENDIAN);
  }

  private void readSegments(long offset, int entrySize, int count) throws IOException {
    if (entrySize != 56 || count > MAX_HEADERS) {
      throw new IOException("bad program headers");
    }
    ByteBuffer t = read(offset, (long) count * entrySize);
    for (int i = 0; i < count; i++) {
      int p = i * entrySize;
      segments.add(new Segment(t.getInt(p), t.getInt(p + 4), t.getLong(p + 8), t.getLong(p + 16), t.getLong(p + 32)));
    }
  }

  private void readSections(long offset, int entrySize, int count) throws IOException {
    if (offset == 0 || count == 0) {
      return;
    }
    if (entrySize != 64 || count > MAX_HEADERS) {
      throw new IOException("bad section headers");
    }
    ByteBuffer t = read(offset, (long) count * entrySize);
    for (int i = 0; i < count; i++) {
      int p = i * entrySize;
      boolean executable = (t.getLong(p + 8) & 4) != 0;
      boolean inFile = t.getInt(p + 4) != 8;
      if (executable && inFile) {
        code.add(new Range(t.getLong(p + 24), t.getLong(p + 32)));
      }
      if (t.getInt(p + 4) == SHT_SYMTAB && t.getLong(p + 56) == SYMBOL_SIZE && t.getLong(p + 32) <= MAX_SYMBOLS) {
        symbols = new Range(t.getLong(p + 24), t.getLong(p + 32));
      }
    }
  }

  /** Tables that stand among code, as assembler sources have them, where the symbol table says so and no function begins in them. */
  private void leaveOutData() throws IOException {
    if (symbols == null) {
      return;
    }
    ByteBuffer t = read(symbols.offset(), symbols.size());
    TreeMap<Long, Long> data = new TreeMap<>();
    TreeSet<Long> functions = new TreeSet<>();
    for (int p = 0; p + SYMBOL_SIZE <= t.limit(); p += SYMBOL_SIZE) {
      int type = t.get(p + 4) & 15;
      int section = t.getShort(p + 6) & 0xffff;
      long at = t.getLong(p + 8);
      long size = t.getLong(p + 16);
      if (section == 0 || section >= SHN_LORESERVE) {
        continue;
      } else if (type == STT_OBJECT && size > 0) {
        data.merge(at, size, Math::min);
      } else if (type == STT_FUNC) {
        functions.add(at);
      }
    }
    for (Map.Entry<Long, Long> d : data.entrySet()) {
      Long next = functions.ceiling(d.getKey());
      if (next == null || next - d.getKey() >= d.getValue()) {
        cutOut(d.getKey(), d.getValue());
      }
    }
  }

  private void cutOut(long vaddr, long size) {
    for (Segment s : segments) {
      if (s.type() != PT_LOAD || (s.flags() & 1) == 0 || vaddr < s.vaddr() || size > s.filesz() || vaddr - s.vaddr() > s.filesz() - size) {
        continue;
      }
      long from = vaddr - s.vaddr() + s.offset();
      for (int i = 0; i < code.size(); i++) {
        Range r = code.get(i);
        if (from >= r.offset() && from + size <= r.offset() + r.size()) {
          code.set(i, new Range(r.offset(), from - r.offset()));
          code.add(i + 1, new Range(from + size, r.offset() + r.size() - from - size));
          return;
        }
      }
    }
  }

  private void readDynamic() throws IOException {
    for (Segment s : segments) {
      if (s.type() != PT_DYNAMIC || s.filesz() > MAX_DYNAMIC) {
        continue;
      }
      ByteBuffer d = read(s.offset(), s.filesz());
      long stringsAt = -1;
      long stringsSize = 0;
      List<long[]> wanted = new ArrayList<>();
      for (int p = 0; p + 16 <= d.limit(); p += 16) {
        long tag = d.getLong(p);
        long value = d.getLong(p + 8);
        if (tag == 0) {
          break;
        } else if (tag == 5) {
          stringsAt = fileOffset(value);
        } else if (tag == 10) {
          stringsSize = value;
        } else if (tag == 1 || tag == 15 || tag == 29) {
          wanted.add(new long[] {tag, value});
        }
      }
      if (wanted.isEmpty() || stringsAt < 0) {
        return;
      }
      byte[] strings = read(stringsAt, stringsSize).array();
      for (long[] w : wanted) {
        String text = string(strings, w[1]);
        if (w[0] == 1) {
          needed.add(text);
        } else {
          searchPaths.addAll(List.of(text.split(":")));
        }
      }
    }
  }

  private long fileOffset(long vaddr) throws IOException {
    for (Segment s : segments) {
      if (s.type() == PT_LOAD && vaddr >= s.vaddr() && vaddr - s.vaddr() < s.filesz()) {
        return vaddr - s.vaddr() + s.offset();
      }
    }
    throw new IOException("dynamic strings outside the file");
  }

  private static String string(byte[] table, long at) throws IOException {
    if (at < 0 || at >= table.length) {
      throw new IOException("dynamic string outside its table");
    }
    int end = (int) at;
    while (end < table.length && table[end] != 0) {
      end++;
    }
    return new String(table, (int) at, end - (int) at, StandardCharsets.ISO_8859_1);
  }
}
