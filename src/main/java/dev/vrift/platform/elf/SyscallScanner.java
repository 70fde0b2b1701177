package dev.vrift.platform.elf;

/**
 * Finds system-call instructions ({@code syscall}, {@code sysenter}, {@code int 0x80}) in x86-64 machine code by a linear
 * sweep. Data between instructions puts the sweep out of step for a few bytes; x86 code brings it back by itself. Out of step,
 * only the plain form {@code mov $n,%eax; syscall} counts. A miss means wrong answers, a false alarm only lost speed.
 */
public final class SyscallScanner {
  private SyscallScanner() {}

  /** Valid instructions in a row after which the sweep is taken to be in step. */
  private static final int IN_STEP = 12;

  /** Feeds one chunk of code; true if it makes system calls of its own. Chunks may be cut anywhere between functions. */
  public static boolean hasSyscall(byte[] code, int from, int to) {
    int p = from;
    int run = IN_STEP;
    while (p < to) {
      int n = InstructionLength.at(code, p, to);
      if (n == 0) {
        if (plainForm(code, p, from, to)) {
          return true;
        }
        run = 0;
        p++;
        continue;
      }
      if (isSyscall(code, p, n) && (run >= IN_STEP || plainForm(code, p + n - 2, from, to))) {
        return true;
      }
      run++;
      p += n;
    }
    return false;
  }

  private static boolean isSyscall(byte[] code, int p, int n) {
    int q = p + n - 2;
    if (n < 2 || n > 3) {
      return false;
    }
    int a = code[q] & 0xff;
    int b = code[q + 1] & 0xff;
    return a == 0x0f && (b == 0x05 || b == 0x34) || n == 2 && a == 0xcd && b == 0x80;
  }

  private static boolean plainForm(byte[] code, int p, int from, int to) {
    return p - 5 >= from
        && p + 1 < to
        && code[p] == 0x0f
        && code[p + 1] == 0x05
        && (code[p - 5] & 0xff) == 0xb8
        && code[p - 2] == 0
        && code[p - 1] == 0
        && code[p - 3] <= 2
        && code[p - 3] >= 0;
  }
}
