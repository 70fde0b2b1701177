"""Directories, filesystems, users and namespaces that differ from the plain case."""
import os
import shutil
import subprocess

import builds_c
from harness import Skip as _Skip

_OUTPUTS = "echo one > d/new; cat d/new; echo two > d/old; cat d/old; stat -c '%a %u %g %s' d/new d/old; printf x >> d/old; stat -c %s d/old; python3 -c 'open(\"d/py\",\"w\").write(\"z\"*9)'; stat -c '%a %u %g %s' d/py"


def _need_root():
    if os.geteuid() != 0:
        raise _Skip("needs root")


def _with_old(place):
    os.mkdir(place + "/d")
    with open(place + "/d/old", "w") as f:
        f.write("old\n")


def setgid_directory(bed):
    _need_root()

    def prepare(place):
        _with_old(place)
        os.chown(place + "/d", 0, 4242)
        os.chmod(place + "/d", 0o2775)
    out = bed.both(_OUTPUTS, prepare=prepare)
    assert "4242" in out, out


def default_acl(bed):
    if not shutil.which("setfacl"):
        raise _Skip("setfacl is not installed (apt-get install acl)")

    def prepare(place):
        _with_old(place)
        subprocess.run(["setfacl", "-d", "-m", "u:4242:rwx,g::rwx", place + "/d"], check=True)
    bed.both("umask 077; " + _OUTPUTS + "; getfacl -cE d/new d/py", prepare=prepare)


def read_only_target(bed):
    def prepare(place):
        _with_old(place)
        os.chmod(place + "/d/old", 0o444)
    bed.both("sh -c 'echo no > d/old'; echo $?; cat d/old; stat -c %a d/old", prepare=prepare)


def append_only_target(bed):
    _need_root()
    probe = bed.base + "/probe"
    with open(probe, "w"):
        pass
    if subprocess.run(["chattr", "+a", probe], capture_output=True).returncode:
        raise _Skip("chattr +a does not work here")
    subprocess.run(["chattr", "-a", probe])
    bed.both("mkdir d; echo old > d/old; chattr +a d/old; sh -c 'echo no > d/old'; echo $?; echo yes >> d/old; cat d/old; chattr -a d/old")


def hard_link_and_symlink_targets(bed):
    bed.both("echo a > a; ln a b; ln -s a c; echo new > a; cat b c; echo two > c; cat a b; stat -c %h a; rm b; stat -c %h a; echo three > c; cat a; readlink c; test -L c && echo link")


def modes_and_umask(bed):
    bed.both("umask 027; " + _OUTPUTS + "; chmod 600 d/old; echo x > d/old; stat -c %a d/old; umask 0; echo y > d/open; stat -c %a d/open", prepare=_with_old)


def enospc_at_write_and_at_commit(bed):
    _need_root()

    def mounted(under):
        place = bed.base + "/small"
        os.makedirs(place, exist_ok=True)
        if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "none", place], capture_output=True).returncode:
            raise _Skip("cannot mount a tmpfs")
        try:
            if under:
                bed.serve(place)
            return bed.sh("echo old > f; dd if=/dev/zero of=big bs=64k count=64 2>/dev/null; echo $?; dd if=/dev/zero of=f bs=64k count=64 2>/dev/null; echo $?; rm -f big; echo fits > f; cat f", place, under)
        finally:
            subprocess.run(bed_stop(bed), env=bed.env, cwd=place, capture_output=True)
            subprocess.run(["umount", "-l", place])
    a, b = mounted(False), mounted(True)
    assert a == b, "natively %s, under vrift %s" % (a, b)


def bed_stop(bed):
    import harness
    return [harness.VRIFT, "stop"]


bed_stop.__module__ = "hidden"


def two_users_on_one_project(bed):
    _need_root()
    if not shutil.which("setpriv"):
        raise _Skip("setpriv is not installed")
    place = bed.place("n", True)
    os.chmod(place, 0o777)
    as_other = "setpriv --reuid 4242 --regid 4242 --clear-groups"
    code, text = bed.sh("echo mine > mine; chmod 600 mine; %s sh -c 'cat mine; echo theirs > theirs; stat -c %%u theirs; test -r mine || echo unreadable; test -r theirs && echo readable'; cat theirs" % as_other, place, True)
    assert "unreadable" in text and "4242" in text and text.rstrip().endswith("theirs"), (code, text)


