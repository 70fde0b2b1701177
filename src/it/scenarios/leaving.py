"""The ways by which a program could lose what it has open: rights, roots, names that move, libc's last writes."""
import subprocess
import sys

from harness import VRIFT


def _python(bed, text):
    with open(bed.env["T"] + "/leaving.py", "w") as f:
        f.write(text)
    bed.both("python3 $T/leaving.py")


def rights_given_away_before_close(bed):
    bed.both("""python3 -c '
import os
f = open("out", "w"); f.write("abc")
if os.getuid() == 0: os.chmod(".", 0o777); os.setuid(65534)
f.close(); print(open("out").read())'""")


def root_changed_before_close(bed):
    bed.both("""python3 -c '
import os
os.mkdir("jail"); f = open("out", "w"); f.write("abc")
if os.getuid() == 0: os.chroot("jail")
f.close()'; cat out""")


def append_set_before_a_lock(bed):
    bed.both("""python3 -c '
import os, fcntl
open("a", "w").write("hello")
f = os.open("a", os.O_WRONLY | os.O_TRUNC); fcntl.fcntl(f, fcntl.F_SETFL, os.O_APPEND); fcntl.flock(f, fcntl.LOCK_EX)
g = os.open("a", os.O_WRONLY | os.O_APPEND); os.write(g, b"12345"); os.write(f, b"ab")
print(open("a").read())'""")


def own_lock_survives_a_rewrite(bed):
    bed.both("""python3 -c '
import os, fcntl, sys
open("k", "w").write("old")
a = os.open("k", os.O_RDWR); fcntl.lockf(a, fcntl.LOCK_EX)
f = open("k", "w")
if os.fork() == 0:
    try: fcntl.lockf(os.open("k", os.O_RDWR), fcntl.LOCK_EX | fcntl.LOCK_NB); print("got it")
    except OSError: print("refused")
    sys.stdout.flush(); os._exit(0)
os.wait()'""")


def own_output_by_another_directory(bed):
    bed.both("""mkdir d; python3 -c '
import os
d = os.open("d", os.O_RDONLY); f = open("d/out", "w"); f.write("abc"); f.flush()
print(os.stat("out", dir_fd=d).st_size, os.read(os.open("out", 0, dir_fd=d), 9))
here = os.path.basename(os.getcwd()); os.chdir(".."); print(os.stat(here + "/d/out").st_size)'""")


def watch_on_an_open_output(bed):
    bed.both("""python3 -c '
import ctypes, os
libc = ctypes.CDLL(None); f = open("w", "w"); f.write("x"); f.flush()
i = libc.inotify_init1(os.O_NONBLOCK); print(libc.inotify_add_watch(i, b"w", 2) > 0)
f.write("y"); f.flush(); print(len(os.read(i, 100)))'""")


def written_by_an_at_quick_exit_handler(bed):
    bed.both("""cat > q.c <<'END'
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>
static void late(void) { int fd = open("late", O_WRONLY | O_CREAT | O_TRUNC, 0644); if (write(fd, "x", 1) != 1) _exit(9); }
int main(void) { at_quick_exit(late); quick_exit(3); }
END
gcc -o q q.c && ./q; echo $?; cat late; rm q""")


def log_redirected_outside_is_never_stale(bed):
    program = """import os, sys
bad = 0
for i in range(2000):
    os.write(1, b"line\\n"); bad += os.stat("log").st_size != 5 * (i + 1)
print("stale", bad, file=sys.stderr)"""
    place = bed.place("log", True)
    with open(place + "/log", "w") as log:
        done = subprocess.run([VRIFT, "run", "--", sys.executable, "-c", program], cwd=place, env=bed.env, stdout=log, stderr=subprocess.PIPE, text=True, timeout=60)
    assert done.stderr == "stale 0\n", done.stderr


_RACE = """import os
N = 250
def writer(name, after):
    made = errors = lost = 0
    for i in range(400000):
        if made >= N: break
        try: fd = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        except FileNotFoundError: continue
        made += 1; os.write(fd, b"%06d" % i)
        try: os.close(fd)
        except OSError: errors += 1
        lost += after(b"%06d" % i)
    open("stop", "w").close(); os.wait()
    print("lost", lost, "errors", errors)
def mover(step):
    if os.fork(): return
    k = 0
    while not os.path.exists("stop"):
        try: step(k); k += 1
        except OSError: pass
    os._exit(0)
"""


