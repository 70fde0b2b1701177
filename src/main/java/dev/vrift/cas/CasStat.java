package dev.vrift.cas;

import dev.vrift.platform.FileCalls;
import dev.vrift.platform.FileStat;
import dev.vrift.platform.Trouble;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
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
 * @param trashed blobs on their way out
 * @param pending digests that are being published, or were since their project's references were written
 * @param damagedReferences projects whose references do not check: nothing is collected until they are written anew
 */
public record CasStat(
    String directory, long blobs, long bytes, long diskBytes, long quarantined, long projects, long logicalBytes, long referencedBytes, long savedBytes,
    long savedAcrossProjects, long unreferencedBytes, long freeBytes, long trashed, long pending, long damagedReferences) {

  /** Contents looked at in one pass: the daemon's heap is small, so many contents take several passes over the references. */
  private static final int PER_PASS = 65_536;
  private static final int MAX_PASSES = 256;

  /** Reads the whole directory; seconds for a million blobs. Throws when references vanish meanwhile: ask again. */
  public static CasStat of(ContentStore store) throws CasException {
    try {
      List<Path> references = References.good(store);
      long records = Ledger.sizeHint(store);
      int passes = 1;
      while (passes < MAX_PASSES && records / passes > PER_PASS) {
        passes *= 2;
      }
      Sums sums = new Sums();
      for (int pass = 0; pass < passes; pass++) {
        sums.pass(store, references, pass, passes);
      }
      long[] space = store.space();
      long[] pending = new long[1];
      for (String name : ContentStore.names(store.references())) {
        if (name.contains(PendingJournal.MARK)) {
          PendingJournal.read(store.references().resolve(name), d -> pending[0]++);
        }
      }
      long damaged = References.projects(store).size() - references.size();
      return new CasStat(
          store.dir().toString(), sums.blobs, sums.bytes, sums.disk, ContentStore.names(store.quarantined()).size(), references.size(), sums.logical,
          sums.unique, sums.logical - sums.unique, sums.perProject - sums.unique, sums.unreferenced, space == null ? -1 : space[0],
          ContentStore.names(store.trash()).size(), pending[0], damaged);
    } catch (IOException e) {
      throw new CasException("reading the references failed (" + Trouble.of(e) + "); ask again", 0);
    }
  }

  /** A content in the references: the last project (counted from 1) seen with it. */
  private static final class Seen {
    int project;
  }

  private static final class Sums {
    long blobs;
    long bytes;
    long disk;
    long logical;
    long unique;
    long perProject;
    long unreferenced;

    /** Contents whose first byte is {@code pass} modulo {@code passes}. */
    void pass(ContentStore store, List<Path> references, int pass, int passes) throws IOException {
      Map<Long, Seen> seen = new HashMap<>();
      for (int i = 0; i < references.size(); i++) {
        int project = i + 1;
        References.read(
            references.get(i),
            (digest, size, path) -> {
              if ((digest[0] & 0xFF) % passes == pass) {
                logical += size;
                Seen s = seen.computeIfAbsent(Ledger.prefix(digest), k -> new Seen());
                unique += s.project == 0 ? size : 0;
                perProject += s.project == project ? 0 : size;
                s.project = project;
              }
            });
      }
      for (String shard : store.shards()) {
        Digest any = Digest.parse(shard + "0".repeat(2 * Digest.BYTES - 2));
        if (any != null && (any.bytes()[0] & 0xFF) % passes == pass) {
          blobs(store, shard, seen);
        }
      }
    }

    private void blobs(ContentStore store, String shard, Map<Long, Seen> seen) {
      int fd = FileCalls.open(ContentStore.bytes(store.blobs().resolve(shard)), FileCalls.DIRECTORY, 0);
      Iterable<FileCalls.Name> names = fd < 0 ? null : FileCalls.names(fd);
      if (names != null) {
        for (FileCalls.Name n : names) {
          Digest d = Digest.parse(shard + new String(n.name(), StandardCharsets.ISO_8859_1));
          FileStat st = d == null ? null : FileCalls.stat(fd, n.name(), new int[1]);
          if (st != null && st.isRegular()) {
            blobs++;
            bytes += st.size();
            disk += st.blocks() * 512;
            unreferenced += seen.containsKey(Ledger.prefix(d.bytes())) ? 0 : st.size();
          }
        }
      }
      if (fd >= 0) {
        FileCalls.close(fd);
      }
    }
  }
}
