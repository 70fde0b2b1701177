package dev.vrift.cas;

import dev.vrift.platform.FileCalls;
import dev.vrift.platform.FileStat;
import dev.vrift.platform.Trouble;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.security.MessageDigest;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.atomic.AtomicLong;

/**
 * The user's content store: {@code sha256/<2 hex>/<62 hex>}, directories 0700, blobs 0400, append-only. A blob is made in {@code tmp/}, hashed, and
 * published by a rename that replaces nothing; it is verified on every read; one that is not what its name says is moved to {@code
 * quarantine/} and comes back when the content is ingested again. No blob is ever a hard link of a file elsewhere. Any number of processes may use one store;
 * no lock is shared. Thread-safe. After a power cut a blob may be short or empty (blobs are not fsynced): the next read or ingest
 * finds out, which makes it a miss, never a wrong answer.
 */
public final class ContentStore {
  static final int BLOB_MODE = 0400;
  static final int TEMPORARY_MODE = 0600;
  /** A temporary not written to for this long is removed, whoever made it; milliseconds. */
  static final long TEMPORARY_MAX_AGE_MS = 3_600_000;
  /** The same when its maker is not to be seen: it may live in another pid namespace. */
  static final long TEMPORARY_DEAD_AGE_MS = 60_000;
  private static final int ELOOP = -40;
  private static final int EACCES = -13;
  private static final AtomicLong COUNTER = new AtomicLong();

  private final Path dir;
  private final Path blobs;

  private ContentStore(Path dir) {
    this.dir = dir;
    this.blobs = dir.resolve(Digest.ALGORITHM);
  }

  /** Opens or creates the store. Throws if a directory cannot be made or is not ours alone. */
  public static ContentStore open(Path dir) throws CasException {
    ContentStore store = new ContentStore(dir);
    try {
      Files.createDirectories(dir.getParent());
      for (Path p : List.of(dir, store.blobs, store.temporaries(), store.quarantined(), store.references(), store.trash())) {
        makePrivate(p);
      }
      Path tag = dir.resolve("CACHEDIR.TAG");
      if (!Files.exists(tag)) {
        Files.writeString(tag, "Signature: 8a477f597d28d172789f06886806bc55\n# Contents kept by vrift, once for all projects.\n");
      }
    } catch (IOException e) {
      throw new CasException("the content store " + dir + " cannot be used (" + Trouble.of(e) + "); contents are not kept, builds go on", 0);
    }
    return store;
  }

  private static void makePrivate(Path p) throws IOException, CasException {
    if (!Files.exists(p, LinkOption.NOFOLLOW_LINKS)) {
      try {
        Files.createDirectory(p, PosixFilePermissions.asFileAttribute(PosixFilePermissions.fromString("rwx------")));
      } catch (java.nio.file.FileAlreadyExistsException e) {
        // another process was faster; looked at below
      }
    }
    int mode = (int) Files.getAttribute(p, "unix:mode", LinkOption.NOFOLLOW_LINKS);
    int uid = (int) Files.getAttribute(p, "unix:uid", LinkOption.NOFOLLOW_LINKS);
    int own = (int) Files.getAttribute(Path.of("/proc/self"), "unix:uid");
    if (!Files.isDirectory(p, LinkOption.NOFOLLOW_LINKS) || uid != own || (mode & 077) != 0) {
      throw new CasException(p + " is not a directory of yours alone; vrift refuses it. Type: chmod 700 '" + p + "', or remove it", 0);
    }
  }

  public Path dir() {
    return dir;
  }

  Path blobs() {
    return blobs;
  }

  Path temporaries() {
    return dir.resolve("tmp");
  }

  Path quarantined() {
    return dir.resolve("quarantine");
  }

  Path references() {
    return dir.resolve("refs");
  }

  /** Blobs on their way out (docs/CONTENTS.md). */
  Path trash() {
    return dir.resolve("trash");
  }

