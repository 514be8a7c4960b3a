# Two commands do everything: `make run` and `make test`. Both need Python 3.11 or newer and nothing else.
.PHONY: help run test test-all fuzz fuzz-api test-pooled chaos chaos-long mutants drill-failover drill-restart drill-migrate drill-restore drill-slow bench bench-compare bench-server bench-growth bench-size bench-soak bench-instructions flame bench-reading bench-ledger bench-idempotency bench-import bench-import-flat bench-admin bench-login bench-register bench-house upgrade-dump image-proof audit docs lint lock clean install install-dev
.DEFAULT_GOAL := help

VENV := .venv
BIN := $(VENV)/bin
# Of the tests: each process has a PostgreSQL of its own; on DATABASE_URL's server there is one.
PROCESSES := $(if $(DATABASE_URL),,-n 2 --dist worksteal)
YARDSTICK ?= ../shared/bench/idiomatic.sh
# The first interpreter on the path that is new enough; PYTHON=/path/to/python overrides.
PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11 python; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)

help: ## list the commands
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1	/'

run: install ## start the shop on 127.0.0.1:$PORT (8000), on an embedded PostgreSQL unless DATABASE_URL is set
	@exec $(BIN)/python manage.py run

test: install-dev ## run the tests but the long ones; or what ARGS=tests/orders/test_turns.py::test_... names
	@exec $(BIN)/python -m pytest $(or $(ARGS),$(PROCESSES) -m "not long")

test-all: install-dev ## run the long tests too: the long state machine, the kill test, every page in a browser, the clients
	@exec $(BIN)/python -m pytest $(PROCESSES) $(ARGS)

test-pooled: install-dev ## run the tests but the long ones through PgBouncer in transaction mode (needs pgbouncer). ARGS=tests/orders
	@exec $(BIN)/python -m tests.pooled $(ARGS)

fuzz: install-dev ## let the stock state machine run for long, on new examples each time
	@exec $(BIN)/python -m pytest tests/inventory/test_stateful.py --hypothesis-profile=fuzz

fuzz-api: install-dev ## let schemathesis loose on the whole API as each role; EXAMPLES=30 SEED=
	@exec $(BIN)/python -m tests.fuzzing

chaos: install-dev ## the kill test: clients, faults, and whether a promise was broken. SECONDS=60 SEED=
	@exec $(BIN)/python -m tests.chaos --seconds $(or $(SECONDS),60) $(if $(SEED),--seed $(SEED))

chaos-long: install-dev ## the same for HOURS=1
	@exec $(BIN)/python -m tests.chaos --hours $(or $(HOURS),1) $(if $(SEED),--seed $(SEED))

mutants: install-dev ## plant bugs and see the kill test find them. BUGS="name name"
	@exec $(BIN)/python -m tests.chaos.mutation $(BUGS)

drill-failover: install-dev .venv-drills/bin/patroni ## lose the primary of three again and again: how long can nobody write? SECONDS=120 KILLS=3 SEED= ASYNCHRONOUS= (needs etcd, PostgreSQL)
	@exec $(BIN)/python -m tests.drills.failover --seconds $(or $(SECONDS),120) --kills $(or $(KILLS),3) $(if $(SEED),--seed $(SEED)) $(if $(ASYNCHRONOUS),--asynchronous)

# By the system's Python: PostgreSQL's account runs it, which root's own may be hidden from.
.venv-drills/bin/patroni: tests/drills/requirements.txt
	@/usr/bin/python3 -m venv --clear .venv-drills
	@.venv-drills/bin/pip install --quiet --disable-pip-version-check --require-hashes --requirement $<

drill-restart: install-dev ## restart servers and workers all the time: is a request lost? SECONDS=60
	@exec $(BIN)/python -m tests.drills.rolling --seconds $(or $(SECONDS),60)

drill-migrate: install-dev ## change tables that are in use: how long does anybody wait? SECONDS=30
	@exec $(BIN)/python -m tests.drills.migrating --seconds $(or $(SECONDS),30)

drill-restore: install-dev ## lose a shop and bring it back, from a dump and to a point in time
	@exec $(BIN)/python -m tests.drills.restore

drill-slow: install-dev ## hundreds of slow clients: does anybody else wait, behind the proxy and at the bare server? (needs nginx)
	@exec $(BIN)/python -m tests.drills.slow

bench: install-dev ## how fast are checkout and check, beside a bare view and the statements alone? SCALE=1000x1x1000 (needs wrk)
	@exec $(BIN)/python -m benchmarks.speed $(if $(SCALE),--scale $(SCALE))

