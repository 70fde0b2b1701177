package dev.vrift.cli;

import dev.vrift.cas.CasStat;
import dev.vrift.cas.CollectionReport;
import dev.vrift.cas.HotTier;
import dev.vrift.cas.VerifyReport;
import dev.vrift.wire.Json;
import java.util.List;

/** Reports about the user's store of contents as JSON documents. */
final class ContentReports {
  private static final int SCHEMA_VERSION = 1;
  /** Names in one report; the numbers are always whole. */
  private static final int NAMED_MAX = 1000;

  private ContentReports() {}

  private static Json start() {
    return new Json().object().field("schema_version", SCHEMA_VERSION);
  }

  static String json(CasStat s, long limit, HotTier hot) {
    return start()
        .field("directory", s.directory()).field("blobs", s.blobs()).field("bytes", s.bytes()).field("disk_bytes", s.diskBytes())
        .field("limit_bytes", limit).field("over_limit", s.bytes() > limit)
        .field("quarantined", s.quarantined()).field("projects", s.projects()).field("logical_bytes", s.logicalBytes())
        .field("referenced_bytes", s.referencedBytes()).field("saved_bytes", s.savedBytes()).field("saved_across_projects", s.savedAcrossProjects())
        .field("unreferenced_bytes", s.unreferencedBytes()).field("free_bytes", s.freeBytes()).field("trashed", s.trashed()).field("pending", s.pending())
        .field("damaged_references", s.damagedReferences()).field("hot_tier", hot.state()).field("hot_bytes", hot.bytes())
        .end().toString();
  }

  static String json(VerifyReport r) {
    Json out = start().field("checked", r.checked()).field("milliseconds", r.milliseconds());
    out.field("damaged", r.bad().size() + r.missing().size() - r.healed().size());
    names(out, "bad", r.bad());
    names(out, "missing", r.missing());
    names(out, "healed", r.healed());
    names(out, "strays", r.strays());
    return out.end().toString();
  }

  static String json(CollectionReport r) {
    Json out = start().field("dry_run", r.dryRun()).field("refused", r.refused()).field("blobs", r.blobs()).field("bytes", r.bytes());
    out.field("unreferenced", r.unreferenced()).field("unreferenced_bytes", r.unreferencedBytes());
    out.field("taken", r.takenBlobs()).field("taken_bytes", r.takenBytes()).field("spared", r.spared()).field("recovered", r.recovered());
    out.field("quarantine_dropped", r.quarantineDropped()).field("left_bytes", r.leftBytes()).field("milliseconds", r.milliseconds());
    names(out, "stale_projects", r.staleProjects());
    return out.end().toString();
  }

  private static void names(Json out, String key, List<String> texts) {
    out.field(key + "_count", texts.size()).key(key).array();
    texts.stream().limit(NAMED_MAX).forEach(out::value);
    out.end();
  }
}