  /** Locked by the one collector at work; ingest never looks at it. */
  Path collectorLock() {
    return dir.resolve("gc.lock");
  }

  Path path(Digest digest) {
    String hex = digest.hex();
    return blobs.resolve(hex.substring(0, 2)).resolve(hex.substring(2));
  }

  static byte[] bytes(Path p) {
    return FileCalls.bytes(p.toString());
  }

  /** The name of a new temporary: the maker's pid is in it. */
  Path newTemporary() {
    return temporaries().resolve(ProcessHandle.current().pid() + "-" + COUNTER.incrementAndGet() + "-" + Long.toHexString(System.nanoTime()) + ".tmp");
  }

  /** Is there a blob of this size under the name? Says nothing about its bytes. */
  public boolean seems(Digest digest, long size) {
    try {
      Path p = path(digest);
      return Files.isRegularFile(p, LinkOption.NOFOLLOW_LINKS) && Files.size(p) == size;
    } catch (IOException e) {
      return false;
    }
  }

  /** What a check of one blob found. */
  public enum Health { GOOD, ABSENT, BAD }

  /** Reads the whole blob; a bad one is quarantined. {@code size} below 0: not known. Throws when it cannot be read for other reasons. */
  public Health verify(Digest digest, long size) throws CasException {
    int fd = FileCalls.open(bytes(path(digest)), FileCalls.READ, 0);
    if (fd == FileCalls.ENOENT) {
      return Health.ABSENT;
    }
    refuseUnlessStrange(digest, fd);
    try {
      FileStat st = fd < 0 ? null : FileCalls.stat(fd, null, new int[1]);
      if (fd >= 0 && st != null && wellFormed(st, size) && hash(fd).equals(digest)) {
        return Health.GOOD;
      }
      quarantine(digest, st);
      return Health.BAD;
    } finally {
      if (fd >= 0) {
        FileCalls.close(fd);
      }
    }
  }

  /** A link or an unreadable file under a blob's name is damage; any other failure to open is not the blob's fault. */
  static void refuseUnlessStrange(Digest digest, int fd) throws CasException {
    if (fd < 0 && fd != ELOOP && fd != EACCES) {
      throw new CasException("opening " + digest, fd);
    }
  }

  static boolean wellFormed(FileStat st, long size) {
    return st.isRegular() && (size < 0 || st.size() == size);
  }

  /** SHA-256 of the rest of an open file. */
  static Digest hash(int fd) throws CasException {
    MessageDigest running = Digest.start();
    byte[] piece = new byte[FileCalls.PIECE];
    while (true) {
      int n = FileCalls.read(fd, piece);
      if (n < 0) {
        throw new CasException("reading", n);
      }
      if (n == 0) {
        return Digest.finish(running);
      }
      running.update(piece, 0, n);
    }
  }

  /** Moves a file of any name out of the way of blobs. True: it is in quarantine. */
  boolean quarantineStray(Path file) {
    String name = file.getFileName().toString();
    String safe = name.length() > 100 ? name.substring(0, 100) : name;
    Path aside = quarantined().resolve("stray-" + safe + "." + ProcessHandle.current().pid() + "-" + COUNTER.incrementAndGet());
    return FileCalls.rename(bytes(file), bytes(aside)) == 0;
  }

  /** Moves a blob aside. {@code seen}: the file found bad, so that one healed meanwhile by another process is put back. */
  void quarantine(Digest digest, FileStat seen) {
    Path aside = quarantined().resolve(digest.hex() + "." + ProcessHandle.current().pid() + "-" + COUNTER.incrementAndGet());
    if (FileCalls.rename(bytes(path(digest)), bytes(aside)) != 0 || seen == null) {
      return;
    }
    int dirFd = FileCalls.open(bytes(quarantined()), FileCalls.DIRECTORY, 0);
    if (dirFd >= 0) {
      FileStat moved = FileCalls.stat(dirFd, bytes(aside.getFileName()), new int[1]);
      FileCalls.close(dirFd);
      if (moved != null && moved.ino() != seen.ino()) {
        FileCalls.publish(bytes(aside), bytes(path(digest)));
      }
    }
  }

