"""Storms by name, each with its numbers; a table, JSON, and `storms: N passed, N failed`. The short numbers are for `make test`."""
import argparse
import json
import os
import random
import sys
import time

import coordinator
import daemon
import upgrade
from world import Failed

# name: (function, short, full) rounds
STORMS = {
    "coordinator_killed": (coordinator.coordinator_killed, 3, 500), "coordinator_stopped": (coordinator.coordinator_stopped, 2, 500),
    "launcher_beside_a_stopped_coordinator": (coordinator.launcher_beside_a_stopped_coordinator, 2, 100), "stop_wins": (coordinator.stop_wins, 3, 100),
    "everything_killed": (coordinator.everything_killed, 2, 100), "another_boot": (coordinator.another_boot, 2, 100), "clock": (coordinator.clock, 6, 300),
    "daemon_stopped": (daemon.daemon_stopped, 2, 200), "crash_loop_beside": (daemon.crash_loop_beside, 1, 10), "upgrades": (upgrade.upgrades, 2, 100),
}


def main():
    parser = argparse.ArgumentParser(prog="src/it/supervision/run")
    parser.add_argument("--full", action="store_true", help="the whole numbers (hours)")
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--json", metavar="FILE")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 30))
    parser.add_argument("names", nargs="*", choices=[[]] + list(STORMS), metavar="NAME")
    a = parser.parse_args()
    report, failed = {"schema_version": 1, "seed": a.seed, "processors": os.cpu_count(), "storms": {}}, 0
    print("seed %d" % a.seed, flush=True)
    for name in a.names or STORMS:
        function, short, full = STORMS[name]
        n = a.rounds or (full if a.full else short)
        start = time.monotonic()
        try:
            found = function(n, a.seed)
            told = ", ".join("%s %s" % (k, round(v, 3) if isinstance(v, float) else v) for k, v in found.items())
        except Failed as e:
            found, told, failed = {"failed": str(e)}, "FAILED: %s" % e, failed + 1
        report["storms"][name] = dict(found, rounds=n, seconds=round(time.monotonic() - start, 1))
        print("%-40s %5d rounds %7.1f s  %s" % (name, n, time.monotonic() - start, told), flush=True)
    if a.json:
        with open(a.json, "w") as f:
            json.dump(report, f, indent=1)
    print("storms: %d passed, %d failed" % (len(a.names or STORMS) - failed, failed))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
