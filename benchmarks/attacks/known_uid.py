"""Somebody knows the UID of one tagged picture and wants to write others' UIDs into pictures of his own.

    python benchmarks/attacks/known_uid.py --images=DIR

He reads the picture's codeword with the public networks. Code and mask are linear, so the XOR with the codewords of two
UIDs turns one into the other: in payload version 1 it is all it takes. In version 2 he does not know which message is
whose, and what he writes is read as a UID that chance chooses.
"""

import argparse

from faketagger.components.contract import startup

startup.quiet()  # Before TensorFlow is imported.

import numpy as np

from faketagger.benchmarks.attacks import target
from faketagger.components.contract import payload

MESSAGES = 20_000
REGISTERED = 1_000_000


def main(arguments: argparse.Namespace) -> None:
    """Prints a row a payload version."""
    networks = target.Networks(arguments.model)
    known, *pictures = target.pictures_of(arguments)
    known_uid, *wanted = target.uids_of(len(pictures) + 1, networks.manifest.message_bits, arguments.seed)
    target.print_header("payload version", "claimed as tagged", "read as the wanted UID", "PSNR, dB")
    for version in payload.VERSIONS:
        attacked = target.Platform(networks, arguments.seed, version)
        forged = forge(networks, attacked.tag(known[np.newaxis], [known_uid]), known_uid, np.stack(pictures), wanted)
        read = attacked.read(forged)
        hits = read.tagged & (read.uids == wanted)
        quality = target.mean_psnr(np.stack(pictures), forged)
        target.print_row(version, target.share(read.tagged), target.share(hits), quality)
    print(f"\n{_by_chance(attacked, networks.manifest.message_bits)}")


def _by_chance(attacked: target.Platform, message_bits: int) -> str:
    """How many UIDs that somebody writes blindly are registered: of messages alone, without pictures."""
    registered = min(REGISTERED, 2**message_bits // 2)
    drawn = np.random.default_rng(0).integers(0, 2, [MESSAGES, message_bits])
    found = sum(attacked.uid(message) < registered for message in drawn)
    expected = MESSAGES * registered / 2**message_bits
    return f"Of {MESSAGES:,} messages, {found} are one of {registered:,} registered UIDs; by chance, {expected:.1f}."


def forge(
    networks: target.Networks, tagged: np.ndarray, known_uid: int, pictures: np.ndarray, wanted: list[int]
) -> np.ndarray:
    """Writes what should be read as `wanted` into pictures, with one tagged picture [1, S, S, 3] and its UID."""
    code = payload.Payload(networks.code_matrix, np.zeros(networks.manifest.code_bits, np.uint8))
    mask = networks.see(tagged)[0] ^ np.uint8(code.codeword(known_uid))
    return networks.write(pictures, np.stack([mask ^ np.uint8(code.codeword(uid)) for uid in wanted]))


if __name__ == "__main__":
    startup.run(main, target.make_parser(__file__, __doc__))
