"""Every named fault point of every component is reached by real daemons, writers and launchers. Prints those that are not."""
import os
import re
import shutil
import signal
import subprocess
import time

import clients
from ground import Failed, Ground, points, tool

MANY = 42000  # files that make the map of the database grow
LINE = re.compile(r"fault point (\w+): (?:log|kill) at hit")


def arm_all(g, place):
    g.arm(g.run_dir, "*:log")
    g.arm(g.project_run(place), "*:log")


def client_points(g, place, seed):
    """The storm's writers, a few of each kind, log what they pass; then the same killed, so that the daemon has to sweep."""
    log = g.base + "/clients.log"
    env = dict(g.env, VRIFT_FAULT="*:log", VRIFT_FAULT_LOG=log)
    storm = [tool("storm_clients"), g.shim, place, g.project_run(place)]
    for more in range(8):  # what a writer does is drawn by lot: a seed may leave one of the rarer points out
        subprocess.run(storm + ["120", str(seed + 1000 * more), "2"], env=env, check=True, stdout=subprocess.DEVNULL, stderr=open(log, "a"), timeout=120)
        with open(log) as f:
            if set(clients.client_points()) <= set(LINE.findall(f.read())):
                break
    subprocess.run(storm + ["8", str(seed + 1), "2"] + clients.client_points(), env=dict(env, VRIFT_FAULT=""), check=True, stdout=subprocess.DEVNULL, timeout=180)


def unseen_close(g, place, name):
    """A writer that closes by a call of its own and lives on: the daemon places its file."""
    p = g.start([tool("storm_clients"), "closed-and-idle", place + "/" + name], place)
    end = time.monotonic() + 15
    while not os.path.exists(place + "/" + name) and time.monotonic() < end:
        time.sleep(0.05)
    there = os.path.exists(place + "/" + name)
    state = "" if there else subprocess.run([tool("board_tool"), "records", g.project_run(place)], capture_output=True, text=True).stdout + str(
        (g.staging_files(place), p.poll(), g.status(place).get("sessions")))
    p.terminate()
    said = p.communicate()
    if not there:
        raise Failed("a file closed by an unseen call was not placed within 15 s: %s %s %s" % (state, p.returncode, said))


def moved(g, place):
    """A directory with something below it is moved and removed."""
    os.makedirs(place + "/tree/below")
    for i in range(3):
        with open("%s/tree/below/f%d" % (place, i), "w") as f:
            f.write("x")
    time.sleep(0.5)
    os.rename(place + "/tree", place + "/elsewhere")
    time.sleep(0.3)
    shutil.rmtree(place + "/elsewhere")
    time.sleep(0.3)


def stopped(pid):
    """Whether every thread of a process stands still: a SIGSTOP reaches them one by one."""
    states = []
    for tid in os.listdir("/proc/%d/task" % pid):
        with open("/proc/%d/task/%s/stat" % (pid, tid)) as f:
            states.append(f.read().rpartition(") ")[2][0])
    return all(s in "Tt" for s in states)


def flood(g, place):
    """More events than the queue takes, while the daemon is stopped and nobody may replace it."""
    with open("/proc/sys/fs/inotify/max_queued_events") as f:
        pairs = int(f.read()) * 5 // 8
    seen = []
    for _ in range(3):  # a daemon that is just being replaced is not the one that was stopped
        both = [g.coordinator(), g.daemon(place)]
        for pid in both:
            g.kill(pid, signal.SIGSTOP)
        try:
            end = time.monotonic() + 5
            while not all(map(stopped, both)) and time.monotonic() < end:
                time.sleep(0.002)
            for i in range(pairs):
                os.chmod(place + "/f2.c", 0o644)
                os.chmod(place + "/f3.c", 0o600)
        finally:
            for pid in reversed(both):
                g.kill(pid, signal.SIGCONT)
        end = time.monotonic() + 5
        while "distrusted" not in reached(g) and time.monotonic() < end:
            time.sleep(0.05)
        state = g.serve(place)
        if "distrusted" in reached(g):
            return
        seen.append((both, state.get("pid"), state.get("overflows"), state.get("events")))
    raise Failed("%d events for a stopped daemon were never too many: %s\n%s" % (2 * pairs, seen, g.logs()[-1500:]))


