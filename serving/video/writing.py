"""Writes a clip's frames anew as H.264, with their times, and its sound as it was."""

import contextlib
import fractions
from collections.abc import Callable, Iterator, Mapping
from typing import Any, BinaryIO

import av
import numpy as np

from faketagger.components.contract.picture import ImageError
from faketagger.serving.video.clips import EXACT, Clip, Colours, Frame

CRF = 18.0  # x264's constant rate factor: what it loses is hardly seen.
_QUICKTIMES = "com."
_OF_THE_OLD_FILE = ("major_brand", "minor_version", "compatible_brands", "encoder", "alpha_mode", "duration")
_RGB, _BT709 = 0, 1  # Matrices.
_UNSPECIFIED = 2  # A matrix; FFmpeg converts with that of standard definition then, to and fro.


def write(clip: Clip, change: Callable[[Frame], np.ndarray], file: BinaryIO, format: str, crf: float = CRF) -> None:
    """Writes a clip.

    Kept are the times of its frames, its sound packet by packet, its metadata and its streams', its chapters, and what
    its numbers mean as colours. Frames come out upright.

    Args:
      clip: gone through once.
      change: what becomes of a frame, uint8 of its shape.
      file: open, can seek and be read; the clip is written at its beginning.
      format: mp4, mov or matroska.
      crf: x264's constant rate factor, 0 (nothing is lost) to 51.

    Raises:
      DamagedError, ImageError: as Clip.frames; ImageError also where the format cannot hold the sound.
      OSError: the file cannot be written.
    """
    with clip.open() as source, _target(file, format, source, clip.name) as target:
        stream = clip.stream(source)
        sounds = [each for each in source.streams.audio if each.codec_context is not None]
        with _refusing(clip.name, format):
            made = _video(target, stream, clip, crf)
            copies = {each.index: target.add_stream_from_template(each) for each in sounds}
            for old, new in ((stream, made), *((each, copies[each.index]) for each in sounds)):
                new.metadata.update(_kept(old.metadata))
            target.metadata.update(_kept(source.metadata))
            target.set_chapters(source.chapters())
            target.start_encoding()
        coder = _Coder(clip, made)
        for packet, decoded in clip.decoded(source, [stream, *sounds]):
            if packet is None:
                frame = coder.next(decoded)
                changed = change(frame)
            with _refusing(clip.name, format):
                if packet is None:
                    target.mux(coder.encode(changed, frame.pts))
                else:
                    packet.stream = copies[packet.stream.index]
                    target.mux(packet)
        with _refusing(clip.name, format):
            target.mux(made.encode(None))


@contextlib.contextmanager
def _target(file: BinaryIO, format: str, source: Any, name: str) -> Iterator[Any]:
    """A container of PyAV's to write to; its errors are no errors of the source."""
    # QuickTime's own, such as the place, have keys of which FFmpeg else writes none into these formats.
    quicktimes = format != "matroska" and any(key.startswith(_QUICKTIMES) for key in source.metadata)
    out = _Writable(file)
    target = av.open(out, "w", format=format, options={"movflags": "use_metadata_tags"} if quicktimes else {})
    try:
        yield target
    except BaseException:
        with contextlib.suppress(av.error.FFmpegError, ValueError, OSError):
            target.close()
        if out.error:  # Of which FFmpeg says no more than that there was one.
            raise out.error from None
        raise
    with _refusing(name, format):
        try:
            target.close()
        except av.error.FFmpegError:
            if out.error:
                raise out.error from None
            raise


class _Writable:
    """A file that keeps the error by which it cannot be written."""

    def __init__(self, file: BinaryIO):
        self.error: OSError | None = None
        self._file = file
        self.read, self.seek, self.tell = file.read, file.seek, file.tell

    def write(self, data: bytes) -> int:
        try:
            return self._file.write(data)
        except OSError as error:
            self.error = error
            raise

    def writable(self) -> bool:
        return True


def _kept(metadata: Mapping[str, str]) -> dict[str, str]:
    """Metadata without what says how the old file was written."""
    return {name: value for name, value in metadata.items() if name.lower() not in _OF_THE_OLD_FILE}


@contextlib.contextmanager
def _refusing(name: str, format: str) -> Iterator[None]:
    """What FFmpeg refuses to write becomes ImageError; what it cannot read is Clip.open's business."""
    try:
        yield
    except (av.error.FFmpegError, ValueError) as error:
        if isinstance(error, ImageError):
            raise
        elsewhere = "" if format == "matroska" else "; name the output .mkv"
        why = getattr(error, "strerror", None) or error
        raise ImageError(f"{name}: it does not go into a {format} file{elsewhere} ({why})") from error


def _video(target: Any, stream: Any, clip: Clip, crf: float) -> Any:
    """The stream of what is written."""
    rate = stream.average_rate or fractions.Fraction(clip.rate).limit_denominator(1001)
    made = target.add_stream("libx264", rate=rate, options={"crf": f"{crf:g}"})
    made.width, made.height = clip.size
    made.pix_fmt = "yuv420p"
    made.thread_count = 1  # With more, what is written would depend on the machine's cores.
    base = stream.time_base
    coded, colours = made.codec_context, clip.colours
    coded.time_base = base or 1 / rate
    coded.colorspace, coded.color_range = _matrix(colours), colours.range
    coded.color_primaries, coded.color_trc = colours.primaries, colours.transfer
    if clip.aspect:
        turned = clip.rotation % 180
        coded.sample_aspect_ratio = 1 / clip.aspect if turned else clip.aspect
    return made


def _matrix(colours: Colours) -> int:
    """In which frames are coded: RGB, of which 4:2:0 has no form, as BT.709."""
    return _BT709 if colours.matrix == _RGB else colours.matrix


class _Coder:
    """Brings changed frames into the encoder, with times that rise."""

    def __init__(self, clip: Clip, made: Any):
        self._clip, self._made = clip, made
        self._number = 0
        self._last: int | None = None

    def next(self, decoded: Any) -> Frame:
        """A frame as it is to be changed."""
        self._number += 1
        return self._clip.frame(self._number - 1, decoded)

    def encode(self, pixels: np.ndarray, pts: int | None) -> list[Any]:
        """The packets that are ready when a frame is added."""
        colours = self._clip.colours
        shown = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24")
        matrix = None if colours.matrix == _UNSPECIFIED else _matrix(colours)
        coded = shown.reformat(
            format="yuv420p",
            interpolation=EXACT,
            dst_colorspace=matrix,
            dst_color_range=colours.range or None,
            threads=1,
        )
        time = self._number if pts is None else pts
        if self._last is not None and time <= self._last:
            time = self._last + 1
        coded.pts, coded.time_base = time, self._made.codec_context.time_base
        self._last = time
        return self._made.encode(coded)
