"""What the platform asks of a tagger, and the client that answers it; nothing else here imports TensorFlow, late."""

import dataclasses
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from faketagger.components.contract.picture import Picture
from faketagger.serving import errors
from faketagger.serving.outcomes import Outcome


class UnfitError(Exception):
    """This picture cannot be tagged; the message says why, in words that may be shown."""


class UnavailableError(Exception):
    """The tagger does not work now; the message is for the log, as it may name machines."""


@dataclasses.dataclass(frozen=True)
class Found:
    """What was read from a picture.

    Attributes:
      outcome: TAGGED, PERHAPS or NO_TAG.
      candidate: the UID that agrees best.
      p_value: the probability, at most, that an untagged picture reads so.
      how: the picture was changed, in words such as "mirrored"; empty where it is not known to be.
      key_fingerprint: of the key.
      boxes: of its faces, the largest first: left, top, right, bottom in pixels.
    """

    outcome: Outcome
    candidate: int
    p_value: float
    how: str
    key_fingerprint: str
    boxes: tuple[tuple[float, float, float, float], ...]


class Tagger(Protocol):
    """Reads and tags; its methods raise UnfitError or UnavailableError, and may be called from several threads."""

    def uid_bits(self) -> int:
        """UIDs are numbers from 0 to 2^this − 1."""

    def read(self, pixels: np.ndarray) -> Found:
        """Searches a photograph, uint8 [H, W, 3], for a tag."""

    def agreement(self, pixels: np.ndarray, uids: Sequence[int]) -> list[float]:
        """How improbable it is, for each of a few UIDs, that a picture without their tags agrees as well with it."""

    def tag(self, picture: Picture, uid: int, replace: bool) -> Any:
        """Tags a picture in place; what `check` needs to know. UnfitError where it is tagged, unless `replace`."""

    def check(self, pixels: np.ndarray, uid: int, made: Any) -> None:
        """UnfitError where the tag is not read from uint8 [H, W, 3], what became of the tagged picture in its file."""


class ClientTagger:
    """A Tagger by a TaggerClient, over gRPC or in this process."""

    def __init__(self, backend: Any, key: bytes):
        """Works through a client.Backend."""
        from faketagger.serving import client

        self._describe = lambda: client.describe(backend)
        self._client = client.TaggerClient(backend, key)
        self._carries_one, self._does_not_hold = client.AlreadyTaggedError, client.NotReadError

    def uid_bits(self) -> int:
        return self._ask(self._describe)[1].message_bits

    def read(self, pixels: np.ndarray) -> Found:
        reading = self._ask(lambda: self._client.read_photograph(pixels))
        best, boxes = reading.best, tuple(face.box for face in reading.faces)
        return Found(reading.outcome, best.candidate, best.p_value, best.how, reading.key_fingerprint, boxes)

    def agreement(self, pixels: np.ndarray, uids: Sequence[int]) -> list[float]:
        return self._ask(lambda: self._client.agreement(pixels, uids))

    def tag(self, picture: Picture, uid: int, replace: bool) -> Any:
        visible = picture.visible()
        if not visible.pixels.size:
            raise UnfitError("nothing in the picture is visible")
        # Views of faces reach beyond a cutout's rim, where no tag stays.
        made = self._ask(
            lambda: self._client.photograph_tag(visible.rgb(), uid, whole=picture.is_cutout, replace=replace)
        )
        visible.add(made.overlay.strips())
        return made

    def check(self, pixels: np.ndarray, uid: int, made: Any) -> None:
        self._ask(lambda: self._client.check(pixels, uid, made))

    def close(self) -> None:
        """Lets go of the model, or of the server."""
        self._client.close()

    def _ask(self, question: Any) -> Any:
        try:
            return question()
        # The client's own words name UIDs, which the uploader is not to know.
        except self._carries_one as error:
            raise UnfitError("the picture carries a tag already") from error
        except self._does_not_hold as error:
            raise UnfitError("the tag does not hold in this picture") from error
        except errors.PictureError as error:
            raise UnfitError(str(error)) from error
        except errors.TaggerError as error:
            raise UnavailableError(str(error)) from error
