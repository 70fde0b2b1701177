"""Real daemons in directories of their own, with fault files allowed, asked over their sockets. Everything is gone at the end."""
import json
import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
REPOSITORY = os.path.dirname(os.path.dirname(os.path.dirname(HERE)))
DIST = os.path.join(REPOSITORY, "build", "dist")
TOOLS = os.path.join(os.environ.get("VRIFT_NATIVE_BUILD", os.path.join(REPOSITORY, "build", "native")), "test")
TABLE = os.path.join(REPOSITORY, "native", "core", "vr_fault_points.def")
SERVING_SECONDS = 30
STOP, PING, OPEN, SESSION, SYNC, STATUS, STATS, EXPLAIN, VERIFY, SESSION_END, RESTART = range(11)
OK = 100
MAGIC = 0x314D5256


class Failed(Exception):
    """A promise was broken; the message says how to see it again."""


class Skip(Exception):
    """This machine cannot show it; the message says why."""


def points(*components):
    """[(component, name, can fail)] of the table."""
    out = []
    with open(TABLE) as f:
        for line in f:
            if line.startswith("VR_POINT("):
                component, name, can = [x.strip() for x in line[len("VR_POINT("):].split(",")[:3]]
                if not components or component in components:
                    out.append((component, name, can == "CAN"))
    return out


