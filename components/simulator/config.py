"""What the simulator step is asked to do; travels as JSON between the pipeline and the step."""

import dataclasses
import json
from typing import Dict, Optional, Tuple

# What can be trained; the perturbations need no training and are always there.
TRAINABLE = ("faceswap", "reenactment", "stargan", "stgan", "stylegan")
# These normalise in eight groups of channels.
_GROUPED = {"faceswap", "stylegan"}


@dataclasses.dataclass(frozen=True)
class SimulatorConfig:
    """Attributes:
    image_size: the side of the pictures.
    train: the simulators to train, of TRAINABLE.
    shipped: the simulators to take from the repository as they are, by their folders' names in pretrained/simulators.
    width: channels of the first layer, at least 8, for faceswap and stylegan a multiple of 8; the deeper ones are
      multiples of it.
    depth: encoder layers of stgan, residual blocks of stargan; None for their own choice.
    steps: optimiser steps for each simulator.
    batch_size: pictures a step, from each group where there are two.
    learning_rate: of Adam.
    judge_steps: optimiser steps for the classifier that says whether edits are seen and pictures look real.
    seed: for initial weights and shuffling.
    """

    image_size: int = 64
    train: Tuple[str, ...] = ("faceswap",)
    shipped: Tuple[str, ...] = ()
    width: int = 24
    depth: Optional[int] = None
    steps: int = 1200
    batch_size: int = 16
    learning_rate: float = 5e-4
    judge_steps: int = 800
    seed: int = 1

    def __post_init__(self):
        object.__setattr__(self, "train", tuple(self.train))
        object.__setattr__(self, "shipped", tuple(self.shipped))
        unknown = sorted(set(self.train) - set(TRAINABLE))
        if unknown:
            raise ValueError(f"cannot train {', '.join(unknown)}; known simulators: {', '.join(TRAINABLE)}")
        twice = sorted(set(self.train) & set(self.shipped))
        if twice:
            raise ValueError(f"{', '.join(twice)}: either trained or shipped, not both")
        grouped = " and ".join(sorted(_GROUPED & set(self.train)))
        if self.width < 8 or grouped and self.width % 8:
            multiple = f", and a multiple of 8 for the group normalisation of {grouped}" if grouped else ""
            raise ValueError(f"width must be at least 8{multiple}; got {self.width}")
        if self.image_size % 16 or self.image_size < 32:
            raise ValueError(f"image_size must be a multiple of 16 and at least 32, got {self.image_size}")

    def to_json(self) -> str:
        return json.dumps(dataclasses.asdict(self), sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> "SimulatorConfig":
        values: Dict = json.loads(text)
        return cls(**values)
