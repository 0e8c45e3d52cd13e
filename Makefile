# make run: the main job, the demo pipeline. make test: the tests; make test-fast: those of seconds; make lint: style and types.
# Each sets up .venv first (once).
RUN_ARGS ?=
export PYTHON

.PHONY: run test test-fast lint setup
run: setup
	.venv/bin/python pipelines/run_local.py $(RUN_ARGS)

test: setup
	.venv/bin/python -m pytest $(TEST_ARGS)

test-fast: setup
	.venv/bin/python -m pytest -m "not slow" $(TEST_ARGS)

# mypy finds the package only below a folder that calls it by its name, whatever the checkout is called.
lint: setup
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	@mkdir -p build && ln -sfn .. build/faketagger
	.venv/bin/python -m mypy

setup:
	@bash .ci/setup
