"""Kills the daemons of one runtime directory at random moments, seeded, beside whatever runs. Only processes whose command line names exactly
that directory, and only through pidfds."""
import json
import os
import random
import select
import signal
import subprocess
import threading
import time

PAUSE = (0.05, 1.2)    # seconds between two acts
STOPPED = (0.05, 0.4)  # seconds that a stopped daemon stays stopped
FORGIVE_AFTER = 4      # deaths; more than five in a minute and the project would be quarantined: native, nothing tested


def daemons(run_dir):
    """{pid: "vriftd", "vdir_d" or "spare", a vdir_d of no project yet} of a runtime directory."""
    found = {}
    for p in os.listdir("/proc"):
        if not p.isdigit():
            continue
        try:
            with open("/proc/%s/cmdline" % p, "rb") as f:
                words = f.read().decode("utf-8", "replace").split("\0")
        except OSError:
            continue
        if "--run-dir" in words and words[words.index("--run-dir") + 1] == run_dir:
            spare = "--root" in words and words[words.index("--root") + 1].startswith("(spare)")
            found[int(p)] = "spare" if spare else next((w for w in ("vriftd", "vdir_d") if w in words), None)
    return {p: w for p, w in found.items() if w}


def send(pid, sig, run_dir):
    """True if the process was still a daemon of that directory when it got the signal."""
    try:
        fd = os.pidfd_open(pid)
    except OSError:
        return False
    try:
        if pid not in daemons(run_dir):
            return False
        signal.pidfd_send_signal(fd, sig)
        if sig == signal.SIGKILL:
            select.select([fd], [], [], 5)
        return True
    except OSError:
        return False
    finally:
        os.close(fd)


class Killer(threading.Thread):
    """with Killer(run_dir, seed, vrift, place, env) as k: …; then k.done counts what was done."""

    def __init__(self, run_dir, seed, vrift, place, env):
        super().__init__(daemon=True)
        self.run_dir, self.rng, self.vrift, self.place, self.env = run_dir, random.Random(seed), vrift, place, env
        self.end = threading.Event()
        self.deaths = 0
        self.done = {"vdir_d": 0, "vriftd": 0, "both": 0, "stopped": 0, "restarted": 0}
        self.from_memory = 0  # questions answered from memory before restarts, which begin to count anew

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.end.set()
        self.join()
        for pid in daemons(self.run_dir):
            send(pid, signal.SIGCONT, self.run_dir)

    def run(self):
        while not self.end.wait(self.rng.uniform(*PAUSE)):
            self.act(self.rng.random())

    def restart(self):
        """An explicit restart forgives the deaths."""
        out = subprocess.run([self.vrift, "stats", "--json"], cwd=self.place, env=self.env, capture_output=True, text=True, timeout=60)
        try:
            self.from_memory += sum(v for k, v in json.loads(out.stdout)["counters"].items() if k.startswith("HIT"))
        except (ValueError, KeyError):
            return  # the daemon is still on its way: next time
        done = subprocess.run([self.vrift, "restart"], cwd=self.place, env=self.env, capture_output=True, timeout=60)
        if done.returncode == 0:
            self.deaths = 0
            self.done["restarted"] += 1

    def act(self, dice):
        found = daemons(self.run_dir)
        projects = [p for p, w in found.items() if w == "vdir_d"]
        if self.deaths >= FORGIVE_AFTER:
            self.restart()
        elif dice < 0.55 or 0.85 <= dice:
            kind = "vdir_d" if dice < 0.55 else "both"
            if self.rng.random() < 0.2:  # then its successor has to be started
                for p in [p for p, w in found.items() if w == "spare"]:
                    send(p, signal.SIGKILL, self.run_dir)
            if kind == "both":
                for p in [p for p, w in found.items() if w == "vriftd"]:
                    send(p, signal.SIGKILL, self.run_dir)
            hit = [send(p, signal.SIGKILL, self.run_dir) for p in projects]
            self.done[kind] += any(hit)
            self.deaths += any(hit)
        elif dice < 0.7:
            self.done["vriftd"] += any([send(p, signal.SIGKILL, self.run_dir) for p, w in found.items() if w == "vriftd"])
        else:
            for p in projects:
                if send(p, signal.SIGSTOP, self.run_dir):
                    self.done["stopped"] += 1
                    time.sleep(self.rng.uniform(*STOPPED))
                    send(p, signal.SIGCONT, self.run_dir)
