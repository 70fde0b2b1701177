"""Storms: faults on purpose against real daemons. docs/FAULTS.md says what each shows."""
import argparse
import json
import signal
import subprocess
import sys
import time

import calls
import chaos
import clients
import points
import sequences
import specials
from ground import Failed, Skip

STORMS = {
    "calls": lambda a: calls.run(a.seed, a.rounds, a.short),
    "chaos": lambda a: chaos.run(a.seed, a.rounds, a.short, a.only or chaos.SCENARIOS),
    "points": lambda a: points.run(a.seed),
    "clients": lambda a: clients.run(a.seed, a.rounds, a.short),
    "sequences": lambda a: sequences.run(a.seed, a.rounds, a.short),
    "specials": lambda a: specials.run(a.seed),
}


SLICE = ("points", "clients", "calls", "sequences")  # of make test, with --short


def one(name, a):
    """(result, word, exit code) of a storm."""
    begin = time.monotonic()
    try:
        found, word, code = STORMS[name](a), "ok", 0
    except Skip as e:
        found, word, code = {}, "skipped: %s" % e, 77
    except (Failed, OSError, ValueError, subprocess.SubprocessError) as e:
        found, word, code = {}, "FAILED: %s" % e, 1
    found.update(storm=name, seed=a.seed, seconds=round(time.monotonic() - begin, 1))
    print("%s: %s  %s" % (name, " ".join("%s=%s" % (k, v) for k, v in found.items() if k not in ("storm", "results")), word), flush=True)
    return found, word, code


def cut(a):
    """The slice: each of its storms, and a line that scripts/run-tests reads."""
    a.short = True
    codes = [one(name, a)[2] for name in SLICE]
    print("storms: %d passed, %d failed, %d skipped" % (codes.count(0), codes.count(1), codes.count(77)))
    return 1 if 1 in codes else 0


def main():
    p = argparse.ArgumentParser(prog="src/it/storms/run", description=__doc__)
    p.add_argument("storm", choices=sorted(STORMS) + ["slice"])
    p.add_argument("--seed", type=int, default=int(time.time()) % 100000)
    p.add_argument("--rounds", type=int, help="instead of the storm's own number")
    p.add_argument("--short", action="store_true", help="the slice of make test: seconds")
    p.add_argument("--json", metavar="FILE", help="writes the result there")
    p.add_argument("--only", action="append", choices=chaos.SCENARIOS, help="chaos: this scenario; may be repeated")
    p.add_argument("--markdown", metavar="FILE", help="chaos: writes its table there")
    a = p.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that what was started is ended
    if a.storm == "slice":
        return cut(a)
    found, word, code = one(a.storm, a)
    if a.markdown and "results" in found:
        with open(a.markdown, "w") as f:
            f.write(chaos.markdown(found))
    if a.json:
        with open(a.json, "w") as f:
            json.dump(dict(found, schema_version=1, result=word), f, indent=1)
    return code


if __name__ == "__main__":
    sys.exit(main())
