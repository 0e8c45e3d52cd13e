"""The tf.Example in which a photograph travels from example_gen to every other step (docs/design.md)."""

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

IMAGE = "image/encoded"
IMAGE_ID = "image/id"
SOURCE = "image/source"
ATTRIBUTES = "face/attributes"
HEIGHT = "image/height"
WIDTH = "image/width"
LANDMARKS = "face/landmarks"

TRAIN_SPLIT = "train"
EVAL_SPLIT = "eval"

# The attribute list of CelebA (Liu et al. 2015), in its order: every source maps its labels onto it.
ATTRIBUTE_NAMES = (
    "5_o_Clock_Shadow", "Arched_Eyebrows", "Attractive", "Bags_Under_Eyes", "Bald", "Bangs", "Big_Lips", "Big_Nose",
    "Black_Hair", "Blond_Hair", "Blurry", "Brown_Hair", "Bushy_Eyebrows", "Chubby", "Double_Chin", "Eyeglasses",
    "Goatee", "Gray_Hair", "Heavy_Makeup", "High_Cheekbones", "Male", "Mouth_Slightly_Open", "Mustache", "Narrow_Eyes",
    "No_Beard", "Oval_Face", "Pale_Skin", "Pointy_Nose", "Receding_Hairline", "Rosy_Cheeks", "Sideburns", "Smiling",
    "Straight_Hair", "Wavy_Hair", "Wearing_Earrings", "Wearing_Hat", "Wearing_Lipstick", "Wearing_Necklace",
    "Wearing_Necktie", "Young",
)  # fmt: skip
UNKNOWN = -1

# Of a face, in the order of LANDMARKS; left and right are the picture's.
LANDMARK_NAMES = ("eye_left", "eye_right", "nose", "mouth_left", "mouth_right")


def attributes_from(labels: dict[str, int]) -> list[int]:
    """Labels by name (0 or 1) as the full list in ATTRIBUTE_NAMES' order, −1 where a label is not given.

    Raises:
      ValueError: a name that CelebA does not have, or a value other than −1, 0, 1.
    """
    unknown_names = sorted(set(labels) - set(ATTRIBUTE_NAMES))
    if unknown_names:
        raise ValueError(f"not attributes of CelebA: {', '.join(unknown_names)}")
    if any(value not in (-1, 0, 1) for value in labels.values()):
        raise ValueError(f"attribute values must be −1, 0 or 1, got {labels}")
    return [int(labels.get(name, UNKNOWN)) for name in ATTRIBUTE_NAMES]


def make_example(
    png: bytes,
    image_id: str,
    source: str,
    attributes: Sequence[int],
    height: int,
    width: int,
    landmarks: np.ndarray | None = None,
) -> tf.train.Example:
    """One photograph (lossless PNG) as tf.Example.

    Args:
      png: the picture.
      image_id: unique within its source.
      source: the data set.
      attributes: in ATTRIBUTE_NAMES' order.
      height: of the picture.
      width: of the picture.
      landmarks: (x, y) of LANDMARK_NAMES as shares of width and height, [5, 2]; None where no face was found.
    """
    if len(attributes) != len(ATTRIBUTE_NAMES):
        raise ValueError(f"{image_id}: expected {len(ATTRIBUTE_NAMES)} attributes, got {len(attributes)}")

    def bytes_feature(value: bytes) -> tf.train.Feature:
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))

    def int_feature(values: Sequence[int]) -> tf.train.Feature:
        return tf.train.Feature(int64_list=tf.train.Int64List(value=values))

    features = {
        IMAGE: bytes_feature(png),
        IMAGE_ID: bytes_feature(image_id.encode()),
        SOURCE: bytes_feature(source.encode()),
        ATTRIBUTES: int_feature(attributes),
        HEIGHT: int_feature([height]),
        WIDTH: int_feature([width]),
    }
    if landmarks is not None:
        values = tf.train.FloatList(value=np.reshape(landmarks, [2 * len(LANDMARK_NAMES)]))
        features[LANDMARKS] = tf.train.Feature(float_list=values)
    return tf.train.Example(features=tf.train.Features(feature=features))


def parse_example(serialized: tf.Tensor, image_size: int) -> dict[str, tf.Tensor]:
    """A serialized Example as {IMAGE: float32 [image_size, image_size, 3] in [0, 1], IMAGE_ID, ATTRIBUTES: int64 [40],
    LANDMARKS: float32 [5, 2], NaN where no face was found}.

    A stored picture of another side is resized, with antialiasing, and rounded to 8 bits.

    Raises:
      tf.errors.InvalidArgumentError: the stored picture is no PNG, or no square.
    """
    places = [len(LANDMARK_NAMES), 2]
    parsed = tf.io.parse_single_example(
        serialized,
        {
            IMAGE: tf.io.FixedLenFeature([], tf.string),
            IMAGE_ID: tf.io.FixedLenFeature([], tf.string),
            ATTRIBUTES: tf.io.FixedLenFeature([len(ATTRIBUTE_NAMES)], tf.int64),
            LANDMARKS: tf.io.FixedLenFeature(places, tf.float32, np.full(places, np.nan, np.float32)),
        },
    )
    pixels = tf.io.decode_png(parsed[IMAGE], channels=3)
    tf.debugging.assert_equal(tf.shape(pixels)[0], tf.shape(pixels)[1], "the picture is no square")
    pixels = tf.image.resize(tf.cast(pixels, tf.float32), [image_size, image_size], antialias=True)
    pixels = tf.clip_by_value(tf.round(pixels), 0.0, 255.0)
    return {**parsed, IMAGE: tf.ensure_shape(pixels / 255.0, [image_size, image_size, 3])}


def example_files(examples_uri: str, split: str) -> list[str]:
    """The gzip TFRecord files of one split of an Examples artifact; ValueError when there are none."""
    directory = f"{examples_uri}/Split-{split}"
    names = tf.io.gfile.listdir(directory) if tf.io.gfile.isdir(directory) else []
    files = sorted(f"{directory}/{name}" for name in names)
    if not files:
        raise ValueError(f"{examples_uri}: no Examples in its split '{split}'")
    return files


def read_dataset(examples_uri: str, split: str, image_size: int, limit: int | None = None) -> tf.data.Dataset:
    """The parsed Examples of one split, in file order, as a tf.data.Dataset of parse_example's dicts."""
    records = tf.data.TFRecordDataset(example_files(examples_uri, split), compression_type="GZIP")
    if limit is not None:
        records = records.take(limit)
    return records.map(lambda record: parse_example(record, image_size), num_parallel_calls=tf.data.AUTOTUNE)
