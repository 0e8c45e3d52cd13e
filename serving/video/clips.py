"""Opens clips: the only place where one is decoded. Imports PyAV, which takes a moment; photographs do without.

A clip is read frame by frame and never held as a whole. Its file is handed to FFmpeg as bytes, under the name of one
container, so that no file can make it open another one or an address; only usual codecs are decoded.
"""

import contextlib
import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any, BinaryIO

import av
import numpy as np

from faketagger.components.contract.picture import DamagedError, ImageError
from faketagger.serving.video.kinds import breaks_off, kind_of

CODECS = ("h264", "hevc", "vp8", "vp9", "av1", "libdav1d", "libvpx", "libvpx-vp9", "mpeg4", "mjpeg", "prores")
_FFMPEGS_NAMES = {"MP4": "mov", "MKV": "matroska", "AVI": "avi"}
# Bilinear, rounded, colours at full resolution between the steps: without these flags of libswscale each conversion
# darkens a picture by a grey level.
EXACT = 0x2 | 0x40000 | 0x2000 | 0x4000
_LEFT_OUT = {"video": "further videos", "subtitle": "subtitles"}  # What else there is are data; sound is kept.
_WITH_HIGH_RANGE = (16, 18)  # Transfers: PQ and HLG.
_UNSPECIFIED = 2


@dataclasses.dataclass(frozen=True)
class Limits:
    """What a clip may ask for; what asks for more is refused before it is decoded, or while.

    Attributes:
      pixels: of one frame.
      frames: how many.
      seconds: how long it says that it is.
      packets: pieces of the file, of all streams, those that give no frame included.
    """

    pixels: int = 9_000_000
    frames: int = 40_000
    seconds: float = 1200.0
    packets: int = 400_000


LIMITS = Limits()


@dataclasses.dataclass(frozen=True)
class Colours:
    """How a clip's numbers mean colours: FFmpeg's numbers of matrix, range, primaries and transfer."""

    matrix: int
    range: int
    primaries: int
    transfer: int


@dataclasses.dataclass(frozen=True, eq=False)
class Frame:
    """A decoded frame.

    Attributes:
      number: from 0, in the order in which frames are shown.
      pixels: uint8 [H, W, 3], RGB, upright; H and W are even.
      pts: when it is shown, in units of its clip's time base; None where the file does not say.
    """

    number: int
    pixels: np.ndarray
    pts: int | None


