package dev.vrift.config;

import java.util.Arrays;
import java.util.List;
import java.util.Locale;

/** Every setting there is. Values are whole numbers; a switch is 0 or 1. {@code default.toml} lists the same, held to this by a test. */
public enum Setting {
  QUOTA_MAX_FILES("quota.max_files", 10_000_000, 1000, 100_000_000, "files known per project; beyond, paths stay native"),
  QUOTA_MAX_VDIR_BYTES("quota.max_vdir_bytes", 1L << 30, 1 << 20, 1L << 36, "size of a project's shared memory file"),
  QUOTA_MAX_STAGING_BYTES("quota.max_staging_bytes", 10L << 30, 0, 1L << 44, "bytes of files being written; beyond, writes pass through"),
  QUOTA_USER_VDIR_BYTES("quota.user_vdir_bytes", 8L << 30, 1 << 20, 1L << 40, "shared memory files of all your projects together"),
  QUOTA_USER_STAGING_BYTES("quota.user_staging_bytes", 20L << 30, 0, 1L << 44, "the same for files being written; who has more than a fair share passes through"),
  CAS_MAX_BYTES("cas.max_bytes", 0, 0, 1L << 50, "size of the store; 0: 10 GiB or a tenth of the disk, whichever is less"),
  CAS_MIN_FREE_BYTES("cas.min_free_bytes", 1L << 30, 0, 1L << 50, "nothing more is kept when less is free on its disk"),
  CAS_GRACE_SECONDS("cas.grace_seconds", 60, 0, 1_000_000, "contents used within this time are never collected"),
  CAS_KEEP_SECONDS("cas.keep_seconds", 600, 0, 1_000_000, "between idle looks after the store (collecting, checking); 0: never"),
  CAS_HOT("cas.hot", 0, 0, 2, "copies of contents in /dev/shm/vrift_cas: 0 no, 1 yes, 2 if the disk is slow"),
  CAS_HOT_BYTES("cas.hot_bytes", 256L << 20, 0, 1L << 36, "size of those copies together"),
  CAS_INGEST("cas.ingest", 1, 0, 1, "keep contents in the background"),
  CAS_MAX_FILE_BYTES("cas.max_file_bytes", 1L << 20, 0, 1L << 40, "larger files are only hashed, unless ingested with --all"),
  VDIR_IDLE_MINUTES("vdir_d.idle_minutes", 30, 1, 100_000, "a project's daemon ends after this long without a command"),
  VDIR_MAX_MEMORY_BYTES("vdir_d.max_memory_bytes", 0, 0, 1L << 44, "memory of a project's daemon, its shared memory included; 0: twice quota.max_vdir_bytes and 512 MiB"),
  VDIR_CPU_PERCENT("vdir_d.cpu_percent", 200, 0, 100_000, "processor time of a project's daemon, in per cent of one processor; 0: any"),
  VDIR_MAX_THREADS("vdir_d.max_threads", 512, 64, 100_000, "threads of a project's daemon"),
  VDIR_QUARANTINE_SECONDS("vdir_d.quarantine_seconds", 600, 1, 1_000_000, "a daemon that died more than 5 times in a minute is not started for this long"),
  VRIFTD_SPARE("vriftd.spare", 1, 0, 1, "one project's daemon is started before it is needed, for one that dies; about 40 MB"),
  VRIFTD_IDLE_MINUTES("vriftd.idle_minutes", 30, 1, 100_000, "the coordinator ends after this long without a project");

  private final String key;
  private final long standard;
  private final long least;
  private final long most;
  private final String text;

  Setting(String key, long standard, long least, long most, String text) {
    this.key = key;
    this.standard = standard;
    this.least = least;
    this.most = most;
    this.text = text;
  }

  /** Dotted, as in TOML. */
  public String key() {
    return key;
  }

  /** The environment variable: {@code VRIFT_QUOTA_MAX_FILES} for {@code quota.max_files}. */
  public String variable() {
    return "VRIFT_".concat(key.replace('.', '_').toUpperCase(Locale.ROOT));
  }

  public long standard() {
    return standard;
  }

  /**
   * Whether a project's own file may set it. What holds for all the user's projects (the store, the user's quotas, the coordinator) it may not:
   * a project may be somebody else's work.
   */
  public boolean ofProject() {
    return this == CAS_INGEST || this == CAS_MAX_FILE_BYTES || !key.startsWith("cas.") && !key.startsWith("quota.user_") && !key.startsWith("vriftd.");
  }

  /** Smallest and largest value allowed. */
  public long least() {
    return least;
  }

  public long most() {
    return most;
  }

  /** What it does, for people. */
  public String text() {
    return text;
  }

  /** Every key. */
  public static List<String> keys() {
    return Arrays.stream(values()).map(Setting::key).toList();
  }

  /** The setting of a key, or null. */
  public static Setting of(String key) {
    for (Setting s : values()) {
      if (s.key.equals(key)) {
        return s;
      }
    }
    return null;
  }
}
