"""A project of its own with daemons of its own; everything is gone at the end."""
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
REPOSITORY = os.path.dirname(os.path.dirname(os.path.dirname(HERE)))
SERVING_SECONDS = 30
CALL_SECONDS = 60


class Failed(Exception):
    """A promise was broken; the message says how to see it again."""


class Bed:
    def __init__(self, native):
        self.native = native
        self.vrift = os.environ.get("VRIFT", os.path.join(REPOSITORY, "vrift"))
        self.base = tempfile.mkdtemp(prefix="vrift-rounds-")
        self.env = {k: v for k, v in os.environ.items() if not k.startswith("VRIFT")}
        self.env.update(LC_ALL="C", VRIFT_RUNTIME_DIR=self.base + "/run", XDG_STATE_HOME=self.base + "/state", XDG_CACHE_HOME=self.base + "/cache")
        os.makedirs(self.base + "/run", mode=0o700)
        self.tools = self.base + "/tools"
        os.makedirs(self.tools)
        self.started = []
        for name, flags in (("fuzz_ops", []), ("stale_rounds", []), ("stale_static", ["-static"])):
            source = "%s/native/test/%s.c" % (REPOSITORY, name.replace("stale_static", "stale_rounds"))
            subprocess.run(["gcc", "-std=gnu11", "-D_GNU_SOURCE", "-O2", "-o", "%s/%s" % (self.tools, name), source] + flags, check=True)

    def project(self, name):
        path = "%s/%s" % (self.base, name)
        os.makedirs(path)
        return path

    def under(self, command):
        return command if self.native else [self.vrift, "run", "--"] + command

    def run(self, command, place, under=True, **more):
        more.setdefault("timeout", CALL_SECONDS)
        return subprocess.run(self.under(command) if under else command, cwd=place, env=self.env, stdin=subprocess.DEVNULL, capture_output=True, text=True, **more)

    def start(self, command, place, under=True, **variables):
        p = subprocess.Popen(self.under(command) if under else command, cwd=place, env=dict(self.env, **variables), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                             stderr=subprocess.PIPE, text=True)
        self.started.append(p)
        return p

    def finish(self, process, seconds):
        """(exit code, stdout, stderr); -1000 when it had to be killed."""
        try:
            out, err = process.communicate(timeout=seconds)
            return process.returncode, out, err
        except subprocess.TimeoutExpired:
            process.kill()
            out, err = process.communicate()
            return -1000, out, err

    def status(self, place):
        """The project's object in `vrift status --json`, or {}."""
        out = self.run([self.vrift, "status", "--json"], place, under=False)
        try:
            projects = json.loads(out.stdout).get("projects", [])
        except ValueError:
            return {}
        return next((p for p in projects if os.path.realpath(p.get("root", "/")) == os.path.realpath(place)), {})

    def serve(self, place):
        if self.native:
            return
        end = time.monotonic() + SERVING_SECONDS
        while time.monotonic() < end:
            self.run(["true"], place)
            if self.status(place).get("state") == "serving":
                return
            time.sleep(0.1)
        raise Failed("vrift does not serve %s within %d s: %s" % (place, SERVING_SECONDS, self.status(place)))

    def answered(self, place):
        """How many questions were answered from memory so far."""
        if self.native:
            return 0
        out = self.run([self.vrift, "stats", "--json"], place, under=False)
        try:
            report = json.loads(out.stdout)
        except ValueError:
            return 0
        counters = report.get("counters") or report.get("stats") or report
        return sum(v for k, v in counters.items() if k.lower().startswith("hit") and isinstance(v, int))

    def kill_daemon(self, place):
        """SIGKILL to the project's vdir_d, whose pid vrift itself gives. True if there was one."""
        pid = self.status(place).get("pid", 0)
        if pid <= 1:
            return False
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            return False
        return True

    def close(self):
        for p in self.started:
            if p.poll() is None:
                p.kill()
                p.communicate()
        if not self.native:
            subprocess.run([self.vrift, "stop", "--all"], env=self.env, capture_output=True, timeout=CALL_SECONDS)
        shutil.rmtree(self.base, ignore_errors=True)


def tree(place):
    """path -> (mode, links, content or target), .vrift left out."""
    out = {}
    for top, dirs, files in os.walk(place):
        dirs[:] = [d for d in dirs if d != ".vrift"]
        for name in dirs + files:
            p = os.path.join(top, name)
            st = os.lstat(p)
            what = ""
            if os.path.islink(p):
                what = os.readlink(p)
            elif os.path.isfile(p):
                with open(p, "rb") as f:
                    what = f.read()
            out[os.path.relpath(p, place)] = (oct(st.st_mode), st.st_nlink if not os.path.isdir(p) else 0, what)
    return out


def compare_trees(wanted, got, what):
    if wanted == got:
        return
    for p in sorted(set(wanted) | set(got)):
        if wanted.get(p) != got.get(p):
            raise Failed("%s: %s is %.80r natively and %.80r under vrift" % (what, p, wanted.get(p), got.get(p)))


if __name__ == "__main__":
    sys.exit("bed.py is a module: run src/it/rounds/run")
