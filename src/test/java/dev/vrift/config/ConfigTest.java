package dev.vrift.config;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.vrift.platform.Processes;
import java.io.IOException;
import java.io.InputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class ConfigTest {
  @TempDir Path temp;

  private Config load(Map<String, String> env, String... overrides) {
    return Config.load(temp.resolve("system.toml"), temp.resolve("user"), temp.resolve("root"), env, List.of(overrides));
  }

  private void write(String name, String text) throws IOException {
    Path file = temp.resolve(name);
    Files.createDirectories(file.getParent());
    Files.writeString(file, text);
  }

  @Test
  void laterSourcesWinAndAreNamed() throws IOException {
    Setting s = Setting.QUOTA_MAX_FILES;
    assertEquals("default", load(Map.of()).origin(s));
    assertEquals(10_000_000, load(Map.of()).get(s));
    write("system.toml", "quota.max_files = 2_000\n[cas]\ningest = false\n");
    assertEquals(2000, load(Map.of()).get(s));
    assertEquals(0, load(Map.of()).get(Setting.CAS_INGEST));
    write("user/config.toml", "[quota]\nmax_files = 3000");
    assertEquals(3000, load(Map.of()).get(s));
    write("root/.vrift.toml", "[quota]\nmax_files = 4000");
    assertEquals(temp.resolve("root/.vrift.toml").toString(), load(Map.of()).origin(s));
    Map<String, String> env = Map.of("VRIFT_QUOTA_MAX_FILES", "5000");
    assertEquals(5000, load(env).get(s));
    assertEquals("VRIFT_QUOTA_MAX_FILES", load(env).origin(s));
    assertEquals(6000, load(env, "quota.max_files=6000").get(s));
    assertEquals("--set", load(env, "quota.max_files=6000").origin(s));
    assertEquals(0, load(env).get(Setting.CAS_INGEST));
    assertEquals(List.of(), load(env).problems());
  }

  @Test
  void wrongValuesAreLeftOutAndSaid() throws IOException {
    write("system.toml", "quota.max_files = 2000");
    write("user/config.toml", "quota.max_files = 'many'\nnosuch.key = 1\n");
    write("root/.vrift.toml", "quota.max_files = = 3\n");
    Config c = load(Map.of("VRIFT_QUOTA_MAX_FILES", "5"), "nosuch=1", "cas.ingest");
    assertEquals(2000, c.get(Setting.QUOTA_MAX_FILES));
    assertEquals(6, c.problems().size(), c.problems().toString());
    assertTrue(c.problems().stream().anyMatch(p -> p.contains("line 1") && p.contains(".vrift.toml")), c.problems().toString());
  }

  @Test
  void problemsSayWhatTheUserWroteAndMeant() throws IOException {
    write("system.toml", "quota.max_files = [1, 2]\ncas.hott = 1\n");
    Files.write(Files.createDirectories(temp.resolve("user")).resolve("config.toml"), new byte[] {(byte) 0xff, '\n'});
    Files.createDirectories(temp.resolve("root/.vrift.toml"));
    String said = String.join("\n", load(Map.of(), "quota.max_file=5000").problems());
    for (String text : List.of("is 'a list', not a whole number", "did you mean 'cas.hot'?", "is not UTF-8 text", ".vrift.toml: is no file", "did you mean 'quota.max_files'?")) {
      assertTrue(said.contains(text), text + ": " + said);
    }
  }

  /** vriftd reads it too: one that filled its heap would take every project's supervisor with it. */
  @Test
  void aFileTooLongForTheHeapIsIgnoredAndNamed() throws IOException {
    Files.createDirectories(temp.resolve("root"));
    Files.writeString(temp.resolve("root/.vrift.toml"), "a = [" + "1,".repeat(500_000) + "]\n");
    String said = String.join("\n", load(Map.of()).problems());
    assertTrue(said.contains("longer than 32 KiB"), said);
  }

  /** A repository from elsewhere has no say about the store, the user's quotas or the coordinator. */
  @Test
  void aProjectSetsOnlyWhatIsItsOwn() throws IOException {
    write("root/.vrift.toml", "cas.max_bytes = 0\nquota.user_vdir_bytes = 1048576\nvriftd.idle_minutes = 1\ncas.ingest = false\nvdir_d.idle_minutes = 7\n");
    write("user/config.toml", "cas.max_bytes = 5000\n");
    Config c = load(Map.of());
    assertEquals(5000, c.get(Setting.CAS_MAX_BYTES));
    assertEquals(0, c.get(Setting.CAS_INGEST));
    assertEquals(7, c.get(Setting.VDIR_IDLE_MINUTES));
    assertEquals(3, c.problems().size(), c.problems().toString());
    assertTrue(c.problems().getFirst().contains("holds for all your projects"), c.problems().toString());
  }

  @Test
  void aProjectsFileThatOthersMayWriteIsIgnored() throws IOException {
    write("root/.vrift.toml", "quota.max_files = 4000\n");
    Path file = temp.resolve("root/.vrift.toml");
    Files.setPosixFilePermissions(file, PosixFilePermissions.fromString("rw-rw-rw-"));
    assertEquals("default", load(Map.of()).origin(Setting.QUOTA_MAX_FILES));
    assertTrue(load(Map.of()).problems().getFirst().contains("everybody may write it"), load(Map.of()).problems().toString());
    Files.setPosixFilePermissions(file, PosixFilePermissions.fromString("rw-rw-r--"));
    assertEquals(4000, load(Map.of()).get(Setting.QUOTA_MAX_FILES));
    if (Processes.uid() == 0) { // only root can give a file to somebody else
      Files.setAttribute(file, "unix:uid", 12345);
      assertTrue(load(Map.of()).problems().getFirst().contains("another user"), load(Map.of()).problems().toString());
      Files.setAttribute(temp.resolve("root"), "unix:uid", 12345); // the project is theirs, and we chose to work in it
      assertEquals(4000, load(Map.of()).get(Setting.QUOTA_MAX_FILES));
    }
  }

  @Test
  void onlyNumbersAreNumbers() throws IOException {
    write("user/config.toml", "quota.max_files = \"5000\"\nvdir_d.max_threads = true\ncas.ingest = false\n");
    Config c = load(Map.of("VRIFT_VDIR_D_IDLE_MINUTES", "\u0663\u0663"));
    assertEquals(List.of("default", "default", "default"), List.of(c.origin(Setting.QUOTA_MAX_FILES), c.origin(Setting.VDIR_MAX_THREADS), c.origin(Setting.VDIR_IDLE_MINUTES)));
    assertEquals(0, c.get(Setting.CAS_INGEST));
    assertEquals(3, c.problems().size(), c.problems().toString());
  }

  @Test
  void theDefaultsFileSaysWhatTheProgramDoes() throws IOException {
    Path file = temp.resolve("default.toml");
    try (InputStream in = Config.class.getResourceAsStream("/default.toml")) {
      assertNotNull(in);
      Files.copy(in, file);
    }
    Map<String, String> values = TomlFile.read(file);
    assertEquals(Setting.values().length, values.size());
    for (Setting s : Setting.values()) {
      String v = values.get(s.key());
      assertEquals(s.standard(), "true".equals(v) ? 1 : "false".equals(v) ? 0 : Long.parseLong(v), s.key());
      assertTrue(Files.readString(file).contains("# " + s.text()), s.key());
      assertTrue(s.standard() >= s.least() && s.standard() <= s.most());
    }
  }
}
