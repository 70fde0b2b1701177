#!/bin/bash
# SIGBUS: a program sees, sets and dies of it as without the library; a VDir or a board that somebody cuts off, at any length, does not reach it.
# SEED repeats the lengths, ROUNDS (20) is how many.
set -u
out=${OUT:?} shim=${VRIFT_SHIM:-$OUT/libvrift_shim.so}
check=$out/test/programs/bus_check tool=$out/test/read_tool
work=$(mktemp -d /tmp/vrift-bus.XXXXXX)
tree=$work/project run=$work/run fail=0 seed=${SEED:-$$}
say() { echo "$1"; fail=1; }
mkdir -p "$tree" "$run"; chmod 700 "$run"
for i in 0 1 2 3 4 5; do echo "$i" >"$tree/f$i"; done
find "$tree" -type f -exec cat {} + >/dev/null; find "$tree" >/dev/null
under() { env LD_PRELOAD="$shim" VRIFT_ROOT="$tree" VRIFT_PROJECT_RUN="$run" "$@"; }
serve() {
  coproc TOOL { exec "$tool" serve "$run" "$tree" "$check" 2>/dev/null; }
  pid=$TOOL_PID
  read -r line <&"${TOOL[0]}" || line=
  [ "$line" = ready ] || { echo "read_tool did not start"; exit 1; }
  vdir=/dev/shm/vrift_vdir_$(readlink "$run/map" | cut -c1-16) board=/dev/shm/vrift_board_$(readlink "$run/map" | cut -c18-)
}
over() { kill -9 "$pid" 2>/dev/null; wait "$pid" 2>/dev/null; rm -f "$vdir" "$board" "$run/map"; }
trap 'over; rm -rf "$work"' EXIT
cd "$tree" || exit 1
ulimit -c 0

serve
"$check" self >"$work/native"
under "$check" self >"$work/memory" || say "self: exit code $?"
cmp "$work/native" "$work/memory" || { say "SIGBUS is not what it was"; diff "$work/native" "$work/memory"; }
over

RANDOM=$seed
echo "seed $seed"
asked=0
for round in $(seq "${ROUNDS:-20}"); do
  serve
  kill -STOP "$pid" # it would touch what is gone
  under "$check" loop "$tree" 120 >"$work/loop" 2>&1 &
  client=$!
  sleep 0.03
  case $((round % 3)) in
    0) truncate -s $((RANDOM * 40 % $(stat -c %s "$vdir"))) "$vdir" ;;
    1) truncate -s $((RANDOM * 60 % $(stat -c %s "$board"))) "$board" ;;
    2) truncate -s 0 "$board" "$vdir" ;;
  esac
  wait "$client" || say "round $round: exit code $?: $(cat "$work/loop")"
  n=$(sed -n 's/^asked \([0-9]*\) wrong 0$/\1/p' "$work/loop")
  asked=$((asked + ${n:-0}))
  over
done
[ $asked -gt 0 ] || say "nothing was asked"
echo "$asked questions while files were cut off"
[ $fail = 0 ] && echo "SIGBUS: all equal"
exit $fail
