# vrift. `make` builds build/dist, `make test` proves it. What is missing on this machine is installed where that is one package, else named.
#   make              build/dist: bin/vrift and lib/vrift/{vrift.jar,libvrift_shim.so,libvrift_jni.so,vrift.jsa,java}
#   make test         everything, tested: Java, C and integration tests, closing with "N passed, N failed"
#   make layout       regenerates native/include/vrift_layout.h from dev.vrift.layout
#   make bench        measures; table and JSON under bench/results
#   make install [PREFIX=/usr/local]    this version beside the installed ones     make uninstall [PREFIX=…]
#   make clean        removes build/ and target/
SHELL := /bin/sh
.SUFFIXES:
PREFIX ?= /usr/local
DESTDIR ?=
VERSION := $(shell cat VERSION)
DIST := build/dist
JAVA_SOURCES := $(shell find src/main -type f 2>/dev/null) pom.xml

.PHONY: all dist native test unit-test native-test layout bench install uninstall clean
all: dist

# The set-up is looked at once per tree: build/setup.mk holds what it found.
build/setup.mk: scripts/setup scripts/find-jdk
	@mkdir -p build
	@scripts/setup >$@.tmp && mv $@.tmp $@
ifeq ($(filter clean,$(MAKECMDGOALS)),)
include build/setup.mk
endif
export JAVA_HOME
# Maven's own libraries make a JDK 25 warn about things that are not ours.
export MAVEN_OPTS := $(MAVEN_OPTS) --sun-misc-unsafe-memory-access=allow --enable-native-access=ALL-UNNAMED -Dstyle.color=never

native:
	@$(MAKE) --no-print-directory -C native OUT=$(CURDIR)/build/native JDK=$(JAVA_HOME)

target/vrift.jar: $(JAVA_SOURCES)
	$(MVN) -B -ntp -q -Dmaven.test.skip=true package
	@touch $@

dist: native target/vrift.jar
	@scripts/assemble-dist build/native target $(DIST) $(VERSION)

test: dist
	@scripts/run-tests

unit-test:
	$(MVN) -B -ntp test

native-test: dist
	@$(MAKE) --no-print-directory -C native OUT=$(CURDIR)/build/native JDK=$(JAVA_HOME) test

layout:
	@mkdir -p build/layout
	@$(JAVA_HOME)/bin/javac -d build/layout src/main/java/dev/vrift/layout/*.java
	@$(JAVA_HOME)/bin/java -cp build/layout dev.vrift.layout.HeaderGenerator native/include/vrift_layout.h

bench: dist
	bench/run

install: dist
	@scripts/install $(DIST) "$(DESTDIR)$(PREFIX)" $(VERSION)

uninstall:
	@scripts/uninstall "$(DESTDIR)$(PREFIX)"

clean:
	rm -rf build target
