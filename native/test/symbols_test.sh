#!/bin/bash
# The symbol audit: what the library exports is what the tables say, libc has each of these names, and every relative of such a name that
# libc has (64, __x, _chk, _2, _unlocked, _IO_) is interposed as well or stands below with the reason why not.
set -u
out=${OUT:?} shim=${VRIFT_SHIM:-$OUT/libvrift_shim.so} fail=0
exports=$(nm -D --defined-only "$shim" | awk '{sub(/@.*/, "", $3); print $3}' | sort -u)
table=$(sort -u "$out/gen/symbols.txt")
all=$(nm -D --defined-only "$("${CC:-cc}" -print-file-name=libc.so.6)")
libc=$(awk '{sub(/@.*/, "", $3); print $3}' <<<"$all" | sort -u)
public=$(grep -v GLIBC_PRIVATE <<<"$all" | awk '{sub(/@.*/, "", $3); print $3}' | sort -u)
diff <(echo "$table") <(echo "$exports") >/tmp/vrift-sym.$$ || { echo "exports (>) differ from the tables (<):"; cat /tmp/vrift-sym.$$; fail=1; }
rm -f /tmp/vrift-sym.$$
missing=$(comm -23 <(echo "$exports") <(echo "$libc"))
[ -z "$missing" ] || { echo "exported, but not in this libc (a weak reference to it would no longer be null): $missing"; fail=1; }
# Not interposed, because: fdopen and vfork need nothing of us (a descriptor that we know; a child that we recognise by its pid).
allowed=" __vfork vfork "
# another thing under a similar name; an old form with a fourth argument, not linkable any more
allowed+=" _IO_getline _IO_vfscanf "
declare -A is_public is_exported
for name in $public; do is_public[$name]=1; done
for name in $exports; do is_exported[$name]=1; done
for name in $exports; do
  base=${name#__}; base=${base%64}; base=${base%_chk}; base=${base%_2}
  for twin in "$base" "${base}64" "__$base" "__${base}64" "__${base}_chk" "__${base}64_chk" "__${base}_2" "__${base}64_2" "${base}_unlocked" "_IO_$base"; do
    [ "${is_public[$twin]-}" ] || continue
    [ "${is_exported[$twin]-}" ] && continue
    case "$allowed" in *" $twin "*) continue ;; esac
    echo "libc has $twin, a relative of $name, which is not interposed"
    fail=1
  done
done
[ $fail = 0 ] && echo "symbols: $(wc -l <<<"$exports") exported, all of the table, all in libc, no relative forgotten"
exit $fail
