"""Somebody averages many tagged pictures of one UID, without the networks, and so finds its tag.

    python benchmarks/attacks/average_tags.py --images=DIR

What a blur takes from each picture is its tag and its own detail; in the mean over many the detail goes. He adds the
mean to pictures of his own (forgery) and subtracts it from other pictures of that UID (erasure).
"""

import argparse
import itertools

from faketagger.components.contract import startup

startup.quiet()  # Before TensorFlow is imported.

import numpy as np

from faketagger.benchmarks.attacks import target

COUNTS = (1, 10, 40)
STRENGTHS = (0.5, 1.0, 2.0)


def main(arguments: argparse.Namespace) -> None:
    """Prints a row for each number of pictures that are averaged; the last quarter are those attacked."""
    networks = target.Networks(arguments.model)
    attacked = target.Platform(networks, arguments.seed)
    originals = target.pictures_of(arguments)
    (uid,) = target.uids_of(1, networks.manifest.message_bits, arguments.seed)
    tagged = attacked.tag(originals, [uid] * len(originals))
    own = len(originals) * 3 // 4
    target.print_header(
        "averaged", "strength", "forged, read as the UID", "PSNR, dB", "erased, still claimed", "PSNR, dB"
    )
    for count, strength in itertools.product([each for each in COUNTS if each <= own], STRENGTHS):
        mean = target.fine(tagged[:count]).mean(0)
        mean = strength * target.as_strong_as(mean, np.float32(tagged) - originals)
        forged, erased = target.add(originals[own:], mean), target.add(tagged[own:], -mean)
        hits = [read.tagged & (read.uids == uid) for read in map(attacked.read, (forged, erased))]
        quality = target.mean_psnr(originals[own:], forged), target.mean_psnr(tagged[own:], erased)
        target.print_row(count, strength, target.share(hits[0]), quality[0], target.share(hits[1]), quality[1])


if __name__ == "__main__":
    startup.run(main, target.make_parser(__file__, __doc__))
