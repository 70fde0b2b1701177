"""`src/it/storms/run chaos`: the fault scenarios of the isolation promise (client crash, vdir_d crash, vriftd crash, damaged memory) against a project A
that is being built all the time, with a project B beside it, real daemons and real builds. Prints a table; --json, --markdown.

Every build runs with VRIFT_VERIFY=1, its outputs are compared with a native build's. B's build times are taken in turns with and without faults in A
(A builds in both), so that the machine's moods meet both alike. Recovery: from the fault until the project is served again by a daemon that knows
the whole tree (state "serving" and nothing left to scan or verify)."""
import os
import random
import re
import signal
import statistics
import sys
import threading
import time

import clients
from ground import OK, RESTART, STATUS, Failed, Ground, points

FILES = 5
PAIRS = 5           # turns without and with faults, per scenario; 1 in the short slice
RECOVER_SECONDS = 20
POINT_SECONDS = 1.0
ALONE_SECONDS = 3  # then a command starts the vriftd that has not come back by itself
FORGIVE_AFTER = 4  # deaths of a daemon, then an explicit restart: more than five in a minute are quarantined
MAKEFILE = "O = $(patsubst %.c,%.o,$(wildcard *.c))\nprog: $(O)\n\tgcc -o $@ $(O)\n%.o: %.c all.h\n\tgcc -O0 -c -o $@ $<\n"


def sources(place):
    with open(place + "/all.h", "w") as f:
        f.write("".join("int f%d(int);\n" % i for i in range(FILES)))
    for i in range(FILES):
        with open("%s/f%d.c" % (place, i), "w") as f:
            f.write('#include <stdlib.h>\n#include "all.h"\nint f%d(int x) { return x + %d; }\n' % (i, i))
    with open(place + "/main.c", "w") as f:
        f.write('#include <stdio.h>\n#include "all.h"\nint main(void) { printf("%d\\n", ' + "+".join("f%d(1)" % i for i in range(FILES)) + "); return 0; }\n")
    with open(place + "/Makefile", "w") as f:
        f.write(MAKEFILE)


def outputs(place):
    found = {}
    for name in os.listdir(place):
        if name.endswith(".o") or name == "prog":
            with open(os.path.join(place, name), "rb") as f:
                found[name] = f.read()
    return found


def clean(place):
    for name in outputs(place):
        os.unlink(os.path.join(place, name))


class Builder(threading.Thread):
    """Builds a project over and over; notes times, failures, wrong outputs."""

    def __init__(self, g, place, wanted):
        super().__init__(daemon=True)
        self.g, self.place, self.wanted = g, place, wanted
        self.end = threading.Event()
        self.log = g.base + "/verify-" + os.path.basename(place)
        self.times, self.wrong, self.failed = [], [], []

    def run(self):
        while not self.end.is_set():
            clean(self.place)
            begin = time.monotonic()
            done = self.g.run(["make", "-s"], self.place, VRIFT_VERIFY="1", VRIFT_VERIFY_LOG=self.log)
            self.times.append(time.monotonic() - begin)
            if done.returncode:
                self.failed.append("%d: %s" % (done.returncode, done.stderr[-300:]))
            elif outputs(self.place) != self.wanted:
                self.wrong.append("a build left other outputs than natively")

    def stop(self):
        self.end.set()
        self.join()

    def wrong_answers(self):
        try:
            with open(self.log) as f:
                return sum(1 for _ in f)
        except OSError:
            return 0


