"""Who is alive? Pid reuse, twin pids in two namespaces, stopped writers, and a file that comes between two looks of a sweep."""
import os
import shutil
import signal
import subprocess
import sys
import time

from ground import Failed, Ground, Skip, tool

TWIN = 500  # a pid that nothing else in a fresh namespace has


def writer(g, path, go, version, **more):
    """A living writer, half-way through its file. Its process and the pid that it has where it runs."""
    env = dict(g.env, LD_PRELOAD=g.shim, VRIFT_ROOT=os.path.dirname(path), VRIFT_PROJECT_RUN=more.pop("run", None) or g.project_run(os.path.dirname(path)))
    p = subprocess.Popen([tool("storm_clients"), "hold", path, go, "7", str(version)], env=env, stdout=subprocess.PIPE, text=True, **more)
    words = p.stdout.readline().split()
    if len(words) != 2:
        raise Failed("the writer of %s ended with %s" % (path, p.wait()))
    return p, int(words[0]), words[1] == "staged"


def finish(p, go, what):
    open(go, "w").close()
    code = p.wait(timeout=30)
    os.unlink(go)
    if code:
        raise Failed("%s: a living writer's file is not whole (%d)" % (what, code))


def stopped(g, place):
    """Stopped for longer than any period of the daemon, then continued: its file is its own."""
    p, _, staged = writer(g, place + "/stopped.o", place + "/go1", 1)
    os.kill(p.pid, signal.SIGSTOP)
    time.sleep(7)
    if staged and not g.staging_files(place):
        raise Failed("stopped: the staging file of a stopped writer was taken away")
    os.kill(p.pid, signal.SIGCONT)
    finish(p, place + "/go1", "stopped")
    return {"staged": staged}


def between(g, place):
    """A file staged and closed by a call that we do not see while a sweep is between records and directories."""
    d = g.project_run(place)
    for i in range(3):
        path = "%s/between%d.o" % (place, i)
        g.arm(d, "sweep_records_done:delay=900")
        g.taken(d)
        end = time.monotonic() + 8
        while "sweep_records_done: delay" not in g.logs()[-4000:] and time.monotonic() < end:
            time.sleep(0.01)
        p = g.start([tool("storm_clients"), "closed-and-idle", path], place)
        end = time.monotonic() + 12
        while not os.path.exists(path) and time.monotonic() < end:
            time.sleep(0.05)
        there = os.path.exists(path)
        g.end(p)
        if not there:
            raise Failed("between: a file that was closed while a sweep was on its way never came to its place")
    return {"rounds": 3}


def set_next_pid(pid):
    with open("/proc/sys/kernel/ns_last_pid", "w") as f:
        f.write(str(pid - 1))


class Inside(Ground):
    """The same ground, seen from a pid namespace in which its daemons run."""

    def __init__(self, outer_base, env):
        super().__init__(env=env)
        shutil.rmtree(self.base)
        self.base, self.run_dir = outer_base, outer_base + "/run"


