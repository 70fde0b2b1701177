package dev.vrift.cas;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.DirectoryStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Map;
import java.util.TreeMap;

/** The roots of the projects that have references in a store of contents. Looks only; thread-safe. */
public final class ContentRoots {
  private ContentRoots() {}

  /** By project id, as the files say it. {@code store}: its directory, which need not be there. What cannot be read is left out. */
  public static Map<String, String> of(Path store) {
    Map<String, String> out = new TreeMap<>();
    try (DirectoryStream<Path> all = Files.newDirectoryStream(store.resolve("refs"))) {
      for (Path file : all) {
        String id = file.getFileName().toString();
        byte[] root = References.isId(id) ? root(file) : null;
        if (root != null) {
          out.put(id, new String(root, StandardCharsets.UTF_8));
        }
      }
    } catch (IOException e) {
      return out; // there is no store
    }
    return out;
  }

  private static byte[] root(Path file) {
    try {
      return References.root(file);
    } catch (IOException e) {
      return null;
    }
  }
}
