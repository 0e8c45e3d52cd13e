# make run: the main job, the demo pipeline. make test: the tests. Each sets up .venv first (once).
RUN_ARGS ?=
export PYTHON

.PHONY: run test setup
run: setup
	.venv/bin/python pipelines/run_local.py $(RUN_ARGS)

test: setup
	.venv/bin/python -m pytest $(TEST_ARGS)

setup:
	@bash .ci/setup
