"""Rounds by name, each with its numbers; a table, JSON, and `rounds: N passed, N failed`. The short numbers are for `make test`."""
import argparse
import json
import os
import random
import signal
import subprocess
import sys
import time

from bed import Bed, Failed, compare_trees, tree

# name: (short, full) number of rounds; for fuzz_*: steps
SIZES = {
    "fuzz_ring": (600, 10000), "fuzz_ring_unseen": (600, 10000), "fuzz_race": (600, 10000), "editor": (60, 1000), "editor_during_build": (40, 1000),
    "unseen_child": (60, 1000), "unseen_partner": (100, 1000), "daemon_killed": (3, 50), "writer_killed": (12, 200), "writer_killed_without_daemons": (4, 200),
}
WORKERS = 3
FUZZ_SECONDS = 1200


def fuzz_start(bed, place):
    for d in ("a", "b", "a/c"):
        os.mkdir("%s/%s" % (place, d))
    os.symlink("a", place + "/l")


def fuzz(bed, name, mode, n, seed, unseen):
    """WORKERS processes; `unseen` of them run without vrift. Each answer is compared with the raw call by the worker itself."""
    place = bed.project(name)
    fuzz_start(bed, place)
    bed.serve(place)
    control = bed.project(name + "-control")
    trace = control + "/trace"
    for i in range(WORKERS):
        os.mkfifo("%s/%d" % (control, i))
    workers = []
    for i in range(WORKERS):
        command = [bed.tools + "/fuzz_ops", mode, place, control, str(i), str(WORKERS), str(n), str(seed)]
        workers.append(bed.start(command, place, under=i >= unseen, VRIFT_TRACE=trace))
    if mode == "ring":
        with open(control + "/0", "r+b", buffering=0) as first:
            first.write((seed * 1000003 & (1 << 64) - 1).to_bytes(8, "little") + bytes(8))
            results = [bed.finish(w, FUZZ_SECONDS) for w in workers]
    else:
        results = [bed.finish(w, FUZZ_SECONDS) for w in workers]
    found = {"compared": 0, "differences": 0, "from_memory": 0}
    for code, out, err in results:
        if code not in (0, 1) or not out.strip():
            raise Failed("%s, seed %d: a worker ended with %s\n%s" % (name, seed, code, err[-2000:]))
        numbers = json.loads(out.strip().splitlines()[-1])
        found["compared"] += numbers["compared"]
        found["differences"] += numbers["differences"]
        if numbers["differences"]:
            raise Failed("%s, seed %d: %d differences\n%s" % (name, seed, numbers["differences"], err[:2000]))
    if os.path.exists(trace):
        with open(trace, errors="replace") as f: # the questions about "." are the warm-up
            found["from_memory"] = sum(1 for line in f if line.split()[2].startswith("memory") and line.split()[-1] not in (".", place))
    return place, found


def fuzz_ring(bed, n, seed):
    """Turn by turn: besides exact answers, the same tree as natively."""
    place, found = fuzz(bed, "ring", "ring", n, seed, 0)
    if not bed.native:
        other = Bed(True)
        try:
            wanted, _ = fuzz(other, "ring", "ring", n, seed, 0)
            compare_trees(tree(wanted), tree(place), "fuzz_ring, seed %d" % seed)
        finally:
            other.close()
    return found


def fuzz_ring_unseen(bed, n, seed):
    return fuzz(bed, "ring-unseen", "ring", n, seed, 1)[1]


def fuzz_race(bed, n, seed):
    return fuzz(bed, "race", "race", n, seed, 0)[1]


