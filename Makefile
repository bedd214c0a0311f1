# make             build (release)
# make test        build and test; installs what is missing first (tools/setup.sh)
# make test-full   the same under both compilers and the sanitizers, with fuzzers
# make demo        from a folder of text to a model that writes, in about five minutes
# make bench       speed against the roof of this machine
# make lint        the laws of the sources      make format   clang-format
# make install     PREFIX=/usr/local DESTDIR=    make clean
PRESET ?= release
PREFIX ?= /usr/local
BUILD  := build/$(PRESET)
JOBS   ?= $(shell nproc 2>/dev/null || echo 2)
TIMEOUT ?= 600

all: build

setup:
	@sh tools/setup.sh

$(BUILD)/build.ninja: | setup
	cmake --preset $(PRESET)

build: $(BUILD)/build.ninja
	cmake --build $(BUILD) -j $(JOBS)

test: build
	ctest --test-dir $(BUILD) -j $(JOBS) --output-on-failure --timeout $(TIMEOUT)

test-full:
	$(MAKE) test
	$(MAKE) test PRESET=clang
	$(MAKE) test PRESET=asan
	$(MAKE) test PRESET=tsan TIMEOUT=3600
	FLEDGE_HOSTILE=20 build/asan/check_hostile
	sh tools/fuzz.sh 60

demo: build
	sh tools/demo.sh $(BUILD)/fledge

bench: build
	$(BUILD)/fledge bench

lint: setup
	python3 tools/lint.py

format:
	git ls-files 'src/*.[ch]' 'tests/*.[ch]' 'bench/*.[ch]' 'examples/*.c' | xargs clang-format -i

install: build
	cmake --install $(BUILD) --prefix $(PREFIX) --strip

clean:
	rm -rf build

.PHONY: all setup build test test-full demo bench lint format install clean
