package dev.vrift.project;

import dev.vrift.platform.RunPaths;
import dev.vrift.staging.OrphanSweeper;
import dev.vrift.staging.RolledBack;
import dev.vrift.vdir.Engine;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;

/** Ties the project's sweeper to its keeper. */
final class Staging {
  private Staging() {}

  static StagingKeeper keeper(Project project) {
    Path root = Path.of(project.root());
    OrphanSweeper sweeper = new OrphanSweeper(root, RunPaths.bytes(project.root()), Engine.board(project.engine()));
    return new StagingKeeper(
        root.resolve(".vrift/staging"),
        new StagingKeeper.Sweep() {
          @Override
          public List<byte[]> sweep() {
            List<byte[]> paths = new ArrayList<>();
            for (RolledBack r : sweeper.sweep()) {
              paths.add(RunPaths.bytes(r.path()));
            }
            sweeper.boundSalvage();
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
        });
  }
}
