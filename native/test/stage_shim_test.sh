#!/bin/bash
# Staging through the real library, on a board without a daemon: what programs do is run natively and staged in two fresh directories;
# what they print and the trees they leave must be equal. Then what only staging promises: whole outputs under kill -9, convergence of
# make rules, and native's behaviour where the disk is full, the target is read-only, or somebody removes everything in between.
set -u
: "${OUT:?}" "${VRIFT_SHIM:?}"
[ -f "$VRIFT_SHIM" ] || { echo "no $VRIFT_SHIM"; exit 77; }
tool=$OUT/test/board_tool programs=$OUT/test/programs failed=0 work=$(mktemp -d /tmp/vrift-stage.XXXXXX)
chmod 755 "$work"
python=/usr/bin/python3; [ -x "$python" ] || python=$(command -v python3) || { echo "no python3"; exit 77; }
cleanup() {
  for run in "$work"/*/run; do [ -L "$run/map" ] && "$tool" remove "$run"; done
  mountpoint -q "$work/full" 2>/dev/null && umount "$work/full"
  mountpoint -q "$work/full-native" 2>/dev/null && umount "$work/full-native"
  chmod -R u+rwX "$work"; rm -rf "$work"
}
trap cleanup EXIT
trap 'exit 130' INT TERM
fail() { failed=$((failed + 1)); echo "FAIL: $*"; }

# project NAME: $work/NAME/{root,run}. in_project NAME COMMAND…: there, preloaded. Shells never stage, so commands are run by env.
project() { mkdir -p "$work/$1/root/.vrift" && mkdir -p -m 700 "$work/$1/run" && "$tool" create "$work/$1/run" "$work/$1/root"; }
in_project() {
  local name=$1; shift
  (cd "$work/$name/root" && VRIFT_ROOT=$work/$name/root VRIFT_PROJECT_RUN=$work/$name/run exec env LD_PRELOAD="$VRIFT_SHIM" "$@")
}
native() { local name=$1; shift; mkdir -p "$work/$name-native/.vrift"; (cd "$work/$name-native" && exec "$@"); }
tree() { (cd "$1" && find . -path ./.vrift -prune -o -printf '%p %y %m %U %G %n %l\n' -type f -exec cksum {} + | sort); }
same_trees() { diff <(tree "$work/$1-native") <(tree "$work/$1/root") >"$work/diff" || { fail "$1: other tree (< native)"; cat "$work/diff"; }; }
nothing_left() {
  [ -z "$(find "$work/$1/root/.vrift/staging" -name '*.tmp' 2>/dev/null)" ] || fail "$1: staging files left: $(find "$work/$1/root/.vrift/staging" -name '*.tmp')"
}

# ---- the same program natively and staged
both() { # NAME COMMAND…
  local name=$1; shift
  project "$name"
  native "$name" "$@" >"$work/$name.native" 2>&1; local a=$?
  in_project "$name" "$@" >"$work/$name.staged" 2>&1; local b=$?
  [ $a = $b ] || fail "$name: exit code $a natively, $b staged"
  diff "$work/$name.native" "$work/$name.staged" || fail "$name: other output (< native)"
  same_trees "$name"
  nothing_left "$name"
  echo "$name: $("$tool" records "$work/$name/run")"
}
both patterns "$programs/stage_patterns"
n=$("$tool" records "$work/patterns/run" | sed 's/.* staged //')
[ "$n" -ge 30 ] || fail "patterns: only $n opens were staged, so the comparison shows little"
both shell sh -c 'echo one >a.txt; { echo two; echo three >&2; } >b.txt 2>c.txt; exec 5>d.txt; echo four >&5; sh -c "echo five" >&5; exec 5>&-; (echo six; exec 1>&-) >e.txt; cat a.txt b.txt d.txt >f.txt; : >a.txt; echo x >>a.txt'
both tee sh -c 'seq 20000 | tee log.txt | head -n 1; test $(wc -c <log.txt) -ge 4096 && echo kept; : >log.txt'
both tools sh -c 'cp /etc/passwd p.txt; cp -p /etc/passwd q.txt; sort p.txt -o p.txt; sed -i s/root/toor/ q.txt; dd if=p.txt of=r.txt bs=100 2>/dev/null; install -m 640 p.txt s.txt; mkdir d; mv s.txt d; ln d/s.txt t.txt; touch u.txt; truncate -s 7 r.txt; tar cf x.tar d; rm -r d; tar xf x.tar; rm x.tar'
both python "$python" -c '
import os, shutil
open("a.txt", "w").write("hello")
with open("a.txt", "w") as f:
    f.write("x" * 100000); print(os.path.getsize("a.txt")); f.flush(); print(os.path.getsize("a.txt") > 0)
print(open("a.txt").read()[:3]); shutil.copy("a.txt", "b.txt"); os.replace("b.txt", "c.txt")
f = open("d.txt", "w+"); f.write("data"); f.seek(0); print(f.read()); f.close()'
# Somebody else, with the library, looks at what is staged: by every spelling of its directory, by libc's own walks, by attributes, through links,
# and by putting a directory in the place of one that only looks empty. The writer is a child that opens after the fork.
both looked_at "$python" -c '
import ctypes, errno, glob, os
libc = ctypes.CDLL(None)
@ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p, ctypes.c_int)
def visit(name, stat, kind): seen.append(name.decode()); return 0
class Glob(ctypes.Structure): _fields_ = [("n", ctypes.c_size_t), ("v", ctypes.POINTER(ctypes.c_char_p)), ("rest", ctypes.c_byte * 200)]
def globbed(pattern):
    g = Glob(); libc.glob(pattern.encode(), 0, None, ctypes.byref(g)); return [g.v[i].decode() for i in range(g.n)]
def walked(top): seen.clear(); libc.ftw(top.encode(), visit, 8); return sorted(seen)
def listed_fd(path):
    fd = os.open(path, os.O_RDONLY)
    try: return sorted(n for n in os.listdir(fd) if n != ".vrift")
    finally: os.close(fd)
def attempt(call, *args):
    try: return call(*args)
    except OSError as e: return errno.errorcode[e.errno]
def listed(path): return sorted(n for n in os.listdir(path) if n != ".vrift")
seen = []
os.makedirs("d/e/f"); os.mkdir("other"); os.symlink("d", "link")
def staged_by_another(path, look):
    there, done = os.pipe(), os.pipe()
    if not os.fork():
        f = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        os.write(f, b"text"); os.write(there[1], b"x"); os.read(done[0], 1); os._exit(0)
    os.read(there[0], 1)
    print(path, attempt(look))
    os.write(done[1], b"x"); os.wait()
    for fd in there + done: os.close(fd)
staged_by_another("one", lambda: listed("."))
staged_by_another("two", lambda: listed("d/.."))
staged_by_another("three", lambda: listed("./"))
staged_by_another("four", lambda: listed_fd("."))
staged_by_another("d/a", lambda: listed("d/"))
staged_by_another("d/b", lambda: listed("link"))
staged_by_another("d/c", lambda: listed("link/."))
staged_by_another("d/d.txt", lambda: sorted(globbed("d/*")))
staged_by_another("d/g", lambda: walked("d"))
staged_by_another("d/h", lambda: os.listxattr("d/h"))
staged_by_another("d/i", lambda: os.listxattr("d/i", follow_symlinks=False))
staged_by_another("d/j", lambda: attempt(os.getxattr, "d/j", "user.none"))
staged_by_another("d/k", lambda: os.getxattr("d/k", "user.none", follow_symlinks=False))
staged_by_another("d/l", lambda: os.statvfs("d/l").f_namemax)
def opened(path, flags, text=b""):
    f = os.open(path, flags)
    try: return os.write(f, text) if text else os.read(f, 99)
    finally: os.close(f)
for i, (before, look) in enumerate([(before, look) for before in (None, "longer than what comes") for look in (
        lambda l, t: os.stat(l).st_size, lambda l, t: os.access(l, os.F_OK), lambda l, t: open(l).read(), lambda l, t: os.path.realpath(l, strict=True)[-2:],
        lambda l, t: os.stat("second-" + l).st_size, lambda l, t: (os.truncate(l, 2), os.stat(t).st_size), lambda l, t: (os.chmod(l, 0o600), oct(os.stat(t).st_mode)),
        lambda l, t: (os.utime(l, (5, 5)), os.stat(t).st_mtime), lambda l, t: (opened(l, os.O_WRONLY | os.O_APPEND, b"more"), os.stat(t).st_size),
        lambda l, t: opened(l, os.O_RDWR), lambda l, t: (opened(l, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, b"xy"), open(t).read()), lambda l, t: os.listxattr(l))]):
    target, name = "other/t%d" % i, "l%d" % i
    if before: open(target, "w").write(before)
    os.symlink(target, name); os.symlink(os.path.abspath(name), "second-" + name)
    staged_by_another(target, lambda: look(name, target))
    os.unlink(target); os.unlink("second-" + name)
staged_by_another("d/n", lambda: os.waitpid(os.posix_spawn("/bin/cat", ["cat"], os.environ, file_actions=[(os.POSIX_SPAWN_OPEN, 0, "d/n", os.O_RDONLY, 0)]), 0)[1])
staged_by_another("d/e/f/m", lambda: os.rename("other", "d/e/f"))'
# The output of a child goes to a file of its parent, which was empty before: the child, made by vfork, has closed the descriptor of that number.
both vfork "$python" -c '
import subprocess
for before in ("", "something longer than what comes"):
    for name in ("a.txt", "b.txt"):
        with open(name, "w") as f: f.write(before)
        with open(name, "w") as f:
            subprocess.run(["/bin/echo", "first"], stdout=f); print(open(name).read()); subprocess.run(["/bin/echo", "second"], stdout=f, close_fds=False)
        print(open(name).read())'
# A second name that is made by descriptor is a name of the file, also when that is put into the real one later.
both linked "$python" -c '
import ctypes, fcntl, os
libc = ctypes.CDLL(None)
for lock in (0, 1):
    name, second = "f%d" % lock, "s%d" % lock
    open(name, "w").close()
    f = os.open(name, os.O_WRONLY | os.O_TRUNC)
    print(libc.linkat(-100, b"/proc/self/fd/%d" % f, -100, second.encode(), 0x400))
    if lock: fcntl.flock(f, fcntl.LOCK_EX)
    os.write(f, b"text"); print(os.stat(name).st_nlink, open(second).read()); os.close(f)
    print(os.stat(name).st_nlink, open(name).read(), open(second).read())'
# What a descriptor changed besides the bytes goes with them into the real file when that one is kept (a lock, or nothing written yet).
both carried "$python" -c '
import fcntl, os
for text in (b"", b"text"):
    for lock in (0, 1):
        name = "f%d%d" % (len(text), lock)
        open(name, "w").close()
        f = os.open(name, os.O_WRONLY | os.O_TRUNC)
        os.write(f, text); os.fchmod(f, 0o751); os.setxattr(f, "user.one", b"two"); os.utime(f, ns=(10**18, 10**18 + 7))
        if lock: fcntl.flock(f, fcntl.LOCK_EX)
        st = os.stat(name)
        print(name, oct(st.st_mode), st.st_size, st.st_mtime_ns, st.st_atime_ns, os.listxattr(name), os.fstat(f).st_mtime_ns)
        os.close(f); print(os.stat(name).st_mtime_ns, os.listxattr(name))'
both setgid sh -c 'mkdir g; chgrp 1 g 2>/dev/null; chmod 2775 g; cp /etc/hostname g/new.txt; echo x >g/old.txt; cp /etc/hostname g/old.txt'
command -v setfacl >/dev/null && both acl sh -c 'mkdir g; setfacl -d -m u:1:rwx,g::r,o::- g 2>/dev/null; cp /etc/hostname g/new.txt; umask 077; cp /etc/hostname g/two.txt; cp /etc/hostname three.txt'
both removed sh -c 'mkdir build; cp /etc/hostname build/x.txt; (dd of=build/y.txt bs=1 2>/dev/null </dev/zero count=200000 & p=$!; sleep 0.1; rm -rf build; wait $p; echo $?); ls'

# ---- a root with a default ACL must not change modes of staged files
if command -v setfacl >/dev/null; then
  project rootacl; rm -rf "$work/rootacl/root/.vrift"; mkdir -p "$work/rootacl-native"
  for d in "$work/rootacl/root" "$work/rootacl-native"; do setfacl -d -m g::rwx,o::rwx "$d" && mkdir "$d/.vrift" "$d/sub" && setfacl -b "$d/sub"; done
    for where in native in_project; do $where rootacl sh -c 'umask 077; cp /etc/hostname sub/x.txt'; done
  same_trees rootacl
fi

# ---- kill -9
seed=${STAGE_SEED:-$(($(date +%s) % 100000))}
echo "seed $seed (STAGE_SEED repeats it)"
project kill
k=$(cd "$work/kill/root" && VRIFT_ROOT=$work/kill/root VRIFT_PROJECT_RUN=$work/kill/run SHIM=$VRIFT_SHIM "$programs/stage_kill" "$seed" 200)
echo "kill -9, staged: $k"
case $k in *"torn 0") ;; *) fail "kill: torn outputs" ;; esac
case $k in *"committed 0 "*) fail "kill: no round got to its end" ;; esac
control=$(native kill "$programs/stage_kill" "$seed" 60)
echo "control, native: $control"
case $control in *"torn 0") fail "kill: the control found nothing torn, so this test shows nothing" ;; esac

# ---- make rules on a directory converge (a recipe that rewrites in place: gas removes its output first, and never converges natively)
command -v make >/dev/null && {
  project make
  printf 'all: out/a.o out/b.o\nout:\n\tmkdir out\nout/%%.o: %%.c out\n\t@echo built >>../built\n\tcp $< $@\n' >"$work/make/root/Makefile"
  for f in a b; do echo "int $f;" >"$work/make/root/$f.c"; done
  mkdir -p "$work/make-native"; cp "$work/make/root/"* "$work/make-native" 2>/dev/null
  rounds() { for _ in 1 2 3 4 5; do : >"$2"; sleep 0.02; $1 make make >/dev/null 2>&1 || fail "make by $1"; printf '%s ' "$(wc -l <"$2")"; done; }
  a=$(rounds native "$work/built") b=$(rounds in_project "$work/make/built")
  echo "make: rebuilt $a natively, $b staged"
  case $b in *"0 0 0 ") ;; *) fail "make: does not converge: $b" ;; esac
}

# ---- fsync, then SIGKILL: what was synced stays
project sync
in_project sync "$python" -c '
import os, signal
fd = os.open("s.txt", os.O_WRONLY | os.O_CREAT | os.O_TRUNC); os.write(fd, b"synced"); os.fsync(fd); os.kill(os.getpid(), signal.SIGKILL)' 2>/dev/null
[ "$(cat "$work/sync/root/s.txt" 2>/dev/null)" = synced ] || fail "fsync: lost"

# ---- a poller sees the port file while its writer is still running
project poll
in_project poll "$python" -c '
import os, subprocess, sys, time
fd = os.open("port.txt", os.O_WRONLY | os.O_CREAT | os.O_TRUNC); os.write(fd, b"8080")
print(subprocess.run([sys.executable, "-c", "print(open(\"port.txt\").read())"], stdout=subprocess.PIPE).stdout.decode().strip())' >"$work/poll.out"
[ "$(cat "$work/poll.out")" = 8080 ] || fail "poller: $(cat "$work/poll.out")"
in_project poll "$python" -c '
import os, time
fd = os.open("port2.txt", os.O_WRONLY | os.O_CREAT | os.O_TRUNC); os.write(fd, b"9090"); time.sleep(2)' &
poller=$!
seen=; for _ in $(seq 40); do sleep 0.05; seen=$(in_project poll cat port2.txt 2>/dev/null) && [ -n "$seen" ] && break; done
[ "$seen" = 9090 ] || fail "poller from another process: '$seen'"
wait $poller

# ---- git clean -fdx and rm -rf in mid-write
command -v git >/dev/null && {
  project clean
  (cd "$work/clean/root" && git init -q . && echo '*' >.vrift/.gitignore && echo old >tracked.txt && git add tracked.txt &&
    git -c user.name=t -c user.email=t@t commit -qm t)
  in_project clean "$python" -c '
import os, subprocess
a = open("tracked.txt", "w"); a.write("new"); b = open("untracked.txt", "w"); b.write("gone")
subprocess.run(["git", "clean", "-fdxq"]); a.close(); b.close()
print(open("tracked.txt").read(), os.path.exists("untracked.txt"))' >"$work/clean.out"
  [ "$(cat "$work/clean.out")" = "new False" ] || fail "git clean: $(cat "$work/clean.out")"
}

# ---- a full disk: write fails as natively, close does not lose what was there
if [ "$(id -u)" = 0 ] && mkdir -p "$work/full" "$work/full-native" && mount -t tmpfs -o size=100m tmpfs "$work/full" 2>/dev/null &&
  mount -t tmpfs -o size=100m tmpfs "$work/full-native"; then
  project full
  script='
import errno, os
fd = os.open("f.txt", os.O_WRONLY | os.O_CREAT | os.O_TRUNC); os.write(fd, b"start")
with open("filler.log", "wb") as f:
    try:
        while True: f.write(b"x" * 1000000)
    except OSError as e: print("filler", errno.errorcode[e.errno])
    try: f.close()
    except OSError: pass
try:
    while True: os.write(fd, b"y" * 100000)
except OSError as e: print("write", errno.errorcode[e.errno])
os.close(fd); print(open("f.txt").read(5))'
  native full "$python" -c "$script" >"$work/full.native" 2>&1
  in_project full "$python" -c "$script" >"$work/full.staged" 2>&1
  diff "$work/full.native" "$work/full.staged" || fail "full disk (< native)"
  [ -s "$work/full.native" ] || fail "full disk: nothing was tried"
  "$tool" remove "$work/full/run"; umount "$work/full" "$work/full-native"
else
  echo "full disk: not run (needs root and tmpfs)"
fi

# ---- another user, whose permissions are real
if [ "$(id -u)" = 0 ] && command -v setpriv >/dev/null; then
  as="setpriv --reuid=65534 --regid=65534 --clear-groups"
  mkdir -p "$work/user/root/.vrift" "$work/user-native/.vrift" "$work/user/run"; chmod 755 "$work/user"; chmod 700 "$work/user/run"
  chown -R 65534:65534 "$work/user" "$work/user-native"
  cp "$tool" "$VRIFT_SHIM" "$work/user"; chmod 755 "$work/user/"* # the tree may lie where another user cannot go
  user_tool=$work/user/${tool##*/} user_shim=$work/user/${VRIFT_SHIM##*/}
  $as "$user_tool" create "$work/user/run" "$work/user/root"
  script='
import errno, os
def t(path):
    try: fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC); os.write(fd, b"x"); os.close(fd); print(path, "ok")
    except OSError as e: print(path, errno.errorcode[e.errno])
open("ro.txt", "w").write("ro"); os.chmod("ro.txt", 0o444); t("ro.txt"); print(open("ro.txt").read())
os.mkdir("d"); open("d/old.txt", "w").write("o"); os.chmod("d", 0o555); t("d/new.txt"); t("d/old.txt"); os.chmod("d", 0o755); t("d/new.txt")
os.mkdir("e"); open("e/old.txt", "w").write("o"); os.chmod("e", 0o600); t("e/old.txt"); os.chmod("e", 0o755)'
  (cd "$work/user-native" && $as "$python" -c "$script") >"$work/user.native" 2>&1
  (cd "$work/user/root" && VRIFT_ROOT=$work/user/root VRIFT_PROJECT_RUN=$work/user/run $as env LD_PRELOAD="$user_shim" "$python" -c "$script") >"$work/user.staged" 2>&1
  diff "$work/user.native" "$work/user.staged" || fail "another user (< native)"
  grep -q EACCES "$work/user.native" || fail "another user: nothing was refused"
  same_trees user
fi
[ $failed = 0 ] && echo "staging: all equal"
exit $failed
