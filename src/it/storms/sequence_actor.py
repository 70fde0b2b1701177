"""A program that does what its seed says to the files of its working directory, and prints what it sees: twice the same seed prints twice the same,
natively and under vrift. Not looked at: inode numbers, and times that nobody set.
   sequence_actor.py SEED STEPS DEPTH [FD...]   (descriptors that it inherits)"""
import errno
import fcntl
import mmap
import os
import random
import stat
import subprocess
import sys

NAMES = ["a.o", "b.txt", "c", "x.d", "d/e.o", "d/f", "d/g/h.o", "d/g/i.txt", "l/j.o", "k/m.txt"]
DIRS = ["d", "d/g", "k", "n", "d/q"]
KEEP = 8  # descriptors open at a time


class Actor:
    def __init__(self, seed, depth, inherited):
        self.seed, self.depth = seed, depth
        self.random = random.Random(seed)
        self.fds = list(inherited)
        self.top = os.getcwd()

    # ---- what is said
    def say(self, *what):
        os.write(1, ("%d.%d " % (self.seed, self.depth) + " ".join(str(w) for w in what).replace(self.top, "TOP") + "\n").encode())

    def do(self, name, call, *args, show=True):
        try:
            result = call(*args)
        except OSError as e:
            self.say(name, *[a for a in args if isinstance(a, (str, int))], "->", errno.errorcode.get(e.errno, e.errno))
            return None
        self.say(name, *[a for a in args if isinstance(a, (str, int))], "->", result if show else "ok")
        return result

    def path(self):
        p = self.random.choice(NAMES)
        how = self.random.randrange(12)
        if how == 0:
            return "./" + p
        if how == 1:
            return "d/../" + p
        if how == 2:
            return os.getcwd() + "/" + p
        return p

    def fd(self):
        return self.random.choice(self.fds) if self.fds else None

    def bytes(self):
        n = self.random.choice([0, 1, 7, 100, 4096, 5000, 70000])
        return bytes([self.random.randrange(97, 123)]) * n

    @staticmethod
    def facts(st):
        kind = stat.S_IFMT(st.st_mode)
        return "%o size %d links %d" % (st.st_mode, st.st_size if kind != stat.S_IFDIR else 0, st.st_nlink if kind != stat.S_IFDIR else 0)

    @staticmethod
    def timed(where):
        """Nothing is said between the two: what is said may go into this file."""
        os.utime(where, (1000, 2000))
        return int(os.stat(where).st_mtime)

    # ---- steps
    def s_open_new(self):
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC if self.random.randrange(3) else os.O_RDWR | os.O_CREAT | os.O_TRUNC
        self.opened(flags)

    def s_open_other(self):
        r = self.random
        self.opened(r.choice([os.O_RDONLY, os.O_WRONLY, os.O_RDWR, os.O_WRONLY | os.O_APPEND | os.O_CREAT, os.O_WRONLY | os.O_CREAT | os.O_EXCL, os.O_RDWR | os.O_CREAT,
                              os.O_RDONLY | os.O_CREAT, os.O_WRONLY | os.O_TRUNC, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW,
                              os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_EXCL, os.O_RDONLY | os.O_NOFOLLOW, os.O_PATH]))

    def opened(self, flags):
        mode = self.random.choice([0o666, 0o600, 0o755, 0o444])
        fd = self.do("open", lambda p, f, m: os.open(p, f | os.O_CLOEXEC, m), self.path(), flags, mode)
        if fd is not None and flags & os.O_ACCMODE == os.O_RDONLY:
            # Not kept: who has a file open while it is rewritten keeps the version before (docs/LIMITS.md).
            self.do("fstat", lambda f: self.facts(os.fstat(f)), fd)
            self.do("pread", lambda f: hash_of(os.pread(f, 100000, 0)), fd)
            self.do("close", os.close, fd)
        elif fd is not None:
            self.fds.append(fd)
            while len(self.fds) > KEEP:
                self.do("close", os.close, self.fds.pop(0))

    def s_write(self):
        fd, data = self.fd(), self.bytes()
        if fd is not None:
            self.do("write", lambda f: os.write(f, data), fd)

    def s_pwrite(self):
        fd, data, at = self.fd(), self.bytes(), self.random.choice([0, 3, 5000])
        if fd is not None:
            self.do("pwrite", lambda f, a: os.pwrite(f, data, a), fd, at)

    def s_read(self):
        fd = self.fd()
        if fd is not None:
            self.do("pread", lambda f: hash_of(os.pread(f, 100000, 0)), fd)

    def s_seek(self):
        fd = self.fd()
        if fd is not None:
            self.do("lseek", lambda f, a, w: os.lseek(f, a, w), fd, self.random.choice([0, 10, 300]), self.random.randrange(3))

    def s_truncate_fd(self):
        fd = self.fd()
        if fd is not None:
            self.do("ftruncate", os.ftruncate, fd, self.random.choice([0, 5, 6000]))

    def s_fstat(self):
        fd = self.fd()
        if fd is not None:
            self.do("fstat", lambda f: self.facts(os.fstat(f)), fd)

    def s_close(self):
        if self.fds:
            fd = self.fds.pop(self.random.randrange(len(self.fds)))
            self.do("close", os.close, fd)

    def s_dup(self):
        fd = self.fd()
        if fd is not None and len(self.fds) < KEEP:
            to = self.do("dup", os.dup, fd)
            if to is not None:
                self.fds.append(to)

    def s_dup2(self):
        if len(self.fds) > 1:
            a, b = self.random.sample(self.fds, 2)
            if a != b:
                self.do("dup2", lambda x, y: os.dup2(x, y, False), a, b)

    def s_sync(self):
        fd = self.fd()
        if fd is not None:
            self.do("fsync", self.random.choice([os.fsync, os.fdatasync]), fd)

    def s_lock(self):
        fd = self.fd()
        if fd is not None:
            self.do("flock", lambda f: fcntl.flock(f, fcntl.LOCK_EX | fcntl.LOCK_NB), fd)

    def s_lockf(self):
        fd = self.fd()
        if fd is not None:
            self.do("lockf", lambda f: fcntl.lockf(f, fcntl.LOCK_EX | fcntl.LOCK_NB), fd)

    def s_fchmod(self):
        fd = self.fd()
        if fd is not None:
            self.do("fchmod", os.fchmod, fd, self.random.choice([0o644, 0o600, 0o777]))

    def s_futimes(self):
        fd = self.fd()
        if fd is not None:
            self.do("futimens", self.timed, fd)

    def s_map(self):
        fd = self.fd()
        if fd is None:
            return

        def change(f):
            n = os.fstat(f).st_size
            if not n:
                return "empty"
            with mmap.mmap(f, n) as m:
                m[0] = 65
                return hash_of(m[:])
        try:
            self.do("mmap", change, fd)
        except (ValueError, mmap.error):
            self.say("mmap", fd, "refused")

    def s_stat(self):
        p = self.path()
        self.do("stat", lambda x: self.facts(os.stat(x)), p)

    def s_lstat(self):
        self.do("lstat", lambda x: self.facts(os.lstat(x)), self.path())

    def s_stat_at(self):
        d = self.random.choice(DIRS)
        name = self.random.choice(["e.o", "f", "h.o", "../a.o", "g/i.txt", "m.txt"])

        def look(where, what):
            fd = os.open(where, os.O_RDONLY | os.O_DIRECTORY)
            try:
                return self.facts(os.stat(what, dir_fd=fd, follow_symlinks=False))
            finally:
                os.close(fd)
        self.do("fstatat", look, d, name)

    def s_access(self):
        self.do("access", os.access, self.path(), self.random.choice([os.F_OK, os.R_OK, os.W_OK, os.X_OK]))

    def s_real(self):
        self.do("realpath", lambda p: os.path.relpath(os.path.realpath(p)), self.path())

    def s_cat(self):
        def cat(p):
            with open(p, "rb") as f:
                return hash_of(f.read())
        self.do("cat", cat, self.path())

    def s_list(self):
        self.do("list", lambda d: ",".join(sorted(n for n in os.listdir(d) if not n.startswith("."))), self.random.choice([".", "d", "d/g", "k", "l", "n"]))

    def s_scan(self):
        def scan(d):
            with os.scandir(d) as it:
                return ",".join(sorted("%s:%d" % (e.name, 0 if e.is_dir() else e.stat(follow_symlinks=False).st_size) for e in it if not e.name.startswith(".")))
        self.do("scan", scan, self.random.choice([".", "d", "d/g", "k", "l"]))

    def s_rename(self):
        self.do("rename", os.rename, self.path(), self.path())

    def s_link(self):
        self.do("link", lambda a, b: os.link(a, b), self.path(), self.path())

    def s_unlink(self):
        self.do("unlink", os.unlink, self.path())

    def s_symlink(self):
        self.do("symlink", os.symlink, self.random.choice(["a.o", "d/e.o", "../d/f", "nowhere", "d"]), self.path())

    def s_mkdir(self):
        self.do("mkdir", os.mkdir, self.random.choice(DIRS))

    def s_rmdir(self):
        self.do("rmdir", os.rmdir, self.random.choice(DIRS))

    def s_rename_dir(self):
        a, b = self.random.sample(DIRS, 2)
        self.do("rename", os.rename, a, b)

    def s_chmod(self):
        self.do("chmod", os.chmod, self.path(), self.random.choice([0o644, 0o600, 0o755, 0o444]))

    def s_utime(self):
        self.do("utime", self.timed, self.path())

    def s_truncate(self):
        self.do("truncate", os.truncate, self.path(), self.random.choice([0, 3, 9000]))

    def s_copy_range(self):
        if len(self.fds) > 1:
            a, b = self.random.sample(self.fds, 2)
            self.do("copy_file_range", lambda x, y: os.copy_file_range(x, y, 5000), a, b)

    def s_sendfile(self):
        if len(self.fds) > 1:
            a, b = self.random.sample(self.fds, 2)
            self.do("sendfile", lambda x, y: os.sendfile(x, y, 0, 5000), a, b)

    def s_temporary(self):
        def save(p):
            t = p + ".tmp"
            fd = os.open(t, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
            try:
                os.write(fd, self.seed.to_bytes(8, "big") * 100)
                if self.random.randrange(2):
                    os.fsync(fd)
            finally:
                os.close(fd)
            os.replace(t, p)
            return "ok"
        self.do("save", save, self.random.choice(NAMES))

    def s_chdir(self):
        d = self.random.choice(["d", "k", "d/g"])
        p = self.random.choice(["f", "m.txt", "e.o", "../a.o"])
        try:
            os.chdir(d)
        except OSError as e:
            self.say("chdir", d, errno.errorcode[e.errno])
            return
        self.do("stat in " + d, lambda x: self.facts(os.stat(x)), p)
        self.do("write in " + d, lambda x: open(x, "w").write("in a directory"), p)
        os.chdir(self.top)

    # ---- other processes
    def s_fork(self):
        if self.depth > 2:
            return
        seed, abrupt = self.random.randrange(1 << 30), self.random.randrange(3)
        pid = os.fork()
        if pid == 0:
            self.seed, self.depth, self.random = seed, self.depth + 1, random.Random(seed)
            self.run(6)
            if abrupt:
                os._exit(3)
            sys.exit(4)
        self.say("forked", os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))

    def s_spawn(self):
        if self.depth > 1:
            return
        give = [fd for fd in self.fds if self.random.randrange(2)]
        seed = self.random.randrange(1 << 30)
        out = self.path() if self.random.randrange(3) == 0 else None
        try:
            to = open(out, "wb") if out else None
        except OSError as e:
            self.say("output", out, errno.errorcode[e.errno])
            return
        done = subprocess.run([sys.executable, "-S", "-E", os.path.abspath(__file__), str(seed), "8", str(self.depth + 1)] + [str(f) for f in give], pass_fds=give, stdout=to)
        if to:
            to.close()
        self.say("spawned", done.returncode)

    def s_shell(self):
        a, b = self.random.sample(NAMES, 2)  # not the same twice: which end of a pipe comes first would show
        text = self.random.choice(["echo one >%s; cat %s | wc -c", "{ echo two; cat %s; } >%s 2>&1", "cp %s %s", "mv %s %s", "ln -f %s %s", "cat %s >>%s", "tee %s <%s | wc -c",
                                   "test -e %s && rm -f %s", "exec 5>%s; echo five >&5; wc -c <%s; exec 5>&-", "touch -d @77 %s; wc -c <%s",
                                   "(sleep 0.01; echo late) >%s & wait; cat %s", "install -m 640 %s %s", "dd if=%s of=%s bs=1000 conv=notrunc 2>/dev/null",
                                   "tar cf - %s 2>/dev/null | tar tf - >%s 2>/dev/null; true"]) % (a, b)
        done = subprocess.run(["sh", "-c", text], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=dict(os.environ, LC_ALL="C"))
        self.say("shell", text, "->", done.returncode, done.stdout.decode(errors="replace").replace("\n", "|"))

    def s_vfork(self):
        def spawn(path):
            pid = os.posix_spawn("/bin/echo", ["echo", "spawned"], os.environ, file_actions=[(os.POSIX_SPAWN_OPEN, 1, path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)])
            return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        self.do("posix_spawn", spawn, self.path())

    def s_exec(self):
        if self.random.randrange(6) or self.depth > 1:
            return
        seed = self.random.randrange(1 << 30)
        for fd in self.fds:
            os.set_inheritable(fd, bool(self.random.randrange(2)))
        self.say("exec")
        give = [str(fd) for fd in self.fds if os.get_inheritable(fd)]
        os.execv(sys.executable, [sys.executable, "-S", "-E", os.path.abspath(__file__), str(seed), "10", str(self.depth + 1)] + give)

    def run(self, steps):
        heavy = ["s_fork", "s_spawn", "s_shell", "s_vfork", "s_exec"]
        light = sorted(n for n in dir(self) if n.startswith("s_") and n not in heavy)
        often = ["s_open_new", "s_write", "s_write", "s_open_new", "s_stat", "s_cat", "s_close"]
        for _ in range(steps):
            kind = self.random.randrange(10)
            getattr(self, self.random.choice(heavy if kind == 0 else often if kind < 5 else light))()


def hash_of(data):
    return "%d:%s" % (len(data), "".join(chr(x) if 96 < x < 123 else "?" for x in data[:3])) + ":%d" % (sum(data) * 31 % 65521)


def main():
    os.umask(0o022)
    actor = Actor(int(sys.argv[1]), int(sys.argv[3]), [int(x) for x in sys.argv[4:]])
    actor.run(int(sys.argv[2]))
    actor.say("end")


main()
