"""B is built with A quiet, with A in trouble, and beside a stranger: a process that has nothing to do with vrift and uses as much processor time as A's trouble did (A's daemons,
vriftd and whoever makes the trouble), or makes and removes the same directories. Round by round in random order; medians of the rounds' ratios. What A's trouble costs B beyond the
stranger is what the two share in vrift. B is built with one job, so that a processor is left (docs/SECURITY.md says that the processor is shared)."""
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
        self.used, self.since = -self.processor_seconds(), time.monotonic()
        self.thread = threading.Thread(target=self.loop)
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.stopping = True
        self.thread.join()
        self.used = (self.used + self.processor_seconds()) / (time.monotonic() - self.since)
        self.end()

    def loop(self):
        begin = time.thread_time()
        while not self.stopping:
            self.step()
            time.sleep(self.pause)
        self.used += time.thread_time() - begin

    def processor_seconds(self):
        """Of vriftd, its dead children, and A's living daemon."""
        ticks = 0
        for pid, last in [(p, 15) for p in self.w.daemons("vriftd")] + [(p, 13) for p, root in self.w.daemons().items() if root == self.a]:
            try:
                with open("/proc/%d/stat" % pid) as f:
                    ticks += sum(map(int, f.read().rpartition(") ")[2].split()[11:last]))
            except OSError:
                continue
        return ticks / os.sysconf("SC_CLK_TCK")

    def stranger(self):
        """The same from somebody else; used: processor seconds a second."""
        return Stranger(self.used)

    def begin(self):
        pass

    def step(self):
        pass

    def end(self):
        subprocess.run([self.w.vrift, "restart"], cwd=self.a, env=self.w.env, capture_output=True)

    def pid(self):
        return next((p for p, root in self.w.daemons().items() if root == self.a), 0)


class Stranger:
    """Uses so much of a processor, in pieces of a millisecond."""

    CODE = "import sys, time\nused = float(sys.argv[1])\nwhile used > 0.001:\n end = time.perf_counter() + 0.001\n while time.perf_counter() < end: pass\n time.sleep(max(0, 0.001 / used - 0.001))"

    def __init__(self, used):
        self.used = min(used, 0.99)

    def __enter__(self):
        self.process = subprocess.Popen([sys.executable, "-c", self.CODE, str(self.used)])

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()


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


class NativeTree(Trouble):
    """The directories of Watches where vrift does not look."""

    def __init__(self, world):
        super().__init__(world, world.base + "/plain")
        os.makedirs(self.a, exist_ok=True)

    step = lambda self: churn(self.a + "/many")

    def end(self):
        subprocess.run(["rm", "-rf", self.a])


class Watches(Trouble):
    """A tree of 2,000 directories made and removed in it: scans, watches, overflows."""

    def stranger(self):
        return NativeTree(self.w)

    def step(self):
        churn(self.a + "/many")


def churn(top):
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
            rounds = []
            trouble = None
            for _ in range(a.pairs):
                def quiet():
                    return sample(w, pb)

                def troubled():
                    nonlocal trouble
                    with kind(w, pa) as trouble:
                        time.sleep(0.3)
                        return sample(w, pb)

                def beside():
                    with trouble.stranger():
                        time.sleep(0.3)
                        return sample(w, pb)

                took = {}
                order = [quiet, troubled, beside] if trouble else [quiet, troubled]
                random.shuffle(order)
                for one in order:
                    took[one.__name__] = one()
                    if one is troubled:
                        w.serve(pa)
                took.setdefault("beside", None) or took.update(beside=beside())
                took["again"] = quiet()  # how much two quiet ones differ here
                rounds.append(took)

            def ratio(x, y):
                return statistics.median(r[x] / r[y] for r in rounds)

            found = {"quiet_s": statistics.median(r["quiet"] for r in rounds), "ratio": ratio("troubled", "quiet"), "ratio_beside_stranger": ratio("beside", "quiet"),
                     "ratio_to_stranger": ratio("troubled", "beside"), "ratio_of_two_quiet": ratio("again", "quiet"), "processor": trouble.used, "errors": 0}
            report["troubles"][kind.__name__] = found
            print("%-10s quiet %.3f s  with A in trouble x %.3f, with a stranger x %.3f: to each other x %.3f  (two quiet ones: x %.3f; A's trouble used %.2f of a processor)" % (
                kind.__name__, found["quiet_s"], found["ratio"], found["ratio_beside_stranger"], found["ratio_to_stranger"], found["ratio_of_two_quiet"], trouble.used), flush=True)
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
