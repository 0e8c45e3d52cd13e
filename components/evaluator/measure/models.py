"""What is evaluated, and the loaded networks: tagging, simulating and reading of 8-bit pictures. Imports no TFX."""

import dataclasses
import os

import numpy as np
import tensorflow as tf

from faketagger.components.contract import images, manifest, payload, signatures
from faketagger.components.evaluator.config import EvaluatorConfig
from faketagger.components.evaluator.measure import lpips
from faketagger.components.evaluator.measure.slices import Slice, declared
from faketagger.components.simulator import library


@dataclasses.dataclass(frozen=True)
class Inputs:
    """A tagger and the simulators it is measured with, by directory, and what their manifests say.

    Attributes:
      model_dir: the tagger's SavedModel with its tagger.json.
      simulators_dir: the directory of the simulators.
      tagger: the tagger's manifest.
      simulators: the simulators' manifests by the name of their folder, sorted.
      image_size: the side of the pictures, the simulators'; the tagger's may be another.
      slices: those that have an FMRR.
    """

    model_dir: str
    simulators_dir: str
    tagger: manifest.TaggerManifest
    simulators: dict[str, manifest.SimulatorManifest]
    image_size: int
    slices: list[Slice]


def read_inputs(model_dir: str, simulators_dir: str, config: EvaluatorConfig) -> Inputs:
    """Reads the manifests and finds before any work what does not fit together.

    Raises:
      ValueError: a manifest is missing or wrong, the simulators take pictures of several sizes, one bears a slice's
        name, `black_box` names a simulator that is not there, or a file of LPIPS' weights is missing.
    """
    tagger = manifest.read(manifest.TaggerManifest, model_dir)
    if config.strength:
        tagger = tagger.replace(strength=config.strength)
    simulators = read_simulators(simulators_dir, config)
    image_size = next(iter(simulators.values())).image_size
    return Inputs(model_dir, simulators_dir, tagger, simulators, image_size, declared(simulators, config))


def read_simulators(simulators_dir: str, config: EvaluatorConfig) -> dict[str, manifest.SimulatorManifest]:
    """The simulators' manifests by the name of their folder; errors as read_inputs."""
    simulators = {name: library.read(os.path.join(simulators_dir, name)) for name in library.names(simulators_dir)}
    sizes = {made.image_size for made in simulators.values()}
    if len(sizes) > 1:
        listed = ", ".join(f"{name}: {made.image_size}" for name, made in simulators.items())
        raise ValueError(
            f"{simulators_dir}: the simulators take pictures of several sizes ({listed}): make all of one size"
        )
    unknown = sorted(set(config.black_box) - set(simulators))
    if unknown:
        raise ValueError(f"black_box names {', '.join(unknown)}; {simulators_dir} has {', '.join(simulators)}")
    if config.lpips_vgg and config.lpips_linear:
        lpips.check_files(config.lpips_vgg, config.lpips_linear)
    return simulators


def trained_through(tagger: manifest.TaggerManifest) -> list[str]:
    """The simulators in whose loop a tagger was trained, by its record; none where it has no record."""
    return list(tagger.training.simulators) if tagger.training else []


def not_trained_through(tagger: manifest.TaggerManifest, simulators_dir: str) -> tuple[str, ...]:
    """The deepfake simulators of a directory that are black-box to a tagger; none where its training is not known."""
    if tagger.training is None:
        return ()
    seen = trained_through(tagger)
    found = [library.read(os.path.join(simulators_dir, name)) for name in library.names(simulators_dir)]
    return tuple(made.name for made in found if made.family != "perturbation" and made.name not in seen)


