"""A day of a small platform: uploads, copies, deepfakes, forgeries and own pictures again; what was held and traced.

    python benchmarks/platform_day.py --images=DIR --count=1000 --treated=100 --out=work/platform_day.md

--count pictures below --images are uploaded by ten users, those of the eval split first. In between, --treated of them
come back once as each of the kinds of the table, whose ways take turns; by somebody else, but for the last kind.
`traced`: held, with the right picture beside it; `held`: without, or with another; `passed`: tagged as a new picture;
`accepted`: as one's own. The table is written after every round, so that the day may be ended before its evening.
"""

import argparse
import collections
import functools
import io
import os
import tempfile
from collections.abc import Callable
from typing import NamedTuple

import cv2
import numpy as np
import tensorflow as tf
from PIL import Image
from tqdm import tqdm

from faketagger.components.contract import features, files, images, picture_decoding, pretrained, startup
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
_OWN = "by its owner"
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

    def forge(self, pixels: np.ndarray, number: int) -> np.ndarray:
        """A picture with another UID: what who knows one picture's UID can write with the public networks."""
        picture = picture_decoding.decode(_file(pixels))
        self.tagger.tag(picture, number, replace=True)
        return picture.rgb()

    def _account(self, name: str, role: str = "user") -> Caller:
        return self.platform.accounts.of_token(self.platform.accounts.add(name, role))


def main(argv: list[str] | None = None) -> None:
    """The benchmark."""
    parser = startup.Parser("python benchmarks/platform_day.py", __doc__)
    add = parser.add_argument
    add("--images", required=True, metavar="DIR", help="photographs of faces, in folders or not")
    add("--count", type=int, default=1000, help="pictures that are uploaded")
    add("--treated", type=int, default=100, help="of them, uploaded again as each kind")
    add("--side", type=int, default=512, help="of the pictures, at most")
    add("--model", default=pretrained.TAGGER, metavar="DIR", help="the tagger; default: the shipped one")
    add("--simulators", default=pretrained.SIMULATORS, metavar="DIR", help="make the deepfakes")
    add("--out", help="a Markdown file; default: standard output")
    startup.run(_run, parser, argv)


def _run(arguments: argparse.Namespace) -> int:
    with tempfile.TemporaryDirectory() as folder:
        site = Site(arguments.model, folder)
        names, day = _names(arguments), Day(site, _kinds(arguments.simulators, site))
        every = max(1, len(names) // max(1, arguments.treated))
        for number, name in enumerate(tqdm(names, desc="uploads")):
            pixels = images.load_image(os.path.join(arguments.images, name))
            day.upload(_shrunk(pixels, arguments.side / max(pixels.shape)), number)
            if number % every == every - 1 and day.rounds < arguments.treated:
                day.bring_back()
                if arguments.out:
                    files.write_bytes(arguments.out, day.table().encode())
    if arguments.out:
        files.write_bytes(arguments.out, day.table().encode())
    else:
        print(day.table())
    return startup.OK


def _names(arguments: argparse.Namespace) -> list[str]:
    """From all over the folder, those of the eval split first."""
    entries = image_folder.list_folder(arguments.images)
    spread = [entries[_SPREAD * number % len(entries)] for number in range(len(entries))]
    return [entry.name for entry in sorted(spread, key=lambda it: it.split != features.EVAL_SPLIT)][: arguments.count]


def _shrunk(pixels: np.ndarray, scale: float) -> np.ndarray:
    if scale >= 1:
        return pixels
    size = round(pixels.shape[1] * scale), round(pixels.shape[0] * scale)
    return cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)


_unpacked = functools.cache(shipped.unpack)
_Treat = Callable[[Registered, Registered, int], np.ndarray]  # A picture, another one, the number of the round.


