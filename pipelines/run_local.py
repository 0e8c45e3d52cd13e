"""Runs the whole pipeline on this machine: photographs in, a tagger pushed for TF Serving out.

    python pipelines/run_local.py                                  # the demo, on drawn faces
    python pipelines/run_local.py --images=DIR                     # on your photographs
    python pipelines/run_local.py --dataset=celeb_a_hq/256 --manual_dir=DIR --preset=paper

Exit status: 0 blessed and pushed, 2 not blessed, 1 failed.
"""

import os
import sys
import warnings

os.environ.setdefault(
    "TF_CPP_MIN_LOG_LEVEL", "3"
)  # Before TensorFlow is imported; its start-up notes help nobody here.
warnings.simplefilter("ignore")

from absl import app, flags, logging
from ml_metadata import metadata_store
from tfx.orchestration import metadata
from tfx.orchestration.local.local_dag_runner import LocalDagRunner

from faketagger.pipelines import flags as pipeline_flags
from faketagger.pipelines import results
from faketagger.pipelines.config import PipelineConfig
from faketagger.pipelines.pipeline import create_pipeline

FLAGS = flags.FLAGS
flags.adopt_module_key_flags(pipeline_flags)
flags.DEFINE_string("workdir", "work", "artifacts, metadata, checkpoints and the pushed models go here")
flags.DEFINE_bool("serve", False, "go on serving the pushed model")
flags.DEFINE_bool("debug", False, "show TFX's log, and where a failure came from")
flags.DEFINE_integer("port", 8500, "where --serve listens")

BLESSED, FAILED, NOT_BLESSED = 0, 1, 2


def run(config: PipelineConfig, workdir: str) -> results.RunResult:
    """Runs the pipeline with everything below `workdir`; what a step raises comes through."""
    os.makedirs(workdir, exist_ok=True)
    connection = metadata.sqlite_metadata_connection_config(os.path.join(workdir, "metadata.sqlite"))
    pipeline = create_pipeline(config, workdir, push_base_path(workdir), connection, _beam_args())
    LocalDagRunner().run(pipeline)
    result = results.newest_run(metadata_store.MetadataStore(connection), config.name)
    result.restore_pushed()
    return result


def _beam_args() -> list[str]:
    """The user's, behind defaults for one machine."""
    # Beam's default would try to download a runner; without a set-up file TFX packs itself anew at every step.
    set_up = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "setup.py")
    return ["--runner=FnApiRunner", f"--setup_file={set_up}", *FLAGS.beam_args]


def push_base_path(workdir: str) -> str:
    """What TF Serving is given as the model's base path."""
    return os.path.join(workdir, "serving", "faketagger")


def report(result: results.RunResult, base_path: str) -> str:
    """The run's end, for people."""
    lines = ["", result.table.rstrip(), ""]
    lines.append("steps: " + ", ".join(f"{step} ({state})" for step, state in result.steps.items()))
    if set(result.steps.values()) == {"cached"}:
        lines.append("nothing changed since an earlier run: every step was reused from the cache")
    if result.pushed_to:
        lines.append(f"pushed: {result.pushed_to}")
        lines.append(f"serve:  python -m faketagger.serving.server --model_base_path={base_path}")
        lines.append("tag:    faketagger tag in.jpg out.png --uid 12345 --server localhost:8500")
        lines.append("read:   faketagger read out.png --server localhost:8500")
    else:
        lines.append("nothing was pushed")
    return "\n".join(lines)


def main(_) -> int:
    """Runs the pipeline and prints what came of it; the exit status."""
    # Failures are told below, in a sentence.
    logging.set_verbosity(logging.INFO if FLAGS.debug else logging.FATAL)
    workdir = os.path.abspath(FLAGS.workdir)
    try:
        result = run(pipeline_flags.configure(), workdir)
    except Exception as error:  # The one place where a step's failure becomes an exit status.
        logging.info("the pipeline failed", exc_info=True)
        print(f"failed: {_innermost(error)}\n(--debug shows where)", file=sys.stderr)
        return FAILED
    print(report(result, push_base_path(workdir)))
    if not result.blessed:
        return NOT_BLESSED
    if FLAGS.serve:
        program = [
            "-m",
            "faketagger.serving.server",
            f"--model_base_path={push_base_path(workdir)}",
            f"--port={FLAGS.port}",
        ]
        os.execv(sys.executable, [sys.executable, *program])  # In this one's place: the training's memory goes.
    return BLESSED


def _innermost(error: BaseException) -> BaseException:
    while error.__cause__ is not None:
        error = error.__cause__
    return error


if __name__ == "__main__":
    app.run(main)
