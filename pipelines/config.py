"""Everything one pipeline run is asked to do, typed; presets.py fills it in."""

from typing import Any

from faketagger.components.contract.settings import Field, Settings, Unexpected, root_validator
from faketagger.components.evaluator.config import EvaluatorConfig
from faketagger.components.simulator.config import SimulatorConfig
from faketagger.components.tagger.config import TaggerConfig


class PipelineConfig(Settings):
    """Attributes:
    name: of the pipeline, in metadata and on clusters: lower-case letters, digits and hyphens.
    dataset: `procedural_faces`, `celeb_a_hq/<size>` or another TFDS data set with an `image` feature.
    images: a folder of photographs to read instead of a data set.
    manual_dir: where TFDS finds what it may not download (CelebA-HQ's archives).
    limit: read at most this many pictures.
    eval_percent: the share of pictures that go to the eval split, where the source does not say.
    max_rejected: the largest share of unreadable pictures that is tolerated.
    align: cut photographs to the squares around their faces, where they are not aligned yet.
    foreign_simulators: a directory of simulators to use instead of training any.
    simulator, tagger, evaluator: the steps' own settings.
    """

    name: str = Field(..., regex="[a-z0-9-]+", description="lower-case letters, digits and hyphens")
    simulator: SimulatorConfig
    tagger: TaggerConfig
    evaluator: EvaluatorConfig
    dataset: str = "procedural_faces"
    images: str | None = None
    manual_dir: str | None = None
    limit: int | None = Field(None, ge=2)
    eval_percent: int = Field(10, ge=1, le=99)
    max_rejected: float = Field(0.01, ge=0, le=1)
    align: bool = False
    foreign_simulators: str | None = None

    @root_validator(skip_on_failure=True)
    def _steps_agree(cls, values: dict[str, Any]) -> dict[str, Any]:
        simulator, tagger, evaluator = (values[name] for name in ("simulator", "tagger", "evaluator"))
        if simulator.image_size != tagger.image_size:
            raise Unexpected(f"the tagger's, {tagger.image_size}", simulator.image_size, "simulator.image_size")
        if tagger.black_box != evaluator.black_box:
            raise Unexpected(
                f"the tagger's, {list(tagger.black_box)}", list(evaluator.black_box), "evaluator.black_box"
            )
        if evaluator.strength and evaluator.strength > tagger.max_strength:
            raise Unexpected(
                f"at most the tagger's max_strength, {tagger.max_strength:g}", evaluator.strength, "evaluator.strength"
            )
        return values
