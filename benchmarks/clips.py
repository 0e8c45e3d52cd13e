"""Tags clips as a user does, codes them anew and swaps their faces, and counts what is read.

    python benchmarks/clips.py --images=DIR --out=work/clips.md

Each clip shows one photograph of --images that moves, turns and grows as one does before a camera, on a blurred copy of
itself, and is tagged with a UID of its own. It is coded as H.264 at each of the rate factors, and so again after a
deepfake simulator has swapped the face of each frame as a tool does (components/simulator/tools.py). A row says how
often the UID was claimed by `faketagger read` (right), another was (wrong), how often it was claimed from the face
alone, whatever the rest of the frames says, how often from the face in the middle frame alone, and how often the best
candidate was the UID. The tagger's side, strength and code are its manifest's own.
`--split` takes the photographs of a split of the attributes.csv in --images.
"""

import argparse
import csv
import io
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import cv2
import numpy as np
import tensorflow as tf

from faketagger.components.contract import images, pretrained
from faketagger.components.faces.detector import find_faces
from faketagger.components.simulator import library, tools
from faketagger.components.simulator.packing import shipped
from faketagger.serving.client import TaggerClient, describe, load
from faketagger.serving.photograph import search
from faketagger.serving.video import writing
from faketagger.serving.video.clips import Clip, Frame

_KEY = b"faketagger-key-2-of the clips' benchmark"
_FACTORS = (23, 28, 33)
_SOURCE_FACTOR = 12
_WINDOW = 5.2  # Around a face that is swapped, in distances between the eyes.
_ENDINGS = (".jpg", ".jpeg", ".png", ".webp")


class Row(NamedTuple):
    """One reading of one treated clip."""

    treatment: str
    right: bool
    wrong: bool
    face: bool
    one_frame: bool
    candidate: bool
    seconds: float


def moving(picture: np.ndarray, size: tuple[int, int], count: int) -> list[np.ndarray]:
    """Frames uint8 of a size (width, height) in which a picture sways, turns by 4° and grows by a tenth."""
    width, height = size
    side = height
    square = images.square(picture, 2 * side)
    behind = cv2.GaussianBlur(cv2.resize(square, size), (0, 0), height / 20)
    frames = []
    for number in range(count):
        turn = 2 * np.pi * number / count
        scale, angle = (0.9 + 0.1 * np.sin(turn)) / 2, np.radians(4 * np.sin(2 * turn))
        matrix = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        middle = np.array([width / 2 + width / 12 * np.sin(turn), height / 2 + height / 40 * np.cos(turn)])
        transform = np.concatenate([matrix, (middle - matrix @ [side, side])[:, None]], 1)
        frame = behind.copy()
        half = cv2.resize(square, (side, side), interpolation=cv2.INTER_AREA)
        transform[:, :2] *= 2
        cv2.warpAffine(half, transform, size, dst=frame, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_TRANSPARENT)
        frames.append(frame)
    return frames


def coded(frames: Sequence[np.ndarray], factor: float) -> io.BytesIO:
    """An MP4 of 25 frames a second."""
    import av

    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=25, options={"crf": f"{factor:g}"})
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt, stream.thread_count = "yuv420p", 1
        for pixels in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode(None))
    return file


def anew(clip: Clip, factor: float, change: Callable[[Frame], np.ndarray] = lambda frame: frame.pixels) -> Clip:
    """The clip coded once more, its frames changed."""
    file = io.BytesIO()
    writing.write(clip, change, file, "mp4", factor)
    return Clip(file)


class Swap:
    """A shipped simulator that swaps the largest face of each frame and pastes it back as a tool does."""

    def __init__(self, directory: str, tool: str):
        self._model, described = shipped.unpack(directory), library.read(directory)
        self._size, self._tool = described.image_size, tools.TOOLS[tool]
        self.conditions = described.tool_conditions or described.conditions
        self._numbers = [described.conditions.index(name) for name in self.conditions]

    def to(self, number: int) -> Callable[[Frame], np.ndarray]:
        """What swaps a frame's face for that of one of the conditions, in turn."""
        condition = tf.constant([self._numbers[number % len(self._numbers)]])

        def swapped(frame: Frame) -> np.ndarray:
            faces = find_faces(frame.pixels, smallest=max(frame.pixels.shape))
            if not faces:
                return frame.pixels
            # The tools take squares: one around the face, of which their crops are most.
            side = round(_WINDOW * faces[0].eye_distance)
            corner = np.round(faces[0].landmarks.mean(0) - side / 2).astype(int)
            padded = np.pad(frame.pixels, ((side, side), (side, side), (0, 0)), "edge")
            rows, columns = (slice(each + side, each + 2 * side) for each in corner[::-1])
            seen = tf.constant(images.to_float(padded[rows, columns])[None])
            landmarks = tf.constant(np.float32((faces[0].landmarks - corner) / side)[None])
            applied = tools.Chosen([self._tool], tf.constant(0), self._size)
            crops, transform = applied.cut(seen, landmarks)
            faked = applied.paste(seen, transform, crops, self._model.simulate(crops, condition))
            padded[rows, columns] = images.to_uint8(faked[0].numpy())
            return padded[side:-side, side:-side]

        return swapped


