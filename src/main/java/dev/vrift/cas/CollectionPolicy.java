package dev.vrift.cas;

/**
 * What a collection may take. Nothing that is referenced or being published is ever taken, whatever stands here.
 *
 * @param maxBytes the oldest go until the store is not larger; negative: everything unreferenced goes
 * @param olderThanMs blobs used within this time stay
 * @param dryRun only says what would go
 */
public record CollectionPolicy(long maxBytes, long olderThanMs, boolean dryRun) {
  public CollectionPolicy {
    olderThanMs = Math.max(0, olderThanMs);
  }
}
