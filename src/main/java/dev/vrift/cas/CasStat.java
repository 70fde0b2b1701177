package dev.vrift.cas;

import dev.vrift.platform.FileCalls;
import dev.vrift.platform.FileStat;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/**
 * The store in numbers, in bytes unless said otherwise.
 *
 * @param blobs number of blobs
 * @param bytes their sizes together
 * @param diskBytes blocks they occupy (clones are counted as if they were copies)
 * @param quarantined blobs set aside as bad
 * @param projects projects with references
 * @param logicalBytes what the projects' stored files have together
 * @param referencedBytes what is left of it when each content is counted once
 * @param savedBytes the difference
 * @param savedAcrossProjects the part of it that is due to contents in more than one project
 * @param unreferencedBytes bytes of blobs no project names
 */
public record CasStat(
    String directory, long blobs, long bytes, long diskBytes, long quarantined, long projects, long logicalBytes, long referencedBytes, long savedBytes,
    long savedAcrossProjects, long unreferencedBytes, long freeBytes) {

  /** Reads the whole directory; seconds for a million blobs. */
  public static CasStat of(ContentStore store) {
    long blobs = 0;
    long bytes = 0;
    long disk = 0;
    long unreferenced = 0;
    Map<Digest, Long> sizes = new HashMap<>();
    Map<String, Map<Digest, Integer>> references = References.read(store, sizes);
    for (String shard : ContentStore.names(store.blobs())) {
      int fd = FileCalls.open(ContentStore.bytes(store.blobs().resolve(shard)), FileCalls.DIRECTORY, 0);
      List<FileCalls.Name> names = fd < 0 ? null : FileCalls.names(fd);
      if (names != null) {
        for (FileCalls.Name n : names) {
          Digest d = Digest.parse(shard + new String(n.name(), java.nio.charset.StandardCharsets.ISO_8859_1));
          FileStat st = d == null ? null : FileCalls.stat(fd, n.name(), new int[1]);
          if (st != null && st.isRegular()) {
            blobs++;
            bytes += st.size();
            disk += st.blocks() * 512;
            unreferenced += sizes.containsKey(d) ? 0 : st.size();
          }
        }
      }
      if (fd >= 0) {
        FileCalls.close(fd);
      }
    }
    return sums(store, references, sizes, blobs, bytes, disk, unreferenced);
  }

  private static CasStat sums(
      ContentStore store, Map<String, Map<Digest, Integer>> references, Map<Digest, Long> sizes, long blobs, long bytes, long disk, long unreferenced) {
    long logical = 0;
    long perProject = 0;
    for (Map<Digest, Integer> project : references.values()) {
      for (Map.Entry<Digest, Integer> e : project.entrySet()) {
        logical += sizes.get(e.getKey()) * e.getValue();
        perProject += sizes.get(e.getKey());
      }
    }
    long unique = sizes.values().stream().mapToLong(Long::longValue).sum();
    long[] space = store.space();
    return new CasStat(
        store.dir().toString(), blobs, bytes, disk, ContentStore.names(store.quarantined()).size(), references.size(), logical, unique, logical - unique,
        perProject - unique, unreferenced, space == null ? -1 : space[0]);
  }
}
