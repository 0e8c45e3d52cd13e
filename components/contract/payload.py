"""UID ▸ message ▸ codeword, and what a secret key does to them (docs/design.md).

The message is the UID in binary, encrypted in version 2. A systematic linear code makes it redundant (FakeTagger §3.3
names channel coding; BCH codes are what StegaStamp uses). The codeword is XORed with a mask derived from the key, so
that the bits of an untagged picture are independent of it. The mask alone, version 1, hides UIDs only until one
picture's is known: that gives the mask away. Version 2 keeps the others hidden even then.
"""

import dataclasses
import functools
import hashlib
import os
import tempfile
from collections.abc import Sequence

import numpy as np

from faketagger.components.contract.uid_cipher import UidCipher

LATEST = 2  # Pictures are tagged with it; version 1 is still read.
VERSIONS = (1, 2)
MIN_KEY_BYTES = 16
MAX_KEY_BYTES = 4096  # Of a key file.
_MASK_LABELS = {1: b"faketagger key mask v1", 2: b"faketagger key mask v2"}
_CIPHER_LABEL = b"faketagger uid cipher v2"
_FINGERPRINT_LABEL = b"faketagger key fingerprint"
# Made keys begin so since version 2; of others pictures may have been tagged with version 1.
_KEY_PREFIX = b"faketagger-key-2-"
# BCH lengths offered; a shortened code of (n − s, k − s) is made from the smallest (n, k) that holds the message.
CODE_LENGTHS = (15, 31, 63, 127, 255)


@functools.cache
def _bch_matrix(length: int, message_bits: int) -> bytes:
    import galois  # Slow to import (it compiles): only those who make a code need it, clients read the matrix.

    distance = max(each for each in range(3, length + 1, 2) if _dimension(length, each) >= message_bits)
    code = galois.BCH(length, d=distance)
    # Shortening: the first k' − k message bits are always zero, so their rows and columns fall away.
    drop = code.k - message_bits
    return np.asarray(code.G, np.uint8)[drop:, drop:].tobytes()


def _dimension(length: int, distance: int) -> int:
    """The message bits of the BCH code of a design distance: it loses one for each power in the cyclotomic cosets of
    1 … distance − 1 (MacWilliams & Sloane 1977, ch. 7 §6).
    """
    doublings = length.bit_length()
    return length - len({power * 2**i % length for power in range(1, distance) for i in range(doublings)})


def code_matrix(message_bits: int, code_length: int) -> np.ndarray:
    """The systematic generator matrix, uint8 [k, n], of the strongest BCH code of a length, shortened to k bits.

    Args:
      message_bits: k, at least 1.
      code_length: 15, 31, 63, 127 or 255; or 0 for no coding (the identity matrix).

    Raises:
      ValueError: another length, or one too short for the message.
    """
    check_code(message_bits, code_length)
    if code_length == 0:
        return np.eye(message_bits, dtype=np.uint8)
    flat = np.frombuffer(_bch_matrix(code_length, message_bits), np.uint8)
    return flat.reshape(message_bits, -1).copy()


def check_code(message_bits: int, code_length: int) -> None:
    """ValueError, as code_matrix's, where there is no such code; quick."""
    if message_bits < 1:
        raise ValueError(f"a message has at least one bit, got {message_bits}")
    if code_length not in (0, *CODE_LENGTHS):
        raise ValueError(f"code_length must be 0 or one of {CODE_LENGTHS}, got {code_length}")
    if code_length and _dimension(code_length, 3) < message_bits:
        raise ValueError(f"a code of {code_length} bits holds at most {_dimension(code_length, 3)} message bits")