def _read(client: TaggerClient, treatment: str, clip: Clip, uid: int) -> Row:
    started = time.perf_counter()
    found = client.read_clip(clip)
    seconds = time.perf_counter() - started
    middle = clip.count // 2
    frame = next(each for each in clip.frames() if each.number == middle)
    one = client.read_photograph(frame.pixels, search.LOOK)
    right, wrong = found.uid == uid, found.uid not in (None, uid)
    face, of_one_frame = (any(each.uid == uid for each in reading.faces) for reading in (found, one))
    return Row(treatment, right, wrong, face, of_one_frame, found.best.candidate == uid, seconds)


def _measure(client: TaggerClient, clip: Clip, uid: int, swaps: dict[str, Callable]) -> tuple[list[Row], float, float]:
    """The rows of a clip, the tag's PSNR in its frames, and the seconds that tagging a frame takes."""
    started = time.perf_counter()
    tag = client.clip_tag(clip, uid)
    tagged = anew(clip, writing.CRF, tag.on)
    seconds = (time.perf_counter() - started) / clip.count
    sample = [frame for frame in clip.frames(max(1, clip.count // 5))]
    error = np.mean([np.mean(np.square(np.float32(frame.pixels) - tag.on(frame))) for frame in sample])
    rows = [_read(client, "as `tag` writes it", tagged, uid)]
    for factor in _FACTORS:
        rows.append(_read(client, f"H.264, CRF {factor}", anew(tagged, factor), uid))
    for name, swap in swaps.items():
        swapped = anew(tagged, _SOURCE_FACTOR, swap)
        for factor in _FACTORS:
            rows.append(_read(client, f"faces swapped ({name}), H.264, CRF {factor}", anew(swapped, factor), uid))
    untagged = _read(client, "untagged, H.264, CRF 23", anew(clip, 23), uid)
    return [*rows, untagged], float(20 * np.log10(255) - 10 * np.log10(error)), seconds


def _pictures(folder: str, split: str | None, count: int) -> list[str]:
    """Paths, spread evenly over the folder."""
    if split is None:
        found = sorted(os.path.join(root, name) for root, _, names in os.walk(folder) for name in names)
        found = [each for each in found if each.lower().endswith(_ENDINGS)]
    else:
        with open(os.path.join(folder, "attributes.csv"), newline="") as file:
            found = [os.path.join(folder, row["image"]) for row in csv.DictReader(file) if row["split"] == split]
    return [found[round(place)] for place in np.linspace(0, len(found) - 1, min(count, len(found)))]


def table(rows: list[Row]) -> Iterator[str]:
    """Lines of Markdown."""
    yield "| what happened to the clip | clips | right | wrong | face | face, one frame | candidate right | s a read |"
    yield "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |"
    for name in dict.fromkeys(each.treatment for each in rows):
        of_it = [each for each in rows if each.treatment == name]
        shares = " | ".join(f"{np.mean([each[field] for each in of_it]):.2f}" for field in (1, 2, 3, 4, 5))
        yield f"| {name} | {len(of_it)} | {shares} | {np.median([each.seconds for each in of_it]):.1f} |"


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", required=True, help="a folder of photographs of one face each")
    parser.add_argument("--split", help="of the attributes.csv in it")
    parser.add_argument("--count", type=int, default=14, help="photographs, of which each gives a clip")
    parser.add_argument("--frames", type=int, default=50, help="of each clip, at 25 a second")
    parser.add_argument("--size", type=int, nargs=2, default=(480, 270), metavar=("WIDTH", "HEIGHT"), help="of frames")
    parser.add_argument("--swaps", nargs="*", default=["faceswap", "faceswap_2"], help="shipped simulators")
    parser.add_argument("--tool", default="inswapper", choices=tools.TOOLS, help="how they cut out and paste back")
    parser.add_argument("--model", default=pretrained.TAGGER, help="a tagger's SavedModel")
    parser.add_argument("--out", required=True, help="the table, Markdown; written anew after each clip")
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    backend = load(arguments.model)
    client, (_, manifest) = TaggerClient(backend, _KEY), describe(backend)
    swaps = {name: Swap(os.path.join(pretrained.SIMULATORS, name), arguments.tool) for name in arguments.swaps}
    trained = manifest.training.simulators if manifest.training else ()
    random = np.random.default_rng(13)
    rows: list[Row] = []
    decibels, took = [], []
    paths = _pictures(arguments.images, arguments.split, arguments.count)
    for number, path in enumerate(paths):
        frames = moving(images.load_image(path), tuple(arguments.size), arguments.frames)
        uid = int(random.integers(2**manifest.message_bits))
        ways = {
            f"{name}, {'white-box' if name in trained else 'black-box'}": swap.to(number)
            for name, swap in swaps.items()
        }
        made, psnr, seconds = _measure(client, Clip(coded(frames, _SOURCE_FACTOR)), uid, ways)
        rows, decibels, took = rows + made, [*decibels, psnr], [*took, seconds]
        print(f"{number + 1}/{len(paths)} {os.path.basename(path)}", file=sys.stderr)
        head = (
            f"{len(decibels)} clips of {arguments.frames} frames of {arguments.size[0]}×{arguments.size[1]}; a tagger "
        )
        head += f"of {manifest.image_size}×{manifest.image_size}; PSNR {np.mean(decibels):.1f} dB, least "
        head += f"{min(decibels):.1f}; {np.median(took):.2f} s to tag a frame, median"
        with open(arguments.out, "w") as file:
            file.write("\n".join([head, "", *table(rows), ""]))


if __name__ == "__main__":
    main()
