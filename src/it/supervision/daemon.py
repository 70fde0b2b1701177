"""vdir_d stopped during builds, and a crash loop beside a project that must not notice."""
import json
import os
import signal
import subprocess
import time

from world import REPOSITORY, Builders, Failed, World, alive, send

CALL_MS, TREE_MS = 50, 250


def tool(w):
    path = w.base + "/longest_call"
    if not os.path.exists(path):
        subprocess.run(["gcc", "-std=gnu11", "-D_GNU_SOURCE", "-O2", "-o", path, REPOSITORY + "/src/it/supervision/longest_call.c"], check=True)
    return path


def calls(w, place, under, millis, at=None):
    """Runs the tool for so long; while it runs, `at` is called once. Its report."""
    words = [tool(w), place, str(millis), str(w.random.randrange(1 << 30))]
    p = subprocess.Popen(([w.vrift, "run", "--"] if under else []) + words, cwd=place, env=w.env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    w.started.append(p)
    if at:
        time.sleep(millis / 1000 * (0.2 + 0.4 * w.random.random()))
        at()
    out, err = p.communicate(timeout=120)
    w.started.remove(p)
    if p.returncode:
        raise Failed("a program ended with %d: %s" % (p.returncode, err[-500:]))
    return json.loads(out)


def daemon_stopped(n, seed):
    """SIGSTOP of vdir_d while programs read, write, stage and rename: the longest single call against the same beside a daemon that is not stopped
    and against none at all; the stopped one is dead before its successor maps anything."""
    w = World(seed)
    try:
        place = w.project("a")
        w.serve(place)
        worst, control, native, replaced = [], [], [], []
        for i in range(n):
            subprocess.run([w.vrift, "restart"], cwd=place, env=w.env, stdin=subprocess.DEVNULL, capture_output=True) # forgives: six of these are a crash loop
            pid = w.serve(place)[place]
            w.remember()
            native.append(calls(w, place, False, 400))
            control.append(calls(w, place, True, 400))
            worst.append(calls(w, place, True, 1200, lambda: send(pid, signal.SIGSTOP)))
            start = time.monotonic()

            def successor():
                now = (w.status() or {}).get(place, {}).get("pid", 0)
                if now not in (0, pid) and alive(pid):
                    raise Failed("daemon_stopped, seed %d, round %d: pid %d serves while the stopped pid %d is alive" % (seed, i, now, pid))
                return now not in (0, pid) and (w.status() or {}).get(place, {}).get("state") == "serving"

            w.until("round %d: a successor" % i, successor, 60)
            replaced.append(time.monotonic() - start)
            w.build(place)
        top = lambda reports: max(r["longest_ms"] for r in reports)
        # What the machine itself stalls is not ours: a call counts beyond the bound and beyond both controls.
        bound = max(CALL_MS, 2 * max(top(control), top(native)))
        if top(worst) > bound:
            slow = max(worst, key=lambda r: r["longest_ms"])
            raise Failed("daemon_stopped, seed %d: %s took %.1f ms, control %.1f ms, native %.1f ms" % (seed, slow["longest"], slow["longest_ms"], top(control), top(native)))
        return {"calls": sum(r["calls"] for r in worst), "longest_ms": top(worst), "control_longest_ms": top(control), "native_longest_ms": top(native),
                "wrong": 0, "successor_max_s": max(replaced)}
    finally:
        w.close()


def crash_loop_beside(n, seed):
    """A's daemon is killed whenever there is one until A is quarantined, then healed with `vrift restart`; B is built all the time."""
    w = World(seed)
    try:
        a, b = w.project("a"), w.project("b")
        for i in range(n):
            b_pid = w.serve(a, b)[b]
            w.remember()
            builders = Builders(w, [b])
            kills = 0

            def state():
                return (w.status() or {}).get(a, {}).get("supervision", {})

            end = time.monotonic() + 60
            while state().get("state") != "quarantined":
                builders.check()
                if time.monotonic() > end:
                    raise Failed("crash_loop_beside, seed %d: not quarantined after %d kills: %s" % (seed, kills, state()))
                for pid, root in w.daemons().items():
                    if root == a:
                        kills += send(pid, signal.SIGKILL)
                time.sleep(0.02)
            w.build(a) # native, and right
            if (w.status() or {}).get(b, {}).get("pid") != b_pid:
                raise Failed("crash_loop_beside, seed %d: B's daemon is another" % seed)
            said = subprocess.run([w.vrift, "status"], cwd=a, env=w.env, capture_output=True, text=True).stdout
            if "quarantined" not in said or "vrift restart" not in said:
                raise Failed("status does not say it: " + said)
            subprocess.run([w.vrift, "restart"], cwd=a, env=w.env, capture_output=True, check=True)
            w.serve(a)
            builds = builders.end()
        w.stop()
        if w.leftovers():
            raise Failed("left: %s" % w.leftovers())
        return {"builds_of_b": builds, "failed": 0, "kills": kills}
    finally:
        w.close()
