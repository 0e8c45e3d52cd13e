"""Reads the tags of pictures and clips: by the shipped tagger, in this process, unless flags name another.

    faketagger read out.png more.jpg clip.mp4
    faketagger read holiday/ --json

Each face is read, and the picture as a whole; a picture is searched for its tag however it was turned, mirrored, cut or
framed. A tag is claimed where at most one untagged picture in a million would score as high; «perhaps» names a UID
where one in twenty would. What another key tagged reads as no tag: the answer names the key that was tried.

Damaged JPEGs, PNGs and clips are read as far as they go, and that is told. Of a clip (MP4, MOV, MKV, WebM, AVI), each
face is followed through its frames, and what they say is averaged.

Exit status: 0 all are tagged; of one picture or clip 3 no tag, 4 perhaps, 5 damaged file, 6 refused; of several 3 some
are not tagged, 1 some could not be read.
"""

import argparse
import dataclasses
from typing import Any, BinaryIO

from faketagger.components.contract import picture_decoding, startup
from faketagger.serving.commands import common, inputs, results

_WORTH_A_LOOK = 0.05  # As reading.PERHAPS, which is not imported for a `--help`.
_WIDEST_NAME = 60


def main(argv: list[str]) -> None:
    """The command."""
    startup.run(run, make_parser(), argv)


def make_parser() -> startup.Parser:
    """Of the command's flags."""
    parser = startup.Parser("faketagger read", __doc__, _check)
    parser.add_argument("inputs", nargs="*", metavar="picture", help="or clip: a file, a folder, a pattern, or -")
    inputs.add_flags(parser)
    common.add_key_flag(parser)
    common.add_backend_flags(parser)
    return parser


def _check(parser: startup.Parser, arguments: argparse.Namespace) -> None:
    if not (arguments.inputs or arguments.csv):
        parser.error("the following arguments are required: picture")


@common.telling
def run(arguments: argparse.Namespace) -> int:
    """Does what parsed arguments say and returns the exit status."""
    key = common.read_key(arguments, make_default=False)
    found = inputs.find(arguments.inputs, arguments.csv)
    width = min(_WIDEST_NAME, max(len(inputs.named(it.path)) for it in found.inputs))
    with (
        common.LazyClient(arguments, lambda: key) as client,
        results.Results(arguments.json, lambda finding: sentence(finding, width)) as told,
    ):
        for one in inputs.each(found):
            told.add(_read_one(one, client, arguments.max_megapixels))
    return told.end(found.untouched)


def _read_one(one: inputs.Input, client: common.LazyClient, max_megapixels: float) -> dict[str, Any]:
    """A picture's reading, or why there is none; errors that concern every picture are raised."""
    name = inputs.named(one.path)

    def work() -> dict[str, Any]:
        with inputs.open_input(one.path) as file:
            most = int(max_megapixels * 1e6)
            is_clip = inputs.is_clip(file)
            found = _read_clip(client, file, name) if is_clip else read_file(client, file, name, most)
        return found if one.uid is None else {**found, "expected": one.uid}

    return results.of(name, work)


def read_file(client: common.LazyClient, file: BinaryIO, name: str, most: int) -> dict[str, Any]:
    """What is read from a picture's file, of at most `most` pixels; errors are those of results.of."""
    picture = picture_decoding.decode(file, name, lenient=True, most=most)
    seen = picture.visible().rgb()
    if not seen.size:
        raise common.RefusedError(f"{name}: all of it is transparent")
    reading = client.call(lambda it: it.read_photograph(seen, name=name)).moved(*picture.visible_corner())
    return {**_of_reading(name, reading), "notes": picture.damage}


def _read_clip(client: common.LazyClient, file: BinaryIO, name: str) -> dict[str, Any]:
    from faketagger.serving.video.clips import Clip

    clip = Clip(file, name)
    reading = client.call(lambda it: it.read_clip(clip))
    facts = _of_reading(name, reading)
    for face, span in zip(facts["faces"], reading.spans):
        face["seconds"] = span
    return {**facts, "frames_read": reading.frames, "notes": clip.damage}


def _of_reading(name: str, reading: Any) -> dict[str, Any]:
    """Of a PhotographReading."""
    facts = {"file": name, "outcome": reading.outcome.value, **_facts(reading.best)}
    facts["faces"] = [{"box": it.box, **_facts(it)} for it in reading.faces]
    return {**facts, "key_fingerprint": reading.key_fingerprint}


def _facts(reading: Any) -> dict[str, Any]:
    """Of a RegionReading, without its place."""
    facts = {"uid": reading.uid, **dataclasses.asdict(reading)}
    del facts["box"]
    return facts


def sentence(finding: dict[str, Any], width: int) -> str:
    """What was found in a picture, for people, a line for it and one a face; file names are filled up to `width`."""
    # A picture that another key tagged reads as no tag: which key was tried is told.
    key = f"; key {finding['key_fingerprint']}" if "key_fingerprint" in finding and not finding["tagged"] else ""
    lines = [f"{common.legible(finding['file']):<{width}}  {_found(finding)}{key}"]
    for face in finding["faces"]:
        box = ", ".join(f"{it:.0f}" for it in face["box"])
        when = ", from {:.1f} to {:.1f} s".format(*face["seconds"]) if "seconds" in face else ""
        where = f"face at {box}{when}"
        lines.append(f"  {where:<{max(width, len(where) + 2)}}{_found(face)}")
    return "\n".join(lines)


def _found(finding: dict[str, Any]) -> str:
    found = f"UID {finding['uid']}" if finding["tagged"] else "no tag"
    if not finding["tagged"] and finding["p_value"] <= _WORTH_A_LOOK:
        found = f"no tag for sure, perhaps UID {finding['candidate']}"
    if finding.get("expected") not in (None, finding["candidate"]):
        found += f", not {finding['expected']}"
    how = f", {finding['how']}" if finding["how"] else ""
    return f"{found + how:<14}  an untagged picture scores this high with probability ≤ {finding['p_value']:.2g}"
