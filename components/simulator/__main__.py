"""Trains one simulator for the repository: half-precision weights, manifest, model card and sheet of samples.

    faketagger simulators --generator=stargan --data="TEXT" --licence="TEXT" --examples=DIR --out=pretrained/simulators

`--examples` is what the pipeline's first step leaves, below its work directory in artifacts/FaceExampleGen/examples.
Killed, it goes on from its last checkpoint when it is called again with the same settings and Examples.
"""

import argparse
import sys

from faketagger.components.contract import manifest, startup
from faketagger.components.simulator.config import SimulatorConfig
from faketagger.components.simulator.generators.registry import GENERATORS

_DEFAULTS = SimulatorConfig(image_size=128, train=())
# What stands in the config, and what it is; `depth` is the generator's own where it is not given.
SETTINGS = {
    "image_size": (int, "the side of the pictures"),
    "width": (int, "channels of the first layer"),
    "depth": (int, "encoder layers of stgan, residual blocks of stargan; by default their own choice"),
    "steps": (int, "optimiser steps"),
    "batch_size": (int, "pictures a step"),
    "learning_rate": (float, "of Adam"),
    "zoom": (float, "the least share of a picture's side that a training window shows"),
    "critic": (float, "weight of a patch critic beside restoring; 0 for none"),
    "change": (float, "weight of how much edits of stargan and stgan change; by default their own choice"),
    "attention": (startup.switch, "whether stargan and stgan work at half the side and make a mask"),
    "guide_steps": (int, "optimiser steps for the classifiers that guide stargan and stgan"),
    "bfloat16": (startup.switch, "convolutions in bfloat16: three times as fast on processors with AMX"),
    "judge_steps": (int, "optimiser steps for the classifier that judges it"),
    "seed": (int, "for initial weights and shuffling"),
}


def main(argv: list[str]) -> None:
    """The command."""
    startup.run(run, make_parser(), argv)


def make_parser() -> startup.Parser:
    """Of the command's flags."""
    parser = startup.Parser("faketagger simulators", __doc__)
    add = parser.add_argument
    add("--generator", choices=list(GENERATORS), required=True, help="what to train")
    add("--name", type=_name, help="its name, where it is another than the generator's")
    add("--examples", required=True, help="an Examples artifact: trained on its train split, assessed on eval")
    add("--shown", help="an Examples artifact whose eval pictures the sheet shows; --examples by default")
    add("--data", required=True, help="what the pictures are, for the model card")
    add("--licence", required=True, help="under which terms the simulator may be used")
    add("--out", required=True, help="the directory of shipped simulators")
    add("--checkpoints", help="kept until the end, for a training that is killed; beside --out by default")
    for name, (kind, what) in SETTINGS.items():
        default = getattr(_DEFAULTS, name)
        said = what if default is None else f"{what}; default: {default}"
        alone = {"nargs": "?", "const": True} if kind is startup.switch else {}
        add(f"--{name}", type=kind, default=default, help=said, **alone)
    return parser


def _name(text: str) -> str:
    if not manifest.is_name(text):
        raise argparse.ArgumentTypeError(f"expected lower-case letters, digits and underscores, got '{text}'")
    return text


def run(arguments: argparse.Namespace) -> int:
    """Does what parsed arguments say and returns the exit status."""
    settings = {name: getattr(arguments, name) for name in SETTINGS}
    try:
        config = SimulatorConfig(train=(arguments.generator,), **settings)
    except ValueError as error:
        print(f"faketagger simulators: {error}", file=sys.stderr)
        return startup.USAGE
    import tensorflow as tf

    from faketagger.components.simulator.make_shipped import make_shipped

    try:
        make_shipped(
            config,
            arguments.name or arguments.generator,
            arguments.examples,
            arguments.out,
            data=arguments.data,
            licence=arguments.licence,
            shown=arguments.shown,
            checkpoints=arguments.checkpoints,
        )
    except (ValueError, OSError, tf.errors.OpError) as error:
        print(f"faketagger simulators: {error}", file=sys.stderr)
        return startup.FAILED
    return startup.OK


if __name__ == "__main__":
    main(sys.argv)