class Chaos:
    def __init__(self, seed):
        self.rng = random.Random(seed)
        self.seed = seed
        self.client_seed = self.rng.randrange(1 << 20)
        self.g = Ground()
        self.a, self.b = self.g.project("a"), self.g.project("b")
        native = self.g.project("native")
        for place in (self.a, self.b, native):
            sources(place)
        self.g.run(["make", "-s"], native, under=False, check=True)
        self.wanted = outputs(native)
        for place in (self.a, self.b):
            self.g.serve(place)
        self.deaths = 0
        self.torn = 0

    def served(self, begin, but=0):
        """Seconds from begin until A is served by another daemon than `but`; None: not within the limit."""
        while time.monotonic() - begin < RECOVER_SECONDS:
            s = self.g.status(self.a, 0.5)
            if s.get("state") == "serving" and s.get("pid") != but and not s.get("to_scan"):
                return time.monotonic() - begin
            time.sleep(0.002)
        return None

    def forgive(self):
        if self.deaths < FORGIVE_AFTER:
            return
        self.g.ask(self.g.run_dir + "/vriftd.sock", RESTART, 20, ("root=%s\n" % os.path.realpath(self.a)).encode())
        self.deaths = 0
        self.g.serve(self.a)

    def need_coordinator(self):
        """A command that needs vriftd starts it."""
        if not self.g.coordinator():
            self.g.cli("init", place=self.a)

    # ---- one round each: (what, seconds to recovery or None)
    def client_crash(self):
        self.client_seed += 1  # counted on: rounds in one directory must not repeat version numbers, which are made of the seed modulo 1000
        found = clients.storm(self.g, self.a, 12, self.client_seed)
        bad = found["torn"] + found["lost"] + found["bystander_bad"]
        self.torn += bad
        if bad:
            print("client_crash: seed %d, bystanders %d: %s" % (found["seed"], found["bystander_bad"], found["said"]), file=sys.stderr, flush=True)
        took = self.g.wait_staging_empty(self.a)
        return "SIGKILL to %d of %d writers, random instants" % (found["killed"], found["rounds"]), took

    def vdir_d_crash(self):
        self.forgive()
        self.need_coordinator()
        pid = self.g.daemon(self.a)
        if not pid:
            return None
        d, what = self.g.project_run(self.a), "SIGKILL at a random instant"
        if self.rng.random() < 0.5:
            what = self.at_point(d, pid)
        if os.path.exists("/proc/%d" % pid):
            time.sleep(self.rng.random() * 0.2)
            self.g.kill(pid)
        self.deaths += 1
        return what, self.served(time.monotonic(), pid)

    def at_point(self, d, pid):
        component, name, _ = self.rng.choice([p for p in points("jni", "java", "engine", "stage") if not re.match("coordinator|daemon_", p[1])])
        self.g.arm(d, "%s:kill:%d" % (name, self.rng.randrange(1, 4)))
        end = time.monotonic() + POINT_SECONDS
        while os.path.exists("/proc/%d" % pid) and time.monotonic() < end:
            time.sleep(0.002)
        try:
            os.unlink(d + "/faults")
        except OSError:
            pass
        return "SIGKILL at a named point" if not os.path.exists("/proc/%d" % pid) else "SIGKILL at a random instant"

    def vdir_d_stopped(self):
        self.forgive()
        pid = self.g.daemon(self.a)
        if not pid:  # one that was stopped for long was replaced; too often, and there is none for ten minutes
            self.deaths = FORGIVE_AFTER
            return None
        self.g.kill(pid, signal.SIGSTOP)
        time.sleep(0.05 + self.rng.random() * 0.5)
        self.g.kill(pid, signal.SIGCONT)
        took = self.served(time.monotonic())
        if self.g.daemon(self.a) != pid:
            self.deaths += 1
        return "SIGSTOP for up to 0.55 s", took

    def vriftd_crash(self):
        pid = self.g.coordinator()
        if not pid:
            self.need_coordinator()
            return None
        time.sleep(self.rng.random() * 0.2)
        self.g.kill(pid)
        begin, what = time.monotonic(), "SIGKILL at a random instant; back by itself"
        while time.monotonic() - begin < RECOVER_SECONDS:
            if time.monotonic() - begin > ALONE_SECONDS and not self.g.coordinator():
                begin, what = time.monotonic(), "SIGKILL at a random instant; back with the next command"
                self.need_coordinator()
            answer = self.g.ask(self.g.run_dir + "/vriftd.sock", STATUS, 1)
            if answer and answer[0] == OK and all(os.path.realpath(p) in answer[1].decode("utf-8", "replace") for p in (self.a, self.b)):
                found = list(self.g.all_daemons().values())
                if len(found) != len(set(found)):
                    raise Failed("chaos, seed %d: doubled daemons %s" % (self.seed, found))
                return what, time.monotonic() - begin
            time.sleep(0.005)
        return what, None

    def corruption(self):
        s = self.g.status(self.a)
        if not s:
            return None
        path, before = s["vdir_path"], s["generation"]
        size = os.path.getsize(path)
        magic = self.rng.random() < 0.3
        with open(path, "r+b") as f:
            for _ in range(1 if magic else 64):
                at = self.rng.randrange(4) if magic else self.rng.randrange(size)
                f.seek(at)
                old = f.read(1)
                f.seek(at)
                f.write(bytes([old[0] ^ (1 << self.rng.randrange(8))]))
        begin = time.monotonic()
        while time.monotonic() - begin < 8:  # the daemon looks at most every 5 s
            s = self.g.status(self.a, 0.5)
            if s.get("generation", before) != before and s.get("state") == "serving" and not s.get("to_scan"):
                return ("magic flipped" if magic else "64 random bits flipped") + " in the VDir of A", time.monotonic() - begin
            time.sleep(0.005)
        return ("magic flipped" if magic else "64 random bits flipped") + " in the VDir of A, not seen by anybody", None

    # ---- turns
    def turn(self, act, rounds):
        """B's build times while A builds, and what was done to A meanwhile: at least as many builds of B as make a median."""
        a, b = Builder(self.g, self.a, self.wanted), Builder(self.g, self.b, self.wanted)
        a.start()
        b.start()
        done, begin = [], time.monotonic()
        try:
            while (rounds > len(done) if act else len(b.times) < 2) or len(b.times) < 2:
                one = act() if act and len(done) < rounds else None
                if one:
                    done.append(one)
                elif time.monotonic() - begin > 120:
                    raise Failed("chaos, seed %d: a turn does not end" % self.seed)
                else:
                    time.sleep(0.02)
        finally:
            a.stop()
            b.stop()
        return a, b, done

    def scenario(self, name, act, rounds):
        quiet, loud, done, bad = [], [], [], {"wrong_answers": 0, "failed_builds": 0, "wrong_outputs": 0, "b_failed_builds": 0, "b_wrong_outputs": 0}
        self.torn = 0
        builds, answers = 0, 0
        for pair in range(self.pairs):
            for faults in (False, True) if pair % 2 else (True, False):
                share = rounds // self.pairs + (pair < rounds % self.pairs)
                a, b, some = self.turn(act if faults and share else None, share)
                (loud if faults else quiet).extend(b.times)
                done += some
                builds += len(a.times) + len(b.times)
                answers = a.wrong_answers() + b.wrong_answers()
                bad["failed_builds"] += len(a.failed)
                bad["wrong_outputs"] += len(a.wrong)
                bad["b_failed_builds"] += len(b.failed)
                bad["b_wrong_outputs"] += len(b.wrong)
                for text in (a.failed + b.failed)[:2]:
                    print("  %s: a build failed: %s" % (name, text), flush=True)
                self.need_coordinator()
                self.g.serve(self.a)
        bad["wrong_answers"] = answers - self.answers_before
        self.answers_before = answers
        times = sorted(t for _, t in done if t is not None)
        what = {}
        for w, _ in done:
            w = re.sub(r"\d+ of \d+ writers", "writers", w)
            what[w] = what.get(w, 0) + 1
        return dict(bad, scenario=name, rounds=len(done), injected=what, builds=builds, torn_or_lost=self.torn,
                    recovered=len(times), recovery_ms_p50=ms(quantile(times, 0.5)), recovery_ms_p99=ms(quantile(times, 0.99)),
                    b_ms_control=ms(statistics.median(quiet)), b_ms_beside=ms(statistics.median(loud)), b_ratio=round(statistics.median(loud) / statistics.median(quiet), 3),
                    b_builds=len(quiet) + len(loud))