  /** Makes a hashed temporary the blob of its digest. True: ours was published; false: a good one was there already. The temporary is gone. */
  boolean publish(Path temporary, Digest digest, long size) throws CasException {
    Path target = path(digest);
    try {
      for (int attempt = 0; attempt < 3; attempt++) {
        int rc = FileCalls.publish(bytes(temporary), bytes(target));
        if (rc == 0) {
          return true;
        }
        if (rc == FileCalls.ENOENT) {
          makePrivate(target.getParent());
        } else if (rc != FileCalls.EEXIST) {
          throw new CasException("publishing " + digest, rc);
        } else if (verify(digest, size) == Health.GOOD) {
          FileCalls.touch(bytes(target));
          return false;
        }
      }
      throw new CasException("publishing " + digest + " did not succeed in three attempts", 0);
    } catch (IOException e) {
      throw new CasException("publishing " + digest + " (" + Trouble.of(e) + ")", 0);
    } finally {
      FileCalls.unlink(bytes(temporary));
    }
  }

  /** The directories of blobs: at most 256. */
  List<String> shards() {
    return new ArrayList<>(names(blobs).stream().filter(s -> s.length() == 2).toList());
  }

  /** Every name in one shard that is a digest. */
  List<Digest> digests(String shard) {
    List<Digest> out = new ArrayList<>();
    for (String rest : names(blobs.resolve(shard))) {
      Digest d = Digest.parse(shard + rest);
      if (d != null) {
        out.add(d);
      }
    }
    return out;
  }

  /** Names that are no blobs': in a shard (2 hex) or, for "", among the shards. */
  List<Path> strays(String shard) {
    Path in = shard.isEmpty() ? blobs : blobs.resolve(shard);
    List<Path> out = new ArrayList<>();
    for (String name : names(in)) {
      boolean good = shard.isEmpty() ? Digest.parse(name + "0".repeat(2 * Digest.BYTES - 2)) != null && name.length() == 2 : Digest.parse(shard + name) != null;
      if (!good) {
        out.add(in.resolve(name));
      }
    }
    return out;
  }

  static List<String> names(Path p) {
    List<String> out = new ArrayList<>();
    int fd = FileCalls.open(bytes(p), FileCalls.DIRECTORY, 0);
    if (fd >= 0) {
      Iterable<FileCalls.Name> names = FileCalls.names(fd);
      FileCalls.close(fd);
      if (names != null) {
        names.forEach(n -> out.add(new String(n.name(), StandardCharsets.UTF_8)));
      }
    }
    return out;
  }

  /** Removes temporaries that nobody will finish. Returns how many. */
  public int sweepTemporaries() {
    int removed = 0;
    for (String name : names(temporaries())) {
      Path p = temporaries().resolve(name);
      try {
        int dash = name.indexOf('-');
        boolean alive = dash > 0 && ProcessHandle.of(Long.parseLong(name.substring(0, dash))).isPresent();
        long age = System.currentTimeMillis() - Files.getLastModifiedTime(p, LinkOption.NOFOLLOW_LINKS).toMillis();
        if (age > (alive ? TEMPORARY_MAX_AGE_MS : TEMPORARY_DEAD_AGE_MS)) {
          removed += FileCalls.unlink(bytes(p)) == 0 ? 1 : 0;
        }
      } catch (IOException | NumberFormatException e) {
        // gone meanwhile, or not ours
      }
    }
    return removed;
  }

  /** Free and total bytes where the store lies; null if unknown. */
  long[] space() {
    int fd = FileCalls.open(bytes(dir), FileCalls.DIRECTORY, 0);
    if (fd < 0) {
      return null;
    }
    long[] out = new long[2];
    int rc = FileCalls.space(fd, out);
    FileCalls.close(fd);
    return rc == 0 ? out : null;
  }
}