bench-compare: install-dev ## the same, in turns with an idiomatic service where YARDSTICK is there
	@test -f $(YARDSTICK) || { echo "There is no $(YARDSTICK); name the script by YARDSTICK=." >&2; exit 1; }
	@exec $(BIN)/python -m benchmarks.speed --yardstick $(YARDSTICK) $(if $(SCALE),--scale $(SCALE))

bench-server: install-dev ## how many workers and threads serve best here?
	@exec $(BIN)/python -m benchmarks.server_shape

bench-growth: install-dev ## does it stay as fast with 1,000,000 products in ten warehouses? (10 GB of disk, 20 minutes)
	@exec $(BIN)/python -m benchmarks.growth

bench-size: install-dev ## what does an order take on disk, once it is sold and shipped?
	@exec $(BIN)/python -m benchmarks.order_size

bench-soak: install-dev ## do the workers keep their memory over 100,000 requests?
	@exec $(BIN)/python -m benchmarks.soak

bench-instructions: install-dev ## what does a request cost the processor? the same on a busy machine (needs valgrind)
	@exec $(BIN)/python -m benchmarks.instructions

flame: install-dev ## draw where the time of a checkout goes, as docs/checkout.svg (needs wrk)
	@exec $(BIN)/python -m benchmarks.flame

bench-reading: install-dev ## do explain, as_of and the lists stay fast while the ledger grows?
	@exec $(BIN)/python -m benchmarks.reading_growth

bench-ledger: install-dev ## what do the guards of the ledger cost a checkout?
	@exec $(BIN)/python -m benchmarks.ledger_guards

bench-idempotency: install-dev ## what does an Idempotency-Key cost a checkout?
	@exec $(BIN)/python -m benchmarks.idempotency_cost

bench-import: install-dev ## how fast is an import, beside the bare work, and do sales go on? SKUS=100000
	@exec $(BIN)/python -m benchmarks.import_stock --skus $(or $(SKUS),100000)

bench-import-flat: install-dev ## does a row of an import take as long whatever the size of the file? MODES="set adjust" SIZES="1000 20000"
	@exec $(BIN)/python -m benchmarks.import_sizes $(if $(MODES),--modes $(MODES)) $(if $(SIZES),--sizes $(SIZES))

bench-admin: install-dev ## how long does the database take for the staff's screens?
	@exec $(BIN)/python -m benchmarks.admin

bench-login: install-dev ## does the time of a login tell whether there is such an account?
	@exec $(BIN)/python -m benchmarks.login_timing

bench-register: install-dev ## how long does a check take while 64 clients register?
	@exec $(BIN)/python -m benchmarks.registrations

bench-house: install-dev ## how large is the code, and how many files and calls does a checkout pass through?
	@exec $(BIN)/python -m benchmarks.house

upgrade-dump: install-dev ## keep a filled shop of this version, which later versions must migrate (once for each release)
	@exec $(BIN)/python -m benchmarks.upgrade_dump

image-proof: install-dev ## build the image without an engine, start it read-only, and sell in it. BASE= BUILD="--volume ..." KEEP=folder
	@exec $(BIN)/python -m tests.image $(if $(BASE),--base $(BASE)) $(if $(BUILD),--build "$(BUILD)") $(if $(KEEP),--keep $(KEEP))

audit: install-dev ## known vulnerabilities of what production runs
	@$(BIN)/python -m tests.audit

docs: install-dev ## build the documentation as a site, in site/
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

lint: install-dev ## ruff, mypy, import contracts
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	# The Django plugin reads the settings; nothing connects.
	DATABASE_URL=postgres:///none SECRET_KEY=for-the-type-checker-that-connects-to-nothing $(BIN)/mypy
	$(BIN)/lint-imports

lock: ## renew the pinned requirements (needs uv)
	uv pip compile -q --upgrade --universal --python-version 3.11 --generate-hashes --no-annotate --no-header \
		pyproject.toml -o requirements.txt
	uv pip compile -q --upgrade --universal --python-version 3.11 --generate-hashes --no-annotate --no-header \
		-c requirements.txt --group pyproject.toml:dev pyproject.toml -o requirements-dev.txt
	uv pip compile -q --upgrade --universal --python-version 3.11 --generate-hashes --no-annotate --no-header \
		--group pyproject.toml:drills -o tests/drills/requirements.txt

clean: ## remove the virtual environment and caches; the data folder stays
	rm -rf $(VENV) .venv-drills .venv.lock .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache site

install:
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed; name one: make PYTHON=/path/to/python" >&2; exit 1; }
	@$(PYTHON) -m shop.local.install requirements.txt

install-dev:
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed; name one: make PYTHON=/path/to/python" >&2; exit 1; }
	@$(PYTHON) -m shop.local.install requirements-dev.txt
