"""What one picture, one reading, one row of the registry and one message length cost: the figures of docs/scale.md.

    python benchmarks/unit_costs.py pictures --side=1024
    python benchmarks/unit_costs.py registry --rows=100000
    python benchmarks/unit_costs.py messages --tries=500

Processor time is told, which other work on the machine changes little. `pictures` takes drawn faces, enlarged, as JPEG
at quality 90, through the shipped tagger in this process. `registry` fills a SQLite database with random hashes.
`messages` decodes random codewords after noise that flips a share of their bits (Gaussian logits, as a decoder gives).
"""

import argparse
import io
import os
import resource
import tempfile
import time
import uuid
from collections.abc import Callable
from typing import Any

import numpy as np
import sqlalchemy as sa
import tensorflow as tf
from PIL import Image
from scipy import special
from sqlalchemy import orm

from faketagger.components.contract import payload, picture_decoding, picture_encoding, pretrained, startup
from faketagger.components.example_gen import face_drawing
from faketagger.components.tagger import channel_decoder
from faketagger.serving.client import TaggerClient, load
from faketagger.serving.platform import fingerprints, registry, tables
from faketagger.serving.platform.accounts import Accounts

_KEY = b"faketagger-key-2-of the benchmark of costs"
_CODES = ((30, 127), (43, 127), (57, 127), (64, 127), (64, 255))  # Message bits, code length.
_ERROR_RATES = (0.05, 0.1, 0.15, 0.2)
_CLAIMED = 1e-6
_BATCH = 50  # Messages decoded at a time.


def main(argv: list[str] | None = None) -> None:
    """The benchmark."""
    parser = startup.Parser("python benchmarks/unit_costs.py", __doc__)
    add = parser.add_argument
    add("what", choices=("pictures", "registry", "messages"), help="what is measured")
    add("--side", type=int, default=1024, help="of the pictures")
    add("--count", type=int, default=4, help="pictures")
    add("--rows", type=int, default=100_000, help="registered pictures")
    add("--tries", type=int, default=500, help="messages of each length and error rate")
    startup.run(_run, parser, argv)


def _run(arguments: argparse.Namespace) -> int:
    if arguments.what == "pictures":
        _pictures(arguments.side, arguments.count)
    elif arguments.what == "registry":
        with tempfile.TemporaryDirectory() as folder:
            _registry(os.path.join(folder, "platform.db"), arguments.rows)
    else:
        _messages(arguments.tries)
    return startup.OK


def _told(what: str, value: float, unit: str) -> None:
    print(f"| {what} | {value:,.4g} | {unit} |", flush=True)


def _seconds(work: Callable[[Any], Any], over: list[Any]) -> tuple[float, list[Any]]:
    """Processor time of each but the first, with which graphs are traced, and what came of all."""
    made = [work(over[0])]
    begun = time.process_time()
    made += [work(each) for each in over[1:]]
    return (time.process_time() - begun) / (len(over) - 1), made


def _pictures(side: int, count: int) -> None:
    client = TaggerClient(load(pretrained.TAGGER), _KEY)
    faces = [Image.fromarray(face_drawing.draw(face_drawing.sample_traits(0, it), 256)) for it in range(count + 1)]
    files = [_jpeg(face.resize((side, side), Image.Resampling.BICUBIC)) for face in faces]

    def tag(data: bytes) -> bytes:
        picture, out = picture_decoding.decode(data), io.BytesIO()
        made = client.photograph_tag(picture.rgb(), 12345)
        picture.add(made.overlay.strips())
        picture_encoding.encode(picture, out)
        client.check(picture_decoding.decode(out).rgb(), 12345, made)
        return out.getvalue()

    def read(data: bytes) -> int | None:
        return client.read_photograph(picture_decoding.decode(data).rgb()).uid

    tagging, tagged = _seconds(tag, files)
    reading, found = _seconds(read, tagged)
    searching, nothing = _seconds(read, files)
    if set(found) != {12345} or set(nothing) != {None}:
        raise RuntimeError(f"read {found} and {nothing}")
    hashing, _ = _seconds(_fingerprints, [np.asarray(face) for face in faces])
    print(f"| {side}×{side}, {count} pictures | | |\n| --- | ---: | --- |")
    _told("tag, write and read again", tagging, "core seconds")
    _told("read a tagged one", reading, "core seconds")
    _told("search an untagged one to the end", searching, "core seconds")
    _told("hashes and preview", hashing, "core seconds")
    _told("file before", float(np.mean([len(it) for it in files])) / 1e3, "kB")
    _told("file after", float(np.mean([len(it) for it in tagged])) / 1e3, "kB")
    _told("peak memory of the process", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3, "MB")


