"""What the evaluator measures and what the gate demands, as typed values that travel as one JSON string."""

import dataclasses
import json
from typing import Any, Dict, Optional, Tuple

from faketagger.components.contract import manifest

# The slice without a simulator, and the slice of the original pictures; a simulator's is `<simulator>/<condition>`.
PLAIN = "plain"
UNTAGGED = "untagged"


def _require(holds: bool, message: str) -> None:
    if not holds:
        raise ValueError(message)


def _is_number(value: Any, low: float, high: float) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and low <= value <= high


def _is_count(value: Any, low: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= low


def _names(owner: Any, field: str) -> None:
    # JSON has no tuples: lists are made tuples here, and a lone string is not taken for a list of letters.
    values = getattr(owner, field)
    listed = isinstance(values, (list, tuple)) and all(isinstance(value, str) for value in values)
    _require(listed, f"{field} must be a list of names, got {values!r}")
    object.__setattr__(owner, field, tuple(values))


def _check_fields(kind: type, values: Any) -> None:
    _require(isinstance(values, dict), f"{kind.__name__} must be an object, got {values!r}")
    unknown = sorted(set(values) - {field.name for field in dataclasses.fields(kind)})
    _require(not unknown, f"{kind.__name__} has no fields {', '.join(unknown)}")


@dataclasses.dataclass(frozen=True)
class Gate:
    """What a tagger must reach to be blessed. Every bound is held against the unfavourable end of an interval.

    A name in `fmrr_overrides` or `ungated` is a slice (`plain`, `<simulator>/<condition>`) or a simulator, which
    stands for all its conditions; a slice's own name goes before its simulator's.

    Attributes:
      min_fmrr: the FMRR that every gated slice must reach, 0…1.
      fmrr_overrides: another FMRR for some slices.
      ungated: slices that are measured and printed but not held to an FMRR. The bounds on quality and on false
        positives always hold.
      min_psnr: dB between original and tagged picture.
      min_ssim: the same as SSIM; None for no bound.
      max_false_positives: the largest share of untagged pictures that may be read as tagged, 0…1. As the upper end of
        the interval counts, a small sample cannot show a small share: with none of 100 pictures that end is 0.036.
      min_pictures: fewer pictures than this decide nothing.
    """

    min_fmrr: float = 0.9
    fmrr_overrides: Dict[str, float] = dataclasses.field(default_factory=dict)
    ungated: Tuple[str, ...] = ()
    min_psnr: float = 30.0
    min_ssim: Optional[float] = None
    max_false_positives: float = 0.05
    min_pictures: int = 100

    def __post_init__(self):
        _names(self, "ungated")
        _require(_is_number(self.min_fmrr, 0, 1), f"min_fmrr must be from 0 to 1, got {self.min_fmrr!r}")
        _require(isinstance(self.fmrr_overrides, dict), "fmrr_overrides must map slices to thresholds")
        for name, threshold in self.fmrr_overrides.items():
            _require(_is_number(threshold, 0, 1), f"fmrr_overrides['{name}'] must be from 0 to 1, got {threshold!r}")
        named = {*self.ungated, *self.fmrr_overrides}
        _require(UNTAGGED not in named, f"'{UNTAGGED}' has no FMRR: max_false_positives bounds it")
        _require(_is_number(self.min_psnr, 0, 100), f"min_psnr must be from 0 to 100 dB, got {self.min_psnr!r}")
        _require(
            self.min_ssim is None or _is_number(self.min_ssim, -1, 1),
            f"min_ssim must be from −1 to 1 or None, got {self.min_ssim!r}",
        )
        _require(
            _is_number(self.max_false_positives, 0, 1),
            f"max_false_positives must be from 0 to 1, got {self.max_false_positives!r}",
        )
        _require(_is_count(self.min_pictures, 1), f"min_pictures must be at least 1, got {self.min_pictures!r}")

    def gates(self, slice_name: str) -> bool:
        """Whether a slice must reach an FMRR."""
        return slice_name not in self.ungated and simulator_of(slice_name) not in self.ungated

    def threshold(self, slice_name: str) -> float:
        """The FMRR that a slice must reach."""
        by_simulator = self.fmrr_overrides.get(simulator_of(slice_name), self.min_fmrr)
        return self.fmrr_overrides.get(slice_name, by_simulator)

    def to_dict(self) -> Dict[str, Any]:
        """As JSON values."""
        return {**dataclasses.asdict(self), "ungated": list(self.ungated)}

    @classmethod
    def from_dict(cls, values: Dict[str, Any]) -> "Gate":
        """The reverse of to_dict; ValueError for unknown fields and values out of range."""
        _check_fields(cls, values)
        return cls(**values)


@dataclasses.dataclass(frozen=True)
class EvaluatorConfig:
    """How a tagger is measured.

    Attributes:
      gate: what it must reach.
      batch_size: pictures at a time; changes speed and memory only.
      seed: of the UIDs, masks and bootstrap samples.
      limit: at most this many eval pictures, always the same ones; None for all.
      confidence: of every interval, inside 0…1.
      repeats: how many UIDs each picture is tagged with, each under a mask of its own.
      black_box: the simulators that were not in the training loop.
    """

    gate: Gate = dataclasses.field(default_factory=Gate)
    batch_size: int = 16
    seed: int = 0
    limit: Optional[int] = None
    confidence: float = 0.95
    repeats: int = 1
    black_box: Tuple[str, ...] = ()

    def __post_init__(self):
        _names(self, "black_box")
        _require(isinstance(self.gate, Gate), f"gate must be a Gate, got {self.gate!r}")
        _require(_is_count(self.batch_size, 1), f"batch_size must be at least 1, got {self.batch_size!r}")
        _require(_is_count(self.seed, 0), f"seed must be at least 0, got {self.seed!r}")
        _require(
            self.limit is None or _is_count(self.limit, 1), f"limit must be at least 1 or None, got {self.limit!r}"
        )
        _require(
            _is_number(self.confidence, 0, 1) and 0 < self.confidence < 1,
            f"confidence must be between 0 and 1, got {self.confidence!r}",
        )
        _require(_is_count(self.repeats, 1), f"repeats must be at least 1, got {self.repeats!r}")

    def is_black_box(self, simulator: str) -> bool:
        """Whether a simulator was not in the training loop; the unseen perturbations never are."""
        return simulator in self.black_box or simulator == manifest.UNSEEN

    def to_json(self) -> str:
        """One line, the same for the same values, so that TFX's cache knows it again."""
        values = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        values.update(gate=self.gate.to_dict(), black_box=list(self.black_box))
        return json.dumps(values, sort_keys=True, allow_nan=False)

    @classmethod
    def from_json(cls, text: str) -> "EvaluatorConfig":
        """The reverse of to_json; fields left out take their defaults.

        Raises:
          ValueError: not JSON, unknown fields, or values out of range.
        """
        try:
            values = json.loads(text)
        except json.JSONDecodeError as error:
            raise ValueError(f"the evaluator's config is not JSON: {error}") from None
        _check_fields(cls, values)
        return cls(**{**values, "gate": Gate.from_dict(values.get("gate", {}))})


def slice_of(simulator: str, condition: str) -> str:
    """The slice of a simulator's condition."""
    return f"{simulator}/{condition}"


def simulator_of(slice_name: str) -> str:
    """The simulator of a slice; `plain` and `untagged` stand for themselves."""
    return slice_name.split("/", 1)[0]
