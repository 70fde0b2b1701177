package dev.vrift.cas;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.vrift.cas.CasServiceTest.MemoryIndex;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Random;
import java.util.Set;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/**
 * Collecting and ingesting at the same time, by processes of their own that are killed now and then: after every round each content that a project
 * references is there and right. 40 rounds here; the long run: {@code mvn -q -Dtest=CollectorStormTest -Dvrift.storm.rounds=1000 test}, with
 * {@code -Dvrift.storm.seed=N} to repeat one.
 */
class CollectorStormTest {
  private static final int PROJECTS = 3;
  private static final int COLLECTORS = 2;
  private static final int FILES = 12;
  /** Contents come back often, so that what nobody referenced is referenced again while it is being taken. */
  private static final int CONTENTS = 40;
  private static final int KILL_ONE_IN = 8;

  @TempDir Path temp;
  private ContentStore store;

  /** A child process that does one thing per line of its input and answers each with a line. */
  private final class Child {
    private final String[] arguments;
    private Process process;
    private PrintStream orders;
    private BufferedReader answers;
    int deaths;

    Child(String... arguments) throws IOException {
      this.arguments = arguments;
      start();
    }

    void start() throws IOException {
      List<String> command = new ArrayList<>(List.of(
          ProcessHandle.current().info().command().orElseThrow(), "-Xmx64m", "-XX:TieredStopAtLevel=1", "--enable-native-access=ALL-UNNAMED", "-cp",
          System.getProperty("java.class.path"), "-Dvrift.jni=" + System.getProperty("vrift.jni"), Worker.class.getName(), temp.toString()));
      command.addAll(List.of(arguments));
      process = new ProcessBuilder(command).redirectError(ProcessBuilder.Redirect.INHERIT).start();
      orders = new PrintStream(process.getOutputStream(), true, StandardCharsets.US_ASCII);
      answers = new BufferedReader(new InputStreamReader(process.getInputStream(), StandardCharsets.US_ASCII));
    }

    void order(long seed) {
      orders.println(seed);
    }

    /** The answer, or a new process if it was killed. */
    long await() throws Exception {
      String line;
      try {
        line = answers.readLine();
      } catch (IOException e) {
        line = null; // the pipe of a killed one
      }
      if (line != null) {
        return Long.parseLong(line);
      }
      assertTrue(process.waitFor(10, TimeUnit.SECONDS));
      assertEquals(137, process.exitValue(), "a worker failed by itself");
      deaths++;
      start();
      return 0;
    }

    void kill() {
      process.toHandle().destroyForcibly();
    }

    void end() throws Exception {
      orders.close();
      if (!process.waitFor(10, TimeUnit.SECONDS)) {
        kill();
      }
    }
  }

  @Test
  void nothingReferencedIsEverTaken() throws Exception {
    int rounds = Integer.getInteger("vrift.storm.rounds", 40);
    long seed = Long.getLong("vrift.storm.seed", 20261125);
    System.out.println("collector storm: seed " + seed + ", " + rounds + " rounds");
    Random random = new Random(seed);
    store = ContentStore.open(temp.resolve("cas"));
    List<Child> children = new ArrayList<>();
    for (int i = 0; i < PROJECTS; i++) {
      children.add(new Child("ingest", Integer.toString(i)));
    }
    for (int i = 0; i < COLLECTORS; i++) {
      children.add(new Child("collect"));
    }
    long taken = 0;
    long looked = 0;
    for (int round = 0; round < rounds; round++) {
      for (Child c : children) {
        c.order(random.nextLong());
      }
      if (random.nextInt(KILL_ONE_IN) == 0) {
        Thread.sleep(random.nextInt(12));
        children.get(random.nextInt(children.size())).kill();
      }
      for (int i = 0; i < children.size(); i++) {
        long answer = children.get(i).await();
        taken += i < PROJECTS ? 0 : answer;
      }
      Collector.recoverIfIdle(store); // what a killed one had moved away
      looked += look(round);
    }
    int deaths = 0;
    for (Child c : children) {
      c.end();
      deaths += c.deaths;
    }
    assertTrue(taken > rounds, "only " + taken + " taken: the storm is none");
    System.out.println("collector storm: " + taken + " blobs taken, " + deaths + " workers killed, " + looked + " references looked at, 0 missing");
  }

  /** Every reference of every project; their number. */
  private long look(int round) throws Exception {
    Set<Digest> seen = new HashSet<>();
    for (String id : References.projects(store)) {
      References.State s = References.read(References.file(store, id), (digest, size, path) -> seen.add(Digest.of(digest)));
      assertEquals(References.State.GOOD, s);
    }
    for (Digest d : seen) {
      assertEquals(ContentStore.Health.GOOD, store.verify(d, -1), "round " + round + ": " + d);
    }
    assertEquals(List.of(), ContentStore.names(store.quarantined()));
    return seen.size();
  }

  /** {@code DIRECTORY ingest N}: changes files of a project and ingests it; {@code DIRECTORY collect}: takes everything that nobody references. */
  static final class Worker {
    public static void main(String[] args) throws Exception {
      Path temp = Path.of(args[0]);
      ContentStore store = ContentStore.open(temp.resolve("cas"));
      BufferedReader orders = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.US_ASCII));
      if (args[1].equals("collect")) {
        for (String line = orders.readLine(); line != null; line = orders.readLine()) {
          long taken = 0;
          for (int i = 0; i < 4; i++) {
            taken += new Collector(store, 0).collect(new CollectionPolicy(-1, 0, false)).takenBlobs();
          }
          System.out.println(taken);
        }
        return;
      }
      Path root = Files.createDirectories(temp.resolve("project" + args[2]));
      String id = "000000000000000" + args[2];
      IngestPolicy now = new IngestPolicy(true, Long.MAX_VALUE, Long.MAX_VALUE, 0, 50, 0, Long.MAX_VALUE);
      try (CasService service = new CasService(store, new MemoryIndex(), id, ContentStore.bytes(root), now)) {
        for (String line = orders.readLine(); line != null; line = orders.readLine()) {
          Random random = new Random(Long.parseLong(line));
          for (int i = 0; i < FILES; i++) {
            if (random.nextInt(3) == 0) {
              Files.writeString(root.resolve("f" + i), "content " + random.nextInt(CONTENTS) + "x".repeat(random.nextInt(3) * 3000));
            }
          }
          IngestReport r = service.ingest(true);
          if (r.failed() > 0) {
            throw new IllegalStateException(r.toString());
          }
          System.out.println(r.stored());
        }
      }
    }
  }
}
