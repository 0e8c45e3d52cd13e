"""What a tagger is measured after: nothing, simulators' conditions, perturbations over their strengths, both."""

import dataclasses

from faketagger.components.contract import manifest
from faketagger.components.evaluator.config import PLAIN, UNTAGGED, EvaluatorConfig, slice_of
from faketagger.components.perturbations import base, catalogue

CONDITION, SWEEP, AFTER = "condition", "sweep", "after"
_THEN = "+"


@dataclasses.dataclass(frozen=True)
class Slice:
    """One line of the evaluation's table.

    Attributes:
      name: `plain`, `<simulator>/<condition>`, `<perturbation>/<strength>`, or
        `<simulator>/<condition>+<perturbation>`.
      kind: `plain`; `condition`, of a simulator; `sweep`, one strength of a perturbation's curve; `after`, a
        simulator's output that was perturbed then; `untagged`, the original pictures.
      simulator: the simulator's name, of a sweep the perturbation's; None for `plain`.
      condition: the condition or strength, as in the name.
      family: the simulator's.
      black_box: whether the simulator was not in the training loop; None for `plain`.
      strength: of a sweep.
    """

    name: str
    kind: str
    simulator: str | None = None
    condition: str | None = None
    family: str | None = None
    black_box: bool | None = None
    strength: float | None = None

    @property
    def through(self) -> tuple[str, str]:
        """Simulator and condition (of a sweep: perturbation and strength); ValueError for `plain`, which has none."""
        if self.simulator is None or self.condition is None:
            raise ValueError(f"{self.name}: goes through no simulator")
        return self.simulator, self.condition

    @property
    def is_deepfake(self) -> bool:
        """Whether it is a condition of a deepfake simulator, and so counts in the overall FMRR."""
        return self.kind == CONDITION and self.family != "perturbation"


# The slice of the original pictures, which has no FMRR.
ORIGINALS = Slice(UNTAGGED, UNTAGGED)


def declared(simulators: dict[str, manifest.SimulatorManifest], config: EvaluatorConfig) -> list[Slice]:
    """All slices that have an FMRR, in the order in which they are measured.

    Args:
      simulators: their manifests by the name of their folder.
      config: says which sweeps and which perturbations after simulators.

    Raises:
      ValueError: a simulator bears the name of a slice or of a sweep, or a perturbation of `config` is none.
    """
    taken = sorted({PLAIN, UNTAGGED, *config.sweeps} & set(simulators))
    if taken:
        raise ValueError(f"simulator '{taken[0]}': this is the name of a slice: rename it, folder and manifest")
    found = [Slice(PLAIN, PLAIN)]
    for name, made in simulators.items():
        box = config.is_black_box(name)
        for condition in made.ways:
            found.append(Slice(slice_of(name, condition), CONDITION, name, condition, made.family, box))
            if made.family != "perturbation":
                found += [after(found[-1], then) for then in config.after]
    for kind, strengths in config.sweeps.items():
        for strength in strengths:
            found.append(
                Slice(slice_of(kind, f"{strength:g}"), SWEEP, kind, f"{strength:g}", "perturbation", False, strength)
            )
    for described in found:
        if described.kind in (SWEEP, AFTER):
            perturbation_of(described)  # Raises for what does not exist.
    return found


def after(first: Slice, then: str) -> Slice:
    """The slice of a simulator's output that goes through the perturbation `then` (perturbations/catalogue.at)."""
    return dataclasses.replace(
        first, name=f"{first.name}{_THEN}{then}", kind=AFTER, condition=f"{first.condition}{_THEN}{then}"
    )


def perturbation_of(described: Slice) -> base.Perturbation:
    """What a sweep does to a picture, or an `after` slice to a simulator's output."""
    name, condition = described.through
    if described.kind == SWEEP:
        return catalogue.at(f"{name}_{condition}")
    return catalogue.at(condition.rsplit(_THEN, 1)[1])
