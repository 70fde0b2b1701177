"""Open outputs that are looked at, copied or described in unusual ways, and programs that lock themselves out."""
import shutil

from harness import Skip as _Skip

_PRELUDE = """
import ctypes, fcntl, os, resource, struct, sys
c = ctypes.CDLL(None, use_errno=True)
for name in ("fopen", "opendir", "readdir"): getattr(c, name).restype = ctypes.c_void_p
for name in ("readdir", "rewinddir", "closedir", "fclose"): getattr(c, name).argtypes = [ctypes.c_void_p]
c.fread.argtypes = [ctypes.c_char_p, ctypes.c_size_t, ctypes.c_size_t, ctypes.c_void_p]
c.fputs.argtypes = [ctypes.c_char_p, ctypes.c_void_p]
c.fseek.argtypes = [ctypes.c_void_p, ctypes.c_long, ctypes.c_int]
def begun(path, text):
    f = open(path, "w"); f.write(text); f.flush()
    return f
"""


def _python(bed, text):
    with open(bed.env["T"] + "/descriptions.py", "w") as f:
        f.write(_PRELUDE + text)
    return bed.both("python3 $T/descriptions.py")


def holes_survive_a_lock(bed):
    """Blocks, not only bytes: a file system whose holes cost nothing natively."""
    out = _python(bed, """
with open("sparse", "w") as f: f.write("old")
f = open("sparse", "wb"); f.seek(1 << 24); f.write(b"x" * 4096); f.seek(1 << 25); f.truncate(1 << 26); f.flush()
fcntl.flock(f, fcntl.LOCK_EX)
f.close()
s = os.stat("sparse"); print(s.st_size, s.st_blocks < 1000)
data = open("sparse", "rb").read(); print(data.count(b"x"), data.find(b"x"))
""")
    assert "67108864 True" in out, out


def second_description_outlives_an_equal_rewrite(bed):
    out = _python(bed, """
for name in ("/proc/self/fd/%d", "/dev/fd/%d"):
    with open("same", "w") as f: f.write("hello\\n")
    f = open("same", "w"); second = open(name % f.fileno(), "w")
    f.write("hello\\n"); f.close()
    second.seek(6); second.write("more\\n"); second.close()
    print(repr(open("same").read()))
""")
    assert out.count("more") == 2, out


def look_at_an_output_without_a_free_descriptor(bed):
    out = _python(bed, """
resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
f = begun("out", "1234"); taken = []
try:
    while True: taken.append(os.open("/dev/null", os.O_RDONLY))
except OSError: pass
print(os.access("out", os.F_OK) and os.stat("out").st_size)
for fd in taken: os.close(fd)
f.write("56"); f.close(); print(open("out").read())
""")
    assert out.split()[0] == "4", out


def modes_of_fopen_and_a_rewound_stream(bed):
    _python(bed, """
p = c.fopen(b"m", b"wbbbb+"); c.fputs(b"abc", p); c.fseek(p, 0, 0)
b = ctypes.create_string_buffer(4); print(c.fread(b, 1, 3, p), b.value); c.fclose(p)
os.mkdir("d"); d = c.opendir(b"d"); f = begun("d/new", "x"); c.rewinddir(d)
n = 0
while c.readdir(d): n += 1
print(n); c.closedir(d); f.close()
""")


def directory_made_immutable_before_close(bed):
    if shutil.which("chattr") is None:
        raise _Skip("chattr is not installed (apt-get install e2fsprogs)")
    _python(bed, """
os.mkdir("d"); f = begun("d/out", "text"); fd = os.open("d", os.O_RDONLY); flags = ctypes.c_long(0)
got = c.ioctl(fd, ctypes.c_ulong(0x80086601), ctypes.byref(flags))  # FS_IOC_GETFLAGS
def put(value):
    flags.value = value
    return c.ioctl(fd, ctypes.c_ulong(0x40086602), ctypes.byref(flags))
was = flags.value; closed = got == 0 and put(was | 0x10) == 0  # immutable; root only, and not on every file system
f.close(); print(closed, open("d/out").read())
if closed: put(was)
""")


