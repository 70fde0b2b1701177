package dev.vrift.it;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/** What runs out: in every case the build goes on natively and right, {@code status} says why, and it comes back by itself. */
@Timeout(180)
class LimitsIT {
  /** A little build: reads, writes, rewrites, asks. */
  private static final String WORK = "for i in 1 2 3; do cat d$i/f; echo x$i > out$i; cat out$i; stat -c %s out$i; test -e none$i || echo no; done";
  private static final String RESULT = "1\nx1\n3\nno\n2\nx2\n3\nno\n3\nx3\n3\nno\n";
  /** Not stuck; how fast is measured elsewhere, on machines with nothing else to do. */
  private static final long QUICK_MS = 30_000;

  private Bed bed;
  private Path project;

  @BeforeEach
  void open() throws IOException {
    bed = new Bed();
    project = bed.project("p");
    for (int i = 1; i <= 9; i++) {
      Files.writeString(Files.createDirectory(project.resolve("d" + i)).resolve("f"), i + "\n");
    }
  }

  @AfterEach
  void close() throws Exception {
    bed.close();
  }

  /** Runs a script in the project with everything below it limited by {@code limit}; {@code $V} is vrift, {@code $WORK} the build. */
  private String limited(String limit, String script) throws Exception {
    return limited(List.of("sh"), limit, script);
  }

  private String limited(List<String> shell, String limit, String script) throws Exception {
    bed.env.put("V", Bed.vrift());
    bed.env.put("WORK", WORK);
    List<String> command = new java.util.ArrayList<>(shell);
    command.addAll(List.of("-c", limit + "; " + script));
    return bed.run(project, 0, command.toArray(String[]::new));
  }

  private void right(String output) {
    assertEquals(RESULT, output.replaceAll("(?m)^vrift: .*\n", ""), output);
  }

  /** The limit is gone: the next command brings vrift back; or one after the pause that starts which went wrong are waited out with (30 s at most). */
  private void comesBack() throws Exception {
    for (int i = 0; i < 40 && !bed.status(project).contains("\"state\":\"serving\""); i++) {
      right(bed.build(project, 0, WORK));
      Thread.sleep(1_000);
    }
    bed.serving(project);
    right(bed.build(project, 0, WORK));
  }

  /** A process that is just ending is no longer listed and still counts. */
  private static void removed(Path group) throws Exception {
    Bed.until(
        group + " is removed",
        () -> {
          try {
            return Files.deleteIfExists(group) || !Files.exists(group);
          } catch (IOException busy) {
            return false;
          }
        });
  }

  private static void needRoot() {
    assumeTrue("root".equals(System.getProperty("user.name")), "needs root");
  }

  private static void needs(String... command) throws Exception {
    int code = new ProcessBuilder(command).redirectErrorStream(true).redirectOutput(ProcessBuilder.Redirect.DISCARD).start().waitFor();
    assumeTrue(code == 0, String.join(" ", command) + " does not work here");
  }

  @Test
  void outOfDescriptors() throws Exception {
    for (int n : List.of(12, 14, 20)) {
      long start = System.nanoTime();
      right(limited("ulimit -n " + n, "$V run -- sh -c \"$WORK\""));
      assertTrue((System.nanoTime() - start) / 1_000_000 < QUICK_MS);
      bed.vrift(project, -1, "stop", "--all");
    }
    comesBack();
    right(limited("ulimit -n 12", "$V run -- sh -c \"$WORK\"")); // the client only: the daemon has enough
  }

  @Test
  void outOfMemory() throws Exception {
    right(limited("ulimit -v 300000", "$V run -- sh -c \"$WORK\"")); // no JVM starts
    comesBack();
    for (int kib : List.of(12_000, 20_000, 40_000, 90_000)) { // a client that cannot map the VDir
      right(limited("ulimit -v " + kib, "$V run -- sh -c \"$WORK\""));
    }
  }

