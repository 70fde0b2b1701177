package dev.vrift.cas;

import dev.vrift.platform.FileStat;

/** What a project remembers about the contents of its files; the daemon keeps it in the project's LMDB. Called on the ingest thread only. */
public interface ContentIndex {
  /** @param stored it was put into the content store; false: only hashed */
  record Known(Digest digest, boolean stored) {}

  /** One file of the project and its content. */
  interface Visitor {
    void visit(byte[] path, FileStat stat, Known known);
  }

  /** The content of exactly this version of the file, or null. */
  Known find(byte[] path, FileStat stat);

  /** Remembers the content of this version. May forget: then the file is looked at again. */
  void record(byte[] path, FileStat stat, Known known);

  /** Everything known. */
  void forEach(Visitor visitor);
}
