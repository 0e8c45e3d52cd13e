"""What the tagger step is asked to do; travels as JSON between the pipeline and the step."""

import dataclasses
import json

from faketagger.components.contract import payload
from faketagger.components.tagger.schedules import Ramp

LEVELS = ("raw", "early", "late")


@dataclasses.dataclass(frozen=True)
class TaggerConfig:
    """Attributes:
    image_size: the side at which the networks look at a picture.
    message_bits: k, the UID's length.
    code_length: the BCH code's length before shortening: 15, 31, 63, 127, 255, or 0 for no coding.
    level: where the message enters the U-Net: raw, early or late (FakeTagger §3.3).
    encoder_width: channels of the U-Net's first level.
    decoder_width: channels of the decoder's first convolution.
    min_psnr: dB; the residual of each picture is scaled down to keep it at the network's size.
    start_psnr: dB; the same at the start of training, from where it goes to min_psnr.
    residual, perceptual, critic, message: the loss terms' weights.
    psnr_ramp: steps from start_psnr to min_psnr, once the decoder reads.
    steps: optimiser steps in all.
    batch_size: pictures a step.
    learning_rate: of Adam, decayed to a twentieth along a cosine.
    reads_below: the message loss (nats a bit) under which the decoder is said to read; over chance (0.7), there is no
      first stage.
    stuck_after: steps after which a decoder that still reads at chance ends the training with an error.
    vgg_weights: an ImageNet weights file of Keras' VGG16 without top, for the perceptual term; without it the term is 1
      − SSIM.
    black_box: names of simulators that are kept out of the training loop.
    start_from: the SavedModel of a tagger to go on from, with networks of these sizes, or `shipped` for the
      repository's; it reads already, so there is no first stage.
    seed: for initial weights, codewords and shuffling.
    """

    image_size: int = 64
    message_bits: int = 30
    code_length: int = 63
    level: str = "early"
    encoder_width: int = 16
    decoder_width: int = 32
    min_psnr: float = 34.0
    start_psnr: float = 22.0
    residual: Ramp = Ramp(1.0, 0, 1000)
    perceptual: Ramp = Ramp(0.05, 0, 1000)
    critic: Ramp = Ramp(0.01, 500, 1000)
    message: float = 1.0
    psnr_ramp: int = 1500
    steps: int = 4000
    batch_size: int = 16
    learning_rate: float = 7e-4
    reads_below: float = 0.15
    stuck_after: int = 1500
    vgg_weights: str | None = None
    black_box: tuple[str, ...] = ()
    start_from: str | None = None
    seed: int = 1

    def __post_init__(self):
        object.__setattr__(self, "black_box", tuple(self.black_box))
        for name in ("residual", "perceptual", "critic"):
            value = getattr(self, name)
            object.__setattr__(self, name, Ramp(**value) if isinstance(value, dict) else value)
        payload.check_code(self.message_bits, self.code_length)
        if self.level not in LEVELS:
            raise ValueError(f"level must be one of {', '.join(LEVELS)}, got '{self.level}'")
        if self.image_size % 16 or self.image_size < 32:
            raise ValueError(f"image_size must be a multiple of 16 and at least 32, got {self.image_size}")
        if self.decoder_width % 8 or self.decoder_width < 8:
            raise ValueError(
                f"decoder_width must be a multiple of 8, for its group normalisation, got {self.decoder_width}"
            )
        if self.steps < 1 or self.batch_size < 1:
            raise ValueError(f"steps and batch_size must be at least 1, got {self.steps} and {self.batch_size}")

    def to_json(self) -> str:
        return json.dumps(dataclasses.asdict(self), sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> "TaggerConfig":
        return cls(**json.loads(text))