  /** A container whose processes have one memory limit: the kernel kills the daemon, not the build. */
  @Test
  void outOfMemoryInACgroup() throws Exception {
    needRoot();
    Path group = Path.of("/sys/fs/cgroup/memory/vrift-it-" + ProcessHandle.current().pid());
    assumeTrue(Files.isDirectory(group.getParent()), "no memory cgroup (v1) here");
    Files.createDirectory(group);
    try {
      Files.writeString(group.resolve("memory.limit_in_bytes"), "24000000");
      long start = System.nanoTime();
      right(limited("echo $$ > " + group + "/cgroup.procs", "$V run -- sh -c \"$WORK\""));
      assertTrue((System.nanoTime() - start) / 1_000_000 < QUICK_MS);
    } finally {
      bed.vrift(project, -1, "stop", "--all");
      Bed.until("the cgroup is empty", () -> Files.readString(group.resolve("cgroup.procs")).isEmpty());
      removed(group);
    }
    comesBack();
  }

  @Test
  void outOfPids() throws Exception {
    needRoot();
    Path group = Path.of("/sys/fs/cgroup/pids/vrift-it-" + ProcessHandle.current().pid());
    assumeTrue(Files.isDirectory(group.getParent()), "no pids cgroup (v1) here");
    Files.createDirectory(group);
    try {
      Files.writeString(group.resolve("pids.max"), "9");
      right(limited("echo $$ > " + group + "/cgroup.procs", "$V run -- sh -c \"$WORK\""));
      Bed.until("the daemons have given up", () -> Files.readString(group.resolve("cgroup.procs")).isEmpty());
    } finally {
      removed(group);
    }
    comesBack();
  }

  /** Threads of daemons would count against the limit of the build (`ulimit -u`): none is started. The superuser's are not counted, so another user types it. */
  @Test
  void fewProcessesForTheUser() throws Exception {
    fewProcesses("");
  }

  /** The same for who is root in a user namespace only, as in a container that was made without the superuser. */
  @Test
  void fewProcessesForRootOfAUserNamespace() throws Exception {
    needs("setpriv", "--reuid=12345", "--regid=12345", "--clear-groups", "unshare", "-Ur", "true");
    fewProcesses("unshare -Ur");
  }

  private void fewProcesses(String inside) throws Exception {
    needRoot();
    needs("setpriv", "--reuid", "12345", "true");
    String out = limited("d=$(mktemp -d /tmp/vrift-it-XXXXXX)", """
        trap 'setpriv --reuid=12345 --regid=12345 --clear-groups "$d/dist/bin/vrift" stop --all >/dev/null 2>&1; rm -rf "$d"' EXIT
        cp -r "$(dirname "$V")/.." "$d/dist" && cp -r . "$d/p" && mkdir "$d/home" "$d/run" && chmod 700 "$d/run" && chown -R 12345:12345 "$d"
        chmod 755 "$d" && cd "$d/p"
        export HOME="$d/home" XDG_STATE_HOME="$d/home/s" XDG_CACHE_HOME="$d/home/c" VRIFT_RUNTIME_DIR="$d/run"
        setpriv --reuid=12345 --regid=12345 --clear-groups prlimit --nproc=40 INSIDE "$d/dist/bin/vrift" run -- sh -c "$WORK" 2>&1
        ls "$d/run"
        """.replace("INSIDE", inside));
    assertTrue(out.contains("limited to 40 processes and threads (`ulimit -u`)"), out);
    right(out.replaceAll("(?m)^(lib|p)\n", ""));
    assertFalse(out.contains("vriftd"), out);
  }

  /** A build below a small stack: the launcher itself needs little. */
  @Test
  void smallStack() throws Exception {
    right(limited("ulimit -s 80", "$V run -- sh -c \"$WORK\""));
    comesBack();
  }

  /** Environment that a JVM cannot read as text: the launcher and the daemons use the same directories, so that doctor finds nothing. */
  @Test
  void directoriesThatAreNotText() throws Exception {
    String out = limited("export XDG_STATE_HOME=$(printf '%s/st\\377' \"$HOME\")", "mkdir -p \"$HOME\"; $V init > /dev/null; $V doctor; $V stop --all > /dev/null; ls \"$HOME\" \"$HOME/.local/state/vrift\"");
    assertFalse(out.contains("-dir]"), out);
    assertTrue(out.contains("log\n"), out);
    assertTrue(out.contains("projects\n"), out);
    assertFalse(out.lines().anyMatch(line -> line.startsWith("st")), out);
  }

