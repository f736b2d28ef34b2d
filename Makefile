# `make run` and `make test` work from a fresh clone with Python 3.11+, pip and make alone.
PYTHON ?= python3
VENV   := .venv
PIP    := $(PYTHON) -m pip --python $(VENV)/bin/python --disable-pip-version-check

# The bill of materials and the licences are those of the wheel in an environment of its own; the tools
# live apart from all that, by their own lock.
SUPPLY  := $(VENV)/supply
SHIPPED := $(VENV)/shipped
LOCKS   := $(wildcard requirements*.txt)
LICENCES := MIT;MIT License;MIT-0;BSD License;3-Clause BSD License;BSD-2-Clause;BSD-3-Clause;Apache-2.0;Apache Software License;PSF-2.0
# An expression stands here as its package writes it. MPL: files of that package, unchanged, need no more.
LICENCES := $(LICENCES);Mozilla Public License 2.0 (MPL 2.0);MIT AND PSF-2.0;Apache-2.0 AND BSD-2-Clause;Apache-2.0 OR BSD-2-Clause
LICENCES := $(LICENCES);Apache-2.0 OR BSD-3-Clause;MPL-2.0 AND (Apache-2.0 OR MIT)

.PHONY: run test check format migrate migration bench bench-memory bench-posting bench-counted bench-popular bench-verify bench-contention bench-hostile bench-growth fuzz torture audit docs supply audit-packages licences sbom wheel lock clean

run: $(VENV)/.runtime
	$(VENV)/bin/economy migrate
	$(VENV)/bin/economy seed
	$(VENV)/bin/economy serve

test: $(VENV)/.dev
	$(VENV)/bin/pytest $(ARGS)

# Format and lint, types, layers, schema and migration drift; last, nothing of it may have changed a file.
check: $(VENV)/.dev
	$(VENV)/bin/ruff format .
	$(VENV)/bin/ruff check --fix .
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports
	$(VENV)/bin/economy export-schema > schema.graphql
	$(VENV)/bin/economy export-settings > docs/CONFIGURATION.md
	$(VENV)/bin/python -m tests.migration_drift
	$(VENV)/bin/python -m tests.schema_changes
	git diff --exit-code

format: $(VENV)/.dev
	$(VENV)/bin/ruff format .
	$(VENV)/bin/ruff check --fix .

migrate: $(VENV)/.runtime
	$(VENV)/bin/economy migrate

# make migration name="gift products": an empty migration behind the newest, to be written by hand.
migration: $(VENV)/.runtime
	$(VENV)/bin/python -c "import sys; from alembic.command import revision; \
		from economy.migrate import alembic_config; \
		revision(alembic_config(), sys.argv[1], rev_id=sys.argv[2])" \
		"$(or $(name),$(error make migration name="what it does"))" "$$(date +%Y_%m_%d_%H%M)"

# Debian's Python may lack ensurepip: the environment is made without pip, and the outer pip fills it.
$(VENV)/bin/python:
	$(PYTHON) -m venv --without-pip $(VENV)

$(VENV)/.runtime: requirements.txt pyproject.toml | $(VENV)/bin/python
	$(PIP) install --quiet --require-hashes -r requirements.txt
	$(PIP) install --quiet --no-deps --no-build-isolation -e .
	touch $@

$(VENV)/.dev: requirements-dev.txt $(VENV)/.runtime
	$(PIP) install --quiet --require-hashes -r requirements-dev.txt
	touch $@

# The service beside pgbench and two peers of Node.js, ratios of one run: 15 minutes, and wrk.
# ARGS="--rounds 1 --seconds 2" for a look, --help for the rest. Downloads npm packages, once.
bench: $(VENV)/.dev
	$(VENV)/bin/python -m bench.suite $(ARGS)

# SQL statements, round trips, bytes and function calls of each operation, against the ceilings in
# bench/counted.json; no clock, half a minute. ARGS=--write makes ceilings of what is counted.
bench-counted: $(VENV)/.dev
	$(VENV)/bin/python -m bench.counted $(ARGS)

# The cost of refreshing the popular products, 10^4 to 2*10^7 journal rows: minutes, and 10 GB of disk.
bench-popular: $(VENV)/.dev
	$(VENV)/bin/python -m bench.popular $(ARGS)

bench-verify: $(VENV)/.dev
	$(VENV)/bin/python -m bench.verify $(ARGS)

