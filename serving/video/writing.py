"""Writes a clip's frames anew as H.264, with their times, and its sound as it was."""

import contextlib
import fractions
from collections.abc import Callable, Iterator, Mapping
from typing import Any, BinaryIO

import av
import numpy as np

from faketagger.components.contract.picture import ImageError
from faketagger.serving.video.clips import EXACT, Clip, Frame

CRF = 18.0  # x264's constant rate factor: what it loses is hardly seen.
_QUICKTIMES = "com."
_OF_THE_OLD_FILE = ("major_brand", "minor_version", "compatible_brands", "encoder", "alpha_mode", "duration")
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
    """
    with clip.open() as source, _target(file, format, source) as target:
        stream = clip.stream(source)
        sounds = [each for each in source.streams.audio if each.codec_context is not None]
        with _refusing(f"{clip.name}: it does not go into a {format} file; name the output .mkv"):
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
            with _refusing(f"{clip.name}: it cannot be written as a {format} file"):
                if packet is None:
                    target.mux(coder.encode(changed, frame.pts))
                else:
                    packet.stream = copies[packet.stream.index]
                    target.mux(packet)
        with _refusing(f"{clip.name}: it cannot be written as a {format} file"):
            target.mux(made.encode(None))


def _target(file: BinaryIO, format: str, source: Any) -> Any:
    # QuickTime's own, such as the place, have keys of which FFmpeg else writes none into these formats.
    quicktimes = format != "matroska" and any(name.startswith(_QUICKTIMES) for name in source.metadata)
    return av.open(file, "w", format=format, options={"movflags": "use_metadata_tags"} if quicktimes else {})


def _kept(metadata: Mapping[str, str]) -> dict[str, str]:
    """Metadata without what says how the old file was written."""
    return {name: value for name, value in metadata.items() if name.lower() not in _OF_THE_OLD_FILE}


@contextlib.contextmanager
def _refusing(told: str) -> Iterator[None]:
    """What FFmpeg refuses to write becomes ImageError; what it cannot read is Clip.open's business."""
    try:
        yield
    except (av.error.FFmpegError, ValueError) as error:
        if isinstance(error, ImageError):
            raise
        raise ImageError(f"{told} ({getattr(error, 'strerror', None) or error})") from error


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
    coded.colorspace, coded.color_range = colours.matrix, colours.range
    coded.color_primaries, coded.color_trc = colours.primaries, colours.transfer
    if clip.aspect:
        turned = clip.rotation % 180
        coded.sample_aspect_ratio = 1 / clip.aspect if turned else clip.aspect
    return made


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
        matrix = None if colours.matrix == _UNSPECIFIED else colours.matrix
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
