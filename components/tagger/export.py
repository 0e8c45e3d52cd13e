"""The tagger as one SavedModel (docs/design.md): tag, read, encode, decode, describe; manifest; warm-up requests."""

import functools
import io
import os
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf
from PIL import Image
from tensorflow import keras

from faketagger.components.contract import files, manifest, payload, signatures
from faketagger.components.tagger import channel_decoder, looks
from faketagger.components.tagger.config import Masking, TaggerConfig
from faketagger.components.tagger.residual import bounded

_PNG_MAGIC = b"\x89PNG\r\n\x1a\n"
_JPEG_MAGIC = b"\xff\xd8\xff"
_SHORTEST_HEADER = 24  # Of a PNG, up to and with its width and height.
# Of a progressive JPEG each scan goes over all of the picture: twelve are usual, thousands fit into a small file.
_MAX_SCANS = 100
_MAX_SCANNED_PIXELS = 1_000_000_000  # Scans times pixels.
_DECODED_AT_ONCE = 2
_STRIP_PIXELS = 1_000_000  # What is computed of a large picture at a time, in floats.
_WARMUP_FILE = os.path.join("assets.extra", "tf_serving_warmup_requests")

# What may be wrong with one picture of a batch, or with what belongs to it.
NO_PICTURE = "image is neither JPEG nor PNG"
TOO_LARGE = "image is empty, or has more pixels than this model takes"
TOO_MANY_SCANS = "image is a JPEG of more scans than are decoded"
BROKEN = "image is broken: it cannot be decoded"
NO_STRENGTH = "strength is not a number from 0 to what this model takes"
NO_BITS = "codeword or key_mask is not of numbers from 0 to 1"


def _png_size(data: tf.Tensor) -> tf.Tensor:
    """Of its header, where that comes first as it must; else 0, as the decoder would look for it further on."""
    size = tf.io.decode_raw(tf.strings.substr(data, 16, 8), tf.int32, little_endian=False)
    return tf.where(tf.equal(tf.strings.substr(data, 12, 4), "IHDR"), tf.cast(size, tf.int64), 0)


def _jpeg_size(data: tf.Tensor) -> tf.Tensor:
    return tf.cast(tf.io.extract_jpeg_shape(data)[:2], tf.int64)


def _jpeg_scans(data: tf.Tensor) -> tf.Tensor:
    values = tf.io.decode_raw(data, tf.uint8)
    return tf.math.count_nonzero((values[:-1] == 0xFF) & (values[1:] == 0xDA))


def _wrong_with(data: tf.Tensor, is_png: tf.Tensor, max_pixels: int) -> tf.Tensor:
    """What is wrong with a JPEG or PNG by its header, before anything is allocated; "" is nothing."""
    size = tf.cond(is_png, lambda: _png_size(data), lambda: _jpeg_size(data))
    scans = tf.cond(is_png, lambda: tf.constant(1, tf.int64), lambda: _jpeg_scans(data))
    pixels = size[0] * size[1]
    fits = tf.reduce_all(size > 0) & (pixels <= max_pixels)
    few = (scans <= _MAX_SCANS) & (scans * pixels <= _MAX_SCANNED_PIXELS)
    return tf.where(fits, tf.where(few, "", TOO_MANY_SCANS), TOO_LARGE)


def _decode(data: tf.Tensor, is_png: tf.Tensor) -> tf.Tensor:
    return tf.cond(
        is_png,
        lambda: tf.io.decode_png(data, channels=3),
        lambda: tf.io.decode_jpeg(data, channels=3, dct_method="INTEGER_ACCURATE"),
    )


