"""Reads a photograph: tries the search's hypotheses until one is significant, and keeps the p-value a promise."""

import dataclasses
import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from faketagger.components.contract.payload import Payload
from faketagger.components.tagger import channel_decoder
from faketagger.serving.outcomes import Outcome
from faketagger.serving.photograph import search
from faketagger.serving.photograph.views import Photograph

# At most this probable in an untagged photograph, the best candidate may help to find the original.
PERHAPS = 0.05
_LEAST = 1.5e-45  # A float32 may round to 0, which would promise more than it can.

_KNOWN_DEPTH = 2  # As it is, mirrored, and both with jitter: a tag that is hardly there needs many views.

_CALL_BYTES = 16 * 2**20  # Of pictures in one call of the decoder: a quarter of what the embedded server takes.

# float32 [B, S, S, 3] in [0, 1] → the decoder's logits, float32 [B, n].
Decode = Callable[[np.ndarray], np.ndarray]


@dataclasses.dataclass(frozen=True)
class RegionReading:
    """What was read from a face, or from the photograph as a whole.

    Attributes:
      candidate: the UID that agrees best, whether or not that means anything.
      p_value: the probability, at most, that anything in an untagged photograph scores as high, in [0, 1]: corrected
        for all that is tried in the photograph, the other faces included.
      tagged: whether p_value is at most the model's false positive rate.
      score: how well it agrees, at most 1.
      payload_version: how the tag hides the candidate (payload.VERSIONS).
      how: the photograph was changed, in words, such as "mirrored"; empty where it was not.
      box: the face, (left, top, right, bottom) in pixels; None for the photograph as a whole.
    """

    candidate: int
    p_value: float
    tagged: bool
    score: float
    payload_version: int
    how: str = ""
    box: tuple[float, float, float, float] | None = None

    @property
    def uid(self) -> int | None:
        """The tag; None where `tagged` is false."""
        return self.candidate if self.tagged else None

    @property
    def outcome(self) -> Outcome:
        """TAGGED, PERHAPS or NO_TAG."""
        if self.tagged:
            return Outcome.TAGGED
        return Outcome.PERHAPS if self.p_value <= PERHAPS else Outcome.NO_TAG


@dataclasses.dataclass(frozen=True)
class PhotographReading:
    """What was read from a photograph.

    Attributes:
      faces: a reading a face, the largest first; those beyond search.MOST_FACES are not read.
      whole: of the photograph as a whole, faces and background together or the background alone.
      tries: how many hypotheses were tried, with each mask that the key has.
      key_fingerprint: of the key that was read with; what another key tagged reads as no tag.
    """

    faces: tuple[RegionReading, ...]
    whole: RegionReading
    tries: int
    key_fingerprint: str

    def moved(self, x: int, y: int) -> "PhotographReading":
        """The same of a picture of which the photograph is a part that begins at (x, y)."""
        faces = [
            each if each.box is None else dataclasses.replace(each, box=_moved(each.box, x, y)) for each in self.faces
        ]
        return dataclasses.replace(self, faces=tuple(faces))

    @property
    def best(self) -> RegionReading:
        """The reading that the photograph's own answer is: that of the lowest p-value."""
        return min((self.whole, *self.faces), key=lambda each: each.p_value)

    @property
    def uid(self) -> int | None:
        """The photograph's tag, or None."""
        return self.best.uid

    @property
    def outcome(self) -> Outcome:
        """TAGGED where anything in it is."""
        return self.best.outcome


def _moved(box: tuple[float, float, float, float], x: int, y: int) -> tuple[float, float, float, float]:
    return box[0] + x, box[1] + y, box[2] + x, box[3] + y


class _Judged(NamedTuple):
    """What logits read with one of the key's masks; `p_value` is corrected."""

    payload: Payload
    message: np.ndarray
    score: float
    p_value: float


class _Try(NamedTuple):
    """What a hypothesis reads with one of the key's masks."""

    hypothesis: search.Hypothesis
    judged: _Judged

    @property
    def p_value(self) -> float:
        return self.judged.p_value


