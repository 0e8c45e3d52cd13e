"""Every generator that can be trained, by name: a new one is a file beside this one and a line here."""

import collections
import importlib
from collections.abc import MutableMapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from faketagger.components.simulator.generators.base import Depth, Generator


class _Generators(collections.UserDict):
    """Generators by name, each imported when it is asked for.

    Networks import TensorFlow, which takes seconds, and a command's `--help` needs the names alone.
    """

    data: dict[str, str | type["Generator"]]

    def __getitem__(self, name: str) -> type["Generator"]:
        found = self.data[name]
        if isinstance(found, str):
            found = getattr(importlib.import_module(f"{__package__}.{name}"), found)
            self.data[name] = found
        return found


# The name is that of the file, and what stands beside it that of the class in there.
GENERATORS: MutableMapping[str, type["Generator"]] = _Generators(
    autoencoder="Autoencoder",
    faceswap="FaceSwap",
    reenactment="Reenactment",
    stargan="StarGAN",
    stgan="STGAN",
    stylegan="StyleGAN",
)


def depths() -> dict[str, "Depth"]:
    """What `depth` counts, for those that can be made deeper."""
    return {name: generator.DEPTH for name, generator in GENERATORS.items() if generator.DEPTH}
