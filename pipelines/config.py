"""Everything one pipeline run is asked to do, typed; presets.py fills it in."""

import dataclasses

from faketagger.components.evaluator.config import EvaluatorConfig
from faketagger.components.simulator.config import SimulatorConfig
from faketagger.components.tagger.config import TaggerConfig


@dataclasses.dataclass(frozen=True)
class PipelineConfig:
    """Attributes:
    name: of the pipeline, in metadata and on clusters: lower-case letters, digits and hyphens.
    dataset: `procedural_faces`, `celeb_a_hq/<size>` or another TFDS data set with an `image` feature.
    images: a folder of photographs to read instead of a data set.
    manual_dir: where TFDS finds what it may not download (CelebA-HQ's archives).
    limit: read at most this many pictures.
    eval_percent: the share of pictures that go to the eval split, where the source does not say.
    max_rejected: the largest share of unreadable pictures that is tolerated.
    foreign_simulators: a directory of simulators to use instead of training any.
    simulator, tagger, evaluator: the steps' own settings.
    """

    name: str
    simulator: SimulatorConfig
    tagger: TaggerConfig
    evaluator: EvaluatorConfig
    dataset: str = "procedural_faces"
    images: str | None = None
    manual_dir: str | None = None
    limit: int | None = None
    eval_percent: int = 10
    max_rejected: float = 0.01
    foreign_simulators: str | None = None

    def __post_init__(self):
        if self.simulator.image_size != self.tagger.image_size:
            raise ValueError(
                f"simulators and tagger must see pictures of one size, got {self.simulator.image_size} and "
                f"{self.tagger.image_size}"
            )
        if self.tagger.black_box != self.evaluator.black_box:
            raise ValueError("tagger and evaluator must agree on which simulators are black-box")
