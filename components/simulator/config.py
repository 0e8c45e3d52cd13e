"""What the simulator step is asked to do; travels as JSON between the pipeline and the step."""

from typing import Any

from faketagger.components.contract import pretrained
from faketagger.components.contract.settings import Field, Unexpected, root_validator, validator
from faketagger.components.simulator.generators.registry import GENERATORS, depths
from faketagger.components.simulator.generators.settings import TrainingSettings


class SimulatorConfig(TrainingSettings):
    """What each training is told (TrainingSettings), and what is made.

    Attributes:
      train: the simulators to train, of registry.GENERATORS.
      shipped: the simulators to take from the repository as they are, by their folders' names in pretrained/simulators.
      landmark_swap: whether there is the face swap that needs no training (simulator/landmark_swap.py).
      judge_steps: optimiser steps for the classifier that says whether edits are seen and pictures look real; at
        least 1.
    """

    train: tuple[str, ...] = ("faceswap",)
    shipped: tuple[str, ...] = ()
    landmark_swap: bool = False
    judge_steps: int = Field(800, ge=1)

    @validator("train")
    def _can_be_trained(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        _expect_of(names, list(GENERATORS))
        return names

    @validator("shipped")
    def _are_there(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        if names:
            from faketagger.components.simulator import library  # Here: it imports TensorFlow, which takes seconds.

            _expect_of(names, library.names(pretrained.SIMULATORS))
        return names

    @root_validator(skip_on_failure=True)
    def _can_be_made(cls, values: dict[str, Any]) -> dict[str, Any]:
        twice = sorted(set(values["train"]) & set(values["shipped"]))
        if twice:
            raise Unexpected("none of those that are trained", twice, "shipped")
        _check_width(values["width"], values["train"])
        if values["depth"] is not None:
            _check_depth(values["depth"], values["train"])
        for name in values["train"]:
            GENERATORS[name].check_size(values["image_size"], values["depth"])
        return values


def _expect_of(names: tuple[str, ...], known: list[str]) -> None:
    unknown = sorted(set(names) - set(known))
    if unknown:
        raise Unexpected(f"names of {', '.join(known)}", unknown)


def _check_width(width: int, trained: tuple[str, ...]) -> None:
    grouped = " and ".join(sorted({name for name in trained if GENERATORS[name].GROUPED}))
    if grouped and width % 8:
        raise Unexpected(f"a multiple of 8, for the group normalisation of {grouped}", width, "width")


def _check_depth(depth: int, trained: tuple[str, ...]) -> None:
    deep = {name: its for name, its in depths().items() if name in trained}
    if not deep:
        raise Unexpected(f"null, as only {' and '.join(depths())} have one", depth, "depth")
    for name, (parts, least, most) in deep.items():
        if not least <= depth <= most:
            raise Unexpected(f"{least} to {most} {parts} for {name}", depth, "depth")
