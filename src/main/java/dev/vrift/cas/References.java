package dev.vrift.cas;

import dev.vrift.platform.FileCalls;
import dev.vrift.platform.Trouble;
import java.io.BufferedInputStream;
import java.io.BufferedOutputStream;
import java.io.DataInputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.Channels;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.security.DigestOutputStream;
import java.security.MessageDigest;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.regex.Pattern;

/**
 * What each project keeps in the store: {@code refs/<project id>}, replaced whole by rename. Format, little-endian: "VRREFS02", the root's length
 * (u32) and bytes, then per stored file 32 bytes of digest, 8 of size, 2 of path length and the path (relative to the root; a content that several files
 * have stands there as often), then the SHA-256 of everything before. A file that does not check tells nothing.
 */
final class References {
  private static final byte[] MAGIC = {'V', 'R', 'R', 'E', 'F', 'S', '0', '2'};
  private static final int HEAD = MAGIC.length + Integer.BYTES;
  private static final int FIXED = Digest.BYTES + Long.BYTES + Short.BYTES;
  private static final int PATH_MAX = 4096;
  private static final Pattern ID = Pattern.compile("[0-9a-f]{16}");

  private References() {}

  /** What reading one file came to. */
  enum State { GOOD, ABSENT, DAMAGED }

  /** One record. The arrays are the visitor's to keep. */
  interface Visitor {
    void visit(byte[] digest, long size, byte[] path);
  }

  static Path file(ContentStore store, String projectId) {
    return store.references().resolve(projectId);
  }

  static boolean isId(String name) {
    return ID.matcher(name).matches();
  }

  /** Replaces a project's references by what its index says now. On failure the file is as before. */
  static void write(ContentStore store, String projectId, byte[] root, ContentIndex index) throws CasException {
    if (!isId(projectId)) {
      throw new CasException("not a project id: " + projectId, 0);
    }
    Path temporary = store.newTemporary();
    MessageDigest running = Digest.start();
    try {
      try (OutputStream out = new BufferedOutputStream(new DigestOutputStream(Files.newOutputStream(temporary, StandardOpenOption.CREATE_NEW), running))) {
        out.write(ByteBuffer.allocate(HEAD).order(ByteOrder.LITTLE_ENDIAN).put(MAGIC).putInt(root.length).array());
        out.write(root);
        writeRecords(out, index);
      }
      Files.write(temporary, Digest.finish(running).bytes(), StandardOpenOption.APPEND);
      int rc = FileCalls.rename(ContentStore.bytes(temporary), ContentStore.bytes(file(store, projectId)));
      if (rc != 0) {
        throw new CasException("writing the references of " + projectId, rc);
      }
    } catch (IOException e) {
      throw new CasException("writing the references of " + projectId + " (" + Trouble.of(e) + ")", 0);
    } finally {
      FileCalls.unlink(ContentStore.bytes(temporary));
    }
  }

  private static void writeRecords(OutputStream out, ContentIndex index) throws IOException {
    ByteBuffer fixed = ByteBuffer.allocate(FIXED).order(ByteOrder.LITTLE_ENDIAN);
    IOException[] failed = new IOException[1];
    index.forEach(
        (path, stat, known) -> {
          if (!known.stored() || failed[0] != null || path.length >= PATH_MAX) {
            return;
          }
          try {
            fixed.clear().put(known.digest().bytes()).putLong(stat.size()).putShort((short) path.length);
            out.write(fixed.array());
            out.write(path);
          } catch (IOException e) {
            failed[0] = e;
          }
        });
    if (failed[0] != null) {
      throw failed[0];
    }
  }

  /** Forgets a project. */
  static void remove(ContentStore store, String projectId) {
    if (isId(projectId)) {
      FileCalls.unlink(ContentStore.bytes(file(store, projectId)));
    }
  }

  /** The ids of all projects that have a file here, good or not. */
  static List<String> projects(ContentStore store) {
    return ContentStore.names(store.references()).stream().filter(References::isId).sorted().toList();
  }

  /** The files that check. */
  static List<Path> good(ContentStore store) throws IOException {
    List<Path> out = new ArrayList<>();
    for (String id : projects(store)) {
      if (read(file(store, id), null) == State.GOOD) {
        out.add(file(store, id));
      }
    }
    return out;
  }

  /** Checks all of a file, then visits every record of that same file. Visitor null: only checks. Throws when reading fails. */
  static State read(Path file, Visitor visitor) throws IOException {
    try (FileChannel channel = FileChannel.open(file, StandardOpenOption.READ, LinkOption.NOFOLLOW_LINKS)) {
      long end = channel.size() - Digest.BYTES;
      if (end < HEAD || !checks(channel, end)) {
        return State.DAMAGED;
      }
      if (visitor != null) {
        visitAll(channel.position(0), end, visitor);
      }
      return State.GOOD;
    } catch (NoSuchFileException e) {
      return State.ABSENT;
    }
  }

  /** The root written in a file that was found good, or null. */
  static byte[] root(Path file) throws IOException {
    try (DataInputStream in = new DataInputStream(Files.newInputStream(file, LinkOption.NOFOLLOW_LINKS))) {
      byte[] head = in.readNBytes(HEAD);
      int length = head.length < HEAD ? -1 : ByteBuffer.wrap(head).order(ByteOrder.LITTLE_ENDIAN).getInt(MAGIC.length);
      return length <= 0 || length >= PATH_MAX ? null : in.readNBytes(length);
    }
  }

  private static void visitAll(FileChannel channel, long end, Visitor visitor) throws IOException {
    DataInputStream in = new DataInputStream(new BufferedInputStream(Channels.newInputStream(channel), FileCalls.PIECE));
    byte[] head = new byte[HEAD];
    in.readFully(head);
    int root = ByteBuffer.wrap(head).order(ByteOrder.LITTLE_ENDIAN).getInt(MAGIC.length);
    in.skipNBytes(root);
    byte[] fixed = new byte[FIXED];
    ByteBuffer b = ByteBuffer.wrap(fixed).order(ByteOrder.LITTLE_ENDIAN);
    for (long at = HEAD + (long) root; at < end; ) {
      in.readFully(fixed);
      byte[] path = new byte[b.getShort(Digest.BYTES + Long.BYTES) & 0xFFFF];
      in.readFully(path);
      visitor.visit(Arrays.copyOf(fixed, Digest.BYTES), b.getLong(Digest.BYTES), path);
      at += FIXED + path.length;
    }
  }

  private static boolean checks(FileChannel channel, long end) throws IOException {
    DataInputStream in = new DataInputStream(Channels.newInputStream(channel));
    MessageDigest running = Digest.start();
    byte[] piece = new byte[FileCalls.PIECE];
    boolean first = true;
    for (long left = end; left > 0; first = false) {
      int n = (int) Math.min(piece.length, left);
      in.readFully(piece, 0, n);
      running.update(piece, 0, n);
      if (first && !Arrays.equals(piece, 0, MAGIC.length, MAGIC, 0, MAGIC.length)) {
        return false;
      }
      left -= n;
    }
    return Arrays.equals(Digest.finish(running).bytes(), in.readNBytes(Digest.BYTES));
  }
}
