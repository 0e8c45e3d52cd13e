"""What tests of several rooms make: Examples, faces with labels, files of pictures."""

import io
import os
import pathlib
import struct
import zlib

import numpy as np
import tensorflow as tf
from PIL import Image

from faketagger.components.contract import features, images

ROOT = pathlib.Path(__file__).resolve().parents[1]


def record(pixels, image_id="face-1", **labels):
    """A serialized tf.Example of a picture, uint8 [H, W, 3]; attributes without a label are unknown."""
    attributes = features.attributes_from(labels)
    example = features.make_example(images.encode_png(pixels), image_id, "drawn", attributes, *pixels.shape[:2])
    return example.SerializeToString()


def records_path(directory, split):
    """The file of a split that `write_records` wrote."""
    return os.path.join(directory, f"Split-{split}", "data_tfrecord-00000-of-00001.gz")


def write_records(directory, split, records):
    """Writes a split of an Examples artifact and returns its file's path."""
    path = records_path(directory, split)
    os.makedirs(os.path.dirname(path))
    with tf.io.TFRecordWriter(path, "GZIP") as writer:
        for each in records:
            writer.write(each)
    return path


def smooth_pictures(random, count, size, coarse=4):
    """Soft spots of colour, each picture in its own: float32 [count, size, size, 3] in [0, 1]."""
    spots = random.uniform(0.1, 0.9, [count, coarse, coarse, 3])
    return np.float32(np.clip(tf.image.resize(spots, [size, size], method="bicubic"), 0.0, 1.0))


def file_of(picture, format="PNG", **options):
    """The bytes of a picture's file; `picture` is uint8 [H, W, 3] or one of Pillow's."""
    buffer = io.BytesIO()
    picture = picture if isinstance(picture, Image.Image) else Image.fromarray(picture)
    picture.save(buffer, format, **options)
    return buffer.getvalue()


def smooth_file(format="PNG", size=(96, 96), mode="RGB", **options):
    """The bytes of a file of soft spots of colour, the same for each call."""
    width, height = size
    pixels = np.uint8(smooth_pictures(np.random.default_rng(7), 1, max(size))[0][:height, :width] * 255)
    return file_of(Image.fromarray(pixels).convert(mode), format, **options)


def png_claiming(width, height):
    """A PNG of some dozens of bytes whose header claims a size."""
    header = _chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + _chunk(b"IDAT", zlib.compress(b"\0" * 100)) + _chunk(b"IEND", b"")


def _chunk(kind, content):
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def psnr(one, other):
    """In dB, of pictures in [0, 1]."""
    return -10 * np.log10(np.mean((np.asarray(one) - np.asarray(other)) ** 2))


def write_key(path, label="first"):
    """A key that is always the same: with one in twenty random ones an untagged picture reads as "perhaps" tagged."""
    with open(path, "wb") as file:
        file.write(f"faketagger-key-2-of these tests, the {label}\n".encode())
