package dev.vrift.cas;

import dev.vrift.platform.FileCalls;
import dev.vrift.platform.FileStat;
import dev.vrift.platform.Processes;
import java.io.IOException;
import java.nio.file.Path;
import java.util.HashSet;
import java.util.Set;

/**
 * Brings contents back from any project that has them: every project's references are searched, the file is opened beneath that project's root, and its
 * copy is published only if it has the digest. Not for daemons: it reads other projects' files. One thread.
 */
final class Healer {
  private final ContentStore store;
  private final BlobWriter writer;

  Healer(ContentStore store) {
    this.store = store;
    this.writer = new BlobWriter(store, null); // what is healed is referenced
  }

  /** Those of {@code wanted} that are in the store and good afterwards. */
  Set<Digest> heal(Set<Digest> wanted) throws IOException {
    Set<Digest> healed = new HashSet<>();
    for (String id : References.projects(store)) {
      if (healed.size() < wanted.size()) {
        from(References.file(store, id), wanted, healed);
      }
    }
    return healed;
  }

  private void from(Path references, Set<Digest> wanted, Set<Digest> healed) throws IOException {
    int[] root = {Integer.MIN_VALUE}; // opened when the first file is needed
    References.read(
        references,
        (bytes, size, path) -> {
          Digest d = Digest.of(bytes);
          if (wanted.contains(d) && !healed.contains(d) && !SecretNames.matches(path) && !Ingest.excluded(path)) {
            if (root[0] == Integer.MIN_VALUE) {
              root[0] = open(references);
            }
            if (root[0] >= 0 && copy(root[0], path, size, d)) {
              healed.add(d);
            }
          }
        });
    if (root[0] >= 0) {
      FileCalls.close(root[0]);
    }
  }

  private static int open(Path references) {
    try {
      byte[] root = References.root(references);
      return root == null || root[0] != '/' ? -1 : FileCalls.open(root, FileCalls.DIRECTORY, 0);
    } catch (IOException e) {
      return -1;
    }
  }

  private boolean copy(int root, byte[] path, long size, Digest digest) {
    int fd = FileCalls.openBeneath(root, path, false);
    if (fd < 0) {
      return false;
    }
    try {
      FileStat st = FileCalls.stat(fd, null, new int[1]);
      return st != null && st.isRegular() && st.uid() == Processes.uid() && st.size() == size
          && writer.store(fd, size, digest, () -> true) != null;
    } catch (CasException e) {
      return false; // this file cannot be read or the disk is full; another project may have it
    } finally {
      FileCalls.close(fd);
    }
  }
}
