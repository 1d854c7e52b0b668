# netpolc: every command a developer needs; `make` lists them.
#
# The virtual environment is made with Debian's own Python and sees Debian's packages, because the binding of
# libnftables (python3-nftables) comes from there and not from PyPI.

PYTHON ?= /usr/bin/python3
VENV := .venv
BIN := $(VENV)/bin
APT := python3-venv python3-dev python3-nftables nftables gcc g++ libc6-dev iproute2 util-linux mount libyaml-dev

.PHONY: help demo agent-demo audit-demo test-engines test test-trixie test-clients fuzz lint bench setup deb asan clean

help:  ## list the commands
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 13

setup: $(VENV)/ready  ## install what is needed (apt as root, then .venv)

$(VENV)/ready: pyproject.toml setup.py $(wildcard ext/*.pyx ext/*.pxd ext/*.pxi ext/*.h)
	@missing=$$(dpkg-query -W -f '$${Package} $${Status}\n' $(APT) 2>/dev/null | awk '/ok installed/{print $$1}'); \
	for p in $(APT); do echo "$$missing" | grep -qx "$$p" || need="$$need $$p"; done; \
	if [ -n "$$need" ]; then \
		if [ "$$(id -u)" = 0 ]; then apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq $$need; \
		else echo "not root: going on without$$need"; fi; \
	fi
	$(PYTHON) -m venv --system-site-packages $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@

demo: setup  ## compile the three-tier example, enforce it in a private kernel namespace, send packets
	@$(BIN)/python -m examples.demo

agent-demo: setup  ## two nodes with agents, a policy by kubectl, real packets (as root: installs openssl, kubernetes-client)
	@command -v openssl >/dev/null || need="openssl"; \
	command -v kubectl >/dev/null || need="$$need kubernetes-client"; \
	if [ -n "$$need" ] && [ "$$(id -u)" = 0 ]; then apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq $$need; fi
	@$(BIN)/python -m examples.agent_demo

audit-demo: setup  ## write a million records of the three-tier example, audit them, recommend policies
	@$(BIN)/python -m examples.audit_demo

test: setup  ## run all tests (as root: those that need the kernel too)
	$(BIN)/python -m pytest

test-trixie:  ## run all tests on Debian 13, in a root folder of its own (as root; the first time makes it)
	.ci/trixie $(TESTS)

test-clients: setup  ## objects of the Python clients of Kubernetes, columns of data frames (installed below build/clients)
	@test build/clients/ready -nt tests/clients/requirements.txt || { rm -rf build/clients; \
		$(BIN)/python -m pip install --quiet --disable-pip-version-check --target build/clients \
			-r tests/clients/requirements.txt && touch build/clients/ready; }
	PYTEST_DISABLE_PLUGIN_AUTOLOAD=1 PYTHONPATH=build/clients $(BIN)/python -m pytest -o addopts= \
		-o filterwarnings=default tests/clients/objects.py

test-engines: setup  ## verdicts on DuckDB, polars, Dask and Spark (Spark needs Java); installs them into .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check '.[engines]'
	$(BIN)/python -m pytest tests/flows/test_engines.py

deb:  ## build dist/netpolc_*.deb for the Debian of this machine (python3-venv python3-dev gcc libc6-dev libyaml-dev dpkg-dev)
	distribution/deb

fuzz: setup  ## damaged input for every reader until stopped, or for SECONDS=60
	$(BIN)/python -m tests.fuzz $(if $(SECONDS),--seconds $(SECONDS))

lint: setup  ## ruff, mypy --strict, stubtest, cython-lint
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/stubtest --mypy-config-file pyproject.toml netpolc.backends.matcher._core netpolc.frontends.cluster._pods netpolc.manifests._json netpolc.backends.nft.netlink._netlink
	PATH="$(CURDIR)/$(BIN):$$PATH" cython-lint ext  # it starts pycodestyle by name

bench: setup  ## print most tables of BENCHMARKS.md
	$(BIN)/python -m benches.measure
	$(BIN)/python -m benches.loading
	$(BIN)/python -m benches.building
	$(BIN)/python -m benches.listing
	$(BIN)/python -m benches.sync
	$(BIN)/python -m benches.live
	$(BIN)/python -m benches.matcher
	$(BIN)/python -m benches.dataplane
	$(BIN)/python -m benches.dataplane --parts
	$(BIN)/python -m benches.dataplane --tiers
	$(BIN)/python -m benches.ordered

asan: setup  ## run the tests of the extensions under AddressSanitizer
	rm -rf build/asan && mkdir -p build/asan
	cp -r netpolc tests examples benches ext setup.py pyproject.toml README.md LICENSE NOTICE build/asan
	find build/asan -name '*.so' -delete
	cd build/asan && CFLAGS="-fsanitize=address -fno-omit-frame-pointer -O1 -g" \
		$(CURDIR)/$(BIN)/python setup.py -q build_ext --inplace
	cd build/asan && ASAN_OPTIONS=detect_leaks=0 PYTHONMALLOC=malloc ARROW_DEFAULT_MEMORY_POOL=system \
		LD_PRELOAD="$$($${CC:-gcc} -print-file-name=libasan.so)" \
		$(CURDIR)/$(BIN)/python -m pytest -q -p no:cacheprovider tests/backends/matcher tests/manifests tests/flows/test_scanners.py tests/flows/test_distinct.py tests/flows/test_judged_rows.py tests/backends/nft/netlink/test_single_keys.py

clean:  ## remove everything that was built
	rm -rf $(VENV) build *.egg-info
	find netpolc -name '*.so' -delete
