"""The one list of generators: what is derived from it, and what each must say of itself."""

import pytest

from faketagger.components.contract import manifest
from faketagger.components.contract.settings import Unexpected
from faketagger.components.simulator.config import SimulatorConfig
from faketagger.components.simulator.generators import registry
from faketagger.components.simulator.generators.base import Depth, Generator
from faketagger.components.simulator.generators.faceswap import FaceSwap


@pytest.mark.parametrize("name, kind", registry.GENERATORS.items())
def test_each_stands_in_a_file_of_its_name_and_says_its_family(name, kind):
    assert issubclass(kind, Generator) and kind.FAMILY in manifest.FAMILIES
    assert kind.__module__.split(".")[-1] == name


def test_depths_are_those_that_the_generators_say():
    assert registry.depths() == {"stargan": ("residual blocks", 1, 9), "stgan": ("encoder layers", 2, 5)}


class Tall(FaceSwap):
    """Made for this test: not grouped, of a depth, for sides over 64 alone."""

    GROUPED = False
    DEPTH = Depth("storeys", 3, 4)

    @classmethod
    def check_size(cls, image_size, depth):
        if image_size <= 64:
            raise Unexpected("over 64, for tall", image_size, "image_size")


def test_one_line_makes_a_new_generator_known_to_the_config(monkeypatch):
    with pytest.raises(ValueError, match="train: expected names of .*faceswap, .*, found .'tall'"):
        SimulatorConfig(train=("tall",))
    monkeypatch.setitem(registry.GENERATORS, "tall", Tall)
    for given, told in (
        ({"image_size": 64}, "image_size: expected over 64, for tall, found 64"),
        ({"image_size": 96, "depth": 5}, "depth: expected 3 to 4 storeys for tall, found 5"),
    ):
        with pytest.raises(ValueError, match=told):
            SimulatorConfig(train=("tall",), **given)
    assert SimulatorConfig(train=("tall",), image_size=96, width=12, depth=3).train == ("tall",)
