"""Partners that vrift cannot see."""
import os
import shutil
import subprocess

import harness
from harness import Skip as _Skip


def node_and_a_static_helper(bed):
    if not shutil.which("node"):
        raise _Skip("node is not installed")
    bed.both("""node -e '
const { spawn } = require("child_process"), fs = require("fs");
const h = spawn(process.env.T + "/helper", { stdio: ["pipe", "pipe", "inherit"] });
let i = 0, bad = 0;
const size = () => { try { return fs.statSync("shared").size } catch (e) { return 0 } };
const ask = () => { if (i == 200) { h.stdin.end(); console.log("bad", bad); return; } h.stdin.write("shared " + (i * 7 % 50) + "\\n"); };
h.stdout.on("data", () => { if (size() != i * 7 % 50) bad++; i++; ask(); });
ask();'""")


_PLUGIN = r"""
#include <dlfcn.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>
#ifdef PLUGIN
void gone(const char *path) {
  long result;
  __asm__ volatile("syscall" : "=a"(result) : "a"(87L), "D"(path) : "rcx", "r11", "memory");
}
#else
int main(void) {
  struct stat st;
  int stale = 0, missing = 0;
  for (int k = 0; k < 30; k++, usleep(30000)) /* until the daemon has its verdict on us */
    for (int i = 0; i < 70; i++) stat("known", &st);
  void *library = dlopen("./plugin.so", RTLD_NOW);
  void (*gone)(const char *) = library ? (void (*)(const char *))dlsym(library, "gone") : 0;
  if (!gone) return puts(dlerror()), 1;
  for (int k = 0; k < 20; k++) {
    FILE *f = fopen("there", "w");
    if (!f || fclose(f)) return 1;
    usleep(150000 + 1000 * (k % 7)); /* memory knows it now */
    for (int i = 0; i < 30; i++) missing += stat("there", &st) != 0;
    gone("there");
    stale += stat("there", &st) == 0;
  }
  return printf("missing %d stale %d\n", missing, stale), 0;
}
#endif
"""


def plugin_with_system_calls_of_its_own(bed):
    def prepare(place):
        for name in ("known", "plugin.c"):
            with open(place + "/" + name, "w") as f:
                f.write(_PLUGIN)
    out = bed.both("gcc -DPLUGIN -shared -fPIC -o plugin.so plugin.c && gcc -o host plugin.c -ldl && ./host", prepare=prepare, verify=False)  # its second look would come too late
    assert "missing 0 stale 0" in out, out


def static_child_then_look(bed):
    place = bed.place("n", True)
    script = "\n".join("echo 'f%d %d' | $T/helper > /dev/null; stat -c %%s f%d" % (i % 3, i + 1, i % 3) for i in range(60))
    code, text = bed.sh(script, place, True)
    assert code == 0 and text.split() == [str(i + 1) for i in range(60)], text[-300:]


def _rounds(bed, rounds, prefix):
    place = bed.place("n", True)
    env = dict(bed.env)
    looker = subprocess.Popen([harness.VRIFT, "run", "--"] + prefix + [env["T"] + "/look"], cwd=place, env=env,
                              stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)
    stale = 0
    try:
        for i in range(rounds):
            want = i * 13 % 97
            path = place + "/f%d" % (i % 5)
            if want == 0:
                if os.path.exists(path):
                    os.unlink(path)
                want = -1
            elif i % 3 == 0:
                with open(path + ".new", "w") as f:
                    f.write("y" * want)
                os.rename(path + ".new", path)
            else:
                with open(path, "w") as f:
                    f.write("x" * want)
            looker.stdin.write(b"f%d\n" % (i % 5))
            if int(looker.stdout.readline()) != want:
                stale += 1
    finally:
        looker.stdin.close()
        looker.wait(timeout=10)
    assert stale == 0, "%d of %d answers were stale" % (stale, rounds)


