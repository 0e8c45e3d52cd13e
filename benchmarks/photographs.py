"""Tags photographs as a user does, treats them as people and their programs do, and counts what is read.

    python benchmarks/photographs.py --images=DIR --out=work/photographs.md

Each picture below --images is tagged face by face with a UID of its own, treated in each of the ways below, and read by
the search that `faketagger read` makes. A row says how often the UID was claimed (right), nothing was claimed (none),
or another UID was (wrong), and how often the best candidate was the UID, claimed or not. `--count=N` takes about N
pictures, evenly from all; `--split` takes those of a split of the attributes.csv in --images. Of each picture the six
largest faces are cut out, each by itself, and all of them swapped: by the shipped generator `faceswap`, pasted back as
each of its tools does. The table is written after each picture, so that a run may be ended at any time.
"""

import argparse
import csv
import io
import math
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import cv2
import numpy as np
import tensorflow as tf
from PIL import Image, ImageDraw, ImageFilter

from faketagger.components.contract import images, manifest, pretrained
from faketagger.components.faces.detector import Face
from faketagger.components.simulator import tools
from faketagger.components.simulator.packing import shipped
from faketagger.serving.client import PhotographTag, TaggerClient, load
from faketagger.serving.photograph import search
from faketagger.serving.photograph.tagging import FaceTag

_KEY = b"faketagger-key-2-of the photographs' benchmark"
_CUT_OUT = 6  # Faces of a photograph, the largest.
_SWAP = os.path.join(pretrained.SIMULATORS, "faceswap")
_AROUND_CROP = 1.25  # Side of the window that a tool is shown, in sides of its crop.
_ENDINGS = (".jpg", ".jpeg", ".png", ".webp")


class Row(NamedTuple):
    """One reading of one treated picture; `seconds` are the processor's."""

    treatment: str
    right: bool
    wrong: bool
    candidate: bool
    seconds: float


def _jpeg(pixels: np.ndarray, quality: int) -> np.ndarray:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=quality, subsampling="4:2:0")
    return np.array(Image.open(buffer))


def _fitted(pixels: np.ndarray, width: int, height: int) -> Image.Image:
    """As large as fits."""
    scale = min(width / pixels.shape[1], height / pixels.shape[0])
    size = max(1, round(pixels.shape[1] * scale)), max(1, round(pixels.shape[0] * scale))
    return Image.fromarray(pixels).resize(size, Image.Resampling.BICUBIC)


def _longest(pixels: np.ndarray, longest: int) -> np.ndarray:
    return np.array(_fitted(pixels, longest, longest)) if max(pixels.shape) > longest else pixels


