"""A project of N files is built while its vdir_d is killed with SIGKILL, again and again. Served again: the VDir that `map` names is another process's, has a lease, and
G is clean. Memory is compared with the tree after every kill."""
import argparse
import json
import mmap
import os
import random
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
VRIFT = os.environ.get("VRIFT", os.path.join(HERE, "../build/dist/bin/vrift"))
DYN, PUB, BOARD_VER = 4096, 8192, 8192  # docs: dev.vrift.layout
DAEMON_PID = DYN + 192 + 32
APART = 12.6  # seconds between two deaths: more than five in a minute are a crash loop
PER_DIRECTORY = 100
MONOTONIC_COARSE = 6


def mapped(kind, name):
    with open("/dev/shm/vrift_%s_%s" % (kind, name), "rb") as f:
        return mmap.mmap(f.fileno(), 0, prot=mmap.PROT_READ)


def served_again(link, old, limit=20):
    """Seconds until the project is served by another process than old; and whether the VDir is the same."""
    begin, seen, first = time.monotonic(), None, os.readlink(link)
    while time.monotonic() - begin < limit:
        try:
            now = os.readlink(link)
            if now != seen:
                vdir, board = [mapped(k, n) for k, n in zip(("vdir", "board"), now.split("."))]
                seen = now
        except OSError:
            time.sleep(0.0005)
            continue
        lease, inverse = struct.unpack_from("<QQ", vdir, DYN)
        pid = struct.unpack_from("<Q", vdir, DAEMON_PID)[0]
        clean = struct.unpack_from("<Q", vdir, PUB)[0] == struct.unpack_from("<Q", board, BOARD_VER)[0]
        if pid != old and clean and lease == ~inverse & 2**64 - 1 and lease > time.clock_gettime_ns(MONOTONIC_COARSE):
            return time.monotonic() - begin, now == first
        time.sleep(0.0003)
    sys.exit("not served again within %d s" % limit)


def status(env, place):
    out = subprocess.run([VRIFT, "status", "--json"], cwd=place, env=env, capture_output=True, text=True)
    try:
        return next(p for p in json.loads(out.stdout)["projects"] if p["root"] == place)
    except (ValueError, KeyError, StopIteration):
        return {}


def plant(place, files):
    for i in range(files):
        d = "%s/d%d" % (place, i // PER_DIRECTORY)
        if i % PER_DIRECTORY == 0:
            os.makedirs(d)
        with open("%s/f%d.c" % (d, i), "w") as f:
            f.write("x")


def percentile(values, p):
    return sorted(values)[min(len(values) - 1, int(len(values) * p / 100))]


def measure(files, kills, seed):
    base = os.path.realpath(tempfile.mkdtemp(prefix="vrift-adopt-"))
    env = {k: v for k, v in os.environ.items() if not k.startswith(("VRIFT", "XDG_")) and k != "LD_PRELOAD"}
    env.update(VRIFT_RUNTIME_DIR=base + "/run", XDG_STATE_HOME=base + "/state", XDG_CACHE_HOME=base + "/cache", HOME=base)
    place, rng, build = base + "/p", random.Random(seed), None
    os.makedirs(place)
    try:
        plant(place, files)
        subprocess.run([VRIFT, "init"], cwd=place, env=env, capture_output=True)
        script = "i=0; while [ ! -e %s/end ]; do i=$((i + 1)); cat d0/*.c >out.$((i %% 50)); ls -l d0 >/dev/null; rm -f out.$(((i + 25) %% 50)); sleep 0.01; done" % base
        build = subprocess.Popen([VRIFT, "run", "--", "sh", "-c", script], cwd=place, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        end = time.monotonic() + 300
        while status(env, place).get("state") != "serving" or status(env, place).get("unverified"):
            if time.monotonic() > end:
                sys.exit("%s is not served" % place)
            time.sleep(0.3)
        run = os.path.join(base, "run/p", os.listdir(base + "/run/p")[0])
        times, kept, wrong = [], 0, 0
        for _ in range(kills):
            time.sleep(APART + rng.random() * 0.1)
            with open(run + "/pid") as f:
                pid = int(f.read())
            os.kill(pid, signal.SIGKILL)
            took, same = served_again(run + "/map", pid)
            times.append(took * 1000)
            kept += same
            report = subprocess.run([VRIFT, "verify", "--json"], cwd=place, env=env, capture_output=True, text=True).stdout
            wrong += len(json.loads(report)["differences"])
        return {"files": files, "kills": kills, "p50_ms": round(percentile(times, 50), 1), "p99_ms": round(percentile(times, 99), 1), "max_ms": round(max(times), 1),
                "kept": kept, "differences": wrong, "adopt_us": status(env, place).get("adopt_us")}
    finally:
        open(base + "/end", "w").close()
        if build:
            build.wait()
        subprocess.run([VRIFT, "stop", "--all"], cwd=base, env=env, capture_output=True)
        shutil.rmtree(base, ignore_errors=True)


def main():
    p = argparse.ArgumentParser(prog="bench/adopt", description=__doc__)
    p.add_argument("--files", type=int, default=100000)
    p.add_argument("--kills", type=int, default=10)
    p.add_argument("--seed", type=int, default=int(time.time()) % 100000)
    p.add_argument("--json", metavar="FILE")
    a = p.parse_args()
    found = dict(measure(a.files, a.kills, a.seed), seed=a.seed)
    print(" ".join("%s=%s" % i for i in found.items()))
    if a.json:
        with open(a.json, "w") as f:
            json.dump(found, f, indent=1)
    return 1 if found["differences"] else 0


if __name__ == "__main__":
    sys.exit(main())
