package dev.vrift.cas;

import java.util.List;

/**
 * What a verification found.
 *
 * @param checked blobs read whole
 * @param bad digests whose blob was not what its name says; now in quarantine
 * @param missing digests the project refers to that are not in the store
 * @param healed digests of both kinds that were stored again from this project's files
 */
public record VerifyReport(long checked, List<String> bad, List<String> missing, List<String> healed, long milliseconds) {}
