# Reads interpose.def, writes into OUT: interpose_gen.h (prototypes, table of reals, alias macros), interpose_gen.c (the table, its
# resolution, the wrappers of the edge families), exports.map (what the library exports), symbols.txt (the same, for the audit).
# awk -v OUT=dir [-v LIBC=libc.so.6] -f gen_interpose.awk interpose.def
BEGIN {
  FS = ";"
  if (LIBC == "") { cmd = "${CC:-cc} -print-file-name=libc.so.6"; cmd | getline LIBC; close(cmd) }
  cmd = "nm -D --defined-only " LIBC
  while ((cmd | getline line) > 0) {
    k = split(line, part, " ")
    name = part[k]; at = index(name, "@")
    if (at) name = substr(name, 1, at - 1)
    libc[name] = 1; known++
  }
  close(cmd)
  H = OUT "/interpose_gen.h"; C = OUT "/interpose_gen.c"; M = OUT "/exports.map"; S = OUT "/symbols.txt"
  printf "/* Generated from interpose.def. Do not edit. */\n#ifndef INTERPOSE_GEN_H\n#define INTERPOSE_GEN_H\n" > H
  n = split("dirent dlfcn errno fcntl fts ftw glob mqueue poll semaphore signal spawn stdarg stdio stdlib sys/epoll sys/msg sys/resource sys/select sys/sem sys/socket sys/stat sys/statfs sys/statvfs sys/time sys/types sys/uio sys/wait time utime wchar unistd", hs, " ")
  for (i = 1; i <= n; i++) printf "#include <%s.h>\n", hs[i] > H
  printf "#include \"shim.h\"\n" > H
  printf "/* Generated from interpose.def. Do not edit. */\n#include <sys/syscall.h>\n#include \"interpose_gen.h\"\n#include \"raw.h\"\n#include \"writer.h\"\nstruct shim_reals real WARM_BSS;\n" > C
  printf "{\n  global:\n" > M
  printf "" > S
}
function trim(s) { sub(/^[ \t]+/, "", s); sub(/[ \t]+$/, "", s); return s }
function sep(type) { return type ~ /\*$/ ? "" : " " }
# The names in an argument list, for the call.
function names(args,   list, k, i, out, a) {
  if (args == "void") return ""
  k = split(args, list, ",")
  for (i = 1; i <= k; i++) { a = list[i]; sub(/.*[ *]/, "", a); out = out (i > 1 ? ", " : "") a }
  return out
}
function exported(name) {
  if (known && !(name in libc)) { printf "/* not in this libc: %s */\n", name > H; return 0 }
  printf "    %s;\n", name > M
  print name > S
  return 1
}
function wrapper(ret, name, args, family, sys,   call, fd) {
  call = names(args)
  printf "%s%shook_%s(%s) {\n", ret, sep(ret), name, args > C
  if (sys != "") printf "  if (!LIBC(%s)) return (%s)shim_raw_early(SYS_%s, %s);\n", name, ret, sys, casts(call) > C
  else printf "  if (!HAVE(%s)) { errno = ENOSYS; return (%s)%s; }\n", name, ret, (ret ~ /\*$/ || ret == "size_t") ? "0" : "-1" > C
  printf "  %s%sresult = (real.%s)(%s);\n", ret, sep(ret), name, call > C
  if (family == "edge_fd") printf "  if (result >= 0 || errno == EINTR) shim_edge_fd(fd);\n" > C
  else if (family == "edge_io") {
    fd = args ~ /FILE \*stream/ ? "stream" : "stdin"
    printf "  shim_edge_fd(%s->_fileno);\n", fd > C
  } else if (family == "edge_ok") printf "  if (result >= 0 || errno == EINTR) shim_edge();\n" > C
  else if (family == "edge_gt") printf "  if (result > 0 || (result < 0 && errno == EINTR)) shim_edge();\n" > C
  else if (family == "edge_zero") printf "  if (result == 0 || result == EINTR) shim_edge();\n" > C
  else if (family == "edge_any") printf "  shim_edge();\n" > C
  else { print "gen_interpose: " FILENAME ":" NR ": unknown family " family > "/dev/stderr"; failed = 1 }
  printf "  return result;\n}\nALIASES_%s\n", name > C
}
function casts(call,   list, k, i, out) {
  k = split(call, list, ", ")
  for (i = 1; i <= 6; i++) out = out (i > 1 ? ", " : "") (i <= k ? "(long)" list[i] : "0")
  return out
}
/^[ \t]*(#|$)/ { next }
NF < 5 { print "gen_interpose: " FILENAME ":" NR ": too few fields: " $0 > "/dev/stderr"; failed = 1; next }
{
  ret = trim($1); name = trim($2); args = trim($3); family = trim($4); aliases = trim($5); sys = NF > 5 ? trim($6) : ""
  if (name in seen) { print "gen_interpose: " FILENAME ":" NR ": twice: " name > "/dev/stderr"; failed = 1; next }
  seen[name] = 1
  exported(name)
  printf "EXPORT %s%shook_%s(%s) __asm__(\"%s\");\n#define ALIASES_%s", ret, sep(ret), name, args, name, name > H
  k = split(aliases, al, " ")
  for (i = 1; i <= k; i++) {
    if (al[i] in seen) { print "gen_interpose: " FILENAME ":" NR ": twice: " al[i] > "/dev/stderr"; failed = 1 }
    seen[al[i]] = 1
    if (exported(al[i])) alias[name] = alias[name] sprintf(" EXPORT %s%shook_%s(%s) __asm__(\"%s\") __attribute__((alias(\"%s\")));", ret, sep(ret), al[i], args, al[i], name)
  }
  printf "%s\n", alias[name] > H
  if (family != "raw") {
    fields = fields sprintf("  %s%s(*%s)(%s);\n", ret, sep(ret), name, args)
  }
  if (family ~ /^edge/) { w++; wret[w] = ret; wname[w] = name; wargs[w] = args; wfam[w] = family; wsys[w] = sys }
}
END {
  printf "/* The functions we stand in front of, as the next library has them. NULL: not asked for yet, or not in this libc. */\nstruct shim_reals {\n%s};\nextern struct shim_reals real HIDDEN;\n", fields > H
  printf "/* next_symbol.c: finds it and stores it; NULL: there is none. Takes no lock and allocates nothing. */\nHIDDEN void *shim_find_real(void **slot, const char *name);\n#define HAVE(name) (__builtin_expect(real.name != NULL, 1) || shim_find_real((void **)&real.name, #name))\n/* For what is a system call in itself: before the constructor the raw call is made. */\n#define LIBC(name) (__builtin_expect(real.name != NULL, 1) || (shim.ready && shim_find_real((void **)&real.name, #name)))\n#endif\n" > H
  for (i = 1; i <= w; i++) wrapper(wret[i], wname[i], wargs[i], wfam[i], wsys[i])
  printf "  local: *;\n};\n" > M
  exit failed
}
