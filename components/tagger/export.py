"""The tagger as one SavedModel (docs/design.md): tag, read, encode, decode, describe; manifest; warm-up requests."""

import io
import os
from typing import Any

import numpy as np
import tensorflow as tf
from PIL import Image
from tensorflow import keras

from faketagger.components.contract import files, manifest, payload, signatures
from faketagger.components.tagger import channel_decoder
from faketagger.components.tagger.config import TaggerConfig
from faketagger.components.tagger.training import limit_residual

_PNG_MAGIC = b"\x89PNG\r\n\x1a\n"
_JPEG_MAGIC = b"\xff\xd8\xff"
# Pictures are floats in a graph, 12 bytes a pixel, several times over.
_MOST_PIXELS = 100_000_000
_SHORTEST_HEADER = 24  # Of a PNG, up to and with its width and height.
_WARMUP_FILE = os.path.join("assets.extra", "tf_serving_warmup_requests")


def _checked_size(height: tf.Tensor, width: tf.Tensor) -> tf.Operation:
    pixels = tf.cast(height, tf.int64) * tf.cast(width, tf.int64)
    fits = tf.logical_and(pixels > 0, pixels <= _MOST_PIXELS)
    return tf.debugging.Assert(fits, ["picture too large or empty (height, width):", height, width])


def _decode_png(data: tf.Tensor) -> tf.Tensor:
    size = tf.io.decode_raw(tf.strings.substr(data, 16, 8), tf.int32, little_endian=False)
    with tf.control_dependencies([_checked_size(size[1], size[0])]):
        return tf.io.decode_png(data, channels=3)


def _decode_jpeg(data: tf.Tensor) -> tf.Tensor:
    shape = tf.io.extract_jpeg_shape(data)
    with tf.control_dependencies([_checked_size(shape[0], shape[1])]):
        return tf.io.decode_jpeg(data, channels=3, dct_method="INTEGER_ACCURATE")


def decode_picture(data: tf.Tensor) -> tf.Tensor:
    """JPEG or PNG bytes, a string scalar → float32 [H, W, 3] in [0, 1].

    Raises:
      tf.errors.InvalidArgumentError: neither JPEG nor PNG, broken, or over 100 megapixels; the size is read
        from the header, before anything is allocated.
    """
    is_png = tf.equal(tf.strings.substr(data, 0, len(_PNG_MAGIC)), _PNG_MAGIC)
    is_jpeg = tf.equal(tf.strings.substr(data, 0, len(_JPEG_MAGIC)), _JPEG_MAGIC)
    readable = tf.logical_and(tf.logical_or(is_png, is_jpeg), tf.strings.length(data) >= _SHORTEST_HEADER)
    with tf.control_dependencies([tf.debugging.Assert(readable, ["image is neither JPEG nor PNG"])]):
        pixels = tf.cond(is_png, lambda: _decode_png(data), lambda: _decode_jpeg(data))
    return tf.cast(pixels, tf.float32) / 255.0


class TaggerModule(tf.Module):
    """The signatures, over trained networks.

    Args:
      encoder, decoder: as networks.py builds them.
      code_matrix: uint8 [k, n], of the channel code.
      min_psnr: dB, the bound on each picture's residual at strength 1.
      described: the manifest.
    """

    def __init__(
        self,
        encoder: keras.Model,
        decoder: keras.Model,
        code_matrix: np.ndarray,
        min_psnr: float,
        described: manifest.TaggerManifest,
    ):
        super().__init__()
        self.encoder = encoder
        self.decoder = decoder
        self._code_matrix = code_matrix
        self._min_psnr = min_psnr
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
        residual = self._residual(images, codeword, strength)
        return {"images": tf.clip_by_value(images + residual, 0.0, 1.0)}

    def decode(self, images, key_mask):
        """float32 [B, S, S, 3] in [0, 1], key mask [B, n] → `message`, `score`, `p_value`, `tagged`, `logits`."""
        logits = self.decoder(images)
        found = channel_decoder.decode(logits * (1.0 - 2.0 * key_mask), self._code_matrix)
        return {
            "message": found.message,
            "score": found.score,
            "p_value": found.p_value,
            "tagged": found.p_value <= self._false_positive_rate,
            "logits": logits,
        }

    def tag(self, image, codeword, strength):
        """Picture files of any size [B], codeword [B, n], strength [B] → tagged pictures as PNG [B]."""

        def add(picture_and_residual):
            data, residual = picture_and_residual
            picture = decode_picture(data)
            enlarged = tf.image.resize(residual, tf.shape(picture)[:2], method="bicubic", antialias=True)
            tagged = tf.round(tf.clip_by_value(picture + enlarged, 0.0, 1.0) * 255.0)
            return tf.io.encode_png(tf.cast(tagged, tf.uint8))

        residuals = self._residual(self._at_network_size(image), codeword, strength)
        return {"image": tf.map_fn(add, (image, residuals), fn_output_signature=tf.string)}

    def read(self, image, key_mask):
        """Picture files of any size [B], key mask [B, n] → as `decode`."""
        return self.decode(self._at_network_size(image), key_mask)

    def describe(self, request):
        """Any strings [B] → the text of tagger.json [B], so that a remote client needs no file."""
        return {"manifest": tf.fill(tf.shape(request), self._manifest_text)}

    def _residual(self, pictures, codeword, strength):
        limited = limit_residual(self.encoder([pictures, codeword]), tf.constant(self._min_psnr))
        return limited * strength[:, None, None, None]

    def _at_network_size(self, encoded):
        def shrink(data):
            # Without antialiasing tags are lost silently.
            return tf.image.resize(decode_picture(data), [self._size, self._size], antialias=True)

        spec = tf.TensorSpec([self._size, self._size, 3], tf.float32)
        return tf.map_fn(shrink, encoded, fn_output_signature=spec)


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
    module = TaggerModule(encoder, decoder, code_matrix, config.min_psnr, described)
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