class Simulators:
    """The loaded simulators."""

    def __init__(self, directory: str, names: list[str]):
        """Loads them; ValueError or signatures.ContractError where one cannot be used."""
        self._loaded = {name: library.load(os.path.join(directory, name)) for name in names}

    def simulate(
        self, name: str, way: str, pictures: np.ndarray, landmarks: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Simulates: uint8 [B, S, S, 3], and their landmarks as library.Simulator takes them → as rounded."""
        simulator = self._loaded[name]
        number = simulator.manifest.ways.index(way)
        given = tf.constant(images.to_float(pictures))
        return rounded(simulator(given, tf.fill([len(pictures)], number), landmarks))


class Tagger:
    """The loaded tagger; keeps the loaded object, whose variables live only as long as it does.

    Pictures of the networks' size go through `encode` and `decode`; of any other, through `tag` and `read`, as files
    do.
    """

    def __init__(self, inputs: Inputs):
        """Loads it.

        Raises:
          ValueError: the SavedModel cannot be loaded.
          signatures.ContractError: it lacks a signature.
        """
        self.manifest = inputs.tagger
        self.code_matrix = payload.code_matrix_from_hex(inputs.tagger.code_matrix, inputs.tagger.code_bits)
        try:
            self._model = tf.saved_model.load(inputs.model_dir)
        except (OSError, tf.errors.OpError) as error:
            raise ValueError(f"{inputs.model_dir}: not a loadable SavedModel: {error}") from error
        self._as_files = inputs.image_size != inputs.tagger.image_size
        needed = (signatures.TAG, signatures.READ) if self._as_files else (signatures.ENCODE, signatures.DECODE)
        missing = sorted(set(needed) - set(self._model.signatures))
        if missing:
            raise signatures.ContractError(f"{inputs.model_dir}: expected a signature '{missing[0]}'")

    def encode(self, pictures: np.ndarray, codewords: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Tags: uint8 [B, S, S, 3] and masked codewords float32 [B, n] → as rounded."""
        strength = tf.fill([len(pictures)], float(self.manifest.strength))
        codewords = tf.constant(codewords)
        if not self._as_files:
            given = tf.constant(images.to_float(pictures))
            made = self._model.signatures[signatures.ENCODE](images=given, codeword=codewords, strength=strength)
            return rounded(made[signatures.IMAGES])
        made = self._of_files(signatures.TAG, pictures, codeword=codewords, strength=strength)
        tagged = np.stack([tf.io.decode_png(png, channels=3).numpy() for png in made["image"]])
        return tagged, np.ones(len(pictures), bool)

    def decode(self, pictures: np.ndarray, masks: np.ndarray) -> dict[str, np.ndarray]:
        """Reads uint8 [B, S, S, 3] under masks float32 [B, n] → the signature's outputs as arrays.

        Raises:
          signatures.ContractError: an output is missing or of another shape than the manifest says, or a picture is
            refused.
        """
        masks = tf.constant(masks)
        if self._as_files:
            made = self._of_files(signatures.READ, pictures, key_mask=masks)
        else:
            given = tf.constant(images.to_float(pictures))
            made = self._model.signatures[signatures.DECODE](images=given, key_mask=masks)
        read = {name: value.numpy() for name, value in made.items()}
        tagger = self.manifest
        shapes = {"message": (tagger.message_bits,), "logits": (tagger.code_bits,), "p_value": (), "tagged": ()}
        for name, shape in shapes.items():
            if name not in read or read[name].shape != (len(pictures), *shape):
                found = read[name].shape if name in read else "nothing"
                raise signatures.ContractError(f"expected {name} of shape {(len(pictures), *shape)}, found {found}")
        return read

    def _of_files(self, signature: str, pictures: np.ndarray, **columns: tf.Tensor) -> dict[str, tf.Tensor]:
        """What a signature makes of pictures' files and what belongs to each; ContractError where it refuses one."""
        made = []
        for start in range(0, len(pictures), signatures.MAX_FILES):
            rows = slice(start, start + signatures.MAX_FILES)
            given = {name: column[rows] for name, column in columns.items()}
            made.append(self._model.signatures[signature](image=_as_png(pictures[rows]), **given))
            _check_status(made[-1])
        return {name: tf.concat([each[name] for each in made], 0) for name in made[0]}


def _check_status(made: dict[str, tf.Tensor]) -> None:
    """ContractError where a tagger refuses a picture; those exported before there was a status raise themselves."""
    said = {text.decode() for text in made.get(signatures.STATUS, tf.constant([""])).numpy()} - {""}
    if said:
        raise signatures.ContractError(f"expected the tagger to take every picture, found {'; '.join(sorted(said))}")


def _as_png(pictures: np.ndarray) -> tf.Tensor:
    return tf.stack([tf.io.encode_png(picture) for picture in pictures])


def rounded(values: tf.Tensor) -> tuple[np.ndarray, np.ndarray]:
    """A network's pictures as saved files would hold them, uint8, and whether each was finite, bool [B].

    What is not finite becomes black, and its row says so: the other pictures of the batch can still be measured.
    """
    values = values.numpy()
    finite = np.isfinite(values).all(axis=(1, 2, 3))
    return images.to_uint8(np.where(finite[:, None, None, None], values, 0.0)), finite
