"""What the simulator step is asked to do; travels as JSON between the pipeline and the step."""

import dataclasses
import json
import math

from faketagger.components.contract import pretrained
from faketagger.components.simulator.generators.registry import GENERATORS, depths
from faketagger.components.simulator.generators.settings import TrainingSettings


@dataclasses.dataclass(frozen=True)
class SimulatorConfig(TrainingSettings):
    """What each training is told (TrainingSettings), and which there are.

    Attributes:
      train: the simulators to train, of registry.GENERATORS.
      shipped: the simulators to take from the repository as they are, by their folders' names in pretrained/simulators.
      judge_steps: optimiser steps for the classifier that says whether edits are seen and pictures look real; at least
        1.
    """

    train: tuple[str, ...] = ("faceswap",)
    shipped: tuple[str, ...] = ()
    judge_steps: int = 800

    def __post_init__(self):
        object.__setattr__(self, "train", tuple(self.train))
        object.__setattr__(self, "shipped", tuple(self.shipped))
        self._check_names()
        self._check_sizes()
        self._check_depth()
        for name in self.train:
            GENERATORS[name].check_size(self.image_size, self.depth)
        self._check_training()

    def _check_names(self) -> None:
        unknown = sorted(set(self.train) - set(GENERATORS))
        if unknown:
            raise ValueError(f"cannot train {', '.join(unknown)}; known simulators: {', '.join(GENERATORS)}")
        twice = sorted(set(self.train) & set(self.shipped))
        if twice:
            raise ValueError(f"{', '.join(twice)}: either trained or shipped, not both")
        if self.shipped:
            self._check_shipped()

    def _check_shipped(self) -> None:
        from faketagger.components.simulator import library  # Here: it imports TensorFlow, which takes seconds.

        there = library.names(pretrained.SIMULATORS)
        missing = sorted(set(self.shipped) - set(there))
        if missing:
            raise ValueError(f"shipped must be of {', '.join(there)}; got {', '.join(missing)}")

    def _check_sizes(self) -> None:
        grouped = " and ".join(sorted({name for name in self.train if GENERATORS[name].GROUPED}))
        if self.width < 8 or grouped and self.width % 8:
            multiple = f", and a multiple of 8 for the group normalisation of {grouped}" if grouped else ""
            raise ValueError(f"width must be at least 8{multiple}; got {self.width}")
        if self.image_size % 16 or self.image_size < 32:
            raise ValueError(f"image_size must be a multiple of 16 and at least 32, got {self.image_size}")

    def _check_depth(self) -> None:
        if self.depth is None:
            return
        deep = {name: depth for name, depth in depths().items() if name in self.train}
        if not deep:
            raise ValueError(f"depth is for {' and '.join(depths())} alone, and none is trained; got {self.depth}")
        for name, (parts, least, most) in deep.items():
            if not least <= self.depth <= most:
                raise ValueError(f"depth must be {least} to {most} {parts} for {name}, got {self.depth}")

    def _check_training(self) -> None:
        for name in ("steps", "batch_size", "judge_steps"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        if not 0.5 < self.zoom <= 1.0:
            raise ValueError(f"zoom must be over 0.5 to 1, got {self.zoom:g}")
        if not 0.0 <= self.critic < math.inf:
            raise ValueError(f"critic must be at least 0 and finite, got {self.critic:g}")
        if not 0.0 < self.learning_rate < math.inf:
            raise ValueError(f"learning_rate must be over 0 and finite, got {self.learning_rate:g}")

    def to_json(self) -> str:
        return json.dumps(dataclasses.asdict(self), sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> "SimulatorConfig":
        values: dict = json.loads(text)
        return cls(**values)
