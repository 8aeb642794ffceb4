# Waystation 驿站. On a machine with Python 3.11 or newer, `make demo` is all there is to do.
#
#   make demo [ONCE=1] [FRESH=1] [KAFKA=host:port]    three organizations on this machine
#   make check                                        style, types, contracts, quick tests
#   make test                                         everything, a real Kafka included (Java, Maven, kcat)
#   make check SUITE=guomi · make test SUITE=guomi    the same with SM3 and SM4
#   make simulate N=1000000                           that many seeded histories
#   make torture N=500                                that many kills of each kind, under load
#   make bench · make fmt · make lock [UPGRADE=--upgrade] · make clean

SHELL = /bin/sh
N ?= 10000
WORKERS ?= 2
SUITE ?= international
OTHER_international = guomi
OTHER_guomi = international
UV = uv==0.13.9

PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
BIN = .venv/bin
RUNTIME = .venv/.runtime
DEV = .venv/.dev
KAFKA_JARS = .tools/kafka/.fetched
STRANGERS = .tools/strangers/.fetched
INSTALL = $(BIN)/python -m pip install --quiet --disable-pip-version-check
QUICK = not live and not slow and not simulation and not torture

DEMO = $(if $(ONCE),--once) $(if $(FRESH),--fresh) $(if $(KAFKA),--kafka $(KAFKA)) $(DEMO_FLAGS)

export WAYSTATION_SUITE = $(SUITE)

.PHONY: demo bootstrap check test lint kafka strangers faketime simulate torture bench fmt lock clean

demo: $(RUNTIME)
	@$(BIN)/waystation demo $(DEMO)

bootstrap: $(DEV)

check: lint
	@$(BIN)/python -m pytest -q -n $(WORKERS) -m "$(QUICK)"

# Without Java or Maven the rest still runs; the live tests then fail the run and say why.
test: lint kafka strangers faketime
	@echo "The quick tests with the other suite ($(OTHER_$(SUITE))) ..."
	@WAYSTATION_SUITE=$(OTHER_$(SUITE)) $(BIN)/python -m pytest -q -n $(WORKERS) -m "$(QUICK)"
	@echo "All tests ($(SUITE)) ..."
	@WAYSTATION_REQUIRE_LIVE=1 $(BIN)/python -m pytest -q -n $(WORKERS) --dist loadgroup

lint: $(DEV)
	@$(BIN)/ruff format --check --quiet .
	@$(BIN)/ruff check --quiet .
	@$(BIN)/mypy --no-error-summary
	@told=$$($(BIN)/lint-imports --no-logo) || { echo "$$told"; exit 1; }

simulate: $(DEV)
	@WAYSTATION_HISTORIES=$(N) $(BIN)/python -m pytest -q -n $(WORKERS) -m simulation

# Processes are killed, disks filled and clocks moved, all of it on this machine's loopback.
torture: $(DEV) kafka faketime
	@WAYSTATION_REQUIRE_LIVE=1 WAYSTATION_KILLS=$(if $(filter file,$(origin N)),500,$(N)) \
		$(BIN)/python -m pytest -q -n $(WORKERS) --dist loadgroup -m torture

bench: $(DEV)
	@$(BIN)/python -m bench $(BENCH_FLAGS)

fmt: $(DEV)
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

# A stamp is as new as what it was made from: a second run installs nothing.
.venv/.made:
	@test -n "$(PYTHON)" || { echo "Waystation needs Python 3.11 or newer as python3."; exit 1; }
	@$(PYTHON) -m venv .venv || { echo "On Debian: apt install python3-venv"; exit 1; }
	@touch $@

$(RUNTIME): .venv/.made requirements.txt pyproject.toml
	@echo "Installing into .venv, every file checked against requirements.txt ..."
	@$(INSTALL) --require-hashes -r requirements.txt
	@$(INSTALL) --no-deps --no-build-isolation --editable .
	@touch $@

$(DEV): $(RUNTIME) requirements-dev.txt
	@$(INSTALL) --require-hashes -r requirements-dev.txt
	@touch $@

kafka: $(KAFKA_JARS)

$(KAFKA_JARS): tests/support/kafka/pom.xml
	@if ! command -v java >/dev/null; then echo "Java is missing: no Kafka for the live tests."; \
	elif ! command -v mvn >/dev/null; then echo "Maven is missing: no jars for the live tests."; \
	else echo "Fetching the jars of Kafka ..." && rm -rf .tools/kafka/libs \
		&& mvn --batch-mode --quiet -Dstyle.color=never -f $< package && touch $@; fi

# Moves the clock of one process; from Debian where we may.
faketime:
	@ls /usr/lib/*/faketime/libfaketime.so.1 >/dev/null 2>&1 \
	|| if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; \
	then echo "Installing faketime (apt-get) ..." && apt-get update -qq && apt-get install -y -qq faketime >/dev/null; \
	else echo "libfaketime is missing: the test of clocks will be left out (on Debian: apt install faketime)."; fi

# Clients of others that read our topics: npm's from the lock, kcat from Debian where we may.
strangers: $(STRANGERS)
	@command -v kcat >/dev/null || if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; \
	then echo "Installing kcat (apt-get) ..." && apt-get update -qq && apt-get install -y -qq kcat >/dev/null; \
	else echo "kcat is missing: one live test will be left out (on Debian: apt install kcat)."; fi

$(STRANGERS): tests/support/strangers/package-lock.json $(DEV)
	@echo "Fetching the packages of other clients ..."
	@rm -rf .tools/strangers && mkdir -p .tools/strangers
	@cp $(dir $<)package.json $< .tools/strangers/
	@cd .tools/strangers && PATH="$(CURDIR)/$(BIN):$$PATH" npm ci --ignore-scripts --no-audit --no-fund --silent \
		--fetch-retries=1 --fetch-timeout=60000
	@touch $@

# Names no index and no path: whoever runs it may have his own.
COMPILE = .tools/uv/bin/uv pip compile --no-config --system-certs --quiet $(UPGRADE) --universal \
	--python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links \
	--custom-compile-command "make lock"

lock: .venv/.made
	@$(PYTHON) -m venv .tools/uv && .tools/uv/bin/pip install --quiet --disable-pip-version-check $(UV)
	@$(COMPILE) pyproject.toml requirements.in -o requirements.txt
	@$(COMPILE) --extra dev -c requirements.txt pyproject.toml requirements.in -o requirements-dev.txt

# .waystation holds the demo's data: only FRESH=1 removes it.
clean:
	@rm -rf .venv .tools build dist *.egg-info .ruff_cache .mypy_cache .import_linter_cache .hypothesis
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
