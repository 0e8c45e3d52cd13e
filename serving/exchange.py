"""Tagging and reading pictures' files as a dialogue: what is asked of a model, and what is made of its answers.

A dialogue is a generator that yields what is to be asked and is sent the outputs, or thrown a RefusedError, so that the
synchronous and the asyncio client have the same.
"""

import dataclasses
import math
from collections.abc import Callable, Generator, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

import numpy as np

from faketagger.components.contract import images, signatures
from faketagger.components.contract.manifest import TaggerManifest
from faketagger.components.contract.payload import Payload, code_matrix_from_hex, versions_of
from faketagger.serving import limits
from faketagger.serving.errors import PictureError, RefusedError, TaggerError

# What one call takes of a batch: far below what servers refuse.
CALL_PICTURES, CALL_BYTES, CALL_PIXELS = 8, 16 * 2**20, 24_000_000
# Then a client asks again which version it is to work with: the server may have a newer one, or its label moved.
FOLLOWED_SECONDS = 60.0

_T = TypeVar("_T")


@dataclasses.dataclass(frozen=True)
class Reading:
    """What was read from a picture.

    Attributes:
      candidate: the UID that agrees best with the picture, whether or not that means anything. After a strong
        manipulation it is often right though `tagged` is false: good to look a photograph up by, proof of nothing.
      tagged: whether the picture carries a tag made with the key: p_value is at most the model's false positive rate.
      p_value: the probability, at most, that an untagged picture scores as high, in [0, 1] (docs/design.md).
      score: how well the picture agrees with the tag; its scale is the model's own.
      payload_version: how the tag hides the candidate (payload.VERSIONS).
    """

    candidate: int
    tagged: bool
    p_value: float
    score: float
    payload_version: int

    @property
    def uid(self) -> int | None:
        """The tag; None where `tagged` is false."""
        return self.candidate if self.tagged else None


class Question(NamedTuple):
    """A signature and its inputs; all of its outputs are wanted: those exported before have no `status`."""

    signature: str
    inputs: dict[str, np.ndarray]


class File(NamedTuple):
    """A picture's file as signatures take it, its name for errors, and, where it is to be tagged, its UID."""

    data: bytes
    name: str
    uid: int = 0


Described = tuple[int, TaggerManifest, list[Payload]]  # A version of the model, its numbers, its code under the key.
Dialogue = Generator[Question, Mapping[str, np.ndarray], _T]


def described(version: int, manifest: TaggerManifest, key: bytes) -> Described:
    """A version of a model with its code under a key; TaggerError where the key does not fit."""
    try:
        code_matrix = code_matrix_from_hex(manifest.code_matrix, manifest.code_bits)
        return version, manifest, [Payload.of_key(key, code_matrix, each) for each in versions_of(key)]
    except ValueError as error:
        raise TaggerError(str(error)) from error


def manifest_of(text: bytes | str) -> TaggerManifest:
    """The numbers that a model says; TaggerError where they are not of this client's version."""
    try:
        return TaggerManifest.from_json(text)
    except ValueError as error:
        raise TaggerError(f"the model's manifest is not of this client's version: {error}") from error


def prepare_all(
    files: Sequence[bytes], names: Sequence[str] | None = None, uids: Sequence[int] | None = None
) -> list[File | PictureError]:
    """Pictures' files as the signatures take them; without names, `picture 1` and so on in errors."""
    names = names or [f"picture {row + 1}" for row in range(len(files))]
    uids = uids if uids is not None else [0] * len(files)
    if not len(files) == len(names) == len(uids):
        raise ValueError(f"expected a name and a UID a picture: {len(files)}, {len(names)} and {len(uids)}")
    return [_prepare(*each) for each in zip(files, names, uids)]


def _prepare(image: bytes, name: str, uid: int) -> File | PictureError:
    try:
        return File(images.to_network_bytes(image, name), name, uid)
    except images.ImageError as error:
        return PictureError(str(error))


def check_strength(strength: float | None) -> None:
    """TaggerError where it is no number above 0."""
    if strength is not None and not (math.isfinite(strength) and strength > 0):
        raise TaggerError(f"the strength is a number above 0, got {strength}")


def codeword(payload: Payload, uid: int) -> np.ndarray:
    """float32 [n]; PictureError where the UID does not fit."""
    try:
        return np.float32(payload.codeword(uid))
    except ValueError as error:
        raise PictureError(str(error)) from error


