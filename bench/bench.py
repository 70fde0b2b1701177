"""Benchmarks of vrift against native, the two always in turn; medians of the rounds. See bench/README.md."""
import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
REPOSITORY = os.path.dirname(HERE)
sys.path.insert(0, os.path.join(REPOSITORY, "scripts", "oracle"))
import builds_c  # noqa: E402
import builds_tools  # noqa: E402
import oracle  # noqa: E402

VRIFT = oracle.vrift_command()
ENV = oracle.clean_environment("/nonexistent")


def output(command, cwd, under, preload=None):
    prefix = [VRIFT, "run", "--"] if under else []
    env = dict(ENV, LD_PRELOAD=preload) if preload and not under else ENV
    done = subprocess.run(prefix + command, cwd=cwd, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if done.returncode != 0:
        raise SystemExit("bench: %s exited %d: %s" % (command, done.returncode, done.stderr[-400:]))
    return done.stdout


def in_turn(rounds, measure):
    """measure(under_vrift) -> {name: number}; returns {name: {native, vrift, ratio}} with medians, ratio pair by pair."""
    pairs = [(measure(False), measure(True)) if i % 2 == 0 else tuple(reversed((measure(True), measure(False)))) for i in range(rounds)]
    result = {}
    for name in pairs[0][0]:
        a, b = [p[0][name] for p in pairs], [p[1][name] for p in pairs]
        result[name] = {"native": statistics.median(a), "vrift": statistics.median(b),
                        "ratio": round(statistics.median(y / x for x, y in zip(a, b)), 4)}
    return result


def table(title, rows, unit):
    print("\n%s (%s)\n%-34s %12s %12s %10s" % (title, unit, "", "native", "vrift", "vrift/nat"))
    for name, r in rows.items():
        print("%-34s %12.1f %12.1f %10.3f" % (name, r["native"], r["vrift"], r["ratio"]), flush=True)


def make_tree(root, files):
    os.makedirs(root + "/links")
    os.makedirs(root + "/out")
    for i in range(files):
        if i % 100 == 0:
            os.mkdir("%s/d%d" % (root, i // 100))
        os.close(os.open("%s/d%d/f%d" % (root, i // 100, i), os.O_CREAT | os.O_WRONLY, 0o644))
    for i in range(100):
        os.symlink("../d0/f%d" % i, "%s/links/l%d" % (root, i))
    subprocess.run([VRIFT, "init"], cwd=root, env=ENV, capture_output=True)


def serve(root):
    begin = time.monotonic()
    if not oracle.wait_serving(root, ENV):
        raise SystemExit("bench: vrift does not serve " + root)
    return time.monotonic() - begin


def bench_calls(base, tools, sizes, quick):
    result = {}
    for files in sizes:
        root = "%s/tree%d" % (base, files)
        for pattern in (["hot", "random"] if files == sizes[0] else ["random"]):
            for form in (["abs", "rel"] if files == sizes[0] else ["abs"]):
                command = [tools + "/calls", root, str(files), pattern, form, "0.1" if quick else "0.25"]
                rows = in_turn(3 if quick else 5, lambda u, c=command, r=root: json.loads(output(c, r, u)))
                key = "%s %s %d files" % (pattern, form, files)
                result[key] = rows
                table(key, rows, "ns per call")
    return result


def bench_processes(base, tools, sizes, quick):
    result, count = {}, "200" if quick else "1000"
    files = sizes[-1]
    root = "%s/tree%d" % (base, files)

    def measure(under, preload=None):
        few = [tools + "/spawn", count, tools + "/few", root, str(files)]
        return {"exec /bin/true": float(output([tools + "/spawn", count, "/bin/true"], root, under, preload)),
                "20 questions": float(output(few + ["20"], root, under, preload)),
                "500 questions": float(output(few + ["500"], root, under, preload))}
    result["%d files" % files] = in_turn(3 if quick else 7, measure)
    table("fresh processes, %d files" % files, result["%d files" % files], "us per process")
    empty = "%d files, against a preloaded library without anything in it" % files
    result[empty] = in_turn(3 if quick else 7, lambda under: measure(under, tools + "/empty.so"))
    table("the same against an empty preload", result[empty], "us per process")
    return result


def bench_outputs(base, tools, sizes, quick):
    root = "%s/tree%d" % (base, sizes[0])
    rows = in_turn(3 if quick else 7, lambda u: json.loads(output([tools + "/outputs", root + "/out", "500"], root, u)))
    table("output files of 4 KiB", rows, "us per file")
    return rows


def timed(command, cwd, under):
    begin = time.monotonic()
    output(["sh", "-c", command], cwd, under)
    return (time.monotonic() - begin) * 1e3


def warm(command, cwd):
    """A daemon that has just been started compiles its own code and starts its spare: not what a build costs day by day."""
    serve(cwd)
    for under in (True, False, True):
        timed(command, cwd, under)
    time.sleep(6)


def ninja_tree(base, files):
    """A tree that is up to date. (make looks at a target's prerequisites for a time that grows with their square: it shows make.)"""
    tree = "%s/tree%d" % (base, files)
    names = " ".join("d%d/f%d" % (i // 100, i) for i in range(files))
    with open(tree + "/build.ninja", "w") as f:
        f.write("rule touch\n  command = touch $out\nbuild out/stamp: touch " + names + "\n")
    subprocess.run(["ninja"], cwd=tree, env=ENV, check=True, stdout=subprocess.DEVNULL)
    serve(tree)
    time.sleep(3)
    return tree


def bench_builds(base, tools, sizes, quick):
    result = {}
    rounds = 3 if quick else 7
    make = base + "/make"
    os.makedirs(make)
    builds_c.prepare_make(make, ENV)
    build = "make clean >/dev/null && make -j2 >/dev/null"
    warm(build, make)
    rows = in_turn(rounds * 3, lambda u: {"make/gcc clean build": timed(build, make, u)})
    conf = base + "/configure"
    os.makedirs(conf)
    if not builds_c.prepare_configure(conf, ENV) and not subprocess.run("autoconf", cwd=conf, shell=True, env=ENV).returncode:
        warm("./configure >/dev/null", conf)
        rows.update(in_turn(rounds, lambda u: {"./configure": timed("./configure >/dev/null", conf, u)}))
    cargo = base + "/cargo"
    os.makedirs(cargo)
    if not quick and not builds_tools.prepare_cargo(cargo, ENV):
        build = "rm -rf target && cargo build --offline -q"
        warm(build, cargo)
        rows.update(in_turn(5, lambda u: {"cargo build, clean": timed(build, cargo, u)}))
    for files in sizes[:2]:
        tree = "%s/tree%d" % (base, files)
        subprocess.run("git init -q . && git -c user.name=n -c user.email=e@e add -A && git -c user.name=n -c user.email=e@e commit -qm x",
                       cwd=tree, shell=True, env=ENV, check=True)
        serve(tree)
        time.sleep(3)
        rows.update(in_turn(rounds * 2, lambda u, d=tree, n=files: {"git status, %d files" % n: timed("exec git status --porcelain >/dev/null", d, u)}))
    tree = "%s/tree%d" % (base, sizes[0])
    with open(tree + "/Makefile", "w") as f:
        f.write("S := $(wildcard d*/f*)\nall: stamp\nstamp: $(S)\n\t@touch stamp\n")
    subprocess.run(["make", "-s"], cwd=tree, env=ENV, check=True)
    time.sleep(3)
    rows.update(in_turn(rounds * 2, lambda u: {"no-op make, %d files" % sizes[0]: timed("exec make -s", tree, u)}))
    if shutil.which("ninja"):
        for files in sizes[:2]:
            rows.update(in_turn(rounds * 2, lambda u, d=ninja_tree(base, files), n=files: {"no-op ninja, %d files" % n: timed("exec ninja >/dev/null", d, u)}))
    table("whole commands", rows, "ms")
    result.update(rows)
    return result


def bench_memory():
    status = json.loads(subprocess.run([VRIFT, "status", "--json"], env=ENV, capture_output=True, text=True).stdout)
    result = {}
    for p in (x for x in status.get("projects", []) if x["pid"]):
        with open("/proc/%d/smaps_rollup" % p["pid"]) as f:
            result[os.path.basename(p["root"])] = {"entries": p["entries"], "pss_mib": [int(x.split()[1]) / 1024 for x in f if x.startswith("Pss:")][0]}
    print("\nPSS per vdir_d: " + ", ".join("%s %.1f MiB (%d entries)" % (k, v["pss_mib"], v["entries"]) for k, v in result.items()))
    return result


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--million", action="store_true")
    parser.add_argument("--only", action="append")
    parser.add_argument("--json", default=None)
    # Not beside the compilers' temporaries: ext4 passes over inodes deleted within 5 s one by one, and who deletes in a group slows all that create in it.
    parser.add_argument("--dir", default="/var/tmp" if os.path.isdir("/var/tmp") else None, help="where the trees are made")
    args = parser.parse_args()
    base = tempfile.mkdtemp(prefix="vrift-bench-", dir=args.dir)
    sizes = [10000] + ([] if args.quick else [100000]) + ([1000000] if args.million else [])
    wanted = args.only or ["scan", "calls", "processes", "outputs", "builds", "memory"]
    results = {"schema_version": 1, "kernel": platform.release(), "cores": os.cpu_count(), "quick": args.quick}
    try:
        tools = base + "/tools"
        os.makedirs(tools)
        subprocess.run(["gcc", "-shared", "-fPIC", "-x", "c", "-o", tools + "/empty.so", os.devnull], check=True)
        for name in ("calls", "spawn", "few", "outputs"):
            subprocess.run(["gcc", "-O2", "-o", tools + "/" + name, "%s/%s.c" % (HERE, name)], check=True)
        scan = {}
        for files in sizes:
            root = "%s/tree%d" % (base, files)
            make_tree(root, files)
            scan["%d files" % files] = {"seconds_to_serving": round(serve(root), 2)}
            print("first use of %d files: serving after %.2f s, daemons' start included" % (files, scan["%d files" % files]["seconds_to_serving"]))
        results["scan"] = scan
        time.sleep(3)
        for name, call in (("calls", bench_calls), ("processes", bench_processes), ("outputs", bench_outputs), ("builds", bench_builds)):
            if name in wanted:
                results[name] = call(base, tools, sizes, args.quick)
        if "memory" in wanted:
            results["memory"] = bench_memory()
    finally:
        subprocess.run([VRIFT, "stop", "--all"], env=ENV, capture_output=True)
        shutil.rmtree(base, ignore_errors=True)
    if args.json:
        with open(args.json, "w") as f:
            json.dump(results, f, indent=1)
    return 0


if __name__ == "__main__":
    sys.exit(main())
