"""Puts a tag into pictures and clips: by the shipped tagger, in this process, unless flags name another.

    faketagger tag in.jpg out.png --uid 12345
    faketagger tag holiday/ more/*.jpg --uid 12345 --out tagged/
    faketagger tag --csv uids.csv --out tagged/

Two names are an input and its output; `-` is standard input or output. With --out, any number of files, folders and
patterns are inputs, and so they are with --beside: a.jpg becomes a.tagged.jpg. Outputs are in their input's format
unless an output's name says otherwise, and keep profile, metadata, alpha and depth; what is not kept is told. AVIF, GIF
and HEIC become PNG. The first call makes a secret key, without which no tag can be read.

Clips (MP4, MOV, MKV, WebM, AVI) come out as H.264 in MP4, or as an output's name says (.mov, .mkv), with their sound
and the times of their frames. The tag moves with each face and does not flicker.

Each face that is large enough carries the tag, and so does the rest of the picture. What carries a tag of this key is
refused, and what is written is read again before it is said to be done.

Exit status: 0 all are tagged, 5 damaged file, 6 refused, 1 failed or not all of several.
"""

import argparse
import collections
import dataclasses
import functools
import os
import signal
import sys
from collections.abc import Callable
from typing import Any, BinaryIO

import numpy as np

from faketagger.components.contract import payload, picture_decoding, picture_encoding, startup
from faketagger.components.contract.picture import DamagedError, Picture
from faketagger.serving.commands import common, inputs, outputs, results
from faketagger.serving.outcomes import Outcome
from faketagger.serving.video import kinds

# Smaller photographs are not read again after JPEG at quality 75: of 12, 3 at a side of 32, all at 40.
_MIN_SIDE = 40

# A decoded picture ▸ the path and format that it is written in; it is refused where it raises.
Place = Callable[[Picture], tuple[str, str]]
# As outputs.write.
Write = Callable[[str, Callable[[BinaryIO], None]], int]
# What is visible of a picture before and as it was written, uint8 [H, W, 3] each ▸ further facts.
Compare = Callable[[np.ndarray, np.ndarray], dict[str, Any]]


@dataclasses.dataclass(frozen=True)
class How:
    """How pictures are tagged: the flags' values.

    Attributes:
      most: pixels that one may have.
    """

    strength: float | None = None
    whole: bool = False
    replace: bool = False
    verify: bool = True
    most: int = picture_decoding.MAX_PIXELS


def main(argv: list[str]) -> None:
    """The command."""
    # So that what is begun is taken away as it is where the user interrupts it.
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    startup.run(run, make_parser(), argv)


def make_parser() -> startup.Parser:
    """Of the command's flags."""
    parser = startup.Parser("faketagger tag", __doc__, _check_flags)
    add = parser.add_argument
    formats = "JPEG, PNG, WebP, TIFF, BMP, AVIF, GIF, HEIC or a clip"
    add("inputs", nargs="*", metavar="picture", help=f"a file ({formats}), a folder, a pattern, or -")
    add("--uid", type=int, help="the number to put in; `faketagger status` says how large")
    add("--out", metavar="DIR", help="the folder for the tagged pictures; made if it is missing")
    add("--beside", action="store_true", help="puts each tagged picture beside its input")
    add("--overwrite", action="store_true", help="replaces outputs that are there already; an input never is")
    add("--whole", action="store_true", help="puts one tag over the whole picture, and looks for no faces")
    add("--replace", action="store_true", help="tags pictures that carry a tag of this key already")
    add("--no_verify", action="store_true", help="does not read what it has written")
    add("--strength", type=float, help="how strongly; the model's own default")
    inputs.add_flags(parser)
    common.add_key_flag(parser)
    common.add_backend_flags(parser)
    return parser


def _check_flags(parser: startup.Parser, arguments: argparse.Namespace) -> None:
    if arguments.csv:
        if arguments.inputs or arguments.uid is not None:
            parser.error("--csv names pictures and UIDs by itself")
    elif arguments.uid is None:
        parser.error("the following arguments are required: --uid")
    elif not arguments.inputs:
        parser.error("the following arguments are required: picture")
    if arguments.uid is not None and arguments.uid < 0:
        parser.error(f"argument --uid: a number from 0 on, got {arguments.uid}")
    if arguments.out and arguments.beside:
        parser.error("--out and --beside are two places")
    if arguments.beside and inputs.STANDARD in arguments.inputs:
        parser.error(f"{inputs.STANDARD} has no place for anything --beside it")
    if not (arguments.out or arguments.beside) and (arguments.csv or len(arguments.inputs) != 2):
        parser.error("name an input and an output, or say --out DIR or --beside")


