"""The pipeline: example_gen ▸ simulator ▸ tagger ▸ evaluator ▸ pusher. Runners differ, this does not."""

import os

from tfx import types
from tfx.dsl.components.common import resolver
from tfx.dsl.input_resolution.strategies import latest_blessed_model_strategy
from tfx.orchestration import pipeline as tfx_pipeline
from tfx.types import standard_artifacts

from faketagger.components.evaluator.component import TagEvaluator
from faketagger.components.example_gen.component import FaceExampleGen
from faketagger.components.newest.component import NewestPushed
from faketagger.components.pusher.component import make_pusher
from faketagger.components.simulator.component import SimulatorStep
from faketagger.components.tagger.component import TaggerStep
from faketagger.pipelines.config import PipelineConfig

NEWEST_BLESSED = "NewestBlessed"  # The step that looks up which tagger was blessed last.
NEWEST_PUSHED = "NewestPushed"  # The step that does so where no resolver runs.


def create_pipeline(
    config: PipelineConfig,
    root: str,
    push_to: str,
    metadata_connection_config=None,
    beam_args: list[str] | None = None,
    has_resolvers: bool = True,
    training_job: str | None = None,
) -> tfx_pipeline.Pipeline:
    """Wires the steps.

    Args:
      config: what to do.
      root: a directory or bucket for artifacts, prepared data and checkpoints.
      push_to: TF Serving's base path.
      metadata_connection_config: of the metadata store, for runners that need one.
      beam_args: pipeline options for Beam's runners, as on its command line.
      has_resolvers: whether the runner can look up the newest blessed tagger, which the new one is held against;
        else a step of ours looks into `push_to`.
      training_job: as TaggerStep's `vertex_job`.
    """
    examples = FaceExampleGen(
        dataset=config.dataset,
        images=config.images,
        manual_dir=config.manual_dir,
        data_dir=os.path.join(root, "tfds"),
        image_size=config.tagger.image_size,
        eval_percent=config.eval_percent,
        max_rejected=config.max_rejected,
        limit=config.limit,
        align=config.align,
    )
    checkpoints = os.path.join(root, "checkpoints")
    simulators = SimulatorStep(
        examples=examples.outputs["examples"],
        config=config.simulator,
        checkpoints=checkpoints,
        foreign=config.foreign_simulators,
    )
    tagger = TaggerStep(
        examples=examples.outputs["examples"],
        simulators=simulators.outputs["simulators"],
        config=config.tagger,
        checkpoints=checkpoints,
        vertex_job=training_job,
    )
    newest = _newest_blessed() if has_resolvers else NewestPushed(tagger.outputs["model"], push_to)
    evaluator = TagEvaluator(
        examples=examples.outputs["examples"],
        model=tagger.outputs["model"],
        simulators=simulators.outputs["simulators"],
        config=config.evaluator,
        baseline_model=newest.outputs["model"],
    )
    pusher = make_pusher(tagger.outputs["model"], evaluator.outputs["blessing"], push_to)
    return tfx_pipeline.Pipeline(
        pipeline_name=config.name,
        pipeline_root=os.path.join(root, "artifacts"),
        components=[examples, simulators, tagger, newest, evaluator, pusher],
        enable_cache=True,
        metadata_connection_config=metadata_connection_config,
        beam_pipeline_args=beam_args or [],
    )


def _newest_blessed() -> resolver.Resolver:
    return resolver.Resolver(
        strategy_class=latest_blessed_model_strategy.LatestBlessedModelStrategy,
        model=types.Channel(type=standard_artifacts.Model),
        model_blessing=types.Channel(type=standard_artifacts.ModelBlessing),
    ).with_id(NEWEST_BLESSED)