def quantile(sorted_values, q):
    return sorted_values[min(len(sorted_values) - 1, int(len(sorted_values) * q))] if sorted_values else None


def ms(seconds):
    return None if seconds is None else round(seconds * 1000)


def machine():
    with open("/proc/meminfo") as f:
        memory = int(f.readline().split()[1]) // (1 << 20)
    return {"cores": os.cpu_count(), "memory_gib": memory, "kernel": os.uname().release.split("-")[0], "architecture": os.uname().machine}


SCENARIOS = ("client_crash", "vdir_d_crash", "vdir_d_stopped", "vriftd_crash", "corruption")


def run(seed, rounds=None, short=False, only=SCENARIOS):
    rounds = rounds or (2 if short else 60)
    c = Chaos(seed)
    c.pairs = 1 if short else PAIRS
    c.answers_before = 0
    results = []
    try:
        for name in only:
            results.append(c.scenario(name, getattr(c, name), rounds))
            print(row(results[-1]), flush=True)
    finally:
        c.g.close()
    broken = [r["scenario"] for r in results if any(r[k] for k in ("wrong_answers", "torn_or_lost", "failed_builds", "wrong_outputs", "b_failed_builds", "b_wrong_outputs"))]
    if broken:
        raise Failed("chaos, seed %d: promises were broken in %s: %s" % (seed, ", ".join(broken), results))
    return {"machine": machine(), "results": results}