def _half(pixels: np.ndarray) -> np.ndarray:
    return np.array(_fitted(pixels, max(1, pixels.shape[1] // 2), max(1, pixels.shape[0] // 2)))


def _screenshot(pixels: np.ndarray) -> np.ndarray:
    """A phone's viewer: the picture between black bars, a clock above and buttons below."""
    page = Image.new("RGB", (1080, 2280), "black")
    picture = _fitted(pixels, 1080, 1900)
    page.paste(picture, ((1080 - picture.width) // 2, (2280 - picture.height) // 2))
    draw = ImageDraw.Draw(page)
    draw.text((60, 30), "12:34", fill="white", font_size=40)
    draw.rectangle((930, 35, 1000, 65), outline="white", width=4)
    for x in (200, 500, 800):
        draw.ellipse((x, 2180, x + 60, 2240), outline="white", width=5)
    return _jpeg(np.array(page), 90)


def _story(pixels: np.ndarray) -> np.ndarray:
    """The picture on itself, enlarged and blurred, on a page of 9:16."""
    width, height = 1080, 1920
    scale = max(width / pixels.shape[1], height / pixels.shape[0])
    behind = Image.fromarray(pixels).resize((round(pixels.shape[1] * scale), round(pixels.shape[0] * scale)))
    left, top = (behind.width - width) // 2, (behind.height - height) // 2
    page = behind.crop((left, top, left + width, top + height)).filter(ImageFilter.GaussianBlur(40))
    picture = _fitted(pixels, width, height)
    page.paste(picture, ((width - picture.width) // 2, (height - picture.height) // 2))
    return _jpeg(np.array(page), 80)


def _bordered(pixels: np.ndarray) -> np.ndarray:
    rim = round(0.05 * min(pixels.shape[:2]))
    return _jpeg(np.pad(pixels, ((rim, rim), (rim, rim), (0, 0)), constant_values=255), 90)


def _avatar(pixels: np.ndarray) -> np.ndarray:
    side = min(pixels.shape[:2])
    top, left = (pixels.shape[0] - side) // 2, (pixels.shape[1] - side) // 2
    return _jpeg(np.array(_fitted(pixels[top : top + side, left : left + side], 400, 400)), 85)


def _cropped(pixels: np.ndarray, share: float, side: int) -> np.ndarray:
    """Without a share of the picture's height or width, at one of four sides."""
    turned = np.rot90(pixels, side)
    return _jpeg(np.ascontiguousarray(np.rot90(turned[round(share * len(turned)) :], -side)), 90)


def _rotated(pixels: np.ndarray, degrees: float, inside: bool = False) -> np.ndarray:
    """Turned in its own frame; or cut, as editors do, to the largest frame of its shape without empty corners."""
    height, width = pixels.shape[:2]
    turned = np.array(Image.fromarray(pixels).rotate(degrees, Image.Resampling.BICUBIC))
    if inside:
        sin, cos = np.sin(np.radians(abs(degrees))), np.cos(np.radians(degrees))
        share = 1 / (cos + sin * max(width / height, height / width))
        left, top = round(width * (1 - share) / 2), round(height * (1 - share) / 2)
        turned = turned[top : height - top, left : width - left]
    return _jpeg(np.ascontiguousarray(turned), 90)


# What happens to a picture; the second argument is its number, for what is drawn by lot.
TREATMENTS: dict[str, Callable[[np.ndarray, int], np.ndarray]] = {
    "as it is": lambda it, _: it,
    "JPEG 75 4:2:0": lambda it, _: _jpeg(it, 75),
    "half size": lambda it, _: _half(it),
    "1280 px, JPEG 60": lambda it, _: _jpeg(_longest(it, 1280), 60),
    "screenshot with bars": lambda it, _: _screenshot(it),
    "story on a blurred band": lambda it, _: _story(it),
    "border 5%": lambda it, _: _bordered(it),
    "square avatar of 3:4": lambda it, _: _avatar(it),
    "crop 10% of one side": lambda it, n: _cropped(it, 0.1, n % 4),
    "crop 20% of one side": lambda it, n: _cropped(it, 0.2, n % 4),
    "rotation 2°": lambda it, n: _rotated(it, 2 * (-1) ** n),
    "rotation 5°": lambda it, n: _rotated(it, 5 * (-1) ** n),
    "rotation 5°, cut inside": lambda it, n: _rotated(it, 5 * (-1) ** n, inside=True),
    "rotation 90°": lambda it, n: _jpeg(np.ascontiguousarray(np.rot90(it, 1 + 2 * (n % 2))), 90),
    "mirror": lambda it, _: _jpeg(np.ascontiguousarray(it[:, ::-1]), 90),
    "mirror, crop 10%, JPEG 75": lambda it, n: _jpeg(_cropped(np.ascontiguousarray(it[:, ::-1]), 0.1, n % 4), 75),
    "inverted": lambda it, _: _jpeg(255 - it, 90),
}
MARGINS = (0.0, 0.2, 0.5)


def _three_to_four(pixels: np.ndarray) -> np.ndarray:
    """The largest upright frame of 3:4 in the middle."""
    height, width = pixels.shape[:2]
    wide, high = min(width, height * 3 // 4), min(height, width * 4 // 3)
    top, left = (height - high) // 2, (width - wide) // 2
    return np.ascontiguousarray(pixels[top : top + high, left : left + wide])


def _cut(pixels: np.ndarray, box: tuple[float, float, float, float], margin: float) -> np.ndarray:
    left, top, right, bottom = box
    x, y = margin * (right - left), margin * (bottom - top)
    low = max(0, round(left - x)), max(0, round(top - y))
    return np.ascontiguousarray(pixels[low[1] : round(bottom + y), low[0] : round(right + x)])


class Swapper:
    """Swaps faces by the shipped generator as one of its tools does."""

    def __init__(self):
        self._model = shipped.unpack(_SWAP)
        described = manifest.read(manifest.SimulatorManifest, _SWAP)
        self.tools = self._model.TOOLS
        self._size = described.image_size
        names = self._model.TOOL_CONDITIONS or described.conditions
        self._conditions = [described.conditions.index(name) for name in names]

    def swap(self, pixels: np.ndarray, faces: Sequence[Face], tool: str, number: int) -> np.ndarray:
        """The photograph uint8 [H, W, 3] with all of `faces` swapped; `number` says to which person."""
        swapped = pixels.copy()
        for face in faces:
            side = math.ceil(_AROUND_CROP * tools.TOOLS[tool].template.side * face.eye_distance)
            corner = np.round(face.landmarks.mean(0) - side / 2).astype(int)
            room = max(0, *-corner, *(corner + side - pixels.shape[1::-1]))
            padded = cv2.copyMakeBorder(swapped, room, room, room, room, cv2.BORDER_REPLICATE)
            window = padded[corner[1] + room :, corner[0] + room :][:side, :side]  # A view into `padded`.
            window[:] = self._in_window(window, (face.landmarks - corner) / side, tool, number)
            swapped = padded[room : room + pixels.shape[0], room : room + pixels.shape[1]]
        return np.ascontiguousarray(swapped)

    def _in_window(self, window: np.ndarray, landmarks: np.ndarray, tool: str, number: int) -> np.ndarray:
        seen = tf.constant(images.to_float(window)[None])
        applied = tools.Chosen([tools.TOOLS[tool]], tf.constant(0), self._size)
        crops, transform = applied.cut(seen, tf.constant(landmarks[None], tf.float32))
        condition = tf.constant([self._conditions[number % len(self._conditions)]])
        return images.to_uint8(applied.paste(seen, transform, crops, self._model.simulate(crops, condition))[0].numpy())


def _measure(
    client: TaggerClient, swapper: Swapper, pixels: np.ndarray, number: int, uid: int
) -> tuple[list[Row], PhotographTag, float]:
    started = time.process_time()
    tag = client.photograph_tag(pixels, uid)
    tagged = tag.overlay.on(pixels)
    seconds = time.process_time() - started
    upright = _three_to_four(pixels)
    tagged_upright = client.photograph_tag(upright, uid).overlay.on(upright)
    rows = [
        _read(client, name, treat(tagged_upright if "3:4" in name else tagged, number), uid)
        for name, treat in TREATMENTS.items()
    ]
    faces = [face for face, fate in zip(tag.found, tag.faces) if fate.tag is FaceTag.TAGGED][:_CUT_OUT]
    for face in faces:
        for margin in MARGINS:
            cut = _jpeg(_cut(tagged, face.box, margin), 90)
            rows.append(_read(client, f"face cut out, margin {margin:.0%}", cut, uid))
    for tool in swapper.tools if faces else ():
        swapped = _jpeg(swapper.swap(tagged, faces, tool, number), 90)
        rows.append(_read(client, f"faces swapped as by {tool}", swapped, uid))
    return rows, tag, seconds


def _read(client: TaggerClient, name: str, pixels: np.ndarray, uid: int) -> Row:
    started = time.process_time()
    found = client.read_photograph(pixels, search.THOROUGH)
    seconds = time.process_time() - started
    return Row(name, found.uid == uid, found.uid not in (None, uid), found.best.candidate == uid, seconds)


def _pictures(folder: str, split: str | None, count: int | None) -> list[str]:
    if split is None:
        found = [os.path.join(root, name) for root, _, names in os.walk(folder) for name in names]
        found = sorted(each for each in found if each.lower().endswith(_ENDINGS))
    else:
        with open(os.path.join(folder, "attributes.csv"), newline="") as file:
            found = [os.path.join(folder, row["image"]) for row in csv.DictReader(file) if row["split"] == split]
    return found[:: math.ceil(len(found) / count)] if count else found


def table(rows: list[Row]) -> Iterator[str]:
    """Lines of Markdown."""
    yield "| what happened | pictures | right | none | wrong | best candidate right | processor s a read, median |"
    yield "| --- | ---: | ---: | ---: | ---: | ---: | ---: |"
    for name in dict.fromkeys(each.treatment for each in rows):
        of_it = [each for each in rows if each.treatment == name]
        right, wrong, candidate = (np.mean([each[field] for each in of_it]) for field in (1, 2, 3))
        seconds = np.median([each.seconds for each in of_it])
        shares = f"{right:.2f} | {1 - right - wrong:.2f} | {wrong:.2f} | {candidate:.2f}"
        yield f"| {name} | {len(of_it)} | {shares} | {seconds:.2f} |"


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", required=True, help="a folder of photographs")
    parser.add_argument("--split", help="of the attributes.csv in it")
    parser.add_argument("--count", type=int, help="takes about so many pictures; all by default")
    parser.add_argument("--model", default=pretrained.TAGGER, help="a tagger's SavedModel")
    parser.add_argument("--out", required=True, help="the table, Markdown")
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    client = TaggerClient(load(arguments.model), _KEY)
    random = np.random.default_rng(13)
    rows: list[Row] = []
    tags: list[PhotographTag] = []
    took: list[float] = []
    decibels: list[float] = []
    paths, swapper = _pictures(arguments.images, arguments.split, arguments.count), Swapper()
    for number, path in enumerate(paths):
        pixels = images.load_image(path)
        made, tag, seconds = _measure(client, swapper, pixels, number, int(random.integers(2**30)))
        error = np.mean(np.square(np.concatenate([strip.ravel() for _, strip in tag.overlay.strips()])))
        rows, tags, took = rows + made, [*tags, tag], [*took, seconds]
        decibels.append(-10 * np.log10(error))
        missed = ", ".join(each.treatment for each in made if not each.right)
        print(f"{number + 1}/{len(paths)} {os.path.basename(path)}: missed {missed or 'nothing'}", file=sys.stderr)
        kinds = {kind: sum(face.tag is kind for each in tags for face in each.faces) for kind in FaceTag}
        found = ", ".join(f"{count} {kind.value}" for kind, count in kinds.items() if count)
        head = f"{len(tags)} pictures; faces: {found}; PSNR {np.mean(decibels):.1f} dB, least {min(decibels):.1f};"
        head += f" {np.median(took):.2f} processor s to tag one, median"
        with open(arguments.out, "w") as file:
            file.write("\n".join([head, "", *table(rows), ""]))


if __name__ == "__main__":
    main()
