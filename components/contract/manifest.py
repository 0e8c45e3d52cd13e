"""The JSON beside a SavedModel: `simulator.json` and `tagger.json` (docs/design.md)."""

import os
import re
from typing import Any, ClassVar, Literal, TypeVar, get_args

from faketagger.components.contract.settings import Field, Settings, Unexpected, root_validator, validator

# The simulators that are always there; no tagger is trained under the second.
PERTURBATION = "perturbation"
UNSEEN = "perturbation_unseen"

Family = Literal["identity_swap", "reenactment", "attribute_editing", "entire_synthesis", "perturbation"]
FAMILIES: tuple[str, ...] = get_args(Family)
MIN_IMAGE_SIZE, MAX_IMAGE_SIZE = 16, 1024  # What example_gen makes.

_NAME = "[a-z0-9_]+"

_T = TypeVar("_T", "SimulatorManifest", "TaggerManifest")


class Change(Settings):
    """How much of a picture is left after a simulator: means over eval pictures between its input and its output.

    Attributes:
      psnr: dB, of the whole picture: lower is more change.
      ssim: the same as SSIM, at most 1.
      face_psnr, face_ssim: the same inside the face; None where it was not measured.
    """

    psnr: float
    ssim: float
    face_psnr: float | None = None
    face_ssim: float | None = None


class SimulatorRecord(Settings):
    """How one of our simulators was trained.

    Attributes:
      generator: which one.
      settings: its constructor's arguments.
      pictures: how many it was trained on.
      depth, batch_size, learning_rate, seed: as SimulatorConfig's.
      steps: that it was trained for.
      judge_steps, guide_steps, change, zoom, critic, bfloat16: the same; None where they were not recorded yet.
      seconds_a_step: of training, on the machine that did it.
      parameters: of its networks.
    """

    generator: str
    settings: dict[str, Any]
    pictures: int = Field(..., ge=1)
    depth: int | None = None
    steps: int = Field(..., ge=1)
    batch_size: int = Field(..., ge=1)
    learning_rate: float = Field(..., gt=0)
    seed: int
    judge_steps: int | None = None
    guide_steps: int | None = None
    change: float | None = None
    zoom: float | None = None
    critic: float | None = None
    bfloat16: bool | None = None
    seconds_a_step: float = Field(..., ge=0)
    parameters: int = Field(..., ge=1)


