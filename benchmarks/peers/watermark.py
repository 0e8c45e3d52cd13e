"""Hides bits in a folder of PNGs and reads them back, by methods of others; the only program of this environment.

    .venv/bin/python watermark.py embed METHOD PICTURES BITS.json OUT     # BITS.json: {"name.png": "0110…"}
    .venv/bin/python watermark.py read METHOD PICTURES LENGTH OUT.json    # OUT.json: the same of what was read

METHOD is `lsb`, or one of the package invisible-watermark: `dwtDct`, `dwtDctSvd`, `rivaGan` (Zhang et al. 2019). All
but rivaGan repeat the bits over the whole picture and read each by the majority. Pictures are 8-bit RGB, for the
package of at least 256×256 pixels. OUT is there once it is whole. Exit status: 0, or 1 and a sentence on standard
error.
"""

import argparse
import json
import os
import shutil
import sys
from collections.abc import Callable
from typing import NamedTuple

import cv2
import numpy as np
from imwatermark import WatermarkDecoder, WatermarkEncoder

RIVAGAN_BITS = 32  # Neither more nor less: zeros fill up what is not used.


class Method(NamedTuple):
    """Attributes:
    embed: (BGR picture uint8 [H, W, 3], bits uint8 [n]) → BGR picture, the same shape and type.
    read: (BGR picture, n) → bits [n].
    """

    embed: Callable[[np.ndarray, np.ndarray], np.ndarray]
    read: Callable[[np.ndarray, int], np.ndarray]


def _lsb_embed(picture: np.ndarray, bits: np.ndarray) -> np.ndarray:
    """Replaces the lowest bit of every sample."""
    return picture & 0xFE | np.resize(bits, picture.shape)


def _lsb_read(picture: np.ndarray, length: int) -> np.ndarray:
    lowest = picture.ravel() & 1
    votes = np.arange(lowest.size) % length
    return np.bincount(votes, lowest, length) * 2 > np.bincount(votes, minlength=length)


def _package(name: str) -> Method:
    def embed(picture: np.ndarray, bits: np.ndarray) -> np.ndarray:
        encoder = WatermarkEncoder()
        encoder.set_watermark("bits", bits)
        return encoder.encode(picture, name)

    return Method(embed, lambda picture, length: WatermarkDecoder("bits", length).decode(picture, name))


def _rivagan() -> Method:
    WatermarkEncoder.loadModel()
    plain = _package("rivaGan")

    def embed(picture: np.ndarray, bits: np.ndarray) -> np.ndarray:
        if len(bits) > RIVAGAN_BITS:
            raise ValueError(f"rivaGan carries at most {RIVAGAN_BITS} bits, got {len(bits)}")
        return plain.embed(picture, np.pad(bits, (0, RIVAGAN_BITS - len(bits))))

    return Method(embed, lambda picture, length: plain.read(picture, RIVAGAN_BITS)[:length])


METHODS: dict[str, Callable[[], Method]] = {
    "lsb": lambda: Method(_lsb_embed, _lsb_read),
    "dwtDct": lambda: _package("dwtDct"),
    "dwtDctSvd": lambda: _package("dwtDctSvd"),
    "rivaGan": _rivagan,
}


def _load(path: str) -> np.ndarray:
    picture = cv2.imread(path, cv2.IMREAD_COLOR)
    if picture is None:
        raise ValueError(f"{path}: not a readable picture")
    return picture


def embed_folder(method: Method, pictures: str, bits_file: str, out: str) -> None:
    """Writes the pictures that `bits_file` names, with their bits, to the new folder `out`."""
    with open(bits_file, encoding="utf-8") as file:
        wanted = json.load(file)
    temporary = f"{out}.part"
    os.mkdir(temporary)
    try:
        for name, bits in wanted.items():
            tagged = method.embed(_load(os.path.join(pictures, name)), np.array(list(bits), np.uint8))
            if not cv2.imwrite(os.path.join(temporary, name), tagged):
                raise OSError(f"{os.path.join(temporary, name)}: cannot be written")
        os.rename(temporary, out)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def read_folder(method: Method, pictures: str, length: int, out: str) -> None:
    """Writes what is read in every picture of a folder to `out`."""
    read = {}
    for name in sorted(os.listdir(pictures)):
        bits = method.read(_load(os.path.join(pictures, name)), length)
        read[name] = "".join("1" if bit else "0" for bit in bits)
    temporary = f"{out}.part"
    with open(temporary, "w", encoding="utf-8") as file:
        json.dump(read, file)
    os.replace(temporary, out)


def main() -> int:
    """Embeds or reads; 1 where it failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    verbs = parser.add_subparsers(dest="verb", required=True)
    for verb, third in (("embed", "bits"), ("read", "length")):
        arguments = verbs.add_parser(verb)
        arguments.add_argument("method", choices=METHODS)
        arguments.add_argument("pictures")
        arguments.add_argument(third, type=int if third == "length" else str)
        arguments.add_argument("out")
    given = parser.parse_args()
    try:
        if given.verb == "embed":
            embed_folder(METHODS[given.method](), given.pictures, given.bits, given.out)
        else:
            read_folder(METHODS[given.method](), given.pictures, given.length, given.out)
    except (ValueError, OSError, RuntimeError) as error:
        print(f"failed: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
