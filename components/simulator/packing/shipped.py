"""The trained simulators of the repository, `pretrained/simulators/<name>`: half-precision weights and a manifest.

A SavedModel of them would be ten times as large; the simulator step makes it from these.
"""

import os

import numpy as np
import tensorflow as tf

from faketagger.components.contract import files, manifest
from faketagger.components.simulator.generators.base import Generator
from faketagger.components.simulator.generators.registry import GENERATORS

WEIGHTS_FILE = "weights.npz"
_MAX_WEIGHTS_BYTES = 64 * 1024**2


def pack(model: Generator, described: manifest.SimulatorManifest, directory: str) -> None:
    """Writes a trained generator's weights, float16, and its manifest into `directory`/<name>."""
    final, temporary = os.path.join(directory, described.name), os.path.join(directory, f".{described.name}.part")
    files.remove_directory(temporary)
    os.makedirs(temporary)
    np.savez_compressed(
        os.path.join(temporary, WEIGHTS_FILE),
        **{_key(index): variable.numpy().astype(np.float16) for index, variable in enumerate(_variables(model))},
    )
    manifest.write(described, temporary)
    files.replace_directory(temporary, final)


def unpack(directory: str) -> Generator:
    """The generator whose weights `pack` wrote.

    Raises:
      ValueError: names the file that is missing, too large, damaged or of another architecture.
    """
    described = manifest.read(manifest.SimulatorManifest, directory)
    path = os.path.join(directory, WEIGHTS_FILE)
    generator = described.training.generator if described.training else None
    if generator not in GENERATORS:
        raise ValueError(f"{directory}: generator '{generator}' is none of {', '.join(GENERATORS)}")
    model = GENERATORS[generator](**described.training.settings)
    variables = _variables(model)
    for variable, values in zip(variables, _read_weights(path, [tuple(each.shape) for each in variables])):
        variable.assign(values)
    return model


def _variables(model: Generator) -> list[tf.Variable]:
    return [variable for network in model.networks for variable in network.variables]


def _key(index: int) -> str:
    return f"{index:04d}"


def _read_weights(path: str, shapes: list[tuple]) -> list[np.ndarray]:
    try:
        arrays = files.read_npz(path, _MAX_WEIGHTS_BYTES)
        if sorted(arrays) != [_key(index) for index in range(len(shapes))]:
            raise ValueError(f"expected {len(shapes)} arrays, found {len(arrays)}")
    except ValueError as error:
        raise ValueError(f"{path}: not the weights of this simulator: {error}") from error
    values = [arrays[_key(index)] for index in range(len(shapes))]
    for index, (each, shape) in enumerate(zip(values, shapes)):
        if each.shape != shape:
            raise ValueError(
                f"{path}: weights of another architecture: {_key(index)} is {each.shape}, expected {shape}"
            )
    return [np.float32(each) for each in values]
