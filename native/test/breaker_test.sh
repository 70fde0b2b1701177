#!/bin/bash
# A hung daemon costs 50 ms once: the next commands do not wait for it, and wait again when it answers again. Daemons that are stopped, or
# have a full backlog, cost nothing. No matter how many commands run, one process at a time asks vriftd. COMMANDS (40) of each are run.
set -u
: "${OUT:?}"
[ -x "$OUT/vrift" ] || { echo "no $OUT/vrift"; exit 77; }
work=$(mktemp -d "${TMPDIR:-/tmp}/vrift-breaker.XXXXXX") failed=0 started=() n=${COMMANDS:-40}
cleanup() {
  for p in "${started[@]}"; do kill -CONT "$p" 2>/dev/null; kill -9 "$p" 2>/dev/null; done
  rm -rf "$work" 2>/dev/null || { sleep 1; rm -rf "$work"; }
}
trap cleanup EXIT
trap 'exit 130' INT TERM
fail() { failed=$((failed + 1)); echo "FAIL: $*"; }
mkdir -p "$work/dist/bin" "$work/dist/lib/vrift" "$work/home" "$work/p" "$work/tmp"
mkdir -m 700 "$work/run"
cp "$OUT/vrift" "$work/dist/bin/vrift"
echo 'int nothing_at_all;' | "${CC:-cc}" -shared -fPIC -x c - -o "$work/dist/lib/vrift/libvrift_shim.so" || exit 77
printf '#!/bin/sh\nsleep 1\n' >"$work/dist/lib/vrift/java"; chmod +x "$work/dist/lib/vrift/java"
export HOME=$work/home VRIFT_RUNTIME_DIR=$work/run XDG_STATE_HOME=$work/state TMPDIR=$work/tmp
unset VRIFT VRIFT_ROOT VRIFT_PROJECT_RUN VRIFT_VERIFY VRIFT_VERIFY_LOG LD_PRELOAD XDG_RUNTIME_DIR
v=$work/dist/bin/vrift
cd "$work/p" || exit 1
id=$("$v" run -- env | sed -n 's/^VRIFT_PROJECT_RUN=.*\///p'); mkdir -p -m 700 "$work/run/p" "$work/run/p/$id"
now_us() { echo $(($(date +%s%N) / 1000)); }
peer() { # SOCKET MODE
  "$OUT/test/launcher_peer" "$1" "$2" & p=$!; started+=($p)
  for _ in $(seq 250); do [ -S "$1" ] && break; sleep 0.02; done
}
# Runs n commands; sets first and rest (the fastest, µs: a wait would be in every one, and the machine is not ours alone).
commands() {
  local times=() t
  for _ in $(seq "$n"); do t=$(now_us); "$v" run -- true || fail "exit code"; times+=($(($(now_us) - t))); done
  first=${times[0]} rest=$(printf '%s\n' "${times[@]:1}" | sort -n | head -n 1)
}
socket=$work/run/p/$id/vdir_d.sock

commands; none=$rest
echo "no daemon: $none us"
peer "$socket" later
commands
echo "hung: first $first us, then $rest us"
[ "$first" -gt 45000 ] || fail "the first did not wait ($first us): what is tested?"
[ "$rest" -lt 40000 ] || fail "a hung daemon costs each command $rest us, without one it is $none"
[ -s "$work/run/p/$id/hung" ] || fail "no note"
kill -USR1 $p
for _ in $(seq 50); do "$v" run -- sleep 0.05; [ -e "$work/run/p/$id/hung" ] || break; done
[ ! -e "$work/run/p/$id/hung" ] || fail "the note stays when the daemon answers"
[ "$("$v" run -- sh -c 'echo "${VRIFT_SYNC#*:}"')" = 77 ] || fail "it is not waited for again"
kill -STOP $p
commands; echo "stopped: first $first us, then $rest us"
[ "$rest" -lt 40000 ] || fail "a stopped daemon costs $rest us"
kill -9 $p; wait $p 2>/dev/null; rm -f "$socket"

peer "$work/run/vriftd.sock" silent
commands; echo "hung vriftd: first $first us, then $rest us"
[ "$rest" -lt 40000 ] || fail "a hung vriftd costs $rest us"
asking=0; for q in /proc/[0-9]*; do [ "$(readlink "$q/exe" 2>/dev/null)" = "$v" ] && asking=$((asking + 1)) && started+=("${q#/proc/}"); done
[ "$asking" -le 1 ] || fail "$asking processes ask a hung vriftd"
kill -9 $p; wait $p 2>/dev/null
[ $failed = 0 ] && echo "breaker: all as expected"
exit $((failed > 0))
