"""Every storm at its whole count, one after the other: hours, not minutes. A row that fails does not stop the others."""
import argparse
import json
import os
import random
import re
import subprocess
import sys
import time

from ground import REPOSITORY, TOOLS

IT = "src/it/"
JAVA_UNIT = ["mvn", "-B", "-ntp", "-q", "-Dtest=%s", "-Dsurefire.failIfNoSpecifiedTests=false"]
JAVA_IT = ["mvn", "-B", "-ntp", "-q", "-Pit", "-Dtest=NoSuchTest", "-Dsurefire.failIfNoSpecifiedTests=false", "-Dit.test=%s"]


def java(kind, test, *properties):
    return [w.replace("%s", test) for w in kind] + ["-Dvrift.unit.seconds=7200", "-Dvrift.it.seconds=7200"] + list(properties) + ["verify" if kind is JAVA_IT else "test"]


def c_test(name, *words):
    return [os.path.join(TOOLS, name)] + list(words)


# name: (promise, commands, further environment). SEED stands for the run's seed.
ROWS = {
    "clients": ("client killed anywhere: nothing torn, lost or left, nobody else touched", [[IT + "storms/run", "clients", "--seed", "SEED"]], {}),
    "specials": ("pid reuse and twin pids in two namespaces: no living writer's file is touched", [[IT + "storms/run", "specials", "--seed", "SEED"]], {}),
    "adopt": ("vdir_d's engine killed at every point: the successor goes on with true answers", [c_test("adopt_test")], {"ROUNDS": "10000"}),
    "daemon_killed": ("vdir_d killed in builds: 0 differences", [[IT + "rounds/run", "--full", "daemon_killed"]], {}),
    "writer_killed": ("a compiler killed in mid-write: the last version, or none", [[IT + "rounds/run", "--full", "writer_killed"], [IT + "rounds/run", "--full", "writer_killed_without_daemons"]], {}),
    "stale": ("nothing stale: editor, during a build, unseen child, unseen partner",
              [[IT + "rounds/run", "--full", n] for n in ("editor", "editor_during_build", "unseen_child", "unseen_partner")], {}),
    "fuzz": ("random operations of several processes: every answer the raw call's", [[IT + "rounds/run", "--full", n] for n in ("fuzz_ring", "fuzz_ring_unseen", "fuzz_race")], {}),
    "points": ("every fault point is reached", [[IT + "storms/run", "points", "--seed", "SEED"]], {}),
    "sequences": ("random programs: they see and leave what they see and leave natively", [[IT + "storms/run", "sequences", "--seed", "SEED"]], {}),
    "calls": ("the n-th system call fails: the right file, or the true errno", [[IT + "storms/run", "calls", "--seed", "SEED"]], {}),
    "flips": ("every bit of a small VDir and board flipped", [c_test("damage_test", "all", str(k), "8") for k in range(8)], {"SEED": "SEED"}),
    "flips_large": ("10,000 random bits of a large VDir flipped", [c_test("damage_test", "random", "10000", "50000")], {"SEED": "SEED"}),
    "cuts": ("VDir and board cut off at random lengths", [c_test("damage_test", "cut", "2000")], {"SEED": "SEED"}),
    "tables": ("10^6 mutated tables read under ASan", [[os.path.join(REPOSITORY, "build/native-asan/test/fuzz_shm_test"), "1000000"]], {"SEED": "SEED"}),
    "frames": ("10^6 fuzzed frames to each daemon, others served meanwhile", [java(JAVA_IT, "HostileIT", "-Dvrift.fuzz.frames=1000000")], {}),
    "lmdb": ("LMDB damaged in any byte or length: set aside, or opened and equal", [c_test("lmdb_damage_test"), java(JAVA_UNIT, "LmdbMetaStoreTest")], {"VRIFT_LMDB_ALL": "1"}),
    "contents": ("changed, missing, misnamed, truncated blobs: none served, all set aside, healed", [java(JAVA_UNIT, "VerifierTest,ContentStoreTest,CasServiceTest,SalvageTest"), java(JAVA_IT, "ContentsIT")], {}),
    "collector": ("gc and ingest at once, 1,000 rounds: 0 missing", [java(JAVA_UNIT, "CollectorStormTest", "-Dvrift.storm.rounds=1000")], {}),
    "gc_builds": ("gc, builds and ingest at once, 1,000 rounds: 0 missing", [java(JAVA_IT, "StoreIT#buildsIngestAndCollectionsAtOnce", "-Dvrift.gc.rounds=1000")], {}),
    "supervision": ("vriftd killed or stopped, everything killed, another boot, clock, upgrades, stop wins", [[IT + "supervision/run", "--full"]], {}),
    "chaos": ("the scenarios of the isolation promise", [[IT + "storms/run", "chaos", "--seed", "SEED"]], {}),
    "oracle": ("real builds with a random killer beside each: 0 differences", [["scripts/oracle/run", "--killer", "SEED"]], {}),
}
LAST = 12  # lines of a row's output that are shown and kept


