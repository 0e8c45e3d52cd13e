"""The best, median and worst picture of each slice, found in an evaluation's rows and made once more. Imports no TFX.

UIDs, masks, networks and perturbations are functions of the picture, the seed and the strengths alone, so what is made
here is what was measured.
"""

import dataclasses
import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from PIL import Image

from faketagger.components.contract import features
from faketagger.components.evaluator.config import PLAIN, EvaluatorConfig
from faketagger.components.evaluator.measure import metrics, models, parts, rows, slices
from faketagger.components.evaluator.measure.batch import Measurer, draw, manipulations
from faketagger.components.evaluator.measure.slices import Slice
from faketagger.components.evaluator.verdict.record import Evaluation

RANKS = ("best", "median", "worst")
GAIN = 10  # Of the residual.
MAX_SIDE = 128  # Pictures are shown no larger.
MAX_CANDIDATES = 32  # Other pictures than the evaluation's are measured first, and that takes its time.
_BATCH = 16
# A picture on the verge of being read may be read otherwise in another batch: floats are added up in another order.
_MAX_CHANGED = 0.1


class Choice(NamedTuple):
    """A picture that stands for a slice, and how it was read when it was measured."""

    slice: str
    rank: str
    image_id: str
    repeat: int
    message_ok: bool
    bit_accuracy: float


@dataclasses.dataclass(frozen=True)
class Picture:
    """One line of the gallery.

    Attributes:
      slice, rank: what it stands for.
      image_id, repeat: which picture under which UID.
      original, tagged, residual, manipulated: uint8 [side, side, 3], at most MAX_SIDE; the residual ×GAIN around grey.
      psnr: dB between original and tagged picture, at their own size.
      wrong_bits: of the message, 0 where it was read right.
      bit_accuracy: of the codeword, 0…1; NaN where the networks made no numbers.
      p_value: of the reading.
    """

    slice: str
    rank: str
    image_id: str
    repeat: int
    original: np.ndarray
    tagged: np.ndarray
    residual: np.ndarray
    manipulated: np.ndarray
    psnr: float
    wrong_bits: int
    bit_accuracy: float
    p_value: float


