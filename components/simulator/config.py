"""What the simulator step is asked to do; travels as JSON between the pipeline and the step."""

import dataclasses
import json
from typing import Dict, Tuple

# Trained here, by family name of contract/manifest.py; `perturbation` needs no training and is always there.
TRAINABLE = ("faceswap",)


@dataclasses.dataclass(frozen=True)
class SimulatorConfig:
    """Attributes:
    image_size: the side of the pictures.
    train: the simulators to train, of TRAINABLE.
    width: channels of the first layer; the deeper ones are multiples of it.
    steps: optimiser steps for each simulator.
    batch_size: pictures a step, from each group where there are two.
    learning_rate: of Adam.
    seed: for initial weights and shuffling.
    """

    image_size: int = 64
    train: Tuple[str, ...] = ("faceswap",)
    width: int = 24
    steps: int = 1200
    batch_size: int = 16
    learning_rate: float = 5e-4
    seed: int = 1

    def __post_init__(self):
        object.__setattr__(self, "train", tuple(self.train))
        unknown = sorted(set(self.train) - set(TRAINABLE))
        if unknown:
            raise ValueError(f"cannot train {', '.join(unknown)}; known simulators: {', '.join(TRAINABLE)}")
        if self.width % 8 or self.width < 8:
            raise ValueError(f"width must be a multiple of 8, for its group normalisation, got {self.width}")
        if self.image_size % 16 or self.image_size < 32:
            raise ValueError(f"image_size must be a multiple of 16 and at least 32, got {self.image_size}")

    def to_json(self) -> str:
        return json.dumps(dataclasses.asdict(self), sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> "SimulatorConfig":
        values: Dict = json.loads(text)
        return cls(**values)
