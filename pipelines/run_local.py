"""Runs the whole pipeline on this machine: photographs in, a tagger pushed for TF Serving out.

    faketagger run                                  # the demo, on drawn faces
    faketagger run --images=DIR                     # on your photographs
    faketagger run --dataset=celeb_a_hq/256 --manual_dir=DIR --preset=paper

Also as `python pipelines/run_local.py`. Exit status: 0 blessed and pushed, 2 not blessed (or wrong usage), 1 failed.
"""

import argparse
import os
import sys

from absl import flags, logging

from faketagger.components.contract import startup
from faketagger.pipelines import flags as pipeline_flags

FLAGS = flags.FLAGS
flags.adopt_module_key_flags(pipeline_flags)
flags.DEFINE_string("workdir", "work", "artifacts, metadata, checkpoints and the pushed models go here")
flags.DEFINE_bool("serve", False, "go on serving the pushed model")
flags.DEFINE_bool("debug", False, "show TFX's log, and where a failure came from")
flags.DEFINE_integer("port", 8500, "where --serve listens")

BLESSED, FAILED, NOT_BLESSED = 0, 1, 2


def main(argv: list[str]) -> None:
    """The command."""
    parser = startup.Parser("faketagger run", __doc__, module=sys.modules[__name__])
    startup.run(run, parser, argv, verbosity=logging.FATAL)


def run(_: argparse.Namespace) -> int:
    """Does what the flags say and returns the exit status."""
    from faketagger.pipelines import local

    if FLAGS.debug:
        startup.show_log_from(logging.INFO)
    workdir = os.path.abspath(FLAGS.workdir)
    try:
        result = local.run(pipeline_flags.configure(), workdir, FLAGS.beam_args)
    except Exception as error:  # The one place where a step's failure becomes an exit status.
        if startup.was_interrupted(_innermost(error)) or startup.was_interrupted(error):
            raise KeyboardInterrupt from error
        logging.info("the pipeline failed", exc_info=True)
        print(f"failed: {_innermost(error)}\n(--debug shows where)", file=sys.stderr)
        return FAILED
    base_path = local.push_base_path(workdir)
    print(local.report(result, base_path), flush=True)  # os.execv flushes nothing.
    if not result.blessed:
        return NOT_BLESSED
    if FLAGS.serve:
        program = ["-m", "faketagger", "serve", f"--model_base_path={base_path}", f"--port={FLAGS.port}"]
        os.execv(sys.executable, [sys.executable, *program])  # In this one's place: the training's memory goes.
    return BLESSED


def _innermost(error: BaseException) -> BaseException:
    while error.__cause__ is not None:
        error = error.__cause__
    return error


if __name__ == "__main__":
    main(sys.argv)
