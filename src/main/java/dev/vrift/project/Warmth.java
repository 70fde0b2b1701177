package dev.vrift.project;

import dev.vrift.config.Config;
import dev.vrift.platform.Log;
import dev.vrift.platform.UserDirs;
import java.io.IOException;
import java.nio.file.Path;
import java.util.List;
import java.util.jar.JarFile;

/** What a daemon does before it has a project, so that the first moments with one are short: its classes are loaded and initialised. Opens nothing of any project. */
final class Warmth {
  private static final List<String> PACKAGES =
      List.of("dev/vrift/layout/", "dev/vrift/platform/", "dev/vrift/wire/", "dev/vrift/vdir/", "dev/vrift/meta/", "dev/vrift/cas/", "dev/vrift/config/",
          "dev/vrift/staging/", "dev/vrift/health/", "dev/vrift/project/");

  private Warmth() {}

  /** Never fails: who is not warm is only slower. */
  static void up() {
    try (JarFile jar = new JarFile(Path.of(System.getProperty("java.class.path")).toFile())) {
      jar.stream().map(e -> e.getName()).filter(n -> n.endsWith(".class") && PACKAGES.stream().anyMatch(n::startsWith)).forEach(Warmth::load);
      Config.load(Config.SYSTEM, UserDirs.of(System.getenv()).config(), null, System.getenv(), List.of());
    } catch (IOException | RuntimeException e) {
      Log.info("not warm: ".concat(e.toString()));
    }
  }

  private static void load(String file) {
    try {
      Class.forName(file.substring(0, file.length() - ".class".length()).replace('/', '.'));
    } catch (ClassNotFoundException | LinkageError e) {
      Log.info("not warm: ".concat(e.toString()));
    }
  }
}