class Maker:
    """Makes galleries with a tagger and simulators, loaded once.

    Args:
      evaluation: its record; says seed, strength, repeats, picture size and slices.
      model_dir: the SavedModel of the tagger that was evaluated.
      simulators_dir: the simulators that it was evaluated with.

    Raises:
      ValueError: they are not those of the evaluation, as far as manifests show, or cannot be loaded.
    """

    def __init__(self, evaluation: Evaluation, model_dir: str, simulators_dir: str):
        self._config = EvaluatorConfig(seed=evaluation.seed, strength=evaluation.tagger.strength, sweeps={}, after=())
        self._slices = slices_of(evaluation)
        found = models.read_inputs(model_dir, simulators_dir, self._config)
        _check(evaluation, found, self._slices)
        used = {each.simulator for each in self._slices if each.kind in (slices.CONDITION, slices.AFTER)}
        simulators = {name: made for name, made in found.simulators.items() if name in used}
        self._inputs = dataclasses.replace(found, simulators=simulators, slices=self._slices)
        self._measurer = Measurer(self._inputs, self._config)

    def of_evaluation(self, directory: str, examples_uri: str) -> list[Picture]:
        """The pictures that the evaluation's rows choose; ValueError where the Examples' eval split lacks one."""
        choices = choose(directory, self._slices)
        return self.make(choices, _pictures(examples_uri, {each.image_id for each in choices}, self._inputs.image_size))

    def of_others(self, examples_uri: str) -> list[Picture]:
        """The best, median and worst of an Examples artifact's eval split; at most MAX_CANDIDATES are measured."""
        originals = _pictures(examples_uri, None, self._inputs.image_size)
        image_ids = list(originals)
        if not image_ids:
            raise ValueError(f"{examples_uri}: no pictures in the split {features.EVAL_SPLIT}")
        found: dict[str, list[_Try]] = {}
        for start in range(0, len(image_ids), _BATCH):
            batch = image_ids[start : start + _BATCH]
            given = parts.stacked([originals[image_id] for image_id in batch])
            for row in self._measurer.measure(batch, *given):
                tried = _try(row.image_id, row.repeat, row.message_ok, row.bit_accuracy)
                found.setdefault(row.slice, []).append(tried)
        choices = [choice for each in self._slices for choice in _ranked(each.name, found[each.name])]
        return self.make(choices, originals)

    def make(self, choices: Sequence[Choice], originals: dict[str, parts.Original]) -> list[Picture]:
        """Tags, manipulates and reads the chosen pictures.

        Args:
          choices: which, those of a slice in a row.
          originals: by image id.

        Raises:
          ValueError: many are read otherwise than when they were measured: other tagger, simulators or pictures.
        """
        known = {each.name: each for each in self._slices}
        made: list[Picture] = []
        for name, chosen in itertools.groupby(choices, key=lambda choice: choice.slice):
            # What is perturbed after a simulator takes that simulator's output.
            first = [known[_before(known[name])]] if known[name].kind == slices.AFTER else []
            made += self._make_slice([*first, known[name]], list(chosen), originals)
        changed = sum((picture.wrong_bits == 0) != choice.message_ok for picture, choice in zip(made, choices))
        if changed > _MAX_CHANGED * len(choices):
            raise ValueError(
                f"{changed} of {len(choices)} gallery pictures are read otherwise than the evaluation says: "
                "give the tagger, the simulators and the Examples that were evaluated"
            )
        return made

    def _make_slice(
        self, chain: Sequence[Slice], chosen: Sequence[Choice], originals: dict[str, parts.Original]
    ) -> Iterator[Picture]:
        tagger = self._measurer.tagger
        draws = [draw(self._config.seed, [each.image_id], each.repeat, tagger.code_matrix) for each in chosen]
        codewords = np.concatenate([each.codewords for each in draws])
        messages = np.concatenate([each.messages for each in draws])
        given, landmarks = parts.stacked([originals[each.image_id] for each in chosen])
        tagged, finite = tagger.encode(given, codewords)
        *_, (_, manipulated, made_finite) = manipulations(self._measurer.simulators, chain, tagged, landmarks)
        read = tagger.decode(manipulated, np.concatenate([each.masks for each in draws]))
        finite = finite & made_finite & np.isfinite(read["logits"]).all(axis=1)
        accuracy = np.where(finite, metrics.bit_accuracy(read["logits"], codewords), np.nan)
        wrong = np.where(finite, np.sum(read["message"] != messages, axis=1), messages.shape[1])
        psnr = metrics.psnr(given, tagged)
        for index, choice in enumerate(chosen):
            residual = 128 + GAIN * (tagged[index].astype(np.float32) - given[index])
            yield Picture(
                choice.slice,
                choice.rank,
                choice.image_id,
                choice.repeat,
                original=_shown(given[index]),
                tagged=_shown(tagged[index]),
                residual=_shown(np.clip(residual, 0, 255).astype(np.uint8)),
                manipulated=_shown(manipulated[index]),
                psnr=psnr[index],
                wrong_bits=int(wrong[index]),
                bit_accuracy=accuracy[index],
                p_value=read["p_value"][index],
            )


def slices_of(evaluation: Evaluation) -> list[Slice]:
    """The slices of an evaluation in the order of slices.declared: an `after` slice stands behind its simulator's."""
    found = [
        Slice(name, each.kind, each.simulator, each.condition, each.family, each.black_box, each.strength_value)
        for name, each in evaluation.slices.items()
    ]

    def order(each: Slice) -> tuple:
        kind = slices.CONDITION if each.kind == slices.AFTER else each.kind
        rank = (PLAIN, slices.CONDITION, slices.SWEEP).index(kind)
        return rank, each.simulator or "", each.strength or 0.0, _before(each), each.kind == slices.AFTER

    return sorted(found, key=order)