@common.telling
def run(arguments: argparse.Namespace) -> int:
    """Does what parsed arguments say and returns the exit status."""
    single = not (arguments.out or arguments.beside)
    if single:
        _check_output(*arguments.inputs, arguments.overwrite)
    found = inputs.find(arguments.inputs[:1] if single else arguments.inputs, arguments.csv, arguments.out)
    if arguments.beside:
        _pass_over_outputs(found)
    if single and len(found.inputs) != 1:
        raise common.CommandError(
            f"{arguments.inputs[0]}: several pictures: --out DIR says where they go", common.USAGE
        )
    taken = {os.path.realpath(it.path) for it in found.inputs}
    out = sys.stderr if single and arguments.inputs[1] == inputs.STANDARD else None
    with (
        common.LazyClient(arguments, lambda: common.read_key(arguments, make_default=True)) as client,
        results.Results(arguments.json, _sentence, one=single, out=out) as told,
    ):
        for one in inputs.each(found):
            told.add(_tag_one(one, arguments, client, taken))
    return told.end(found.untouched)


def _pass_over_outputs(found: inputs.Found) -> None:
    """What an earlier call has written --beside is no input of this one, unless nothing else is."""
    marked = [it for it in found.inputs if outputs.is_marked(it.path)]
    if marked and len(marked) < len(found.inputs):
        found.inputs = [it for it in found.inputs if not outputs.is_marked(it.path)]
        common.tell(f"passed over, by their names outputs of an earlier call: {len(marked)} ({marked[0].path}, …)")


def _sentence(finding: dict[str, Any]) -> str:
    return f"{common.legible(finding['file'])}: tagged with UID {finding['uid']}"


def _check_output(input_path: str, output_path: str, overwrite: bool) -> None:
    if output_path == inputs.STANDARD:
        return
    known = picture_encoding.format_by_name(output_path) or kinds.format_by_name(output_path)
    if known is None and not _is_stream(output_path):
        endings = ", ".join(it[0] for it in [*picture_encoding.ENDINGS.values(), *kinds.ENDINGS.values()])
        raise common.CommandError(f"{output_path}: must end in one of {endings}", common.USAGE)
    if os.path.exists(input_path) and os.path.exists(output_path) and os.path.samefile(input_path, output_path):
        raise common.CommandError(f"{output_path}: is the input; name another file", common.USAGE)
    if os.path.isfile(output_path) and not overwrite:
        hint = "--overwrite replaces it; several inputs go with --out DIR or --beside"
        raise common.CommandError(f"{output_path}: is there already; {hint}", common.USAGE)


def _is_stream(path: str) -> bool:
    return os.path.exists(path) and not os.path.isfile(path) and not os.path.isdir(path)


def _tag_one(
    one: inputs.Input, arguments: argparse.Namespace, client: common.LazyClient, taken: set[str]
) -> dict[str, Any]:
    """What was done with a picture, or why nothing was; errors that concern every picture are raised."""
    name, uid = inputs.named(one.path), arguments.uid if one.uid is None else one.uid
    most = int(arguments.max_megapixels * 1e6)
    how = How(arguments.strength, arguments.whole, arguments.replace, not arguments.no_verify, most)

    def place(picture: Picture) -> tuple[str, str]:
        path = _output(one, arguments, lambda name: outputs.ending(name, picture), taken)
        if kinds.format_by_name(path):
            raise common.RefusedError(f"{path}: {name} is a picture, not a clip")
        format = picture_encoding.format_by_name(path) or picture_encoding.own_format(picture)
        picture_encoding.check(picture, format)
        if path != inputs.STANDARD:
            _check_place(path, taken, arguments.overwrite)
        return path, format

    def work() -> dict[str, Any]:
        with inputs.open_input(one.path) as file:
            if inputs.is_clip(file):
                return {"input": one.path, **_tag_clip(file, one, uid, arguments, client, taken)}
            picture = picture_decoding.decode(file, name, most=how.most)
        write = functools.partial(outputs.write, replace=arguments.overwrite)
        return {"input": one.path, **tag_picture(client, picture, uid, how, place, write)}

    return results.of(name, work)


def tag_picture(
    client: common.LazyClient,
    picture: Picture,
    uid: int,
    how: How,
    place: Place,
    write: Write = outputs.write,
    compare: Compare | None = None,
) -> dict[str, Any]:
    """Tags a decoded picture, writes it, and reads it again; returns the facts.

    Raises:
      common.RefusedError, ImageError: it cannot be tagged.
      OSError: it cannot be written.
      common.CommandError: what concerns every picture.
    """
    path, format = place(picture)
    whole = how.whole or picture.is_cutout  # Views of faces reach beyond a cutout's rim, where no tag stays.
    before = picture.visible().rgb().copy() if compare else None
    tag = _lay(client, picture, uid, how, whole)
    compared: dict[str, Any] = {}

    def encode(file: BinaryIO) -> None:
        picture_encoding.encode(picture, file, format)
        if how.verify:
            picture.pixels = np.empty([0, 0, 3], np.uint8)  # Large ones are not held twice.
            seen = _check(client, file, path, uid, tag)
            if compare and before is not None:
                compared.update(compare(before, seen))

    size = write(path, encode)
    notes = [*picture.damage, *picture_encoding.changes(picture, format), *_of_faces(tag, whole)]
    return {**_facts(path, uid, client, tag, size), **compared, "format": format, "notes": notes}