class SimulatorManifest(Settings):
    """What a simulator is and how much it was measured to change pictures.

    Attributes:
      name: its directory's name: lower-case letters, digits and underscores.
      family: one of FAMILIES.
      conditions: the name of each value of the signature's `condition`, in order.
      image_size: the side of the pictures it takes, MIN_IMAGE_SIZE to MAX_IMAGE_SIZE.
      training_data: what it was trained on, for people.
      licence: under which terms it may be used.
      change: by condition; empty where it was not measured.
      success: by condition of attribute editing, {"seen": 0…1, "unedited": 0…1}: the share of eval pictures in which a
        classifier trained apart sees the attribute inverted, edited and as they were; empty where nothing was measured.
      realism: of the other families, by condition, {"kid": …}, and under `photographs` that of two halves of real
        pictures: a distance of feature statistics, near 0 for pictures of one kind; empty where nothing was measured.
      training: how it was trained; None for foreign ones.
      tools: the deepfake tools as which it is applied to faces besides (simulator/tools.py).
      tool_conditions: the conditions that such tools ask for, one of them for each picture; empty for all.
    """

    name: str = Field(
        ..., regex=_NAME, description="lower-case letters, digits and underscores, as its directory's name"
    )
    family: Family
    conditions: tuple[str, ...] = Field(..., description="a list of at least one condition, all different")
    image_size: int = Field(..., ge=MIN_IMAGE_SIZE, le=MAX_IMAGE_SIZE)
    training_data: str
    licence: str
    change: dict[str, Change] = {}
    success: dict[str, dict[str, float]] = {}
    realism: dict[str, dict[str, float]] = {}
    training: SimulatorRecord | None = None
    tools: tuple[str, ...] = ()
    tool_conditions: tuple[str, ...] = ()

    FILE: ClassVar[str] = "simulator.json"

    @property
    def ways(self) -> tuple[str, ...]:
        """How it may be asked to change a picture: its conditions, then each of its tools, as `as_<tool>`."""
        return (*self.conditions, *(f"as_{tool}" for tool in self.tools))

    @validator("conditions")
    def _are_different(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        if not names or not all(names) or len(set(names)) < len(names):
            raise Unexpected("a list of at least one condition, all different", list(names))
        if any(sign in name for name in names for sign in "/+"):  # Of which the names of slices are made.
            raise Unexpected("names of conditions without / and +", list(names))
        return names

    @root_validator(skip_on_failure=True)
    def _tools_ask_for_conditions_that_are_there(cls, values: dict[str, Any]) -> dict[str, Any]:
        unknown = sorted(set(values["tool_conditions"]) - set(values["conditions"]))
        if unknown:
            raise Unexpected(f"tool_conditions of {', '.join(values['conditions'])}", unknown)
        return values

    @root_validator(skip_on_failure=True)
    def _has_each_way_once(cls, values: dict[str, Any]) -> dict[str, Any]:
        as_tools = [f"as_{tool}" for tool in values["tools"]]
        if len({*values["conditions"], *as_tools}) < len(values["conditions"]) + len(as_tools):
            raise Unexpected("each tool once, and no condition called as one (as_…)", list(values["tools"]), "tools")
        return values


def is_name(value: Any) -> bool:
    """Whether a simulator may be called so."""
    return isinstance(value, str) and re.fullmatch(_NAME, value) is not None


class LossWeights(Settings):
    """What is traded against each other in a tagger's training: what is read against what is seen.

    Attributes:
      message: the weight of the message's loss.
      residual: the final one of the residual's.
    """

    message: float = Field(..., ge=0)
    residual: float = Field(..., ge=0)


class TaggerRecord(Settings):
    """How a tagger was trained, for people.

    Attributes:
      steps: that it was trained for, those of the tagger that it went on from included.
      level, black_box: as TaggerConfig's.
      weights: its message's and residual's; None in records older than this field.
      simulators: the names of those in the training loop, in that of the tagger that it went on from included.
      last: the last epoch's means: loss, bit accuracies (plain, perturbed, simulated), PSNR; empty where the training
        was cut off between its last step and the export.
    """

    steps: int = Field(..., ge=1)
    level: str
    weights: LossWeights | None = None
    black_box: tuple[str, ...] = ()
    simulators: tuple[str, ...] = ()
    last: dict[str, float] = {}


class TaggerManifest(Settings):
    """Every number that a client of a tagger needs.

    Attributes:
      message_bits: k; UIDs go from 0 to 2^k − 1.
      code_bits: n, the codeword's length.
      code_matrix: of the channel code, payload.code_matrix_to_hex.
      image_size: the side at which the networks look at a picture.
      strength: the default factor of the residual.
      false_positive_rate: `tagged` is true when p_value is at most this.
      training: how it was trained.
    """

    message_bits: int = Field(..., ge=1)
    code_bits: int = Field(..., ge=1)
    code_matrix: tuple[str, ...]
    image_size: int = Field(..., ge=1)
    strength: float = Field(1.0, gt=0)
    false_positive_rate: float = Field(1e-6, gt=0, le=1)
    training: TaggerRecord | None = None

    FILE: ClassVar[str] = "tagger.json"

    @root_validator(pre=True)
    def _takes_the_code_matrix_by_its_former_name(cls, values: dict[str, Any]) -> dict[str, Any]:
        # A SavedModel says its manifest itself: those that are served already go on saying `generator`.
        if "generator" in values and "code_matrix" not in values:
            values = {**values, "code_matrix": values["generator"]}
            del values["generator"]
        return values


def write(manifest: SimulatorManifest | TaggerManifest, directory: str) -> None:
    """Writes a manifest into its directory."""
    manifest.write(os.path.join(directory, manifest.FILE))


def read(kind: type[_T], directory: str) -> _T:
    """Reads a manifest of `kind`; ValueError names the file and what is wrong with it."""
    return kind.read(os.path.join(directory, kind.FILE), "the manifest")
