"""Versions installed over each other while clients build."""
import os
import shutil
import subprocess
import time

from world import REPOSITORY, Builders, Failed, World, alive

CLIENTS = 16


def install(dist, prefix, number):
    """What `make install` does, with a version that differs from all before."""
    with open(dist + "/lib/vrift/BUILD", "w") as f:
        f.write("%d\n" % number)
    done = subprocess.run([REPOSITORY + "/scripts/install", dist, prefix, "9.9.%d" % number], capture_output=True, text=True)
    if done.returncode:
        raise Failed("install: " + done.stderr)
    return os.path.realpath(prefix + "/bin/vrift")


def upgrades(n, seed):
    """`make install` of another version under 16 clients: no build fails, both daemons are taken over, versions that nothing uses go."""
    w = World(seed)
    try:
        source = os.path.dirname(os.path.dirname(os.path.realpath(w.vrift))) if os.path.basename(os.path.dirname(w.vrift)) == "bin" else REPOSITORY + "/build/dist"
        dist, prefix = w.base + "/dist", w.base + "/prefix"
        shutil.copytree(source, dist, symlinks=True)
        now = install(dist, prefix, 0)
        w.vrift = prefix + "/bin/vrift"
        places = [w.project("p%d" % i) for i in range(2)]
        w.serve(*places)
        w.remember()
        # Half of the clients build, each in a project of its own place in the tree; the others look and write in the first one.
        builders = Builders(w, places)
        lookers = Builders.__new__(Builders)
        lookers.world, lookers.stopping, lookers.failure, lookers.builds, lookers.vrift = w, False, None, 0, None
        import threading

        def look(number):
            place = places[number % 2]
            while not lookers.stopping and not lookers.failure:
                p = w.command(["sh", "-c", "for i in 1 2 3 4 5; do ls src >/dev/null; echo $i >mine%d; cat mine%d; done" % (number, number)], place)
                out, err = p.communicate(timeout=120)
                err = "\n".join(l for l in err.splitlines() if not l.startswith("vrift: "))
                if p.returncode or err or out.split() != ["1", "2", "3", "4", "5"]:
                    lookers.failure = Failed("a client ended with %d, said %r %r" % (p.returncode, out, err))
                lookers.builds += 1

        lookers.threads = [threading.Thread(target=look, args=(i,)) for i in range(CLIENTS - len(places))]
        for t in lookers.threads:
            t.start()
        taken = []
        for i in range(1, n + 1):
            before = now
            now = install(dist, prefix, i)
            if now == before:
                raise Failed("the installed version is the same")
            start = time.monotonic()
            home = os.path.dirname(os.path.dirname(now)) + "/lib/vrift"

            def over():
                builders.check()
                lookers.check()
                found = {**w.daemons(), **w.daemons("vriftd")}
                if len(found) != 3:
                    return False
                for pid in found:
                    try:
                        if home.encode() not in open("/proc/%d/cmdline" % pid, "rb").read():
                            return False
                    except OSError:
                        return False
                return True

            w.until("upgrade %d has taken over all daemons" % i, over, 60)
            taken.append(time.monotonic() - start)
            w.remember()
        commands = lookers.end()
        builds = builders.end()
        # An installation that is removed under a running build harms nothing.
        w.serve(*places)
        p = w.command(["sh", "-c", "rm -rf %s/lib %s/bin; for i in 1 2 3; do sh -c 'ls src | wc -l'; done" % (prefix, prefix)], places[0])
        out, err = p.communicate(timeout=60)
        if p.returncode or err or len(out.split()) != 3:
            raise Failed("removed under a build: %d %r %r" % (p.returncode, out, err))
        w.vrift = dist + "/bin/vrift"
        w.stop()
        if w.leftovers():
            raise Failed("left: %s" % w.leftovers())
        return {"clients": CLIENTS, "commands": commands, "builds": builds, "errors": 0, "after_install_max_s": max(taken)}
    finally:
        w.close()