@dataclasses.dataclass(frozen=True)
class Reader:
    """Reads with one key and one model.

    Attributes:
      decode: calls the model's decoder.
      payloads: what the key makes of UIDs, a version each; all are of one code.
      key_fingerprint: see PhotographReading.
      side: S, of the model's views.
      false_positive_rate: from which p-value on a photograph is tagged.
    """

    decode: Decode
    payloads: Sequence[Payload]
    key_fingerprint: str
    side: int
    false_positive_rate: float

    def read(self, photograph: Photograph, depth: int = search.THOROUGH, share: float = 1.0) -> PhotographReading:
        """Searches a photograph for the tag; ends with the first stage that finds one.

        Args:
          photograph: where to look.
          depth: how many stages there are at most.
          share: of the error probability, where other things than this photograph are looked at too.
        """
        return self._answer(photograph, *self._search(photograph, depth, share))

    def claim(self, photograph: Photograph) -> PhotographReading | None:
        """What a first look reads; None where it claims nothing, which is known sooner."""
        found, tries = self._search(photograph, search.LOOK, 1.0)
        return self._answer(photograph, found, tries) if self._claims(found) else None

    def agreement(self, photograph: Photograph, uids: Sequence[int], depth: int = _KNOWN_DEPTH) -> list[float]:
        """How improbable it is that a photograph without their tags agrees as well with UIDs that are known.

        Where it is known which tag there could be, no message is searched for, and much fainter traces are proof.

        Args:
          photograph: where to look.
          uids: those in question, chosen without the key.
          depth: how many stages of the search there are at most.

        Returns:
          A p-value for each, in [0, 1], corrected for all that is tried, the other UIDs included.
        """
        best = np.ones(len(uids))
        known: dict[tuple[bytes, bool], np.ndarray] = {}
        for stage in search.stages(photograph, depth):
            logits = self._averaged(photograph, stage.hypotheses, known)
            tries = stage.tries * len(self.payloads) * len(uids)
            for payload in self.payloads:
                for place, uid in enumerate(uids):
                    signs = np.broadcast_to(2 * payload.codeword(uid) - 1, logits.shape)
                    _, p_values = channel_decoder.significance(logits, signs, 0)
                    best[place] = min(best[place], tries * max(float(tf.reduce_min(p_values)), _LEAST))
        return best.tolist()

    def _search(self, photograph: Photograph, depth: int, share: float) -> tuple[dict[int | None, "_Try"], int]:
        """The best try at each face and at the whole, and how many there were."""
        found: dict[int | None, _Try] = {}
        tries = 0
        logits: dict[tuple[bytes, bool], np.ndarray] = {}
        for stage in search.stages(photograph, depth):
            tries += len(stage.hypotheses) * len(self.payloads)
            for tried in self._try(photograph, stage, share, logits):
                known = found.get(tried.hypothesis.face)
                if known is None or tried.p_value < known.p_value:
                    found[tried.hypothesis.face] = tried
            if self._claims(found):
                break
        return found, tries

    def _claims(self, found: Mapping[int | None, "_Try"]) -> bool:
        return any(each.p_value <= self.false_positive_rate for each in found.values())

    def _answer(self, photograph: Photograph, found: Mapping[int | None, "_Try"], tries: int) -> PhotographReading:
        def region(tried: _Try, box: tuple[float, float, float, float] | None = None) -> RegionReading:
            return dataclasses.replace(self._reading(tried.judged), how=tried.hypothesis.how, box=box)

        faces = [region(found[place], face.box) for place, face in enumerate(photograph.faces[: search.MOST_FACES])]
        return PhotographReading(tuple(faces), region(found[None]), tries, self.key_fingerprint)

    def _try(
        self, photograph: Photograph, stage: search.Stage, share: float, known: dict[tuple[bytes, bool], np.ndarray]
    ) -> Iterator["_Try"]:
        """What each hypothesis reads, with each mask; `known` are the logits of views by their keys, and grow."""
        logits = self._averaged(photograph, stage.hypotheses, known)
        for number, judged in self._judged(logits, stage.tries / share):
            yield _Try(stage.hypotheses[number], judged)

    def judge(self, logits: np.ndarray, tries: float) -> Iterator[tuple[int, RegionReading]]:
        """What averaged logits, float32 [B, n], read with each mask, with the row; p-values times `tries`."""
        return ((number, self._reading(judged)) for number, judged in self._judged(logits, tries))

    def _judged(self, logits: np.ndarray, tries: float) -> Iterator[tuple[int, "_Judged"]]:
        for payload in self.payloads:
            decode = _channel_decoder(payload.code_matrix.tobytes(), payload.code_matrix.shape)
            decoded = decode(logits * (np.float32(1.0) - np.float32(2.0) * payload.mask))
            for number, (message, score, p_value) in enumerate(zip(*(each.numpy() for each in decoded))):
                corrected = min(1.0, len(self.payloads) * tries * max(float(p_value), _LEAST))
                yield number, _Judged(payload, message, float(score), corrected)

    def _reading(self, judged: "_Judged") -> RegionReading:
        # Deciphering takes milliseconds: it is done for what is answered, not for all that is tried.
        candidate = judged.payload.uid(judged.message)
        tagged = judged.p_value <= self.false_positive_rate
        return RegionReading(candidate, judged.p_value, tagged, judged.score, judged.payload.version)

    def _averaged(
        self,
        photograph: Photograph,
        hypotheses: Sequence[search.Hypothesis],
        known: dict[tuple[bytes, bool], np.ndarray],
    ) -> np.ndarray:
        """The mean logits of each hypothesis' views, float32 [B, n]."""
        new = {view.key: view for each in hypotheses for view in each.views if view.key not in known}
        if new:
            known.update(zip(new, self._logits(photograph, list(new.values()))))
        return np.stack([np.mean([known[view.key] for view in each.views], 0) for each in hypotheses])

    @property
    def views_a_call(self) -> int:
        """How many views go into one call of the decoder at most."""
        return max(1, _CALL_BYTES // (12 * self.side**2))

    def _logits(self, photograph: Photograph, shown: Sequence[search.View]) -> np.ndarray:
        """The logits of each view, float32 [B, n]; asked for in calls of a bounded size."""
        a_call, found = self.views_a_call, []
        for start in range(0, len(shown), a_call):
            pictures = [photograph.view(each.transform, self.side) for each in shown[start : start + a_call]]
            negative = [each.inverted for each in shown[start : start + a_call]]
            found.append(self.decode(np.stack([1 - seen if flip else seen for seen, flip in zip(pictures, negative)])))
        return np.concatenate(found)


@functools.lru_cache(maxsize=8)
def _channel_decoder(matrix: bytes, shape: tuple[int, int]):
    """The channel decoder of a code, as a graph."""
    code_matrix = np.frombuffer(matrix, np.uint8).reshape(shape)
    spec = tf.TensorSpec([None, shape[1]], tf.float32)
    return tf.function(lambda logits: channel_decoder.decode(logits, code_matrix), input_signature=[spec])