  /** doctor names a runtime directory in which nothing can be made. */
  @Test
  void runDirectoryReadOnlyOrFull() throws Exception {
    needRoot();
    needs("unshare", "-m", "true");
    for (String mount : List.of("ro,mode=700", "mode=700,nr_inodes=1", "mode=700,size=4k")) {
      String out = limited(List.of("unshare", "-m", "sh"), "mkdir -p \"$VRIFT_RUNTIME_DIR\"; mount -t tmpfs -o " + mount + " none \"$VRIFT_RUNTIME_DIR\"",
          "(echo full > \"$VRIFT_RUNTIME_DIR/f\") 2>/dev/null; $V run -- sh -c \"$WORK\" 2>/dev/null; echo ==; $V doctor 2>&1; echo ==; $V init 2>&1; true");
      String[] parts = out.split("==\n");
      assertEquals(RESULT, parts[0], out);
      assertTrue(parts[1].contains("no file can be made in"), mount + ": " + out);
      assertTrue(parts[2].contains("vriftd could not be started; no file can be made in"), mount + ": " + out);
    }
  }

  @Test
  void outOfInotifyWatches() throws Exception {
    needs("unshare", "-U", "-r", "true");
    String out = limited(List.of("unshare", "-U", "-r", "sh"), "echo 4 > /proc/sys/user/max_inotify_watches",
        "$V init > /dev/null; $V run -- sh -c \"$WORK\"; echo ==; $V status; $V doctor; $V stop --all > /dev/null");
    assertEquals(RESULT, out.substring(0, out.indexOf("==")), out);
    assertTrue(out.contains("limit: the user's inotify watches are used up"), out);
    assertTrue(out.contains("[limit]"), out);
    assertFalse(out.contains("nothing is wrong"), out);
  }

  @Test
  void outOfInotifyInstances() throws Exception {
    needs("unshare", "-U", "-r", "true");
    String out = limited(List.of("unshare", "-U", "-r", "sh"), "echo 0 > /proc/sys/user/max_inotify_instances",
        "$V run -- sh -c \"$WORK\"; sleep 2; $V run -- sh -c \"$WORK\"; echo ==; $V status; $V stop --all > /dev/null");
    assertEquals(RESULT + RESULT, out.substring(0, out.indexOf("==")), out);
    assertTrue(out.contains("could not serve"), out);
  }

  /** As in containers, smaller: too small to begin, and too small for what the project has; the second comes back when there is room. */
  @Test
  void sharedMemoryTooSmall() throws Exception {
    needRoot();
    needs("unshare", "-m", "true");
    List<String> own = List.of("unshare", "-m", "sh");
    String small = "mount --make-rprivate /; mount -t tmpfs -o size=1m none /dev/shm";
    String out = limited(own, small, "$V run -- sh -c \"$WORK\"; sleep 2; $V run -- sh -c \"$WORK\"; echo ==; $V status; $V stop --all > /dev/null");
    assertEquals(RESULT + RESULT, out.substring(0, out.indexOf("==")), out);
    assertTrue(out.contains("could not serve") && out.contains("/dev/shm"), out);

    String many = "import os\nfor i in range(9000): open('file_with_a_rather_long_name_%d.c' % i, 'w').write('x')";
    String sum = "import os\nprint(sum(os.stat(f).st_size for f in os.listdir('.') if f.startswith('file')))";
    bed.env.put("SUM", sum);
    bed.run(project, 0, "python3", "-c", many);
    out = limited(own, "mount --make-rprivate /; mount -t tmpfs -o size=4m none /dev/shm",
        "$V init > /dev/null; sleep 1; $V run -- python3 -c \"$SUM\"; $V run -- sh -c \"$WORK\"; echo ==; $V status; mount -o remount,size=64m /dev/shm; n=0; while [ $n -lt 40 ] && $V status | grep -q limit:; do sleep 0.5; n=$((n+1)); done;"
            + " $V run -- python3 -c \"$SUM\"; echo ==; $V status; $V stop --all > /dev/null");
    String[] parts = out.split("==\n");
    assertEquals("9000\n" + RESULT, parts[0], out);
    assertTrue(parts[1].contains("limit: the memory for what is known"), parts[1]);
    assertTrue(parts[1].contains("9000\n"), out);
    assertFalse(parts[2].contains("limit:"), "not healed: " + out);
  }

