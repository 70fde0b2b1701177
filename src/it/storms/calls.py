"""The n-th system call fails, once or for ever, n = 1…N: of the library, of the programs it is in, and of the daemon. The build is right, or says the
true errno; afterwards the stores verify.

How calls fail, without ptrace: the library makes its calls itself, so a build of it (make -C native inject) sends each through a counter; programs and
the daemon call libc, so a preloaded library (c/inject.c) stands in front of it, and in the daemon counts only what our JNI library, LMDB and the JDK's
file and socket code call, not the JVM's own life. The daemon runs from a copy of build/dist whose `java` is a script that preloads it."""
import os
import random
import shutil
import signal
import subprocess
import time

from chaos import clean, outputs, sources
from ground import DIST, HERE, OK, REPOSITORY, VERIFY, Failed, Ground

ONCE = ("28:%d", "5:%d", "24:%d", "4:%d", "short:%d")
FOR_EVER = ("28:%d+", "5:%d+", "24:%d+", "short:%d+")  # EINTR for ever is no kernel's answer: everybody would try again for ever
WORDS = {"28": "No space left on device", "5": "Input/output error", "24": "Too many open files", "4": "Interrupted system call"}
LIMIT = 30  # seconds for one command
DAEMON_CALLERS = "libvrift_jni,liblmdb,libnio,libnet,libjava.so"
TEXT = b"".join(b"line %06d of the input\n" % i for i in range(12000))


def strike(command, place, env, log):
    """(return code, stderr, did it happen)."""
    try:
        os.unlink(log)
    except OSError:
        pass
    p = subprocess.Popen(command, cwd=place, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True)
    try:
        _, err = p.communicate(timeout=LIMIT)
    except subprocess.TimeoutExpired:
        os.killpg(p.pid, signal.SIGKILL)
        p.communicate()
        return None, b"", True
    return p.returncode, err, os.path.exists(log)


def read(path):
    try:
        with open(path, "rb") as f:
            return f.read()
    except OSError:
        return None


def plan(rng, limit, each):
    """(spec, n) for every n up to the limit, or a sample of them."""
    everything = [(spec, n) for spec in ONCE + FOR_EVER for n in range(1, limit + 1)]
    return everything if each is None or each >= len(everything) else sorted(rng.sample(everything, each), key=lambda x: (x[1], x[0]))


COMMANDS = (
    ("cp", ["cp", "in.txt", "out.txt"], "out.txt"),
    ("dd", ["dd", "if=in.txt", "of=out.txt", "bs=8192"], "out.txt"),
    # sort -o is not among them: it does not look at what dup2 and close say, natively either
    ("install", ["install", "-m", "640", "in.txt", "out.txt"], "out.txt"),
    ("cc", ["gcc", "-O0", "-c", "-o", "out.o", "x.c"], "out.o"),
)


def prepare(place):
    with open(place + "/in.txt", "wb") as f:
        f.write(TEXT)
    with open(place + "/x.c", "w") as f:
        f.write("#include <stdio.h>\nint x(int a) { return printf(\"%d\\n\", a); }\n")


