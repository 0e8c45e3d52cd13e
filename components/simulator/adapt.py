"""Makes a simulator of a generator that was made elsewhere.

    python -m faketagger.components.simulator.adapt --out=simulators --name=happy --licence="CC BY 4.0" \\
        --model=DIR --family=attribute_editing --value_range=-1,1 --conditions=happy,old --images=photographs
    python -m faketagger.components.simulator.adapt --out=simulators --name=stgan_official --licence="research only" \\
        --model=output/128/checkpoints
    python -m faketagger.components.simulator.adapt --out=simulators --name=stargan_official --licence=MIT \\
        --model=200000-G.npz --discriminator=200000-D.npz

takes a SavedModel (foreign_saved_model.py), a TF1 checkpoint of the official STGAN or AttGAN (foreign_tf1.py), or a
state dict of the official PyTorch StarGAN (foreign_torch.py). The pipeline then uses all of `simulators` with
--simulators=simulators.
"""

import os
import sys
from typing import Dict, List, Optional, Tuple

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # Before TensorFlow is imported; its start-up notes help nobody.

import numpy as np
import tensorflow as tf
from absl import app, flags, logging
from absl.flags import argparse_flags

from faketagger.components.contract import features, images, manifest
from faketagger.components.simulator import export, foreign, foreign_saved_model, foreign_tf1, foreign_torch, library
from faketagger.components.simulator.assess import Assessor
from faketagger.components.simulator.generator import Faces, read_faces

OK, FAILED = 0, 1
_ASSESSED = 64  # Pictures.
# How far beyond the range, as a share of it, an output may reach and be clipped: more means a wrong range.
_OVERSHOOT = 0.05

_SAVED_MODEL, _TF1, _TORCH = "a SavedModel", "a TF1 checkpoint", "a PyTorch state dict"
_DESCRIBING = (
    "signature",
    "images_input",
    "condition_input",
    "images_output",
    "layout",
    "value_range",
    "output_range",
    "conditions",
)
# Flags that not every kind of model has a use for, and the kinds that have.
_USES = {
    **dict.fromkeys((*_DESCRIBING, "condition_vector"), (_SAVED_MODEL,)),
    **dict.fromkeys(("attributes", "source_attributes"), (_TF1, _TORCH)),
    "intensity": (_TF1,),
    "discriminator": (_TORCH,),
}


def main() -> None:
    """The module's command."""
    logging.set_verbosity(logging.ERROR)  # TensorFlow's notes on what it saves and where help nobody here.
    tf.get_logger().setLevel("ERROR")
    app.run(run, flags_parser=parse)


def parse(argv: List[str]):
    """The arguments of a command line, program name first; exits with 2 and a usage line when they are wrong."""
    parser = argparse_flags.ArgumentParser(
        prog="adapt", description=__doc__.split("\n")[0], inherited_absl_flags=None, allow_abbrev=False
    )
    add = parser.add_argument
    add("--model", required=True, help="the folder of a SavedModel, a checkpoint's prefix or folder, or a state dict")
    add("--out", required=True, help="the directory of simulators to put it into")
    add("--name", required=True, help="how to call it: lower-case letters, digits and underscores")
    add("--licence", required=True, help="under which terms it may be used")
    add("--training_data", default="not stated", help="what it was trained on, for people")
    add("--family", choices=manifest.FAMILIES, help="attribute_editing by default, but for SavedModels")
    add("--image_size", type=int, help="side of the simulator's pictures, the pipeline's; by default the model's")
    add("--model_size", type=int, help="side of the pictures that the model takes, where it does not show it")
    measured_on = parser.add_mutually_exclusive_group()
    measured_on.add_argument("--images", metavar="DIR", help="photographs to measure its strength on")
    measured_on.add_argument("--examples", metavar="DIR", help="Examples, whose eval split to measure its strength on")
    saved_model = parser.add_argument_group(_SAVED_MODEL).add_argument
    saved_model("--signature", help="the signature that makes pictures")
    saved_model("--images_input", help="the input that takes the pictures")
    saved_model("--condition_input", help="the input that says what to make of them")
    saved_model("--images_output", help="the output that holds the made pictures")
    saved_model("--layout", choices=[foreign_saved_model.NHWC, foreign_saved_model.NCHW], help="of the pictures")
    saved_model("--value_range", type=_range, metavar="LOW,HIGH", help="of the pictures it takes: --value_range=-1,1")
    saved_model("--output_range", type=_range, metavar="LOW,HIGH", help="of those it makes, where it is another")
    saved_model("--conditions", type=_list, metavar="NAME,…", help="names: one-hot places or indices, in their order")
    saved_model(
        "--condition_vector",
        type=_vector,
        action="append",
        metavar="NAME:NUMBER,…",
        help="instead: a condition and what the condition input gets for it; once for each",
    )
    editor = parser.add_argument_group(f"{_TF1} or {_TORCH}").add_argument
    editor("--attributes", type=_list, metavar="NAME,…", help="what it edits, in the order of its training")
    editor("--source_attributes", type=_list, metavar="NAME,…", help="what every picture is taken to show beforehand")
    editor("--intensity", type=float, help="factor on the inverted attribute's target; the official test's by default")
    editor("--discriminator", help="StarGAN's, a state dict: its head then says what pictures show before the edit")
    flags.FLAGS.mark_as_parsed()  # app.run asks for it; none of the flags of other modules is of use here.
    return parser.parse_args(argv[1:])


