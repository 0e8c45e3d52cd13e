"""Encrypts a UID as a number of its own size: a keyed permutation of 0 … 2^k − 1 (docs/design.md).

Swap-or-not (Hoang, Morris & Rogaway, An Enciphering Scheme Based on a Card Shuffle, CRYPTO 2012), with keyed BLAKE2s
(RFC 7693) as the round function. It takes any k, odd or small, as it is, and its proof holds until a large part of all
numbers is known. Feistel networks (FF1, FFX) are proved up to about 2^(k/2) known pairs, 32,768 pictures of a tagger of
30 bits; NIST SP 800-38G asks FF1 for a million numbers at least, and withdrew FF3.
"""

import hashlib
from collections.abc import Iterable


class UidCipher:
    """A permutation of the numbers of k bits that only the key's holder can follow.

    Somebody who has q numbers with their images, each chosen by himself and either way, tells it from a random
    permutation with an advantage of at most 8·2^(1.5k) / (r/2 + 2) · (1/2 + q/2^(k+1))^(r/4 + 1), r being the rounds:
    the paper's CCA bound, its factor 4 corrected to 8 (Partition and Mix, Designs, Codes and Cryptography 2023), with
    BLAKE2s taken for random. With r as here that is 2^−95 for few pairs, whatever k is; at k = 30, 2^−77 where he has a
    tenth of all pairs and 2^−52 where he has a quarter.

    Args:
      key: 32 secret bytes that nothing else uses.
      bits: k, at least 1.
    """

    def __init__(self, key: bytes, bits: int):
        self._keyed = hashlib.blake2s(key=key, digest_size=1)
        self._bytes = (bits + 7) // 8
        self._rounds = [(index.to_bytes(4, "big"), each) for index, each in enumerate(_round_keys(key, bits))]

    def encrypt(self, number: int) -> int:
        """0 … 2^k − 1 → the same range."""
        return self._swap_or_not(number, self._rounds)

    def decrypt(self, number: int) -> int:
        """The reverse of encrypt: each round undoes itself."""
        return self._swap_or_not(number, reversed(self._rounds))

    def _swap_or_not(self, number: int, rounds: Iterable[tuple[bytes, int]]) -> int:
        for index, round_key in rounds:
            partner = number ^ round_key
            # Both of a pair ask with the larger, so that they change places or both stay.
            asking = self._keyed.copy()
            asking.update(index + max(number, partner).to_bytes(self._bytes, "big"))
            if asking.digest()[0] & 1:
                number = partner
        return number


def _round_keys(key: bytes, bits: int) -> list[int]:
    """One number of k bits a round."""
    size, rounds = (bits + 7) // 8, 6 * bits + 360
    stream = hashlib.shake_256(b"swap-or-not of %d bits\0" % bits + key).digest(size * rounds)
    words = (stream[start : start + size] for start in range(0, len(stream), size))
    return [int.from_bytes(word, "big") & (2**bits - 1) for word in words]
