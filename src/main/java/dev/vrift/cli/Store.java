package dev.vrift.cli;

import dev.vrift.cas.CasException;
import dev.vrift.cas.Collector;
import dev.vrift.cas.ContentStore;
import dev.vrift.cas.HotTier;
import dev.vrift.cas.StoreUsage;
import dev.vrift.config.Config;
import dev.vrift.config.Setting;
import java.nio.file.Path;
import java.util.List;

/** The user's store of contents, opened by a command itself: no daemon is needed to look after it. */
record Store(ContentStore store, Config config) {
  private static final long MS_PER_SECOND = 1_000;

  static Store open(Place place) throws Failure {
    Path root = place.rootProblem() != null || place.root().isEmpty() ? null : Path.of(place.root());
    Config config = Config.load(Config.SYSTEM, place.dirs().config(), root, System.getenv(), List.of());
    try {
      return new Store(ContentStore.open(place.dirs().cas()), config);
    } catch (CasException e) {
      throw new Failure(Failure.NEGATIVE, e.getMessage());
    }
  }

  Collector collector() {
    return new Collector(store, config.get(Setting.CAS_GRACE_SECONDS) * MS_PER_SECOND);
  }

  HotTier hot() {
    return HotTier.open(store, config.get(Setting.CAS_HOT), config.get(Setting.CAS_HOT_BYTES));
  }

  /** Bytes it may have. */
  long limit() {
    return StoreUsage.limit(store, config.get(Setting.CAS_MAX_BYTES));
  }
}
