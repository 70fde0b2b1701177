package dev.vrift.meta;

import dev.vrift.layout.MetaLayout;
import dev.vrift.platform.FaultPoint;
import dev.vrift.platform.Trouble;
import java.io.File;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Comparator;
import java.util.List;

/**
 * {@link MetaStore} over LMDB in {@code $XDG_STATE_HOME/vrift/projects/<id>/lmdb}. The database is verified page by page before LMDB maps it;
 * anything wrong (a byte, the schema, another root, a predecessor that keeps the lock) moves the directory aside to {@code
 * lmdb.damaged-<n>} and starts an empty one. One monitor serialises all calls.
 */
public final class LmdbMetaStore implements MetaStore {
  /** How long an open waits for the predecessor's lock, in milliseconds. */
  static final int LOCK_WAIT_MS = 1000;
  /** Set-aside directories kept for people who look into the damage. */
  static final int DAMAGED_KEPT = 3;
  static final long FIRST_MAP_SIZE = 16L << 20;
  static final int LOAD_BUFFER = 1 << 20;
  private static final String DAMAGED_PREFIX = ".damaged-";
  private static final String KEY_SCHEMA = "schema";
  private static final String KEY_ROOT = "root";
  private static final String SCHEMA = "1";

  private final Path dir;
  private final Origin origin;
  private final String reason;
  private long handle;

  private LmdbMetaStore(Path dir, long handle, Origin origin, String reason) {
    this.dir = dir;
    this.handle = handle;
    this.origin = origin;
    this.reason = reason;
  }

  /**
   * Opens or creates the database of the project with the given root (bytes of the real path). Throws {@link MetaException} only when
   * neither the old nor a new database can be used; vrift then works without one, and starts from the tree each time.
   */
  public static LmdbMetaStore open(Path dir, byte[] root) throws MetaException {
    return open(dir, root, FIRST_MAP_SIZE);
  }

  static LmdbMetaStore open(Path dir, byte[] root, long mapSize) throws MetaException {
    String damage = null;
    for (int attempt = 0; ; attempt++) {
      long handle = 0;
      try {
        makePrivate(dir);
        handle = Lmdb.open(bytes(dir.toString()), bytes(library()), mapSize, LOCK_WAIT_MS);
        check(handle, handle == 0 ? Lmdb.IO : Lmdb.status(handle));
        Origin found = identify(handle, root);
        return new LmdbMetaStore(dir, handle, damage != null ? Origin.REPLACED : found, damage == null ? "" : damage);
      } catch (MetaException e) {
        boolean again = attempt == 0 && (e.kind() == MetaException.Kind.DAMAGED || e.kind() == MetaException.Kind.BUSY);
        if (again) {
          damage = e.getMessage();
          FaultPoint.META_DAMAGED.hit();
          setAside(dir); // before the lock is given up
        }
        if (handle != 0) {
          Lmdb.close(handle);
        }
        if (!again) {
          throw e;
        }
      }
    }
  }

  private static Origin identify(long handle, byte[] root) throws MetaException {
    byte[] schema = Lmdb.value(handle, bytes(KEY_SCHEMA));
    check(handle, Lmdb.status(handle));
    if (schema == null) {
      check(handle, Lmdb.put(handle, bytes(KEY_ROOT), root));
      check(handle, Lmdb.put(handle, bytes(KEY_SCHEMA), bytes(SCHEMA)));
      return Origin.FRESH;
    }
    if (!Arrays.equals(schema, bytes(SCHEMA))) {
      throw new MetaException(
          MetaException.Kind.DAMAGED, "the metadata have schema " + new String(schema, StandardCharsets.ISO_8859_1) + ", this vrift writes " + SCHEMA);
    }
    byte[] known = Lmdb.value(handle, bytes(KEY_ROOT));
    check(handle, Lmdb.status(handle));
    if (!Arrays.equals(known, root)) {
      throw new MetaException(MetaException.Kind.DAMAGED, "the metadata belong to another root");
    }
    return Origin.LOADED;
  }

  /** liblmdb.so: {@code -Dvrift.lmdb}, else beside libvrift_jni.so, else the system's. */
  private static String library() {
    String given = System.getProperty("vrift.lmdb");
    if (given != null) {
      return given;
    }
    byte[] here = Lmdb.here();
    if (here != null) {
      File beside = new File(new File(new String(here, StandardCharsets.UTF_8)).getParentFile(), "liblmdb.so");
      if (beside.isFile()) {
        return beside.getPath();
      }
    }
    return "liblmdb.so.0";
  }

  private static void makePrivate(Path dir) throws MetaException {
    try {
      Files.createDirectories(dir.getParent());
      if (!Files.exists(dir, LinkOption.NOFOLLOW_LINKS)) {
        Files.createDirectory(dir, PosixFilePermissions.asFileAttribute(PosixFilePermissions.fromString("rwx------")));
      }
      if (!Files.isDirectory(dir, LinkOption.NOFOLLOW_LINKS)) {
        throw new MetaException(MetaException.Kind.DAMAGED, dir + " is not a directory");
      }
    } catch (IOException e) {
      throw new MetaException(MetaException.Kind.IO, dir + " cannot be made: " + Trouble.of(e) + "; vrift works without it and reads the tree at each start");
    }
  }