def other_namespaces(bed):
    _need_root()
    if subprocess.run(["unshare", "-m", "-p", "-f", "true"], capture_output=True).returncode:
        raise _Skip("unshare does not work here")
    bed.both("""mkdir d; echo 1 > d/a; unshare -m sh -c 'mount -t tmpfs none d; echo hidden > d/b; ls d; test -e d/a || echo covered'; ls d; test -e d/b || echo clear
unshare -p -f sh -c 'echo in > d/pid; cat d/pid'; cat d/pid; unshare -U -r sh -c 'echo user > d/user; stat -c %s d/user'; cat d/user; cat d/a""")


def parent_moved_while_running(bed):
    seen = []
    for under in (False, True):
        place = bed.place("n", under)
        parent = os.path.dirname(place)
        moved = parent + ".moved"
        shutil.rmtree(moved, ignore_errors=True)
        code, text = bed.sh("echo 1 > a; cat a; mv %s %s; echo 2 > b; cat a b; stat -c %%s a; test -e %s || echo moved; cd %s/p && ls; mv %s %s; ls"
                            % (parent, moved, place, moved, moved, parent), place, under)
        seen.append((code, text))
    assert seen[0] == seen[1], "natively %s, under vrift %s" % tuple(seen)


def overlay_filesystem(bed):
    _need_root()
    base = bed.base + "/overlay"
    for d in ("lower", "upper", "work", "merged"):
        os.makedirs(base + "/" + d)
    builds_c.prepare_make(base + "/lower", bed.env)
    tmp = base + "/upper", base + "/work"
    if subprocess.run(["mount", "-t", "overlay", "none", "-o", "lowerdir=%s/lower,upperdir=%s,workdir=%s" % ((base,) + tmp), base + "/merged"], capture_output=True).returncode:
        raise _Skip("cannot mount an overlay")
    try:
        code, text = bed.sh("make -j2 > /dev/null && make && make check", base + "/merged", True)
        assert code == 0 and "Nothing to be done" in text, (code, text)
    finally:
        subprocess.run(bed_stop(bed), env=bed.env, cwd=base + "/merged", capture_output=True)
        subprocess.run(["umount", "-l", base + "/merged"])


def odd_names(bed):
    def prepare(place):
        for name in (b"sp ace", b"new\nline", b"\xff\xfe", "ü".encode(), b"-dash", b"a" * 255):
            with open(place.encode() + b"/" + name, "w") as f:
                f.write("x")
    bed.both("""python3 -c '
import os
for n in sorted(os.listdir(b".")):
    if n != b".vrift": print(n, os.stat(n).st_size, os.access(n, os.R_OK))
print(os.path.exists(b"b" * 255), os.path.exists(b"nope"))
try: os.stat("c" * 300)
except OSError as e: print(e.errno)
try: os.stat("sp ace/x")
except OSError as e: print(e.errno)
os.symlink("loop", "loop")
try: os.stat("loop")
except OSError as e: print(e.errno)
'""", prepare=prepare)


def exec_that_loses_capabilities(bed):
    """The parent may read everything, its child must not: what is known about one process says nothing about the next."""
    _need_root()
    if not shutil.which("setpriv"):
        raise _Skip("setpriv is not installed (apt-get install util-linux)")

    def prepare(place):
        with open(place + "/secret", "w") as f:
            f.write("x")
        os.chmod(place + "/secret", 0)
        with open(place + "/ask", "w") as f:
            f.write("for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30; do test -r secret && echo yes || echo no; done\n")
    out = bed.both("sh ask | sort -u; C=-dac_override,-dac_read_search; setpriv --bounding-set=$C --inh-caps=$C sh ask | sort -u", prepare=prepare)
    assert out.split() == ["yes", "no"], out


def planted_staging_directory(bed):
    """A project from elsewhere may hold links where our directories go: what is written stays in the project."""
    outside = bed.base + "/outside"
    os.mkdir(outside)
    bed.both("""python3 -c '
import os
run = os.environ.get("VRIFT_PROJECT_RUN")
if run:
    area = ".vrift/staging/project_" + os.path.basename(run)
    os.makedirs(area, 0o700, exist_ok=True)
    os.chmod(".vrift/staging", 0o700)
    os.symlink("%s", area + "/pid_%%d" %% os.getpid())
f = open("out.txt", "w")
f.write("x" * 100)
f.flush()
print(os.listdir("%s"))
f.close()
print(os.stat("out.txt").st_size)
'""" % (outside, outside))
