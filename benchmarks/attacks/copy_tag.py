"""Somebody copies the tag of a tagged picture onto a picture of his own, without knowing the key or the UID.

    python benchmarks/attacks/copy_tag.py --images=DIR

By three ways: he writes the codeword that the public networks see in it; he adds the difference of the tagged picture
and its original, which he has; he has neither and adds what a blur takes from the tagged picture.
"""

import argparse

from faketagger.components.contract import startup

startup.quiet()  # Before TensorFlow is imported.

import numpy as np

from faketagger.benchmarks.attacks import target


def main(arguments: argparse.Namespace) -> None:
    """Prints a row a way."""
    networks = target.Networks(arguments.model)
    attacked = target.Platform(networks, arguments.seed)
    originals = target.pictures_of(arguments)
    uids = np.array(target.uids_of(len(originals), networks.manifest.message_bits, arguments.seed))
    tagged = attacked.tag(originals, uids)
    residuals = np.float32(tagged) - originals
    targets = np.roll(originals, -1, axis=0)  # Each tag goes to the next picture.
    fine = target.as_strong_as(target.fine(tagged), residuals)
    copies = {
        "the codeword, with the networks": networks.write(targets, networks.see(tagged)),
        "the difference to the original": target.add(targets, residuals),
        "what a blur takes from it": target.add(targets, fine),
        "the same, twice as strong": target.add(targets, 2 * fine),
    }
    target.print_header("copied", "claimed as tagged", "read as the other's UID", "PSNR, dB")
    for way, copied in copies.items():
        read = attacked.read(copied)
        hits = read.tagged & (read.uids == uids)
        quality = target.mean_psnr(targets, copied)
        target.print_row(way, target.share(read.tagged), target.share(hits), quality)


if __name__ == "__main__":
    startup.run(main, target.make_parser(__file__, __doc__))
