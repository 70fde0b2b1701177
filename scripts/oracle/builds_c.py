"""C builds: make with gcc, make with clang and lld, cmake with ninja, configure with make, a shell and coreutils mix."""
import os
import shutil

FILES = 36

MAKEFILE = """CC ?= gcc
CFLAGS += -O1 -g -Iinclude -MMD -MP
OBJS := $(patsubst src/%.c,out/%.o,$(wildcard src/mod*.c))
all: out/app out/libmods.so
out:
	mkdir -p out
out/%.o: src/%.c | out
	$(CC) $(CFLAGS) -fPIC -c -o $@ $<
out/libmods.a: $(OBJS)
	rm -f $@
	ar rcs $@ $^
out/libmods.so: $(OBJS)
	$(CC) $(LDFLAGS) -shared -o $@ $^
out/app: src/main.c out/libmods.a
	$(CC) $(CFLAGS) $(LDFLAGS) -o $@ src/main.c out/libmods.a
check: out/app
	./out/app > out/result.txt && cat out/result.txt
clean:
	rm -rf out
-include $(wildcard out/*.d)
"""


def write(path, text):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w") as f:
        f.write(text)


def sources(root):
    for i in range(FILES):
        write("%s/include/mod%d.h" % (root, i), "#pragma once\n#include <stdio.h>\nint mod%d(int x);\n" % i)
        write("%s/src/mod%d.c" % (root, i),
              '#include "mod%d.h"\n#include "mod%d.h"\n#include <string.h>\n#include <stdlib.h>\n'
              "int mod%d(int x) { char b[32]; snprintf(b, sizeof b, \"%%d\", x); return (int)strlen(b) + %d; }\n"
              % (i, (i + 1) % FILES, i, i))
    write(root + "/src/main.c", "".join('#include "mod%d.h"\n' % i for i in range(FILES))
          + "int main(void) { int s = 0;\n" + "".join("  s += mod%d(s);\n" % i for i in range(FILES))
          + '  printf("%d\\n", s); return 0; }\n')


def prepare_make(root, env):
    sources(root)
    write(root + "/Makefile", MAKEFILE)


def prepare_clang(root, env):
    if not shutil.which("clang") or not shutil.which("ld.lld"):
        return "clang and lld are not installed (apt-get install clang lld)"
    prepare_make(root, env)
    with open(root + "/Makefile") as f:
        text = f.read()
    write(root + "/Makefile", "CC = clang\nLDFLAGS = -fuse-ld=lld\n" + text)


def prepare_cmake(root, env):
    if not shutil.which("cmake") or not shutil.which("ninja"):
        return "cmake and ninja are not installed (apt-get install cmake ninja-build)"
    sources(root)
    write(root + "/CMakeLists.txt",
          "cmake_minimum_required(VERSION 3.13)\nproject(oracle C)\ninclude(CheckIncludeFile)\ninclude(CheckFunctionExists)\n"
          "check_include_file(unistd.h HAVE_UNISTD)\ncheck_function_exists(strlcpy HAVE_STRLCPY)\n"
          "file(GLOB MODS src/mod*.c)\nadd_library(mods STATIC ${MODS})\ntarget_include_directories(mods PUBLIC include)\n"
          "add_library(shared SHARED ${MODS})\ntarget_include_directories(shared PUBLIC include)\n"
          "add_executable(app src/main.c)\ntarget_link_libraries(app mods)\n"
          "configure_file(config.in config.txt)\n")
    write(root + "/config.in", "unistd=@HAVE_UNISTD@\n")


