"""What the evaluator measures and what the gate demands, as typed values that travel as one JSON string."""

import collections
import dataclasses
import json
from collections.abc import Sequence
from typing import Any

from faketagger.components.contract import manifest

# The slice without a simulator, and the slice of the original pictures; a simulator's is `<simulator>/<condition>`.
PLAIN = "plain"
UNTAGGED = "untagged"
BOXES = ("white", "black")

# The strengths of the papers' curves (FakeTagger Fig. 4), and colour besides.
SWEEPS = {
    "jpeg": (10.0, 20.0, 30.0, 50.0, 70.0, 95.0),
    "resize": (0.25, 0.375, 0.5, 0.75, 1.0),
    "noise": (0.01, 0.03, 0.05, 0.1),
    "blur": (0.5, 1.0, 1.5, 2.0),
    "crop": (0.95, 0.9, 0.85, 0.8),
    "brightness": (-0.3, -0.15, 0.15, 0.3),
    "contrast": (-0.5, -0.25, 0.25, 0.5),
    "hue": (0.05, 0.1, 0.2),
    "saturation": (-0.8, -0.4, 0.4, 0.8),
}


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


def _require_different(names: Sequence[str], field: str) -> None:
    twice = sorted(name for name, count in collections.Counter(names).items() if count > 1)
    _require(not twice, f"{field} names {', '.join(twice)} twice")


def _check_fields(kind: type, values: Any) -> None:
    _require(isinstance(values, dict), f"{kind.__name__} must be an object, got {values!r}")
    unknown = sorted(set(values) - {field.name for field in dataclasses.fields(kind)})
    _require(not unknown, f"{kind.__name__} has no fields {', '.join(unknown)}")


