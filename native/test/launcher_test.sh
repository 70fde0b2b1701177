#!/bin/bash
# The launcher without any daemon: what a user sees of `vrift run` when vrift is absent, refused, stopped or broken. The installation is a copy
# whose `java` only notes that it was called.
set -u
: "${OUT:?}"
[ -x "$OUT/vrift" ] || { echo "no $OUT/vrift"; exit 77; }
[ -x "$OUT/test/launcher_peer" ] || { echo "no $OUT/test/launcher_peer"; exit 1; }
work=$(mktemp -d "${TMPDIR:-/tmp}/vrift-launcher.XXXXXX") failed=0 started=()
cleanup() {
  for p in "${started[@]}"; do kill -CONT "$p" 2>/dev/null; kill -9 "$p" 2>/dev/null; done
  chmod -R u+rwX "$work" 2>/dev/null; rm -rf "$work" 2>/dev/null || { sleep 1; rm -rf "$work"; } # a starter in the background may just be ending
}
trap cleanup EXIT
trap 'exit 130' INT TERM
set +m
fail() { failed=$((failed + 1)); echo "FAIL: $*"; }
is() { [ "$2" = "$3" ] || fail "$1: '$2', expected '$3'"; }
has() { case $2 in *"$3"*) ;; *) fail "$1: no '$3' in: $2" ;; esac; }

mkdir -p "$work/dist/bin" "$work/dist/lib/vrift" "$work/home" "$work/p/sub" "$work/tmp"
mkdir -m 700 "$work/run"
cp "$OUT/vrift" "$work/dist/bin/vrift"
# An empty library: what matters here is the environment, which the real one changes.
echo 'int nothing_at_all;' | "${CC:-cc}" -shared -fPIC -x c - -o "$work/dist/lib/vrift/libvrift_shim.so" || exit 77
cat >"$work/dist/lib/vrift/java" <<END
#!/bin/sh
ulimit -n >>"$work/java.limit"; pwd >>"$work/java.cwd"; printf '%s\n' "\$@" >>"$work/java.args"; env >>"$work/java.env"; exit 41
END
chmod +x "$work/dist/lib/vrift/java"; touch "$work/dist/lib/vrift/vrift.jar" "$work/dist/lib/vrift/libvrift_jni.so"
export HOME=$work/home VRIFT_RUNTIME_DIR=$work/run XDG_STATE_HOME=$work/state TMPDIR=$work/tmp
unset VRIFT VRIFT_ROOT VRIFT_PROJECT_RUN VRIFT_VERIFY VRIFT_VERIFY_LOG LD_PRELOAD XDG_RUNTIME_DIR
v=$work/dist/bin/vrift
cd "$work/p" || exit 1

# Exit codes
"$v" run -- sh -c 'exit 7'; is "exit code" $? 7
"$v" run true; is "without --" $? 0
out=$("$v" run -- "$work/none" 2>&1); is "not found" $? 127; has "not found" "$out" "No such file"
touch "$work/noexec"
out=$("$v" run -- "$work/noexec" 2>&1); is "not executable" $? 126; has "not executable" "$out" "Permission denied"
"$v" run >/dev/null 2>&1; is "run what" $? 125
"$v" run --nonsense true >/dev/null 2>&1; is "unknown option" $? 125
"$v" >/dev/null 2>&1; is "no words" $? 2
"$v" --help >/dev/null; is "help" $? 0
"$v" version --nonsense >/dev/null 2>&1; is "version has no options but --json" $? 2
out=$("$v" help run more 2>&1); is "help explains one command" $? 2
for words in --help version "version --json" "run --help" "help run"; do # shellcheck disable=SC2086
  out=$("$v" $words 2>&1 >/dev/full); is "$words to a full disk" $? 1; has "$words to a full disk" "$out" "cannot write standard output: No space"
  out=$("$v" $words 2>&1 >&-); is "$words to nowhere" $? 1; has "$words to nowhere" "$out" "cannot write standard output: Bad file"
