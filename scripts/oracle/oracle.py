"""Runs real builds natively twice and once under vrift with VRIFT_VERIFY=1, always at the same path, and compares exit
codes, output, and every file. A file counts as different only where the two native runs agree. Exit 1 on any difference."""
import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time

import builds
import trees
from killer import Killer

HERE = os.path.dirname(os.path.abspath(__file__))
REPOSITORY = os.path.dirname(os.path.dirname(HERE))
STEP_SECONDS = 900
SERVING_SECONDS = 10


def vrift_command():
    return os.environ.get("VRIFT", os.path.join(REPOSITORY, "vrift"))


def clean_environment(home):
    env = {k: v for k, v in os.environ.items() if not k.startswith("VRIFT")}
    env.update(LC_ALL="C", SOURCE_DATE_EPOCH="1700000000", ORACLE_HOME=home)
    return env


def wait_serving(project, env):
    """True once vrift says it serves the project: the runs that follow are answered from memory."""
    end = time.monotonic() + SERVING_SECONDS
    while time.monotonic() < end:
        subprocess.run([vrift_command(), "run", "--", "true"], cwd=project, env=env, stdin=subprocess.DEVNULL)
        out = subprocess.run([vrift_command(), "status", "--json"], cwd=project, env=env, capture_output=True, text=True)
        try:
            for p in json.loads(out.stdout).get("projects", []):
                if os.path.realpath(p.get("root", "")) == os.path.realpath(project) and p.get("state") == "serving":
                    return True
        except ValueError:
            pass
        time.sleep(0.2)
    return False


def stats(project, env):
    out = subprocess.run([vrift_command(), "stats", "--json"], cwd=project, env=env, capture_output=True, text=True)
    try:
        return json.loads(out.stdout)
    except ValueError:
        return {"unreadable": out.stdout[-400:] + out.stderr[-400:]}


def run_steps(build, project, env, prefix, log):
    """Runs the steps; a list of {command, code, output, seconds}."""
    results = []
    for step in build["steps"]:
        time.sleep(build.get("pause", 0.05))
        begin = time.monotonic()
        done = subprocess.run(prefix + ["sh", "-c", step], cwd=project, env=env, stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=STEP_SECONDS)
        results.append({"command": step, "code": done.returncode, "seconds": round(time.monotonic() - begin, 3),
                        "output": done.stdout.decode("utf-8", "replace")})
        log.write("$ %s\n[%d]\n%s\n" % (step, done.returncode, results[-1]["output"]))
    return results


def one_variant(build, template, place, kept, env, under_vrift, killer_seed=None):
    shutil.rmtree(place, ignore_errors=True)
    subprocess.run(["cp", "-a", template, place], check=True)
    log_path = kept + ".log"
    prefix, verify_log, extra = [], kept + ".verify", {}
    with open(log_path, "w") as log:
        if under_vrift:
            extra["serving"] = wait_serving(place, env)
            env = dict(env, VRIFT_VERIFY="1", VRIFT_VERIFY_LOG=verify_log)
            prefix = [vrift_command(), "run", "--"]
        if under_vrift and killer_seed is not None:
            with Killer(env["VRIFT_RUNTIME_DIR"], killer_seed, vrift_command(), place, env) as killer:
                results = run_steps(build, place, env, prefix, log)
            extra["killed"] = killer.done
            extra["from_memory"] = killer.from_memory
            if not wait_serving(place, env):
                extra["serving"] = False
        else:
            results = run_steps(build, place, env, prefix, log)
    if under_vrift:
        extra["stats"] = stats(place, env)
        stopped = subprocess.run([vrift_command(), "stop", "--all"], cwd=place, env=env, capture_output=True, text=True)
        extra["stop"] = stopped.returncode
        extra["differences"] = open(verify_log).read().splitlines() if os.path.exists(verify_log) else []
    tree = trees.manifest(place, build.get("ignore", []))
    shutil.rmtree(kept, ignore_errors=True)
    os.rename(place, kept)
    return results, tree, extra


def lines(step):
    """Parallel jobs print in any order."""
    return sorted(step["output"].splitlines())