def one(name, seed, logs):
    promise, commands, variables = ROWS[name]
    begin, code, said = time.monotonic(), 0, []
    env = {k: v for k, v in os.environ.items() if not k.startswith("VRIFT")}
    env.update({k: v.replace("SEED", str(seed)) for k, v in variables.items()}, OUT=os.path.dirname(TOOLS), VRIFT_SHIM=os.path.dirname(TOOLS) + "/libvrift_shim.so")
    with open("%s/%s.log" % (logs, name), "w+") as log:
        for command in commands:
            words = [w.replace("SEED", str(seed)) for w in command]
            log.write("$ %s\n" % " ".join(words))
            log.flush()
            try:
                code = subprocess.run(words, cwd=REPOSITORY, env=env, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT).returncode or code
            except OSError as e:
                code = 127
                log.write("%s\n" % e)
        log.seek(0)
        said = [re.sub(r"\x1b\[[0-9;]*m", "", line.rstrip("\n")) for line in log if line.strip() and not line.startswith(("WARNING", "[0m"))]
    word = "ok" if code == 0 else "skipped" if code == 77 else "FAILED (%d)" % code
    print("%-14s %8.1f s  %-12s %s" % (name, time.monotonic() - begin, word, promise), flush=True)
    for line in said[-LAST:]:
        print("    " + line[:200], flush=True)
    return {"promise": promise, "commands": [" ".join(c) for c in commands], "seconds": round(time.monotonic() - begin, 1), "code": code, "said": said[-LAST:]}


def main():
    p = argparse.ArgumentParser(prog="src/it/storms/all", description=__doc__)
    p.add_argument("rows", nargs="*", help="these only")
    p.add_argument("--list", action="store_true")
    p.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 30))
    p.add_argument("--logs", default=os.path.join(REPOSITORY, "build", "storms"), help="directory of each row's whole output")
    p.add_argument("--json", metavar="FILE")
    a = p.parse_args()
    unknown = [r for r in a.rows if r not in ROWS]
    if unknown:
        p.error("no such row: %s. Type: src/it/storms/all --list" % ", ".join(unknown))
    if a.list:
        for name, (promise, commands, variables) in ROWS.items():
            print("%-14s %s\n               %s" % (name, promise, "; ".join(" ".join(["%s=%s" % v for v in variables.items()] + c) for c in commands)))
        return 0
    os.makedirs(a.logs, exist_ok=True)
    print("seed %d" % a.seed, flush=True)
    report = {"schema_version": 1, "seed": a.seed, "rows": {}}
    for name in a.rows or ROWS:
        report["rows"][name] = one(name, a.seed, a.logs)
        if a.json:
            with open(a.json, "w") as f:
                json.dump(report, f, indent=1)
    codes = [r["code"] for r in report["rows"].values()]
    print("storms: %d passed, %d failed, %d skipped" % (codes.count(0), len([c for c in codes if c not in (0, 77)]), codes.count(77)))
    return 1 if any(c not in (0, 77) for c in codes) else 0


if __name__ == "__main__":
    sys.exit(main())