class Ground:
    def __init__(self, dist=DIST, env=None):
        self.base = tempfile.mkdtemp(prefix="vrift-storm-")
        self.vrift = os.path.join(dist, "bin", "vrift")
        self.shim = os.path.join(dist, "lib", "vrift", "libvrift_shim.so")
        self.run_dir = self.base + "/run"
        os.makedirs(self.run_dir, mode=0o700)
        self.env = {k: v for k, v in os.environ.items() if not k.startswith(("VRIFT", "XDG_")) and k != "LD_PRELOAD"}
        self.env.update(LC_ALL="C", VRIFT_RUNTIME_DIR=self.run_dir, XDG_STATE_HOME=self.base + "/state", XDG_CACHE_HOME=self.base + "/cache",
                        XDG_CONFIG_HOME=self.base + "/config", VRIFT_FAULT_FILES="1")
        self.env.update(env or {})
        self.started = []

    # ---- projects and commands
    def project(self, name):
        path = "%s/%s" % (self.base, name)
        os.makedirs(path + "/.vrift")
        return path

    def run(self, command, place, under=True, check=False, timeout=120, **variables):
        done = subprocess.run(([self.vrift, "run", "--"] if under else []) + command, cwd=place, env=dict(self.env, **variables), stdin=subprocess.DEVNULL,
                              capture_output=True, text=True, errors="replace", timeout=timeout)
        if check and done.returncode:
            raise Failed("%s ended with %d: %s%s" % (" ".join(command)[:200], done.returncode, done.stdout[-500:], done.stderr[-1500:]))
        return done

    def cli(self, *words, place=None, **more):
        return self.run([self.vrift] + list(words), place or self.base, under=False, **more)

    def start(self, command, place, under=True, **variables):
        p = subprocess.Popen(([self.vrift, "run", "--"] if under else []) + command, cwd=place, env=dict(self.env, **variables), stdin=subprocess.DEVNULL,
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, errors="replace")
        self.started.append(p)
        return p

    def end(self, process, seconds=10):
        if process.poll() is None:
            process.terminate()
        try:
            process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
        if process in self.started:
            self.started.remove(process)

    # ---- daemons
    def project_run(self, place):
        """RUN/p/<id> of a project that was served before, found by its root file."""
        for d in self.all_runs():
            try:
                with open(d + "/root") as f:
                    if f.read().rstrip("\n") == os.path.realpath(place):
                        return d
            except OSError:
                continue
        raise Failed("%s was never served" % place)

    def all_runs(self):
        p = self.run_dir + "/p"
        return [os.path.join(p, d) for d in sorted(os.listdir(p))] if os.path.isdir(p) else []

    @staticmethod
    def ask(path, opcode, seconds=5.0, payload=b""):
        """(opcode, payload) of the answer, or None: nobody answers."""
        s = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        s.settimeout(seconds)
        try:
            s.connect(path)
            s.sendall(struct.pack("<IHHII", MAGIC, 1, opcode, len(payload), 1) + payload)
            data = b""
            while len(data) < 16 or len(data) < 16 + struct.unpack_from("<I", data, 8)[0]:
                more = s.recv(65536)
                if not more:
                    return None
                data += more
            return struct.unpack_from("<H", data, 6)[0], data[16:]
        except OSError:
            return None
        finally:
            s.close()

    def status(self, place, seconds=5.0):
        """The daemon's own status object, or {}: none answers."""
        try:
            answer = self.ask(self.project_run(place) + "/vdir_d.sock", STATUS, seconds)
        except Failed:
            return {}
        if not answer or answer[0] != OK:
            return {}
        return json.loads(answer[1])

    def daemon(self, place):
        return self.status(place).get("pid", 0)

    def coordinator(self):
        """pid of vriftd, 0: none."""
        try:
            with open(self.run_dir + "/vriftd.pid") as f:
                pid = int(f.read())
            with open("/proc/%d/cmdline" % pid, "rb") as f:
                words = f.read().split(b"\0")
            return pid if b"vriftd" in words and self.run_dir.encode() in words else 0
        except (OSError, ValueError):
            return 0

    def all_daemons(self):
        """{pid: "vriftd" or root} of every daemon of this ground, by its command line."""
        out = {}
        for p in os.listdir("/proc"):
            if not p.isdigit():
                continue
            try:
                with open("/proc/%s/cmdline" % p, "rb") as f:
                    words = f.read().decode("utf-8", "replace").split("\0")
            except OSError:
                continue
            if "--run-dir" in words and words[words.index("--run-dir") + 1] == self.run_dir and ("vriftd" in words or "vdir_d" in words):
                out[int(p)] = words[words.index("--root") + 1] if "--root" in words else "vriftd"
        return out

    def serve(self, place, seconds=SERVING_SECONDS):
        """Returns once the project is served, clean and settled."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            state = self.status(place)
            if state.get("state") == "serving" and not state.get("to_scan"):
                return state
            if not state:
                self.run(["true"], place)
            time.sleep(0.05)
        raise Failed("vrift does not serve %s within %d s: %s\n%s" % (place, seconds, self.status(place), self.logs()[-1500:]))

    def kill(self, pid, sig=signal.SIGKILL, wait=5.0):
        """To a daemon of ours, by pidfd; returns once it is dead (SIGKILL)."""
        try:
            fd = os.pidfd_open(pid)
        except ProcessLookupError:
            return
        try:
            if pid not in self.all_daemons():
                return
            signal.pidfd_send_signal(fd, sig)
            if sig == signal.SIGKILL:
                import select
                select.select([fd], [], [], wait)
        except ProcessLookupError:
            pass
        finally:
            os.close(fd)

    def kill_all(self):
        """Every daemon at once, coordinator first, so that nobody is replaced."""
        for _ in range(100):
            found = self.all_daemons()
            if not found:
                return
            for pid in sorted(found, key=lambda p: found[p] != "vriftd"):
                self.kill(pid)
        raise Failed("daemons that do not die: %s" % self.all_daemons())

    def arm(self, directory, text):
        """Leaves a fault file for the daemon of a directory of RUN. Returns whether it is taken is the caller's to see (taken())."""
        os.makedirs(directory, mode=0o700, exist_ok=True)
        tmp = "%s/faults.%d" % (directory, os.getpid())
        fd = os.open(tmp, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        os.write(fd, text.encode())
        os.close(fd)
        os.rename(tmp, directory + "/faults")

    @staticmethod
    def taken(directory, seconds=5.0):
        end = time.monotonic() + seconds
        while os.path.exists(directory + "/faults"):
            if time.monotonic() > end:
                return False
            time.sleep(0.002)
        return True

    def logs(self):
        text, d = "", self.base + "/state/vrift/log"
        for name in sorted(os.listdir(d)) if os.path.isdir(d) else []:
            with open(os.path.join(d, name), errors="replace") as f:
                text += f.read()
        return text

    # ---- staging
    @staticmethod
    def staging_files(place):
        return [os.path.join(top, f) for top, _, files in os.walk(place + "/.vrift/staging") for f in files]

    def wait_staging_empty(self, place, seconds=10.0):
        """Seconds until no staging file was left; None: some are, after that time."""
        begin = time.monotonic()
        while self.staging_files(place):
            if time.monotonic() - begin > seconds:
                return None
            time.sleep(0.05)
        return time.monotonic() - begin

    def close(self):
        for p in list(self.started):
            if p.poll() is None:
                p.kill()
            p.communicate()
        names = []
        for d in self.all_runs():
            try:
                names += ["vrift_vdir_%s" % os.readlink(d + "/map").split(".")[0], "vrift_board_%s" % os.readlink(d + "/map").split(".")[1]]
                names += ["vrift_" + f[4:].replace(".", "_") for f in os.listdir(d) if f.startswith("shm.")]
            except (OSError, IndexError):
                continue
        for pid in self.all_daemons():
            self.kill(pid, signal.SIGCONT)
        self.cli("stop", "--all", timeout=60)
        self.kill_all()
        for n in names:
            try:
                os.unlink("/dev/shm/" + n)
            except OSError:
                continue
        shutil.rmtree(self.base, ignore_errors=True)


def tool(name):
    path = os.path.join(TOOLS, name)
    if not os.access(path, os.X_OK):
        sys.exit("%s is not built. Type: make native-test, or make -C native tests-built" % path)
    return path