def inside(base, role):
    """In a namespace of its own; as pid 1 it ends with everything it started."""
    env = {"VRIFT_RUNTIME_DIR": base + "/run", "XDG_STATE_HOME": base + "/state", "XDG_CACHE_HOME": base + "/cache", "XDG_CONFIG_HOME": base + "/config"}
    g = Inside(base, env)
    place = base + "/p"
    if role == "twin":  # the other namespace: same pid, same project, not the daemon's namespace
        set_next_pid(TWIN)
        p, pid, staged = writer(g, place + "/b.o", base + "/go-b", 2, run=sys.argv[3])
        print("%d %s" % (pid, "staged" if staged else "plain"), flush=True)
        code = p.wait()
        print(code, flush=True)
        return
    g.serve(place)
    # pid reuse: the dead one left a staged file while no daemon was there, a living one has its number
    set_next_pid(TWIN)
    p1, pid1, staged1 = writer(g, place + "/first.o", base + "/go-1", 3)
    g.kill_all()
    p1.kill()
    p1.wait()
    time.sleep(0.1)  # a number that is given again within 40 ms of a record cannot be told from its owner (docs/LIMITS.md)
    set_next_pid(TWIN)
    p2, pid2, staged2 = writer(g, place + "/second.o", base + "/go-2", 4)
    if (pid1, pid2) != (TWIN, TWIN) or not staged1 or not staged2:
        raise Failed("pid reuse: pids %d %d, staged %s %s: nothing was tested" % (pid1, pid2, staged1, staged2))
    g.serve(place)
    end = time.monotonic() + 10
    while len(g.staging_files(place)) > 1 and time.monotonic() < end:
        time.sleep(0.1)
    left = g.staging_files(place)
    if len(left) != 1:
        raise Failed("pid reuse: after 10 s these are staged, where one of the living is right: %s" % left)
    if os.path.exists(place + "/first.o"):
        raise Failed("pid reuse: the file of the dead writer appeared")
    # its twin in another namespace writes, is killed, writes again: nothing of it concerns us, nothing of ours concerns it
    run = g.project_run(place)
    print("ready %s" % run, flush=True)
    sys.stdin.readline()
    time.sleep(7)
    if g.staging_files(place) != left:
        raise Failed("twin pids: the staging file of the living %d was touched: %s" % (TWIN, g.staging_files(place)))
    finish(p2, base + "/go-2", "twin pids")
    p3, _, _ = writer(g, place + "/third.o", base + "/go-3", 5)
    p3.kill()
    p3.wait()
    end = time.monotonic() + 10
    while g.staging_files(place) and time.monotonic() < end:
        time.sleep(0.1)
    if g.staging_files(place):
        raise Failed("twin pids: left after 10 s: %s" % g.staging_files(place))
    g.cli("stop", "--all")
    g.kill_all()
    print("ok", flush=True)


def namespaces():
    """Pid reuse and twin pids, in two pid namespaces. Needs root."""
    if os.getuid() != 0 or not shutil.which("unshare"):
        raise Skip("pid namespaces need root and unshare")
    g = Ground()
    try:
        os.makedirs(g.base + "/p/.vrift")
        command = ["unshare", "-p", "-f", "--kill-child", "--mount-proc", sys.executable, os.path.abspath(__file__), g.base]
        env = {k: v for k, v in g.env.items() if not k.startswith("XDG_")}
        a = subprocess.Popen(command + ["main"], env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        g.started.append(a)
        words = a.stdout.readline().split()
        if not words or words[0] != "ready":
            raise Failed("namespaces: %s" % a.communicate()[1][-1500:])
        b = subprocess.Popen(command + ["twin", words[1]], env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        g.started.append(b)
        twin = b.stdout.readline().split()
        if not twin or int(twin[0]) != TWIN:
            raise Failed("namespaces: the twin said %s %s" % (twin, b.communicate()[1][-1500:]))
        if twin[1] == "staged":
            raise Failed("namespaces: a writer in another pid namespace was staged")
        a.stdin.write("go on\n")
        a.stdin.flush()
        said = a.stdout.readline().strip()
        if said != "ok":
            raise Failed("namespaces: %s %s" % (said, a.communicate()[1][-1500:]))
        open(g.base + "/go-b", "w").close()
        if b.stdout.readline().strip() != "0":
            raise Failed("namespaces: the twin's file is not whole: what was done about its namesake reached it")
        return {"twins": TWIN}
    finally:
        g.close()


def run(seed):
    out = {}
    try:
        out["namespaces"] = namespaces()
    except Skip as e:
        out["namespaces"] = "skipped: %s" % e
    g = Ground()
    try:
        place = g.project("p")
        g.serve(place)
        out["between"] = between(g, place)
        out["stopped"] = stopped(g, place)
    finally:
        g.close()
    return out


if __name__ == "__main__":
    inside(sys.argv[1], sys.argv[2])
