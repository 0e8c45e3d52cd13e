"""What a training begins with that goes on from a tagger of half the side."""

import numpy as np
import pytest
import tensorflow as tf

from faketagger.components.contract import manifest
from faketagger.components.tagger import export, networks, residual, start
from faketagger.components.tagger.config import Masking, TaggerConfig
from faketagger.tests import stubs

pytestmark = pytest.mark.slow

_BITS = 15
_OLD = TaggerConfig(image_size=32, message_bits=7, code_length=15, encoder_width=8, decoder_width=8)
_NEW = _OLD.replace(image_size=64, space_to_depth=2)
_RECORD = manifest.TaggerRecord(steps=1, level="early", simulators=(), black_box=(), last={})


@pytest.fixture(scope="module")
def old(tmp_path_factory):
    """Encoder, decoder and directory of an exported tagger of 32 pixels."""
    tf.keras.utils.set_random_seed(3)
    encoder, decoder = networks.build_encoder(32, _BITS, "early", 8), networks.build_decoder(32, _BITS, 8)
    directory = str(tmp_path_factory.mktemp("old") / "tagger")
    export.save(encoder, decoder, _OLD, _RECORD, directory)
    return encoder, decoder, directory


def _new(config: TaggerConfig, directory: str) -> tuple[tf.keras.Model, tf.keras.Model]:
    encoder, decoder = networks.build_encoder(64, _BITS, "early", 8, 2), networks.build_decoder(64, _BITS, 8, 2)
    start.load_networks(encoder, decoder, config, directory)
    return encoder, decoder


def _pictures() -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Small ones, the same with each pixel a block of four, and codewords."""
    small = tf.random.stateless_uniform([3, 32, 32, 3], [1, 2])
    bits = tf.cast(tf.random.stateless_uniform([3, _BITS], [3, 4]) > 0.5, tf.float32)
    return small, tf.repeat(tf.repeat(small, 2, 1), 2, 2), bits


def test_networks_of_twice_the_side_begin_by_doing_what_the_old_ones_did(old):
    old_encoder, old_decoder, directory = old
    encoder, decoder = _new(_NEW, directory)
    small, large, bits = _pictures()
    expected = np.repeat(np.repeat(old_encoder([small, bits]), 2, 1), 2, 2)
    np.testing.assert_allclose(encoder([large, bits]), expected, atol=1e-4 * np.abs(expected).max())
    logits = old_decoder(small).numpy()
    np.testing.assert_allclose(decoder(large), logits, atol=1e-3 * np.abs(logits).max())


def test_a_masked_residual_begins_with_the_free_ones_signs(old):
    old_encoder, _, directory = old
    config = _NEW.replace(masking=Masking(chroma=1.0))
    encoder, _ = _new(config, directory)
    small, large, bits = _pictures()
    free = np.repeat(np.repeat(old_encoder([small, bits]), 2, 1), 2, 2)
    masked = residual.bounded(large, encoder([large, bits]), tf.constant(30.0), config.masking).numpy()
    clear = np.abs(free) > np.percentile(np.abs(free), 50)
    assert np.mean(np.sign(masked)[clear] == np.sign(free)[clear]) > 0.95


def test_a_masked_tagger_is_gone_on_from_as_it_is(tmp_path):
    config = _NEW.replace(masking=Masking())
    tf.keras.utils.set_random_seed(5)
    old = networks.build_encoder(64, _BITS, "early", 8, 2), networks.build_decoder(64, _BITS, 8, 2)
    directory = str(tmp_path / "tagger")
    export.save(*old, config, _RECORD, directory)
    new = _new(config, directory)
    for before, after in zip([*old[0].variables, *old[1].variables], [*new[0].variables, *new[1].variables]):
        np.testing.assert_array_equal(after, before)
    # Its last layer is another's where it was not masked: as many values, of other meaning.
    export.save(*old, _NEW, _RECORD, directory)
    assert not np.array_equal(_new(config, directory)[0].variables[-2], old[0].variables[-2])


def test_a_masked_tagger_is_not_gone_on_from_without_masking(tmp_path):
    old = networks.build_encoder(64, _BITS, "early", 8, 2), networks.build_decoder(64, _BITS, 8, 2)
    export.save(*old, _NEW.replace(masking=Masking()), _RECORD, str(tmp_path / "tagger"))
    with pytest.raises(ValueError, match="start_from: .*/tagger: expected a tagger without masking, found one with it"):
        _new(_NEW, str(tmp_path / "tagger"))


def test_a_decoder_of_twice_the_width_begins_by_reading_nearly_what_the_old_one_did(old):
    _, old_decoder, directory = old
    config = _NEW.replace(decoder_width=16)
    encoder, decoder = networks.build_encoder(64, _BITS, "early", 8, 2), networks.build_decoder(64, _BITS, 16, 2)
    start.load_networks(encoder, decoder, config, directory)
    small, large, _ = _pictures()
    logits = old_decoder(small).numpy()
    assert np.corrcoef(decoder(large).numpy().ravel(), logits.ravel())[0, 1] > 0.95
    kernel = decoder.variables[0].numpy()
    assert not np.array_equal(kernel[..., 0], kernel[..., 1])


def test_other_widths_are_refused(old):
    encoder, decoder = networks.build_encoder(64, _BITS, "early", 16, 2), networks.build_decoder(64, _BITS, 8, 2)
    with pytest.raises(ValueError, match="its networks are of other sizes"):
        start.load_networks(encoder, decoder, _NEW.replace(encoder_width=16), old[2])


def test_a_tagger_that_was_trained_through_what_is_to_be_black_box_is_no_start(tmp_path):
    described = stubs.pattern_manifest().replace(training=manifest.TaggerRecord(1, "early", simulators=("stgan",)))
    manifest.write(described, str(tmp_path))
    with pytest.raises(ValueError, match="was trained through stgan: take that out of black_box"):
        start.record_before(TaggerConfig(start_from=str(tmp_path), black_box=("stargan", "stgan")))
