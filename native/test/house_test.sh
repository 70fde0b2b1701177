#!/bin/bash
# The set-up: ./vrift's first use, the search for a JDK, install beside running builds, uninstall. The trees and programs here are small
# stand-ins for what make builds, so that what is tested is the scripts; they are the ones of the repository.
set -u
root=$(cd "$(dirname "$0")/../.." && pwd)
bad=0
check() { # $1: what must hold; the rest: a command
  local what=$1
  shift
  if "$@" >/dev/null 2>&1; then echo "ok   $what"; else echo "BAD  $what: $*"; bad=1; fi
}
not() { ! "$@"; }

# -- ./vrift: 6 first uses at once build once, and each runs its command
tree=$PWD/tree
mkdir -p "$tree/scripts"
cp "$root/vrift" "$tree/vrift"
cat >"$tree/Makefile" <<'END'
all:
	@echo built >>builds
	@sleep 0.5
	@test ! -e fail || exit 1
	@mkdir -p build/dist/bin && printf '#!/bin/sh\necho "ran $$*"\n' >build/dist/bin/vrift && chmod +x build/dist/bin/vrift && touch build/dist/.complete
END
touch "$tree/fail"
check "a failed build runs the command natively" test "$("$tree/vrift" run -- echo native 2>/dev/null)" = native
check "a failed build keeps the command's exit code" test "$("$tree/vrift" run sh -c 'exit 7' 2>/dev/null; echo $?)" = 7
check "a failed build fails other commands with 125" test "$("$tree/vrift" status 2>/dev/null; echo $?)" = 125
check "and says what to look at" grep -q first-use.log <<<"$("$tree/vrift" status 2>&1)"
check "VRIFT=0 does not build" test "$(rm -f "$tree/builds"; VRIFT=0 "$tree/vrift" run -- echo off; cat "$tree/builds" 2>/dev/null)" = off
rm -f "$tree/fail" "$tree/builds"
for i in 1 2 3 4 5 6; do (cd / && "$tree/vrift" run "$i" >"$tree/out$i" 2>/dev/null) & done
wait
check "parallel first uses build once" test "$(wc -l <"$tree/builds")" = 1
check "each ran" test "$(cat "$tree"/out* | sort | tr '\n' ' ')" = "ran run 1 ran run 2 ran run 3 ran run 4 ran run 5 ran run 6 "
ln -s "$tree/vrift" "$PWD/link"
check "a link to it works" test "$("$PWD/link" a b)" = "ran a b"

# -- find-jdk
fake() { mkdir -p "$1/bin" && touch "$1/bin/javac" && chmod +x "$1/bin/javac" && echo "JAVA_VERSION=\"$2\"" >"$1/release"; }
fake jdk17 17.0.1
fake jdk25 25.0.3
fake jdk26 26
check "JAVA_HOME of 25 is taken" test "$(JAVA_HOME=$PWD/jdk25 "$root/scripts/find-jdk")" = "$PWD/jdk25"
check "JAVA_HOME of 26 is taken" test "$(JAVA_HOME=$PWD/jdk26 "$root/scripts/find-jdk")" = "$PWD/jdk26"
check "JAVA_HOME of 17 is not" not test "$(JAVA_HOME=$PWD/jdk17 "$root/scripts/find-jdk")" = "$PWD/jdk17"
check "a JAVA_HOME that is not there is not" not test "$(JAVA_HOME=$PWD/none "$root/scripts/find-jdk")" = "$PWD/none"

# -- install, while a process uses the old version
dist=$PWD/dist
mkdir -p "$dist/bin" "$dist/lib/vrift"
cp "$(command -v sleep)" "$dist/bin/vrift"
echo one >"$dist/lib/vrift/vrift.jar"
prefix=$PWD/prefix
install() { "$root/scripts/install" "$dist" "$prefix" 0.0.1 2>/dev/null; }
check "install" install
first=$(readlink "$prefix/bin/vrift")
check "the command is the installed one" test -x "$prefix/bin/vrift"
check "installing the same again changes nothing" test "$(install >/dev/null; readlink "$prefix/bin/vrift"; ls "$prefix/lib/vrift" | wc -l)" = "$first
1"
"$prefix/bin/vrift" 60 &
user=$!
sleep 0.2
echo two >"$dist/lib/vrift/vrift.jar"
check "install of another build" install
check "the command switched" not test "$(readlink "$prefix/bin/vrift")" = "$first"
check "the version in use stays" test -x "$prefix/bin/$first"
check "the running process is alive" kill -0 $user
check "uninstall leaves what is used, and says so" not "$root/scripts/uninstall" "$prefix"
check "the version in use still stays" test -x "$prefix/bin/$first"
kill $user
wait $user 2>/dev/null
check "install after that" install
check "removes it" not test -e "$prefix/bin/$first"
check "no half-made directory is left" test -z "$(find "$prefix" -name '.new-*' -o -name '.vrift-*')"
env LD_EXAMPLE="$prefix/lib/vrift/$(ls "$prefix/lib/vrift")/lib/x.so" sleep 60 &
user=$!
sleep 0.2
check "a version named in an environment stays" not "$root/scripts/uninstall" "$prefix"
kill $user
wait $user 2>/dev/null
check "uninstall" "$root/scripts/uninstall" "$prefix"
check "leaves nothing" test -z "$(find "$prefix" -mindepth 2)"

# -- the manual page and the completion know every command that the launcher teaches
commands=$(sed -n 's/^    "  vrift \([a-z]*\)[^a-z].*/\1/p' "$root/native/launcher/main.c" | sort -u)
check "the commands are found" test "$(echo "$commands" | wc -w)" -gt 10
for c in $commands; do
  check "the manual page has $c" grep -q "^\.B $c" "$root/share/man/man1/vrift.1"
  check "the completion has $c" grep -q "[ \"]$c[ \"]" "$root/share/bash-completion/completions/vrift"
done

# -- what every process of a build touches of the library's variables lies in the page that its .data has anyway (shim.h, HOT_BSS)
if [ -n "${OUT:-}" ] && [ -f "$OUT/libvrift_shim.so" ] && command -v nm >/dev/null && ! nm "$OUT/libvrift_shim.so" | grep -q __asan; then
  at() { nm -n "$OUT/libvrift_shim.so" | awk -v n="$1" '$3 == n { print $1; exit }'; }
  hot=$((0x$(at shim) + 264)) data=$((0x$(at _DYNAMIC)))
  check "hot variables in one page with .data: $hot, $data" test $((hot / 4096)) = $((data / 4096))
  warm=$((0x$(at low_words))) last=$((0x$(at cwd) + 128))
  check "warm variables in one page: $warm, $last" test $((warm % 4096)) = 0 -a $((warm / 4096)) = $((last / 4096))
  check "no table of constructors" not grep -q -E '\.(init|fini)_array' <<<"$(readelf -SW "$OUT/libvrift_shim.so")"
  loads=$(readelf -lW "$OUT/libvrift_shim.so" | awk '$1 == "LOAD" { print $3, $6 }')
  read -r start1 size1 start2 _ <<<"$(echo $loads)"
  check "no hole between code and data: $start1 $size1 $start2" test $((start1 + size1)) = $((start2))
fi

# -- one version everywhere
check "VERSION and pom.xml agree" grep -q "<version>$(cat "$root/VERSION")</version>" <(sed -n '/<artifactId>vrift</,/<packaging>/p' "$root/pom.xml")
exit $bad
