"""Somebody removes the tag of a picture, without knowing the key or the UID: he writes over it.

    python benchmarks/attacks/erase_tag.py --images=DIR

What he writes with the public networks is the complement of the codeword that they see in it, or random bits.
"""

import argparse

from faketagger.components.contract import startup

startup.quiet()  # Before TensorFlow is imported.

import numpy as np

from faketagger.benchmarks.attacks import target

STRENGTHS = (0.25, 0.5, 0.75, 1.0, 1.5)


def main(arguments: argparse.Namespace) -> None:
    """Prints a row for what is written at each strength."""
    networks = target.Networks(arguments.model)
    attacked = target.Platform(networks, arguments.seed)
    originals = target.pictures_of(arguments)
    uids = np.array(target.uids_of(len(originals), networks.manifest.message_bits, arguments.seed))
    tagged = attacked.tag(originals, uids)
    seen = networks.see(tagged)
    written = {"complement": 1 - seen, "random bits": np.random.default_rng(arguments.seed).integers(0, 2, seen.shape)}
    target.print_header(
        "written over it", "strength", "still claimed", "candidate right", "PSNR to the tagged, dB", "to the original"
    )
    for what, bits in written.items():
        for strength in STRENGTHS:
            erased = networks.write(tagged, bits, strength)
            read = attacked.read(erased)
            still, right = target.share(read.tagged & (read.uids == uids)), target.share(read.uids == uids)
            quality = target.mean_psnr(tagged, erased), target.mean_psnr(originals, erased)
            target.print_row(what, strength, still, right, *quality)


if __name__ == "__main__":
    startup.run(main, target.make_parser(__file__, __doc__))
