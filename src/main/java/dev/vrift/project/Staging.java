package dev.vrift.project;

import dev.vrift.config.Setting;
import dev.vrift.platform.Log;
import dev.vrift.platform.RunPaths;
import dev.vrift.staging.OrphanSweeper;
import dev.vrift.staging.RolledBack;
import dev.vrift.vdir.Engine;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.function.LongSupplier;

/** The work of the project's {@link StagingKeeper}: sweeps, files that have been open for long, and the staging quota. On the keeper's thread. */
final class Staging implements StagingKeeper.Sweep {
  private final long engine;
  private final long quota;
  private final OrphanSweeper sweeper;
  private boolean full;

  private Staging(Project project) {
    this.engine = project.engine();
    this.quota = project.config().get(Setting.QUOTA_MAX_STAGING_BYTES);
    this.sweeper = new OrphanSweeper(Path.of(project.root()), RunPaths.bytes(project.root()), Engine.board(engine));
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
    sweeper.boundSalvage();
    boolean over = bytes.getAsLong() > quota;
    if (over != full) {
      full = over;
      Engine.addNoStage(engine, over ? 1 : -1);
      Log.info(over ? "the staging quota is used up: new outputs are written natively" : "below the staging quota again");
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
  }
}