def flipped(g, place):
    """A bit of the VDir is flipped, and a client says that it found something wrong."""
    before = g.status(place).get("rebuilds", 0)
    subprocess.run([tool("vdir_client"), g.project_run(place), place, "flip"], check=True, stdout=subprocess.DEVNULL, timeout=60)
    end = time.monotonic() + 15
    while g.status(place).get("rebuilds", 0) == before and time.monotonic() < end:
        g.run(["ls"], place)
        time.sleep(0.05)


def adopted(g, place):
    """The daemon dies while it writes the index; its successor goes on, with everything logged from its start."""
    run, pid, vriftd = g.project_run(place), g.daemon(place), g.coordinator()
    g.arm(run, "bucket_open:kill")
    g.taken(run)
    g.kill(vriftd, signal.SIGSTOP)
    try:
        end = time.monotonic() + 15
        while pid in g.all_daemons() and time.monotonic() < end:
            with open("%s/new-%d" % (place, time.monotonic_ns()), "w") as f:
                f.write("x")
            time.sleep(0.05)
        g.arm(run, "*:log")
    finally:
        g.kill(vriftd, signal.SIGCONT)
    if not g.serve(place).get("adopted"):
        raise Failed("a daemon killed at bucket_open was not gone on with:\n" + g.logs()[-1500:])


def damage(g, place):
    """The metadata are damaged while no daemon runs."""
    for top, _, files in os.walk(g.base + "/state"):
        for f in files:
            if f == "data.mdb":
                with open(os.path.join(top, f), "r+b") as db:
                    for page in range(64):
                        db.seek(4096 * page + 20)
                        db.write(b"\xff\xff")
                    return
    raise Failed("no database was found")


def reached(g):
    found = set(LINE.findall(g.logs()))
    try:
        with open(g.base + "/clients.log") as f:
            found |= set(LINE.findall(f.read()))
    except OSError:
        pass
    return found


def run(seed):
    g = Ground()
    try:
        place = g.project("p")
        for i in range(20):
            with open("%s/f%d.c" % (place, i), "w") as f:
                f.write("int f%d;\n" % i)
        g.serve(place)
        g.cli("stop", "--all", check=True)
        arm_all(g, place)
        log = {"VRIFT_FAULT": "*:log", "VRIFT_FAULT_LOG": g.base + "/clients.log"}
        g.run(["true"], place, **log)  # starts both daemons: every point of a start, LOADED from the database
        begin = time.monotonic()
        g.serve(place)
        g.run(["sh", "-c", "cat f1.c; cp f1.c out.txt; ls"], place, check=True, **log)
        os.mkdir(place + "/many")
        for i in range(MANY):
            os.close(os.open("%s/many/a-name-of-a-file-%06d" % (place, i), os.O_WRONLY | os.O_CREAT, 0o644))
        client_points(g, place, seed)
        for i in range(4):  # a sweep that is just on its way may come to the file by another door
            unseen_close(g, place, "idle%d.o" % i)
            if "settle_begin" in reached(g):
                break
        g.cli("cas", "ingest", "--all", place=place, timeout=120)
        while time.monotonic() - begin < 13 and not {"lmdb_syncing", "lmdb_growing"} <= reached(g):
            time.sleep(0.2)
        moved(g, place)
        flood(g, place)
        flipped(g, place)
        adopted(g, place)
        g.arm(g.project_run(place), "")  # taken by the one that runs; the next is for its successor
        g.taken(g.project_run(place))
        pid = g.daemon(place)
        g.kill(pid)
        g.serve(place)
        arm_all(g, place)
        g.taken(g.project_run(place))
        g.cli("stop", "--all", check=True)
        damage(g, place)
        arm_all(g, place)
        g.serve(place)
        missing = sorted(n for _, n, _ in points() if n not in reached(g))
        total = len(points())
        if missing:
            raise Failed("%d of %d points were never reached: %s" % (len(missing), total, ", ".join(missing)))
        return {"points": total, "reached": total}
    finally:
        g.close()
