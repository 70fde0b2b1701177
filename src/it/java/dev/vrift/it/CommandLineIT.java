package dev.vrift.it;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.vrift.wire.JsonReader;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/** What a user reads: messages, exit codes, JSON of errors, odd names and places. */
@Timeout(180)
class CommandLineIT {
  private Bed bed;
  private Path project;

  @BeforeEach
  void prepare() throws IOException {
    bed = new Bed();
    project = bed.project("project");
    Files.writeString(project.resolve("m.c"), "int m;\n");
    Files.createDirectories(project.resolve("d/e"));
    Files.createSymbolicLink(project.resolve("link"), Path.of("d/e"));
  }

  @AfterEach
  void end() throws Exception {
    bed.close();
  }

  private String shell(int expected, String script) throws Exception {
    return bed.run(project, expected, "sh", "-c", script.replace("vrift ", Bed.vrift() + " "));
  }

  /** The document on standard output alone. */
  private Map<String, Object> document(int expected, String words) throws Exception {
    return JsonReader.object(shell(expected, "vrift " + words + " 2>/dev/null"));
  }

  @Test
  void everyReportIsJsonEvenWhenItFails() throws Exception {
    for (String words : List.of("stats", "explain m.c", "verify", "explain /etc", "salvage drop nosuch", "salvage restore nosuch")) {
      Map<String, Object> d = document(1, words + " --json");
      assertEquals(1L, d.get("schema_version"), words);
      assertEquals(1L, ((Map<?, ?>) d.get("error")).get("code"), words);
    }
    for (String words : List.of("statsu", "status --nonsense", "gc --max-size much", "config")) {
      assertEquals(2L, ((Map<?, ?>) document(2, words + " --json").get("error")).get("code"), words);
    }
    document(0, "init --json");
    for (String words : List.of("status", "stats", "explain m.c", "verify", "doctor", "config show", "cas ingest --all", "cas stat", "cas verify", "gc",
        "salvage list", "salvage drop --all", "restart", "stop", "stop --all", "init --undo", "version")) {
      assertEquals(1L, document(0, words + " --json").get("schema_version"), words);
    }
  }

  @Test
  void aWordThatIsNoneIsAnsweredWithTheNearest() throws Exception {
    for (String[] pair : new String[][] {{"statsu", "'stats'"}, {"vrsion", "'version'"}, {"cas verfy", "'verify'"}, {"config shw", "'show'"}, {"salvage lst", "'list'"},
        {"status --jsno", "'--json'"}, {"gc --max-sise 1", "'--max-size'"}}) {
      String out = bed.vrift(project, 2, pair[0].split(" "));
      assertTrue(out.contains("did you mean " + pair[1]) && out.contains("--help"), out);
    }
    assertFalse(bed.vrift(project, 2, "").contains("did you mean"));
    assertTrue(bed.vrift(project, 2, "salvage", "list", "x").contains("one word too many"));
  }

  @Test
  void outputThatCannotBeWrittenIsAnError() throws Exception {
    for (String words : List.of("status", "config show", "doctor --json", "cas stat", "gc", "init --help")) {
      assertTrue(shell(1, "vrift " + words + " 2>&1 >/dev/full").contains("cannot write standard output: No space left"), words);
      assertTrue(shell(1, "vrift " + words + " 2>&1 >&-").contains("cannot write standard output"), words);
    }
    assertEquals("", shell(0, "vrift config show 2>&1 >/dev/null | true"), "a reader who has gone");
  }

  @Test
  void explainFindsThePathAProgramWouldFind() throws Exception {
    bed.vrift(project, 0, "init");
    shell(0, "printf x >\"$(printf 'b\\377d')\"; mkdir \"$(printf 'x\\376')\"; printf y >\"$(printf 'x\\376/b\\377')\"; sleep 0.5");
    Path other = Files.createSymbolicLink(bed.base.resolve("other-name"), project);
    for (String word : List.of("m.c", "./d/../m.c", project + "/m.c", other + "/m.c", "../other-name/m.c", "link/../../m.c", "nosuch/../m.c", "\"$(printf 'b\\377d')\"",
        "\"$(printf 'x\\376/b\\377')\"", ".", "link/..")) {
      assertTrue(document(0, "explain --json " + word).get("known").equals(true), word);
    }
    for (String word : List.of("nosuch", "link/m.c", "\"$(printf 'b\\376d')\"", "'new\nline'")) {
      assertTrue(document(0, "explain --json " + word).get("known").equals(false), word);
    }
    assertEquals("d/e/x", document(0, "explain --json link/x").get("path"));
    assertTrue(bed.vrift(project, 0, "explain", "nosuch").startsWith("nosuch is answered from memory: it does not exist"));
    for (String word : List.of("/etc/passwd", "..", "link/../../..", "/")) {
      assertTrue(bed.vrift(project, 1, "explain", word).contains("is outside the project"), word);
    }
    bed.vrift(project, 2, "explain", "");
  }

