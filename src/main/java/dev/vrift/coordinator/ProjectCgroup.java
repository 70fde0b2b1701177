package dev.vrift.coordinator;

import dev.vrift.config.Config;
import dev.vrift.config.Setting;
import dev.vrift.health.CgroupLeftovers;
import dev.vrift.platform.Log;
import dev.vrift.platform.RunPaths;
import dev.vrift.wire.Json;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.FileAlreadyExistsException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;

/**
 * The cgroup of one project's daemon, in every hierarchy that can limit something. Nothing here fails a start: what cannot be made is said once, and the
 * daemon runs without. Used by the project's supervisor thread; {@link #describe} by any.
 */
final class ProjectCgroup {
  private static final long REST_BYTES = 512L << 20;
  private static final int CPU_PERIOD_US = 100_000;
  private static final long BYTES_MAX = 1L << 62;

  /** What a daemon may use: bytes, per cent of one processor (0: any), threads. */
  record Limits(long memoryBytes, long cpuPercent, long threads) {
    static Limits of(Config c) {
      long memory = c.get(Setting.VDIR_MAX_MEMORY_BYTES);
      long standard = 2 * c.get(Setting.QUOTA_MAX_VDIR_BYTES) + REST_BYTES;
      return new Limits(memory == 0 ? standard : memory, c.get(Setting.VDIR_CPU_PERCENT), c.get(Setting.VDIR_MAX_THREADS));
    }
  }

  private final CgroupPlaces places;
  private final String name;
  private volatile boolean made;
  private volatile String problem;

  ProjectCgroup(CgroupPlaces places, RunPaths run, String id) {
    this.places = places;
    this.name = CgroupLeftovers.name(run, id);
    this.problem = places.none();
  }

  /** Makes the directories if need be, sets the limits and moves the process in, with all its threads. */
  void enter(int pid, Limits limits) {
    List<String> failed = new ArrayList<>();
    int entered = 0;
    for (CgroupPlaces.Place p : places.places()) {
      Path dir = p.dir().resolve(name);
      try {
        make(dir);
        limit(p, dir, limits, failed);
        if (!Files.exists(dir)) {
          make(dir); // swept by another runtime directory's coordinator in just this moment
        }
        write(dir.resolve("cgroup.procs"), Integer.toString(pid));
        entered++;
      } catch (IOException e) {
        failed.add(dir + ": " + e.getMessage());
      }
    }
    made |= entered > 0;
    String text = failed.isEmpty() ? places.none() : String.join("; ", failed);
    if (text != null && !text.equals(problem)) {
      Log.warn("pid " + pid + " runs without some limits: " + text);
    }
    problem = text;
  }

  private static void make(Path dir) throws IOException {
    try {
      Files.createDirectory(dir);
    } catch (FileAlreadyExistsException e) {
      return; // a predecessor's: the same name is the same project
    }
  }

  private static void limit(CgroupPlaces.Place p, Path dir, Limits limits, List<String> failed) {
    if (p.controllers().contains("memory")) {
      set(dir, p.unified() ? "memory.max" : "memory.limit_in_bytes", Long.toString(Math.min(limits.memoryBytes(), BYTES_MAX)), failed);
      if (p.unified() && Files.exists(dir.resolve("memory.swap.max"))) {
        set(dir, "memory.swap.max", "0", failed);
      }
    }
    if (p.controllers().contains("cpu")) {
      long quota = limits.cpuPercent() * (CPU_PERIOD_US / 100);
      if (p.unified()) {
        set(dir, "cpu.max", (quota == 0 ? "max" : Long.toString(quota)) + " " + CPU_PERIOD_US, failed);
      } else {
        set(dir, "cpu.cfs_quota_us", quota == 0 ? "-1" : Long.toString(quota), failed);
      }
    }
    if (p.controllers().contains("pids")) {
      set(dir, "pids.max", Long.toString(limits.threads()), failed);
    }
  }

  private static void set(Path dir, String file, String value, List<String> failed) {
    try {
      write(dir.resolve(file), value);
    } catch (IOException e) {
      failed.add(dir.resolve(file) + " = " + value + ": " + e.getMessage());
    }
  }

  /** One write() of an existing file: what the kernel's files want. */
  private static void write(Path file, String text) throws IOException {
    try (java.io.FileOutputStream out = new java.io.FileOutputStream(file.toFile(), true)) {
      out.write(text.getBytes(StandardCharsets.US_ASCII));
    }
  }

  /** A daemon that died before starts with a quarter of the usual weight: its trouble is not to be paid by others. Normal again when it serves. */
  void weigh(boolean little) {
    for (CgroupPlaces.Place p : made ? places.places() : List.<CgroupPlaces.Place>of()) {
      if (p.controllers().contains("cpu")) {
        String value = p.unified() ? (little ? "25" : "100") : little ? "256" : "1024";
        set(p.dir().resolve(name), p.unified() ? "cpu.weight" : "cpu.shares", value, new ArrayList<>());
      }
    }
  }

  /** Removes the directories. To be called when the daemon is dead; one that still has a process stays for the health loop. */
  void remove() {
    for (CgroupPlaces.Place p : places.places()) {
      try {
        Files.deleteIfExists(p.dir().resolve(name));
      } catch (IOException e) {
        Log.info(p.dir().resolve(name) + " stays for now: " + e.getMessage());
      }
    }
    made = false;
  }

  /** Adds what there is, as fields of an object that is open. */
  void describe(Json out) {
    if (problem != null) {
      out.field("cgroup_problem", problem);
    }
    for (CgroupPlaces.Place p : made ? places.places() : List.<CgroupPlaces.Place>of()) {
      if (p.controllers().contains("memory")) {
        Path dir = p.dir().resolve(name);
        out.field("cgroup", dir.toString());
        out.field("memory_bytes", number(dir.resolve(p.unified() ? "memory.current" : "memory.usage_in_bytes")));
        out.field("memory_limit_bytes", number(dir.resolve(p.unified() ? "memory.max" : "memory.limit_in_bytes")));
      }
    }
  }

  private static long number(Path file) {
    try {
      return Long.parseLong(Files.readString(file).strip());
    } catch (IOException | NumberFormatException e) {
      return -1;
    }
  }
}
