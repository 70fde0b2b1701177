package dev.vrift.project;

import dev.vrift.platform.Processes;
import dev.vrift.platform.RunPaths;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.DirectoryStream;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * What a user's projects use together. Each daemon writes its own number down ({@code RUN/p/<id>/usage}) and reads the others': nobody asks anybody, nothing
 * is waited for, and a daemon that died counts no more after a minute. On the staging keeper's thread.
 */
final class UserUsage {
  private static final long FRESH_MS = 60_000;
  private static final int MAX_BYTES = 100;
  private static final Pattern LINE = Pattern.compile("staging=(\\d{1,18})\\s*");

  /** Bytes of the other projects that have any, and how many these are. */
  record Others(long bytes, int projects) {}

  private final RunPaths run;
  private final String id;
  private long written = -1;
  private long writtenAt;

  UserUsage(RunPaths run, String id) {
    this.run = run;
    this.id = id;
  }

  /** Writes ours down; without staging only when it was different. */
  void publish(long staging) {
    long now = Processes.monotonicMs();
    if (staging == written && (staging == 0 || now - writtenAt < FRESH_MS / 3)) {
      return;
    }
    Path file = run.projects().resolve(id).resolve("usage");
    try {
      Path beside = file.resolveSibling("usage.new");
      Files.writeString(beside, "staging=" + staging + "\n");
      Files.move(beside, file, StandardCopyOption.ATOMIC_MOVE);
      written = staging;
      writtenAt = now;
    } catch (IOException e) {
      written = -1; // a full runtime directory: ours does not count for others until it can be written
    }
  }

  Others others() {
    long bytes = 0;
    int projects = 0;
    try (DirectoryStream<Path> all = Files.newDirectoryStream(run.projects())) {
      for (Path p : all) {
        long n = p.getFileName().toString().equals(id) ? 0 : read(p.resolve("usage"));
        bytes += n;
        projects += n > 0 ? 1 : 0;
      }
    } catch (IOException e) {
      return new Others(bytes, projects);
    }
    return new Others(bytes, projects);
  }

  private static long read(Path file) {
    try {
      if (Files.size(file) > MAX_BYTES || System.currentTimeMillis() - Files.getLastModifiedTime(file).toMillis() > FRESH_MS) {
        return 0;
      }
      Matcher m = LINE.matcher(Files.readString(file, StandardCharsets.ISO_8859_1));
      return m.matches() ? Long.parseLong(m.group(1)) : 0;
    } catch (IOException e) {
      return 0;
    }
  }

  /** Bytes of VDir files of this user in {@code shm}, those of {@code mine} (a file name, or null) not counted. */
  static long otherVdirs(Path shm, String mine) {
    long bytes = 0;
    int uid = Processes.uid();
    try (DirectoryStream<Path> all = Files.newDirectoryStream(shm, "vrift_vdir_*")) {
      for (Path p : all) {
        if (!p.getFileName().toString().equals(mine) && (int) Files.getAttribute(p, "unix:uid", LinkOption.NOFOLLOW_LINKS) == uid) {
          bytes += Files.size(p);
        }
      }
    } catch (IOException e) {
      return bytes; // files come and go
    }
    return bytes;
  }
}
