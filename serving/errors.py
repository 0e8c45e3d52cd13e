"""What can go wrong for a client."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from faketagger.serving.photograph.reading import PhotographReading


class TaggerError(Exception):
    """What went wrong and what to do about it, in one line for people."""


class PictureError(TaggerError):
    """This one picture cannot be tagged (with this UID) or read; others can."""


class AlreadyTaggedError(PictureError):
    """The picture carries a tag of this key.

    Attributes:
      reading: which.
    """

    def __init__(self, name: str, reading: PhotographReading):
        super().__init__(f"{name}: carries a tag of this key already, UID {reading.uid}")
        self.reading = reading


class NotReadError(PictureError):
    """A tag cannot be read from what was just tagged."""


class RefusedError(TaggerError):
    """A back-end refused what it was sent."""


class OverloadedError(TaggerError):
    """A server has too much to do, and had at every further try; a later one may succeed."""


class VersionGoneError(TaggerError):
    """The server no longer has the version that was asked for."""
