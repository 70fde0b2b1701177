package dev.vrift.cas;

import java.util.List;

/**
 * What a verification found.
 *
 * @param checked blobs read whole
 * @param bad digests whose blob was not what its name says; now in quarantine
 * @param missing digests that a project references and that are not in the store
 * @param healed digests of both kinds that were stored again from some project's files
 * @param strays files in the store whose names are no digests; now in quarantine
 */
public record VerifyReport(long checked, List<String> bad, List<String> missing, List<String> healed, List<String> strays, long milliseconds) {}