def tag(files: Sequence[File | PictureError], strength: float | None, model: Described) -> Dialogue[list[Any]]:
    """Tags pictures: of each the bytes of a PNG, or the PictureError."""
    _, manifest, payloads = model
    factor = manifest.strength if strength is None else strength
    codewords: dict[int, np.ndarray] = {}
    given = list(files)
    for place, file in enumerate(given):
        try:
            if isinstance(file, File):
                codewords[file.uid] = codeword(payloads[0], file.uid)
        except PictureError as error:
            given[place] = PictureError(f"{file.name}: {error}")

    def question(call: Sequence[File]) -> Question:
        bits = np.stack([codewords[file.uid] for file in call])
        strengths = np.full([len(call)], factor, np.float32)
        return Question(signatures.TAG, {"image": _column(call), "codeword": bits, "strength": strengths})

    return (yield from _each(given, question, lambda found, row: bytes(found["image"][row])))


def read(files: Sequence[File | PictureError], model: Described) -> Dialogue[list[Any]]:
    """Reads pictures: of each a Reading, or the PictureError."""
    _, manifest, payloads = model
    best: list[Any] = list(files)
    for payload in payloads:
        # A picture that is read under one mask is not asked about under the next.
        wanted = [row for row, found in enumerate(best) if not (isinstance(found, PictureError) or _is_tagged(found))]
        mask = np.float32(payload.mask)

        def question(call: Sequence[File], mask: np.ndarray = mask) -> Question:
            return Question(signatures.READ, {"image": _column(call), "key_mask": np.tile(mask, [len(call), 1])})

        def answer(found: Mapping[str, np.ndarray], row: int, payload: Payload = payload) -> Reading:
            return _reading(found, row, payload, len(payloads), manifest.false_positive_rate)

        for row, found in zip(wanted, (yield from _each([files[row] for row in wanted], question, answer))):
            before = best[row]
            # The p-value falls as the score of one picture rises, but ends at 1, where only the score tells them apart.
            better = isinstance(before, File) or isinstance(found, PictureError) or _rank(found) > _rank(before)
            best[row] = found if better else before
    return best


def _is_tagged(found: Any) -> bool:
    return isinstance(found, Reading) and found.tagged


def _rank(reading: Reading) -> tuple[bool, float]:
    return reading.tagged, reading.score


def _reading(
    found: Mapping[str, np.ndarray], row: int, payload: Payload, masks: int, false_positive_rate: float
) -> Reading:
    """What the `read` signature found under one of the masks that are tried: each has its share of the rate."""
    p_value = min(1.0, masks * float(found["p_value"][row]))
    tagged = bool(found["tagged"][row]) and p_value <= false_positive_rate
    score = float(found["score"][row])
    return Reading(payload.uid(found["message"][row]), tagged, p_value, score, payload.version)


def _each(
    files: Sequence[File | PictureError],
    question: Callable[[Sequence[File]], Question],
    answer: Callable[[Mapping[str, np.ndarray], int], Any],
) -> Dialogue[list[Any]]:
    """Asks for several pictures at a time; a call that is refused is asked again in halves, down to the one it is."""
    results: list[Any] = list(files)
    waiting = _calls([row for row, file in enumerate(files) if isinstance(file, File)], files)
    while waiting:
        rows = waiting.pop()
        try:
            found = yield question([files[row] for row in rows])
        except RefusedError as error:
            if len(rows) == 1:
                results[rows[0]] = PictureError(f"{files[rows[0]].name}: {error}")
            else:
                waiting += [rows[len(rows) // 2 :], rows[: len(rows) // 2]]
            continue
        for place, row in enumerate(rows):
            status = _status(found, place)
            results[row] = PictureError(f"{files[row].name}: {status}") if status else answer(found, place)
    return results


def _status(found: Mapping[str, np.ndarray], row: int) -> str:
    return bytes(found[signatures.STATUS][row]).decode() if signatures.STATUS in found else ""


def _calls(rows: list[int], files: Sequence[Any]) -> list[list[int]]:
    """Rows by call, the last call first."""
    calls: list[list[int]] = []
    size = pixels = 0
    for row in rows:
        data = files[row].data
        size, pixels = size + len(data), pixels + (limits.pixels_of(data) or 0)
        if not calls or len(calls[-1]) == CALL_PICTURES or size > CALL_BYTES or pixels > CALL_PIXELS:
            calls.append([])
            size, pixels = len(data), limits.pixels_of(data) or 0
        calls[-1].append(row)
    return calls[::-1]


def _column(files: Sequence[File]) -> np.ndarray:
    return np.array([file.data for file in files], object)
