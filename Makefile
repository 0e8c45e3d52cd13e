# make run: the main job, the demo pipeline. make test: the tests; make test-fast: those of seconds; make lint: style and types.
# Each sets up .venv first (once).
RUN_ARGS ?=
export PYTHON
# Two files of tests at a time, each on a core of its own, as TensorFlow's threads would wait for each other; in the order of
# their names, so that the longest does not come last, alone.
PYTEST = TF_NUM_INTRAOP_THREADS=1 TF_NUM_INTEROP_THREADS=1 .venv/bin/python -m pytest -n 2 --dist=loadfile --no-loadscope-reorder

.PHONY: run test test-fast lint setup
run: setup
	.venv/bin/python pipelines/run_local.py $(RUN_ARGS)

test: setup
	$(PYTEST) $(TEST_ARGS)

test-fast: setup
	$(PYTEST) -m "not slow" $(TEST_ARGS)

# mypy finds the package only below a folder that calls it by its name, whatever the checkout is called.
lint: setup
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	@mkdir -p build && ln -sfn .. build/faketagger
	.venv/bin/python -m mypy

setup:
	@bash .ci/setup