  private static void setAside(Path dir) throws MetaException {
    try {
      List<Path> old = damaged(dir);
      while (old.size() >= DAMAGED_KEPT) {
        remove(old.removeFirst());
      }
      int next = old.isEmpty() ? 1 : number(old.getLast()) + 1;
      Files.move(dir, dir.resolveSibling(dir.getFileName() + DAMAGED_PREFIX + next), StandardCopyOption.ATOMIC_MOVE);
    } catch (IOException e) {
      throw new MetaException(MetaException.Kind.IO, dir + " cannot be set aside: " + e + "; remove it by hand");
    }
  }

  /** The set-aside directories, oldest first. */
  static List<Path> damaged(Path dir) throws IOException {
    List<Path> out = new ArrayList<>();
    try (var list = Files.newDirectoryStream(dir.getParent(), dir.getFileName() + DAMAGED_PREFIX + "*")) {
      list.forEach(out::add);
    }
    out.sort(Comparator.comparingInt(LmdbMetaStore::number));
    return out;
  }

  private static int number(Path p) {
    String name = p.getFileName().toString();
    try {
      return Integer.parseInt(name.substring(name.lastIndexOf('-') + 1));
    } catch (NumberFormatException e) {
      return 0;
    }
  }

  private static void remove(Path p) throws IOException {
    if (Files.isDirectory(p, LinkOption.NOFOLLOW_LINKS)) {
      try (var list = Files.newDirectoryStream(p)) {
        for (Path child : list) {
          remove(child);
        }
      }
    }
    Files.deleteIfExists(p);
  }

  private static byte[] bytes(String s) {
    return s.getBytes(StandardCharsets.UTF_8);
  }

  private static void check(long handle, int status) throws MetaException {
    if (status >= 0) {
      return;
    }
    MetaException.Kind kind =
        switch (status) {
          case Lmdb.DAMAGED -> MetaException.Kind.DAMAGED;
          case Lmdb.BUSY -> MetaException.Kind.BUSY;
          case Lmdb.FULL -> MetaException.Kind.FULL;
          case Lmdb.ABSENT -> MetaException.Kind.ABSENT;
          case Lmdb.ARGUMENT -> MetaException.Kind.ARGUMENT;
          default -> MetaException.Kind.IO;
        };
    String why = handle == 0 ? "no memory" : new String(Lmdb.why(handle), StandardCharsets.UTF_8);
    throw new MetaException(kind, why);
  }

  private long live() throws MetaException {
    if (handle == 0) {
      throw new MetaException(MetaException.Kind.IO, "the metadata store of " + dir + " is closed");
    }
    return handle;
  }

  @Override
  public Origin origin() {
    return origin;
  }

  @Override
  public String reason() {
    return reason;
  }

  @Override
  public synchronized void apply(long address, int length) throws MetaException {
    if (length > 0) {
      check(live(), Lmdb.apply(handle, address, length));
    }
  }

  @Override
  public int loadAll(BatchConsumer consumer) throws MetaException {
    byte[] position = new byte[Lmdb.POSITION_SIZE];
    int batches = 0;
    try (MetaBatch buffer = new MetaBatch(LOAD_BUFFER)) {
      while (true) {
        int n;
        synchronized (this) {
          n = Lmdb.load(live(), position, buffer.address(), buffer.capacity());
          check(handle, n);
        }
        if (n == 0) {
          return batches;
        }
        batches++;
        if (!consumer.accept(buffer.address(), n)) {
          return batches;
        }
      }
    }
  }

  @Override
  public synchronized boolean get(byte[] path, MetaBatch into) throws MetaException {
    int n = Lmdb.get(live(), path, into.address(), into.capacity());
    check(handle, n);
    into.setLength(n);
    return n > 0;
  }

  @Override
  public synchronized void putValue(String key, byte[] value) throws MetaException {
    check(live(), Lmdb.put(handle, bytes(key), value));
  }

  @Override
  public synchronized byte[] value(String key) throws MetaException {
    byte[] out = Lmdb.value(live(), bytes(key));
    check(handle, Lmdb.status(handle));
    return out;
  }

  @Override
  public synchronized void sync() throws MetaException {
    check(live(), Lmdb.sync(handle));
  }

  @Override
  public synchronized Info info() {
    long[] v = new long[6];
    if (handle != 0) {
      Lmdb.info(handle, v);
    }
    return new Info(v[0], v[1], v[2], v[3], v[5]);
  }

  @Override
  public synchronized void close() {
    if (handle != 0) {
      Lmdb.close(handle);
      handle = 0;
    }
  }

  static {
    assert MetaLayout.BATCH_MAX <= FIRST_MAP_SIZE;
  }
}
