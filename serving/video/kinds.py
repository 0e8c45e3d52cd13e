"""Which files are clips, told by content; imports nothing large, so that commands may ask for every file."""

from faketagger.components.contract import picture_decoding

# What is written, by the endings of names; the first is given where a name is made.
ENDINGS = {"mp4": (".mp4", ".m4v"), "mov": (".mov",), "matroska": (".mkv",)}
_SEGMENT = b"\x18\x53\x80\x67"
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


def breaks_off(head: bytes, size: int) -> bool:
    """Whether an MKV or AVI of so many bytes says in its first 64 that it has more; FFmpeg takes it for whole."""
    if kind_of(head) == "AVI":
        return 8 + int.from_bytes(head[4:8], "little") > size
    if kind_of(head) != "MKV":
        return False
    told, begins = _ebml_size(head, 4)
    segment = begins + (told or 0)
    if told is None or head[segment : segment + 4] != _SEGMENT:
        return False
    told, begins = _ebml_size(head, segment + 4)
    return told is not None and begins + told > size


def _ebml_size(head: bytes, at: int) -> tuple[int | None, int]:
    """The size (RFC 8794, section 4) that stands at a place, None where it is unknown, and where it ends."""
    first = head[at] if at < len(head) else 0
    length = 9 - first.bit_length()
    value = int.from_bytes(head[at : at + length], "big") & ((1 << 7 * length) - 1)
    whole = 0 < first and at + length <= len(head)
    return (value if whole and value != (1 << 7 * length) - 1 else None), at + length


def format_by_name(path: str) -> str | None:
    """The container, as FFmpeg calls it, that a name's ending stands for; None for others."""
    return next((format for format, endings in ENDINGS.items() if path.lower().endswith(endings)), None)
