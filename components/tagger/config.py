"""What the tagger step is asked to do; travels as JSON between the pipeline and the step.

Everything that training does otherwise for another number is a field here: TFX's cache and the checkpoints know a
tagger by its config.
"""

from typing import Any, Literal, get_args

from faketagger.components.contract import payload
from faketagger.components.contract.settings import Field, Settings, Unexpected, root_validator, validator
from faketagger.components.tagger.schedules import Ramp

Level = Literal["raw", "early", "late", "every"]
LEVELS: tuple[str, ...] = get_args(Level)


class Drawn(Settings):
    """How a perturbation is drawn in training.

    Attributes:
      low, high: the range of strengths, in the unit of its class in perturbations/.
      share: how often it is drawn, against the shares of the others.
    """

    low: float
    high: float
    share: float = Field(1.0, gt=0)


class Augmentation(Settings):
    """How far photographs are varied before they are tagged, each by a draw of its own.

    Attributes:
      flip: mirrored, half of the times.
      crop: the least and the largest share of the side that is cut out, and resized to the whole.
      brightness: at most so much is added or taken away.
      contrast, saturation: the least and the largest factor.
    """

    flip: bool = True
    crop: tuple[float, float] = Field((0.8, 1.0), gt=0, le=1)
    brightness: float = Field(0.1, ge=0, lt=1)
    contrast: tuple[float, float] = Field((0.8, 1.2), ge=0)
    saturation: tuple[float, float] = Field((0.7, 1.3), ge=0)

    @validator("crop", "contrast", "saturation")
    def _is_a_range(cls, bounds: tuple[float, float]) -> tuple[float, float]:
        if bounds[0] > bounds[1]:
            raise Unexpected("the lower bound first", list(bounds))
        return bounds


class Geometry(Settings):
    """How a face lies otherwise in the picture that is read than in the one that was tagged.

    Attributes:
      share: the share of the pictures that are moved.
      shift: at most so far, along each axis, as a share of the side.
      scale: at most enlarged by this share, and shrunk by what undoes that.
      rotation: at most turned by so many degrees.
      mirrored: the share of those moved that are mirrored besides.
      ramp: steps, once the decoder reads, over which shift, scale and rotation grow from nothing to this: a face that
        lies far off is read at chance at first, and teaches nothing.
      deepfakes: the share of shift, scale and rotation by which pictures are moved that went through a simulator: moved
        as far as others, their faint bits are read at chance, and teach nothing. Reading aligns the face first.
    """

    share: float = Field(0.0, ge=0, le=1)
    shift: float = Field(0.08, ge=0, lt=0.5)
    scale: float = Field(0.15, ge=0, lt=1)
    rotation: float = Field(8.0, ge=0, le=45)
    mirrored: float = Field(0.0, ge=0, le=1)
    ramp: int = Field(0, ge=0)
    deepfakes: float = Field(1.0, ge=0, le=1)


class Masking(Settings):
    """How the residual follows what the eye misses (tagger/residual.py): α · JND(image) · tanh(network).

    Attributes:
      headroom: how much more than min_psnr allows the network could add, were it not for that bound.
      chroma: the most that a chroma channel may have of what luminance may.
      flat: grey values of 255 that a flat place of middle grey hides; `dark` and `light`: how many more black and white
        hide. The 17 more at black of Chou and Li are a cathode ray tube's.
      texture: how much is hidden by texture, in its standard deviations.
      softness: how often the residual is averaged over 3×3 pixels: the more, the coarser it is. Of waves with 12 pixels
        a period 1 leaves 0.93 and 4 leave 0.76, of 6 pixels 0.75 and 0.32. Coarser needs more headroom.
    """

    headroom: float = Field(1.6, gt=0)
    chroma: float = Field(0.3, ge=0)
    flat: float = Field(3.0, gt=0)
    dark: float = Field(3.0, ge=0)
    light: float = Field(3.0, ge=0)
    texture: float = Field(0.35, ge=0)
    softness: int = Field(1, ge=0, le=16)


class FirstStage(Settings):
    """When a decoder is said to read, and what pictures are shown to it until then.

    Attributes:
      smoothing: of the running message loss that decides: what stays of it at a step.
      first_contrast: of the pictures at the first step.
      more_contrast: how much more at each step that is read well enough.
      more_contrast_below: the running message loss (nats a bit) under which a step is.
      stuck_below: the bit accuracy on plain pictures under which a training that has not come to read is given up.
    """

    smoothing: float = Field(0.98, ge=0, lt=1)
    first_contrast: float = Field(0.1, gt=0, le=1)
    more_contrast: float = Field(0.01, gt=0, le=1)
    more_contrast_below: float = Field(0.5, ge=0)
    stuck_below: float = Field(0.6, ge=0, le=1)