class Clip:
    """A file that holds a clip. Its frames can be gone through several times.

    Attributes:
      name: what errors call it.
      size: width and height of its frames, upright.
      rate: frames a second, on average.
      count: how many frames there are, by the pieces of its file.
      damage: what was wrong with the file as far as it was gone through, a phrase each.
      changes: what comes out otherwise when it is tagged, a phrase each.
    """

    def __init__(self, file: BinaryIO, name: str = "clip", limits: Limits = LIMITS):
        """Looks at the first frame.

        Args:
          file: open, and can seek; it is left open.
          name: what to call the clip in errors.
          limits: what it may ask for.

        Raises:
          DamagedError: no clip, or a broken one.
          ImageError: larger or longer than `limits`, or of a kind that is not taken.
        """
        self.name, self._file, self.limits = name, file, limits
        self.damage: list[str] = []
        self.changes: list[str] = []
        file.seek(0)
        head = file.read(64)
        if kind_of(head) is None:
            raise DamagedError(f"{name}: no clip of a known kind")
        if breaks_off(head, file.seek(0, 2)):
            self._damaged("it breaks off")
        with self.open() as container:
            stream = self._checked_stream(container)
            rate = stream.average_rate or stream.guessed_rate
            self.rate = float(rate) if rate and 1 <= rate <= 1000 else 25.0
            self.size, self.rotation, self.colours = (0, 0), 0, Colours(*[_UNSPECIFIED] * 4)
            self.aspect = stream.sample_aspect_ratio
            self._find_out(container, stream)
        self.count = self._counted()

    @contextlib.contextmanager
    def open(self) -> Iterator[Any]:
        """The file as one of PyAV's containers, from its beginning. Errors of FFmpeg become DamagedError."""
        self._file.seek(0)
        kind = _FFMPEGS_NAMES[kind_of(self._file.read(32)) or "MP4"]
        self._file.seek(0)
        try:
            with av.open(_Readable(self._file), format=kind, metadata_errors="replace") as container:
                yield container
        except av.error.FFmpegError as error:
            raise DamagedError(f"{self.name}: a broken clip: {error.strerror}") from error

    def frames(self, step: int = 1, until: int | None = None) -> Iterator[Frame]:
        """Every `step`-th frame, in the order in which they are shown.

        Args:
          step: how many frames one is taken of.
          until: the number of the frame before which it ends.

        Raises:
          DamagedError: no frame can be decoded.
          ImageError: there are more, or larger ones, than allowed.
        """
        with self.open() as container:
            stream = self._checked_stream(container)
            for number, (_, decoded) in enumerate(self.decoded(container, [stream])):
                if until is not None and number >= until:
                    return
                if number % step == 0:
                    yield self.frame(number, decoded)

    def decoded(self, container: Any, streams: Sequence[Any]) -> Iterator[tuple[Any, Any]]:
        """Goes through streams of an opened file, of which the first is the video's.

        Yields:
          (None, a decoded frame of the video), or (a packet, None) of another stream, in the order of the file.
        """
        shown = 0
        for packet in self._packets(container, streams):
            if packet.stream is not streams[0]:
                yield packet, None
                continue
            try:
                found = packet.decode()
            except av.error.InvalidDataError:
                self._damaged("frames that cannot be decoded are left out")
                continue
            for frame in found:
                if frame.width * frame.height > self.limits.pixels:
                    raise ImageError(f"{self.name}: {self._too_large(frame.width, frame.height)}")
                shown += 1
                if shown > self.limits.frames:
                    raise ImageError(f"{self.name}: more than {self.limits.frames:,} frames: cut it into parts")
                yield None, frame
        if not shown:
            raise DamagedError(f"{self.name}: no frame of it can be decoded")

    def _packets(self, container: Any, streams: Sequence[Any]) -> Iterator[Any]:
        """The packets of streams, with an empty one of the video at the end; ends where the file breaks off."""
        demuxed = container.demux(*streams)
        for _ in range(self.limits.packets):
            try:
                packet = next(demuxed)
            except StopIteration:
                return
            except av.error.FFmpegError:
                self._damaged("it breaks off")
                packet = av.Packet()
                packet.stream = streams[0]
                yield packet
                return
            if packet.stream is streams[0] or packet.dts is not None:
                yield packet
        raise ImageError(f"{self.name}: more than {self.limits.packets:,} pieces of data: cut it into parts")

    def _damaged(self, note: str) -> None:
        if note not in self.damage:
            self.damage.append(note)

    def frame(self, number: int, decoded: Any) -> Frame:
        """A decoded frame as the project takes it; one of another size than the first is brought to that."""
        width, height = self._stored_size
        # Without the matrix's name FFmpeg takes that of standard definition, as most players do where none is said.
        made = decoded.reformat(
            width, height, "rgb24", interpolation=EXACT, src_color_range=self.colours.range, threads=1
        )
        pixels = made.to_ndarray()[: height - height % 2, : width - width % 2]
        return Frame(number, np.ascontiguousarray(np.rot90(pixels, self.rotation // 90)), decoded.pts)

    def stream(self, container: Any) -> Any:
        """The video's stream of the file opened anew."""
        return self._checked_stream(container)

    def _counted(self) -> int:
        """Frames, counted without decoding any: what the header says of them may be wrong."""
        with self.open() as container:
            stream = self._checked_stream(container)
            count = sum(packet.size > 0 for packet in self._packets(container, [stream]))
        if count > self.limits.frames:
            raise ImageError(f"{self.name}: more than {self.limits.frames:,} frames: cut it into parts")
        return max(1, count)

    def _checked_stream(self, container: Any) -> Any:
        """The video's stream, ready to be decoded within the limits."""
        if not container.streams.video:
            raise DamagedError(f"{self.name}: there is no video in it")
        stream = container.streams.video[0]
        coded = stream.codec_context
        if coded is None or coded.name not in CODECS:
            name = "an unknown one" if coded is None else coded.name
            raise ImageError(f"{self.name}: its codec, {name}, is not taken: save it as H.264")
        if coded.width * coded.height > self.limits.pixels:
            raise ImageError(f"{self.name}: {self._too_large(coded.width, coded.height)}")
        seconds = max(
            float(container.duration or 0) / av.time_base, float((stream.duration or 0) * (stream.time_base or 0))
        )
        if seconds > self.limits.seconds:
            raise ImageError(f"{self.name}: {seconds:,.0f} s are more than {self.limits.seconds:,.0f}: cut it")
        if (stream.frames or 0) > self.limits.frames:
            raise ImageError(f"{self.name}: more than {self.limits.frames:,} frames: cut it into parts")
        coded.thread_count = 1
        coded.options = {"max_pixels": str(self.limits.pixels)}
        return stream

    def _find_out(self, container: Any, stream: Any) -> None:
        """What the first frame tells."""
        _, frame = next(self.decoded(container, [stream]))
        self._stored_size = (frame.width, frame.height)
        even = [side - side % 2 for side in self._stored_size]
        if min(even) < 2:
            raise ImageError(f"{self.name}: frames of {frame.width}×{frame.height} pixels are too small")
        if even != list(self._stored_size):
            self.changes.append("an odd row or column of pixels is left out, as H.264 takes none")
        self.rotation = int(frame.rotation) % 360
        if self.rotation % 90:
            raise ImageError(f"{self.name}: it is to be shown turned by {self.rotation}°, which is not taken")
        self.size = (even[1], even[0]) if self.rotation % 180 else (even[0], even[1])
        self.colours = Colours(
            *(int(each) for each in (frame.colorspace, frame.color_range, frame.color_primaries, frame.color_trc))
        )
        if self.colours.transfer in _WITH_HIGH_RANGE:
            raise ImageError(f"{self.name}: high dynamic range is not taken: save it as standard range")
        deep = any(part.bits > 8 for part in frame.format.components)
        if deep:
            self.changes.append("more than 8 bits a colour become 8")
        if any(part.is_alpha for part in frame.format.components) or stream.metadata.get("alpha_mode") == "1":
            self.changes.append("transparent parts are shown as they are without transparency")
        if frame.interlaced_frame:
            self.changes.append("interlaced frames become whole ones")
        others = {each.type for each in container.streams if each.index != stream.index} - {"audio"}
        self.changes += sorted(f"{_LEFT_OUT.get(kind, 'data')} are left out" for kind in others)

    def _too_large(self, width: int, height: int) -> str:
        return f"frames of {width}×{height} pixels are larger than {self.limits.pixels / 1e6:g} megapixels"


class _Readable:
    """A file without a mode: PyAV reads none that was opened to be created."""

    def __init__(self, file: BinaryIO):
        self.read, self.seek, self.tell = file.read, file.seek, file.tell

    def readable(self) -> bool:
        return True