def shim(g, place, rng, each):
    """The library's own calls, in real commands of a served project."""
    library = os.path.join(REPOSITORY, "build", "native-inject", "libvrift_shim.so")
    subprocess.run(["make", "--no-print-directory", "-C", REPOSITORY + "/native", "OUT=" + REPOSITORY + "/build/native", "inject"], check=True, stdout=subprocess.DEVNULL)
    log = g.base + "/happened"
    done = {"runs": 0, "happened": 0, "refused": 0}
    for name, command, out in COMMANDS:
        subprocess.run(command, cwd=place, check=True, capture_output=True)
        wanted = read(place + "/" + out)
        env = dict(g.env, LD_PRELOAD=library, VRIFT_ROOT=os.path.realpath(place), VRIFT_PROJECT_RUN=g.project_run(place), VRIFT_INJECT_LOG=log)
        limit = 1
        while limit < 4096:  # how many calls are there? the first number that nobody reaches
            if not strike(command, place, dict(env, VRIFT_INJECT="short:%d" % limit), log)[2]:
                break
            limit += max(1, limit // 8)
        for spec, n in plan(rng, limit, each):
            old = b"the old version\n" if rng.random() < 0.7 else None
            path = place + "/" + out
            if old is None:
                try:
                    os.unlink(path)
                except OSError:
                    pass
            else:
                with open(path, "wb") as f:
                    f.write(old)
            code, err, happened = strike(command, place, dict(env, VRIFT_INJECT=spec % n), log)
            now, what = read(path), "%s, %s at call %d of the library" % (name, spec % n, n)
            judge(what, code, err, spec, now, old, wanted)
            done["runs"] += 1
            done["happened"] += happened
            done["refused"] += code != 0
        done[name] = limit
    return done


def judge(what, code, err, spec, now, old, wanted):
    if code is None:
        raise Failed("%s: no end within %d s" % (what, LIMIT))
    if code < 0:
        raise Failed("%s: died of signal %d: %s" % (what, -code, err[-300:]))
    if code == 0 and now != wanted:
        raise Failed("%s: ended well and left %s" % (what, "nothing" if now is None else "%d of %d bytes" % (len(now), len(wanted))))
    if code != 0:
        words = WORDS.get(spec.split(":")[0])
        if words is None:
            raise Failed("%s: a short write made it fail: %s" % (what, err[-300:]))
        if words.encode() not in err and b"compilation terminated" not in err and b"cannot" not in err and b"error" not in err:
            raise Failed("%s: failed with %d and does not say %s: %s" % (what, code, words, err[-300:]))
        if now not in (None, old, wanted) and not wanted.startswith(now):
            raise Failed("%s: failed and left %d bytes that are neither version" % (what, len(now)))


def programs(g, place, rng, each):
    """The calls of a program itself, with and without the library between it and libc: the same end, words, and file."""
    inject = build_inject(g)
    log, done = g.base + "/happened", {"runs": 0, "happened": 0}
    command, path = ["dd", "if=in.txt", "of=out.txt", "bs=4096", "conv=fsync"], place + "/out.txt"
    base = dict(g.env, INJECT_CALLS="write,fsync", INJECT_LOG=log)
    under = dict(VRIFT_ROOT=os.path.realpath(place), VRIFT_PROJECT_RUN=g.project_run(place))
    for spec, n in plan(rng, len(TEXT) // 4096 + 3, each):
        seen = []
        for env in (dict(base, LD_PRELOAD=inject), dict(base, LD_PRELOAD=g.shim + " " + inject, **under)):
            with open(path, "w") as f:
                f.write("the old version\n")
            code, err, happened = strike(command, place, dict(env, INJECT=spec % n), log)
            err = b"\n".join(x for x in err.splitlines() if b" s, " not in x)
            seen.append((code, err, read(path)))
        done["runs"] += 1
        done["happened"] += happened
        if seen[0] != seen[1]:
            raise Failed("dd, %s at its call %d: natively %s, %s, %s bytes; with the library %s, %s, %s bytes" % (
                (spec % n, n) + tuple(x for s in seen for x in (s[0], s[1][-200:], s[2] and len(s[2])))))
    return done


def build_inject(g):
    out = g.base + "/inject.so"
    if not os.path.exists(out):
        subprocess.run(["gcc", "-std=gnu11", "-O1", "-shared", "-fPIC", "-o", out, HERE + "/c/inject.c", "-ldl"], check=True)
    return out


def injected_dist(g):
    """A copy of build/dist whose java preloads the injector into each vdir_d, as g.base/inject-now says (INJECT's text)."""
    dist = g.base + "/dist"
    shutil.copytree(DIST, dist, symlinks=True)
    java = os.path.realpath(dist + "/lib/vrift/java")
    os.unlink(dist + "/lib/vrift/java")
    with open(dist + "/lib/vrift/java", "w") as f:
        f.write("""#!/bin/sh
case " $* " in *" vdir_d "*) [ -s "%s/inject-now" ] && {
  export LD_PRELOAD="%s" INJECT="$(cat "%s/inject-now")" INJECT_FROM="%s" INJECT_LOG="%s/happened"; }; esac
exec "%s" "$@"
""" % (g.base, build_inject(g), g.base, DAEMON_CALLERS, g.base, java))
    os.chmod(dist + "/lib/vrift/java", 0o755)
    g.vrift, g.shim = dist + "/bin/vrift", dist + "/lib/vrift/libvrift_shim.so"


def daemon(g, rng, rounds, upto):
    """The daemon's calls while it starts and serves a build; then a daemon with whole calls looks at what it left."""
    place, native = g.project("built"), g.project("native")
    for p in (place, native):
        sources(p)
    g.run(["make", "-s"], native, under=False, check=True)
    wanted = outputs(native)
    injected_dist(g)
    done = {"runs": 0, "happened": 0, "not_served": 0, "died": 0}
    for _ in range(rounds):
        spec = rng.choice(ONCE + FOR_EVER) % int(upto ** rng.random())
        what = "daemon, %s" % spec
        with open(g.base + "/inject-now", "w") as f:
            f.write(spec)
        log = g.base + "/happened"
        if os.path.exists(log):
            os.unlink(log)
        clean(place)
        verify = g.base + "/verify"
        g.run(["true"], place)
        end = time.monotonic() + 3
        while g.status(place, 1).get("state") != "serving" and time.monotonic() < end:
            time.sleep(0.05)
        done["not_served"] += g.status(place, 1).get("state") != "serving"
        build = g.run(["make", "-s"], place, VRIFT_VERIFY="1", VRIFT_VERIFY_LOG=verify)
        if build.returncode or outputs(place) != wanted:
            raise Failed("%s: the build ended with %d%s: %s" % (what, build.returncode, "" if build.returncode else " and other outputs", build.stderr[-800:]))
        if os.path.exists(verify) and os.path.getsize(verify):
            raise Failed("%s: wrong answers: %s" % (what, read(verify)[:500]))
        happened = os.path.exists(log)
        done["runs"] += 1
        done["happened"] += happened
        done["died"] += happened and len(set(read(log).split()[1::2])) > 1
        g.cli("stop", "--all", timeout=60)
        g.kill_all()
        os.unlink(g.base + "/inject-now")
        look_again(g, place, what)
    return done


def look_again(g, place, what):
    state = g.serve(place)
    answer = g.ask(g.project_run(place) + "/vdir_d.sock", VERIFY, 30)
    if not answer or answer[0] != OK or b'"differences":[]' not in answer[1].replace(b" ", b""):
        raise Failed("%s: afterwards memory and files differ: %s" % (what, answer and answer[1][:500]))
    end = time.monotonic() + 10
    while g.status(place).get("metadata", {}).get("state") == "opening" and time.monotonic() < end:
        time.sleep(0.05)
    meta = g.status(place).get("metadata", {}).get("state", "")
    if meta not in ("loaded", "fresh", "replaced"):
        raise Failed("%s: afterwards the metadata do not open: %s" % (what, meta))
    cas = g.cli("cas", "verify", "--json", place=place, timeout=60)
    if cas.returncode:
        raise Failed("%s: afterwards cas verify says %d: %s%s" % (what, cas.returncode, cas.stdout[-300:], cas.stderr[-300:]))
    g.cli("stop", "--all", timeout=60)
    g.kill_all()
    return state


def run(seed, rounds=None, short=False):
    rng = random.Random(seed)
    out = {}
    each = 8 if short else None
    g = Ground()
    try:
        place = g.project("p")
        prepare(place)
        g.serve(place)
        out["library"] = shim(g, place, rng, each)
        if g.wait_staging_empty(place) is None:
            raise Failed("staging files left after 10 s: %s" % g.staging_files(place)[:5])
        out["programs"] = programs(g, place, rng, each)
        look_again(g, place, "library and programs, seed %d" % seed)
    finally:
        g.close()
    g = Ground()
    try:
        out["daemon"] = daemon(g, rng, 1 if short else rounds or 100, 4000)
    finally:
        g.close()
    return out
