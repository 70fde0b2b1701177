package dev.vrift.config;

import dev.vrift.platform.Processes;
import dev.vrift.platform.Spelling;
import dev.vrift.platform.Trouble;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.EnumMap;
import java.util.List;
import java.util.Map;
import java.util.regex.Pattern;

/**
 * The settings in force and where each comes from. Later sources win: default, system file, user file, project file, environment, command line.
 * A wrong value never stops anything: it is left out, and {@link #problems} says so. Immutable once loaded; TOML is read only when there is a file.
 */
public final class Config {
  public static final Path SYSTEM = Path.of("/etc/vrift/config.toml");
  public static final String PROJECT_FILE = ".vrift.toml";

  /** A value and its source in words. */
  public record Value(long value, String origin) {}

  private static final int WRITABLE_BY_OTHERS = 002;
  private static final Pattern NUMBER = Pattern.compile("[+-]?[0-9]+(_[0-9]+)*");

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
      c.projectFile(root);
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

  /** It may have come with somebody else's work: whoever may not change the project itself says nothing about it. */
  private void projectFile(Path root) {
    Path file = root.resolve(PROJECT_FILE);
    try {
      Map<String, Object> st = Files.readAttributes(file, "unix:uid,mode", LinkOption.NOFOLLOW_LINKS);
      int uid = (int) st.get("uid");
      boolean trusted = uid == 0 || uid == Processes.uid() || uid == (int) Files.getAttribute(root, "unix:uid");
      if (!trusted || ((int) st.get("mode") & WRITABLE_BY_OTHERS) != 0 && Files.isRegularFile(file, LinkOption.NOFOLLOW_LINKS)) {
        problems.add(file + (trusted ? ": everybody may write it" : ": belongs to another user") + "; the file is ignored");
        return;
      }
    } catch (NoSuchFileException none) {
      return;
    } catch (IOException e) {
      problems.add(Trouble.of(e) + "; the file is ignored");
      return;
    }
    file(file, true);
  }

  private void file(Path file) {
    file(file, false);
  }

  private void file(Path file, boolean ofProject) {
    if (!Files.isRegularFile(file)) {
      if (Files.exists(file, LinkOption.NOFOLLOW_LINKS)) {
        problems.add(file + ": is no file that can be read; ignored");
      }
      return;
    }
    try {
      TomlFile.read(file).forEach((key, value) -> fromFile(file, key, value, ofProject));
    } catch (IOException e) {
      problems.add((e instanceof java.nio.file.FileSystemException ? "" : file + ": ") + Trouble.of(e) + "; the file is ignored");
    }
  }

  private void fromFile(Path file, String key, String value, boolean ofProject) {
    Setting s = Setting.of(key);
    if (s == null) {
      problems.add(file + ": there is no setting " + key + Spelling.hint(key, Setting.keys()) + "; ignored");
    } else if (ofProject && !s.ofProject()) {
      problems.add(file + ": " + key + " holds for all your projects and cannot be set by one; put it into your own config.toml. Ignored");
    } else {
      set(s, value, file.toString());
    }
  }

  private void set(Setting s, String text, String origin) {
    long v;
    boolean truth = s.least() == 0 && s.most() <= 2 && (text.equals("true") || text.equals("false"));
    try {
      if (!truth && !NUMBER.matcher(text).matches()) {
        throw new NumberFormatException(text);
      }
      v = truth ? (text.equals("true") ? 1 : 0) : Long.parseLong(text.replace("_", ""));
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
