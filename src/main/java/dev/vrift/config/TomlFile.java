package dev.vrift.config;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.Map;
import org.tomlj.Toml;
import org.tomlj.TomlArray;
import org.tomlj.TomlParseResult;
import org.tomlj.TomlTable;

/** The scalar values of a TOML file by dotted key. The only class that needs the TOML library: loaded when there is a file to read. */
final class TomlFile {
  /** All settings are some twenty short lines. The parser takes more than a hundred times a file's size of a heap of 64 MiB. */
  private static final long MAX_BYTES = 32 << 10;

  private TomlFile() {}

  /** Throws {@link IOException} with line and column of the first mistake. */
  static Map<String, String> read(Path file) throws IOException {
    if (Files.size(file) > MAX_BYTES) {
      throw new IOException("longer than 32 KiB");
    }
    TomlParseResult result = Toml.parse(file);
    if (result.hasErrors()) {
      throw new IOException(result.errors().get(0).toString());
    }
    Map<String, String> out = new LinkedHashMap<>();
    for (String key : result.dottedKeySet()) {
      Object value = result.get(key);
      out.put(key, value instanceof TomlArray ? "a list" : value instanceof TomlTable ? "a table" : value instanceof String text ? '"' + text + '"' : String.valueOf(value));
    }
    return out;
  }
}