def directory_removed_while_outputs_are_made_in_it(bed):
    _python(bed, _RACE + """
def step(k):
    try: os.mkdir("D")
    except FileExistsError: pass
    os.rmdir("D")
def gone(text):
    try: os.unlink("D/o"); return 0
    except FileNotFoundError: return 1
mover(step); writer("D/o", gone)
os.path.isdir("D") and os.rmdir("D")
""")


def output_renamed_while_it_is_made(bed):
    _python(bed, _RACE + """
def step(k): os.rename("x", "z%d" % (k % 4))
def nowhere(text):
    for t in range(3):
        for n in ("x", "z0", "z1", "z2", "z3", "x"):
            try:
                if open(n, "rb").read() == text: return 0
            except FileNotFoundError: pass
    return 1
mover(step); writer("x", nowhere)
for n in os.listdir("."): n[0] == "." or os.unlink(n)
""")


def directory_renamed_while_outputs_are_made_in_it(bed):
    _python(bed, """import os
os.mkdir("D"); made = []
if os.fork() == 0:
    for i in range(2000): os.rename(*(("D", "E") if i % 2 == 0 else ("E", "D")))
    os._exit(0)
while os.waitpid(-1, os.WNOHANG)[0] == 0:
    for d in "DE":
        try: fd = os.open("%s/u%d" % (d, len(made)), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        except FileNotFoundError: continue
        made.append("u%d" % len(made)); os.write(fd, b"x"); os.close(fd)
print("missing", len(set(made) - set(os.listdir("D"))))
for n in os.listdir("D"): os.unlink("D/" + n)
os.rmdir("D")
""")



def rights_given_away_by_any_call(bed):
    """By libc and by raw system calls, in a vfork child (whose memory is its parent's), in a child, in the process itself; user, file system user, capabilities."""
    bed.both("""mkdir -m 700 priv foreign; echo x > priv/s; echo x > foreign/s; echo x > zero; chmod 0 zero
if [ $(id -u) = 0 ]; then chown -R 65534 foreign; fi
cat > v.c <<'END'
#define _GNU_SOURCE
#include <linux/capability.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/fsuid.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
extern int capset(void *, const void *);
static const char *const asked[] = {"priv/s", "foreign/s", "zero"};
int main(int argc, char **argv) {
  struct stat st;
  struct __user_cap_header_struct head = {_LINUX_CAPABILITY_VERSION_3, 0};
  struct __user_cap_data_struct none[2] = {{0}};
  volatile int got[6];
  int how = atoi(argv[1]), where = argc > 2 ? atoi(argv[2]) : 0;
  for (int i = 0; i < 30000; i++)
    for (int k = 0; k < 3; k++) stat(asked[k], &st), access(asked[k], R_OK);
  int pid = where == 0 ? vfork() : where == 1 ? fork() : 0;
  if (pid == 0) {
    switch (how) {
      case 0: if (setuid(65534)) perror("setuid"); break;
      case 1: syscall(SYS_setuid, 65534); break;
      case 2: syscall(SYS_setresuid, 65534, 65534, 65534); break;
      case 3: syscall(SYS_setreuid, 65534, 65534); break;
      case 4: setfsuid(65534); break;
      case 5: syscall(SYS_setfsuid, 65534); break;
      case 6: capset(&head, none); break;
      case 7: syscall(SYS_capset, &head, none); break;
    }
    for (int k = 0; k < 3; k++) got[2 * k] = stat(asked[k], &st), got[2 * k + 1] = access(asked[k], R_OK);
    if (where) {
      for (int k = 0; k < 6; k++) printf(" %d", got[k]);
      fflush(stdout);
    }
    _exit(0);
  }
  waitpid(pid, NULL, 0);
  for (int k = 0; k < 6 && !where; k++) printf(" %d", got[k]);
}
END
gcc -o v v.c && for how in 0 1 2 3 4 5 6 7; do for where in 0 1 2; do echo "$how $where:$(./v $how $where)"; done; done; chmod 600 zero; rm -r v v.c zero priv foreign""")
