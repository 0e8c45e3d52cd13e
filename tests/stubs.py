"""Taggers and simulators that do by a formula what the real ones are trained for, as SavedModels."""

import os

import numpy as np
import tensorflow as tf

from faketagger.components.contract import manifest, payload
from faketagger.components.tagger import channel_decoder

SIZE = 32
# Ten message bits, each three times: systematic, majority decoding.
CODE_MATRIX = np.tile(np.eye(10, dtype=np.uint8), 3)
MESSAGE_BITS, CODE_BITS = CODE_MATRIX.shape


def spec(*shape, dtype=tf.float32):
    """The signature of a batch."""
    return tf.TensorSpec([None, *shape], dtype)


class RowTagger(tf.Module):
    """Writes the codeword into the first pixels of the topmost row, black and white; as `mute`, an empty one."""

    def __init__(self, mute=False):
        self._gain = tf.constant(0.0 if mute else 1.0)

    @tf.function(input_signature=[spec(SIZE, SIZE, 3), spec(CODE_BITS), spec()])
    def encode(self, images, codeword, strength):
        bits = tf.repeat(self._gain * codeword[:, None, :, None], 3, 3)
        top = tf.concat([bits, images[:, :1, CODE_BITS:]], 2)
        return {"images": tf.concat([top, images[:, 1:]], 1)}

    @tf.function(input_signature=[spec(SIZE, SIZE, 3), spec(CODE_BITS)])
    def decode(self, images, key_mask):
        logits = images[:, 0, :CODE_BITS, 0] - 0.5
        bits = tf.math.logical_xor(logits > 0, key_mask > 0.5)
        votes = tf.reduce_sum(tf.cast(tf.reshape(bits, [-1, 3, MESSAGE_BITS]), tf.int32), 1)
        # Ten triples of fair bits are all unanimous in one of a million pictures.
        tagged = tf.reduce_all((votes == 0) | (votes == 3), 1)
        p_value = tf.where(tagged, 4.0**-MESSAGE_BITS, 1.0)
        message = tf.cast(votes >= 2, tf.int32)
        return {"message": message, "score": -p_value, "p_value": p_value, "tagged": tagged, "logits": logits}


PATTERN_MATRIX = np.concatenate([np.eye(8), np.random.default_rng(0).integers(0, 2, [8, 56])], 1).astype(np.uint8)


class PatternTagger(tf.Module):
    """Adds a fine pattern a bit, which survives smooth changes and is lost when it is moved by two pixels of 32."""

    def __init__(self):
        bits = PATTERN_MATRIX.shape[1]
        walsh = np.array([[1.0]])
        while len(walsh) < bits:
            walsh = np.block([[walsh, walsh], [walsh, -walsh]])
        checks = np.indices([16, 16]).sum(0) % 2 * 2 - 1
        planes = checks * np.kron(walsh.reshape(bits, 8, 8), np.ones([2, 2]))
        self._patterns = tf.constant(np.kron(planes, np.ones([2, 2])).reshape(bits, -1), tf.float32)

    @tf.function(input_signature=[spec(SIZE, SIZE, 3), spec(PATTERN_MATRIX.shape[1]), spec()])
    def encode(self, images, codeword, strength):
        flat = 0.006 * strength[:, None] * ((2.0 * codeword - 1.0) @ self._patterns)
        return {"images": tf.clip_by_value(images + tf.reshape(flat, [-1, SIZE, SIZE, 1]), 0.0, 1.0)}

    @tf.function(input_signature=[spec(SIZE, SIZE, 3), spec(PATTERN_MATRIX.shape[1])])
    def decode(self, images, key_mask):
        flat = tf.reshape(tf.reduce_mean(images, 3), [-1, SIZE * SIZE])
        logits = 800.0 * flat @ tf.transpose(self._patterns) / SIZE**2
        found = channel_decoder.decode(logits * (1.0 - 2.0 * key_mask), PATTERN_MATRIX)
        tagged = found.p_value <= 1e-6
        return {**found._asdict(), "tagged": tagged, "logits": logits}

    @tf.function(input_signature=[spec(dtype=tf.string)])
    def describe(self, request):
        return {"manifest": tf.fill(tf.shape(request), pattern_manifest().to_json())}


def pattern_manifest():
    """That of a PatternTagger."""
    return manifest.TaggerManifest(*PATTERN_MATRIX.shape, payload.code_matrix_to_hex(PATTERN_MATRIX), SIZE)


def save_pattern_tagger(directory):
    """Writes a PatternTagger and its manifest."""
    tagger = PatternTagger()
    named = {name: getattr(tagger, name) for name in ("encode", "decode", "describe")}
    tf.saved_model.save(tagger, directory, signatures=named)
    manifest.write(pattern_manifest(), directory)


def save_row_tagger(directory, mute=False):
    """Writes a RowTagger and its manifest."""
    tagger = RowTagger(mute)
    tf.saved_model.save(tagger, directory, signatures={"encode": tagger.encode, "decode": tagger.decode})
    rows = payload.code_matrix_to_hex(CODE_MATRIX)
    manifest.write(manifest.TaggerManifest(MESSAGE_BITS, CODE_BITS, rows, SIZE), directory)


class Mixer(tf.Module):
    """A simulator whose condition c returns kept[c] · picture + added[c]."""

    def __init__(self, kept, added):
        self._kept, self._added = tf.constant(kept), tf.constant(added)

    @tf.function
    def simulate(self, images, condition):
        kept, added = (tf.gather(each, condition)[:, None, None, None] for each in (self._kept, self._added))
        return {"images": images * kept + added}


def save_mixer(root, name, family, conditions, size=SIZE):
    """Writes a Mixer and its manifest as the simulator `name`; `conditions` says by name what is (kept, added)."""
    module, directory = Mixer(*map(list, zip(*conditions.values()))), os.path.join(root, name)
    takes = {"images": spec(size, size, 3), "condition": spec(dtype=tf.int32)}
    signature = module.simulate.get_concrete_function(**takes)
    tf.saved_model.save(module, directory, signatures={"simulate": signature})
    manifest.write(manifest.SimulatorManifest(name, family, tuple(conditions), size, "none", "none"), directory)