# 64 clients that want the same rows, and what they wait; 1.5 minutes.
bench-contention: $(VENV)/.dev
	$(VENV)/bin/python -m bench.contention $(ARGS)

# The memory of the server's processes over ten minutes of load.
bench-memory: $(VENV)/.dev
	$(VENV)/bin/python -m bench.memory $(ARGS)

# How many lanes, and batches of how many: purchases a second without a server in front; 3 minutes.
bench-posting: $(VENV)/.dev
	$(VENV)/bin/python -m bench.posting $(ARGS)

# Latency with up to 10^7 users and 2*10^7 journal rows: long, and 15 GB of disk, of which nothing stays.
# ARGS="--largest 100000" for a look, --save for JSON and a plot.
bench-growth: $(VENV)/.dev
	$(VENV)/bin/python -m bench.growth $(ARGS)

# Suites of others: GraphQL over HTTP, linters of the schema, Schemathesis. Downloads npm packages.
audit: $(VENV)/.dev
	$(VENV)/bin/python -m tests.audit

# Schemathesis for longer than in the tests.
fuzz: $(VENV)/.dev
	TEST_FUZZ_SECONDS=$(or $(seconds),120) $(VENV)/bin/pytest --timeout=1000 tests/test_fuzz.py

# Crashes of every kind under load, then the long model-based run: ROUNDS (50), SEED, EXAMPLES (200).
torture: $(VENV)/.dev
	$(VENV)/bin/python -m tests.torture --rounds $(or $(ROUNDS),50) $(addprefix --seed ,$(SEED)) \
		$(addprefix --examples ,$(EXAMPLES))

# How long hostile GraphQL documents take to be refused.
bench-hostile: $(VENV)/.dev
	$(VENV)/bin/python -m bench.hostile_documents

# What others' packages bring along: known flaws, licences, and the list of them for a release.
supply: audit-packages licences sbom

# Fails on a flaw that OSV knows of anything locked, and where OSV does not answer.
audit-packages: $(SUPPLY)/.installed
	set -e; for lock in $(LOCKS); do echo "$$lock:"; $(SUPPLY)/bin/pip-audit --strict --disable-pip --require-hashes \
		--progress-spinner off --vulnerability-service osv $(ARGS) -r $$lock; done

# Prints the licence of each package that is shipped; fails on one that is not allowed above.
licences: wheel $(SUPPLY)/.installed
	$(SUPPLY)/bin/pip-licenses --with-system --python $(SHIPPED)/bin/python --allow-only "$(LICENCES)"

# dist/ gets the wheel and its bill of materials (CycloneDX).
sbom: wheel $(SUPPLY)/.installed
	$(SUPPLY)/bin/cyclonedx-py environment $(SHIPPED)/bin/python --pyproject pyproject.toml \
		--output-reproducible --output-file dist/$$(basename dist/economy-*-py3-none-any.whl -py3-none-any.whl).cdx.json

wheel: $(VENV)/.dev
	rm -rf dist
	$(VENV)/bin/python -m tests.shipped dist $(SHIPPED)

$(SUPPLY)/.installed: requirements-supply.txt
	$(PYTHON) -m venv --without-pip --clear $(SUPPLY)
	$(PYTHON) -m pip --python $(SUPPLY)/bin/python --disable-pip-version-check install --quiet \
		--require-hashes -r requirements-supply.txt
	touch $@

# The documentation as a site, in site/; a broken link ends it.
docs: .venv-docs/.installed
	NO_MKDOCS_2_WARNING=1 .venv-docs/bin/mkdocs build

.venv-docs/.installed: requirements-docs.txt
	$(PYTHON) -m venv --without-pip .venv-docs
	$(PYTHON) -m pip --python .venv-docs/bin/python --disable-pip-version-check install --quiet \
		--require-hashes -r requirements-docs.txt
	touch $@

# ARGS="--upgrade-package starlette" moves one package, ARGS=--upgrade all.
# Needs `uv`. A lock made without --universal on one Python 3.11 release fails on another.
LOCK := uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header

lock:
	$(LOCK) $(ARGS) pyproject.toml --group build -o requirements.txt
	$(LOCK) $(ARGS) pyproject.toml --group dev -c requirements.txt -o requirements-dev.txt
	$(LOCK) $(ARGS) --group docs -o requirements-docs.txt
	$(LOCK) $(ARGS) --group supply -o requirements-supply.txt

clean:
	rm -rf $(VENV) .venv-docs site dist economy.db economy.db-shm economy.db-wal