def compare_outputs(name, first, second, third, problems):
    for a, b, c in zip(first, second, third):
        if a["code"] == b["code"] != c["code"]:
            problems.append("%s: `%s` exited %d natively, %d under vrift: %s"
                            % (name, a["command"], a["code"], c["code"], c["output"][-600:]))
        if a["code"] == b["code"] == c["code"] and lines(a) == lines(b) != lines(c):
            problems.append("%s: `%s` printed something else:\n--- native\n%s\n--- vrift\n%s"
                            % (name, a["command"], a["output"][-800:], c["output"][-800:]))


def run_build(name, build, base, killer_seed=None):
    home = os.path.join(base, "home")
    env = clean_environment(home)
    env.update(VRIFT_RUNTIME_DIR=base + "/run", XDG_STATE_HOME=base + "/state", XDG_CACHE_HOME=base + "/cache")
    os.makedirs(base + "/run", mode=0o700, exist_ok=True)
    template = os.path.join(base, name + ".template")
    os.makedirs(template)
    begin = time.monotonic()
    why = build["prepare"](template, env)
    if why:
        return {"name": name, "skipped": why}
    place = os.path.join(base, name)
    runs = [one_variant(build, template, place, os.path.join(base, name + "." + v), env, v == "vrift", killer_seed)
            for v in ("native1", "native2", "vrift")]
    (r1, t1, _), (r2, t2, _), (r3, t3, extra) = runs
    problems = []
    for r in r1:
        if r["code"] not in build.get("codes", (0,)):
            problems.append("%s: natively `%s` exited %d: %s" % (name, r["command"], r["code"], r["output"][-800:]))
    compare_outputs(name, r1, r2, r3, problems)
    problems += trees.differences(t1, t2, t3)
    if not extra["serving"]:
        problems.append("vrift never served this project: nothing was tested")
    if extra["stop"] != 0:
        problems.append("vrift stop --all exited %d" % extra["stop"])
    return {"name": name, "differences": extra["differences"], "problems": problems, "files": len(t1),
            "native_seconds": round(sum(r["seconds"] for r in r2), 2),
            "verify_seconds": round(sum(r["seconds"] for r in r3), 2),
            "seconds": round(time.monotonic() - begin, 1), "stats": extra["stats"],
            "killed": extra.get("killed"), "from_memory": extra.get("from_memory", 0)}


def summary(result):
    if "skipped" in result:
        return "%-12s skipped: %s" % (result["name"], result["skipped"])
    counters = result["stats"].get("counters", result["stats"])
    hits = sum(v for k, v in counters.items() if str(k).upper().startswith("HIT") and isinstance(v, int)) + result["from_memory"]
    killed = "; killed %s" % " ".join("%s %d" % k for k in result["killed"].items()) if result.get("killed") else ""
    return "%-12s %s  %d differences, %d problems, %d files, %s from memory; native %.1f s, verify %.1f s%s" % (
        result["name"], "ok " if not result["differences"] and not result["problems"] else "BAD",
        len(result["differences"]), len(result["problems"]), result["files"], hits,
        result["native_seconds"], result["verify_seconds"], killed)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("names", nargs="*")
    parser.add_argument("--json")
    parser.add_argument("--keep", action="store_true", help="leave the trees and logs")
    parser.add_argument("--killer", type=int, metavar="SEED", help="kill and stop the daemons at random moments beside every build")
    parser.add_argument("--list", action="store_true")
    args = parser.parse_args()
    if args.list:
        print("\n".join(builds.ALL))
        return 0
    unknown = [n for n in args.names if n not in builds.ALL]
    if unknown:
        print("oracle: no build named %s; --list shows them" % ", ".join(unknown), file=sys.stderr)
        return 2
    base = tempfile.mkdtemp(prefix="vrift-oracle-")
    results = []
    try:
        for name in args.names or list(builds.ALL):
            result = run_build(name, builds.ALL[name], base, args.killer)
            results.append(result)
            print(summary(result), flush=True)
            for line in result.get("differences", [])[:10] + result.get("problems", [])[:10]:
                print("    " + line, flush=True)
    finally:
        if args.keep:
            print("kept: " + base)
        else:
            shutil.rmtree(base, ignore_errors=True)
    if args.json:
        with open(args.json, "w") as f:
            json.dump({"schema_version": 1, "killer_seed": args.killer, "builds": results}, f, indent=1)
    bad = [r["name"] for r in results if r.get("differences") or r.get("problems")]
    good = [r["name"] for r in results if r["name"] not in bad and "skipped" not in r]
    print("oracle: %d passed, %d failed, %d skipped" % (len(good), len(bad), len(results) - len(good) - len(bad)))
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
