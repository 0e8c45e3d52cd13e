"""What an evaluation leaves for programs: `evaluation.json`, its record, and `checks.json`, the gate's decision."""

from typing import NamedTuple

from faketagger.components.contract.manifest import LossWeights
from faketagger.components.contract.settings import Settings

EVALUATION_FILE, CHECKS_FILE = "evaluation.json", "checks.json"


class Known(NamedTuple):
    """A mean and the ends of its interval, all of them finite numbers."""

    mean: float
    low: float
    high: float


class Figure(Settings):
    """A mean over pictures and the ends of its interval; null where they are no finite numbers.

    Attributes:
      mean: over pictures.
      low, high: the ends.
    """

    mean: float | None
    low: float | None
    high: float | None


def known(figure: Figure | None) -> Known | None:
    """A figure where all of it is known."""
    if figure is None or figure.mean is None or figure.low is None or figure.high is None:
        return None
    return Known(figure.mean, figure.low, figure.high)


class Counted(Settings):
    """What figures were measured on.

    Attributes:
      pictures: how many.
      not_finite: of how many tries the networks made no finite numbers.
    """

    pictures: int
    not_finite: int


class QualityFigures(Counted):
    """How much of a picture tagging keeps.

    Attributes:
      psnr: dB.
      ssim, ms_ssim: −1…1, 0…1.
      visibility: CIEDE2000 (measure/visibility.py); null in records older than it.
      lpips: a distance; unknown where it was not measured.
    """

    psnr: Figure
    ssim: Figure
    ms_ssim: Figure
    visibility: Figure | None = None
    lpips: Figure


class UntaggedFigures(Counted):
    """What was read of the original pictures.

    Attributes:
      false_positives: how many were read as tagged at least once; null where a method cannot say.
      share: of all of them.
    """

    false_positives: int | None
    share: Figure


class SliceFigures(Counted):
    """One line of the evaluation's table.

    Attributes:
      kind, simulator, condition, family, black_box: the slice, as slices.Slice says.
      strength_value: the perturbation's strength, of a sweep.
      fmrr: full message retrieval rate, 0…1.
      bit_accuracy: of raw codeword bits, 0…1.
      tpr: the share found at summary.FALSE_POSITIVE_RATE, 0…1.
      change_psnr, change_ssim: how much the slice changes untagged pictures, PSNR in dB and SSIM; null for `plain`.
    """

    kind: str
    simulator: str | None
    condition: str | None
    family: str | None
    black_box: bool | None
    strength_value: float | None
    fmrr: Figure
    bit_accuracy: Figure
    tpr: Figure
    change_psnr: Figure | None
    change_ssim: Figure | None


class ByBox(Settings):
    """Means over all conditions of deepfake simulators; null where no box has any, or not the same pictures in each.

    Attributes:
      white: of the simulators in the training loop.
      black: of the others.
    """

    white: Figure | None
    black: Figure | None

    def of(self, box: str) -> Figure | None:
        """That of a box, `white` or `black`."""
        return {"white": self.white, "black": self.black}[box]


class SignTest(Settings):
    """A tagger against another, picture by picture.

    Attributes:
      worse: the pictures of which fewer tries are read.
      better: those of which more are.
      p_value: how probable as many worse ones are, were both equally good.
    """

    worse: int
    better: int
    p_value: float


class Versus(Settings):
    """A tagger against the newest blessed one (versus.compare).

    Attributes:
      psnr: the other's, dB.
      slices: by slice.
      overall: over all slices together; null unless all have the same pictures.
    """

    psnr: Figure | None
    slices: dict[str, SignTest]
    overall: SignTest | None


class TaggerFacts(Settings):
    """What an evaluation says of the tagger, or of another method.

    Attributes:
      message_bits, code_bits, image_size: as in its manifest.
      strength: the factor of its residual; null for another method.
      false_positive_rate: at which a picture counts as tagged; null where a method cannot say.
      level: the embedding level; null where it is not recorded.
      weights: of the loss; null where they are not recorded.
    """

    message_bits: int
    code_bits: int
    image_size: int
    strength: float | None
    false_positive_rate: float | None
    level: str | None
    weights: LossWeights | None = None


class Evaluated(Settings):
    """What was evaluated.

    Attributes:
      label: what to call it.
      image_size: the side of the pictures.
      tagger: facts on it.
    """

    label: str
    image_size: int
    tagger: TaggerFacts


class Evaluation(Evaluated):
    """`evaluation.json`.

    Attributes:
      confidence: of every interval.
      repeats: how many UIDs each picture was tagged with.
      seed: of UIDs, masks and bootstrap samples.
      quality, untagged: null where no picture was measured.
      overall, overall_tpr: mean FMRR and TPR.
      slices: by name.
      newest_blessed: the comparison with it; null where there was none.
    """

    confidence: float
    repeats: int
    seed: int
    quality: QualityFigures | None
    untagged: UntaggedFigures | None
    overall: ByBox
    overall_tpr: ByBox
    slices: dict[str, SliceFigures]
    newest_blessed: Versus | None = None


class Check(Settings):
    """One demand of the gate.

    Attributes:
      name: what was checked, e.g. `fmrr plain`.
      figure: the end of the interval that counts; None when there is none.
      bound: what it was held against.
      passed: whether it held.
      reason: one sentence with the figures, for people.
    """

    name: str
    figure: float | None
    bound: float
    passed: bool
    reason: str


class Decision(Settings):
    """Whether a tagger is blessed, and all checks; blessed only when every one passed."""

    blessed: bool
    checks: tuple[Check, ...]