def _tag_clip(
    file: BinaryIO,
    one: inputs.Input,
    uid: int,
    arguments: argparse.Namespace,
    client: common.LazyClient,
    taken: set[str],
) -> dict[str, Any]:
    """As tag_picture, of a clip's open file."""
    from faketagger.serving.video import writing
    from faketagger.serving.video.clips import Clip

    if arguments.whole:
        raise common.RefusedError(f"{inputs.named(one.path)}: is a clip, which takes no --whole")
    clip = Clip(file, inputs.named(one.path))
    path = _output(one, arguments, outputs.clips_ending, taken)
    format = kinds.format_by_name(path) or ("mp4" if _is_stream(path) or path == inputs.STANDARD else None)
    if format is None:
        raise common.RefusedError(f"{path}: {clip.name} is a clip, not a picture")
    if path != inputs.STANDARD:
        _check_place(path, taken, arguments.overwrite)
    tag = client.call(lambda it: it.clip_tag(clip, uid, arguments.strength, arguments.replace))
    if clip.damage:
        raise DamagedError(f"{clip.name}: {'; '.join(clip.damage)}")

    def encode(out: BinaryIO) -> None:
        writing.write(clip, tag.on, out, format)
        if not arguments.no_verify:
            client.call(lambda it: it.check_clip(Clip(out, path), uid))

    size = outputs.write(path, encode, arguments.overwrite)
    notes = [*clip.changes, *_of_faces(tag, whole=False)]
    return {**_facts(path, uid, client, tag, size), "format": format, "frames": tag.tracks.frames, "notes": notes}


def _facts(path: str, uid: int, client: common.LazyClient, tag: Any, size: int) -> dict[str, Any]:
    """What is told of everything that was tagged."""
    facts = {"file": path, "outcome": Outcome.TAGGED.value, "uid": uid}
    facts |= {"payload_version": payload.LATEST, "key_fingerprint": client.key_fingerprint}
    return facts | {"faces": [{"box": face.box, "tag": face.tag.value} for face in tag.faces], "bytes": size}


def _output(one: inputs.Input, arguments: argparse.Namespace, ending: Callable[[str], str], taken: set[str]) -> str:
    """Where it goes; `ending` says what a name gets where the command line names no output."""
    if not (arguments.out or arguments.beside):
        return arguments.inputs[1]
    name = one.below if one.path != inputs.STANDARD else "picture"
    if arguments.out:
        path = outputs.below(arguments.out, name, ending(name))
    else:
        path = outputs.beside(one.path, ending(one.path))
    if os.path.realpath(path) in taken:  # As of a.gif and a.png: both become a.png.
        stem, own = os.path.splitext(path)
        path = f"{stem}{os.path.splitext(name)[1]}{own}"
    return path


def _check_place(path: str, taken: set[str], overwrite: bool) -> None:
    """Takes the output's place; common.RefusedError where an input, another output or another file has it."""
    real = os.path.realpath(path)
    if real in taken:
        raise common.RefusedError(f"{path}: is an input or another's output; name another folder")
    if os.path.isfile(path) and not overwrite:
        raise common.RefusedError(f"{path}: is there already; --overwrite replaces it")
    taken.add(real)


def _lay(client: common.LazyClient, picture: Picture, uid: int, how: How, whole: bool) -> Any:
    """Lays the tag over what is visible of the picture; returns the client's PhotographTag."""
    visible = picture.visible()
    height, width = visible.pixels.shape[:2]
    if min(height, width) < _MIN_SIDE:
        few = f"{width}×{height} pixels are too few to be read again"
        raise common.RefusedError(f"{picture.name}: {few}; it takes {_MIN_SIDE} on each side")
    seen = visible.rgb()
    tag = client.call(lambda it: it.photograph_tag(seen, uid, how.strength, whole, how.replace, picture.name))
    visible.add(tag.overlay.strips())
    return tag


def _check(client: common.LazyClient, file: BinaryIO, path: str, uid: int, tag: Any) -> np.ndarray:
    """Reads what is written, and returns what is seen of it; common.RefusedError where the tag is not in it."""
    seen = picture_decoding.decode(file, path).visible().rgb()
    client.call(lambda it: it.check(seen, uid, tag, path))
    return seen


def _of_faces(tag: Any, whole: bool) -> list[str]:
    """What became of faces, where it is not what is expected."""
    from faketagger.serving.photograph.tagging import FaceTag

    notes = [f"carried UID {tag.replaced.uid} before"] if tag.replaced else []
    if not (tag.faces or whole):
        return [*notes, "no face is found in it: one tag lies over the whole"]
    fates = collections.Counter(face.tag for face in tag.faces if face.tag is not FaceTag.TAGGED)
    return notes + [f"{number} of {len(tag.faces)} faces: {fate.value}" for fate, number in fates.items()]
