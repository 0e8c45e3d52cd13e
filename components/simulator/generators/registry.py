"""Every generator that can be trained, by name: a new one is a file beside this one and a line here."""

from faketagger.components.simulator.generators.autoencoder import Autoencoder
from faketagger.components.simulator.generators.base import Depth, Generator
from faketagger.components.simulator.generators.faceswap import FaceSwap
from faketagger.components.simulator.generators.reenactment import Reenactment
from faketagger.components.simulator.generators.stargan import StarGAN
from faketagger.components.simulator.generators.stgan import STGAN
from faketagger.components.simulator.generators.stylegan import StyleGAN

GENERATORS: dict[str, type[Generator]] = {
    "autoencoder": Autoencoder,
    "faceswap": FaceSwap,
    "reenactment": Reenactment,
    "stargan": StarGAN,
    "stgan": STGAN,
    "stylegan": StyleGAN,
}


def depths() -> dict[str, Depth]:
    """What `depth` counts, for those that can be made deeper."""
    return {name: generator.DEPTH for name, generator in GENERATORS.items() if generator.DEPTH}