class HardDrawing(Settings):
    """How much more often than others the simulators and conditions are drawn that are read badly.

    Attributes:
      floor: added to every bit error rate, so that what is read well is not forgotten.
      smoothing: of the running bit error rates: what stays of one when it is measured.
      spares_hopeless: whether what is read at chance is drawn as seldom as what is read well, and what lies between
        most: a short training that must be faint has nothing to gain where nothing is left of the tag.
    """

    floor: float = Field(0.03, gt=0)
    smoothing: float = Field(0.9, ge=0, lt=1)
    spares_hopeless: bool = False


class Optimising(Settings):
    """Of the optimisers, Adam both.

    Attributes:
      last_rate: the share of the learning rate to which it is decayed along a cosine.
      clip_norm: of the gradient of each variable.
      critic_rate: the critic's learning rate, as a share of the first.
      critic_beta: the critic's β₁.
    """

    last_rate: float = Field(0.05, ge=0, le=1)
    clip_norm: float = Field(1.0, gt=0)
    critic_rate: float = Field(0.5, gt=0)
    critic_beta: float = Field(0.5, ge=0, lt=1)


PERTURBATIONS = {
    # Nearly a third of the draws: nearly every picture that is shared becomes a JPEG.
    "jpeg": Drawn(low=30.0, high=95.0, share=6.0),
    "resize": Drawn(low=0.45, high=1.0),
    # The hardest to learn: everything else leaves each pixel where it was.
    "crop": Drawn(low=0.85, high=1.0, share=3.0),
    "noise": Drawn(low=0.0, high=0.04),
    "grain": Drawn(low=0.0, high=0.06),
    "blur": Drawn(low=0.3, high=1.2),
    "brightness": Drawn(low=-0.2, high=0.2),
    "contrast": Drawn(low=-0.3, high=0.3),
    "hue": Drawn(low=-0.08, high=0.08),
    "saturation": Drawn(low=-0.4, high=0.4),
    "exposure": Drawn(low=-0.7, high=0.7),
    "vignetting": Drawn(low=0.0, high=0.6),
    "haze": Drawn(low=0.0, high=0.4),
}