def prepare_configure(root, env):
    if not shutil.which("autoconf"):
        return "autoconf is not installed (apt-get install autoconf)"
    checks = "".join("AC_CHECK_FUNCS([%s])\n" % f for f in
                     "strlcpy memmem getline dprintf fmemopen open_memstream asprintf strsep mkostemp pipe2 accept4 epoll_create "
                     "eventfd signalfd timerfd_create inotify_init splice tee vmsplice sendfile copy_file_range".split())
    checks += "".join("AC_CHECK_HEADERS([%s])\n" % h for h in
                      "sys/epoll.h sys/eventfd.h sys/inotify.h sys/event.h sys/sendfile.h malloc.h alloca.h zlib.h nope.h".split())
    write(root + "/configure.ac", "AC_INIT([oracle],[1])\nAC_CONFIG_SRCDIR([src/main.c])\nAC_PROG_CC\n" + checks
          + "AC_CHECK_SIZEOF([long])\nAC_CONFIG_HEADERS([config.h])\nAC_CONFIG_FILES([settings.txt])\nAC_OUTPUT\n")
    write(root + "/config.h.in", "#undef HAVE_STRLCPY\n#undef HAVE_GETLINE\n#undef SIZEOF_LONG\n")
    write(root + "/settings.txt.in", "cc=@CC@\n")
    prepare_make(root, env)


def prepare_shell(root, env):
    sources(root)


SHELL_STEPS = [
    "mkdir -p a/b/c && cp -r src a/b/c/ && mv a/b/c/src a/src2 && ls a a/b",
    "for i in 1 2 3 4 5; do echo line $i; done > a/log; echo more >> a/log; cat a/log | tee a/log2 | wc -l",
    "{ echo one; ls a; echo two; } > a/both 2>&1; exec 5>a/five; echo via five >&5; exec 5>&-; cat a/five a/both",
    "sed -i s/int/long/ a/src2/mod1.c && grep -c long a/src2/mod1.c; sort -o a/log a/log; uniq a/log > a/u; cmp a/log a/u",
    "ln -s log a/link; ln a/log a/hard; readlink a/link; cat a/link a/hard; [ -L a/link ] && [ -f a/hard ] && echo links",
    "tar cf a/t.tar src && mkdir x && tar xf a/t.tar -C x && diff -r src x/src && echo same",
    "gzip -kn a/t.tar && gunzip -c a/t.tar.gz | cmp - a/t.tar && echo gz; find . -name 'mod1*' -not -path './.vrift/*' | sort",
    "touch -d '2020-01-01' a/old; test a/old -ot a/log && echo older; chmod 750 a/b; stat -c '%a %s' a/b a/old a/five",
    "rm -rf x a/b; test -e x || echo gone; mkdir x; touch x/1; mv x y; test -e y/1 && ! test -e x/1 && echo moved; rmdir x 2>&1; rm -r y",
    "umask 077; echo s > a/priv; mkdir a/pd; stat -c %a a/priv a/pd; install -m 755 a/priv a/inst; stat -c %a a/inst",
    "dd if=/dev/zero of=a/z bs=1k count=8 2>/dev/null; truncate -s 100 a/z; stat -c %s a/z; cp --sparse=always a/z a/z2; cmp a/z a/z2 && echo eq",
    "(flock 9; echo locked; : > a/lk.out) 9>a/lk; test -f a/lk.out && echo lk; [ -e nope ] || echo no nope; echo new > nope; [ -e nope ] && cat nope",
]

BUILDS = ["make -j2", "make", "sleep 0.02; touch src/mod3.c; make", "make check", "sleep 0.02; echo '/* */' >> include/mod5.h; make -j2",
          "make", "make clean", "make -j2", "make check"]

ALL = {
    "make-gcc": {"prepare": prepare_make, "steps": BUILDS},
    "make-clang": {"prepare": prepare_clang, "steps": BUILDS},
    "cmake-ninja": {"prepare": prepare_cmake, "ignore": ["b/.ninja_log", "b/CMakeFiles/CMakeOutput.log", "b/CMakeFiles/CMakeError.log"],
                    "steps": ["cmake -G Ninja -B b . > /dev/null", "ninja -C b > /dev/null", "ninja -C b", "sleep 0.02; touch src/mod3.c; ninja -C b | tail -n 1",
                              "ninja -C b", "./b/app", "ninja -C b -t clean > /dev/null; ninja -C b > /dev/null"]},
    "configure": {"prepare": prepare_configure, "ignore": ["autom4te.cache*", "config.log", "out/*.d"],
                  "steps": ["autoconf", "./configure > /dev/null", "make -j2", "make check", "./config.status > /dev/null"]},
    "shell": {"prepare": prepare_shell, "steps": SHELL_STEPS, "codes": (0, 1), "ignore": ["a/t.tar*"]},
}
