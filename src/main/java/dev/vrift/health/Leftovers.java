package dev.vrift.health;

import dev.vrift.cas.HotTier;
import dev.vrift.platform.Processes;
import dev.vrift.platform.RunPaths;
import dev.vrift.platform.Trouble;
import dev.vrift.platform.UserDirs;
import java.io.IOException;
import java.nio.file.DirectoryNotEmptyException;
import java.nio.file.DirectoryStream;
import java.nio.file.FileVisitResult;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.Path;
import java.nio.file.SimpleFileVisitor;
import java.nio.file.attribute.BasicFileAttributes;
import java.util.ArrayList;
import java.util.List;

/** Removes what a daemon that is <em>dead</em> left behind. The callers have seen it dead. Missing files are no error; links are not followed. */
public final class Leftovers {
  private static final long LIBRARY_REST_MS = 60_000;
  private static final int LOCK_MS = 300;
  private static final int LOCK_STEP_MS = 5;
  private static final int[] NOBODY = {-1};

  private Leftovers() {}

  /** For callers that hold the project's lock. Socket, links, pid file and the shared memory files of a project. Its lock and root stay. */
  private static void removeRuntime(RunPaths.Project project) {
    project.shared().ifPresent(s -> {
      project.state(s.vdir()).ifPresent(Leftovers::delete);
      delete(s.vdirPath());
      delete(s.boardPath());
    });
    project.begun().forEach((marker, file) -> {
      delete(file);
      delete(marker);
    });
    try (DirectoryStream<Path> links = Files.newDirectoryStream(project.dir(), "state.*")) {
      links.forEach(Leftovers::delete);
    } catch (IOException e) {
      return; // there is no such directory
    }
    delete(project.map());
    delete(project.socket());
    delete(project.dir().resolve("pid"));
  }

  /**
   * The same while holding the project's lock, so that a daemon that starts at this moment loses nothing (it waits for the lock). False: one holds it,
   * nothing was removed.
   */
  public static boolean removeRuntimeOfDead(RunPaths.Project project) {
    if (!Files.isDirectory(project.dir(), LinkOption.NOFOLLOW_LINKS)) {
      return true;
    }
    long until = Processes.monotonicMs() + LOCK_MS;
    int lock = Processes.lock(RunPaths.bytes(project.lock()));
    while (lock < 0 && Processes.monotonicMs() < until) {
      Processes.poll(NOBODY, LOCK_STEP_MS); // somebody else may just be removing the same
      lock = Processes.lock(RunPaths.bytes(project.lock()));
    }
    if (lock < 0) {
      return false;
    }
    removeRuntime(project);
    Processes.close(lock);
    return true;
  }

  /** Everything of a project: runtime entries, state (LMDB, salvage), log, staging. Returns what could not be removed. */
  public static List<String> forget(RunPaths run, UserDirs dirs, RunPaths.Project project, String root) {
    List<String> failed = new ArrayList<>();
    if (!removeRuntimeOfDead(project)) {
      failed.add(project.dir() + ": a daemon uses it");
      return failed;
    }
    removeTree(project.dir(), failed);
    delete(run.asking(project.id()));
    removeTree(dirs.project(project.id()), failed);
    delete(dirs.log(project.id()));
    delete(dirs.logs().resolve(project.id() + ".log.1"));
    delete(dirs.cas().resolve("refs").resolve(project.id())); // what it refers to in the store of contents
    removeJournals(dirs.cas().resolve("refs"), project.id());
    if (Files.isDirectory(Path.of(root, ".vrift"), LinkOption.NOFOLLOW_LINKS)) { // a link (of a repository from elsewhere) leads to what is not ours
      removeTree(Path.of(root, ".vrift", "staging"), failed);
    }
    removeIfEmpty(run.projects());
    removeIfEmpty(dirs.state().resolve("projects"));
    return failed;
  }