def editor(bed, n, seed, noise=False):
    """An editor outside changes a file; `vrift run` looks right after."""
    rng = random.Random(seed)
    place = bed.project("editor-noise" if noise else "editor")
    files = ["%s/f%d" % (place, i) for i in range(8)]
    for f in files:
        open(f, "w").close()
    bed.serve(place)
    bed.run([bed.tools + "/stale_rounds", "look", files[0], "900"], place)
    before = bed.answered(place)
    busy = bed.start([bed.tools + "/stale_rounds", "noise", place, str(60 + n)], place) if noise else None
    stale = []
    for i in range(n):
        f = rng.choice(files)
        if rng.random() < 0.5:
            time.sleep(rng.random() * 0.06)
        kind = rng.randrange(4)
        if kind == 0 and os.path.exists(f):
            os.unlink(f)
        elif kind == 1:
            with open(f + ".swp", "w") as out:
                out.write("x" * (i + 1))
            os.rename(f + ".swp", f)
        else:
            with open(f, "w" if kind == 2 else "a") as out:
                out.write("y" * (i + 1))
        wanted = "absent"
        if os.path.exists(f):
            st = os.stat(f)
            wanted = "%d %d.%09d %d" % (st.st_size, st.st_mtime_ns // 10**9, st.st_mtime_ns % 10**9, st.st_ino)
        look = bed.run([bed.tools + "/stale_rounds", "look", f, str(rng.choice((0, 0, 3, 25)))], place)
        if look.stdout.strip() != wanted:
            stale.append("round %d: saw '%s', is '%s' %s" % (i, look.stdout.strip(), wanted, look.stderr[-300:]))
    if busy:
        if busy.poll() is not None:
            raise Failed("the noise ended: %s" % busy.stderr.read()[-500:])
        busy.terminate()
    if stale:
        raise Failed("%d of %d stale; seed %d; first: %s" % (len(stale), n, seed, stale[0]))
    return {"stale": 0, "from_memory": bed.answered(place) - before}


def editor_during_build(bed, n, seed):
    return editor(bed, n, seed, True)


def told(result, what):
    code, out, err = result
    if code not in (0, 1) or not out.strip():
        raise Failed("%s ended with %s: %s" % (what, code, err[-1000:]))
    numbers = json.loads(out.strip().splitlines()[-1])
    if numbers["stale"]:
        raise Failed("%s: %s" % (what, numbers))
    return numbers


def unseen_child(bed, n, seed):
    place = bed.project("child")
    bed.serve(place)
    before = bed.answered(place)
    looker = bed.start([bed.tools + "/stale_rounds", "child", place, str(n), bed.tools + "/stale_static"], place)
    told(bed.finish(looker, 600), "unseen_child")
    return {"stale": 0, "from_memory": bed.answered(place) - before}


def unseen_partner(bed, n, seed):
    place, control = bed.project("partner"), bed.project("partner-control")
    bed.serve(place)
    before = bed.answered(place)
    up, down = control + "/up", control + "/down"
    os.mkfifo(up)
    os.mkfifo(down)
    partner = bed.start([bed.tools + "/stale_rounds", "partner", place, down, up], place, under=False)
    looker = bed.start([bed.tools + "/stale_rounds", "pipe", place, up, down, str(n)], place)
    told(bed.finish(looker, 600), "unseen_partner")
    bed.finish(partner, 10)
    return {"stale": 0, "from_memory": bed.answered(place) - before}


MAKEFILE = """\
O = $(patsubst %.c,%.o,$(wildcard *.c))
prog: $(O)
\tgcc -o $@ $(O)
%.o: %.c all.h
\tgcc -O0 -c -o $@ $<
"""


def write_c_project(place, files=16):
    with open(place + "/all.h", "w") as f:
        f.write("".join("int f%d(int);\n" % i for i in range(files)))
    for i in range(files):
        with open("%s/f%d.c" % (place, i), "w") as f:
            f.write('#include <stdio.h>\n#include <stdlib.h>\n#include "all.h"\nint f%d(int x) { return x + %d; }\n' % (i, i))
    with open(place + "/main.c", "w") as f:
        f.write('#include <stdio.h>\n#include "all.h"\nint main(void) { printf("%d\\n", ' + "+".join("f%d(1)" % i for i in range(files)) + "); return 0; }\n")
    with open(place + "/Makefile", "w") as f:
        f.write(MAKEFILE)


def daemon_killed(bed, n, seed):
    """kill -9 of vdir_d at a random moment of a build: the build ends as natively, and the daemon comes back."""
    rng = random.Random(seed)
    reference = bed.project("killed-native")
    write_c_project(reference)
    bed.run(["make", "-s", "-j2"], reference, under=False, check=True)
    wanted = tree(reference)
    place = bed.project("killed")
    write_c_project(place)
    killed, seconds_back, forgiven = 0, [], 0
    for i in range(n):
        if killed - forgiven >= 4 and not bed.native: # more than five deaths in a minute are a crash loop: quarantine
            bed.run([bed.vrift, "restart"], place, under=False)
            forgiven = killed
        bed.serve(place)
        bed.run(["sh", "-c", "rm -f *.o prog"], place, under=rng.random() < 0.5)
        build = bed.start(["make", "-s", "-j2"], place)
        for _ in range(rng.randrange(1, 3)):
            time.sleep(rng.random() * 0.5)
            killed += 0 if bed.native else bed.kill_daemon(place)
        code, out, err = bed.finish(build, 120)
        if code != 0:
            raise Failed("daemon_killed, seed %d, round %d: make ended with %s\n%s%s" % (seed, i, code, out[-500:], err[-1500:]))
        compare_trees(wanted, tree(place), "daemon_killed, seed %d, round %d" % (seed, i))
        begin = time.monotonic()
        bed.serve(place)
        seconds_back.append(time.monotonic() - begin)
    if killed == 0 and not bed.native:
        raise Failed("no daemon was ever there to be killed")
    return {"killed": killed, "differences": 0, "seconds_back_max": round(max(seconds_back), 2)}


def writer_killed(bed, n, seed, daemons=True):
    """kill -9 of the writer of a staged file, looked at directly after wait(): the last committed version, or absent."""
    rng = random.Random(seed)
    place = bed.project("writer" if daemons else "writer-alone")
    os.mkdir(place + "/out")
    bed.serve(place)
    wrong, staged, absent = [], 0, 0
    for i in range(n):
        path = "%s/out/product%d.o" % (place, rng.randrange(6))
        old = None
        if rng.random() < 0.3 and os.path.exists(path):
            os.unlink(path)
        elif rng.random() < 0.7:
            old = ("version %d\n" % i).encode() * rng.randrange(1, 4000)
            with open(path, "wb") as f:
                f.write(old)
        elif os.path.exists(path):
            with open(path, "rb") as f:
                old = f.read()
        if rng.random() < 0.5:
            time.sleep(0.03)
        bed.run(["true"], place)
        writer = bed.start([bed.tools + "/stale_rounds", "write", path], place)
        line = writer.stdout.readline()
        if line != "written\n":
            raise Failed("the writer said %r, %s" % (line, writer.stderr.read()[-500:]))
        staged += os.path.isdir(place + "/.vrift/staging") and any(f for _, _, f in os.walk(place + "/.vrift/staging"))
        if not daemons and not bed.native:
            bed.run([bed.vrift, "stop", "--all"], place, under=False)
        os.kill(writer_pid(writer), signal.SIGKILL)
        writer.wait()
        try:
            with open(path, "rb") as f:
                now = f.read()
        except FileNotFoundError:
            now = None
        absent += now is None
        if now != old:
            wrong.append("round %d: %s is %s bytes, committed were %s" % (i, path, now if now is None else len(now), old if old is None else len(old)))
        writer.communicate()
        if not daemons:
            bed.serve(place)
    if wrong and not bed.native:
        raise Failed("%d of %d wrong; seed %d; first: %s" % (len(wrong), n, seed, wrong[0]))
    if not bed.native and staged < n // 2:
        raise Failed("only %d of %d writers were staged: nothing was tested" % (staged, n))
    return {"wrong": len(wrong), "staged": staged, "absent": absent}


def writer_pid(launcher):
    """The program that `vrift run` runs: its child, or itself when it execs."""
    with open("/proc/%d/task/%d/children" % (launcher.pid, launcher.pid)) as f:
        children = f.read().split()
    return int(children[0]) if children else launcher.pid


def writer_killed_without_daemons(bed, n, seed):
    return writer_killed(bed, n, seed, False)


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--full", action="store_true", help="the numbers of a release instead of those of make test")
    p.add_argument("--native", action="store_true", help="without vrift: shows that the rounds themselves are sound")
    p.add_argument("--seed", type=int, default=int(time.time()) % 100000)
    p.add_argument("--rounds", type=int, help="this many, instead of the name's own number")
    p.add_argument("--json", help="writes the results there")
    p.add_argument("names", nargs="*", metavar="NAME", help=", ".join(SIZES))
    a = p.parse_args()
    unknown = [n for n in a.names if n not in SIZES]
    if unknown:
        p.error("no rounds named %s; there are: %s" % (", ".join(unknown), ", ".join(SIZES)))
    results, failed = [], 0
    for name in a.names or SIZES:
        n = a.rounds or SIZES[name][1 if a.full else 0]
        begin = time.monotonic()
        bed = Bed(a.native)
        one = {"name": name, "rounds": n, "seed": a.seed}
        try:
            one.update(globals()[name](bed, n, a.seed))
            if one.get("from_memory") == 0 and not a.native:
                raise Failed("nothing was answered from memory: nothing was tested")
            word = "ok"
        except (Failed, OSError, ValueError, subprocess.SubprocessError) as e:
            failed += 1
            one["failed"] = str(e)
            word = "FAILED: %s" % e
        finally:
            bed.close()
        one["seconds"] = round(time.monotonic() - begin, 1)
        results.append(one)
        numbers = " ".join("%s=%s" % (k, v) for k, v in one.items() if k not in ("name", "failed"))
        print("%-30s %s  %s" % (name, numbers, word), flush=True)
    if a.json:
        with open(a.json, "w") as f:
            json.dump({"schema_version": 1, "native": a.native, "results": results}, f, indent=1)
    print("rounds: %d passed, %d failed" % (len(results) - failed, failed))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
