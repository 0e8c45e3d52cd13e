"""What can go wrong for a client."""


class TaggerError(Exception):
    """What went wrong and what to do about it, in one line for people."""


class PictureError(TaggerError):
    """This one picture cannot be tagged (with this UID) or read; others can."""


class RefusedError(TaggerError):
    """A back-end refused what it was sent."""


class OverloadedError(TaggerError):
    """A server has too much to do, and had at every further try; a later one may succeed."""


class VersionGoneError(TaggerError):
    """The server no longer has the version that was asked for."""
