"""What a simulator's manifest says it does, measured on eval pictures; one that does nothing is refused."""

import dataclasses

import numpy as np
import tensorflow as tf

from faketagger.components.contract import features, images, manifest
from faketagger.components.simulator.generators.attribute_editing import condition_name
from faketagger.components.simulator.generators.base import Faces
from faketagger.components.simulator.generators.face_mask import soft_face_mask
from faketagger.components.simulator.library import Simulator
from faketagger.components.simulator.quality.judge import Judge, kernel_distance

PHOTOGRAPHS = "photographs"  # In `realism`, beside the conditions.

# Beyond it a picture is changed less than by a good JPEG: a tag that survives shows nothing.
_MAX_PSNR = 32.0
MIN_EDITED = 0.1  # How many more pictures must show the edit than did before it.
_IDENTICAL = 100.0  # dB for an unchanged picture, whose PSNR is infinite: keeps the manifest finite and says the same.
_SSIM_WINDOW = 11
_MIN_HALVED = 4  # Pictures of which each half has the two that kernel_distance needs.


class IdleSimulator(ValueError):
    """A simulator that hardly changes anything, or edits nothing: a tag that survives it shows nothing."""


@dataclasses.dataclass(frozen=True)
class Assessor:
    """Attributes:
    faces: the eval pictures and their labels.
    judge: a classifier trained on real pictures; without one, success and realism are left as they are.
    batch_size: pictures at a time.
    """

    faces: Faces
    judge: Judge | None = None
    batch_size: int = 32

    def assess(self, simulator: Simulator) -> manifest.SimulatorManifest:
        """The simulator's manifest with change, success and realism as measured here.

        What these pictures cannot tell is left out: the success of edits of an attribute that none is labelled with,
        realism where they are under four.

        Raises:
          IdleSimulator: it hardly changes anything, or edits nothing; perturbations may be as weak as they are.
        """
        made = self.simulate_all(simulator)
        described = simulator.manifest.replace(
            change={name: _change(self.faces.pictures, pictures) for name, pictures in made.items()}
        )
        if self.judge and described.family == "attribute_editing":
            described = described.replace(success=self._success(made))
        elif self.judge and described.family != "perturbation":
            described = described.replace(realism=self._realism(made))
        _refuse_idle(described)
        return described

    def simulate_all(self, simulator: Simulator) -> dict[str, np.ndarray]:
        """What the simulator makes of the eval pictures, as saved files hold it: by condition, float32 [N, S, S, 3]."""
        before = _rounded(self.faces.pictures)
        starts = range(0, len(before), self.batch_size)

        def made(way: int) -> np.ndarray:
            return np.concatenate([of_batch(way, slice(start, start + self.batch_size)) for start in starts])

        def of_batch(way: int, part: slice) -> tf.Tensor:
            landmarks = None if self.faces.landmarks is None else self.faces.landmarks[part]
            return simulator(before[part], tf.fill([len(before[part])], way), landmarks)

        return {name: _rounded(made(index)) for index, name in enumerate(simulator.manifest.ways)}

    def _success(self, made: dict[str, np.ndarray]) -> dict[str, dict[str, float]]:
        attributes = {
            condition_name(attribute): attribute
            for attribute in self.judge.attributes
            if np.any(self.faces.labels(attribute) != features.UNKNOWN)
        }

        def share(pictures: np.ndarray, condition: str) -> float:
            return self.judge.edit_success(pictures, self.faces, attributes[condition])

        return {
            condition: {"seen": share(edited, condition), "unedited": share(self.faces.pictures, condition)}
            for condition, edited in made.items()
            if condition in attributes
        }

    def _realism(self, made: dict[str, np.ndarray]) -> dict[str, dict[str, float]]:
        if len(self.faces.pixels) < _MIN_HALVED:
            return {}
        _, real = self.judge.look(self.faces.pictures)
        figures = {PHOTOGRAPHS: {"kid": kernel_distance(real[::2], real[1::2])}}
        for condition, pictures in made.items():
            figures[condition] = {"kid": kernel_distance(real, self.judge.look(pictures)[1], paired=True)}
        return figures


def _rounded(pictures: np.ndarray) -> np.ndarray:
    return images.to_float(images.to_uint8(pictures))


def _change(before: np.ndarray, after: np.ndarray) -> manifest.Change:
    """Means over pictures [N, S, S, 3] of PSNR (dB) and SSIM, of the whole picture and inside the soft face mask."""
    before = _rounded(before)
    mask = soft_face_mask(before.shape[1])
    squared = np.square(before - after, dtype=np.float64)
    similarity = tf.image.ssim(before, after, 1.0, filter_size=_SSIM_WINDOW, return_index_map=True).numpy()
    rim = _SSIM_WINDOW // 2  # The map lacks the places where the window does not fit.
    inner = mask[rim : before.shape[1] - rim, rim : before.shape[2] - rim, 0]
    return manifest.Change(
        psnr=_mean_psnr(squared.mean(axis=(1, 2, 3))),
        ssim=float(similarity.mean()),
        face_psnr=_mean_psnr((squared * mask).mean(axis=(1, 2, 3)) / mask.mean()),
        face_ssim=float((similarity * inner).mean() / inner.mean()),
    )


def _mean_psnr(squared_errors: np.ndarray) -> float:
    return float(np.mean(np.minimum(_IDENTICAL, -10.0 * np.log10(np.maximum(squared_errors, 1e-12)))))


def _refuse_idle(described: manifest.SimulatorManifest) -> None:
    if described.family == "perturbation":
        return
    mean = np.mean([each.psnr for each in described.change.values()])
    if mean > _MAX_PSNR:
        raise IdleSimulator(
            f"{described.name}: its output is on average at {mean:.1f} dB of its input; over {_MAX_PSNR:g} dB it "
            "is no test of a tag: train it longer, or leave it out"
        )
    more = [each["seen"] - each["unedited"] for each in described.success.values()]
    if not more:  # Nothing was measured: no reason to refuse it, and its manifest claims no success.
        return
    if np.mean(more) < MIN_EDITED:
        raise IdleSimulator(
            f"{described.name}: its edits are seen in {np.mean(more):.0%} more pictures than show them unedited, "
            f"{MIN_EDITED:.0%} are the least: train it longer, or leave it out"
        )
