"""A day of a small platform: uploads, copies, deepfakes, copied tags and own pictures again; what was held and traced.

    python benchmarks/platform_day.py --images=DIR --count=1000 --treated=100 --out=work/platform_day.md

The first --count pictures below --images are uploaded by ten users. Of the tagged files, --treated are uploaded again
in each of the ways of the table, by somebody else but for the last row. `traced`: held, with the right picture beside
it; `held`: without, or with another; `passed`: tagged as a new picture; `accepted`: as one's own.
"""

import argparse
import collections
import io
import os
import sys
import tempfile
from collections.abc import Callable
from typing import NamedTuple

import cv2
import numpy as np
import tensorflow as tf
from PIL import Image
from tqdm import tqdm

from faketagger.components.contract import images, pretrained, startup
from faketagger.components.example_gen import image_folder
from faketagger.components.faces import alignment
from faketagger.components.simulator import library, tools
from faketagger.components.simulator.packing import shipped
from faketagger.serving.client import load
from faketagger.serving.platform import service, tables
from faketagger.serving.platform.accounts import Caller
from faketagger.serving.platform.tagger import ClientTagger

_KEY = b"faketagger-key-2-of the platform's benchmark"
_USERS = 10
_NO_LIMITS = service.Limits(uploads=10**9, waiting=10**9)
_TOOL = "deepfacelab"  # How swapped faces are pasted back.
_SPREAD = 7919  # A prime: pictures are taken from all over the folder.


class Registered(NamedTuple):
    """An uploaded picture and its tagged one, uint8 [H, W, 3]; its ID and owner."""

    original: np.ndarray
    tagged: np.ndarray
    picture_id: str
    owner: Caller


class Site:
    """A platform with ten users, a stranger and a moderator."""

    def __init__(self, model: str, folder: str):
        self.tagger = ClientTagger(load(model), _KEY)
        engine = tables.open_database(f"sqlite:///{os.path.join(folder, 'platform.db')}")
        self.platform = service.Service(engine, self.tagger, _NO_LIMITS)
        self.users = [self._account(f"user{number}") for number in range(_USERS)]
        self.stranger, self.moderator = self._account("stranger"), self._account("moderator", "moderator")

    def upload(self, caller: Caller, pixels: np.ndarray, quality: int | None = None) -> tuple[str, str | None]:
        """The outcome, and the ID of the picture that it became or was held beside."""
        upload = self.platform.upload(caller, _file(pixels, quality), "picture")
        if upload.outcome != service.HELD:
            return upload.outcome, upload.picture_id
        case = self.platform.queue(self.moderator, most=10**9)[-1]
        return upload.outcome, case.matched_id

    def register(self, pixels: np.ndarray, number: int) -> Registered | None:
        """Uploads a picture of one of the users; None where it was not tagged."""
        owner = self.users[number % _USERS]
        upload = self.platform.upload(owner, _file(pixels), "picture")
        if upload.outcome != service.TAGGED:
            return None
        file = self.platform.fetch(owner, upload.id).file
        return Registered(pixels, images.load_image(file), upload.picture_id, owner)

    def _account(self, name: str, role: str = "user") -> Caller:
        return self.platform.accounts.of_token(self.platform.accounts.add(name, role))


def main(argv: list[str] | None = None) -> None:
    """The benchmark."""
    parser = startup.Parser("python benchmarks/platform_day.py", __doc__)
    add = parser.add_argument
    add("--images", required=True, metavar="DIR", help="photographs of faces, in folders or not")
    add("--count", type=int, default=1000, help="pictures that are uploaded")
    add("--treated", type=int, default=100, help="of them, uploaded again in each way")
    add("--side", type=int, default=512, help="of the pictures, at most")
    add("--model", default=pretrained.TAGGER, metavar="DIR", help="the tagger; default: the shipped one")
    add("--simulators", default=pretrained.SIMULATORS, metavar="DIR", help="make the deepfakes")
    add("--out", help="a Markdown file; default: standard output")
    startup.run(_run, parser, argv)


def _run(arguments: argparse.Namespace) -> int:
    with tempfile.TemporaryDirectory() as folder:
        site = Site(arguments.model, folder)
        pictures = _pictures(arguments)
        made = [site.register(pixels, number) for number, pixels in enumerate(tqdm(pictures, desc="uploads"))]
        registered = [each for each in made if each is not None]
        lines = [f"{len(registered)} of {len(pictures)} untagged pictures were tagged, the others held.", ""]
        lines += ["| uploaded again | traced | held | passed | accepted |", "| --- | ---: | ---: | ---: | ---: |"]
        for name, treat in _ways(arguments.simulators, registered).items():
            lines.append(_row(name, site, registered[: arguments.treated], treat))
            print(lines[-1], file=sys.stderr)
    text = "\n".join([*lines, ""])
    if arguments.out:
        with open(arguments.out, "w") as file:
            file.write(text)
    else:
        print(text)
    return startup.OK


