"""A scenario runs natively and under vrift in two fresh projects; what it prints and the trees it leaves must be equal."""
import os
import shutil
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
REPOSITORY = os.path.dirname(os.path.dirname(os.path.dirname(HERE)))
sys.path.insert(0, os.path.join(REPOSITORY, "scripts", "oracle"))
import oracle  # noqa: E402
import trees  # noqa: E402

VRIFT = oracle.vrift_command()
LIMIT_SECONDS = 120


class Skip(Exception):
    """This machine cannot show it; the message says why."""


class Bed:
    """Two directories, tools and an environment of its own, all gone at the end."""

    def __init__(self):
        self.base = tempfile.mkdtemp(prefix="vrift-it-")
        os.chmod(self.base, 0o755)
        self.env = oracle.clean_environment(self.base + "/home")
        self.env["VRIFT_RUNTIME_DIR"] = self.base + "/run"
        self.env["XDG_STATE_HOME"] = self.base + "/state"
        self.env["XDG_CACHE_HOME"] = self.base + "/cache"
        self.env["T"] = self.base + "/tools"
        os.makedirs(self.base + "/run", mode=0o700)
        os.makedirs(self.base + "/home")
        os.makedirs(self.env["T"])
        self.compile()

    def compile(self):
        for name in os.listdir(HERE + "/c"):
            static = ["-static"] if name == "helper.c" else []
            subprocess.run(["gcc", "-O1", "-o", self.env["T"] + "/" + name[:-2], HERE + "/c/" + name] + static, check=True)

    def sh(self, script, place, under, verify=True):
        """Runs a script; (exit code, output). Under vrift a difference found by VRIFT_VERIFY makes the code 124."""
        env = dict(self.env)
        prefix = []
        if under:
            prefix = [VRIFT, "run", "--"]
            if verify:
                env["VRIFT_VERIFY"] = "1"
                env["VRIFT_VERIFY_LOG"] = self.base + "/verify.log"
        done = subprocess.run(prefix + ["sh", "-c", script], cwd=place, env=env, stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=LIMIT_SECONDS)
        return done.returncode, done.stdout.decode("utf-8", "replace")

    def place(self, name, under):
        """A fresh project directory, served if under vrift."""
        path = self.base + "/" + name + "/p"
        again = os.path.isdir(path)
        shutil.rmtree(os.path.dirname(path), ignore_errors=True)
        os.makedirs(path)
        if under:
            if again:
                time.sleep(0.3)  # the daemon of the directory that was here looks ten times a second whether it still is
            self.serve(path)
        return path

    def serve(self, path):
        if not oracle.wait_serving(path, self.env):
            raise AssertionError("vrift does not serve " + path)

    def both(self, script, prepare=None, ignore=(), codes=True, verify=True):
        """The script natively and under vrift: same code, output and tree. Returns the output."""
        seen = []
        for under in (False, True):
            place = self.place("n", under)
            if prepare:
                prepare(place)
                if under:
                    time.sleep(0.2)
            code, text = self.sh(script, place, under, verify)
            seen.append((code, text, trees.manifest(place, list(ignore))))
        (c1, o1, t1), (c2, o2, t2) = seen
        if c1 != c2:
            raise AssertionError("exit %d natively, %d under vrift\n%s\n---\n%s%s" % (c1, c2, o1, o2, self.verify_log()))
        if o1 != o2:
            raise AssertionError("output natively\n%s\nunder vrift\n%s" % (o1, o2))
        different = trees.differences(t1, t1, t2)
        if different:
            raise AssertionError("\n".join(different))
        return o1

    def verify_log(self):
        try:
            with open(self.base + "/verify.log") as f:
                return f.read()[-1500:]
        except OSError:
            return ""

    def close(self):
        subprocess.run([VRIFT, "stop", "--all"], env=self.env, capture_output=True)
        shutil.rmtree(self.base, ignore_errors=True)