HEAD = ("scenario", "rounds", "wrong answers", "torn or lost", "failed builds", "recovery p50/p99 ms", "B beside/control ms", "B failed")


def cells(r):
    return (r["scenario"], r["rounds"], r["wrong_answers"], r["torn_or_lost"] + r["wrong_outputs"], "%d of %d" % (r["failed_builds"], r["builds"]),
            "%s / %s (%d)" % (r["recovery_ms_p50"], r["recovery_ms_p99"], r["recovered"]), "%d / %d = %.3f" % (r["b_ms_beside"], r["b_ms_control"], r["b_ratio"]),
            r["b_failed_builds"] + r["b_wrong_outputs"])


def row(r):
    return "%-15s rounds %3d  wrong answers %d  torn or lost %d  failed builds %s  recovery p50/p99 ms %s  B beside/control ms %s  B failed %d" % cells(r)


def markdown(found):
    m = found["machine"]
    lines = ["# Chaos", "", "Written by `src/it/storms/run chaos --seed %d --markdown docs/CHAOS.md`; see [FAULTS.md](FAULTS.md)." % found["seed"],
             "Machine: %d cores, %d GiB, Linux %s, %s; shared with other work while this ran." % (m["cores"], m["memory_gib"], m["kernel"], m["architecture"]), "",
             "| " + " | ".join(HEAD) + " |", "|" + "---|" * len(HEAD)]
    lines += ["| " + " | ".join(str(x) for x in cells(r)) + " |" for r in found["results"]]
    lines += ["", "What was injected where:", ""]
    for r in found["results"]:
        lines += ["- **%s**: %s" % (r["scenario"], "; ".join("%s (%d)" % kv for kv in sorted(r["injected"].items())))]
    lines += ["", "Recovery counts the rounds that recovered within %d s; in brackets their number. A damaged byte that nobody reads is found by the next look at all checksums," % RECOVER_SECONDS,
              "at most every 5 s, or by nobody: then it was in an unused part of the file."]
    return "\n".join(lines) + "\n"
