r"""Makes a simulator of a generator that was made elsewhere.

    faketagger adapt --out=simulators --name=happy --licence="CC BY 4.0" \
        --model=DIR --family=attribute_editing --value_range=-1,1 --conditions=happy,old --images=photographs
    faketagger adapt --out=simulators --name=painted --licence=MIT \
        --model=package/model.json --family=attribute_editing --value_range=0,1 --conditions=painted --model_size=128
    faketagger adapt --out=simulators --name=stgan_official --licence="research only" \
        --model=output/128/checkpoints
    faketagger adapt --out=simulators --name=stargan_official --licence=MIT \
        --model=200000-G.npz --discriminator=200000-D.npz

takes a SavedModel (foreign/saved_model.py), a layers model of TensorFlow.js (foreign/tfjs.py), a TF1 checkpoint of the
official STGAN or AttGAN (foreign/tf1.py), or a state dict of the official PyTorch StarGAN (foreign/torch.py). The
pipeline then uses all of `simulators` with --simulators=simulators.
"""

import argparse
import os
import sys

from faketagger.components.contract import manifest, startup

OK, FAILED = startup.OK, startup.FAILED


def main(argv: list[str]) -> None:
    """The command."""
    startup.run(run, make_parser(), argv)


def make_parser() -> startup.Parser:
    """Of the command's flags."""
    parser = startup.Parser("faketagger adapt", __doc__)
    add = parser.add_argument
    add(
        "--model",
        required=True,
        help="a SavedModel's folder, a model.json, a checkpoint's prefix or folder, a state dict",
    )
    add("--out", required=True, help="the directory of simulators to put it into")
    add("--name", required=True, help="how to call it: lower-case letters, digits and underscores")
    add("--licence", required=True, help="under which terms it may be used")
    add("--training_data", default="not stated", help="what it was trained on, for people")
    add("--family", choices=manifest.FAMILIES, help="attribute_editing by default, but for SavedModels and model.json")
    add("--image_size", type=int, help="side of the simulator's pictures, the pipeline's; by default the model's")
    add("--model_size", type=int, help="side of the pictures that the model takes, where it does not show it")
    names = startup.comma_list
    add(
        "--tools",
        type=names,
        metavar="NAME,…",
        help="deepfake tools as which it is also applied (inswapper, simswap, facefusion, …); by default attgan for a "
        "TF1 checkpoint and stargan for a state dict",
    )
    measured_on = parser.add_mutually_exclusive_group()
    measured_on.add_argument("--images", metavar="DIR", help="photographs to measure its change on")
    measured_on.add_argument("--examples", metavar="DIR", help="Examples, whose eval split to measure its change on")
    saved_model = parser.add_argument_group("a SavedModel or a TensorFlow.js layers model").add_argument
    saved_model("--signature", help="a SavedModel's, the one that makes pictures")
    saved_model("--images_input", help="the input that takes the pictures")
    saved_model("--condition_input", help="the input that says what to make of them")
    saved_model("--images_output", help="the output that holds the made pictures")
    saved_model("--layout", choices=["NHWC", "NCHW"], help="of the pictures")
    saved_model("--value_range", type=_range, metavar="LOW,HIGH", help="of the pictures it takes: --value_range=-1,1")
    saved_model("--output_range", type=_range, metavar="LOW,HIGH", help="of those it makes, where it is another")
    saved_model("--conditions", type=names, metavar="NAME,…", help="names: one-hot places or indices, in their order")
    saved_model(
        "--condition_vector",
        type=_vector,
        action="append",
        metavar="NAME:NUMBER,…",
        help="instead: a condition and what the condition input gets for it; once for each",
    )
    editor = parser.add_argument_group("a TF1 checkpoint or a PyTorch state dict").add_argument
    editor("--attributes", type=names, metavar="NAME,…", help="what it edits, in the order of its training")
    editor("--source_attributes", type=names, metavar="NAME,…", help="what every picture is taken to show beforehand")
    editor("--intensity", type=float, help="factor on the inverted attribute's target; the official test's by default")
    editor("--discriminator", help="StarGAN's, a state dict: its head then says what pictures show before the edit")
    return parser


def _range(text: str) -> tuple[float, float]:
    low, high = map(float, text.split(","))
    if not low < high:
        raise ValueError(text)
    return low, high


def _vector(text: str) -> tuple[str, list[float]]:
    name, numbers = text.split(":")
    return name.strip(), [float(each) for each in numbers.split(",")]


def run(arguments: argparse.Namespace) -> int:
    """Does what parsed arguments say and returns the exit status."""
    import tensorflow as tf

    from faketagger.components.simulator.foreign.adapt import adapt

    try:
        described = adapt(arguments)
    except (ValueError, ImportError, OSError, tf.errors.OpError) as error:
        print(f"faketagger: {error}", file=sys.stderr)
        return FAILED
    print(f"{os.path.join(arguments.out, described.name)}: {described.family}, {described.image_size} pixels")
    for condition in described.ways:
        change = described.change.get(condition)
        said = f"{change.psnr:.1f} dB, SSIM {change.ssim:.3f}" if change else "change not measured"
        print(f"  {condition}: {said}")
    return OK


if __name__ == "__main__":
    main(sys.argv)
