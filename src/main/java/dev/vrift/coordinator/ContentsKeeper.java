package dev.vrift.coordinator;

import dev.vrift.config.Config;
import dev.vrift.config.Setting;
import dev.vrift.health.ProjectReport;
import dev.vrift.platform.Log;
import dev.vrift.platform.Processes;
import dev.vrift.platform.RunPaths;
import dev.vrift.platform.UserDirs;
import dev.vrift.wire.JsonReader;
import dev.vrift.wire.WireException;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;

/**
 * Looks after the user's store of contents in idle time, by a process of its own ({@code cas keep}: limit, scrubbing, healing; docs/CONTENTS.md), because
 * vriftd itself reads no project's files. One thread; nobody waits for it, and whatever fails here is tried again at the next look.
 */
final class ContentsKeeper {
  private static final long SECOND_MS = 1_000;
  private static final long MINUTE_MS = 60 * SECOND_MS;
  private static final long HOUR_MS = 60 * MINUTE_MS;
  /** A look that takes longer is ended; it goes on where it likes the next time. */
  private static final long LIMIT_MS = 10 * MINUTE_MS;
  /** While a command runs, a look is put off, but not for longer than this. */
  private static final long PATIENCE_MS = HOUR_MS;

  private final String home;
  private final RunPaths run;
  private final UserDirs dirs;
  private final Registry registry;
  private final long everyMs;
  private final Thread thread;
  private long ledgerSeen;
  private long lastLook = Processes.monotonicMs();

  private ContentsKeeper(String home, RunPaths run, UserDirs dirs, Registry registry, long everyMs) {
    this.home = home;
    this.run = run;
    this.dirs = dirs;
    this.registry = registry;
    this.everyMs = everyMs;
    this.thread = new Thread(null, this::keep, "contents", 256 * 1024);
    thread.setDaemon(true);
  }

  /** Starts looking, unless the settings say never. */
  static ContentsKeeper start(String home, RunPaths run, UserDirs dirs, Registry registry, Config config) {
    ContentsKeeper k = new ContentsKeeper(home, run, dirs, registry, config.get(Setting.CAS_KEEP_SECONDS) * SECOND_MS);
    if (k.everyMs > 0) {
      k.thread.start();
    }
    return k;
  }

  /** Ends it, and the process it may have started. */
  void stop() {
    thread.interrupt();
  }

  private void keep() {
    try {
      while (true) {
        Thread.sleep(everyMs);
        if (due()) {
          look();
          lastLook = Processes.monotonicMs();
        }
      }
    } catch (InterruptedException e) {
      return; // the coordinator ends
    } catch (RuntimeException e) {
      Log.error("the store of contents is no longer looked after; vrift gc and vrift cas verify do it by hand", e);
    }
  }

  /** Something was ingested since the last look, or an hour has passed; and nobody is at work. */
  private boolean due() {
    long since = Processes.monotonicMs() - lastLook;
    long ledger = changed(dirs.cas().resolve("refs"));
    if (ledger == 0 || ledger == ledgerSeen && since < HOUR_MS || since < PATIENCE_MS && busy()) {
      return false;
    }
    ledgerSeen = ledger;
    return true;
  }

  private static long changed(Path directory) {
    try {
      return Files.getLastModifiedTime(directory).toMillis();
    } catch (IOException e) {
      return 0; // there is no store
    }
  }

  private boolean busy() {
    for (ProjectSupervisor s : registry.all()) {
      String report = ProjectReport.of(s.project(), null);
      try {
        if (report != null && JsonReader.object(report).get("sessions") instanceof Long n && n > 0) {
          return true;
        }
      } catch (WireException e) {
        continue; // a report that cannot be read says nothing about sessions
      }
    }
    return false;
  }

  private void look() throws InterruptedException {
    List<String> command = new ArrayList<>();
    command.add(home + "/java");
    command.addAll(List.of("-XX:+UseSerialGC", "-Xms4m", "-Xmx64m", "-Xss512k", "-XX:-UsePerfData", "-XX:+DisableAttachMechanism", "-Xlog:disable"));
    command.addAll(List.of("-XX:TieredStopAtLevel=1", "-XX:SharedArchiveFile=" + home + "/vrift.jsa", "-Dvrift.home=" + home, "-Dvrift.run=" + run.dir()));
    String jni = System.getProperty("vrift.jni");
    if (jni != null) {
      command.add("-Dvrift.jni=" + jni);
    }
    command.addAll(List.of("-jar", home + "/vrift.jar", "cli", "cas", "keep"));
    ProcessBuilder builder = new ProcessBuilder(command).directory(new java.io.File("/"));
    builder.environment().keySet().removeIf(k -> k.startsWith("LD_") || k.startsWith("JAVA_"));
    builder.redirectInput(new java.io.File("/dev/null")).redirectOutput(ProcessBuilder.Redirect.INHERIT).redirectError(ProcessBuilder.Redirect.INHERIT);
    Process p = null;
    try {
      p = builder.start();
      if (!p.waitFor(LIMIT_MS, TimeUnit.MILLISECONDS)) {
        Log.info("a look after the store of contents took more than " + LIMIT_MS / MINUTE_MS + " minutes and was ended; the next goes on");
      } else if (p.exitValue() != 0) {
        Log.warn("a look after the store of contents ended with code " + p.exitValue() + "; it is tried again");
      }
    } catch (IOException e) {
      Log.warn("the store of contents cannot be looked after now (" + e.getMessage() + "); it is tried again");
    } finally {
      if (p != null) {
        p.destroyForcibly();
      }
    }
  }
}
