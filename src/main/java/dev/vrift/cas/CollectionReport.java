package dev.vrift.cas;

import java.util.List;

/**
 * What a collection did, or would do.
 *
 * @param blobs blobs in the store before
 * @param bytes their bytes
 * @param unreferenced blobs that nobody references and that are old enough
 * @param takenBlobs taken (dry run: would be taken)
 * @param spared moved back because somebody began to need them meanwhile
 * @param recovered put back that a collector which died had moved away
 * @param quarantineDropped files removed from quarantine
 * @param staleProjects projects without a root for long, whose references were (would be) removed
 * @param leftBytes bytes in the store afterwards
 * @param refused why nothing was taken; "" if that is not so
 */
public record CollectionReport(
    boolean dryRun, long blobs, long bytes, long unreferenced, long unreferencedBytes, long takenBlobs, long takenBytes, long spared, long recovered,
    long quarantineDropped, List<String> staleProjects, long leftBytes, long milliseconds, String refused) {}