def _before(described: Slice) -> str:
    """The slice whose pictures are perturbed in an `after` slice; of other kinds, the slice itself."""
    return described.name.rpartition("+")[0] if described.kind == slices.AFTER else described.name


def _check(evaluation: Evaluation, found: models.Inputs, declared: Sequence[Slice]) -> None:
    """ValueError where manifests and evaluation contradict each other."""
    size, evaluated = evaluation.image_size, evaluation.tagger
    if found.image_size != size:
        raise ValueError(f"{found.simulators_dir}: made for {found.image_size} pixels; the evaluation is of {size}")
    for key in ("message_bits", "code_bits", "image_size"):
        given, was = getattr(found.tagger, key), getattr(evaluated, key)
        if given != was:
            raise ValueError(f"{found.model_dir}: {key} {given}; the evaluated tagger's was {was}")
    for simulator, condition in (each.through for each in declared if each.kind == slices.CONDITION):
        if simulator not in found.simulators:
            raise ValueError(f"{found.simulators_dir}: no simulator '{simulator}', which the evaluation has")
        if condition not in found.simulators[simulator].ways:
            raise ValueError(f"{found.simulators_dir}: '{simulator}' has no condition '{condition}'")


def choose(directory: str, declared: Iterable[Slice]) -> list[Choice]:
    """The best, median and worst row of each slice by whole message, then bit accuracy; what was not finite is worst.

    Args:
      directory: the evaluation's, with its rows-*.parquet.
      declared: the slices.

    Raises:
      ValueError: a slice has no rows.
    """
    choices = []
    for described in declared:
        found = rows.read(directory, described.name, ("message_ok", "bit_accuracy"))
        columns = (found[name] for name in ("image_id", "repeat", "message_ok", "bit_accuracy"))
        tries = [_try(*values) for values in zip(*columns)]
        if not tries:
            raise ValueError(f"{directory}: no rows of the slice {described.name}: was rows-*.parquet moved away?")
        choices += _ranked(described.name, tries)
    return choices


class _Try(NamedTuple):
    """One row as far as it counts here; a bit accuracy of −1 where the networks made no numbers."""

    image_id: str
    repeat: int
    message_ok: bool
    bit_accuracy: float


def _try(image_id: str, repeat: int, message_ok: bool | None, bit_accuracy: float | None) -> _Try:
    accuracy = -1.0 if bit_accuracy is None or np.isnan(bit_accuracy) else float(bit_accuracy)
    return _Try(image_id, int(repeat), bool(message_ok), accuracy)


def _ranked(slice_name: str, tries: Sequence[_Try]) -> list[Choice]:
    # By name last: among equals always the same is chosen.
    ordered = sorted(tries, key=lambda each: (-each.message_ok, -each.bit_accuracy, each.image_id, each.repeat))
    chosen = (ordered[0], ordered[len(ordered) // 2], ordered[-1])
    return [Choice(slice_name, rank, *each) for rank, each in zip(RANKS, chosen)]


def _pictures(examples_uri: str, wanted: set[str] | None, image_size: int) -> dict[str, parts.Original]:
    """Pictures of the eval split by image id: those wanted, or the first MAX_CANDIDATES."""
    found: dict[str, parts.Original] = {}
    for path in features.example_files(examples_uri, features.EVAL_SPLIT):
        for record in parts.read_records(parts.whole_file(path)):
            if len(found) == (MAX_CANDIDATES if wanted is None else len(wanted)):
                return found
            image_id = parts.image_id_of(record)
            if wanted is None or image_id in wanted:
                found[image_id] = parts.parse_record(record, image_size)
    missing = sorted((wanted or set()) - set(found))
    if missing:
        raise ValueError(f"{examples_uri}: lacks {len(missing)} of the evaluated pictures, '{missing[0]}' among them")
    return found


def _shown(picture: np.ndarray) -> np.ndarray:
    side = min(MAX_SIDE, len(picture))
    return np.asarray(Image.fromarray(picture).resize((side, side), Image.Resampling.LANCZOS))
