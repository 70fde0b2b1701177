package dev.vrift.staging;

/**
 * One output whose writer died before it was complete. {@code path} is relative to the root, for people (bytes that are not UTF-8 are
 * replaced); {@code name} is the salvaged file's name in {@code .vrift/salvage}, null when nothing was kept (an empty file, a secret).
 */
public record RolledBack(String path, int pid, long bytes, String name) {}
