"""Descriptors, redirections, locks, renames: what programs do to their outputs."""
import os

import builds_c
from harness import Skip as _Skip


def shell_redirections_and_dup2(bed):
    bed.both("\n".join(builds_c.SHELL_STEPS), prepare=builds_c.sources, ignore=["a/t.tar*"])


def _fds(bed, how):
    for old in (False, True):
        def prepare(place, old=old):
            os.mkdir(place + "/d")
            if old:
                with open(place + "/d/f", "w") as f:
                    f.write("an old and longer content of this file\n")
        bed.both('$T/fds %s d/f; echo "code $?"; cat d/f; ls d' % how, prepare=prepare)


def inherited_fds(bed):
    _fds(bed, "fork")
    bed.both("exec 5>f; echo one >&5; sh -c 'echo two >&5; ls -l f | wc -l'; (echo three >&5); stat -c %s f; exec 5>&-; cat f; { cat f; echo x; } > g 2>&1; cat g")


def passed_fds(bed):
    _fds(bed, "pass")


def duplicated_fds(bed):
    _fds(bed, "dup")
    _fds(bed, "range")


def vfork_children_that_close(bed):
    _fds(bed, "vfork")


def exit_without_close(bed):
    _fds(bed, "unclosed")
    _fds(bed, "unflushed")


def rename_while_open(bed):
    _fds(bed, "rename")


def shared_mapping_after_close(bed):
    _fds(bed, "map")


def flush_then_spawn_with_cloexec(bed):
    _fds(bed, "flush")


def fsync_then_sigkill(bed):
    _fds(bed, "sync")


def o_excl_locks(bed):
    one = "for i in $(seq 40); do until (set -C; echo $$ > lock) 2>/dev/null; do :; done; n=$(cat n); echo $((n+1)) > n; rm lock; done"
    out = bed.both("echo 0 > n; (%s) & (%s) & (%s) & wait; cat n" % (one, one, one))
    assert out.strip() == "120", out


def flock_idiom_on_a_truncated_file(bed):
    one = "for i in $(seq 25); do ( flock 9; n=$(cat n); echo $((n+1)) > n ) 9>lock; done"
    out = bed.both("echo 0 > n; (%s) & (%s) & (%s) & (%s) & wait; cat n" % (one, one, one, one))
    assert out.strip() == "100", out


def make_tee_log_head(bed):
    def prepare(place):
        with open(place + "/Makefile", "w") as f:
            f.write("all:\n\t@for i in $$(seq 3000); do echo line $$i of a long log; done\n")
    out = bed.both("make 2>/dev/null | tee log | head -n 2; test -s log && head -n 1 log", prepare=prepare, ignore=["log"])
    assert out.count("line 1 ") == 2, out


def poller_waits_for_a_port_file(bed):
    bed.both("""(sleep 0.2; echo 4711 > port; sleep 0.5) & i=0
while ! test -s port; do sleep 0.01; i=$((i+1)); [ $i -gt 400 ] && { echo timeout; exit 1; }; done; cat port; wait""")
    bed.both("""python3 -c '
import os, time
f = open("port", "w"); f.write("4712\\n"); f.flush()
for i in range(400):
    if os.path.exists("seen"): break
    time.sleep(0.01)
else: print("never seen")
' & i=0
while ! test -s port; do sleep 0.01; i=$((i+1)); [ $i -gt 400 ] && { echo timeout; exit 1; }; done; cat port; : > seen; wait""")


def pattern_rule_with_directory_converges(bed):
    script = """mkdir out; for f in a b c; do echo "int $f;" > $f.c; done
printf 'all: out/a.o out/b.o out/c.o\\nout/%%.o: %%.c out\\n\\tcp $< $@\\n' > Makefile
for i in 1 2 3 4 5 6; do make | grep -c '^cp'; sleep 0.02; done"""
    for under in (False, True):
        place = bed.place("n", under)
        code, text = bed.sh(script, place, under)
        counts = text.split()
        assert code in (0, 1) and len(counts) == 6 and counts[-1] == "0", "under vrift %s: rebuilt %s times" % (under, counts)


def rm_rf_build_in_mid_write(bed):
    bed.both("mkdir build; $T/slow build/x & sleep 0.3; rm -rf build; wait; test -e build || echo gone")


def git_clean_in_mid_write(bed):
    bed.both("git init -q . ; mkdir build; $T/slow build/x & sleep 0.3; git clean -qfdx; wait; test -e build || echo gone", ignore=[".git*"])


def unlink_and_recreate_in_mid_write(bed):
    bed.both("$T/slow x & sleep 0.3; rm -f x; echo new > x; wait; cat x")


def killed_writer_leaves_the_old_version(bed):
    for alive in (True, False):
        place = bed.place("n", True)
        with open(place + "/keep.o", "w") as f:
            f.write("old\n")
        code, text = bed.sh("""for i in 1 2 3 4 5; do python3 -c '
import os, signal
fd = os.open("keep.o", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644); os.write(fd, b"torn"); os.kill(os.getpid(), signal.SIGKILL)' 2>/dev/null; cat keep.o
python3 -c '
import os, signal
fd = os.open("none.o", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644); os.write(fd, b"torn"); os.kill(os.getpid(), signal.SIGKILL)' 2>/dev/null; test -e none.o && echo torn; done""", place, True)
        assert text.replace("Killed\n", "") in ("old\n" * 5,) or "torn" not in text and text.count("old") == 5, text
