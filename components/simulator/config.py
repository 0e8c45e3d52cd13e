"""What the simulator step is asked to do; travels as JSON between the pipeline and the step."""

import dataclasses
import json
import math
from typing import Dict, Optional, Tuple

from faketagger.components.contract import pretrained
from faketagger.components.simulator import library

# What can be trained; the perturbations need no training and are always there.
TRAINABLE = ("faceswap", "reenactment", "stargan", "stgan", "stylegan")
# These normalise in eight groups of channels.
_GROUPED = {"faceswap", "stylegan"}
# What `depth` counts, from how many to how many: StarGAN has 6 blocks, CycleGAN up to 9; STGAN has 5 layers.
_DEPTHS = {"stargan": ("residual blocks", 1, 9), "stgan": ("encoder layers", 2, 5)}


@dataclasses.dataclass(frozen=True)
class SimulatorConfig:
    """Attributes:
    image_size: the side of the pictures, a multiple of 16 and at least 32; for stylegan a power of two.
    train: the simulators to train, of TRAINABLE.
    shipped: the simulators to take from the repository as they are, by their folders' names in pretrained/simulators.
    width: channels of the first layer, at least 8, for faceswap and stylegan a multiple of 8; the deeper ones are
      multiples of it.
    depth: encoder layers of stgan, 2 to 5, where the side is a multiple of 2^depth; residual blocks of stargan, 1 to 9;
      None for their own choice, and where neither is trained.
    steps: optimiser steps for each simulator, at least 1.
    batch_size: pictures a step, from each group where there are two; at least 1.
    learning_rate: of Adam, over 0.
    judge_steps: optimiser steps for the classifier that says whether edits are seen and pictures look real; at least 1.
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
        self._check_names()
        self._check_sizes()
        self._check_depth()
        self._check_training()

    def _check_names(self) -> None:
        unknown = sorted(set(self.train) - set(TRAINABLE))
        if unknown:
            raise ValueError(f"cannot train {', '.join(unknown)}; known simulators: {', '.join(TRAINABLE)}")
        twice = sorted(set(self.train) & set(self.shipped))
        if twice:
            raise ValueError(f"{', '.join(twice)}: either trained or shipped, not both")
        there = library.names(pretrained.SIMULATORS) if self.shipped else []
        missing = sorted(set(self.shipped) - set(there))
        if missing:
            raise ValueError(f"shipped must be of {', '.join(there)}; got {', '.join(missing)}")

    def _check_sizes(self) -> None:
        grouped = " and ".join(sorted(_GROUPED & set(self.train)))
        if self.width < 8 or grouped and self.width % 8:
            multiple = f", and a multiple of 8 for the group normalisation of {grouped}" if grouped else ""
            raise ValueError(f"width must be at least 8{multiple}; got {self.width}")
        if self.image_size % 16 or self.image_size < 32:
            raise ValueError(f"image_size must be a multiple of 16 and at least 32, got {self.image_size}")
        if "stylegan" in self.train and self.image_size & (self.image_size - 1):
            raise ValueError(
                f"image_size must be a power of two for stylegan, whose resolutions double; got {self.image_size}"
            )

    def _check_depth(self) -> None:
        if self.depth is None:
            return
        deep = {name: _DEPTHS[name] for name in self.train if name in _DEPTHS}
        if not deep:
            raise ValueError(f"depth is for {' and '.join(_DEPTHS)} alone, and none is trained; got {self.depth}")
        for name, (parts, least, most) in deep.items():
            if not least <= self.depth <= most:
                raise ValueError(f"depth must be {least} to {most} {parts} for {name}, got {self.depth}")
        if "stgan" in deep and self.image_size % 2**self.depth:
            raise ValueError(
                f"image_size must be a multiple of {2**self.depth} for stgan of depth {self.depth}; "
                f"got {self.image_size}"
            )

    def _check_training(self) -> None:
        for name in ("steps", "batch_size", "judge_steps"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        if not 0.0 < self.learning_rate < math.inf:
            raise ValueError(f"learning_rate must be over 0 and finite, got {self.learning_rate:g}")

    def to_json(self) -> str:
        return json.dumps(dataclasses.asdict(self), sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> "SimulatorConfig":
        values: Dict = json.loads(text)
        return cls(**values)