_FILTERED = """
f = begun("out", "s" * 9)
def step(code, yes, no, k): return struct.pack("HBBI", code, yes, no, k)
ours = (437, 316, 332, 186, 39, 267, 89, 326, 258, 263, 280)  # openat2, renameat2, statx, gettid, getpid, readlink(at), copy_file_range, mkdirat, unlinkat, utimensat
steps = step(0x20, 0, 0, 0) + b"".join(step(0x15, 0, 1, n) + step(6, 0, 0, 0x80000000) for n in ours) + step(6, 0, 0, 0x7fff0000)
code = ctypes.create_string_buffer(steps)
program = ctypes.create_string_buffer(struct.pack("HxxxxxxQ", len(steps) // 8, ctypes.addressof(code)))
where = ctypes.c_void_p(ctypes.addressof(program))
print(c.prctl(38, 1, 0, 0, 0), SET)
f.close(); print(os.stat("out").st_size)
open("more", "w").write("q"); print(os.stat("more").st_size, os.path.exists("none"), sorted(n for n in os.listdir(".") if n != ".vrift"))
sys.stdout.flush()
if os.fork() == 0:
    print(open("more").read()); sys.stdout.flush()
    os._exit(3)
print(os.wait()[1] >> 8)
"""


def seccomp_between_open_and_close(bed):
    """The filter ends whoever makes one of the calls that the library would make and the program does not."""
    for how in ("c.syscall(317, 1, 0, where)", "c.prctl(22, 2, where, 0, 0)"):
        out = _python(bed, "c.syscall(317, 1, 0, None); c.prctl(22, 2, None, 0, 0)  # as libseccomp asks what there is" + _FILTERED.replace("SET", how))
        assert "0 0" in out and "9" in out, out


def landlock_between_open_and_close(bed):
    """Nothing may be made, removed or moved any more; what is open may be written."""
    out = _python(bed, """
f = begun("out", "s" * 9)
rules = ctypes.create_string_buffer(struct.pack("Q", 0x1ff2))  # everything but executing, reading files and reading directories
fd = c.syscall(444, rules, ctypes.c_size_t(8), 0)
c.prctl(38, 1, 0, 0, 0)
locked = fd >= 0 and c.syscall(446, fd, 0) == 0
f.write("more"); f.close()
try: open("late", "w").write("x"); late = True
except PermissionError: late = False
print(locked, late, open("out").read(), os.stat("out").st_size, sorted(n for n in os.listdir(".") if n != ".vrift"))
""")
    if out.startswith("False"):
        raise _Skip("this kernel has no landlock")
    assert out.split()[1] == "False", out


def outputs_opened_by_a_spawn_that_changes_directory(bed):
    bed.both(r"""cat >s.c <<'END'
#define _GNU_SOURCE
#include <spawn.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <fcntl.h>
int main(void) {
  char *argv[] = {"sh", "-c", "echo text", 0}, *env[] = {0};
  extern char **environ;
  struct stat st;
  pid_t pid;
  for (int i = 0; i < 20; i++) {
    char name[32], path[40];
    sprintf(name, "out%d", i);
    sprintf(path, "d/%s", name);
    posix_spawn_file_actions_t a;
    int before = stat(path, &st);
    posix_spawn_file_actions_init(&a);
    posix_spawn_file_actions_addchdir_np(&a, "d");
    posix_spawn_file_actions_addopen(&a, 1, name, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    if (posix_spawn(&pid, "/bin/sh", &a, 0, argv, environ)) return 1;
    posix_spawn_file_actions_destroy(&a);
    int status;
    waitpid(pid, &status, 0);
    int after = stat(path, &st); /* not among printf's arguments, which have no order */
    printf("%d %d %ld\n", before, after, (long)st.st_size);
  }
  (void)env;
}
END
mkdir -p d; cc -o s s.c && ./s""")
