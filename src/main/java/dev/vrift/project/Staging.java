package dev.vrift.project;

import dev.vrift.platform.RunPaths;
import dev.vrift.staging.OrphanSweeper;
import dev.vrift.staging.RolledBack;
import dev.vrift.vdir.Engine;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.function.LongSupplier;

/** The work of the project's {@link StagingKeeper}: sweeps, files that have been open for long, and the quotas of staging. On the keeper's thread. */
final class Staging implements StagingKeeper.Sweep {
  /** Our reason on the board, apart from those of programs that watch: it must not outlive a daemon that was killed. */
  private static final int OURS = 1 << 16;

  private final long engine;
  private final Project project;
  private final UserUsage usage;
  private final OrphanSweeper sweeper;
  private boolean full;

  private Staging(Project project) {
    this.project = project;
    this.engine = project.engine();
    this.usage = new UserUsage(project.run(), project.id());
    this.sweeper = new OrphanSweeper(Path.of(project.root()), RunPaths.bytes(project.root()), Engine.board(engine));
    long[] counters = new long[Engine.COUNTERS];
    Engine.counters(engine, counters);
    int left = (int) (counters[Engine.NO_STAGE] / OURS);
    if (left > 0) {
      Engine.addNoStage(engine, -left * OURS); // of a predecessor
    }
  }

  static StagingKeeper keeper(Project project) {
    return new StagingKeeper(Path.of(project.root()).resolve(".vrift/staging"), new Staging(project));
  }

  @Override
  public List<byte[]> sweep(LongSupplier bytes) {
    List<byte[]> paths = new ArrayList<>();
    for (RolledBack r : sweeper.sweep()) {
      paths.add(RunPaths.bytes(r.path()));
    }
    long mine = bytes.getAsLong();
    usage.publish(mine);
    // What the dead left goes first: it may have what the living do not need.
    sweeper.boundSalvage(Math.max(0, project.limits().stagingQuota() - mine));
    boolean over = project.limits().pause(mine, usage.others());
    if (over != full) {
      full = over;
      Engine.addNoStage(engine, over ? OURS : -OURS);
    }
    return paths;
  }

  @Override
  public void tick() {
    sweeper.promoteOld();
  }

  @Override
  public void end() {
    sweeper.removeEmptyDirectories();
    if (full) {
      full = false;
      Engine.addNoStage(engine, -OURS); // the board outlives us: our reason must not
    }
  }
}
