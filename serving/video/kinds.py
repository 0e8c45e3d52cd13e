"""Which files are clips, told by content; imports nothing large, so that commands may ask for every file."""

from faketagger.components.contract import picture_decoding

# What is written, by the endings of names; the first is given where a name is made.
ENDINGS = {"mp4": (".mp4", ".m4v"), "mov": (".mov",), "matroska": (".mkv",)}
_BOXES = (b"ftyp", b"moov", b"mdat")
_WORDS = (b"wide", b"free", b"skip")  # Boxes too, with which old QuickTime may begin.


def kind_of(head: bytes) -> str | None:
    """MP4 (with QuickTime's), MKV (with WebM) or AVI by a file's first bytes; None for what is no clip."""
    if picture_decoding.kind_of(head) is not None:
        return None
    # A small box's size begins with 0, a text with a letter.
    if head[4:8] in _BOXES or (head[4:8] in _WORDS and head[:1] == b"\0"):
        return "MP4"
    if head[:4] == b"\x1a\x45\xdf\xa3":
        return "MKV"
    return "AVI" if head[:4] == b"RIFF" and head[8:12] == b"AVI " else None


def format_by_name(path: str) -> str | None:
    """The container, as FFmpeg calls it, that a name's ending stands for; None for others."""
    return next((format for format, endings in ENDINGS.items() if path.lower().endswith(endings)), None)