def _pictures(arguments: argparse.Namespace) -> list[np.ndarray]:
    names = [entry.name for entry in image_folder.list_folder(arguments.images)]
    chosen = [names[_SPREAD * number % len(names)] for number in range(min(arguments.count, len(names)))]
    loaded = (images.load_image(os.path.join(arguments.images, name)) for name in chosen)
    return [_shrunk(pixels, arguments.side / max(pixels.shape)) for pixels in loaded]


def _shrunk(pixels: np.ndarray, scale: float) -> np.ndarray:
    if scale >= 1:
        return pixels
    size = round(pixels.shape[1] * scale), round(pixels.shape[0] * scale)
    return cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)


_Treat = Callable[[Registered, int], np.ndarray]


def _ways(simulators: str, registered: list[Registered]) -> dict[str, _Treat]:
    ways: dict[str, _Treat] = {
        "as it is, JPEG 75": lambda it, _: it.tagged,
        "three quarters of the size": lambda it, _: _shrunk(it.tagged, 0.75),
        "mirrored": lambda it, _: it.tagged[:, ::-1],
        "5% cut off on each side": lambda it, _: _cut(it.tagged, 0.05),
    }
    for name in library.names(simulators):
        ways[f"deepfake: {name}, the whole picture"] = _deepfake(os.path.join(simulators, name), None)
        if library.read(os.path.join(simulators, name)).family == "identity_swap":
            ways[f"deepfake: {name}, pasted back"] = _deepfake(os.path.join(simulators, name), _TOOL)

    def copied(it: Registered, number: int) -> np.ndarray:
        """The tag on the next person's picture."""
        other = cv2.resize(registered[(number + 1) % len(registered)].original, it.tagged.shape[1::-1])
        return np.uint8(np.clip(np.float32(other) + it.tagged - np.float32(it.original), 0, 255))

    ways["its tag copied onto another picture"] = copied
    ways["the untagged original"] = lambda it, _: it.original
    ways["by its owner, JPEG 75"] = lambda it, _: it.tagged
    return ways


def _cut(pixels: np.ndarray, share: float) -> np.ndarray:
    rows, columns = (round(share * length) for length in pixels.shape[:2])
    return pixels[rows : pixels.shape[0] - rows, columns : pixels.shape[1] - columns]


def _deepfake(directory: str, tool: str | None) -> _Treat:
    """By each of a shipped simulator's conditions in turn, at its own size: of the whole picture, or by a tool."""
    described, model = library.read(directory), shipped.unpack(directory)
    size, conditions = described.image_size, len(described.conditions)
    landmarks = alignment.or_template(tf.fill([1, *alignment.SHAPE], float("nan")))

    def fake(it: Registered, number: int) -> np.ndarray:
        seen = tf.constant(np.float32(images.square(it.tagged, size))[None] / 255)
        condition = tf.constant([number % conditions])
        if tool is None:
            faked = model.simulate(seen, condition)
        else:
            applied = tools.Chosen([tools.TOOLS[tool]], tf.constant(0), size)
            crops, transform = applied.cut(seen, landmarks)
            faked = applied.paste(seen, transform, crops, model.simulate(crops, condition))
        return np.uint8(np.round(np.clip(faked[0].numpy(), 0, 1) * 255))

    return fake


def _row(name: str, site: Site, registered: list[Registered], treat: _Treat) -> str:
    counts: collections.Counter[str] = collections.Counter()
    for number, each in enumerate(tqdm(registered, desc=name)):
        caller = each.owner if name.startswith("by its owner") else site.stranger
        outcome, matched = site.upload(caller, np.ascontiguousarray(treat(each, number)), 75)
        traced = outcome == service.HELD and matched == each.picture_id
        counts["traced" if traced else outcome] += 1
    columns = ("traced", service.HELD, service.TAGGED, service.ACCEPTED)
    return f"| {name} | {' | '.join(str(counts[column]) for column in columns)} |"


def _file(pixels: np.ndarray, quality: int | None = None) -> bytes:
    """PNG, or JPEG of a quality."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG" if quality is None else "JPEG", quality=quality or 0, compress_level=1)
    return buffer.getvalue()


if __name__ == "__main__":
    main()