@dataclasses.dataclass(frozen=True)
class Gate:
    """What a tagger must reach to be blessed. Every bound is held against the unfavourable end of an interval.

    A name in `fmrr_overrides` or `ungated` is a slice (`plain`, `<simulator>/<condition>`) or a simulator, which
    stands for all its conditions; a slice's own name goes before its simulator's. Sweeps, and perturbations after
    simulators, are held to an FMRR only where `fmrr_overrides` names the very slice. A slice that is missing, has too
    few pictures, or whose figures are not finite, always refuses the tagger.

    Attributes:
      min_fmrr: the FMRR that every gated slice must reach, 0…1.
      fmrr_overrides: another FMRR for some slices.
      ungated: slices that are measured and printed but not held to an FMRR. The bounds on quality and on false
        positives always hold.
      min_overall: the mean FMRR over all conditions of deepfake simulators, by box (`white`, `black`).
      min_psnr: dB between original and tagged picture.
      min_ssim: the same as SSIM; None for no bound.
      max_false_positives: the largest share of untagged pictures that may be read as tagged, 0…1. As the upper end of
        the interval counts, a small sample cannot show a small share: with none of 100 pictures that end is 0.036.
      significance: the probability, over all slices, with which a tagger no worse than the newest blessed one would be
        called worse; 0 asks for no comparison, of the PSNR neither.
      max_psnr_drop: dB by which the PSNR may be lower than the newest blessed tagger's.
      min_pictures: fewer pictures than this decide nothing.
    """

    min_fmrr: float = 0.9
    fmrr_overrides: dict[str, float] = dataclasses.field(default_factory=dict)
    ungated: tuple[str, ...] = ()
    min_overall: dict[str, float] = dataclasses.field(default_factory=dict)
    min_psnr: float = 30.0
    min_ssim: float | None = None
    max_false_positives: float = 0.05
    significance: float = 0.05
    max_psnr_drop: float = 1.0
    min_pictures: int = 100

    def __post_init__(self):
        _names(self, "ungated")
        _require(_is_number(self.min_fmrr, 0, 1), f"min_fmrr must be from 0 to 1, got {self.min_fmrr!r}")
        for field in ("fmrr_overrides", "min_overall"):
            thresholds = getattr(self, field)
            _require(isinstance(thresholds, dict), f"{field} must map names to thresholds")
            for name, threshold in thresholds.items():
                _require(_is_number(threshold, 0, 1), f"{field}['{name}'] must be from 0 to 1, got {threshold!r}")
        strange = sorted(set(self.min_overall) - set(BOXES))
        _require(not strange, f"min_overall has no {', '.join(strange)}: there are {', '.join(BOXES)}")
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
        _require(_is_number(self.significance, 0, 1), f"significance must be from 0 to 1, got {self.significance!r}")
        _require(_is_number(self.max_psnr_drop, 0, 100), f"max_psnr_drop must be dB, got {self.max_psnr_drop!r}")
        _require(_is_count(self.min_pictures, 1), f"min_pictures must be at least 1, got {self.min_pictures!r}")

    def gates(self, slice_name: str) -> bool:
        """Whether a slice must reach an FMRR."""
        return slice_name not in self.ungated and simulator_of(slice_name) not in self.ungated

    def threshold(self, slice_name: str) -> float:
        """The FMRR that a slice must reach."""
        by_simulator = self.fmrr_overrides.get(simulator_of(slice_name), self.min_fmrr)
        return self.fmrr_overrides.get(slice_name, by_simulator)

    def to_dict(self) -> dict[str, Any]:
        """As JSON values."""
        return {**dataclasses.asdict(self), "ungated": list(self.ungated)}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "Gate":
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
      sweeps: strengths by perturbation (perturbation.at's kinds), for the curves of FakeTagger's Fig. 4.
      after: perturbations (perturbation.at's names) that every deepfake simulator's output goes through besides.
      lpips_vgg, lpips_linear: the weights of LPIPS (lpips.Lpips); without them it is not measured.
    """

    gate: Gate = dataclasses.field(default_factory=Gate)
    batch_size: int = 16
    seed: int = 0
    limit: int | None = None
    confidence: float = 0.95
    repeats: int = 1
    black_box: tuple[str, ...] = ()
    sweeps: dict[str, tuple[float, ...]] = dataclasses.field(default_factory=lambda: dict(SWEEPS))
    after: tuple[str, ...] = ("jpeg_75", "resize_0.5")
    lpips_vgg: str | None = None
    lpips_linear: str | None = None

    def __post_init__(self):
        _names(self, "black_box")
        _names(self, "after")
        _require(isinstance(self.sweeps, dict), f"sweeps must map perturbations to strengths, got {self.sweeps!r}")
        for kind, strengths in self.sweeps.items():
            listed = isinstance(strengths, (list, tuple)) and all(_is_number(each, -1e6, 1e6) for each in strengths)
            _require(listed, f"sweeps['{kind}'] must be a list of strengths, got {strengths!r}")
            _require_different([f"{kind}_{each:g}" for each in strengths], f"sweeps['{kind}']")
        _require_different(self.after, "after")
        object.__setattr__(self, "sweeps", {kind: tuple(values) for kind, values in self.sweeps.items()})
        both = bool(self.lpips_vgg) == bool(self.lpips_linear)
        _require(both, "lpips_vgg and lpips_linear go together: LPIPS needs both files")
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
        values.update(gate=self.gate.to_dict())
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

    @classmethod
    def from_flags(cls, text: str | None, **flags: Any) -> "EvaluatorConfig":
        """What a command was given: a config as JSON or None, and flags that go before it, None where not given."""
        config = cls.from_json(text) if text else cls()
        return dataclasses.replace(config, **{name: value for name, value in flags.items() if value is not None})


def slice_of(simulator: str, condition: str) -> str:
    """The slice of a simulator's condition."""
    return f"{simulator}/{condition}"


def simulator_of(slice_name: str) -> str:
    """The simulator of a slice; `plain` and `untagged` stand for themselves."""
    return slice_name.split("/", 1)[0]
