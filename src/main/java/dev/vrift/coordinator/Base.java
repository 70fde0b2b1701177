package dev.vrift.coordinator;

import dev.vrift.platform.Log;
import dev.vrift.platform.RunPaths;
import java.io.FileOutputStream;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;

/** Where a coordinator belongs, written down for its successors: its cgroups, and the version that it is of. */
final class Base {
  private Base() {}

  /** Leaves a project's cgroup if we were started in one, and writes the files. What fails is logged: builds do not depend on it. */
  static void settle(RunPaths run, String home, CgroupPlaces places) {
    for (Path dir : places.base()) {
      try (FileOutputStream out = new FileOutputStream(dir.resolve("cgroup.procs").toFile(), true)) {
        out.write('0');
      } catch (IOException e) {
        continue; // not ours to move in: we are there already, or may not
      }
    }
    StringBuilder text = new StringBuilder();
    places.base().forEach(p -> text.append(p).append('\n'));
    places.places().forEach(p -> text.append('@').append(p.dir()).append('\n')); // for who cleans up without us; the launcher skips these lines
    write(run.cgroups(), text.toString());
    write(run.home(), home);
  }

  private static void write(Path file, String text) {
    Path fresh = file.resolveSibling(file.getFileName() + ".new");
    try {
      Files.write(fresh, text.getBytes(StandardCharsets.UTF_8));
      Files.move(fresh, file, StandardCopyOption.ATOMIC_MOVE, StandardCopyOption.REPLACE_EXISTING);
    } catch (IOException e) {
      Log.warn(file + " is not written: " + e.getMessage());
    }
  }
}
