"""The JSON beside a SavedModel: `simulator.json` and `tagger.json` (docs/design.md)."""

import dataclasses
import os
import re
from typing import Any, TypeVar

from faketagger.components.contract import files

# The simulators that are always there; no tagger is trained under the second.
PERTURBATION = "perturbation"
UNSEEN = "perturbation_unseen"

FAMILIES = ("identity_swap", "reenactment", "attribute_editing", "entire_synthesis", "perturbation")
MIN_IMAGE_SIZE, MAX_IMAGE_SIZE = 16, 1024  # What example_gen makes.

_T = TypeVar("_T")


@dataclasses.dataclass
class SimulatorManifest:
    """What a simulator is and how strong it was measured to be.

    Attributes:
      name: its directory's name: lower-case letters, digits and underscores.
      family: one of FAMILIES.
      conditions: the name of each value of the signature's `condition`, in order.
      image_size: the side of the pictures it takes, MIN_IMAGE_SIZE to MAX_IMAGE_SIZE.
      training_data: what it was trained on, for people.
      licence: under which terms it may be used.
      strength: by condition, {"psnr": dB, "ssim": 0…1, "face_psnr": dB, "face_ssim": 0…1} between its input and output
        on eval pictures, over the whole picture and inside the face.
      success: by condition of attribute editing, {"seen": 0…1, "unedited": 0…1}: the share of eval pictures in which a
        classifier trained apart sees the attribute inverted, edited and as they were; empty where nothing was measured.
      realism: of the other families, by condition, {"kid": …}, and under `photographs` that of two halves of real
        pictures: a distance of feature statistics, near 0 for pictures of one kind; empty where nothing was measured.
      training: how it was trained: {"generator": name, "settings": its constructor's arguments, "pictures", "depth",
        "steps", "batch_size", "learning_rate", "judge_steps", "seed", "seconds_a_step", "parameters"}; "judge_steps" is
        missing where it was not recorded yet; empty for foreign ones.
    """

    name: str
    family: str
    conditions: list[str]
    image_size: int
    training_data: str
    licence: str
    strength: dict[str, dict[str, float]] = dataclasses.field(default_factory=dict)
    success: dict[str, dict[str, float]] = dataclasses.field(default_factory=dict)
    realism: dict[str, dict[str, float]] = dataclasses.field(default_factory=dict)
    training: dict[str, Any] = dataclasses.field(default_factory=dict)

    FILE = "simulator.json"

    def __post_init__(self):
        if self.family not in FAMILIES:
            raise ValueError(f"family must be one of {', '.join(FAMILIES)}, got '{self.family}'")
        self._expect("name", is_name(self.name), "lower-case letters, digits and underscores, as its directory's name")
        self._expect("conditions", _are_conditions(self.conditions), "a list of at least one condition, all different")
        sides = f"a whole number from {MIN_IMAGE_SIZE} to {MAX_IMAGE_SIZE}"
        self._expect("image_size", _is_side(self.image_size), sides)
        for field in ("training_data", "licence"):
            self._expect(field, isinstance(getattr(self, field), str), "a text")
        for field in ("strength", "success", "realism", "training"):
            self._expect(field, isinstance(getattr(self, field), dict), "an object")

    def _expect(self, field: str, holds: bool, wanted: str) -> None:
        if not holds:
            raise ValueError(f"{field}: expected {wanted}; found {getattr(self, field)!r:.60}")


def is_name(name: Any) -> bool:
    """Whether a simulator may be called so."""
    return isinstance(name, str) and re.fullmatch("[a-z0-9_]+", name) is not None


def _are_conditions(names: Any) -> bool:
    texts = isinstance(names, list) and all(isinstance(each, str) and each for each in names)
    return texts and 0 < len(names) == len(set(names))


def _is_side(value: Any) -> bool:
    # A bool is an int to isinstance.
    return type(value) is int and MIN_IMAGE_SIZE <= value <= MAX_IMAGE_SIZE


@dataclasses.dataclass
class TaggerManifest:
    """Every number that a client of a tagger needs.

    Attributes:
      message_bits: k; UIDs go from 0 to 2^k − 1.
      code_bits: n, the codeword's length.
      generator: the code's generator matrix, payload.generator_to_hex.
      image_size: the side at which the networks look at a picture.
      strength: the default factor of the residual.
      false_positive_rate: `tagged` is true when p_value is at most this.
      training: how it was trained, for people: steps, simulators, bit accuracy, PSNR.
    """

    message_bits: int
    code_bits: int
    generator: list[str]
    image_size: int
    strength: float = 1.0
    false_positive_rate: float = 1e-6
    training: dict[str, Any] | None = None

    FILE = "tagger.json"


def write(manifest: Any, directory: str) -> None:
    """Writes a manifest into its directory."""
    files.write_json(os.path.join(directory, manifest.FILE), dataclasses.asdict(manifest))


def read(kind: type[_T], directory: str) -> _T:
    """Reads a manifest of `kind`; ValueError names the file and what is wrong with it."""
    path = os.path.join(directory, kind.FILE)
    values = files.read_json(path, "the manifest")
    if not isinstance(values, dict):
        raise ValueError(f"{path}: expected a JSON object, found {type(values).__name__}")
    fields = {field.name: field for field in dataclasses.fields(kind)}
    required = {
        name
        for name, field in fields.items()
        if field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
    }
    missing, extra = sorted(required - set(values)), sorted(set(values) - set(fields))
    if missing or extra:
        raise ValueError(
            f"{path}: missing fields: {', '.join(missing) or 'none'}; unknown fields: {', '.join(extra) or 'none'}"
        )
    try:
        return kind(**values)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