done
is "closed streams are closed for the command" "$("$v" run -- sh -c 'for i in 0 1 2; do [ -e /proc/self/fd/$i ] && echo $i; done >"$0"' "$work/fds" <&- >&- 2>&-; cat "$work/fds")" 1
out=$(mkdir "$work/gone" && cd "$work/gone" && rmdir "$work/gone" && "$v" run -- sh -c 'exit 3' 2>&1); is "directory is gone: native" $? 3; has "directory is gone" "$out" "cannot be named"
(mkdir "$work/gone" && cd "$work/gone" && rmdir "$work/gone" && "$v" status); is "directory is gone: reports" $? 41
has "Java starts in a directory that is there" "$(tail -n 1 "$work/java.cwd")" /
has "version" "$("$v" version --json)" '"schema_version":1'
"$v" run -- sh -c 'kill -9 $$' 2>/dev/null; is "killed by KILL" $? 137
"$v" run -- sh -c 'kill -TERM $$' 2>/dev/null; is "killed by TERM" $? 143
bash -c 'ulimit -c 0; "$0" run -- sh -c "kill -SEGV \$\$"' "$v" 2>/dev/null; is "killed by SEGV" $? 139
is "standard input" "$(echo through | "$v" run -- cat)" through

# Signals
"$v" run -- sh -c 'trap "exit 9" TERM; echo up >"$0"; while :; do sleep 0.05; done' "$work/up" & p=$!; started+=($p)
for _ in $(seq 250); do [ -s "$work/up" ] && break; sleep 0.02; done
kill -TERM $p; wait $p; is "TERM is passed on" $? 9
rm -f "$work/up"
"$v" run -- sh -c 'trap "exit 8" USR1; echo up >"$0"; while :; do sleep 0.05; done' "$work/up" & p=$!; started+=($p)
for _ in $(seq 250); do [ -s "$work/up" ] && break; sleep 0.02; done
kill -USR1 $p; wait $p; is "USR1 is passed on" $? 8
"$v" run -- bash -c 'trap "exit 6" RTMIN+3; echo up >"$0"; while :; do sleep 0.05; done' "$work/up2" & p=$!; started+=($p)
for _ in $(seq 250); do [ -s "$work/up2" ] && break; sleep 0.02; done
kill -RTMIN+3 $p; wait $p; is "RTMIN+3 is passed on" $? 6
for sig in KILL ABRT XCPU SEGV; do # the command never stays behind alone
  "$v" run -- sh -c 'echo $$ >"$0"; exec sleep 600' "$work/alone" 2>/dev/null & p=$!
  until [ -s "$work/alone" ]; do sleep 0.05; done
  kill -$sig $p; wait $p 2>/dev/null
  for _ in $(seq 100); do kill -0 "$(cat "$work/alone")" 2>/dev/null || break; sleep 0.05; done
  kill -9 "$(cat "$work/alone")" 2>/dev/null && fail "$sig left the command running"
  rm -f "$work/alone"
done
is "ignored signals stay ignored" "$(trap '' HUP; "$v" run -- sh -c 'kill -HUP $$; echo alive')" alive
command -v perl >/dev/null && is "ignored CHLD" "$(perl -e '$SIG{CHLD}="IGNORE"; exec @ARGV' "$v" run -- sh -c 'exit 5' 2>/dev/null; echo $?)" 5
is "signal masks" "$("$v" run -- grep -E '^Sig(Blk|Ign)' /proc/self/status)" "$(bash -c 'exec grep -E "^Sig(Blk|Ign)" /proc/self/status')"
is "descriptors" "$("$v" run -- sh -c 'ls /proc/self/fd | wc -l')" "$(sh -c 'ls /proc/self/fd | wc -l')"

