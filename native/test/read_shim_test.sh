#!/bin/bash
# The reader in a real process: every question natively and from memory, word for word the same; a lie in memory is found by VRIFT_VERIFY; no
# system call for a clean answer; dirty, stalled and superseded memory is not asked.
set -u
out=${OUT:?} shim=${VRIFT_SHIM:-$OUT/libvrift_shim.so}
check=$out/test/programs/read_check tool=$out/test/read_tool
work=$(mktemp -d /tmp/vrift-read.XXXXXX)
tree=$work/p/project run=$work/run
fail=0
say() { echo "$1"; fail=1; }
mkdir -p "$tree"/{src/sub,src/module/part,empty,inner/deep} "$run"; echo f >"$tree/src/module/part/file.c"
chmod 700 "$run"
echo a >"$tree/src/a.c"; echo b >"$tree/src/b.h"; echo deep >"$tree/inner/deep/x"; chmod 755 "$tree/src/b.h"; chmod 600 "$tree/src/a.c"
ln -s src "$tree/to-src"; ln -s nowhere "$tree/dangling"; ln -s loop "$tree/loop"; ln -s ../project/src "$tree/up"
ln -s "$tree/src" "$tree/abs"; ln -s /usr "$tree/outside"; ln -s to-src/a.c "$tree/chain"; ln -s ../src "$tree/inner/link"; ln -s ../../src/./a.c "$tree/inner/deep/link2"
ln -s .. "$tree/inner/up"; ln -s "$tree" "$tree/to-root"; echo h >"$tree/src/hard"; ln "$tree/src/hard" "$tree/src/hard2"; mkfifo "$tree/pipe"
find "$tree" -type f -exec cat {} + >/dev/null; find "$tree" >/dev/null; sleep 0.1
# settle the access times, as the daemon does
"$check" "$tree" >/dev/null

coproc TOOL { exec "$tool" serve "$run" "$tree" "$check"; }
pid=$TOOL_PID
read -r line <&"${TOOL[0]}"
[ "$line" = ready ] || { echo "read_tool did not start"; exit 1; }
tell() { echo "$1" >&"${TOOL[1]}"; read -r answer <&"${TOOL[0]}"; }
under() { env LD_PRELOAD="$shim" VRIFT_ROOT="$tree" VRIFT_PROJECT_RUN="$run" "$@"; }
count() { echo "$answer" | tr ' ' '\n' | sed -n "s/^$1=//p"; }

"$check" "$tree" >"$work/native"
under "$check" "$tree" >"$work/memory" || say "under vrift: exit code $?"
cmp "$work/native" "$work/memory" || { say "answers differ"; diff "$work/native" "$work/memory" | head -20; }
tell stats
for i in 1 2 3 4 5; do [ "$(count $i)" ] || say "no answer of kind $i came from memory: $answer"; done
total=$(count 0) sum=0
for i in $(seq 1 19); do n=$(count "$i"); sum=$((sum + ${n:-0})); done
[ "${total:-0}" = $sum ] || say "counters do not add up: total ${total:-0}, sum $sum"
echo "counters: $answer"

under env VRIFT_VERIFY=1 VRIFT_VERIFY_LOG="$work/log" "$check" "$tree" >"$work/verified" || say "verify: exit code $?"
cmp "$work/native" "$work/verified" || say "answers differ under VRIFT_VERIFY"
tell stats
[ "$(count diffs)" = 0 ] && [ ! -s "$work/log" ] || { say "differences where there are none"; cat "$work/log"; }
[ "$(count 29)" ] || say "nothing was verified: $answer"

# No system call for a clean answer: after the first calls and the first drain, 144,000 questions and hardly a call.
if command -v strace >/dev/null; then
  strace -E LD_PRELOAD="$shim" -E VRIFT_ROOT="$tree" -E VRIFT_PROJECT_RUN="$run" -o "$work/strace" "$check" "$tree" bench 240 >/dev/null 2>&1
  n=$(grep -c "$tree" "$work/strace")
  [ "$n" -gt 20 ] && [ "$n" -lt 1000 ] || say "system calls on paths of the project: $n of 144000"
fi

tell "dirty src/a.c"
under "$check" "$tree" >"$work/dirty"; cmp "$work/native" "$work/dirty" || say "answers differ with a dirty slot"
tell stats; [ "$(count 11)" ] || say "a dirty slot was not noticed: $answer"
tell stall
under "$check" "$tree" >"$work/stalled"; cmp "$work/native" "$work/stalled" || say "answers differ when drains stall"
tell stats; [ "$(count 9)" ] || say "the start of a process was no edge: $answer"
tell go
tell "lie src/b.h"
under env VRIFT_VERIFY=1 VRIFT_VERIFY_LOG="$work/log" "$check" "$tree" >"$work/lied"
cmp "$work/native" "$work/lied" || say "VRIFT_VERIFY passed a lie on"
grep -q 'path=.*/src/b.h field=st_size' "$work/log" 2>/dev/null || say "a lie was not reported: $(head -3 "$work/log" 2>&1)"
tell supersede
under "$check" "$tree" >"$work/superseded"; cmp "$work/native" "$work/superseded" || say "answers differ when superseded"
# No map at all, a foreign map text, VRIFT=0
mv "$run/map" "$run/kept"
under "$check" "$tree" | cmp - "$work/native" || say "answers differ without a map"
for text in x ../../../../etc/passwd.0123456789abcdef 0123456789abcdef.0123456789abcdef; do
  ln -sfn "$text" "$run/map"; under "$check" "$tree" | cmp - "$work/native" || say "answers differ with a wrong map"
done
# Another version's board, as in the middle of an upgrade: looked at seldom, not at every question.
own=$(readlink "$work/run/kept") foreign=$(printf '%016x' $((0x7e57000000000000 + $$)))
cp "/dev/shm/vrift_board_${own#*.}" "/dev/shm/vrift_board_$foreign" && chmod 600 "/dev/shm/vrift_board_$foreign"
printf '\177' | dd of="/dev/shm/vrift_board_$foreign" bs=1 seek=4 conv=notrunc status=none
ln -sfn "${own%.*}.$foreign" "$run/map"
if command -v strace >/dev/null; then
  strace -E LD_PRELOAD="$shim" -E VRIFT_ROOT="$tree" -E VRIFT_PROJECT_RUN="$run" -o "$work/strace" "$check" "$tree" >"$work/foreign" 2>&1
  cmp "$work/native" "$work/foreign" || say "answers differ with a foreign board"
  n=$(grep -c "vrift_board_$foreign" "$work/strace")
  [ "$n" -ge 1 ] && [ "$n" -le 150 ] || say "a board that cannot be used was opened $n times"
fi
rm -f "/dev/shm/vrift_board_$foreign"
under env VRIFT=0 "$check" "$tree" | cmp - "$work/native" || say "answers differ when off"
rm -f "$run/map"; mv "$run/kept" "$run/map"
eval "exec ${TOOL[1]}>&-"
wait "$pid" 2>/dev/null
rm -rf "$work"
[ $fail = 0 ] && echo "reader in a process: all good"
exit $fail