  @Test
  void aDirectoryThatIsGoneIsNoStackTrace() throws Exception {
    for (String words : List.of("status", "explain x", "stop", "init", "init --undo", "doctor", "config show", "gc")) {
      String out = shell(-1, "mkdir gone; cd gone; rmdir ../gone; vrift " + words + " 2>&1; echo code=$?");
      assertTrue(out.contains("code=0") || out.contains("code=1"), words + out);
      assertFalse(out.contains("java."), words + out);
    }
  }

  @Test
  void placesThatCannotBeUsedAreNamedByDoctor() throws Exception {
    Files.writeString(bed.base.resolve("file"), "");
    bed.env.put("XDG_STATE_HOME", bed.base.resolve("file") + "/state");
    String init = bed.vrift(project, 1, "init");
    assertTrue(init.contains(bed.base.resolve("file") + "/state: Not a directory"), init);
    String out = bed.vrift(project, 1, "doctor");
    assertTrue(out.contains("[state-dir]") && out.contains("XDG_STATE_HOME") && out.contains("[daemon] " + project), out);
    bed.vrift(project, 0, "run", "--", "cat", "m.c");
    bed.env.put("XDG_STATE_HOME", bed.base.resolve("state").toString());
    bed.vrift(project, 0, "stop", "--all"); // as doctor says
    bed.env.put("XDG_CACHE_HOME", bed.base.resolve("file") + "/cache");
    out = bed.vrift(project, 1, "doctor");
    assertTrue(out.contains("[cache-dir]"), out);
    out = bed.vrift(project, 1, "gc");
    assertTrue(out.contains("Not a directory") && !out.contains("java."), out);
    bed.env.put("XDG_CACHE_HOME", bed.base.resolve("cache").toString());
    Files.writeString(project.resolve(".vrift.toml"), "[quota]\nmax_fils = 1\nmax_files = [1]\n");
    out = bed.vrift(project, 0, "doctor");
    assertTrue(out.contains("[config]") && out.contains("did you mean 'quota.max_files'") && out.contains("'a list', not a whole number"), out);
  }

  @Test
  void anInstallationWithASpaceInItsPathIsWell() throws Exception {
    Path copy = bed.base.resolve("with space");
    shell(0, "cp -pR '" + Path.of(Bed.vrift()).getParent().getParent() + "' '" + copy + "'");
    String out = bed.run(project, 0, copy.resolve("bin/vrift").toString(), "doctor");
    assertFalse(out.contains("[library]"), out);
    assertTrue(bed.run(project, 0, copy.resolve("bin/vrift").toString(), "run", "--", "sh", "-c", "echo $LD_PRELOAD").contains("libvrift_shim.so"));
  }

  /** What a script passes on when its variable is not set. */
  @Test
  void anEmptyValueIsNotNoLimit() throws Exception {
    for (String[] words : new String[][] {{"gc", "--run", "--older-than="}, {"gc", "--max-size="}, {"config", "show", "--set="}, {"salvage", "restore", "x.old", "--to", ""}}) {
      assertTrue(bed.vrift(project, 2, words).contains("has an empty value"), String.join(" ", words));
    }
  }

  @Test
  void restartTakesAProject() throws Exception {
    bed.vrift(project, 0, "init");
    long first = Bed.number(bed.status(project), "pid");
    assertTrue(bed.vrift(bed.base, 0, "restart", project + "/d/e/..").contains("restarted the daemon of " + project));
    assertTrue(Bed.number(bed.status(project), "pid") != first);
    assertTrue(bed.vrift(project, 1, "restart", "nosuch").contains("nosuch: No such file or directory"));
    assertTrue(bed.vrift(project, 1, "restart", "--json", "nosuch").contains("\"error\":{\"message\":\"nosuch: No such file"));
    assertTrue(bed.vrift(project, 1, "restart", "--", "-x").contains("-x: No such file or directory"));
    bed.vrift(project, 2, "restart", "d", "link");
  }

  @Test
  void aFileThatIsNamedLikeOurDirectoryStays() throws Exception {
    Files.writeString(project.resolve(".vrift"), "mine");
    assertTrue(bed.vrift(project, 1, "init").contains("is not a directory; remove it"));
    assertTrue(bed.vrift(project, 1, "doctor").contains("[project]"));
    bed.vrift(project, 3, "run", "--", "sh", "-c", "exit 3");
    bed.vrift(project, 0, "init", "--undo");
    assertEquals("mine", Files.readString(project.resolve(".vrift")));
  }

  /** A repository may bring a link of that name: what it leads to is not ours. */
  @Test
  void undoDoesNotFollowALinkOfOurName() throws Exception {
    Path kept = Files.createDirectories(bed.base.resolve("elsewhere/staging"));
    Files.writeString(kept.resolve("f"), "theirs");
    Files.createSymbolicLink(project.resolve(".vrift"), kept.getParent());
    bed.vrift(project, 0, "init", "--undo");
    assertEquals("theirs", Files.readString(kept.resolve("f")));
  }

