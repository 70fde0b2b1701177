"""Runs scenarios by name; one line each and `N passed, N failed, N skipped` at the end."""
import subprocess
import sys
import time

import harness  # first: it makes the oracle importable
import descriptions
import files
import leaving
import outside
import places

ALL = {}
for module in (files, places, outside, leaving, descriptions):
    ALL.update({n: f for n, f in vars(module).items() if not n.startswith("_") and getattr(f, "__module__", "") == module.__name__
                and callable(f)})


def main(names):
    unknown = [n for n in names if n not in ALL]
    if unknown:
        print("no scenario named %s; there are:\n%s" % (", ".join(unknown), "\n".join(ALL)))
        return 2
    passed, failed, skipped = 0, 0, 0
    bed = harness.Bed()
    try:
        for name in names or ALL:
            begin = time.monotonic()
            try:
                ALL[name](bed)
                passed += 1
                word = "ok"
            except harness.Skip as e:
                skipped += 1
                word = "skipped: %s" % e
            except (AssertionError, OSError, ValueError, subprocess.SubprocessError) as e:
                failed += 1
                word = "FAILED: %s" % e
            print("%-42s %5.1f s  %s" % (name, time.monotonic() - begin, word), flush=True)
    finally:
        bed.close()
    print("scenarios: %d passed, %d failed, %d skipped" % (passed, failed, skipped))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
