package dev.vrift.cas;

/**
 * How much is ingested.
 *
 * @param all everything, whatever its size, without a budget
 * @param copyLimit files up to this many bytes are stored where a copy costs; larger ones are only hashed
 * @param bytesPerSecond budget for reading
 * @param minimumAgeMs a file whose ctime is younger is left for later: another change could leave the same times
 * @param quietMs a changed path is looked at after this long without another change
 * @param minimumFree ingest stops when less is free where the store lies, in bytes
 * @param maxStore ingest stops when the store is larger, in bytes
 */
public record IngestPolicy(boolean all, long copyLimit, long bytesPerSecond, long minimumAgeMs, long quietMs, long minimumFree, long maxStore) {
  public static final IngestPolicy BACKGROUND = new IngestPolicy(false, 1 << 20, 32 << 20, 2000, 2000, 1L << 30, Long.MAX_VALUE);

  /** The same with another limit for copies, in bytes. */
  public IngestPolicy withCopyLimit(long bytes) {
    return new IngestPolicy(all, bytes, bytesPerSecond, minimumAgeMs, quietMs, minimumFree, maxStore);
  }

  /** The same with another reserve on the disk, in bytes. */
  public IngestPolicy withMinimumFree(long bytes) {
    return new IngestPolicy(all, copyLimit, bytesPerSecond, minimumAgeMs, quietMs, bytes, maxStore);
  }

  /** The same with another limit for the whole store, in bytes. */
  public IngestPolicy withMaxStore(long bytes) {
    return new IngestPolicy(all, copyLimit, bytesPerSecond, minimumAgeMs, quietMs, minimumFree, bytes);
  }

  public IngestPolicy everything() {
    return new IngestPolicy(true, Long.MAX_VALUE, Long.MAX_VALUE, minimumAgeMs, quietMs, minimumFree, maxStore);
  }
}
