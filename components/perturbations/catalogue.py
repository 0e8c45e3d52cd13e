"""Which perturbations there are: those a tagger is trained under, those it is judged on, and each by its name."""

from collections.abc import Callable, Sequence

import tensorflow as tf

from faketagger.components.perturbations import draws
from faketagger.components.perturbations.base import Perturbation
from faketagger.components.perturbations.geometry import Border, Crop, CutOut, Mirror, Resize, Rotation
from faketagger.components.perturbations.jpeg import Jpeg, RealJpeg
from faketagger.components.perturbations.light import Brightness, Contrast, Exposure, Hue, Saturation, Vignetting
from faketagger.components.perturbations.texture import GaussianBlur, GaussianNoise, Grain
from faketagger.components.perturbations.weather import Haze

# What a tagger can be trained under, by the names in its config: differentiable, so with a formula for the JPEG codec.
TRAINED_UNDER: dict[str, type[Perturbation]] = {
    "jpeg": Jpeg,
    "resize": Resize,
    "crop": Crop,
    "rotation": Rotation,
    "mirror": Mirror,
    "border": Border,
    "cut_out": CutOut,
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
# What evaluation can fix at one strength: the same with the real codec, and nothing that no tagger is trained under.
_FIXED: dict[str, type[Perturbation]] = {**TRAINED_UNDER, "jpeg": RealJpeg}


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
        "crop_0.8",
        "rotation_5",
        "rotation_-5",
        "mirror_1",
        "border_0.05",
        "cut_out_0.65",
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
    perturbations: Sequence[Callable[[tf.Tensor], tf.Tensor]],
    images: tf.Tensor,
    times: int | tf.Tensor = 2,
    shares: Sequence[float] | None = None,
) -> tf.Tensor:
    """Applies `times` of the perturbations, drawn anew at each call, one after the other to the whole batch.

    `shares` says how often each is drawn, against the others; alike by default.
    """
    weights = tf.constant(shares or [1.0] * len(perturbations), tf.float32)

    def apply_one(step: tf.Tensor, batch: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        chosen = draws.one_of(weights)
        made = tf.switch_case(chosen, [lambda perturb=perturb: perturb(batch) for perturb in perturbations])
        return step + 1, tf.ensure_shape(made, images.shape)

    # A loop of TensorFlow's, so that each perturbation is traced once and not `times` times; no step begins before
    # another has ended, or chance would say which draws first.
    _, perturbed = tf.while_loop(
        lambda step, _: step < times, apply_one, (0, images), parallel_iterations=1, maximum_iterations=times
    )
    return perturbed
