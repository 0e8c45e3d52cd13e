"""The evaluation of a tagger on a folder of photographs, without a pipeline."""

import functools
import os
import tempfile
from collections.abc import Sequence

from faketagger.components.contract import manifest
from faketagger.components.evaluator.config import EvaluatorConfig
from faketagger.components.evaluator.evaluate import evaluate
from faketagger.components.evaluator.measure import folder, models
from faketagger.components.evaluator.verdict import gate
from faketagger.components.evaluator.verdict.record import Evaluation


def evaluate_folder(
    images: str,
    model: str,
    out: str,
    config: EvaluatorConfig,
    *,
    simulators: str | None = None,
    newest_blessed: str | None = None,
    image_size: int | None = None,
    knows_black_box: bool = False,
    beam_args: Sequence[str] = (),
) -> tuple[Evaluation, gate.Decision]:
    """Makes Examples of a folder and evaluates a tagger on them.

    Args:
      images: of photographs, as folder.write_examples takes them.
      model: the tagger's SavedModel directory.
      out: where all that evaluate makes is written.
      config: how to measure, and the gate.
      simulators: a directory of SavedModels; the shipped ones by default.
      newest_blessed: the SavedModel directory of the tagger that this one must not be worse than.
      image_size: the side of the pictures; by default that of `simulators`, without them the tagger's.
      knows_black_box: whether an empty config.black_box means none; else it is what the tagger's record leaves out.
      beam_args: options for Beam's runner.

    Returns:
      As evaluate.

    Raises:
      ValueError: a model or the folder cannot be read, the simulators take pictures of another side, or as evaluate.
    """
    if image_size is not None and image_size < 1:
        raise ValueError(f"image_size: expected at least 1, found {image_size}")
    tagger = manifest.read(manifest.TaggerManifest, model)
    side = folder.side_of(simulators)
    if image_size and side and image_size != side:  # Pictures would be enlarged or shrunk before they are tagged.
        raise ValueError(f"image_size: expected {side}, as the simulators in {simulators} take, found {image_size}")
    size = image_size or side or tagger.image_size
    pipeline = functools.partial(folder.local_pipeline, *beam_args)
    with tempfile.TemporaryDirectory() as temporary:
        examples = os.path.join(temporary, "examples")
        folder.write_examples(images, examples, size, out, pipeline)
        simulators = simulators or folder.shipped_simulators(examples, os.path.join(temporary, "simulators"), size)
        if not knows_black_box and not config.black_box:
            config = config.replace(black_box=models.not_trained_through(tagger, simulators))
        inputs = models.read_inputs(model, simulators, config)
        newest = models.read_inputs(newest_blessed, simulators, config) if newest_blessed else None
        return evaluate(pipeline, examples, inputs, config, out, newest)