def _jpeg(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=90)
    return buffer.getvalue()


def _fingerprints(pixels: np.ndarray) -> tuple[str, str | None, bytes]:
    boxes = [(0.2, 0.2, 0.8, 0.8)]
    return (
        fingerprints.hash_whole(pixels),
        fingerprints.hash_outside(pixels, boxes),
        fingerprints.preview(pixels),
    )


def _registry(path: str, rows: int) -> None:
    engine = tables.open_database(f"sqlite:///{path}")
    Accounts(engine).add("ann")
    face = face_drawing.draw(face_drawing.sample_traits(0, 0), 256)
    preview = fingerprints.preview(np.asarray(Image.fromarray(face).resize((512, 512))))
    random = np.random.default_rng(0)
    hashes = [random.bytes(16).hex() for _ in range(rows)]
    with engine.begin() as connection:
        for start in range(0, rows, 5000):
            _fill(connection, hashes[start : start + 5000], start, preview)
    with engine.connect() as connection:
        size = int(
            np.prod([connection.execute(sa.text(f"PRAGMA {it}")).scalar_one() for it in ("page_count", "page_size")])
        )
    with orm.Session(engine) as session:
        by_uid, _ = _seconds(lambda uid: registry.by_uid(session, "00000000", uid), list(range(0, rows, rows // 100)))
        wanted = [random.bytes(16).hex() for _ in range(21)]
        by_look, found = _seconds(
            lambda each: registry.by_look(session, each[:16], each[16:], 4, registry.FAR_BITS), wanted
        )
    print(f"| {rows:,} registered pictures, SQLite | | |\n| --- | ---: | --- |")
    _told("a picture's row, bands and preview", size / rows / 1e3, "kB")
    _told("of it the preview", len(preview) / 1e3, "kB")
    _told("find a UID", by_uid * 1e3, "core ms")
    _told("find a look", by_look * 1e3, "core ms")
    _told("pictures found by a random look", float(np.mean([len(it) for it in found])), "")


def _fill(connection: sa.Connection, hashes: list[str], first: int, preview: bytes) -> None:
    common = {"key_fingerprint": "00000000", "account_id": 1, "created": 0, "boxes": [], "width": 1, "height": 1}
    pictures, bands = [], []
    for place, each in enumerate(hashes):
        name = str(uuid.uuid4())
        own = {"id": name, "uid": str(first + place), "hash_whole": each[:16], "hash_outside": each[16:]}
        pictures.append({**common, **own, "preview": preview})
        values = {value for kind in (0, 1) for value in registry._bands(kind, each[16 * kind : 16 * kind + 16])}
        bands += [{"picture_id": name, "value": value} for value in values]
    connection.execute(sa.insert(tables.Picture), pictures)
    connection.execute(sa.insert(tables.Band), bands)


def _messages(tries: int) -> None:
    print(
        "| message bits | code bits | read, claimed at "
        + " | ".join(f"{rate:.0%} wrong" for rate in _ERROR_RATES)
        + " |"
    )
    print("| ---: | ---: |" + " ---: |" * len(_ERROR_RATES))
    for bits, length in _CODES:
        matrix = payload.code_matrix(bits, length)
        cells = [_cell(_decoder(matrix), matrix, rate, tries) for rate in _ERROR_RATES]
        print(f"| {bits} | {matrix.shape[1]} | " + " | ".join(cells) + " |", flush=True)


def _decoder(matrix: np.ndarray) -> Callable[[tf.Tensor], Any]:
    return tf.function(lambda logits: channel_decoder.decode(logits, matrix))


def _cell(decode: Callable[[tf.Tensor], Any], matrix: np.ndarray, rate: float, tries: int) -> str:
    random = np.random.default_rng(1)
    right = claimed = 0
    for _ in range(tries // _BATCH):
        messages = random.integers(0, 2, [_BATCH, len(matrix)], dtype=np.uint8)
        signs = 2.0 * payload.encode_messages(messages, matrix) - 1.0
        logits = np.float32(signs + random.normal(0, -1 / special.ndtri(rate), signs.shape))
        found = decode(tf.constant(logits))
        same = (found.message.numpy() == messages).all(1)
        right += int(same.sum())
        claimed += int((same & (found.p_value.numpy() <= _CLAIMED)).sum())
    made = tries // _BATCH * _BATCH
    return f"{right / made:.2f}, {claimed / made:.2f}"


if __name__ == "__main__":
    main()
