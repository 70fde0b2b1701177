"""Storms: faults on purpose against real daemons. docs/FAULTS.md says what each shows."""
import argparse
import json
import signal
import sys
import time

import points
from ground import Failed, Skip


def main():
    p = argparse.ArgumentParser(prog="src/it/storms/run", description=__doc__)
    p.add_argument("storm", choices=["points"])
    p.add_argument("--seed", type=int, default=int(time.time()) % 100000)
    p.add_argument("--rounds", type=int)
    p.add_argument("--json", metavar="FILE")
    a = p.parse_args()
    begin = time.monotonic()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that what was started is ended
    try:
        found, word, code = points.run(a.seed), "ok", 0
    except Skip as e:
        found, word, code = {}, "skipped: %s" % e, 77
    except Failed as e:
        found, word, code = {}, "FAILED: %s" % e, 1
    found.update(storm=a.storm, seed=a.seed, seconds=round(time.monotonic() - begin, 1))
    print("%s: %s  %s" % (a.storm, " ".join("%s=%s" % (k, v) for k, v in found.items() if k != "storm"), word))
    if a.json:
        with open(a.json, "w") as f:
            json.dump(dict(found, schema_version=1, result=word), f, indent=1)
    return code


if __name__ == "__main__":
    sys.exit(main())