  /** A directory that is removed by others keeps nothing for ever: doctor forgets it when asked, vriftd when nothing was written for it in 30 days. */
  @Test
  void aProjectWhoseDirectoryIsGoneIsForgotten() throws Exception {
    Path gone = bed.project("gone");
    Path states = Path.of(bed.env.get("XDG_STATE_HOME"), "vrift/projects");
    Files.writeString(gone.resolve("a"), "contents that nobody else has");
    bed.vrift(gone, 0, "init");
    bed.vrift(gone, 0, "cas", "ingest", "--all");
    bed.vrift(project, 0, "init");
    assertEquals(2, count(states));
    assertFalse(bed.vrift(project, 0, "doctor").contains("[gone-project]"));
    bed.run(bed.base, 0, "rm", "-rf", gone.toString());
    Bed.until("status says that it is gone", () -> bed.status(gone).contains("its directory is gone"));
    assertTrue(bed.vrift(project, 0, "doctor").contains("[gone-project] " + gone));
    assertEquals(0, Bed.number(bed.vrift(project, 0, "gc", "--json"), "unreferenced"));

    bed.vrift(project, 0, "stop", "--all"); // as after a boot: only the store knows its root
    bed.run(bed.base, 0, "rm", "-rf", bed.env.get("VRIFT_RUNTIME_DIR"));
    assertTrue(bed.vrift(project, 0, "doctor").contains("[gone-project] " + gone));
    bed.vrift(project, 0, "init");
    assertEquals(2, count(states), "young: kept");
    bed.vrift(project, 0, "stop", "--all");
    bed.run(bed.base, 0, "sh", "-c", "find \"$XDG_STATE_HOME\" \"$XDG_CACHE_HOME\" \"$VRIFT_RUNTIME_DIR\" -exec touch -d '-31 days' {} +");
    bed.vrift(project, 0, "init");
    Bed.until("vriftd forgets it", () -> count(states) == 1);
    assertEquals("", bed.status(gone));
    assertFalse(bed.vrift(project, 0, "doctor").contains("[gone-project]"));
    assertTrue(Bed.number(bed.vrift(project, 0, "gc", "--json"), "unreferenced") > 0);
  }

  @Test
  void doctorForgetsWhatIsGone() throws Exception {
    Path gone = bed.project("gone");
    Path states = Path.of(bed.env.get("XDG_STATE_HOME"), "vrift/projects");
    bed.vrift(gone, 0, "init");
    bed.vrift(project, 0, "init");
    bed.run(bed.base, 0, "rm", "-rf", gone.toString());
    Bed.until("status says that it is gone", () -> bed.status(gone).contains("its directory is gone"));
    bed.vrift(project, 0, "doctor", "--fix");
    assertEquals(1, count(states));
    assertEquals("", bed.status(gone));
    Files.createDirectory(gone);
    bed.vrift(gone, 0, "init");
    bed.serving(gone);
  }

  private static long count(Path dir) throws IOException {
    try (var all = Files.list(dir)) {
      return all.count();
    }
  }

  @Test
  void undoAfterARunLeavesNothing() throws Exception {
    bed.vrift(project, 0, "run", "--", "true");
    bed.serving(project);
    bed.vrift(project, 0, "init", "--undo");
    Bed.until("the runtime directory is gone", () -> !Files.exists(bed.base.resolve("run")));
    assertFalse(Files.exists(bed.base.resolve("state/vrift")));
    assertFalse(Files.exists(bed.base.resolve("cache/vrift")));
    assertFalse(Files.exists(project.resolve(".vrift")));
  }

  @Test
  void undoRightAfterARunAndDuringOneStaysUndone() throws Exception {
    for (int i = 0; i < 3; i++) {
      shell(0, "vrift run -- true; vrift init --undo; sleep 1");
      assertFalse(Files.exists(bed.base.resolve("run")), "round " + i);
      assertFalse(Files.exists(bed.base.resolve("state/vrift")), "round " + i);
    }
    bed.vrift(project, 0, "init");
    shell(0, "vrift run -- sleep 4 & sleep 0.5; vrift init --undo; wait");
    assertFalse(Files.exists(bed.base.resolve("run/p")));
    assertFalse(Files.exists(project.resolve(".vrift")));
  }

  @Test
  void withoutHomeTheListOfUsersIsAsked() throws Exception {
    bed.env.remove("HOME");
    String out = bed.run(project, 0, "env", "-u", "HOME", Bed.vrift(), "init");
    assertTrue(out.contains("is served"), out);
    bed.run(project, 0, "env", "-u", "HOME", Bed.vrift(), "status");
  }
}
