"""B is built with A quiet and with A in trouble, pair by pair in random order; the median of the pairs' ratios says what A's trouble costs B. B is built with one job, so that
a processor is left: this is about what the two share, not about who gets the processor (docs/SECURITY.md says that it is shared)."""
import argparse
import json
import os
import random
import signal
import socket
import statistics
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../src/it/supervision"))
from world import FRAME, MAGIC, OPCODES, PROTOCOL, Failed, World, send

BUILDS = 16


class Trouble:
    """Something that A suffers from while `with` lasts. `step` is repeated in a thread."""

    pause = 0.05

    def __init__(self, world, a):
        self.w, self.a, self.stopping = world, a, False

    def __enter__(self):
        self.begin()
        self.thread = threading.Thread(target=self.loop)
        self.thread.start()

    def __exit__(self, *_):
        self.stopping = True
        self.thread.join()
        self.end()

    def loop(self):
        while not self.stopping:
            self.step()
            time.sleep(self.pause)

    def begin(self):
        pass

    def step(self):
        pass

    def end(self):
        subprocess.run([self.w.vrift, "restart"], cwd=self.a, env=self.w.env, capture_output=True)

    def pid(self):
        return next((p for p, root in self.w.daemons().items() if root == self.a), 0)


class CrashLoop(Trouble):
    """Its daemon is killed twice a second, until it is quarantined and beyond."""

    pause = 0.5

    def step(self):
        pid = self.pid()
        if pid:
            send(pid, signal.SIGKILL)


class Hung(Trouble):
    """Its daemon is stopped whenever there is one."""

    pause = 0.5

    def step(self):
        pid = self.pid()
        if pid:
            send(pid, signal.SIGSTOP)


class Flood(Trouble):
    """Connections, requests and junk to its daemon and to vriftd, as many as are taken, kept open; 100 rounds a second at most."""

    pause = 0.01

    def begin(self):
        self.open = []
        self.socket = "%s/p/%s/vdir_d.sock" % (self.w.run_dir, (self.w.status() or {})[self.a]["id"])

    def step(self):
        for path in (self.socket, self.w.run_dir + "/vriftd.sock"):
            s = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            s.setblocking(False)
            try:
                s.connect(path)
                s.send(FRAME.pack(MAGIC, PROTOCOL, OPCODES["STATUS"], 0, 1))
                s.send(os.urandom(64))
                self.open.append(s)
            except OSError:
                s.close()
        while len(self.open) > 600:
            self.open.pop(0).close()

    def end(self):
        for s in self.open:
            s.close()


class Watches(Trouble):
    """A tree of 2,000 directories made and removed in it: scans, watches, overflows."""

    def step(self):
        top = self.a + "/many"
        for i in range(40):
            os.makedirs("%s/%d/%d" % (top, i, random.randrange(1000)), exist_ok=True)
        if random.random() < 0.1:
            subprocess.run(["rm", "-rf", top])


def sample(w, b):
    start = time.monotonic()
    for _ in range(BUILDS):
        subprocess.run(["rm", "-rf", "out", "sum"], cwd=b, check=True)
        w.build(b, jobs=1)
    return time.monotonic() - start


def main():
    parser = argparse.ArgumentParser(prog="bench/isolation")
    parser.add_argument("--pairs", type=int, default=10)
    parser.add_argument("--json", metavar="FILE")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 30))
    parser.add_argument("names", nargs="*")
    a = parser.parse_args()
    random.seed(a.seed)
    report = {"schema_version": 1, "seed": a.seed, "processors": os.cpu_count(), "pairs": a.pairs, "troubles": {}}
    for kind in (CrashLoop, Hung, Flood, Watches):
        if a.names and kind.__name__ not in a.names:
            continue
        w = World(a.seed)
        try:
            pa, pb = w.project("a"), w.project("b")
            w.serve(pa, pb)
            sample(w, pb)
            ratios, controls, times = [], [], []
            for _ in range(a.pairs):
                def troubled():
                    with kind(w, pa):
                        time.sleep(0.3)
                        return sample(w, pb)

                def quiet():
                    return sample(w, pb)

                if random.random() < 0.5:
                    q, t = quiet(), troubled()
                else:
                    t, q = troubled(), quiet()
                w.serve(pa)
                q2 = quiet() # how much two quiet ones differ here
                ratios.append(t / q)
                controls.append(q2 / q)
                times.append(q)
            found = {"quiet_s": statistics.median(times), "ratio": statistics.median(ratios), "ratio_of_two_quiet": statistics.median(controls), "errors": 0}
            report["troubles"][kind.__name__] = found
            print("%-10s quiet %.3f s  with A in trouble x %.3f  (two quiet ones: x %.3f)" % (kind.__name__, found["quiet_s"], found["ratio"], found["ratio_of_two_quiet"]), flush=True)
        finally:
            w.close()
    if a.json:
        with open(a.json, "w") as f:
            json.dump(report, f, indent=1)


if __name__ == "__main__":
    try:
        main()
    except Failed as e:
        sys.exit("bench/isolation: " + str(e))
