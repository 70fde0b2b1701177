package dev.vrift.meta;

/**
 * What the VDir is rebuilt from: one record per path, plus small key-values. Every committed batch survives a kill of the process at
 * any instruction; a power cut may take the batches since the last {@link #sync}. Thread-safe (calls are serialised); meant for
 * background threads: a call may take as long as its batch needs.
 */
public interface MetaStore extends AutoCloseable {
  /** How the database was found. After FRESH and REPLACED the caller fills it from the tree. */
  enum Origin { FRESH, LOADED, REPLACED }

  /** Map size in bytes, pages in use, commits, records, bytes of a page. */
  record Info(long mapSize, long pages, long commits, long records, long pageSize) {}

  /** Gets batches of {@link #loadAll}: native memory, valid during the call only, in the format of {@code MetaLayout}. */
  interface BatchConsumer {
    /** Returns false to end the load. */
    boolean accept(long address, int length);
  }

  Origin origin();

  /** Why the predecessor was set aside, for the log; empty unless {@link #origin} is REPLACED. */
  String reason();

  /** All items in one transaction, or none. Throws {@link MetaException}; after DAMAGED only {@link #close} is of use. */
  void apply(long address, int length) throws MetaException;

  default void apply(MetaBatch batch) throws MetaException {
    apply(batch.address(), batch.length());
  }

  /** Every record once, in the order of paths; each batch is a snapshot of its own. Returns the number of batches delivered. */
  int loadAll(BatchConsumer consumer) throws MetaException;

  /** The record of a path (bytes relative to the root) as the only item of {@code into}; false if there is none. */
  boolean get(byte[] path, MetaBatch into) throws MetaException;

  /** Key: 1–500 bytes, value: at most 4096. */
  void putValue(String key, byte[] value) throws MetaException;

  /** Null if there is no such key. */
  byte[] value(String key) throws MetaException;

  /** Makes what was committed survive a power cut. May take long. */
  void sync() throws MetaException;

  Info info();

  /** Idempotent. */
  @Override
  void close();
}
