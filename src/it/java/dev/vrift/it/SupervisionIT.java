package dev.vrift.it;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Short slices of src/it/supervision. `src/it/supervision/run --full` runs the whole numbers. */
class SupervisionIT {
  private static final int LIMIT_SECONDS = 300;

  @ParameterizedTest
  @ValueSource(strings = {"coordinator_killed", "coordinator_stopped", "launcher_beside_a_stopped_coordinator", "stop_wins", "everything_killed", "another_boot", "clock",
      "daemon_stopped", "crash_loop_beside", "upgrades"})
  void storms(String name) throws IOException, InterruptedException {
    Path dist = Path.of(System.getProperty("vrift.dist")).toAbsolutePath();
    Path log = dist.getParent().resolve("storms-" + name + ".log");
    ProcessBuilder builder = new ProcessBuilder("src/it/supervision/run", name).redirectErrorStream(true).redirectInput(Path.of("/dev/null").toFile()).redirectOutput(log.toFile());
    builder.environment().put("VRIFT", dist.resolve("bin/vrift").toString());
    Process p = builder.start();
    try {
      assertTrue(p.waitFor(LIMIT_SECONDS, TimeUnit.SECONDS), name + " did not end within " + LIMIT_SECONDS + " s, see " + log);
      String text = Files.readString(log);
      System.out.print(text);
      assertEquals(0, p.exitValue(), text);
    } finally {
      p.descendants().forEach(ProcessHandle::destroy);
      p.destroy();
    }
  }
}