class TaggerConfig(Settings):
    """How a tagger is built and trained.

    Attributes:
      image_size: the side at which the networks look at a picture, a multiple of 16 · space_to_depth.
      message_bits: k, the UID's length.
      code_length: the BCH code's length before shortening: 15, 31, 63, 127, 255, or 0 for no coding.
      level: where the message enters the U-Net: raw, early or late (FakeTagger §3.3), or at every level.
      space_to_depth: 2 has the encoder look at a picture's halves of side as channels: a quarter of the work.
      encoder_width: channels of the U-Net's first level.
      decoder_width: channels of the decoder's first convolution; a multiple of 8, for its group normalisation.
      masking: of the residual by what the eye misses; without it the network's output is the residual.
      strengths: the least and the most by which a residual is multiplied in training, drawn for each picture.
      min_psnr: dB; the residual of each picture is scaled down to keep it at the network's size.
      start_psnr: dB; the same at the start of training, from where it goes to min_psnr.
      residual, perceptual, visible, streaks, steered, critic, message: the loss terms' weights, of the functions in
        losses.py; `visible` is visibility_loss's, `steered` steering_loss's.
      psnr_ramp: steps from start_psnr to min_psnr, once the decoder reads.
      steps: optimiser steps in all.
      batch_size: pictures a step.
      learning_rate: of Adam.
      averaging: of the weights, an exponential moving average: what stays of it at a step; 0 for none.
      bfloat16: whether convolutions are computed in bfloat16 (layers/precision.py).
      optimising: the rest of what the optimisers are told.
      reads_below: the message loss (nats a bit) under which the decoder is said to read; over chance (0.7), there is no
        first stage.
      stuck_after: steps after which a decoder that still reads at chance ends the training with an error.
      first_stage: what else there is to say of the time until the decoder reads.
      vgg_weights: an ImageNet weights file of Keras' VGG16 without top, for the perceptual term; without it the term is
        1 − SSIM.
      augmentation: of the photographs.
      perturbations: what tagged pictures are read through, by catalogue.TRAINED_UNDER's names.
      perturbed: how many of them, one after the other.
      geometry: how every picture that is read is moved besides.
      versions: deepfakes, each through another simulator, that are read of one encoding.
      perturbed_simulated: the share of batches of deepfakes that go through one of them besides.
      black_box: names of simulators that are kept out of the training loop.
      hard_drawing: which of the others are drawn how often.
      straight_through: names of simulators whose gradient is taken for the identity's, being too slow to compute, as it
        is for those that have none. What they make is exact.
      start_from: the SavedModel of a tagger to go on from, with networks as start.py says, or `shipped` for the
        repository's; it reads already, so there is no first stage.
      max_pixels: of a picture file that the exported tagger takes.
      max_strength: the largest factor of the residual that it takes.
      seed: for initial weights, codewords and shuffling.
    """

    image_size: int = Field(64, ge=32, multiple_of=16)
    message_bits: int = Field(30, ge=1)
    code_length: Literal[0, 15, 31, 63, 127, 255] = 63
    level: Level = "early"
    space_to_depth: Literal[1, 2] = 1
    encoder_width: int = Field(16, ge=1)
    decoder_width: int = Field(32, ge=8, multiple_of=8)
    masking: Masking | None = None
    strengths: tuple[float, float] = Field((1.0, 1.0), gt=0)
    min_psnr: float = Field(34.0, gt=0)
    start_psnr: float = Field(22.0, gt=0)
    residual: Ramp = Ramp(scale=1.0, delay=0, ramp=1000)
    perceptual: Ramp = Ramp(scale=0.05, delay=0, ramp=1000)
    visible: Ramp = Ramp(scale=0.0)
    streaks: Ramp = Ramp(scale=0.0)
    steered: Ramp = Ramp(scale=0.0)
    critic: Ramp = Ramp(scale=0.01, delay=500, ramp=1000)
    message: float = Field(1.0, ge=0)
    psnr_ramp: int = Field(1500, ge=0)
    steps: int = Field(4000, ge=1)
    batch_size: int = Field(16, ge=1)
    learning_rate: float = Field(7e-4, gt=0)
    averaging: float = Field(0.0, ge=0, lt=1)
    bfloat16: bool = False
    optimising: Optimising = Optimising()
    reads_below: float = Field(0.15, ge=0)
    stuck_after: int = Field(1500, ge=0)
    first_stage: FirstStage = FirstStage()
    vgg_weights: str | None = None
    augmentation: Augmentation = Augmentation()
    perturbations: dict[str, Drawn] = PERTURBATIONS
    perturbed: int = Field(2, ge=0)
    geometry: Geometry = Geometry()
    versions: int = Field(1, ge=1)
    perturbed_simulated: float = Field(0.5, ge=0, le=1)
    black_box: tuple[str, ...] = ()
    hard_drawing: HardDrawing = HardDrawing()
    straight_through: tuple[str, ...] = ()
    start_from: str | None = None
    max_pixels: int = Field(50_000_000, ge=1)
    max_strength: float = Field(4.0, ge=1)
    seed: int = Field(1, ge=0, lt=2**32)

    @validator("perturbations")
    def _can_be_drawn(cls, perturbations: dict[str, Drawn]) -> dict[str, Drawn]:
        from faketagger.components.perturbations import catalogue  # Here: it imports TensorFlow, which takes seconds.

        if not perturbations:
            raise Unexpected("at least one perturbation", perturbations)
        for name, drawn in perturbations.items():
            if name not in catalogue.TRAINED_UNDER:
                raise Unexpected(f"names of {', '.join(catalogue.TRAINED_UNDER)}", name)
            least, most = catalogue.TRAINED_UNDER[name].LIMITS
            if not least <= drawn.low <= drawn.high <= most:
                raise Unexpected(f"{name}'s low and high, in this order, from {least:g} to {most:g}", drawn.dict())
        return perturbations

    @validator("strengths")
    def _have_the_least_first(cls, strengths: tuple[float, float]) -> tuple[float, float]:
        if strengths[0] > strengths[1]:
            raise Unexpected("the least first", list(strengths))
        return strengths

    @root_validator(skip_on_failure=True)
    def _side_is_halved_without_rest(cls, values: dict[str, Any]) -> dict[str, Any]:
        multiple = 16 * values["space_to_depth"]
        if values["image_size"] % multiple:
            expected = f"a multiple of {multiple} with space_to_depth {values['space_to_depth']}"
            raise Unexpected(expected, values["image_size"], "image_size")
        return values

    @root_validator(skip_on_failure=True)
    def _has_a_code(cls, values: dict[str, Any]) -> dict[str, Any]:
        payload.check_code(values["message_bits"], values["code_length"])
        return values
