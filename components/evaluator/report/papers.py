"""What the papers report of their own generators: the figures that are known here, with their source, and no others.

DeepTag (arXiv 2009.09869v1) and FakeTagger (Wang et al., ACM MM 2021, arXiv 2009.09869v3) are versions of one paper.
Known of the first are Tables 2 to 5, §4.3 and what its text says of Figs. 3 and 4, whose points are not given as
numbers; of the second its abstract, not its tables. What is missing is not known, not zero. All FMRR is 0…1, of 30 bits
embedded late unless said otherwise, on CelebA-HQ.
"""

import re
from typing import Literal, NamedTuple

SOURCE = "Wang et al., FakeTagger, ACM Multimedia 2021; as DeepTag in its first version (arXiv 2009.09869, v1 and v3)"
NOT_REPORTED = "not reported here"

MESSAGE_BITS = 30
LEVEL = "late"
NAMES = {"stgan": "STGAN", "stargan": "StarGAN", "stylegan": "StyleGAN"}

SIZES = (128, 256, 512)  # Of Tables 2 and 3.
# v1, Tables 2 (STGAN) and 3 (StarGAN): white-box FMRR by edit, at SIZES and on average over them.
_TABLES_2_AND_3 = {
    "stgan/bald": (0.912, 0.920, 0.928, 0.920),
    "stgan/mustache": (0.923, 0.931, 0.941, 0.932),
    "stgan/eyeglasses": (0.891, 0.913, 0.918, 0.907),
    "stgan/pale_skin": (0.872, 0.893, 0.902, 0.889),
    "stargan/blond_hair": (0.901, 0.909, 0.913, 0.908),
    "stargan/gender": (0.761, 0.779, 0.803, 0.781),
    "stargan/angry": (0.831, 0.846, 0.852, 0.843),
    "stargan/happy": (0.842, 0.849, 0.853, 0.848),
}
FMRR_BY_SIZE = {
    size: {edit: figures[index] for edit, figures in _TABLES_2_AND_3.items()} for index, size in enumerate(SIZES)
}
FMRR_OVER_SIZES = {edit: figures[-1] for edit, figures in _TABLES_2_AND_3.items()}

# v1, Table 4: STGAN's edits by embedding level (§3.3).
LEVELS = ("raw", "early", "late")
LEVELS_SIZE = 256
FMRR_BY_LEVEL = {
    "raw": {"stgan/bald": 0.880, "stgan/mustache": 0.898, "stgan/eyeglasses": 0.903, "stgan/pale_skin": 0.861},
    "early": {"stgan/bald": 0.891, "stgan/mustache": 0.911, "stgan/eyeglasses": 0.901, "stgan/pale_skin": 0.869},
    "late": {"stgan/bald": 0.920, "stgan/mustache": 0.931, "stgan/eyeglasses": 0.913, "stgan/pale_skin": 0.893},
}

# v1, §4.3: a picture reconstructed by a public latent encoder for the pretrained StyleGAN.
SYNTHESIS = "stylegan/reconstruct"
SYNTHESIS_SIZE = 1024
SYNTHESIS_FMRR = 0.951


class PictureQuality(NamedTuple):
    """Of tagged pictures: PSNR in dB, and SSIM."""

    psnr: float
    ssim: float


# v1, Table 5: by the generator that a tagger was trained through; at which picture size is not known here.
QUALITY = {
    "stgan": PictureQuality(27.48, 0.901),
    "stargan": PictureQuality(26.32, 0.862),
    "stylegan": PictureQuality(29.89, 0.927),
}
PSNR = (min(each.psnr for each in QUALITY.values()), max(each.psnr for each in QUALITY.values()))
SSIM = (min(each.ssim for each in QUALITY.values()), max(each.ssim for each in QUALITY.values()))

# v1, Figs. 3 and 4 are of these, edits at 256×256.
FIGURES_3_AND_4 = ("stgan/bald", "stargan/blond_hair", SYNTHESIS)
FIGURES_SIZE = 256


class AtLength(NamedTuple):
    """FMRR at a message length.

    Attributes:
      message_bits: the message's length.
      fmrr: 0…1.
      edit: which of FIGURES_3_AND_4; None for all three.
      bound: whether the figure was over or below `fmrr`; empty where it was at it.
    """

    message_bits: int
    fmrr: float
    edit: str | None = None
    bound: Literal["", "over", "below"] = ""


# Fig. 3: the bounds are its text's, what lies between is Tables 2 and 3's and §4.3's.
LENGTHS = (
    AtLength(20, 0.95, bound="over"),
    AtLength(30, FMRR_BY_SIZE[FIGURES_SIZE]["stgan/bald"], "stgan/bald"),
    AtLength(30, FMRR_BY_SIZE[FIGURES_SIZE]["stargan/blond_hair"], "stargan/blond_hair"),
    AtLength(30, SYNTHESIS_FMRR, SYNTHESIS),
    AtLength(50, 0.70, bound="below"),
)
ENOUGH_BITS = (30, 35)  # "Enough for a platform".

# Fig. 4, of a simulator and then compression: over FMRR still at this number, of which a higher one discards more.
COMPRESSION = 80
COMPRESSED_FMRR = 0.80

# v3, the abstract: 88.95% over generators that were not in the training loop, nearly all over those that were, more
# than 95% over four types of deepfake. Whether of bits or of messages it does not say.
BLACK_BOX = 0.8895
WHITE_BOX = "nearly 1"
OVER_FOUR_TYPES = 0.95


class AtWeights(NamedTuple):
    """What an unofficial implementation (PyTorch; a faceswap autoencoder as simulator) says of its loss weights.

    Attributes:
      message: λ.
      image: α.
      said: what they do, in words.
    """

    message: float
    image: float
    said: str


WEIGHTS = (
    AtWeights(10.0, 0.1, "reads better, is easily seen"),
    AtWeights(1.0, 0.5, "reads worse, is seen less"),
)
SWAPPING_COSTS = 0.04  # Of bit accuracy, about, in the unofficial implementation.


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


def edit_of(simulator: str | None, condition: str | None) -> str:
    """A slice as the papers' figures are called here: without the number of a second simulator of one generator."""
    return f"{re.sub(r'_[0-9]+$', '', simulator or '')}/{condition or ''}"


def name_of(edit: str) -> str:
    """As the papers write it: `STGAN bald`."""
    generator, _, condition = edit.partition("/")
    return f"{NAMES.get(generator, generator)} {condition.replace('_', ' ')}"


def written(fmrr: float) -> str:
    """A figure with three digits, a fourth where it has one."""
    return f"{fmrr:.4f}".removesuffix("0")
