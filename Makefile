# Every target installs what it needs. `make help` lists them.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Each has servers of its own, Kafka's and PostgreSQL's among them; half of the time a test waits for one of them.
WORKERS ?= 2
RESOLVE := uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate --no-header
STAMP := $(VENV)/.installed
export MLFLOW_DISABLE_TELEMETRY := true

.PHONY: help install demo test test-faults image-test lint format bench dashboards chart lock clean

help: ## Show this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 16

$(STAMP): requirements-dev.lock pyproject.toml
	$(PYTHON) -m venv $(VENV)
	awk '/^[a-z]/ {keep = /^uv==/} keep' requirements-dev.lock > $(VENV)/uv.lock
	$(BIN)/python -m pip install --quiet --require-hashes -r $(VENV)/uv.lock
# uv takes a quarter of pip's time, but does not know pip's own settings of where packages come from.
	VIRTUAL_ENV=$(VENV) $(BIN)/uv pip install --quiet --require-hashes -r requirements-dev.lock \
		|| $(BIN)/python -m pip install --quiet --require-hashes -r requirements-dev.lock
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation -e .
	touch $(STAMP)

install: $(STAMP) ## Install the locked dependencies and tracewatch into .venv

demo: install ## Run the guide's story on real Kafka, MLflow and Prometheus metrics (Ctrl-C ends it)
	$(BIN)/tracewatch demo

test: install ## Run the tests on real Kafka, MLflow and PostgreSQL
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile $(PYTEST_ARGS)

test-faults: install ## Run the fault tests in full (about half an hour); each prints its figures
	TRACEWATCH_FAULTS=full $(BIN)/python -m pytest tests/faults -s $(PYTEST_ARGS)

image-test: ## Build the image without an engine and try the daemon in it (as root, on Debian)
	.ci/image-test

lint: install ## Check style, types and the architecture
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: install ## Mend what the formatter and the linter can mend
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: install ## Print the benchmarks' ratios
	for each in tests/benchmarks/bench_*.py tests/benchmarks/detection.py; do $(BIN)/python "$$each" || exit 1; done

dashboards: install ## Write the Grafana dashboards anew from deploy/dashboards
	$(BIN)/python -m deploy.dashboards

chart: ## Copy into the Helm chart what it cannot read from outside of itself
	cp deploy/prometheus/health.rules.yml deploy/prometheus/quality.rules.yml deploy/helm/tracewatch/files/
	cp deploy/grafana/dashboards/*.json deploy/helm/tracewatch/files/dashboards/

lock: install ## Resolve the lock files anew
	$(BIN)/$(RESOLVE) --output-file requirements.lock pyproject.toml
	$(BIN)/$(RESOLVE) --extra demo --group dev --constraint requirements.lock --output-file requirements-dev.lock pyproject.toml

clean: ## Remove what the targets made
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis
