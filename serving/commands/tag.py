"""Puts a tag into a picture: by the shipped tagger, in this process, unless flags name another.

    faketagger tag in.jpg out.png --uid 12345

What comes out is PNG, of the same size. The first call makes a secret key, without which no tag can be read.
"""

import argparse
import json
import os

from faketagger.components.contract import payload, startup
from faketagger.serving.commands import common


def main(argv: list[str]) -> None:
    """The command."""
    startup.run(run, make_parser(), argv)


def make_parser() -> startup.Parser:
    """Of the command's flags."""
    parser = startup.Parser("faketagger tag", __doc__)
    parser.add_argument("input", help="the picture: JPEG, PNG, WebP, BMP or TIFF")
    parser.add_argument("output", help="the tagged picture; it must end in .png: other formats would damage the tag")
    parser.add_argument(
        "--uid", type=int, required=True, help="the number to put in; `faketagger status` says how large"
    )
    parser.add_argument("--strength", type=float, help="how strongly; the model's own default")
    common.add_key_flag(parser)
    common.add_backend_flags(parser)
    return parser


@common.telling
def run(arguments: argparse.Namespace) -> int:
    """Does what parsed arguments say and returns the exit status."""
    _check_output(arguments.input, arguments.output)
    picture = common.read_picture(arguments.input)
    key = common.read_key(arguments, make_default=True)

    def work(client) -> bytes:
        return client.tag(picture, arguments.uid, arguments.strength, arguments.input)

    png = common.with_client(arguments, key, work)
    _write(arguments.output, png)
    facts = {"file": arguments.output, "uid": arguments.uid, "bytes": len(png)}
    facts |= {"payload_version": payload.LATEST, "key_fingerprint": payload.fingerprint(key)}
    print(json.dumps(facts) if arguments.json else f"{arguments.output}: tagged with UID {arguments.uid}")
    return common.OK


def _check_output(input_path: str, output_path: str) -> None:
    if not output_path.lower().endswith(".png"):
        raise common.CommandError(f"{output_path}: must end in .png: other formats would damage the tag", common.USAGE)
    if os.path.exists(input_path) and os.path.exists(output_path) and os.path.samefile(input_path, output_path):
        raise common.CommandError(f"{output_path}: is the input; name another file", common.USAGE)


def _write(path: str, data: bytes) -> None:
    import tensorflow as tf

    from faketagger.components.contract import files

    try:
        files.write_bytes(path, data)
    except tf.errors.OpError as error:
        raise common.CommandError(f"{path}: cannot be written: {error.message}") from error
