package dev.vrift.cas;

/**
 * What a run over a project did; numbers of files unless named bytes.
 *
 * @param stopped why it ended early; "" if it did not
 */
public record IngestReport(
    long files, long stored, long already, long hashed, long known, long secret, long excluded, long young, long changed, long unreadable, long failed,
    long readBytes, long storedBytes, long milliseconds, String stopped) {}
