# Everything a person runs on a checkout. Each target makes what it needs: a fresh Debian 12 machine with git, make,
# Python 3.11 and a way to become root is enough, and a second run finds its stamps and starts at once. Packages come
# from wherever pip is configured to look.
#
#   make demo    the whole story on this machine, without devices or privileges
#   make test    linters, type checker and every test that this machine can run; PYTEST="-k name" for some of them.
#                The first run puts a QEMU guest together in ~/.cache/cmakeys-guest, for the tests that need one
#   make lint    only the linters and the type checker
#   make bench   the speed and memory ratios; PEER=DIR adds those beside DMTF's programs in DIR
#   make clean   remove the environment and every cache

PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
VENV := .venv
RUN := $(VENV)/bin/python
PIP := $(RUN) -m pip --disable-pip-version-check install --quiet
PYTEST ?= -n auto --dist loadgroup
BECOME := if [ "$$(id -u)" = 0 ]; then become=; elif command -v sudo >/dev/null; then become=sudo; else become=no; fi

.PHONY: demo test lint bench clean
.DELETE_ON_ERROR:

demo: $(VENV)/.runtime
	@$(RUN) -m cmakeys.cli.demo

test: $(VENV)/.test
	@$(RUN) -m tests.guest.prepare
	$(RUN) -m pytest $(PYTEST)

lint: $(VENV)/.test
	$(RUN) -m ruff check
	$(RUN) -m ruff format --check
	$(RUN) -m mypy

bench: $(VENV)/.test
	$(RUN) -m tests.bench $(if $(PEER),--peer $(PEER))

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage dist build
	find cmakeys tests -name __pycache__ -type d -exec rm -rf {} +

# What the operating system must provide: venv with pip, and the keyutils library. The first check that fails leads to
# one apt-get run for both; where that is impossible, the message says what to install by hand.
$(VENV)/.python:
	@test -n "$(PYTHON)" || { echo "cmakeys needs Python 3.11 or newer: install it, or name it with make PYTHON=..." >&2; exit 1; }
	@$(PYTHON) -c 'import ctypes, ensurepip, venv; ctypes.CDLL("libkeyutils.so.1")' 2>/dev/null || { \
		$(BECOME); \
		if [ "$$become" = no ] || ! command -v apt-get >/dev/null; then \
			echo "please install the packages python3-venv and libkeyutils1 (elsewhere: keyutils-libs), then run make again" >&2; exit 1; \
		fi; \
		echo "installing python3-venv and libkeyutils1"; \
		$$become apt-get update -qq && $$become env DEBIAN_FRONTEND=noninteractive \
			apt-get install -qq -y --no-install-recommends python3-venv libkeyutils1 >/dev/null; }
	@$(RUN) -c 'import pip, sys; sys.exit(sys.prefix == sys.base_prefix)' 2>/dev/null || $(PYTHON) -m venv --clear $(VENV)
	@touch $@

$(VENV)/.runtime: pyproject.toml | $(VENV)/.python
	$(PIP) --editable .
	@touch $@

# What only tests need of the operating system is taken where it can be had: the linters of manual pages and of shell
# scripts, shells, what reads and writes archives, and what makes unified kernel images. Without it, the tests that need
# it say so. A tool that is not named like its package stands before it.
TOOLS := mandoc shellcheck cpio dash bzip2 lz4 zstd xz:xz-utils keyctl:keyutils busybox:busybox-static zsh fish chromium \
	objcopy:binutils /usr/lib/systemd/boot/efi/linuxx64.efi.stub:systemd-boot-efi

# And what builds and tries the Debian package, and measures the sandbox of its unit; Debian has no others.
PACKAGES := build-essential debhelper dh-python lintian mmdebstrap python3 python3-venv systemd

# promtool, which reads what we write for Prometheus, comes with a server that would start at once where it is installed:
# only the program is taken out of the package, and stays in the environment.
PROMTOOL := $(VENV)/bin/promtool
UNPACK_PROMTOOL = command -v apt-get >/dev/null && echo "unpacking promtool" && folder=$$(mktemp -d) && \
	trap 'rm -rf "$$folder"' EXIT && chmod 755 "$$folder" && \
	(cd "$$folder" && apt-get download -qq prometheus >/dev/null 2>&1) && \
	dpkg-deb --fsys-tarfile "$$folder"/prometheus_*.deb | tar -xOf - ./usr/bin/promtool >$(PROMTOOL).new && \
	chmod 755 $(PROMTOOL).new && mv $(PROMTOOL).new $(PROMTOOL)

$(VENV)/.test: pyproject.toml | $(VENV)/.python
	@missing=; for tool in $(TOOLS); do command -v $${tool%:*} >/dev/null || missing="$$missing $${tool#*:}"; done; \
		if command -v dpkg-query >/dev/null; then \
			for package in $(PACKAGES); do dpkg-query --show $$package >/dev/null 2>&1 || missing="$$missing $$package"; done; \
		fi; \
		if [ -n "$$missing" ]; then \
			$(BECOME); \
			if [ "$$become" != no ] && command -v apt-get >/dev/null; then \
				echo "installing$$missing"; \
				$$become apt-get update -qq && $$become env DEBIAN_FRONTEND=noninteractive \
					apt-get install -qq -y --no-install-recommends $$missing >/dev/null; \
			else \
				echo "tests that need them will not run:$$missing" >&2; \
			fi; \
		fi
	@test -x $(PROMTOOL) || command -v promtool >/dev/null || { $(UNPACK_PROMTOOL); } || \
		echo "tests that need it will not run: promtool" >&2
	$(PIP) --editable '.[test]'
	@touch $@ $(VENV)/.runtime