  /**
   * What all projects share: coordinator, its files, logs, contents. To be called when no project is left. Locks are removed by their holder only, so
   * a starter at the same moment is never cheated. Returns what could not be removed.
   */
  public static List<String> removeCommon(RunPaths run, UserDirs dirs) {
    List<String> failed = new ArrayList<>();
    int starting = Processes.lock(RunPaths.bytes(run.startLock()));
    if (starting >= 0) {
      if (DaemonStop.coordinator(run)) {
        int serving = Processes.lock(RunPaths.bytes(run.lock()));
        if (serving >= 0) {
          for (Path p : List.of(run.stopped(), run.pid(), run.socket(), run.dir().resolve("libvrift_shim.so"), run.cgroups(), run.home(), run.lock())) {
            delete(p);
          }
          removeTree(run.libraries(), failed);
          run.allAsking().forEach(Leftovers::delete);
          Processes.close(serving);
        }
      }
      delete(run.startLock());
      Processes.close(starting);
    }
    removeIfEmpty(run.projects());
    removeIfEmpty(run.dir());
    removeTree(dirs.logs(), failed);
    delete(dirs.state().resolve("programs.v1")); // of earlier versions
    delete(dirs.state().resolve("programs.v2"));
    removeIfEmpty(dirs.state());
    removeTree(dirs.cas(), failed);
    HotTier.remove();
    removeIfEmpty(dirs.cache());
    return failed;
  }

  /** What a project was publishing: its references are gone, so are these. */
  private static void removeJournals(Path references, String id) {
    try (DirectoryStream<Path> all = Files.newDirectoryStream(references, id + ".pending.*")) {
      all.forEach(Leftovers::delete);
    } catch (IOException e) {
      return; // there is no store
    }
  }

  /**
   * Copies of the client library (RUN/lib) that no process has mapped or in its environment, except the newest and those used within a minute. Looks at all
   * processes: not for every day.
   */
  public static void removeUnusedLibraries(RunPaths run) {
    List<Path> copies = new ArrayList<>();
    try (var in = Files.newDirectoryStream(run.libraries())) {
      in.forEach(copies::add);
    } catch (IOException e) {
      return;
    }
    if (copies.size() < 2) {
      return;
    }
    copies.sort(java.util.Comparator.comparingLong(Leftovers::usedAt));
    long newest = usedAt(copies.removeLast());
    copies.removeIf(p -> newest - usedAt(p) < LIBRARY_REST_MS || Users.has(p));
    List<String> failed = new ArrayList<>();
    copies.forEach(p -> removeTree(p, failed));
  }

  private static long usedAt(Path copy) {
    Path library = copy.resolve("libvrift_shim.so");
    return library.toFile().lastModified(); // 0: not there
  }

  /** Removes a file or link; true if it was there and is gone. */
  public static boolean delete(Path file) {
    try {
      return Files.deleteIfExists(file);
    } catch (IOException e) {
      return false;
    }
  }

  /** Removes a directory that is empty; anything else is left alone. */
  public static boolean removeIfEmpty(Path dir) {
    try {
      return Files.isDirectory(dir, LinkOption.NOFOLLOW_LINKS) && Files.deleteIfExists(dir);
    } catch (DirectoryNotEmptyException e) {
      return false;
    } catch (IOException e) {
      return false;
    }
  }

  /** Removes a tree of ours. What stays is added to {@code failed} with the reason. */
  public static void removeTree(Path top, List<String> failed) {
    if (!Files.exists(top, LinkOption.NOFOLLOW_LINKS)) {
      return;
    }
    try {
      Files.walkFileTree(top, new Remover(failed));
    } catch (IOException e) {
      failed.add(Trouble.of(e));
    }
  }

  private static final class Remover extends SimpleFileVisitor<Path> {
    private final List<String> failed;

    Remover(List<String> failed) {
      this.failed = failed;
    }

    @Override
    public FileVisitResult visitFile(Path file, BasicFileAttributes attributes) {
      remove(file);
      return FileVisitResult.CONTINUE;
    }

    @Override
    public FileVisitResult visitFileFailed(Path file, IOException e) {
      failed.add(Trouble.of(e));
      return FileVisitResult.CONTINUE;
    }

    @Override
    public FileVisitResult postVisitDirectory(Path dir, IOException e) {
      remove(dir);
      return FileVisitResult.CONTINUE;
    }

    private void remove(Path p) {
      try {
        Files.deleteIfExists(p);
      } catch (IOException e) {
        failed.add(Trouble.of(e));
      }
    }
  }
}
