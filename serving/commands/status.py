"""Says which versions of a tagger are served, and what the one in use can do.

    faketagger status --server localhost:8500

Without --server it tells of the shipped tagger, or of --model. Exit status: 0 there is a tagger to use, 1 there is
none.
"""

import argparse
import json
from typing import Any

from faketagger.components.contract import payload, startup
from faketagger.serving.commands import common


def main(argv: list[str]) -> None:
    """The command."""
    startup.run(run, make_parser(), argv)


def make_parser() -> startup.Parser:
    """Of the command's flags."""
    parser = startup.Parser("faketagger status", __doc__)
    common.add_backend_flags(parser)
    return parser


@common.telling
def run(arguments: argparse.Namespace) -> int:
    """Does what parsed arguments say and returns the exit status."""
    from faketagger.serving.client import TaggerError, describe

    backend = common.backend(arguments)
    try:
        versions = backend.status()
        served = any(it.state == "AVAILABLE" for it in versions)
        manifest = describe(backend)[1] if served else None
    except TaggerError as error:
        raise common.CommandError(str(error)) from error
    finally:
        backend.close()
    facts = {} if manifest is None else _facts(manifest)
    if arguments.json:
        print(json.dumps({"versions": [vars(it) for it in versions], **facts}, indent=2))
    else:
        server = common.server(arguments)
        print(f"{arguments.model_name} on {server}" if server else common.model(arguments))
        for it in versions:
            print(f"  version {it.version}  {it.state}  {it.error}".rstrip())
        for name, value in facts.items():
            shown = ", ".join(map(str, value)) if isinstance(value, list) else value
            print(f"  {name.replace('_', ' ')}: {shown}")
    return common.OK if served else common.FAILED


def _facts(manifest) -> dict[str, Any]:
    return {
        "largest_uid": 2**manifest.message_bits - 1,
        "message_bits": manifest.message_bits,
        "code_bits": manifest.code_bits,
        "image_size": manifest.image_size,
        "strength": manifest.strength,
        "false_positive_rate": manifest.false_positive_rate,
        "payload_versions": list(payload.VERSIONS),
    }
