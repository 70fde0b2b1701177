package dev.vrift.coordinator;

import dev.vrift.platform.Processes;
import dev.vrift.platform.RunPaths;
import dev.vrift.platform.SafeDir;
import dev.vrift.platform.UserDirs;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;

/** The projects of this user, by id. Thread-safe; the monitor is held only to look up and to change the table. */
final class Registry {
  private final RunPaths run;
  private final UserDirs dirs;
  private final VdirStarter starter;
  private final Map<String, ProjectSupervisor> projects = new TreeMap<>();
  private long emptySince = Processes.monotonicMs();
  private final CgroupPlaces places;
  private boolean closed;

  Registry(RunPaths run, UserDirs dirs, VdirStarter starter, CgroupPlaces places) {
    this.places = places;
    this.run = run;
    this.dirs = dirs;
    this.starter = starter;
  }

  /** The supervisor of a root, made if there is none. Throws {@link IOException} for a root that cannot be a project. */
  ProjectSupervisor of(String root) throws IOException {
    check(root);
    RunPaths.Project project = run.of(root);
    makeDirectory(project, root);
    synchronized (this) {
      if (closed) {
        throw new IOException("the coordinator is stopping");
      }
      ProjectSupervisor s = projects.get(project.id());
      if (s != null && s.isLive()) {
        return s;
      }
      s = new ProjectSupervisor(run, dirs, project, root, starter, places);
      projects.put(project.id(), s);
      s.begin();
      return s;
    }
  }

  private static void check(String root) throws IOException {
    Path path = Path.of(root);
    if (!root.startsWith("/") || root.length() < 2 || !Files.isDirectory(path, LinkOption.NOFOLLOW_LINKS)) {
      throw new IOException(root + " is not a directory that can be a project");
    }
    if (!path.toRealPath().toString().equals(root)) {
      throw new IOException(root + " is not a real path (a part of it is a link)");
    }
  }

  private void makeDirectory(RunPaths.Project project, String root) throws IOException {
    for (Path p : List.of(run.projects(), project.dir())) {
      int r = SafeDir.make(RunPaths.bytes(p));
      if (r != 0) {
        throw new IOException(SafeDir.explain(p.toString(), r));
      }
    }
    if (project.root().isEmpty()) {
      Path file = project.dir().resolve("root");
      Path temporary = project.dir().resolve("root." + Thread.currentThread().threadId() + ".new"); // requests come at the same time
      Files.write(temporary, root.getBytes(StandardCharsets.UTF_8));
      Files.move(temporary, file, java.nio.file.StandardCopyOption.ATOMIC_MOVE);
    }
  }

  /** The supervisor of a root if there is one, else null. */
  synchronized ProjectSupervisor find(String root) {
    return projects.get(run.of(root).id());
  }

  synchronized void remove(ProjectSupervisor s) {
    projects.remove(s.project().id(), s);
    noteEmpty();
  }

  /** Supervisors that are at work; those that have ended are dropped. */
  synchronized List<ProjectSupervisor> all() {
    projects.values().removeIf(s -> !s.isLive());
    noteEmpty();
    return new ArrayList<>(projects.values());
  }

  private void noteEmpty() {
    if (!projects.isEmpty()) {
      emptySince = Long.MAX_VALUE;
    } else if (emptySince == Long.MAX_VALUE) {
      emptySince = Processes.monotonicMs();
    }
  }

  /** ms since there was a project; 0 while there is one. */
  synchronized long emptyForMs() {
    all();
    return emptySince == Long.MAX_VALUE ? 0 : Processes.monotonicMs() - emptySince;
  }

  /** Stops every daemon, all at the same time, and takes no new ones. */
  void stopAll(int timeoutMs) throws InterruptedException {
    List<ProjectSupervisor> live;
    synchronized (this) {
      closed = true;
      live = all();
    }
    List<Thread> threads = new ArrayList<>();
    for (ProjectSupervisor s : live) {
      Thread t = new Thread(() -> s.stop(timeoutMs), "stop-" + s.project().id());
      t.start();
      threads.add(t);
    }
    for (Thread t : threads) {
      t.join(timeoutMs);
    }
  }
}
