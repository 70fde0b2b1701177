package dev.vrift.project;

import dev.vrift.cas.IngestReport;
import dev.vrift.wire.Json;

/** The report of an ingest as a JSON document. */
final class CasReports {
  private static final int SCHEMA_VERSION = 1;

  private CasReports() {}

  static String json(IngestReport r) {
    return new Json().object().field("schema_version", SCHEMA_VERSION)
        .field("files", r.files()).field("stored", r.stored()).field("already_stored", r.already()).field("hashed_only", r.hashed())
        .field("unchanged", r.known()).field("secret", r.secret()).field("excluded", r.excluded()).field("too_young", r.young())
        .field("changed_meanwhile", r.changed()).field("unreadable", r.unreadable()).field("failed", r.failed())
        .field("read_bytes", r.readBytes()).field("stored_bytes", r.storedBytes()).field("milliseconds", r.milliseconds()).field("stopped", r.stopped())
        .end().toString();
  }
}
