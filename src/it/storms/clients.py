"""Writers killed at random instants and at every named point, daemons alive, dead, or dying meanwhile. See native/test/storm_clients.c for the
writers and the judge. Afterwards: no staging file of the dead is left after 10 s, and what was rolled back is in salvage."""
import json
import os
import random
import subprocess
import time

import specials
from ground import Failed, Ground, points, tool

WORKERS = 4
CHUNK_ALIVE = 400  # what they leave in salvage must fit into its 256 files, or the oldest are dropped before we look
CHUNK_DEAD = 250  # without a daemon nobody frees what the dead leave on the board
DIRT = ("torn", "lost", "failed", "bystander_bad")
SUMS = ("rounds", "killed", "stopped", "committed", "kept", "native", "bystander_rounds") + DIRT


def client_points():
    """Those that clients pass; sweep and settle are the daemon's."""
    return [n for _, n, _ in points("board", "stage", "shim") if not n.startswith(("sweep_", "settle_"))]


def storm(g, place, rounds, seed, names=(), meanwhile=None):
    shim, run = (g.shim, g.project_run(place)) if g else ("-", "-")
    env = dict(g.env if g else os.environ)
    env["VRIFT_FAULT_LOG"] = (g.base if g else place) + "/faults.log"
    p = subprocess.Popen([tool("storm_clients"), shim, place, run, str(rounds), str(seed), str(WORKERS)] + list(names), env=env, stdout=subprocess.PIPE,
                         stderr=subprocess.PIPE, text=True)
    try:
        if meanwhile:
            meanwhile()
        out, err = p.communicate(timeout=900)
    finally:
        if p.poll() is None:
            p.terminate()
            p.communicate()
    if p.returncode not in (0, 1) or not out.strip():
        raise Failed("storm_clients, seed %d, ended with %d: %s" % (seed, p.returncode, err[-2000:]))
    found = json.loads(out)
    found["said"] = err
    return found


def content(file, version, size):
    head = b"%08x %08x %08x\n" % (file, version, size)
    return head + bytes((file * 31 + version * 17 + i * 7 + (i >> 8)) & 255 for i in range(len(head), size))


def in_salvage(place):
    """{(file, version): longest beginning} of what lies in salvage."""
    out, d = {}, place + "/.vrift/salvage"
    for name in os.listdir(d) if os.path.isdir(d) else []:
        try:
            with open(os.path.join(d, name), "rb") as f:
                data = f.read()
        except FileNotFoundError:
            continue  # one of the oldest: the area is bounded
        try:
            file, version, size = [int(x, 16) for x in data[:26].split()]
        except ValueError:
            continue
        if len(data) <= size and content(file, version, size).startswith(data):
            out[file, version] = max(out.get((file, version), 0), len(data))
    return out


def settle(g, place, found, seed, what):
    """No staging file of the dead after 10 s; what was rolled back is in salvage."""
    took = g.wait_staging_empty(place)
    d = place + "/.vrift/salvage"
    if took is None:
        raise Failed("%s, seed %d: staging files left after 10 s: %s" % (what, seed, g.staging_files(place)[:5]))
    have = in_salvage(place)
    missing = [n for n in found["salvage"] if have.get((n[0], n[1]), 0) < n[2]]
    if missing:
        raise Failed("%s, seed %d: of %d rolled back contents %d are not in salvage, the first [file, version, bytes]: %s" % (
            what, seed, len(found["salvage"]), len(missing), missing[:3]))
    for name in os.listdir(d) if os.path.isdir(d) else []:
        os.unlink(os.path.join(d, name))
    return took, len(found["salvage"])


def alive(g, place, rounds, seed):
    return storm(g, place, rounds, seed)


def dead(g, place, rounds, seed):
    g.kill_all()
    found = storm(g, place, rounds, seed)
    g.serve(place)
    return found


def dying(g, place, rounds, seed):
    """Both daemons are killed in the middle."""
    rng = random.Random(seed)

    def meanwhile():
        time.sleep(0.05 + rng.random() * rounds / 600)
        g.kill_all()

    found = storm(g, place, rounds, seed, meanwhile=meanwhile)
    g.serve(place)
    return found


def control(rounds, seed):
    """Natively the same detector finds torn files."""
    import shutil
    import tempfile
    base = tempfile.mkdtemp(prefix="vrift-storm-")
    try:
        found = storm(None, base, rounds, seed)
    finally:
        shutil.rmtree(base, ignore_errors=True)
    if not found["torn"]:
        raise Failed("the control, seed %d, found nothing torn in %d native rounds: this storm shows nothing" % (seed, rounds))
    return found["torn"]


def run(seed, rounds=None, short=False):
    rounds = rounds or (500 if short else 10000)
    total = dict.fromkeys(SUMS, 0)
    total.update(seed=seed, control_torn=control(max(200, rounds // 20), seed), salvage_looked_for=0, slowest_clean_up=0.0)
    fired = dict.fromkeys(client_points(), 0)
    g = Ground()
    try:
        place = g.project("p")
        g.serve(place)
        plan = [("alive", alive, rounds // 2, CHUNK_ALIVE), ("dead", dead, rounds // 4, CHUNK_DEAD), ("dying", dying, rounds - rounds // 2 - rounds // 4, CHUNK_DEAD)]
        number = 0
        for what, play, n, chunk in plan:
            while n > 0:
                number += 1
                add(total, g, place, play(g, place, min(n, chunk), seed + number), seed + number, what)
                n -= chunk
        each = max(3, rounds // 250)
        while each > 0:
            number += 1
            found = storm(g, place, min(each, 8), seed + number, client_points())
            add(total, g, place, found, seed + number, "points")
            for name, n in found["points"].items():
                fired[name] += n
            each -= 8
        never = sorted(n for n in fired if not fired[n])
        if never and not short:
            raise Failed("points that killed nobody, seed %d: %s" % (seed, ", ".join(never)))
        total.update(points=len(fired), points_fired=sum(1 for n in fired.values() if n), killed_at_points=sum(fired.values()))
    finally:
        g.close()
    if not short:
        total["specials"] = specials.run(seed)
    return total


def add(total, g, place, found, seed, what):
    for k in SUMS:
        total[k] += found[k]
    dirt = {k: found[k] for k in DIRT if found[k]}
    if dirt:
        raise Failed("%s, seed %d: %s\n%s" % (what, seed, dirt, found["said"][:3000]))
    if found["native"] * 20 > found["rounds"]:
        raise Failed("%s, seed %d: %d of %d writers were not staged: too little was tested" % (what, seed, found["native"], found["rounds"]))
    took, looked = settle(g, place, found, seed, what)
    total["slowest_clean_up"] = round(max(total["slowest_clean_up"], took), 2)
    total["salvage_looked_for"] += looked
