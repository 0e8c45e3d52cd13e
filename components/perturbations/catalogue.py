"""Which perturbations there are: those a tagger is trained under, those it is judged on, and each by its name."""

from collections.abc import Callable

import tensorflow as tf

from faketagger.components.perturbations.base import Perturbation
from faketagger.components.perturbations.geometry import Crop, Resize
from faketagger.components.perturbations.jpeg import Jpeg, RealJpeg
from faketagger.components.perturbations.light import Brightness, Contrast, Exposure, Hue, Saturation, Vignetting
from faketagger.components.perturbations.texture import GaussianBlur, GaussianNoise, Grain
from faketagger.components.perturbations.weather import Haze


def training_perturbations() -> list[Perturbation]:
    """The ones a tagger is trained under."""
    return [
        *[Jpeg((30.0, 95.0))] * 6,  # Nearly a third of the draws: nearly every picture that is shared becomes a JPEG.
        Resize((0.45, 1.0)),
        *[Crop((0.85, 1.0))] * 3,  # The hardest to learn: everything else leaves each pixel where it was.
        GaussianNoise((0.0, 0.04)),
        Grain((0.0, 0.06)),
        GaussianBlur((0.3, 1.2)),
        Brightness((-0.2, 0.2)),
        Contrast((-0.3, 0.3)),
        Hue((-0.08, 0.08)),
        Saturation((-0.4, 0.4)),
        Exposure((-0.7, 0.7)),
        Vignetting((0.0, 0.6)),
        Haze((0.0, 0.4)),
    ]


# What evaluation can fix at one strength: with the real codec, and without what no tagger is trained under.
_FIXED: dict[str, type[Perturbation]] = {
    "jpeg": RealJpeg,
    "resize": Resize,
    "crop": Crop,
    "noise": GaussianNoise,
    "grain": Grain,
    "blur": GaussianBlur,
    "brightness": Brightness,
    "contrast": Contrast,
    "hue": Hue,
    "saturation": Saturation,
    "exposure": Exposure,
    "vignetting": Vignetting,
    "haze": Haze,
}


def at(name: str) -> Perturbation:
    """The perturbation of a name like `jpeg_75` or `contrast_-0.2`: a kind at one strength, for evaluation.

    Raises:
      ValueError: no such kind, no number, or beyond the kind's limits.
    """
    kind, _, strength = name.rpartition("_")
    if kind not in _FIXED:
        kinds = ", ".join(_FIXED)
        raise ValueError(f"no perturbation '{name}': expected a kind and a strength, as jpeg_75; the kinds are {kinds}")
    return _FIXED[kind]((strength, strength))


def evaluation_perturbations() -> dict[str, Perturbation]:
    """By condition name, the fixed ones that a tagger is judged on."""
    names = (
        "jpeg_75",
        "jpeg_50",
        "resize_0.5",
        "crop_0.9",
        "noise_0.02",
        "grain_0.03",
        "blur_1",
        "brightness_0.1",
        "contrast_-0.2",
        "hue_0.05",
        "saturation_-0.3",
        "exposure_0.5",
        "exposure_-0.5",
        "vignetting_0.5",
        "haze_0.3",
    )
    return {name: at(name) for name in names}


def by_condition(perturbations: dict[str, Perturbation]) -> Callable[[tf.Tensor, tf.Tensor], tf.Tensor]:
    """The function of a simulator with these conditions: pictures [B, H, W, 3], int32 [B] → pictures."""

    def simulate(images: tf.Tensor, condition: tf.Tensor) -> tf.Tensor:
        # One condition a call is the rule, so only the branches that some picture asks for are computed.
        result = images
        for index, perturb in enumerate(perturbations.values()):
            wanted = tf.equal(condition, index)
            changed = tf.cond(tf.reduce_any(wanted), lambda perturb=perturb: perturb(images), lambda: images)
            result = tf.where(wanted[:, None, None, None], changed, result)
        return result

    return simulate


def apply_random(
    perturbations: list[Callable[[tf.Tensor], tf.Tensor]], images: tf.Tensor, times: int | tf.Tensor = 2
) -> tf.Tensor:
    """Applies `times` of the perturbations, drawn anew at each call, one after the other to the whole batch."""

    def apply_one(step: tf.Tensor, batch: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        chosen = tf.random.uniform([], 0, len(perturbations), tf.int32)
        made = tf.switch_case(chosen, [lambda perturb=perturb: perturb(batch) for perturb in perturbations])
        return step + 1, tf.ensure_shape(made, images.shape)

    # A loop of TensorFlow's, so that each perturbation is traced once and not `times` times.
    _, perturbed = tf.while_loop(lambda step, _: step < times, apply_one, (0, images), maximum_iterations=times)
    return perturbed