def key_mask(key: bytes, bits: int, version: int = 1) -> np.ndarray:
    """The mask of a secret key, uint8 [bits] of 0 and 1; those of two versions are independent."""
    stream = _derived(key, _MASK_LABELS[version], (bits + 7) // 8)
    return np.unpackbits(np.frombuffer(stream, np.uint8))[:bits]


def _derived(key: bytes, label: bytes, size: int) -> bytes:
    """Bytes that depend on the key and on what they are for, by SHAKE-256."""
    if len(key) < MIN_KEY_BYTES:
        raise ValueError(f"a key has at least {MIN_KEY_BYTES} bytes, got {len(key)}")
    return hashlib.shake_256(label + b"\0" + key).digest(size)


def versions_of(key: bytes) -> tuple[int, ...]:
    """The versions that pictures tagged with a key may have, the latest first.

    Two versions have two masks, so that no picture of one is read as the other; a reader that tries both has to double
    its p-values. Keys that say that they were made since version 2 spare it that.
    """
    return (LATEST,) if key.startswith(_KEY_PREFIX) else (LATEST, 1)


def fingerprint(key: bytes) -> str:
    """Tells keys apart without telling them: 8 hexadecimal digits.

    scrypt makes a guess at a weak key dearer here than a guess at a tagged picture, which confirms one just as well.
    """
    return hashlib.scrypt(key, salt=_FINGERPRINT_LABEL, n=2**14, r=8, p=1, dklen=4).hex()


def read_key(path: str) -> bytes:
    """The key in a file, surrounding white space apart; ValueError says how to make one."""
    try:
        with open(path, "rb") as file:
            read = file.read(MAX_KEY_BYTES + 1)
    except OSError as error:
        raise ValueError(f"{path}: {error.strerror}; `faketagger keygen {path}` makes a key") from None
    if len(read) > MAX_KEY_BYTES:
        raise ValueError(f"{path}: over {MAX_KEY_BYTES:,} bytes: no key")
    key = read.strip()
    if len(key) < MIN_KEY_BYTES:
        raise ValueError(f"{path}: a key has at least {MIN_KEY_BYTES} bytes; `faketagger keygen` makes one")
    return key


def make_key(path: str) -> None:
    """Writes a new key of 256 random bits, readable by its owner alone; FileExistsError where one is there.

    The file is there at once and whole, whoever else makes or reads it meanwhile.
    """
    key = _KEY_PREFIX + os.urandom(32).hex().encode() + b"\n"
    with tempfile.NamedTemporaryFile(dir=os.path.dirname(path) or os.curdir, prefix=".faketagger-") as file:
        file.write(key)
        file.flush()
        try:
            os.link(file.name, path)  # Unlike a renaming it replaces nothing.
        except FileExistsError:
            raise
        except OSError:  # The file system has no links.
            with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as itself:
                itself.write(key)


@dataclasses.dataclass(frozen=True)
class Payload:
    """Turns UIDs into what the `tag` signature takes and what `read` returns into UIDs.

    Attributes:
      code_matrix: uint8 [k, n], from code_matrix or tagger.json.
      mask: uint8 [n], from key_mask.
      cipher: of the UID; None in version 1.
    """

    code_matrix: np.ndarray
    mask: np.ndarray
    cipher: UidCipher | None = None

    @classmethod
    def of_key(cls, key: bytes, code_matrix: np.ndarray, version: int = LATEST) -> "Payload":
        """What a secret key makes of UIDs in a version; ValueError where the key is too short."""
        message_bits, code_bits = code_matrix.shape
        cipher = UidCipher(_derived(key, _CIPHER_LABEL, 32), message_bits) if version > 1 else None
        return cls(code_matrix, key_mask(key, code_bits, version), cipher)

    @property
    def version(self) -> int:
        """One of VERSIONS."""
        return 1 if self.cipher is None else 2

    @property
    def message_bits(self) -> int:
        return self.code_matrix.shape[0]

    def message(self, uid: int) -> np.ndarray:
        """UID → message, uint8 [k], most significant bit first; ValueError when it does not fit."""
        if not 0 <= uid < 2**self.message_bits:
            raise ValueError(f"a UID of this tagger is a number from 0 to {2**self.message_bits - 1}, got {uid}")
        number = self.cipher.encrypt(uid) if self.cipher else uid
        return np.array([number >> shift & 1 for shift in reversed(range(self.message_bits))], np.uint8)

    def codeword(self, uid: int) -> np.ndarray:
        """UID → masked codeword, float32 [n] of 0 and 1, as the `tag` signature takes it."""
        bits = encode_messages(self.message(uid)[None], self.code_matrix)[0] ^ self.mask
        return bits.astype(np.float32)

    def uid(self, message: np.ndarray) -> int:
        """Message [k] → UID."""
        number = int("".join(str(int(bit)) for bit in np.asarray(message).ravel()), 2)
        return self.cipher.decrypt(number) if self.cipher else number


def encode_messages(messages: np.ndarray, code_matrix: np.ndarray) -> np.ndarray:
    """Messages uint8 [B, k] → codewords uint8 [B, n], before the mask."""
    return (messages.astype(np.int64) @ code_matrix.astype(np.int64) % 2).astype(np.uint8)


def code_matrix_to_hex(code_matrix: np.ndarray) -> list[str]:
    """One hexadecimal string a row, for tagger.json."""
    return [np.packbits(row).tobytes().hex() for row in code_matrix]


def code_matrix_from_hex(rows: Sequence[str], code_bits: int) -> np.ndarray:
    """The reverse of code_matrix_to_hex; ValueError when a row is not of `code_bits` bits."""
    packed = [np.frombuffer(bytes.fromhex(row), np.uint8) for row in rows]
    if any(len(row) != (code_bits + 7) // 8 for row in packed):
        raise ValueError(f"code matrix rows do not have {code_bits} bits")
    return np.stack([np.unpackbits(row)[:code_bits] for row in packed])
