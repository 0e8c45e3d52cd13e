"""What the evaluator measures and what the gate demands, as typed values that travel as one JSON string."""

import collections
from collections.abc import Sequence
from typing import Any, Literal

from faketagger.components.contract import manifest
from faketagger.components.contract.settings import Field, Settings, Unexpected, root_validator, validator

# The slice without a simulator, and the slice of the original pictures; a simulator's is `<simulator>/<condition>`.
PLAIN = "plain"
UNTAGGED = "untagged"
Box = Literal["white", "black"]
BOXES: tuple[Box, ...] = ("white", "black")

# The strengths at which a perturbation alone is measured.
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


class Gate(Settings):
    """What a tagger must reach to be blessed. Every bound is held against the unfavourable end of an interval.

    A name in `fmrr_overrides` or `ungated` is a slice (`plain`, `<simulator>/<condition>`) or a simulator, which
    stands for all its conditions; a slice's own name goes before its simulator's, and of one name `ungated` goes first.
    Sweeps, and perturbations after simulators, are held to an FMRR only where `fmrr_overrides` names the very slice. A
    slice that is missing, has too few pictures, or whose figures are not finite, always refuses the tagger.

    Attributes:
      min_fmrr: the FMRR that every gated slice must reach, 0…1.
      fmrr_overrides: another FMRR for some slices.
      ungated: slices that are measured and printed but not held to an FMRR. The bounds on quality and on false
        positives always hold.
      min_overall: the mean FMRR over all conditions of deepfake simulators, by box (`white`, `black`).
      min_psnr: dB between original and tagged picture.
      min_ssim: the same as SSIM; None for no bound.
      max_visibility: the same as CIEDE2000 (measure/visibility.py); None for no bound.
      max_false_positives: the largest share of untagged pictures that may be read as tagged, 0…1. As the upper end of
        the interval counts, a small sample cannot show a small share: with none of 100 pictures that end is 0.036.
      significance: the probability, over all slices, with which a tagger no worse than the newest blessed one would be
        called worse; 0 asks for no comparison, of the PSNR neither.
      max_psnr_drop: dB by which the PSNR may be lower than the newest blessed tagger's.
      min_pictures: fewer pictures than this decide nothing.
    """

    min_fmrr: float = Field(0.9, ge=0, le=1)
    fmrr_overrides: dict[str, float] = Field({}, ge=0, le=1)
    ungated: tuple[str, ...] = ()
    min_overall: dict[Box, float] = Field({}, ge=0, le=1)
    min_psnr: float = Field(30.0, ge=0, le=100)
    min_ssim: float | None = Field(None, ge=-1, le=1)
    max_visibility: float | None = Field(None, ge=0)
    max_false_positives: float = Field(0.05, ge=0, le=1)
    significance: float = Field(0.05, ge=0, le=1)
    max_psnr_drop: float = Field(1.0, ge=0, le=100)
    min_pictures: int = Field(100, ge=1)

    @validator("fmrr_overrides", "ungated")
    def _have_an_fmrr(cls, names: Any) -> Any:
        if UNTAGGED in names:
            raise Unexpected("slices with an FMRR (max_false_positives bounds the untagged)", UNTAGGED)
        return names

    def gates(self, slice_name: str) -> bool:
        """Whether a slice must reach an FMRR."""
        if slice_name in self.ungated:
            return False
        return slice_name in self.fmrr_overrides or simulator_of(slice_name) not in self.ungated

    def threshold(self, slice_name: str) -> float:
        """The FMRR that a slice must reach."""
        by_simulator = self.fmrr_overrides.get(simulator_of(slice_name), self.min_fmrr)
        return self.fmrr_overrides.get(slice_name, by_simulator)


class EvaluatorConfig(Settings):
    """How a tagger is measured.

    Attributes:
      gate: what it must reach.
      batch_size: pictures at a time; changes speed and memory only.
      seed: of the UIDs, masks and bootstrap samples.
      limit: at most this many eval pictures, always the same ones; None for all.
      confidence: of every interval, inside 0…1.
      repeats: how many UIDs each picture is tagged with, each under a mask of its own.
      strength: the factor of the residual, of both taggers where two are compared; None for their manifests'.
      black_box: the simulators that were not in the training loop.
      sweeps: strengths by perturbation (perturbations/catalogue.at's kinds), for curves over them.
      after: perturbations (catalogue.at's names) that every deepfake simulator's output goes through besides, as
        in the papers' Fig. 4.
      lpips_vgg, lpips_linear: the weights of LPIPS (lpips.Lpips); without them it is not measured.
    """

    gate: Gate = Gate()
    batch_size: int = Field(16, ge=1)
    seed: int = Field(0, ge=0)
    limit: int | None = Field(None, ge=1)
    confidence: float = Field(0.95, gt=0, lt=1)
    repeats: int = Field(1, ge=1)
    strength: float | None = Field(None, gt=0)
    black_box: tuple[str, ...] = ()
    sweeps: dict[str, tuple[float, ...]] = Field(SWEEPS, ge=-1e6, le=1e6)
    after: tuple[str, ...] = ("jpeg_75", "resize_0.5")
    lpips_vgg: str | None = None
    lpips_linear: str | None = None

    @validator("sweeps")
    def _have_each_strength_once(cls, sweeps: dict[str, tuple[float, ...]]) -> dict[str, tuple[float, ...]]:
        for kind, strengths in sweeps.items():
            _require_different([f"{kind}_{each:g}" for each in strengths], strengths)
        return sweeps

    @validator("after")
    def _are_different(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        _require_different(names, names)
        return names

    @root_validator(skip_on_failure=True)
    def _has_both_files_of_lpips(cls, values: dict[str, Any]) -> dict[str, Any]:
        if bool(values["lpips_vgg"]) != bool(values["lpips_linear"]):
            raise ValueError("lpips_vgg and lpips_linear go together: LPIPS needs both files")
        return values

    def is_black_box(self, simulator: str) -> bool:
        """Whether a simulator was not in the training loop; the unseen perturbations never are."""
        return simulator in self.black_box or simulator == manifest.UNSEEN

    @classmethod
    def from_flags(cls, text: str | None, **flags: Any) -> "EvaluatorConfig":
        """What a command was given: a config as JSON or None, and flags that go before it, None where not given."""
        config = cls.from_json(text, "--config") if text else cls()
        return config.replace(**{name: value for name, value in flags.items() if value is not None})


def _require_different(names: Sequence[str], found: Sequence[object]) -> None:
    twice = sorted(name for name, count in collections.Counter(names).items() if count > 1)
    if twice:
        raise Unexpected(f"each once ({', '.join(twice)} stands there twice)", found)


def slice_of(simulator: str, condition: str) -> str:
    """The slice of a simulator's condition."""
    return f"{simulator}/{condition}"


def simulator_of(slice_name: str) -> str:
    """The simulator of a slice; `plain` and `untagged` stand for themselves."""
    return slice_name.split("/", 1)[0]
