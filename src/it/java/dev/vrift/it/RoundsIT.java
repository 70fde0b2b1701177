package dev.vrift.it;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Short slices of src/it/rounds: random operations, staleness, kills. `src/it/rounds/run --full` runs the whole numbers. */
class RoundsIT {
    private static final int LIMIT_SECONDS = 300;

    @ParameterizedTest
    @ValueSource(strings = {"fuzz_ring", "fuzz_ring_unseen", "fuzz_race", "editor", "editor_during_build", "unseen_child", "unseen_partner", "daemon_killed",
        "writer_killed", "writer_killed_without_daemons"})
    void rounds(String name) throws IOException, InterruptedException {
        Path dist = Path.of(System.getProperty("vrift.dist"));
        List<String> command = new ArrayList<>(List.of("src/it/rounds/run", name));
        ProcessBuilder builder = new ProcessBuilder(command).redirectErrorStream(true).redirectInput(ProcessBuilder.Redirect.from(Path.of("/dev/null").toFile()));
        builder.environment().put("VRIFT", dist.resolve("bin/vrift").toAbsolutePath().toString());
        Path log = dist.toAbsolutePath().getParent().resolve("rounds-" + name + ".log");
        Process p = builder.redirectOutput(log.toFile()).start();
        try {
            assertTrue(p.waitFor(LIMIT_SECONDS, TimeUnit.SECONDS), name + " did not end within " + LIMIT_SECONDS + " s, see " + log);
            String text = java.nio.file.Files.readString(log);
            System.out.print(text);
            assertEquals(0, p.exitValue(), text);
        } finally {
            p.descendants().forEach(ProcessHandle::destroy);
            p.destroy();
        }
    }
}
