package dev.vrift.project;

import dev.vrift.cas.CasStat;
import dev.vrift.cas.IngestReport;
import dev.vrift.cas.VerifyReport;
import dev.vrift.wire.Json;
import java.util.List;

/** Reports about contents as JSON documents. */
final class CasReports {
  private static final int SCHEMA_VERSION = 1;
  /** Digests named in one report; the numbers are always whole. */
  private static final int NAMED_MAX = 1000;

  private CasReports() {}

  private static Json start() {
    return new Json().object().field("schema_version", SCHEMA_VERSION);
  }

  static String json(IngestReport r) {
    return start()
        .field("files", r.files()).field("stored", r.stored()).field("already_stored", r.already()).field("hashed_only", r.hashed())
        .field("unchanged", r.known()).field("secret", r.secret()).field("excluded", r.excluded()).field("too_young", r.young())
        .field("changed_meanwhile", r.changed()).field("unreadable", r.unreadable()).field("failed", r.failed())
        .field("read_bytes", r.readBytes()).field("stored_bytes", r.storedBytes()).field("milliseconds", r.milliseconds()).field("stopped", r.stopped())
        .end().toString();
  }

  static String json(CasStat s) {
    return start()
        .field("directory", s.directory()).field("blobs", s.blobs()).field("bytes", s.bytes()).field("disk_bytes", s.diskBytes())
        .field("quarantined", s.quarantined()).field("projects", s.projects()).field("logical_bytes", s.logicalBytes())
        .field("referenced_bytes", s.referencedBytes()).field("saved_bytes", s.savedBytes()).field("saved_across_projects", s.savedAcrossProjects())
        .field("unreferenced_bytes", s.unreferencedBytes()).field("free_bytes", s.freeBytes())
        .end().toString();
  }

  static String json(VerifyReport r) {
    Json out = start().field("checked", r.checked()).field("milliseconds", r.milliseconds());
    out.field("damaged", r.bad().size() + r.missing().size() - r.healed().size());
    names(out, "bad", r.bad());
    names(out, "missing", r.missing());
    names(out, "healed", r.healed());
    return out.end().toString();
  }

  private static void names(Json out, String key, List<String> digests) {
    out.field(key + "_count", digests.size()).key(key).array();
    digests.stream().limit(NAMED_MAX).forEach(out::value);
    out.end();
  }
}
