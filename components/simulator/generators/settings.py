"""What the training of one generator is told."""

from faketagger.components.contract.settings import Field, Settings


class TrainingSettings(Settings):
    """Attributes:
    image_size: the side of the pictures, a multiple of 16 and at least 32; some generators allow fewer.
    width: channels of the first layer, at least 8, for those that normalise in groups a multiple of 8; the deeper ones
      are multiples of it.
    depth: what the generator's DEPTH says; None for its own choice, and where none has a depth.
    steps: optimiser steps, at least 1.
    batch_size: pictures a step, from each group where there are two; at least 1.
    learning_rate: of Adam, over 0.
    seed: for initial weights and shuffling.
    zoom: the least share of the side that a training window shows of a picture, over 0.5 to 1; at 1 all of it.
    critic: weight of a patch critic in the loss of generators that learn to restore pictures; 0 for none.
    attention: whether stargan and stgan work at half the side and also make a mask of what they change (GANimation).
    change: weight of how much the edits of stargan and stgan change; None for their own.
    guide_steps: optimiser steps of the classifiers that tell stargan and stgan whether their edits show; at least 1.
    bfloat16: whether convolutions are computed in bfloat16 (layers/precision.py).
    """

    image_size: int = Field(64, ge=32, multiple_of=16)
    width: int = Field(24, ge=8)
    depth: int | None = None
    steps: int = Field(1200, ge=1)
    batch_size: int = Field(16, ge=1)
    learning_rate: float = Field(5e-4, gt=0)
    seed: int = Field(1, ge=0, lt=2**32)
    zoom: float = Field(1.0, gt=0.5, le=1)
    critic: float = Field(0.0, ge=0)
    attention: bool = False
    change: float | None = Field(None, ge=0)
    guide_steps: int = Field(1500, ge=1)
    bfloat16: bool = False

    @property
    def stored_side(self) -> int:
        """The side at which training pictures are read: of it the tightest window still has image_size pixels."""
        return round(self.image_size / self.zoom)
