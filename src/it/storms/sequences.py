"""Random programs, each natively and under vrift in directories made alike: what they see and what they leave must be the same. Each third has every
answer compared with the kernel's on top. sequence_actor.py is the program."""
import json
import os
import stat
import subprocess
import sys

from ground import Failed, Ground

ACTOR = os.path.join(os.path.dirname(os.path.abspath(__file__)), "sequence_actor.py")
STEPS = 60
SHOWN = ("HIT", "HIT_ENOENT", "STAGED", "COMMITTED", "PROMOTED", "DEMOTED", "VERIFIED", "VERIFY_DIFFS")


def prepare(place):
    for d in ("d/g", "k", "l"):
        os.makedirs(os.path.join(place, d), exist_ok=True)
    for name in ("a.o", "d/f", "d/g/i.txt"):
        with open(os.path.join(place, name), "w") as f:
            f.write("before " + name)


def left(place):
    """{path: mode, size or target, links, content} of the tree but vrift's own directory."""
    out = {}
    for here, dirs, files in os.walk(place):
        if here == place and ".vrift" in dirs:
            dirs.remove(".vrift")
        for name in dirs + files:
            p = os.path.join(here, name)
            st = os.lstat(p)
            if stat.S_ISLNK(st.st_mode):
                what = os.readlink(p)
            elif stat.S_ISREG(st.st_mode):
                with open(p, "rb") as f:
                    what = "%d links, %r" % (st.st_nlink, f.read())
            else:
                what = ""
            out[os.path.relpath(p, place)] = "%o %s" % (st.st_mode, what)
    return out


def play(g, place, seed, under):
    """(exit code, 124 if an answer differed from the kernel's; what it said)"""
    env = dict(g.env, VRIFT_VERIFY="1") if under and seed % 3 == 0 else g.env
    done = subprocess.run(([g.vrift, "run", "--"] if under else []) + [sys.executable, "-S", "-E", ACTOR, str(seed), str(STEPS), "0"], cwd=place, env=env,
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=120)
    return done.returncode, done.stdout.decode(errors="replace").replace(place, "ROOT")


def empty(place):
    for name in os.listdir(place):
        if name != ".vrift":
            p = os.path.join(place, name)
            subprocess.run(["rm", "-rf", p], check=True) if os.path.isdir(p) and not os.path.islink(p) else os.unlink(p)


def first_difference(a, b):
    for i, (x, y) in enumerate(zip(a, b)):
        if x != y:
            return "line %d: natively %r, under vrift %r (before: %r)" % (i + 1, x, y, a[max(0, i - 3):i])
    return "lines: natively %d, under vrift %d" % (len(a), len(b))


def compare(g, native, project, seed):
    """None, or what differs."""
    results, trees = [], []
    for place, under in ((native, False), (project, True)):
        empty(place)
        prepare(place)
        results.append(play(g, place, seed, under))
        trees.append(left(place))
    if results[0] != results[1]:
        return "seed %d: exit codes %d and %d, %s" % (seed, results[0][0], results[1][0], first_difference(results[0][1].splitlines(), results[1][1].splitlines()))
    if trees[0] != trees[1]:
        for p in sorted(set(trees[0]) | set(trees[1])):
            if trees[0].get(p) != trees[1].get(p):
                return "seed %d: %s: %s" % (seed, p, first_difference(str(trees[0].get(p)).split("\\n"), str(trees[1].get(p)).split("\\n")))
    return None


def run(seed, rounds=None, short=False):
    rounds = rounds or (40 if short else 3000)
    g = Ground()
    try:
        native = os.path.join(g.base, "native")
        os.mkdir(native)
        project = g.project("project")
        g.serve(project)
        for i in range(rounds):
            difference = compare(g, native, project, seed + i)
            if difference:
                raise Failed(difference)
        counters = json.loads(g.cli("stats", "--json", place=project).stdout)["counters"]
        return {"seed": seed, "rounds": rounds, "different": 0, "answers": {k: counters[k] for k in SHOWN}}
    finally:
        g.close()
