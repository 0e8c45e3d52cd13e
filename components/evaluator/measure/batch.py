"""Measures a tagger picture by picture: tag once, manipulate in every way declared, read. Imports no TFX."""

import dataclasses
import hashlib
import random
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import tensorflow as tf

from faketagger.components.contract import images, payload
from faketagger.components.evaluator.config import PLAIN, EvaluatorConfig
from faketagger.components.evaluator.measure import metrics, rows, slices
from faketagger.components.evaluator.measure.lpips import Lpips
from faketagger.components.evaluator.measure.models import Inputs, Simulators, Tagger, rounded
from faketagger.components.evaluator.measure.slices import Slice
from faketagger.components.evaluator.measure.visibility import visibility


@dataclasses.dataclass(frozen=True)
class Draw:
    """UIDs and masks of a batch: messages uint8 [B, k], masks and masked codewords float32 [B, n]."""

    messages: np.ndarray
    masks: np.ndarray
    codewords: np.ndarray


def draw(seed: int, image_ids: Sequence[str], repeat: int, code_matrix: np.ndarray) -> Draw:
    """A random UID and a random mask for each picture, a function of seed, image id and repeat alone.

    Thus they depend neither on the order of the pictures nor on batches or workers. Other masks for every picture are
    what makes the share of false positives one over keys, not that of one key. UIDs are not encrypted here: the
    message of a random one is random either way.
    """
    message_bits, code_bits = code_matrix.shape
    messages, masks = [], []
    for image_id in image_ids:
        digest = hashlib.sha256(f"{seed}\0{repeat}\0{image_id}".encode()).digest()
        tag = payload.Payload(code_matrix, payload.key_mask(digest, code_bits))
        messages.append(tag.message(random.Random(digest).getrandbits(message_bits)))
        masks.append(tag.mask)
    codewords = payload.encode_messages(np.stack(messages), code_matrix) ^ np.stack(masks)
    return Draw(np.stack(messages), np.stack(masks).astype(np.float32), codewords.astype(np.float32))


class Measurer:
    """Everything that measures one batch after another, loaded once.

    Args:
      inputs: what is evaluated.
      config: how.
    """

    def __init__(self, inputs: Inputs, config: EvaluatorConfig):
        self._slices, self._config = inputs.slices, config
        self.tagger = Tagger(inputs)
        self.simulators = Simulators(inputs.simulators_dir, list(inputs.simulators))
        self._quality = Quality(config)

    def measure(
        self, image_ids: Sequence[str], originals: np.ndarray, landmarks: np.ndarray | None = None
    ) -> Iterator[rows.Row]:
        """The rows of one batch of pictures, uint8 [B, S, S, 3], and their faces' landmarks, float32 [B, 5, 2]."""
        changes = changes_of(self.simulators, self._slices, originals, landmarks)
        for repeat in range(self._config.repeats):
            drawn = draw(self._config.seed, image_ids, repeat, self.tagger.code_matrix)
            untagged = self._read(originals, np.ones(len(originals), bool), drawn)
            yield from rows.of_batch(slices.ORIGINALS, image_ids, repeat, without_message(untagged))
            tagged, finite = self.tagger.encode(originals, drawn.codewords)
            quality = self._quality.measure(originals, tagged, finite)
            for described, made, made_finite in manipulations(self.simulators, self._slices, tagged, landmarks):
                change = changes[described.name]
                read = self._read(made, finite & made_finite & is_finite(change), drawn)
                of_slice = quality if described.kind == PLAIN else rows.NO_QUALITY
                yield from rows.of_batch(described, image_ids, repeat, read, change, of_slice)

    def _read(self, pictures: np.ndarray, finite: np.ndarray, drawn: Draw) -> rows.ReadColumns:
        """What comes of reading pictures; `finite` says which of them are worth reading."""
        read = self.tagger.decode(pictures, drawn.masks)
        finite = finite & np.isfinite(read["logits"]).all(axis=1) & np.isfinite(read["p_value"])
        return rows.ReadColumns(
            finite=finite,
            message_ok=finite & (read["message"] == drawn.messages).all(axis=1),
            bit_accuracy=np.where(finite, metrics.bit_accuracy(read["logits"], drawn.codewords), np.nan),
            tagged=read["tagged"].astype(bool),
            p_value=read["p_value"].astype(np.float64),
        )


def without_message(read: rows.ReadColumns) -> rows.ReadColumns:
    """What reading says of pictures in which no message was hidden."""
    return read._replace(message_ok=None, bit_accuracy=None)


def manipulations(
    simulators: Simulators, declared: Sequence[Slice], pictures: np.ndarray, landmarks: np.ndarray | None = None
) -> Iterator[tuple[Slice, np.ndarray, np.ndarray]]:
    """What becomes of pictures, uint8 [B, S, S, 3], in each slice: slice, pictures as saved, bool [B] finite ones.

    A simulator runs once a condition: what is perturbed after it takes its output. `after` slices follow theirs.
    """
    made, finite = pictures, np.ones(len(pictures), bool)
    for described in declared:
        if described.kind == slices.AFTER:
            perturbed, _ = _perturb(described, made)
            yield described, perturbed, finite
        elif described.kind == slices.SWEEP:
            yield described, *_perturb(described, pictures)
        else:
            if described.kind == slices.CONDITION:
                made, finite = simulators.simulate(*described.through, pictures, landmarks)
            yield described, made, finite


def _perturb(described: Slice, pictures: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return rounded(slices.perturbation_of(described)(tf.constant(images.to_float(pictures))))


def changes_of(
    simulators: Simulators, declared: Sequence[Slice], originals: np.ndarray, landmarks: np.ndarray | None = None
) -> dict[str, rows.ChangeColumns]:
    """By slice, how much it changes pictures, uint8 [B, S, S, 3]."""
    found = {}
    for described, made, finite in manipulations(simulators, declared, originals, landmarks):
        psnr, ssim = (np.where(finite, each(originals, made), np.nan) for each in (metrics.psnr, metrics.ssim))
        found[described.name] = rows.ChangeColumns(*(() if described.kind == PLAIN else (psnr, ssim)))
    return found


def is_finite(change: rows.ChangeColumns) -> np.ndarray | bool:
    """Which of a batch's original pictures a slice made finite numbers of, bool [B]; all where nothing is changed."""
    return change.change_psnr is None or np.isfinite(change.change_psnr)


class Quality:
    """How much of a picture tagging keeps.

    Args:
      config: names LPIPS' weights, if there are any.
    """

    def __init__(self, config: EvaluatorConfig):
        vgg, linear = config.lpips_vgg, config.lpips_linear
        self._lpips: Lpips | None = Lpips(vgg, linear) if vgg and linear else None

    def measure(self, originals: np.ndarray, tagged: np.ndarray, finite: np.ndarray) -> rows.QualityColumns:
        """Of uint8 [B, H, W, 3] twice, NaN where `tagged` was not finite; without LPIPS' weights its column is None."""

        def measured(by: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> np.ndarray:
            return np.where(finite, by(originals, tagged), np.nan)

        lpips = measured(self._lpips) if self._lpips else None
        return rows.QualityColumns(
            psnr=measured(metrics.psnr),
            ssim=measured(metrics.ssim),
            ms_ssim=measured(metrics.ms_ssim),
            visibility=measured(visibility),
            lpips=lpips,
        )