def _list(text: str) -> List[str]:
    return [each.strip() for each in text.split(",") if each.strip()]


def _range(text: str) -> Tuple[float, float]:
    low, high = map(float, text.split(","))
    if not low < high:
        raise ValueError(text)
    return low, high


def _vector(text: str) -> Tuple[str, List[float]]:
    name, numbers = text.split(":")
    return name.strip(), [float(each) for each in numbers.split(",")]


def run(arguments) -> int:
    """Does what parsed arguments say and returns the exit code."""
    try:
        described = adapt(arguments)
    except (ValueError, ImportError, OSError, tf.errors.OpError) as error:
        print(f"adapt: {error}", file=sys.stderr)
        return FAILED
    print(f"{os.path.join(arguments.out, described.name)}: {described.family}, {described.image_size} pixels")
    for condition in described.conditions:
        figures = described.strength.get(condition)
        said = f"{figures['psnr']:.1f} dB, SSIM {figures['ssim']:.3f}" if figures else "strength not measured"
        print(f"  {condition}: {said}")
    return OK


def adapt(arguments) -> manifest.SimulatorManifest:
    """Reads the model that arguments name and writes it as a simulator; ValueError says what is wrong or missing."""
    if not manifest.is_name(arguments.name) or arguments.name in (manifest.PERTURBATION, manifest.UNSEEN):
        raise ValueError(
            f"--name: {arguments.name}: expected lower-case letters, digits and underscores, and neither "
            f"{manifest.PERTURBATION} nor {manifest.UNSEEN}"
        )
    kind = kind_of(arguments.model)
    given = [flag for flag in _USES if getattr(arguments, flag) is not None]
    useless = [f"--{flag}" for flag in given if kind not in _USES[flag]]
    if useless:
        raise ValueError(f"{arguments.model} is {kind}, for which there is no {', '.join(useless)}")
    read = _read(kind, arguments)
    model_size, image_size = _sizes(read, arguments)
    described = manifest.SimulatorManifest(
        name=arguments.name,
        family=arguments.family or "attribute_editing",
        conditions=list(read.conditions),
        image_size=image_size,
        training_data=arguments.training_data,
        licence=arguments.licence,
    )
    assessor = _assessor(arguments, image_size)
    check_runs(read, model_size, arguments.model)
    simulate = export.resized(read.simulate, model_size, image_size)
    return export.save(arguments.out, simulate, described, assessor, tracked=read.tracked)


def kind_of(path: str) -> str:
    """Which kind of model a path holds; ValueError when it is none that is known."""
    if tf.saved_model.contains_saved_model(path):
        return _SAVED_MODEL
    if foreign_tf1.is_checkpoint(path):
        return _TF1
    if os.path.splitext(path)[1].lower() in foreign_torch.SUFFIXES:
        return _TORCH
    raise ValueError(
        f"{path}: expected the folder of {_SAVED_MODEL}, the prefix or folder of {_TF1}, or {_TORCH} "
        f"({', '.join(foreign_torch.SUFFIXES)})"
    )


def _read(kind: str, arguments) -> foreign.Foreign:
    if kind == _TF1:
        return foreign_tf1.read(
            arguments.model, arguments.attributes, arguments.source_attributes, arguments.intensity
        )
    if kind == _TORCH:
        return foreign_torch.read(
            arguments.model, arguments.attributes, arguments.source_attributes, arguments.discriminator
        )
    if arguments.family is None:
        raise ValueError(f"{arguments.model}: give --family: {', '.join(manifest.FAMILIES)}")
    said = foreign_saved_model.Description(
        **{flag: getattr(arguments, flag) for flag in _DESCRIBING},
        vectors=_vectors(arguments.condition_vector),
    )
    return foreign_saved_model.read(arguments.model, said)