  /** State and contents on a full disk: nothing is kept, nothing fails. */
  @Test
  void diskOfStateAndContentsFull() throws Exception {
    needRoot();
    needs("unshare", "-m", "true");
    Path small = Files.createDirectory(bed.base.resolve("small"));
    bed.env.put("XDG_STATE_HOME", small + "/state");
    bed.env.put("XDG_CACHE_HOME", small + "/cache");
    bed.env.put("S", small.toString());
    String out = limited(List.of("unshare", "-m", "sh"), "mount --make-rprivate /; mount -t tmpfs -o size=400k none $S; cat /dev/zero > $S/fill 2>/dev/null",
        "$V run -- sh -c \"$WORK\"; sleep 2; $V run -- sh -c \"$WORK\"; $V cas ingest --all > /dev/null 2>&1; echo ==; $V status; rm $S/fill;"
            + " $V restart > /dev/null; $V run -- sh -c \"$WORK\"; echo ==; $V status; $V stop --all > /dev/null");
    String[] parts = out.split("==\n");
    assertEquals(RESULT + RESULT, parts[0].replaceAll("(?m)^vrift: .*\n", ""), out);
    assertTrue(parts[1].contains(RESULT), out);
    assertTrue(parts[2].contains("serving"), out);
  }

  /** The staging quota: what is beyond passes through, one warning, and it is over when the room is there again. */
  @Test
  void stagingQuotaPausesStagingOfTheHeaviestProjectOnly() throws Exception {
    Path other = bed.project("q");
    bed.env.put("VRIFT_QUOTA_USER_STAGING_BYTES", "1000000");
    bed.vrift(project, 0, "init");
    bed.vrift(other, 0, "init");
    String writer = "import os, time, sys\nf = open('big.o', 'wb')\nf.write(b'x' * int(sys.argv[1]))\nf.flush()\nwhile not os.path.exists(sys.argv[2]): time.sleep(0.1)\nf.close()";
    String go = bed.base.resolve("go").toString();
    Process big = bed.start(project, bed.base.resolve("big"), List.of(Bed.vrift(), "run", "--", "python3", "-c", writer, "2000000", go));
    Process little = bed.start(other, bed.base.resolve("little"), List.of(Bed.vrift(), "run", "--", "python3", "-c", writer, "1000", go));
    Bed.until("the heavy one is paused", () -> status(project).contains("limit: new outputs are written natively"));
    assertFalse(status(other).contains("limit:"), status(other));
    right(bed.build(project, 0, WORK));
    Files.createFile(Path.of(go));
    assertTrue(big.waitFor(30, TimeUnit.SECONDS) && little.waitFor(30, TimeUnit.SECONDS));
    assertEquals(0, big.exitValue() + little.exitValue());
    assertEquals(2_000_000, Files.size(project.resolve("big.o")));
    Bed.until("it is over", () -> !status(project).contains("limit:"));
    right(bed.build(project, 0, WORK));
    String log = bed.vrift(project, 0, "logs");
    assertEquals(1, log.lines().filter(l -> l.contains("new outputs are written natively")).count(), log);
    assertEquals(1, log.lines().filter(l -> l.contains("outputs are staged again")).count(), log);
  }

  /** The text status of one project. */
  private String status(Path p) throws Exception {
    String all = bed.vrift(p, 0, "status");
    int at = all.indexOf(p + "\n");
    int end = at < 0 ? -1 : all.indexOf("\n\n", at);
    return at < 0 ? "" : all.substring(at, end < 0 ? all.length() : end);
  }
}
