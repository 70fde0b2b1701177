"""vriftd killed or stopped, stops in force, everything killed at once, another boot, another wall clock."""
import os
import shutil
import signal
import subprocess
import threading
import time

from world import Builders, Failed, World, alive, send, state_of

COMPLETE_SECONDS = 1.0


def storm(name, n, seed, sig):
    """`sig` to vriftd at random moments of builds in two projects. Counts failed builds and doubled daemons; registry complete within a second."""
    w = World(seed)
    try:
        places = [w.project("a"), w.project("b")]
        pids = w.serve(*places)
        w.remember()
        builders = Builders(w, places)
        back, complete, doubled, control = [], [], 0, 0
        for i in range(n):
            builders.check()
            old = w.until("a coordinator", w.coordinator, 60)
            time.sleep(w.random.random() * 0.2)
            sig_now = sig or w.random.choice([signal.SIGKILL, signal.SIGSTOP])
            start = time.monotonic()
            send(old, sig_now)
            new = w.until("round %d: another coordinator after %s" % (i, sig_now), lambda: (lambda p: p if p not in (0, old) else 0)(w.coordinator()), 90)
            answered = time.monotonic()
            w.until("round %d: the registry knows both projects again" % i,
                    lambda: all((w.status() or {}).get(p, {}).get("supervision", {}).get("state") == "running" for p in places), 30)
            back.append(answered - start)
            complete.append(time.monotonic() - answered)
            if i % 10 == 0: # what a JVM of ours needs on this machine now, just to start and ask
                begin = time.monotonic()
                subprocess.run([w.vrift, "status", "--json"], cwd=w.base, env=w.env, stdin=subprocess.DEVNULL, capture_output=True)
                control = max(control, time.monotonic() - begin)
            if len(w.daemons("vriftd")) != 1 and alive(old):
                raise Failed("%s, seed %d, round %d: two coordinators" % (name, seed, i))
            found = w.daemons()
            doubled += len(found) - len(set(found.values()))
            if {p: q for q, p in found.items()} != pids:
                raise Failed("%s, seed %d, round %d: %s, they were %s" % (name, seed, i, found, pids))
            if new in found:
                raise Failed("pid of a project")
        builds = builders.end()
        if doubled or max(complete) > max(COMPLETE_SECONDS, 3 * control):
            raise Failed("%s, seed %d: %d doubled daemons, registry complete after at most %.2f s (a JVM needs %.2f s)" % (name, seed, doubled, max(complete), control))
        base = open("/proc/%d/cgroup" % w.coordinator()).read()
        if "vrift-" in base:
            raise Failed("the coordinator is in a project's cgroup: " + base)
        return {"builds": builds, "failed_builds": 0, "doubled_daemons": 0, "back_median_s": sorted(back)[len(back) // 2], "back_max_s": max(back),
                "complete_median_s": sorted(complete)[len(complete) // 2], "complete_max_s": max(complete), "control_s": control}
    finally:
        w.close()


def coordinator_killed(n, seed):
    return storm("coordinator_killed", n, seed, signal.SIGKILL)


def coordinator_stopped(n, seed):
    return storm("coordinator_stopped", n, seed, signal.SIGSTOP)


def coordinator_storm(n, seed):
    return storm("coordinator_storm", n, seed, None)


def launcher_beside_a_stopped_coordinator(n, seed):
    """A new project while vriftd is stopped: the command runs at once, says so once, and vrift heals."""
    w = World(seed)
    try:
        w.serve(w.project("first"))
        w.remember()
        worst = 0
        for i in range(n):
            place = w.project("new%d" % i)
            old = w.until("a coordinator", w.coordinator)
            send(old, signal.SIGSTOP)
            w.until("it is stopped", lambda: state_of(old) == "T") # the signal takes its time on a busy machine
            start = time.monotonic()
            p = subprocess.run([w.vrift, "run", "--", "sh", "-c", "exit 3"], cwd=place, env=w.env, stdin=subprocess.DEVNULL, capture_output=True, text=True)
            took = time.monotonic() - start
            worst = max(worst, took)
            if p.returncode != 3 or p.stderr.count("vrift:") != 1 or "is stopped" not in p.stderr:
                raise Failed("round %d: code %d, said %r" % (i, p.returncode, p.stderr))
            w.until("the new project is served", lambda: (w.status() or {}).get(place, {}).get("state") == "serving", 60)
            if alive(old):
                raise Failed("round %d: the stopped coordinator is still there" % i)
            w.remember()
        if worst > 0.5:
            raise Failed("a command took %.3f s beside a stopped coordinator" % worst)
        return {"worst_s": worst}
    finally:
        w.close()


def stop_wins(n, seed):
    """`stop --all` at random moments while builds run and daemons are killed: nothing is left, and nothing comes back by itself."""
    w = World(seed)
    try:
        places = [w.project("a"), w.project("b")]
        for i in range(n):
            w.serve(*places)
            w.remember()
            running = [w.command(["sleep", "60"], p) for p in places]
            time.sleep(w.random.random() * 0.3)
            for pid in w.random.sample(sorted(w.daemons()) + sorted(w.daemons("vriftd")), w.random.randrange(0, 3)):
                send(pid, signal.SIGKILL) # its restarters set to work
            time.sleep(w.random.random() * 0.3)
            stopped = w.stop()
            if stopped.returncode:
                raise Failed("stop_wins, seed %d, round %d: stop --all: %s" % (seed, i, stopped.stderr))
            time.sleep(1.5)
            left = w.leftovers()
            for p in running:
                p.terminate()
                p.wait()
            if left:
                raise Failed("stop_wins, seed %d, round %d: left or back again: %s" % (seed, i, left))
        return {"left": 0}
    finally:
        w.close()


def everything_killed(n, seed):
    """Every daemon and every client at once, then started again: heals, right outputs, nothing left."""
    w = World(seed)
    try:
        places = [w.project("a"), w.project("b")]
        w.serve(*places)
        for p in places:
            w.build(p)
        for i in range(n):
            w.remember()
            w.edit(places[0], range(6))
            running = [w.command(["make", "-s", "-j2"], p) for p in places]
            time.sleep(w.random.random() * 0.4)
            for p in running:
                for child in descendants(p.pid):
                    send(child, signal.SIGKILL)
                p.kill()
            for pid in list(w.daemons()) + list(w.daemons("vriftd")):
                send(pid, signal.SIGKILL)
            for p in running:
                p.communicate()
            w.edit(places[1], range(3))
            for p in places:
                w.build(p)
            w.serve(*places)
        w.remember()
        for p in places:
            w.build(p)
        w.stop()
        left = w.leftovers()
        if left:
            raise Failed("everything_killed, seed %d: left: %s" % (seed, left))
        return {"wrong_outputs": 0, "left": 0}
    finally:
        w.close()


def descendants(pid):
    out = []
    try:
        with open("/proc/%d/task/%d/children" % (pid, pid)) as f:
            children = [int(c) for c in f.read().split()]
    except OSError:
        return out
    for c in children:
        out += descendants(c) + [c]
    return out


def another_boot(n, seed):
    """What a boot leaves when RUN survives it (as /tmp may): sockets, pid files, map links to shared memory that is gone, files of another boot id."""
    w = World(seed)
    try:
        place = w.project("a")
        for i in range(n):
            w.serve(place)
            w.build(place)
            w.remember()
            paths = [w.status()[place][k] for k in ("vdir_path", "board_path")]
            saved = w.base + "/saved"
            shutil.rmtree(saved, ignore_errors=True)
            os.mkdir(saved)
            for p in paths:
                shutil.copy(p, saved)
            for pid in list(w.daemons()) + list(w.daemons("vriftd")):
                send(pid, signal.SIGSTOP)
            for pid in list(w.daemons()) + list(w.daemons("vriftd")):
                send(pid, signal.SIGKILL)
            w.until("all dead", lambda: not w.daemons() and not w.daemons("vriftd"))
            for p in paths:
                os.unlink(p)
            if i % 2: # a board and a VDir that claim another boot, under the very names of the map link
                for p in paths:
                    data = bytearray(open(saved + "/" + os.path.basename(p), "rb").read())
                    boot = open("/proc/sys/kernel/random/boot_id").read().strip().replace("-", "")
                    for old in (bytes.fromhex(boot), boot.encode(), open("/proc/sys/kernel/random/boot_id").read().strip().encode()):
                        at = data.find(old)
                        if 0 <= at < 4096:
                            data[at] ^= 0xff
                    fd = os.open(p, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
                    os.write(fd, data)
                    os.close(fd)
            # Pids of that boot are somebody else's now.
            for top, _, files in os.walk(w.run_dir):
                for f in files:
                    if f in ("pid", "vriftd.pid"):
                        open(top + "/" + f, "w").write("%d\n" % os.getpid())
            w.edit(place, range(2))
            w.build(place)
            w.serve(place)
            w.build(place)
            w.remember()
        w.stop()
        left = w.leftovers()
        if left:
            raise Failed("another_boot, seed %d: left: %s" % (seed, left))
        return {"wrong_outputs": 0, "left": 0}
    finally:
        w.close()


CLOCK = """#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>
static long offset(void) { FILE *f = fopen(OFFSET, "r"); long v = 0; if (f) { if (fscanf(f, "%ld", &v) != 1) v = 0; fclose(f); } return v; }
int clock_gettime(clockid_t c, struct timespec *t) {
  long r = syscall(SYS_clock_gettime, c, t);
  if (!r && (c == CLOCK_REALTIME || c == CLOCK_REALTIME_COARSE)) t->tv_sec += offset();
  return (int)r;
}
int gettimeofday(struct timeval *t, void *z) { struct timespec s; (void)z; clock_gettime(CLOCK_REALTIME, &s); t->tv_sec = s.tv_sec; t->tv_usec = s.tv_nsec / 1000; return 0; }
time_t time(time_t *t) { struct timespec s; clock_gettime(CLOCK_REALTIME, &s); if (t) *t = s.tv_sec; return s.tv_sec; }
"""


def clock(n, seed):
    """The daemons' wall clock jumps an hour forward and back while they serve (a preloaded shim; the files' times are the kernel's)."""
    w = World(seed)
    try:
        dist = w.base + "/dist"
        shutil.copytree(os.path.dirname(os.path.dirname(os.path.realpath(w.vrift))) if os.path.basename(os.path.dirname(w.vrift)) == "bin" else
                        os.path.join(os.path.dirname(os.path.abspath(w.vrift)), "build/dist"), dist, symlinks=True)
        offset, so = w.base + "/offset", w.base + "/clock.so"
        subprocess.run(["gcc", "-shared", "-fPIC", "-O1", "-o", so, "-x", "c", "-DOFFSET=\"%s\"" % offset, "-"], input=CLOCK, text=True, check=True)
        java = os.readlink(dist + "/lib/vrift/java")
        os.unlink(dist + "/lib/vrift/java")
        with open(dist + "/lib/vrift/java", "w") as f:
            f.write("#!/bin/bash\nexport LD_PRELOAD=%s\nexec %s \"$@\"\n" % (so, java))
        os.chmod(dist + "/lib/vrift/java", 0o755)
        w.vrift = dist + "/bin/vrift"
        places = [w.project("a"), w.project("b")]
        pids = w.serve(*places)
        w.remember()
        shifted = 0
        builders = Builders(w, places)
        for i in range(n):
            with open(offset + ".new", "w") as f:
                f.write("%d\n" % w.random.choice([3600, -3600, 0]))
            os.rename(offset + ".new", offset)
            time.sleep(0.5)
            builders.check()
            if w.daemons() != {q: p for p, q in pids.items()}:
                raise Failed("clock, seed %d, round %d: %s, they were %s" % (seed, i, w.daemons(), pids))
        builds = builders.end()
        with open(offset, "w") as f:
            f.write("3600\n")
        subprocess.run([w.vrift, "restart"], cwd=places[0], env=w.env, capture_output=True, check=True)
        hour = time.strftime("%Y-%m-%dT%H", time.gmtime(time.time() + 3600))
        for name in os.listdir(w.base + "/state/vrift/log"):
            shifted += open(w.base + "/state/vrift/log/" + name).read().count(hour)
        if not shifted:
            raise Failed("the daemons never saw the other clock: this proves nothing")
        w.stop()
        left = w.leftovers()
        if left:
            raise Failed("clock: left " + str(left))
        return {"builds": builds, "wrong_outputs": 0, "log_lines_an_hour_off": shifted}
    finally:
        w.close()