# Environment
e=$("$v" run -- env)
copy=$(echo "$work"/run/lib/*/libvrift_shim.so)
has "library" "$e" "LD_PRELOAD=$copy"
cmp -s "$copy" "$work/dist/lib/vrift/libvrift_shim.so" || fail "the copy differs"
is "mode of the copy" "$(stat -c %a "$copy")" 500
has "root" "$e" "VRIFT_ROOT=$work/p"
has "project directory" "$e" "VRIFT_PROJECT_RUN=$work/run/p/"
e=$(LD_PRELOAD=$work/dist/lib/vrift/libvrift_shim.so "$v" run -- env)
is "appended once" "$(echo "$e" | grep -c "^LD_PRELOAD=$work/dist/lib/vrift/libvrift_shim.so$")" 1
echo 'int nothing_of_ours;' | "${CC:-cc}" -shared -fPIC -x c - -o "$work/other.so"
has "behind the user's" "$(LD_PRELOAD=$work/other.so "$v" run -- env)" "LD_PRELOAD=$work/other.so:$copy"
rm -rf "$work/p/.vrift" "$work/q"; mkdir "$work/q"
e=$(cd "$work/q" && VRIFT=0 "$v" run -- env)
case $e in *LD_PRELOAD*) fail "VRIFT=0 preloads" ;; esac
[ ! -e "$work/q/.vrift" ] || fail "VRIFT=0 made .vrift"

# Its reader is not ours to wait for: a log that is no file is not read
for log in /dev/full /dev/zero "$work/none/log"; do
  VRIFT_VERIFY=1 VRIFT_VERIFY_LOG=$log timeout 20 "$v" run -- sh -c 'exit 4' 2>/dev/null; is "VRIFT_VERIFY_LOG=$log" $? 4
done

# A limit on the size of files does not end us (the library is copied), and stays the command's
rm -rf "$work/run/lib"
if [ "$(stat -c %s "$work/dist/lib/vrift/libvrift_shim.so")" -gt 10240 ]; then
  bash -c 'ulimit -f 10; "$0" run -- sh -c "exit 3"' "$v" 2>/dev/null; is "limited size of files" $? 3
  rm -rf "$work/run/lib"
  bash -c 'ulimit -f 10; "$0" run -- dd if=/dev/zero of="$1" bs=65536 count=1' "$v" "$work/big" 2>/dev/null; is "the command meets its limit" $? 153
fi
out=$(bash -c 'ulimit -v 200000; "$0" status' "$v" 2>&1); c=$?
if [ "$(id -u)" != 0 ] || ! bash -c 'ulimit -v 200000; ulimit -v 400000' 2>/dev/null; then is "too little memory for a report" $c 125; has "too little memory for a report" "$out" "Raise the limit"; fi

# HOME is looked up for daemons and reports where it is not set, and never for the command
rm -f "$work/java.env"
env -u HOME "$v" status; has "HOME of a report" "$(grep ^HOME= "$work/java.env")" "HOME=/"
is "HOME of the command" "$(env -u HOME "$v" run -- env | grep -c ^HOME=)" 0

# Arguments that leave no room for our variables: the command runs as it would without us
! command -v python3 >/dev/null || python3 - "$v" <<'END' || fail "arguments at the limit"
import subprocess, sys
v, big = sys.argv[1], ["x" * 100000] * 20
def run(command, n):
    try:
        return subprocess.run(command + big + ["y" * n], stderr=subprocess.DEVNULL).returncode
    except OSError:
        return -1
low, high = 0, 131000 # where the kernel itself refuses
while high - low > 1:
    middle = (low + high) // 2
    low, high = (middle, high) if run([v, "run", "--", "/bin/true"], middle) != -1 else (low, middle)
sys.exit(0 if low and all(run([v, "run", "--", "/bin/true"], low - less) == 0 for less in (0, 10, 50, 100, 150, 200, 300, 500)) else 1)
END

# Projects
"$v" run true
is "mode of .vrift" "$(stat -c %a .vrift)" 700
is ".gitignore" "$(cat .vrift/.gitignore)" '*'
mkdir "$work/masked"; is "umask of the command" "$(cd "$work/masked" && umask 0777 && "$v" run -- sh -c umask)" 0777
is "what is made does not obey a umask of 0777" "$(stat -c %a "$work/masked/.vrift" "$work/masked/.vrift/.gitignore")" "700
600"
is "nothing else in .vrift" "$(ls -A .vrift)" .gitignore
has "root from below" "$(cd sub && "$v" run -- env)" "VRIFT_ROOT=$work/p"$'\n'
mkdir -p "$work/g/.git" "$work/g/a/b"
has "git's top level" "$(cd "$work/g/a/b" && "$v" run -- env)" "VRIFT_ROOT=$work/g"$'\n'
mkdir "$work/g/a/.vrift"
has "nearest .vrift" "$(cd "$work/g/a/b" && "$v" run -- env)" "VRIFT_ROOT=$work/g/a"$'\n'
if [ "$(id -u)" = 0 ]; then
  mkdir -p "$work/w/x/.git" "$work/w/x/mine"; chmod 1777 "$work/w/x"; chown 12345 "$work/w/x/.git"
  has "another's .git in a shared directory" "$(cd "$work/w/x/mine" && "$v" run -- env)" "VRIFT_ROOT=$work/w/x/mine"$'\n'
fi
out=$(cd / && "$v" run -- env 2>&1); has "/ is refused" "$out" "too big"
out=$(HOME=$work/p "$v" run -- env 2>&1); has "the home directory is refused" "$out" "is your home directory (HOME)"
out=$(mkdir "$work/strange" && cd "$work/strange" && "$v" init --bogus; "$v" init there; "$v" init --json -- there; ls -A); is "what is not understood makes nothing" "$out" ""
case $out in *VRIFT_ROOT=*) fail "/ became a project" ;; esac
out=$(cd "$HOME" && "$v" run -- sh -c 'exit 3' 2>&1); is "home: native" $? 3; has "home is refused" "$out" "too big"
[ ! -e "$HOME/.vrift" ] || fail "home got a .vrift"
mkdir "$work/l"; ln -s "$work/home" "$work/l/.vrift"
(cd "$work/l" && "$v" run -- sh -c 'exit 4') 2>/dev/null; is ".vrift is a link" $? 4
bad=$work/$(printf 'b\377d'); mkdir "$bad"
out=$(cd "$bad" && "$v" run -- sh -c 'exit 6' 2>&1); is "not UTF-8: native" $? 6; has "not UTF-8" "$out" UTF-8

# Runtime directory
refused() { # NAME DIR TEXT
  out=$(VRIFT_RUNTIME_DIR=$2 "$v" run -- sh -c 'exit 3' 2>&1); is "$1: runs natively" $? 3; has "$1" "$out" "$3"
}
mkdir -m 777 "$work/open"; chmod 777 "$work/open"; refused "run dir 0777" "$work/open" "chmod 700"
ln -s "$work/run" "$work/link"; refused "run dir is a link" "$work/link" "symbolic link"
touch "$work/file"; refused "run dir is a file" "$work/file" "not a directory"
refused "run dir not UTF-8" "$work/$(printf 'r\377')" UTF-8
refused "run dir relative" relative "absolute"
refused "run dir cannot be made" "$work/none/none" "cannot make"
if [ "$(id -u)" = 0 ]; then mkdir -m 700 "$work/foreign"; chown 12345 "$work/foreign"; refused "run dir of another" "$work/foreign" "another user"; fi
VRIFT_RUNTIME_DIR=$work/fresh "$v" run true; is "mode of a new run dir" "$(stat -c %a "$work/fresh")" 700

# Broken installation
mkdir -p "$work/half/bin"; cp "$v" "$work/half/bin/vrift"
out=$("$work/half/bin/vrift" run -- sh -c 'exit 3' 2>&1); is "no library: native" $? 3; has "no library" "$out" "running natively"
"$work/half/bin/vrift" status >/dev/null 2>&1; is "no java" $? 125
for file in vrift.jar libvrift_jni.so java; do
  rm -rf "$work/lacks"; cp -R "$work/dist" "$work/lacks"; rm "$work/lacks/lib/vrift/$file"
  out=$("$work/lacks/bin/vrift" doctor 2>&1); is "$file is missing" $? 125; has "$file is missing" "$out" "lib/vrift/$file: No such file"
  has "$file is missing" "$out" "install vrift again"
  "$work/lacks/bin/vrift" run -- sh -c 'exit 3' 2>/dev/null; is "$file is missing: natively" $? 3
done
cp -r "$work/dist" "$work/with space"
has "space in the path" "$("$work/with space/bin/vrift" run -- env)" "LD_PRELOAD=$work/run/lib/"
# What happens to the installation does not reach a running build; an update is another copy.
(cd "$work/p" && "$work/with space/bin/vrift" run -- sh -c 'rm -rf "$0"; for i in 1 2 3; do sh -c "echo \$LD_PRELOAD"; done' "$work/with space") >"$work/out" 2>"$work/err"
is "removed under a build" "$(sort -u "$work/out" | wc -l) $(wc -l <"$work/err")" "1 0"
echo 'int another;' | "${CC:-cc}" -shared -fPIC -x c - -o "$work/dist/lib/vrift/libvrift_shim.so"
e=$("$v" run -- env); case $e in *"$copy"*) fail "the old copy is used for a new library" ;; esac
has "a new copy" "$e" "LD_PRELOAD=$work/run/lib/"
mkdir "$work/exec"; if mount -t tmpfs -o noexec,mode=700 none "$work/exec" 2>/dev/null; then
  has "noexec run dir" "$(VRIFT_RUNTIME_DIR=$work/exec "$v" run -- env)" "LD_PRELOAD=$work/dist/lib/vrift/libvrift_shim.so"
  sleep 0.3; umount "$work/exec" 2>/dev/null || umount -l "$work/exec"
fi

# Java is entered with a clean environment, and its exit code is ours
rm -f "$work/java.args" "$work/java.env"
JAVA_TOOL_OPTIONS=-verbose LD_PRELOAD=$work/other.so "$v" status --json; is "exit code of java" $? 41
XDG_STATE_HOME=$work/state2 "$v" status
[ ! -e "$work/state2" ] || fail "status made $work/state2"
has "arguments of java" "$(tr '\n' ' ' <"$work/java.args")" "cli status --json"
if grep -q -E 'JAVA_TOOL_OPTIONS|LD_PRELOAD' "$work/java.env"; then fail "java got LD_PRELOAD or JAVA_TOOL_OPTIONS"; fi

# A coordinator that cannot start is tried again after 0.1 s, doubling, whoever asks: at 0, 0.1, 0.3, 0.7, 1.5 s
rm -f "$work/java.args" "$work/run/vriftd.start"
for _ in $(seq 20); do "$v" run true; done
sleep 1.2
n=$(grep -c '^vriftd$' "$work/java.args")
{ [ "$n" -ge 1 ] && [ "$n" -le 7 ]; } || fail "20 commands started $n coordinators that fail"
read -r starts bad _ <"$work/run/vriftd.start"; { [ "${starts:-0}" -ge 1 ] && [ "$starts" = "$bad" ]; } || fail "history of starts: $starts $bad"
# What a daemon calls starts none while a stop is in force
touch "$work/run/stopped"; sleep 0.5 # those that still wait see it
rm -f "$work/java.args" "$work/run/vriftd.start"
"$v" --ensure-coordinator; is "a stop is obeyed" "$? $([ -e "$work/java.args" ] && echo started)" "1 "
rm -f "$work/run/stopped"

# A shell's own limits are not those of a daemon that serves every shell: raised by who may, and else no daemon is started
rm -f "$work/java.args" "$work/java.limit" "$work/run/vriftd.start"
if [ "$(id -u)" = 0 ] && command -v setpriv >/dev/null; then
  out=$(setpriv --bounding-set -sys_resource bash -c 'ulimit -n 40; "$0" run -- sh -c "ulimit -n; exit 3"' "$v" 2>&1); is "limited shell" $? 3
  has "limited shell" "$out" "limited to 40 open files"; has "limited shell's command" "$out" "40"
  out=$(setpriv --bounding-set -sys_resource bash -c 'ulimit -f 1000; "$0" run true' "$v" 2>&1); has "limited shell" "$out" "bytes of a file"
  sleep 0.3; [ ! -e "$work/java.args" ] || fail "a daemon was started with a shell's limits"
  if (ulimit -n 40; ulimit -n 256) 2>/dev/null; then
    (ulimit -n 40; "$v" --ensure-coordinator)
    [ "$(head -n 1 "$work/java.limit" 2>/dev/null)" -ge 256 ] || fail "limit of a daemon started by root: $(cat "$work/java.limit" 2>&1)"
  fi
fi

# A daemon that is stopped, or accepts and says nothing, costs 50 ms once, and junk does no harm
id=$(ls "$work/run/p" 2>/dev/null | head -n 1)
id=$("$v" run -- env | sed -n 's/^VRIFT_PROJECT_RUN=.*\///p'); mkdir -p -m 700 "$work/run/p" "$work/run/p/$id"
for mode in silent junk huge close; do
  "$OUT/test/launcher_peer" "$work/run/p/$id/vdir_d.sock" $mode & p=$!; started+=($p)
  for _ in $(seq 250); do [ -S "$work/run/p/$id/vdir_d.sock" ] && break; sleep 0.02; done
  best=99999
  for _ in 1 2 3 4 5; do
    t=$(date +%s%N); "$v" run -- sh -c 'exit 3' 2>/dev/null; is "$mode daemon" $? 3; t=$((($(date +%s%N) - t) / 1000000)); [ $t -lt $best ] && best=$t
  done
  [ $best -lt 90 ] || fail "$mode daemon: $best ms"
  kill -9 $p; wait $p 2>/dev/null; rm -f "$work/run/p/$id/vdir_d.sock"
done

# A daemon that answers: SYNC's number reaches the program with its pid; what was rolled back and what differed is said
"$OUT/test/launcher_peer" "$work/run/p/$id/vdir_d.sock" good & p=$!; started+=($p)
for _ in $(seq 250); do [ -S "$work/run/p/$id/vdir_d.sock" ] && break; sleep 0.02; done
out=$("$v" run -- sh -c 'echo "$VRIFT_SYNC $$"' 2>"$work/err"); is "VRIFT_SYNC" "${out%% *}" "${out##* }:77"
has "rolled back" "$(cat "$work/err")" 'out/a "b".o'
VRIFT_VERIFY=1 "$v" run -- true 2>"$work/err"; is "differences" $? 124
has "differences" "$(cat "$work/err")" "3 answer(s) differed"
has "log named" "$(cat "$work/err")" "$work/tmp/vrift-verify-"
# A command that has the library but no question for it is not warned about
kill -USR1 $p
"$v" run -- sleep 1.2 2>"$work/err"; case $(cat "$work/err") in *"library was used by no"*) fail "a warning for sleep" ;; esac
"$v" run -- env -u LD_PRELOAD sleep 1.2 2>"$work/err"; has "without the library" "$(cat "$work/err")" "library was used by no program"
kill -STOP $p
t=$(date +%s%N); "$v" run -- sh -c 'exit 3'; is "stopped daemon" $? 3; t=$((($(date +%s%N) - t) / 1000000))
[ $t -lt 300 ] || fail "a stopped daemon cost $t ms"
kill -CONT $p; kill -9 $p; wait $p 2>/dev/null

[ $failed = 0 ] && echo "launcher: all as expected"
exit $((failed > 0))
