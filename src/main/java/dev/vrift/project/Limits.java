package dev.vrift.project;

import dev.vrift.config.Config;
import dev.vrift.config.Setting;
import dev.vrift.platform.Log;
import dev.vrift.platform.Processes;
import dev.vrift.vdir.EngineReport;
import dev.vrift.wire.Json;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Set;

/**
 * Which limits a project has reached: decides when staging pauses, says so once in the log when one is reached and once when it is not any more, and always
 * in {@code status}. A limit never fails a build: what is beyond it is native. Thread-safe.
 */
final class Limits {
  /** A pause ends when so much of the limit is free again, so that it does not flutter. */
  private static final int FREE_PART = 10;

  /** Between looks at the limits, ms. */
  static final long HEALTH_MS = 10_000;
  private static final long RETRY_MAX_MS = 600_000;
  /** A new VDir file may be this many times larger. */
  private static final int GROWTH = 3;

  private final long maxFiles;
  private final long maxVdir;
  private long tried = Processes.monotonicMs();
  private long retryMs = HEALTH_MS;
  private final long staging;
  private final long userStaging;
  private final Set<String> said = new HashSet<>();
  private String paused = "";

  Limits(Config config) {
    this.maxFiles = config.get(Setting.QUOTA_MAX_FILES);
    this.maxVdir = config.get(Setting.QUOTA_MAX_VDIR_BYTES);
    this.staging = config.get(Setting.QUOTA_MAX_STAGING_BYTES);
    this.userStaging = config.get(Setting.QUOTA_USER_STAGING_BYTES);
  }

  long stagingQuota() {
    return staging;
  }

  /**
   * Looks at the sizes of the staging areas, in bytes. Returns whether new outputs must pass through. Who has less than a fair share of what the user's
   * projects may have together is not paused because of the others.
   */
  synchronized boolean pause(long mine, UserUsage.Others others) {
    String why = "";
    if (mine > eased(staging)) {
      why = "the files being written use " + mine + " bytes, more than quota.max_staging_bytes (" + staging + ")";
    } else if (mine + others.bytes() > eased(userStaging) && mine >= userStaging / (others.projects() + 1)) {
      why = "your projects' files being written use " + (mine + others.bytes()) + " bytes, more than quota.user_staging_bytes (" + userStaging
          + "), and this project more than its share";
    }
    if (why.isEmpty() != paused.isEmpty()) {
      Log.info(why.isEmpty() ? "outputs are staged again" : "new outputs are written natively: " + why);
    }
    paused = why;
    return !why.isEmpty();
  }

  private long eased(long limit) {
    return paused.isEmpty() ? limit : limit - limit / FREE_PART;
  }

  /** The limits reached now, one sentence each. Logs each one once while it lasts. */
  synchronized List<String> notes(EngineReport r, String contents) {
    List<String> out = new ArrayList<>();
    if (!paused.isEmpty()) {
      out.add("new outputs are written natively: " + paused);
    }
    int from = out.size();
    if (r.limited() != 0) {
      out.add(
          "the memory for what is known of files is used up (quota.max_files, quota.max_vdir_bytes, quota.user_vdir_bytes, or /dev/shm is full); the rest is looked up natively");
    }
    if (r.limitedDirs() > 0) {
      out.add("the user's inotify watches are used up (fs.inotify.max_user_watches); some directories are looked up natively");
    }
    if (!contents.isEmpty()) {
      out.add("contents are not kept: " + contents);
    }
    Set<String> now = new HashSet<>(out.subList(from, out.size()));
    for (String note : now) {
      if (said.add(note)) {
        Log.warn(note);
      }
    }
    said.removeIf(note -> !now.contains(note) && ended(note));
    return out;
  }

  private static boolean ended(String note) {
    Log.info("no longer so: ".concat(note));
    return true;
  }

  /**
   * Asked every {@link #HEALTH_MS}: logs what is new, and says whether a VDir that was kept small by a limit should be tried anew because there is room
   * again: at first after 10 s, then ever less often.
   */
  synchronized boolean roomAgain(EngineReport r, String contents) {
    notes(r, contents);
    long now = Processes.monotonicMs();
    if (r.limited() == 0 && r.nativeWhy() != EngineReport.SPACE || now - tried < retryMs || r.entries() >= maxFiles / 2 || r.fileSize() > maxVdir / GROWTH) {
      return false;
    }
    tried = now;
    retryMs = Math.min(RETRY_MAX_MS, 2 * retryMs);
    try {
      return Files.getFileStore(Path.of("/dev/shm")).getUsableSpace() > GROWTH * r.fileSize();
    } catch (IOException e) {
      return false;
    }
  }

  /** Adds the list of limits reached to a status object. */
  void describe(Json out, EngineReport r, String contents) {
    out.key("limits").array();
    notes(r, contents).forEach(out::value);
    out.end();
  }
}
