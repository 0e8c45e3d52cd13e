"""A run of the whole pipeline on this machine, and its report."""

import os
from collections.abc import Sequence

from ml_metadata import metadata_store
from tfx.orchestration import metadata
from tfx.orchestration.local.local_dag_runner import LocalDagRunner

from faketagger.pipelines import results
from faketagger.pipelines.config import PipelineConfig
from faketagger.pipelines.pipeline import create_pipeline


def run(config: PipelineConfig, workdir: str, beam_args: Sequence[str] = ()) -> results.RunResult:
    """Runs the pipeline with everything below `workdir`; what a step raises comes through.

    Args:
      config: what to do.
      workdir: a directory, made where it is missing.
      beam_args: options for Beam's runner.
    """
    os.makedirs(workdir, exist_ok=True)
    connection = metadata.sqlite_metadata_connection_config(os.path.join(workdir, "metadata.sqlite"))
    pipeline = create_pipeline(config, workdir, push_base_path(workdir), connection, _beam_args(beam_args))
    LocalDagRunner().run(pipeline)
    result = results.newest_run(metadata_store.MetadataStore(connection), config.name)
    result.restore_pushed()
    return result


def _beam_args(given: Sequence[str]) -> list[str]:
    """The user's, behind defaults for one machine."""
    # Beam's default would try to download a runner; without a set-up file TFX packs itself anew at every step.
    set_up = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "setup.py")
    return ["--runner=FnApiRunner", f"--setup_file={set_up}", *given]


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
        lines.append(f"serve:  faketagger serve --model_base_path={base_path}")
        lines.append("tag:    faketagger tag in.jpg out.png --uid 12345 --server localhost:8500")
        lines.append("read:   faketagger read out.png --server localhost:8500")
    else:
        lines.append("nothing was pushed")
    return "\n".join(lines)
