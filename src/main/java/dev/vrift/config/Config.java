package dev.vrift.config;

import dev.vrift.platform.Spelling;
import dev.vrift.platform.Trouble;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.EnumMap;
import java.util.List;
import java.util.Map;

/**
 * The settings in force and where each comes from. Later sources win: default, system file, user file, project file, environment, command line.
 * A wrong value never stops anything: it is left out, and {@link #problems} says so. Immutable once loaded; TOML is read only when there is a file.
 */
public final class Config {
  public static final Path SYSTEM = Path.of("/etc/vrift/config.toml");
  public static final String PROJECT_FILE = ".vrift.toml";

  /** A value and its source in words. */
  public record Value(long value, String origin) {}

  private final Map<Setting, Value> values = new EnumMap<>(Setting.class);
  private final List<String> problems = new ArrayList<>();

  private Config() {
    for (Setting s : Setting.values()) {
      values.put(s, new Value(s.standard(), "default"));
    }
  }

  /**
   * Loads everything. {@code root} may be null (no project); {@code overrides} are {@code key=value} words of the command line; {@code userDir} is
   * the user's configuration directory of vrift.
   */
  public static Config load(Path system, Path userDir, Path root, Map<String, String> environment, List<String> overrides) {
    Config c = new Config();
    c.file(system);
    c.file(userDir.resolve("config.toml"));
    if (root != null) {
      c.file(root.resolve(PROJECT_FILE));
    }
    for (Setting s : Setting.values()) {
      String v = environment.get(s.variable());
      if (v != null) {
        c.set(s, v, s.variable());
      }
    }
    for (String word : overrides) {
      int equals = word.indexOf('=');
      Setting s = Setting.of(equals < 0 ? word : word.substring(0, equals));
      if (s == null || equals < 0) {
        c.problems.add("--set " + word + ": not a setting" + Spelling.hint(equals < 0 ? word : word.substring(0, equals), Setting.keys()) + "; see `vrift config show`");
      } else {
        c.set(s, word.substring(equals + 1), "--set");
      }
    }
    return c;
  }

  private void file(Path file) {
    if (!Files.isRegularFile(file)) {
      if (Files.exists(file, LinkOption.NOFOLLOW_LINKS)) {
        problems.add(file + ": is no file that can be read; ignored");
      }
      return;
    }
    try {
      TomlFile.read(file).forEach((key, value) -> fromFile(file, key, value));
    } catch (IOException e) {
      problems.add((e instanceof java.nio.file.FileSystemException ? "" : file + ": ") + Trouble.of(e) + "; the file is ignored");
    }
  }

  private void fromFile(Path file, String key, String value) {
    Setting s = Setting.of(key);
    if (s == null) {
      problems.add(file + ": there is no setting " + key + Spelling.hint(key, Setting.keys()) + "; ignored");
    } else {
      set(s, value, file.toString());
    }
  }

  private void set(Setting s, String text, String origin) {
    long v;
    try {
      v = text.equals("true") ? 1 : text.equals("false") ? 0 : Long.parseLong(text.replace("_", ""));
    } catch (NumberFormatException e) {
      problems.add(origin + ": " + s.key() + " is '" + text + "', not a whole number; ignored");
      return;
    }
    if (v < s.least() || v > s.most()) {
      problems.add(origin + ": " + s.key() + " must be between " + s.least() + " and " + s.most() + ", not " + v + "; ignored");
      return;
    }
    values.put(s, new Value(v, origin));
  }

  public long get(Setting s) {
    return values.get(s).value();
  }

  /** The file, variable or word a value comes from, or {@code default}. */
  public String origin(Setting s) {
    return values.get(s).origin();
  }

  /** What was wrong and left out, one sentence each. */
  public List<String> problems() {
    return List.copyOf(problems);
  }
}
