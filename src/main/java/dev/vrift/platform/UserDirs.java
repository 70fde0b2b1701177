package dev.vrift.platform;

import java.nio.file.Path;
import java.util.Map;

/** The user's directories by the XDG base directory specification; relative values are ignored, as it says. */
public record UserDirs(Path state, Path cache, Path config) {

  /** From an environment. Throws {@link IllegalStateException} when neither HOME nor the variable is there. */
  public static UserDirs of(Map<String, String> environment) {
    return new UserDirs(
        find(environment, "XDG_STATE_HOME", ".local/state"),
        find(environment, "XDG_CACHE_HOME", ".cache"),
        find(environment, "XDG_CONFIG_HOME", ".config"));
  }

  private static Path find(Map<String, String> environment, String variable, String below) {
    String value = environment.get(variable);
    if (value != null && value.startsWith("/")) {
      return Path.of(value, "vrift");
    }
    String home = environment.get("HOME");
    if (home == null || !home.startsWith("/")) {
      throw new IllegalStateException("neither " + variable + " nor HOME is an absolute path; set HOME");
    }
    return Path.of(home, below, "vrift");
  }

  /** State of one project: LMDB and salvage. */
  public Path project(String id) {
    return state.resolve("projects").resolve(id);
  }

  public Path logs() {
    return state.resolve("log");
  }

  public Path log(String name) {
    return logs().resolve(name + ".log");
  }

  public Path cas() {
    return cache.resolve("cas");
  }
}
