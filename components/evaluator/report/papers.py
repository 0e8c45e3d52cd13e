"""What the papers report of their own generators: the figures that are known here, with their source, and no others.

DeepTag (arXiv 2009.09869v1) and FakeTagger (Wang et al., ACM MM 2021, arXiv 2009.09869v3) are versions of one paper.
Known here are its abstract and the single figures below, not its whole tables: what is missing is not known, not zero.
"""

from typing import NamedTuple

SOURCE = "Wang et al., FakeTagger, ACM Multimedia 2021; as DeepTag in its first version (arXiv 2009.09869, v1 and v3)"
NOT_REPORTED = "not reported here"

MESSAGE_BITS = 30  # Of all figures but those over message length.
PSNR = (26.0, 30.0)  # dB between the picture and the tagged one, from and to.
IMAGE_SIZES = (128, 256)  # Of Tables 2 and 3.
LEVELS = ("raw", "early", "late")  # Of Table 4, the embedding levels of §3.3.

# FMRR by generator, white-box; in which of Tables 2 and 3, and so at which picture size, is not known here.
WHITE_BOX_FMRR = {"stgan": 0.92, "stargan": 0.85, "stylegan": 0.95}
BLACK_BOX_FMRR = 0.89  # The mean over generators that were not in the training loop.
# The abstract: "more than"; whether of bits or of messages it does not say, so it is set beside nothing.
ACCURACY_OVER_FOUR_TYPES = 0.95


class AtLength(NamedTuple):
    """A point of Fig. 3, FMRR over message length.

    Attributes:
      message_bits: the message's length.
      fmrr: 0…1.
      generator: as in WHITE_BOX_FMRR; None where it is not known.
      is_bound: whether the figure was below `fmrr`, not at it.
    """

    message_bits: int
    fmrr: float
    generator: str | None = None
    is_bound: bool = False


LENGTHS = (
    *(AtLength(MESSAGE_BITS, fmrr, generator) for generator, fmrr in WHITE_BOX_FMRR.items()),
    AtLength(50, 0.70, is_bound=True),
)


class AtQuality(NamedTuple):
    """What another method reports of a deepfake at one picture quality.

    Attributes:
      method: its name and publication.
      psnr: dB, at 256×256.
      bit_error: the share of bits read wrongly after SimSwap.
    """

    method: str
    psnr: float
    bit_error: float


QUALITIES = (
    AtQuality("SepMark (Wu et al. 2023)", 38.6, 0.079),
    AtQuality("KAD-Net (2024)", 39.0, 0.041),
)


def fmrr_of(simulator: str, black_box: bool) -> float | None:
    """What stands beside a simulator's FMRR: its generator's, or black-box the mean; None where none is known here."""
    return BLACK_BOX_FMRR if black_box else WHITE_BOX_FMRR.get(simulator)
