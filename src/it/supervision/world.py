"""Projects, builds and daemons of our own in a temporary directory, and the looks from outside that the storms need."""
import json
import os
import random
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
REPOSITORY = os.path.dirname(os.path.dirname(os.path.dirname(HERE)))
FRAME = struct.Struct("<IHHII")
MAGIC, PROTOCOL = 0x314D5256, 1
OPCODES = {"STOP": 0, "PING": 1, "OPEN": 2, "STATUS": 5}
BUILD_SECONDS = 120
FILES = 12
# A make that is killed leaves what a shell was writing, with or without vrift: so a target is renamed into place.
MAKEFILE = """all: sum
out: ; mkdir -p out
%s
sum: %s
\tcat $^ | cksum >$@.new && mv $@.new $@
""" % ("".join("out/f%d: src/f%d | out\n\tsort $< >$@.new && mv $@.new $@\n" % (i, i) for i in range(FILES)), " ".join("out/f%d" % i for i in range(FILES)))


class Failed(Exception):
    """A promise was broken; the message says how to see it again."""


def ask(path, opcode, payload=b"", seconds=2.0):
    """One request; (pid of the daemon, answer's payload). OSError when nobody answers in time."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as s:
        s.settimeout(seconds)
        s.connect(path)
        pid = struct.unpack("3i", s.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[0]
        s.sendall(FRAME.pack(MAGIC, PROTOCOL, OPCODES[opcode], len(payload), 1) + payload)
        data = b""
        while len(data) < 16 or len(data) < 16 + FRAME.unpack(data[:16])[3]:
            more = s.recv(1 << 16)
            if not more:
                raise OSError("the connection was closed")
            data += more
        return pid, data[16:]


def state_of(pid):
    """State letter of a process, '' if there is none."""
    try:
        with open("/proc/%d/stat" % pid) as f:
            return f.read().rsplit(")", 1)[1].split()[0]
    except (OSError, IndexError):
        return ""


def alive(pid):
    return state_of(pid) not in ("", "Z", "X")


def send(pid, sig):
    try:
        os.kill(pid, sig)
        return True
    except ProcessLookupError:
        return False


class World:
    def __init__(self, seed, vrift=None, **variables):
        self.random = random.Random(seed)
        self.vrift = vrift or os.environ.get("VRIFT", os.path.join(REPOSITORY, "vrift"))
        self.base = tempfile.mkdtemp(prefix="vrift-storm-")
        self.run_dir = self.base + "/run"
        self.env = {k: v for k, v in os.environ.items() if not k.startswith(("VRIFT", "LD_"))}
        self.env.update(LC_ALL="C", VRIFT_RUNTIME_DIR=self.run_dir, XDG_STATE_HOME=self.base + "/state", XDG_CACHE_HOME=self.base + "/cache", HOME=self.base, **variables)
        os.mkdir(self.run_dir, 0o700)
        self.shm_before = set(os.listdir("/dev/shm"))
        self.started = []

    # ---- projects and builds
    def project(self, name):
        place = os.path.realpath(self.base) + "/" + name
        os.makedirs(place + "/src")
        with open(place + "/Makefile", "w") as f:
            f.write(MAKEFILE)
        self.edit(place, range(FILES))
        return place

    def edit(self, place, which):
        """Writes source files anew, from outside."""
        for i in which:
            with open("%s/src/f%d.new" % (place, i), "w") as f:
                f.write("".join("%d\n" % self.random.randrange(10**9) for _ in range(20)))
            os.rename("%s/src/f%d.new" % (place, i), "%s/src/f%d" % (place, i))

    def command(self, words, place, vrift=None):
        return subprocess.Popen([vrift or self.vrift, "run", "--"] + words, cwd=place, env=self.env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def build(self, place, vrift=None, jobs=2):
        """An edit and a build; checks code, messages and every output. Seconds."""
        self.edit(place, self.random.sample(range(FILES), 4))
        start = time.monotonic()
        p = self.command(["make", "-s", "-j%d" % jobs], place, vrift)
        self.started.append(p)
        try:
            out, err = p.communicate(timeout=BUILD_SECONDS)
        except subprocess.TimeoutExpired:
            p.kill()
            raise Failed("a build did not end within %d s" % BUILD_SECONDS)
        finally:
            self.started.remove(p)
        took = time.monotonic() - start
        err = "\n".join(l for l in err.splitlines() if not l.startswith("vrift: ") and "modification time" not in l and "Clock skew" not in l)
        if p.returncode or err:
            raise Failed("a build in %s ended with %d: %s%s" % (place, p.returncode, out[-300:], err[-1000:]))
        self.check(place)
        return took

    def check(self, place):
        for i in range(FILES):
            with open("%s/src/f%d" % (place, i)) as f:
                wanted = "".join(sorted(f.readlines()))
            with open("%s/out/f%d" % (place, i)) as f:
                got = f.read()
            if got != wanted:
                raise Failed("%s/out/f%d is not what its source says" % (place, i))

    # ---- looks from outside
    def pid_file(self, name="vriftd.pid"):
        try:
            with open(self.run_dir + "/" + name) as f:
                return int(f.read())
        except (OSError, ValueError):
            return 0

    def coordinator(self):
        """Its pid if it answers now, else 0."""
        try:
            return ask(self.run_dir + "/vriftd.sock", "PING", seconds=0.5)[0]
        except OSError:
            return 0

    def status(self):
        """What the coordinator says: root -> object; None when it does not answer."""
        try:
            return {p["root"]: p for p in json.loads(ask(self.run_dir + "/vriftd.sock", "STATUS")[1])["projects"]}
        except (OSError, ValueError):
            return None

    def daemons(self, kind="vdir_d"):
        """pid -> root (or '') of the living daemons of this world; those of a fork that has not exec'ed yet are not doubled ones."""
        found = {}
        for name in os.listdir("/proc"):
            if not name.isdigit():
                continue
            try:
                with open("/proc/%s/cmdline" % name, "rb") as f:
                    words = f.read().split(b"\0")
            except OSError:
                continue
            if b"--root" in words and words[words.index(b"--root") + 1].startswith(b"(spare)"):
                continue  # started before it is needed, of no project yet
            if kind.encode() in words and self.run_dir.encode() in words and alive(int(name)):
                found[int(name)] = words[words.index(b"--root") + 1].decode() if b"--root" in words else ""
        return found

    def until(self, what, condition, seconds=30, step=0.01):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            value = condition()
            if value:
                return value
            time.sleep(step)
        raise Failed("not within %d s: %s" % (seconds, what))

    def serve(self, *places):
        """Every project is served, and its pid."""
        pids = {}
        for place in places:
            subprocess.run([self.vrift, "run", "--", "true"], cwd=place, env=self.env, stdin=subprocess.DEVNULL, capture_output=True)
            pids[place] = self.until(place + " is served", lambda: ((self.status() or {}).get(place) or {}).get("state") == "serving" and self.status()[place]["pid"], 60)
        return pids

    # ---- the end
    def stop(self):
        return subprocess.run([self.vrift, "stop", "--all"], cwd=self.base, env=self.env, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)

    def leftovers(self):
        """What is there that was not before, after a stop."""
        left = ["/dev/shm/" + n for n in set(os.listdir("/dev/shm")) - self.shm_before if n.startswith("vrift_") and self.names(n)]
        left += ["pid %d %s" % p for k in ("vdir_d", "vriftd") for p in self.daemons(k).items()]
        for top, _, files in os.walk(self.run_dir):
            left += [top + "/" + f for f in files if f.endswith(".sock") or f == "map" or f == "vriftd.pid"]
        try:
            with open(self.run_dir + "/cgroups") as f:
                for place in (l[1:].strip() for l in f if l.startswith("@")):
                    left += [place + "/" + d for d in os.listdir(place) if d.startswith("vrift-" + self.run_hash + "-")] if self.run_hash else []
        except OSError:
            pass
        for name in os.listdir(self.base):
            staging = "%s/%s/.vrift/staging" % (self.base, name)
            if os.path.isdir(staging):
                left += [os.path.join(t, f) for t, _, files in os.walk(staging) for f in files]
        return left

    seen_shm = frozenset()

    def remember(self):
        """Remembers the names of our shared memory files and cgroups, to look for them at the end."""
        for p in (self.status() or {}).values():
            self.seen_shm |= {os.path.basename(p["vdir_path"] or ""), os.path.basename(p["board_path"] or "")}
            cgroup = p.get("supervision", {}).get("cgroup")
            if cgroup:
                self.run_hash = os.path.basename(cgroup).split("-")[1]

    run_hash = ""

    def names(self, name):
        return name in self.seen_shm

    def close(self):
        try:
            for p in list(self.started):
                p.kill()
            for pid in list(self.daemons("vriftd")) + list(self.daemons()):
                send(pid, signal.SIGCONT)
            self.stop()
            for pid in list(self.daemons("vriftd")) + list(self.daemons()):
                send(pid, signal.SIGKILL)
        finally:
            shutil.rmtree(self.base, ignore_errors=True)


class Builders:
    """Builds in each project, one after the other, until told to stop. A failure ends the storm."""

    def __init__(self, world, places, vrift=None):
        self.world, self.stopping, self.failure, self.builds, self.vrift = world, False, None, 0, vrift
        self.threads = [threading.Thread(target=self.loop, args=(p,)) for p in places]
        for t in self.threads:
            t.start()

    def loop(self, place):
        while not self.stopping and not self.failure:
            try:
                self.world.build(place, self.vrift() if self.vrift else None)
                self.builds += 1
            except Exception as e: # any: it is told by check()
                self.failure = self.failure or e

    def check(self):
        if self.failure:
            raise Failed(str(self.failure))

    def end(self):
        self.stopping = True
        for t in self.threads:
            t.join()
        self.check()
        return self.builds