class Day:
    """What is uploaded, and what became of it.

    Args:
      site: where.
      kinds: the ways of each kind by their names, which take turns.

    Attributes:
      rounds: how often pictures have come back, once as each kind.
    """

    def __init__(self, site: Site, kinds: dict[str, dict[str, _Treat]]):
        self._site, self._kinds = site, kinds
        self._untagged: collections.Counter[str] = collections.Counter()
        self._registered: list[Registered] = []
        self._counts: dict[tuple[str, str], collections.Counter[str]] = {
            (kind, way): collections.Counter() for kind, ways in kinds.items() for way in ways
        }
        self.rounds = 0

    def upload(self, pixels: np.ndarray, number: int) -> None:
        """Uploads an untagged picture of one of the users."""
        made = self._site.register(pixels, number)
        self._untagged["held" if made is None else "tagged"] += 1
        self._registered += [] if made is None else [made]

    def bring_back(self) -> None:
        """Uploads one of the tagged pictures again, as each kind."""
        if self.rounds >= len(self._registered):
            return
        it, other = self._registered[self.rounds], self._registered[self.rounds - 1]
        for kind, ways in self._kinds.items():
            way = list(ways)[self.rounds % len(ways)]
            caller = it.owner if kind == _OWN else self._site.stranger
            treated = np.ascontiguousarray(ways[way](it, other, self.rounds))
            outcome, matched = self._site.upload(caller, treated, 75)
            traced = outcome == service.HELD and matched == it.picture_id
            self._counts[kind, way]["traced" if traced else outcome] += 1
        self.rounds += 1

    def table(self) -> str:
        """In Markdown, with the sums of each kind."""
        tagged, held = self._untagged["tagged"], self._untagged["held"]
        lines = [f"Of {tagged + held} untagged pictures {tagged} were tagged, {held} held.", ""]
        lines += ["| uploaded again | traced | held | passed | accepted |", "| --- | ---: | ---: | ---: | ---: |"]
        for kind, ways in self._kinds.items():
            lines.append(_row(f"**{kind}**", sum((self._counts[kind, way] for way in ways), collections.Counter())))
            lines += [_row(way, self._counts[kind, way]) for way in ways if len(ways) > 1]
        return "\n".join([*lines, ""])


def _row(name: str, counts: collections.Counter[str]) -> str:
    columns = ("traced", service.HELD, service.TAGGED, service.ACCEPTED)
    return f"| {name} | {' | '.join(str(counts[column]) for column in columns)} |"


def _kinds(simulators: str, site: Site) -> dict[str, dict[str, _Treat]]:
    copies: dict[str, _Treat] = {
        "as it is, JPEG 75": lambda it, *_: it.tagged,
        "three quarters of the size": lambda it, *_: _shrunk(it.tagged, 0.75),
        "mirrored": lambda it, *_: it.tagged[:, ::-1],
        "5% cut off on each side": lambda it, *_: _cut(it.tagged, 0.05),
    }
    fakes: dict[str, _Treat] = {}
    for name in library.names(simulators):
        fakes[f"{name}, the whole picture"] = _deepfake(os.path.join(simulators, name), None)
        if library.read(os.path.join(simulators, name)).family == "identity_swap":
            fakes[f"{name}, pasted back"] = _deepfake(os.path.join(simulators, name), _TOOL)
    forgeries: dict[str, _Treat] = {
        "its tag copied onto another picture": _copied,
        "another picture with a UID that nobody has": lambda _, other, number: site.forge(other.original, number),
    }
    return {
        "copies": copies,
        "deepfakes": fakes,
        "forgeries": forgeries,
        "the untagged original": {"the original": lambda it, *_: it.original},
        _OWN: {"JPEG 75": lambda it, *_: it.tagged},
    }


def _copied(it: Registered, other: Registered, _: int) -> np.ndarray:
    """The tag on another person's picture, by the difference of the tagged picture and its original."""
    target = cv2.resize(other.original, it.tagged.shape[1::-1])
    return np.uint8(np.clip(np.float32(target) + it.tagged - np.float32(it.original), 0, 255))


def _cut(pixels: np.ndarray, share: float) -> np.ndarray:
    rows, columns = (round(share * length) for length in pixels.shape[:2])
    return pixels[rows : pixels.shape[0] - rows, columns : pixels.shape[1] - columns]


def _deepfake(directory: str, tool: str | None) -> _Treat:
    """By each of a shipped simulator's conditions in turn, at its own size: of the whole picture, or by a tool."""
    described = library.read(directory)
    size, conditions = described.image_size, len(described.conditions)
    landmarks = alignment.or_template(tf.fill([1, *alignment.SHAPE], float("nan")))

    def fake(it: Registered, _: Registered, number: int) -> np.ndarray:
        model = _unpacked(directory)
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


def _file(pixels: np.ndarray, quality: int | None = None) -> bytes:
    """PNG, or JPEG of a quality."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG" if quality is None else "JPEG", quality=quality or 0, compress_level=1)
    return buffer.getvalue()


if __name__ == "__main__":
    main()