def _vectors(pairs: Optional[List[Tuple[str, List[float]]]]) -> Optional[Dict[str, List[float]]]:
    if pairs is not None and len(dict(pairs)) != len(pairs):
        raise ValueError("--condition_vector: the same name twice")
    return None if pairs is None else dict(pairs)


def _sizes(read: foreign.Foreign, arguments) -> Tuple[int, int]:
    """The sides of the model's pictures and of the simulator's."""
    if read.side and arguments.model_size not in (None, read.side):
        raise ValueError(f"--model_size: {arguments.model} takes {read.side} pixels a side")
    model_size = read.side or arguments.model_size or arguments.image_size
    if model_size is None:
        raise ValueError(f"{arguments.model}: takes any size: give --model_size, the side of its training's pictures")
    if model_size < 1 or model_size % read.multiple:
        raise ValueError(f"{arguments.model}: takes sides that are multiples of {read.multiple}, not {model_size}")
    image_size = arguments.image_size or model_size
    least, most = manifest.MIN_IMAGE_SIZE, manifest.MAX_IMAGE_SIZE
    if not least <= image_size <= most:
        raise ValueError(f"--image_size: expected {least} to {most}, got {image_size}")
    return model_size, image_size


def check_runs(read: foreign.Foreign, model_size: int, where: str) -> None:
    """Runs each condition on a drawn picture; ValueError when it fails, leaves the range, or passes no gradient."""
    pictures = tf.constant(drawn_picture(model_size))
    for index, condition in enumerate(read.conditions):
        try:
            with tf.GradientTape() as tape:
                tape.watch(pictures)
                made = read.simulate(pictures, tf.constant([index]))
                value = tf.reduce_sum(made)
            gradient = tape.gradient(value, pictures)
        except (ValueError, TypeError, LookupError, tf.errors.OpError) as error:
            raise ValueError(f"{where}: {condition}: fails on a picture of {model_size} pixels: {error}") from error
        if made.shape.rank != 4 or made.shape[-1] != 3:
            raise ValueError(f"{where}: {condition}: expected pictures of 3 channels, found {made.shape}")
        low, high = float(tf.reduce_min(made)), float(tf.reduce_max(made))
        if not (-_OVERSHOOT <= low and high <= 1.0 + _OVERSHOOT):  # Written so that NaN fails too.
            raise ValueError(
                f"{where}: {condition}: its output spans {low:.3g} to {high:.3g} of its range, expected 0 to 1: is "
                "--output_range right?"
            )
        if gradient is None or not np.any(gradient) or not np.all(np.isfinite(gradient)):
            raise ValueError(f"{where}: {condition}: no gradient flows through it, which training a tagger needs")


def drawn_picture(size: int) -> np.ndarray:
    """Ramps of colour, float32 [1, size, size, 3] in [0, 1]."""
    rows, columns = np.meshgrid(*[(np.arange(size) + 0.5) / size] * 2, indexing="ij")
    return np.float32(np.stack([rows, columns, (rows + columns) / 2.0], -1))[None]


class _NoAssessor(Assessor):
    """Measures nothing: the pipeline does, when it takes the simulator in."""

    def assess(self, simulator: library.Simulator) -> manifest.SimulatorManifest:
        return simulator.manifest


def _assessor(arguments, image_size: int) -> Assessor:
    if arguments.examples:
        return Assessor(read_faces(arguments.examples, features.EVAL_SPLIT, image_size, _ASSESSED))
    if arguments.images:
        return Assessor(_unlabelled(_read_folder(arguments.images, image_size)))
    return _NoAssessor(_unlabelled(drawn_picture(image_size)))


def _unlabelled(pictures: np.ndarray) -> Faces:
    unknown = np.full([len(pictures), len(features.ATTRIBUTE_NAMES)], features.UNKNOWN, np.int64)
    return Faces(images.to_uint8(pictures), unknown)


def _read_folder(folder: str, size: int) -> np.ndarray:
    """The first pictures below a folder, by name, float32 [N, size, size, 3]; files that are none are counted aloud."""
    found = sorted(os.path.join(where, name) for where, _, names in os.walk(folder) for name in names)
    pictures, refused = [], []
    for path in found:
        if os.path.basename(path).startswith(".") or len(pictures) == _ASSESSED:
            continue
        try:
            pictures.append(images.to_float(images.square(images.load_image(path), size)))
        except images.ImageError as error:
            refused.append(str(error))
    if refused:
        print(f"adapt: set aside {len(refused)} files that are no readable pictures: {refused[0]} …", file=sys.stderr)
    if not pictures:
        raise ValueError(f"{folder}: no readable pictures")
    return np.stack(pictures)


if __name__ == "__main__":
    main()