def partner_over_a_pipe(bed):
    """An unshimmed process changes a file and says so over a pipe; the answer must be of after the change."""
    _rounds(bed, 300, [])


def editor_then_run(bed):
    """An editor outside changes a file, then `vrift run` looks."""
    place = bed.place("n", True)
    for i in range(60):
        with open(place + "/f", "w") as f:
            f.write("x" * (i + 1))
        code, text = bed.sh("stat -c %s f", place, True, verify=False)
        assert (code, text.strip()) == (0, str(i + 1)), "round %d: %s %s" % (i, code, text)


def dev_server_that_watches(bed):
    if not shutil.which("node"):
        raise _Skip("node is not installed")
    script = """echo 0 > src.js; node -e '
const fs = require("fs"); const seen = new Set();
fs.watch(".", (e, n) => { seen.add(n); });
fs.writeFileSync("ready", "1");
setTimeout(() => { console.log([...seen].filter(n => n && n.startsWith("src")).sort().join(" "), fs.readFileSync("src.js", "utf8").trim()); process.exit(0); }, 900);' & p=$!
while ! test -e ready; do sleep 0.02; done; sleep 0.1; echo changed > src.js; python3 -c 'open("src2.js","w").write("x")'; wait $p; rm ready"""
    out = bed.both(script)
    assert out.strip() == "src.js src2.js changed", out


def cargo_add(bed):
    if not shutil.which("cargo"):
        raise _Skip("cargo is not installed")
    bed.env["RUSTUP_HOME"] = os.environ.get("RUSTUP_HOME", os.path.expanduser("~/.rustup"))
    bed.env["CARGO_HOME"] = os.environ.get("CARGO_HOME", os.path.expanduser("~/.cargo"))
    bed.both("cargo init -q --vcs none --name app . && cargo new -q --vcs none --lib dep 2>/dev/null; cargo add -q --offline --path dep; grep -c '^dep' Cargo.toml; cargo build -q --offline && ./target/debug/app && cargo build --offline -v 2>&1 | grep -c Fresh",
             ignore=["target/*"])


def environment_scrubbed_child(bed):
    """`env -i` and a program that clears its environment stay seen, or count as blind; never stale."""
    bed.both("echo a > f; env -i /bin/sh -c 'echo longer > f'; stat -c %s f; env -u LD_PRELOAD /bin/sh -c 'echo longest > f; rm -f g; echo g > g'; stat -c %s f g; VRIFT=0 sh -c 'echo off > f'; stat -c %s f")


def environment_emptied_stays_empty(bed):
    """What is added for a program that was given an environment without PATH is not there for it to see, nor for what it starts; all of them stay seen."""
    bed.both("env -i /usr/bin/env; env -i A=b /usr/bin/printenv; env -i /bin/sh -c 'echo x > f; /usr/bin/env; (exec /usr/bin/env)'; env -i LC_ALL=C /usr/bin/python3 -c '\n"
             "import os, subprocess\nprint(sorted(os.environ))\nprint(subprocess.run([\"/usr/bin/env\"], env={}, capture_output=True).stdout)\nos.system(\"echo y > g; /usr/bin/env | /usr/bin/sort\")'; cat f g")
    place = bed.place("n", True)
    seen = "/bin/grep -q libvrift_shim /proc/self/maps && echo seen"
    code, text = bed.sh("env -i %s; env -i /bin/sh -c '%s; %s'; env -i /usr/bin/env -i %s" % (seen, seen, seen, seen), place, True, True)
    assert text.split() == ["seen"] * 4, text


def environment_is_the_same_in_every_process(bed):
    """What is meant for one process is not in what a program prints, hashes or passes on."""
    bed.both("for i in 1 2; do env | sort > $i; done; cmp 1 2; sh -c 'env | sort' | diff - 1; grep -c 'VRIFT_SYNC\\|VRIFT_NEED' 1", ignore=["1", "2"])