def with_picture(data: tf.Tensor, max_pixels: int, work: Callable[[tf.Tensor], tf.Tensor], nothing: tf.Tensor):
    """Decodes JPEG or PNG bytes, a string scalar, and does something with the picture.

    Args:
      data: the file.
      max_pixels: that it may have, by its header.
      work: is given uint8 [H, W, 3].
      nothing: stands for what `work` makes where there is no picture.

    Returns:
      What `work` makes, or `nothing`; and what is wrong with the picture, a string scalar, "" for nothing.

    Raises:
      tf.errors.OpError: the header is right, and the rest is broken.
    """
    is_png = tf.equal(tf.strings.substr(data, 0, len(_PNG_MAGIC)), _PNG_MAGIC)
    is_jpeg = tf.equal(tf.strings.substr(data, 0, len(_JPEG_MAGIC)), _JPEG_MAGIC)
    known = (is_png | is_jpeg) & (tf.strings.length(data) >= _SHORTEST_HEADER)
    wrong = tf.cond(known, lambda: _wrong_with(data, is_png, max_pixels), lambda: tf.constant(NO_PICTURE))
    made = tf.cond(tf.equal(wrong, ""), lambda: work(_decode(data, is_png)), lambda: nothing)
    return made, wrong


def each_told(
    columns: tuple[tf.Tensor, ...], work: Callable[..., tuple[tf.Tensor, tf.Tensor]], nothing: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Maps rows, each of which may fail without failing the others.

    A graph cannot catch what an operation raises, but a dataset can leave out the rows where one does.

    Args:
      columns: of one length [B].
      work: takes a row and returns a value and what is wrong with the row, or raises.
      nothing: the value of rows where it raises.

    Returns:
      The values [B, …] and what is wrong with each, strings [B], "" for nothing.
    """
    count = tf.shape(columns[0])[0]
    rows = tf.data.Dataset.from_tensor_slices((tf.range(count), columns))
    made = rows.map(lambda index, row: (index, *work(*row)), num_parallel_calls=_DECODED_AT_ONCE, deterministic=True)
    last = tf.data.Dataset.from_tensors((count, nothing, BROKEN))
    together = made.ignore_errors().concatenate(last).batch(tf.cast(count, tf.int64) + 1)
    indices, values, wrong = together.get_single_element()
    end = tf.size(indices) - 1
    places = tf.tensor_scatter_nd_update(tf.fill([count + 1], end), indices[:, None], tf.range(end + 1))[:count]
    return tf.gather(values, places), tf.gather(wrong, places)


def add_residual(picture: tf.Tensor, residual: tf.Tensor) -> tf.Tensor:
    """uint8 [H, W, 3] and float32 [S, S, 3] → uint8 [H, W, 3], in strips: as floats a large picture takes gigabytes.

    The residual is enlarged as tf.image.resize does it, bicubic with antialiasing.
    """
    height, width = tf.shape(picture)[0], tf.shape(picture)[1]
    scale = tf.cast(tf.stack([height, width]), tf.float32) / tf.cast(tf.shape(residual)[:2], tf.float32)
    rows = tf.maximum(1, _STRIP_PIXELS // width)

    def add(top: tf.Tensor, strips: tf.TensorArray) -> tuple[tf.Tensor, tf.TensorArray]:
        strip = picture[top : top + rows]
        enlarged = tf.raw_ops.ScaleAndTranslate(
            images=residual[None],
            size=tf.shape(strip)[:2],
            scale=scale,
            translation=tf.stack([-tf.cast(top, tf.float32), 0.0]),
            kernel_type="keyscubic",
            antialias=True,
        )[0]
        tagged = tf.round(tf.clip_by_value(tf.cast(strip, tf.float32) / 255.0 + enlarged, 0.0, 1.0) * 255.0)
        return top + rows, strips.write(top // rows, tf.reshape(tf.cast(tagged, tf.uint8), [-1]))

    count = (height + rows - 1) // rows
    strips = tf.TensorArray(tf.uint8, count, element_shape=[None], infer_shape=False)
    # One after the other: several at once would take the memory that strips save.
    _, strips = tf.while_loop(lambda top, _: top < height, add, [0, strips], parallel_iterations=1)
    return tf.reshape(strips.concat(), tf.shape(picture))


class TaggerModule(tf.Module):
    """The signatures, over trained networks.

    Args:
      encoder, decoder: as networks.py builds them.
      code_matrix: uint8 [k, n], of the channel code.
      min_psnr: dB, the bound on each picture's residual at strength 1.
      masking: of the residual by what the eye misses.
      described: the manifest.
      max_pixels: that a picture may have.
      max_strength: the largest factor of the residual.
    """

    def __init__(
        self,
        encoder: keras.Model,
        decoder: keras.Model,
        code_matrix: np.ndarray,
        min_psnr: float,
        masking: Masking | None,
        described: manifest.TaggerManifest,
        max_pixels: int,
        max_strength: float,
    ):
        super().__init__()
        self.encoder = encoder
        self.decoder = decoder
        self._code_matrix = code_matrix
        self._min_psnr = min_psnr
        self._max_pixels = max_pixels
        self._max_strength = max_strength
        self._masking = masking
        # For trainings that go on from it; a constant would not be saved.
        self.masked = tf.Variable(masking is not None, trainable=False)
        self._size = described.image_size
        self._false_positive_rate = described.false_positive_rate
        self._manifest_text = described.to_json()

    def signatures(self) -> dict[str, Any]:
        """The tf.functions by signature name, with their input signatures."""
        bits = self._code_matrix.shape[1]
        pictures = tf.TensorSpec([None], tf.string, "image")
        tensors = tf.TensorSpec([None, self._size, self._size, 3], tf.float32, "images")
        codeword = tf.TensorSpec([None, bits], tf.float32, "codeword")
        key_mask = tf.TensorSpec([None, bits], tf.float32, "key_mask")
        strength = tf.TensorSpec([None], tf.float32, "strength")
        request = tf.TensorSpec([None], tf.string, "request")
        return {
            signatures.TAG: tf.function(self.tag, [pictures, codeword, strength]),
            signatures.READ: tf.function(self.read, [pictures, key_mask]),
            signatures.ENCODE: tf.function(self.encode, [tensors, codeword, strength]),
            signatures.DECODE: tf.function(self.decode, [tensors, key_mask]),
            signatures.DESCRIBE: tf.function(self.describe, [request]),
        }

    def encode(self, images, codeword, strength):
        """float32 [B, S, S, 3] in [0, 1], codeword [B, n], strength [B] → tagged `images`, same shape and range."""
        right = tf.reduce_all(tf.equal(self._wrong_with_strength(strength), ""))
        said = f"strength is not a number from 0 to {self._max_strength:g}"
        with tf.control_dependencies([tf.debugging.Assert(right, [said, strength])]):
            residual = self._residual(images, codeword, strength)
        return {"images": tf.clip_by_value(images + residual, 0.0, 1.0)}

    def decode(self, images, key_mask):
        """Reads pictures and their mirror images, and takes of both what is less likely in an untagged picture.

        Args:
          images: float32 [B, S, S, 3] in [0, 1].
          key_mask: float32 [B, n].

        Returns:
          `message`, `score`, `p_value` (for having looked twice already doubled), `tagged`; `logits`, those of the
          pictures as they lie.
        """
        count = tf.shape(images)[0]
        # Two calls: who wants the logits alone, as every search does, has the mirror images' pruned.
        logits, of_mirror_images = self.decoder(images), self.decoder(tf.reverse(images, [2]))
        signs = 1.0 - 2.0 * key_mask
        both = tf.concat([logits * signs, of_mirror_images * signs], 0)
        found = channel_decoder.decode(both, self._code_matrix)
        mirrored = tf.cast(found.p_value[count:] < found.p_value[:count], tf.int32)
        chosen = tf.range(count) + count * mirrored
        p_value = _share_halved(tf.gather(found.p_value, chosen))
        return {
            "message": tf.gather(found.message, chosen),
            "score": tf.gather(found.score, chosen),
            "p_value": p_value,
            "tagged": p_value <= self._false_positive_rate,
            "logits": logits,
        }

    def tag(self, image, codeword, strength):
        """Picture files of any size [B], codeword [B, n], strength [B] → `image`, as PNG [B]; `status` [B].

        Where `status` says what is wrong with a picture or its strength or codeword, `image` is empty.
        """
        with tf.control_dependencies(_checked_batch(image, codeword, strength)):
            small, _ = self._at_network_size(image)
        first = _first(self._wrong_with_strength(strength), _wrong_with_bits(codeword))
        right = tf.equal(first, "")
        # What is wrong with one row stays out of the networks.
        strength = tf.where(right, strength, 0.0)
        codeword = tf.where(right[:, None], codeword, 0.0)

        def add(data, residual, first):
            def work(picture):
                return tf.io.encode_png(add_residual(picture, residual), compression=1)  # A fifth of the time.

            nothing = tf.constant("")
            if_right = functools.partial(with_picture, data, self._max_pixels, work, nothing)
            return tf.cond(tf.equal(first, ""), if_right, lambda: (nothing, first))

        tagged, status = each_told((image, self._residual(small, codeword, strength), first), add, tf.constant(""))
        return {"image": tagged, "status": status}

    def read(self, image, key_mask):
        """Picture files of any size [B], key mask [B, n] → as `decode`, and `status` [B].

        Pictures that are not read as tagged as they lie are also looked at through looks.WINDOWS, which takes ten
        times as long. Both have a half of the error probability. `logits` stay those of the pictures as they lie.

        Where `status` says what is wrong, the picture is not tagged, its p-value is 1 and all else is 0.
        """
        with tf.control_dependencies(_checked_batch(image, key_mask)):
            small, status = self._at_network_size(image)
        status = _first(_wrong_with_bits(key_mask), status)
        right = tf.equal(status, "")
        found = self._search(small, tf.where(right[:, None], key_mask, 0.0), right)
        nothing = {name: tf.zeros_like(value) for name, value in found.items()}
        nothing["p_value"] = tf.ones_like(found["p_value"])
        masked = {
            name: tf.where(tf.reshape(right, [-1] + [1] * (value.shape.rank - 1)), value, nothing[name])
            for name, value in found.items()
        }
        return {**masked, "status": status}

    def describe(self, request):
        """Any strings [B] → the text of tagger.json [B], so that a remote client needs no file."""
        return {"manifest": tf.fill(tf.shape(request), self._manifest_text)}

    def _search(self, images, key_mask, right):
        """As `decode`, and through looks.WINDOWS, of pictures float32 [B, S, S, 3] where `right` [B] says to."""
        found = self.decode(images, key_mask)
        first = _share_halved(found["p_value"])
        rows = tf.where(right & (first > self._false_positive_rate))[:, 0]
        unread = channel_decoder.Decoded(*(tf.gather(each, rows) for each in (found["message"], found["score"], first)))

        def further():
            seen = self._through_windows(tf.gather(images, rows), 1.0 - 2.0 * tf.gather(key_mask, rows))
            better = seen.p_value < unread.p_value
            of_row = [tf.reshape(better, [-1] + [1] * (each.shape.rank - 1)) for each in seen]
            return channel_decoder.Decoded(*(tf.where(*each) for each in zip(of_row, seen, unread)))

        read = tf.cond(tf.size(rows) > 0, further, lambda: unread)
        for name, before, value in (
            ("message", found["message"], read.message),
            ("score", found["score"], read.score),
            ("p_value", first, read.p_value),
        ):
            found[name] = tf.tensor_scatter_nd_update(before, rows[:, None], value)
        return {**found, "tagged": found["p_value"] <= self._false_positive_rate}

    def _through_windows(self, images, signs):
        """The likeliest message that any of looks.WINDOWS shows, its p-value for all of them."""

        def look(window):
            return channel_decoder.decode(self.decoder(looks.through(window, images)) * signs, self._code_matrix)

        # One after the other: a picture's candidates take megabytes.
        kinds = channel_decoder.Decoded(tf.int32, tf.float32, tf.float32)
        seen = tf.map_fn(look, looks.WINDOWS, fn_output_signature=kinds, parallel_iterations=1)
        best = tf.argmin(seen.p_value, 0, tf.int32)
        places = tf.stack([best, tf.range(tf.size(best))], 1)
        message, score, p_value = (tf.gather_nd(each, places) for each in seen)
        message = tf.ensure_shape(message, [None, self._code_matrix.shape[0]])
        return channel_decoder.Decoded(message, score, _share_halved(len(looks.WINDOWS) * p_value))

    def _residual(self, pictures, codeword, strength):
        limited = bounded(pictures, self.encoder([pictures, codeword]), tf.constant(self._min_psnr), self._masking)
        return limited * strength[:, None, None, None]

    def _wrong_with_strength(self, strength):
        # Written so that NaN is wrong too.
        return tf.where((strength >= 0.0) & (strength <= self._max_strength), "", NO_STRENGTH)

    def _at_network_size(self, encoded):
        """float32 [B, S, S, 3], and what is wrong with each; grey where there is no picture."""
        nothing = tf.fill([self._size, self._size, 3], 0.5)

        def shrink(picture):
            # Without antialiasing tags are lost silently. Whole pictures never become floats.
            return tf.image.resize(picture, [self._size, self._size], antialias=True) / 255.0

        return each_told((encoded,), lambda data: with_picture(data, self._max_pixels, shrink, nothing), nothing)


def _share_halved(p_value: tf.Tensor) -> tf.Tensor:
    return tf.minimum(1.0, 2.0 * p_value)


def _checked_batch(image: tf.Tensor, *others: tf.Tensor) -> list[tf.Operation]:
    count = tf.shape(image)[0]
    same = tf.reduce_all(tf.stack([tf.equal(tf.shape(other)[0], count) for other in others]))
    return [
        tf.debugging.Assert(same, ["the inputs' batches differ: ", count, *(tf.shape(other)[0] for other in others)]),
        tf.debugging.Assert(
            (count > 0) & (count <= signatures.MAX_FILES),
            [f"a call takes 1 to {signatures.MAX_FILES} pictures, got", count],
        ),
    ]


def _wrong_with_bits(bits: tf.Tensor) -> tf.Tensor:
    return tf.where(tf.reduce_all((bits >= 0.0) & (bits <= 1.0), 1), "", NO_BITS)


def _first(one: tf.Tensor, other: tf.Tensor) -> tf.Tensor:
    return tf.where(tf.equal(one, ""), other, one)


def save(
    encoder: keras.Model, decoder: keras.Model, config: TaggerConfig, training: manifest.TaggerRecord, directory: str
) -> None:
    """Writes the SavedModel, tagger.json and the warm-up requests to `directory`, in one step.

    Args:
      encoder, decoder: trained.
      config: what they were trained with.
      training: how it went, for the manifest.
      directory: where it goes; replaced if it is there.
    """
    code_matrix = payload.code_matrix(config.message_bits, config.code_length)
    described = manifest.TaggerManifest(
        message_bits=config.message_bits,
        code_bits=code_matrix.shape[1],
        code_matrix=payload.code_matrix_to_hex(code_matrix),
        image_size=config.image_size,
        training=training,
    )
    module = TaggerModule(
        encoder,
        decoder,
        code_matrix,
        config.min_psnr,
        config.masking,
        described,
        config.max_pixels,
        config.max_strength,
    )
    temporary = f"{directory.rstrip('/')}.part"
    files.remove_directory(temporary)
    tf.saved_model.save(module, temporary, signatures=module.signatures())
    manifest.write(described, temporary)
    _write_warmup(os.path.join(temporary, _WARMUP_FILE), described.code_bits)
    files.replace_directory(temporary, directory)


def _write_warmup(path: str, code_bits: int) -> None:
    """One request for each signature that users call, as TF Serving replays them before a version becomes available."""
    from tensorflow_serving.apis import predict_pb2, prediction_log_pb2

    picture = io.BytesIO()
    Image.new("RGB", (64, 64), "grey").save(picture, "PNG")
    bits = np.zeros([1, code_bits], np.float32)
    requests = {
        signatures.TAG: {"image": [picture.getvalue()], "codeword": bits, "strength": np.ones([1], np.float32)},
        signatures.READ: {"image": [picture.getvalue()], "key_mask": bits},
        signatures.DESCRIBE: {"request": [b""]},
    }
    tf.io.gfile.makedirs(os.path.dirname(path))
    with tf.io.TFRecordWriter(path) as writer:
        for name, inputs in requests.items():
            request = predict_pb2.PredictRequest()
            request.model_spec.signature_name = name
            for key, value in inputs.items():
                request.inputs[key].CopyFrom(tf.make_tensor_proto(value))
            log = prediction_log_pb2.PredictionLog(predict_log=prediction_log_pb2.PredictLog(request=request))
            writer.write(log.SerializeToString())
