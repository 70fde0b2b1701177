package dev.vrift.platform;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.DirectoryStream;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.TreeMap;
import java.util.regex.Pattern;

/** Names in the runtime directory (docs/PROTOCOL.md section 1). Immutable. What is read from there is checked before it is used. */
public record RunPaths(Path dir) {
  private static final Pattern ID = Pattern.compile("[0-9a-f]{16}");
  private static final Pattern MAP = Pattern.compile("([0-9a-f]{16})\\.([0-9a-f]{16})");
  private static final Pattern MARKER = Pattern.compile("shm\\.(vdir|board|state)\\.([0-9a-f]{16})");
  private static final int ROOT_MAX = 4096;

  public Path socket() {
    return dir.resolve("vriftd.sock");
  }

  public Path lock() {
    return dir.resolve("vriftd.lock");
  }

  /** Held by a starter of vriftd. */
  public Path startLock() {
    return dir.resolve("vriftd.start");
  }

  public Path pid() {
    return dir.resolve("vriftd.pid");
  }

  /** The cgroup directories that vriftd belongs in, one a line. */
  public Path cgroups() {
    return dir.resolve("cgroups");
  }

  /** The installed version's directory that the running vriftd is from. */
  public Path home() {
    return dir.resolve("home");
  }

  /** Copies of the client library, each in a directory of its own. */
  public Path libraries() {
    return dir.resolve("lib");
  }

  /** Present: nobody restarts anything. */
  public Path stopped() {
    return dir.resolve("stopped");
  }

  /** Held by the one command at a time that asks vriftd for a project. */
  public Path asking(String id) {
    return dir.resolve(id + ".ask");
  }

  /** The same of every project, known or not. */
  public List<Path> allAsking() {
    List<Path> out = new ArrayList<>();
    try (DirectoryStream<Path> in = Files.newDirectoryStream(dir, "*.ask")) {
      in.forEach(out::add);
    } catch (IOException e) {
      return List.of();
    }
    return out;
  }

  public Path projects() {
    return dir.resolve("p");
  }

  public Project project(String id) {
    return new Project(id, projects().resolve(id));
  }

  /** The project of a real root path. */
  public Project of(String root) {
    return project(Hash.hex(Hash.hash64(bytes(root), 0)));
  }

  /** Every project that has a directory, in order of id. */
  public List<Project> all() {
    List<Project> out = new ArrayList<>();
    try (DirectoryStream<Path> in = Files.newDirectoryStream(projects())) {
      for (Path p : in) {
        if (ID.matcher(p.getFileName().toString()).matches() && Files.isDirectory(p, LinkOption.NOFOLLOW_LINKS)) {
          out.add(project(p.getFileName().toString()));
        }
      }
    } catch (IOException e) {
      return out;
    }
    out.sort((a, b) -> a.id().compareTo(b.id()));
    return out;
  }

  /** Bytes of a path or text for natives. */
  public static byte[] bytes(String text) {
    return text.getBytes(StandardCharsets.UTF_8);
  }

  public static byte[] bytes(Path path) {
    return bytes(path.toString());
  }

  /** The names of a project's two shared memory files. */
  public record Shared(String vdir, String board) {
    public Path vdirPath() {
      return Path.of("/dev/shm/vrift_vdir_" + vdir);
    }

    public Path boardPath() {
      return Path.of("/dev/shm/vrift_board_" + board);
    }
  }

  /** The directory of one project. */
  public record Project(String id, Path dir) {
    public Path socket() {
      return dir.resolve("vdir_d.sock");
    }

    public Path lock() {
      return dir.resolve("lock");
    }

    public Path map() {
      return dir.resolve("map");
    }

    public Path stopped() {
      return dir.resolve("stopped");
    }

    /** The state file that goes with a VDir (docs/ADOPTION.md), if a link of its name is well-formed. */
    public Optional<Path> state(String vdir) {
      try {
        String id = Files.readSymbolicLink(dir.resolve("state." + vdir)).toString();
        return ID.matcher(id).matches() ? Optional.of(Path.of("/dev/shm/vrift_state_" + id)) : Optional.empty();
      } catch (IOException | UnsupportedOperationException e) {
        return Optional.empty();
      }
    }

    /** Every file in /dev/shm that was begun for this project and is not known to be gone: its marker is the key. */
    public Map<Path, Path> begun() {
      Map<Path, Path> out = new TreeMap<>();
      try (DirectoryStream<Path> in = Files.newDirectoryStream(dir, "shm.*")) {
        for (Path p : in) {
          var m = MARKER.matcher(p.getFileName().toString());
          if (m.matches()) {
            out.put(p, Path.of("/dev/shm/vrift_" + m.group(1) + "_" + m.group(2)));
          }
        }
      } catch (IOException e) {
        return out;
      }
      return out;
    }

    /** The root as written there, if it belongs to this id. */
    public Optional<String> root() {
      return text("root").filter(r -> r.startsWith("/") && Hash.hex(Hash.hash64(bytes(r), 0)).equals(id));
    }

    /** The number in the pid file, if it is one. It may be that of a dead process, or of another. */
    public Optional<Integer> pid() {
      try {
        return text("pid").map(String::trim).map(Integer::valueOf).filter(p -> p > 0);
      } catch (NumberFormatException e) {
        return Optional.empty();
      }
    }

    /** What the map link names, if it is well-formed. */
    public Optional<Shared> shared() {
      try {
        var m = MAP.matcher(Files.readSymbolicLink(map()).toString());
        return m.matches() ? Optional.of(new Shared(m.group(1), m.group(2))) : Optional.empty();
      } catch (IOException | UnsupportedOperationException e) {
        return Optional.empty();
      }
    }

    private Optional<String> text(String name) {
      Path file = dir.resolve(name);
      try {
        if (!Files.isRegularFile(file, LinkOption.NOFOLLOW_LINKS) || Files.size(file) > ROOT_MAX) {
          return Optional.empty();
        }
        return Optional.of(new String(Files.readAllBytes(file), StandardCharsets.UTF_8).stripTrailing());
      } catch (IOException e) {
        return Optional.empty();
      }
    }
  }
}
