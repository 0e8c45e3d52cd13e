"""Reads the tags of pictures: by the shipped tagger, in this process, unless flags name another.

    faketagger read out.png more.jpg

Exit status: 0 all are tagged, 3 some are not, 1 some could not be read.
"""

import argparse
import dataclasses
import json
from typing import Any

from faketagger.components.contract import payload, startup
from faketagger.serving.commands import common

# The p-value of nearly every untagged picture is 1; below, the best candidate may help to find the original.
_WORTH_A_LOOK = 0.5


def main(argv: list[str]) -> None:
    """The command."""
    startup.run(run, make_parser(), argv)


def make_parser() -> startup.Parser:
    """Of the command's flags."""
    parser = startup.Parser("faketagger read", __doc__)
    parser.add_argument("inputs", nargs="+", metavar="picture", help="a picture file")
    common.add_key_flag(parser)
    common.add_backend_flags(parser)
    return parser


@common.telling
def run(arguments: argparse.Namespace) -> int:
    """Does what parsed arguments say and returns the exit status."""
    key = common.read_key(arguments, make_default=False)
    findings = common.with_client(arguments, key, lambda client: [_read_one(client, path) for path in arguments.inputs])
    failed = [it for it in findings if "error" in it]
    if arguments.json:
        of_key = {"key_fingerprint": payload.fingerprint(key)}
        print(json.dumps([{**finding, **of_key} for finding in findings], indent=2))
    else:
        width = max(len(path) for path in arguments.inputs)
        for finding in findings:
            if "error" not in finding:
                print(sentence(finding, width))
    for finding in failed:
        common.tell(finding["error"])
    if failed and len(findings) > 1:
        common.tell(f"{len(failed)} of {len(findings)} pictures could not be read")
    if failed:
        return common.FAILED
    return common.OK if all(it["tagged"] for it in findings) else common.NO_TAG


def _read_one(client, path: str) -> dict[str, Any]:
    """A picture's reading, or why there is none; errors that concern every picture are raised."""
    from faketagger.serving.client import PictureError

    try:
        reading = client.read(common.read_picture(path), path)
    except (PictureError, common.CommandError) as error:
        return {"file": path, "error": str(error)}
    return {"file": path, "uid": reading.uid, **dataclasses.asdict(reading)}


def sentence(finding: dict[str, Any], width: int) -> str:
    """What was found in a picture, for people; file names are filled up to `width`."""
    found = f"UID {finding['uid']}" if finding["tagged"] else "no tag"
    if not finding["tagged"] and finding["p_value"] < _WORTH_A_LOOK:
        found = f"no tag for sure, perhaps UID {finding['candidate']}"
    # A float32 may round to 0, which would promise more than it can.
    chance = f"{finding['p_value']:.2g}" if finding["p_value"] > 0 else "1.5e-45"
    return f"{finding['file']:<{width}}  {found:<14}  an untagged picture scores this high with probability ≤ {chance}"
