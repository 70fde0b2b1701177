#!/bin/bash
# The writer's side of the library. Programs of each family run natively and preloaded in two fresh directories; what they print and
# the trees they leave must be equal, and no record may be left. Then writer_check looks at the board after every call.
set -u
: "${OUT:?}" "${VRIFT_SHIM:?}"
[ -f "$VRIFT_SHIM" ] || { echo "no $VRIFT_SHIM"; exit 77; }
tool=$OUT/test/board_tool programs=$OUT/test/programs failed=0 work=$(mktemp -d /tmp/vrift-writer.XXXXXX)
cleanup() {
  for run in "$work"/*/run; do [ -L "$run/map" ] && "$tool" remove "$run"; done
  chmod -R u+rwX "$work"; rm -rf "$work"
}
trap cleanup EXIT
trap 'exit 130' INT TERM
fail() { failed=$((failed + 1)); echo "FAIL: $*"; }

# setup NAME [no_stage]: $work/NAME/{root,run,outside}
setup() {
  mkdir -p "$work/$1/root/.vrift" "$work/$1/outside" && mkdir -m 700 "$work/$1/run" && "$tool" create "$work/$1/run" "$work/$1/root" ${2:-}
}
# inside NAME COMMAND...: in that project, preloaded
inside() {
  local name=$1; shift
  # VRIFT_SYNC as from the launcher: nothing from outside is unknown, so that G is named only where the call itself asks for it.
  (cd "$work/$name/root" && export VRIFT_ROOT="$work/$name/root" VRIFT_PROJECT_RUN="$work/$name/run" WRITER_OUTSIDE="$work/$name/outside" &&
    SHIM=$VRIFT_SHIM exec bash -c 'export VRIFT_SYNC=$$:5 LD_PRELOAD=$SHIM; exec "$@"' bash "$@")
}
tree() { (cd "$1" && find . -path ./.vrift -prune -o -printf '%p %y %m %U %n %l\n' -type f -exec cksum {} + | sort); }

for program in "$programs"/writer_*; do
  name=$(basename "$program")
  case $name in *.d | writer_check) continue ;; esac
  for mode in '' no_stage; do
    rm -rf "$work/native"; mkdir -p "$work/native/root/.vrift" "$work/native/outside"
    (cd "$work/native/root" && WRITER_OUTSIDE=$work/native/outside "$program") >"$work/native.out" 2>&1; native=$?
    setup "$name$mode" $mode
    inside "$name$mode" "$program" >"$work/shim.out" 2>&1; code=$?
    [ $native = $code ] || fail "$name $mode: exit code $native natively, $code under the library"
    diff "$work/native.out" "$work/shim.out" || fail "$name $mode: other output (< native)"
    diff <(tree "$work/native/root") <(tree "$work/$name$mode/root") || fail "$name $mode: other tree (< native)"
    diff <(tree "$work/native/outside") <(tree "$work/$name$mode/outside") || fail "$name $mode: other tree outside"
    records=$("$tool" records "$work/$name$mode/run")
    case $records in "OP 0 HELD 0 BLIND "*" ESCAPED "*" STAGED 0 CLAIMED 0 overflow 0 dead "*) ;; *) fail "$name $mode: records left: $records" ;; esac
    case $mode$records in no_stage*"staged 0") ;; no_stage* | *"staged 0") fail "$name ${mode:-staging}: $records" ;; esac
    echo "$name ${mode:-staging}: exit $code, $(wc -l <"$work/shim.out") lines; $records"
    "$tool" remove "$work/$name$mode/run"
  done
done

setup check no_stage
printf 'int main(void) { return 0; }\n' >"$work/static.c"
static=; ${CC:-cc} -static -o "$work/static" "$work/static.c" 2>/dev/null && static=$work/static
asan=; gcc -fsanitize=address -o "$work/asan" "$work/static.c" 2>/dev/null && asan=$work/asan
inside check "$programs/writer_check" "$static" "$asan" || fail "writer_check: exit code $?"

# The shell's way of writing: open, dup2, close, write, and the last reference dies in dup2.
setup shell
inside shell /bin/sh -c 'echo one >a; { echo two; echo three; } >b 2>&1; exec 5>c; echo four >&5; exec 5>&-; cat a b c >d; mv d e; rm a'
[ "$(cat "$work/shell/root/"{b,c,e} | tr '\n' ' ')" = "two three four one two three four " ] || fail "shell redirections"
case $("$tool" records "$work/shell/run") in "OP 0 HELD 0 BLIND 0 "*) ;; *) fail "shell: $("$tool" records "$work/shell/run")" ;; esac
# A program that is about to run as another user, or in another root, cannot open our file in the owner's directory: its loader would say so
if [ "$(id -u)" = 0 ] && command -v setpriv >/dev/null; then
  setup other no_stage
  mkdir -m 700 "$work/private"; cp "$VRIFT_SHIM" "$work/private/libvrift_shim.so"; chmod 500 "$work/private/libvrift_shim.so"
  for how in "setpriv --reuid 65534 --regid 65534 --clear-groups" "chroot --userspec=65534:65534 /" "setpriv --reuid 65534 --regid 65534 --clear-groups /bin/sh -c"; do
    word="echo \$(id -u) \$LD_PRELOAD"; case $how in *-c) ;; *) how="$how sh -c" ;; esac
    # shellcheck disable=SC2086
    out=$(VRIFT_SHIM=$work/private/libvrift_shim.so inside other $how "$word" 2>&1); [ "$out" = 65534 ] || fail "$how: $out"
  done
  out=$(VRIFT_SHIM=$work/private/libvrift_shim.so inside other sh -c 'sh -c "echo \$LD_PRELOAD"'); [ "$out" = "$work/private/libvrift_shim.so" ] || fail "the same user: $out"
  "$tool" remove "$work/other/run"
fi
[ $failed = 0 ] && echo "writer: all equal"
exit $failed
