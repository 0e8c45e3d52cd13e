"""The exported tagger on picture files as people have them, through the SavedModel and nothing else.

Its networks are not trained but written down: each bit is a cosine of middle frequency, which smooth pictures lack.
"""

import json
import os
import struct
import zlib

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from tensorflow import keras
from tensorflow_serving.apis import predict_pb2, prediction_log_pb2

from faketagger.components.contract import images, manifest, payload
from faketagger.components.tagger import export
from faketagger.components.tagger.config import TaggerConfig
from faketagger.serving.servable import Servable
from faketagger.tests import helpers

pytestmark = pytest.mark.slow

SIZE = 32
CONFIG = TaggerConfig(image_size=SIZE, message_bits=6, code_length=31, min_psnr=32.0)
BITS = 31
KEY, OTHER_KEY = b"the key of these tests", b"another key altogether"
TRAINING = manifest.TaggerRecord(steps=1, level="early", simulators=("swap",), last={"psnr": 30.5})


def _patterns():
    """One orthonormal two-dimensional cosine a bit, in all channels alike, float32 [n, S·S·3]."""
    place = (np.arange(SIZE) + 0.5) * np.pi / SIZE
    frequencies = [(row, column) for row in range(4, 10) for column in range(4, 10)][:BITS]
    waves = [np.outer(np.cos(row * place), np.cos(column * place)) for row, column in frequencies]
    flat = np.stack([np.repeat(wave[:, :, None], 3, -1).ravel() for wave in waves])
    return np.float32(flat / np.linalg.norm(flat, axis=1, keepdims=True))


def _networks():
    pictures = keras.Input([SIZE, SIZE, 3], name="images")
    codeword = keras.Input([BITS], name="codeword")
    signs = keras.layers.Rescaling(2.0, -1.0)(codeword)
    waves = keras.layers.Dense(SIZE * SIZE * 3, use_bias=False, name="waves")(signs)
    encoder = keras.Model([pictures, codeword], keras.layers.Reshape([SIZE, SIZE, 3])(waves))
    encoder.get_layer("waves").set_weights([_patterns()])
    logits = keras.layers.Dense(BITS, use_bias=False, name="correlation")(keras.layers.Flatten()(pictures))
    decoder = keras.Model(pictures, logits)
    decoder.get_layer("correlation").set_weights([60.0 * _patterns().T])
    return encoder, decoder


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    path = str(tmp_path_factory.mktemp("exported") / "tagger")
    export.save(*_networks(), CONFIG, TRAINING, path)
    return path


@pytest.fixture(scope="module")
def tagger(directory):
    return tf.saved_model.load(directory)


CODE_MATRIX = payload.code_matrix(CONFIG.message_bits, CONFIG.code_length)


def _coder(key=KEY):
    return payload.Payload(CODE_MATRIX, payload.key_mask(key, BITS))


def _scene(height, width):
    rows, columns = np.mgrid[0 : 1 : height * 1j, 0 : 1 : width * 1j]
    channels = [0.3 + 0.4 * rows, 0.6 - 0.2 * columns, 0.4 + 0.2 * rows * columns]
    return images.to_uint8(np.stack(channels, -1))


def _call_tag(tagger, files, uid=37, strength=1.0, key=KEY):
    codeword = np.repeat(_coder(key).codeword(uid)[None], len(files), 0)
    strength = tf.constant(np.broadcast_to(np.float32(strength), [len(files)]))
    made = tagger.signatures["tag"](image=tf.constant(files), codeword=tf.constant(codeword), strength=strength)
    return {name: value.numpy() for name, value in made.items()}


def _tag(tagger, files, uid=37, strength=1.0, key=KEY):
    return list(_call_tag(tagger, files, uid, strength, key)["image"])


def _read(tagger, files, key=KEY):
    found = tagger.signatures["read"](image=tf.constant(files), key_mask=_masks(key, len(files)))
    return {name: value.numpy() for name, value in found.items()}


def _masks(key, count):
    return tf.constant(np.repeat(payload.key_mask(key, BITS)[None], count, 0), tf.float32)


SIZES = [(32, 32), (20, 24), (7, 9), (64, 40), (31, 90), (301, 200)]


@pytest.mark.parametrize("height, width", [size for size in SIZES if min(size) >= 20])
@pytest.mark.parametrize("uid", [0, 37, 63])
def test_a_tagged_picture_of_any_size_is_read_back_at_its_own_size(tagger, height, width, uid):
    original = _scene(height, width)
    (tagged,) = _tag(tagger, [helpers.file_of(original)], uid)
    assert tagged.startswith(b"\x89PNG") and images.load_image(tagged).shape == original.shape
    found = _read(tagger, [tagged])
    assert _coder().uid(found["message"][0]) == uid
    assert found["tagged"][0] and found["p_value"][0] <= 1e-6 and found["score"][0] > 0.9


def test_the_mirror_image_is_read_and_its_logits_are_those_of_the_picture_as_it_lies(tagger):
    (tagged,) = _tag(tagger, [helpers.file_of(_scene(64, 40))])
    mirrored = helpers.file_of(images.load_image(tagged)[:, ::-1])
    found = _read(tagger, [tagged, mirrored])
    assert [_coder().uid(message) for message in found["message"]] == [37, 37]
    assert found["tagged"].all() and (found["score"] > 0.9).all()
    # Half of these waves change their sign in the mirror.
    wrong = np.mean((found["logits"] > 0) != (_coder().codeword(37) > 0.5), axis=1)
    assert wrong[0] == 0.0 and 0.3 < wrong[1] < 0.7


@pytest.mark.parametrize("top, left", [(24, 24), (40, 8)])
def test_a_picture_that_was_cropped_is_read_from_its_file(tagger, top, left):
    (tagged,) = _tag(tagger, [helpers.file_of(_scene(240, 240))])
    cropped = images.load_image(tagged)[top : top + 192, left : left + 192]
    found = _read(tagger, [helpers.file_of(cropped), tagged])
    assert [_coder().uid(message) for message in found["message"]] == [37, 37]
    assert found["p_value"][0] < 1e-3 and found["tagged"][1]  # 31 bits cannot say more of a part.
    small = tf.image.resize(images.to_float(cropped)[None], [SIZE, SIZE], antialias=True)
    as_it_lies = tagger.signatures["decode"](images=small, key_mask=_masks(KEY, 1))
    assert as_it_lies["p_value"].numpy() > 0.03


def test_an_untagged_file_is_claimed_under_random_keys_no_more_often_than_its_p_value_says(tagger):
    file, keys = helpers.file_of(_scene(64, 64)), np.random.default_rng(3).integers(0, 2, [8, 64, BITS])
    p_values = [
        tagger.signatures["read"](image=tf.constant([file] * 64), key_mask=tf.constant(each, tf.float32))["p_value"]
        for each in keys
    ]
    # A third of 512 keys would be 170; four standard deviations more are allowed.
    assert np.mean(np.concatenate(p_values) <= 1 / 3) < 1 / 3 + 4 * np.sqrt(2 / 9 / 512)
    assert np.mean(np.concatenate(p_values) <= 0.03) < 0.03 + 4 * np.sqrt(0.03 / 512)


@pytest.mark.parametrize("height, width", SIZES)
def test_the_tagged_picture_stays_close_at_every_size(tagger, height, width):
    original = _scene(height, width)
    (tagged,) = _tag(tagger, [helpers.file_of(original)])
    assert helpers.psnr(images.to_float(images.load_image(tagged)), images.to_float(original)) > CONFIG.min_psnr - 1


@pytest.mark.parametrize("height, width", [(1, 1), (1, 50), (50, 1)])
def test_pictures_of_a_pixel_or_a_line_are_tagged_and_read_without_an_error(tagger, height, width):
    (tagged,) = _tag(tagger, [helpers.file_of(np.full((height, width, 3), 120, np.uint8))])
    assert images.load_image(tagged).shape == (height, width, 3)
    assert np.isfinite(_read(tagger, [tagged])["logits"]).all()


@pytest.mark.parametrize("format", ["PNG", "JPEG"])
def test_pictures_of_different_sizes_and_formats_go_together(tagger, format):
    originals = [_scene(40, 60), _scene(64, 64), _scene(90, 33)]
    files = [helpers.file_of(*each) for each in zip(originals, (format, "PNG", format))]
    tagged = _tag(tagger, files, 5)
    assert [images.load_image(each).shape for each in tagged] == [original.shape for original in originals]
    found = _read(tagger, tagged)
    assert [_coder().uid(message) for message in found["message"]] == [5, 5, 5] and found["tagged"].all()


def test_grey_alpha_palette_and_16_bit_pngs_are_tagged_as_colour_pictures(tagger):
    scene = Image.fromarray(_scene(48, 48))
    sixteen = Image.fromarray(np.asarray(scene.convert("L")).astype(np.uint16) * 257)
    pictures = (scene.convert("L"), scene.convert("RGBA"), scene.quantize(256), sixteen)
    files = [helpers.file_of(picture) for picture in pictures]
    found = _read(tagger, _tag(tagger, files, 21))
    assert [_coder().uid(message) for message in found["message"]] == [21] * 4 and found["tagged"].all()


def test_16_bits_are_scaled_as_the_client_scales_them(tagger):
    sixteen = helpers.file_of(Image.fromarray(np.uint16(np.linspace(0, 65535, 48 * 48).reshape(48, 48))))
    (untouched,) = _tag(tagger, [sixteen], strength=0.0)
    assert np.abs(images.load_image(untouched).astype(int) - images.load_image(sixteen)).max() <= 1


def test_strength_scales_the_residual_and_none_leaves_the_picture(tagger):
    original = _scene(64, 64)
    (none,) = _tag(tagger, [helpers.file_of(original)], strength=0.0)
    np.testing.assert_array_equal(images.load_image(none), original)
    tagged = [_tag(tagger, [helpers.file_of(original)], strength=each)[0] for each in (0.5, 1.0)]
    half, whole = (images.to_float(images.load_image(each)) for each in tagged)
    original = images.to_float(original)
    assert helpers.psnr(half, original) - helpers.psnr(whole, original) == pytest.approx(20 * np.log10(2), abs=0.3)


def test_an_untagged_picture_is_not_tagged(tagger):
    noise = np.random.default_rng(1).integers(0, 256, (64, 64, 3), np.uint8)
    found = _read(tagger, [helpers.file_of(_scene(64, 40)), helpers.file_of(noise)])
    assert not found["tagged"].any() and (found["p_value"] > 1e-4).all()


def test_a_tag_cannot_be_read_with_another_key(tagger):
    tagged = _tag(tagger, [helpers.file_of(_scene(64, 64))], 37)
    found = _read(tagger, tagged, OTHER_KEY)
    assert not found["tagged"][0] and found["p_value"][0] > 1e-4


def test_the_logits_are_the_networks_own_whatever_the_key(tagger):
    tagged = _tag(tagger, [helpers.file_of(_scene(64, 64))])
    np.testing.assert_array_equal(_read(tagger, tagged)["logits"], _read(tagger, tagged, OTHER_KEY)["logits"])


def test_the_reader_averages_what_it_shrinks(tagger):
    chequers = np.uint8(np.indices((333, 333)).sum(0) % 2 * 255)[:, :, None].repeat(3, 2)
    grey = np.full((333, 333, 3), 128, np.uint8)
    found = _read(tagger, [helpers.file_of(chequers), helpers.file_of(grey)])["logits"]
    # Of a tag each bit is at about 15, and so is what chequers leave that are merely sampled.
    assert np.abs(found[0] - found[1]).max() < 1.5


def test_encode_and_decode_do_on_tensors_what_tag_and_read_do_on_files_at_the_networks_size(tagger):
    original = _scene(SIZE, SIZE)
    (tagged,) = _tag(tagger, [helpers.file_of(original)], 11)
    encoded = tagger.signatures["encode"](
        images=tf.constant(images.to_float(original)[None]),
        codeword=tf.constant(_coder().codeword(11)[None]),
        strength=tf.ones([1]),
    )["images"].numpy()
    np.testing.assert_array_equal(images.to_uint8(encoded[0]), images.load_image(tagged))
    mask = tf.constant(payload.key_mask(KEY, BITS)[None].astype(np.float32))
    pixels = tf.constant(images.to_float(images.load_image(tagged))[None])
    decoded = tagger.signatures["decode"](images=pixels, key_mask=mask)
    read = _read(tagger, [tagged])
    assert set(read) == {*decoded, "status"}
    for name, value in decoded.items():
        np.testing.assert_allclose(value, read[name], rtol=1e-4, atol=1e-6)


# What is no picture, or is meant to harm


def _jpeg_claiming(width, height):
    data = bytearray(helpers.file_of(_scene(16, 16), "JPEG"))
    frame = data.index(b"\xff\xc0")
    data[frame + 5 : frame + 9] = struct.pack(">HH", height, width)
    return bytes(data)


def _jpeg_of_scans(count):
    """Repeats the last scan of a progressive JPEG, which libjpeg decodes again each time."""
    data = helpers.file_of(_scene(64, 64), "JPEG", progressive=True)
    last = data.rindex(b"\xff\xda")
    return data[:last] + data[last:-2] * count + data[-2:]


def _png_behind_a_chunk():
    """Of 64×64, with a chunk before the header that says 8×8 where the header would."""
    data = helpers.file_of(_scene(64, 64))
    sizes = b"aaAa" + struct.pack(">II", 8, 8)
    return data[:8] + struct.pack(">I", 8) + sizes + struct.pack(">I", zlib.crc32(sizes)) + data[8:]


REFUSED = {
    "nothing": (b"", export.NO_PICTURE),
    "text": (b"a letter, and not a picture of anything", export.NO_PICTURE),
    "gif": (helpers.file_of(Image.new("P", (40, 40)), "GIF"), export.NO_PICTURE),
    "the beginning of a PNG": (b"\x89PNG\r\n\x1a\n", export.NO_PICTURE),
    "a PNG's name on noise": (b"\x89PNG\r\n\x1a\n" + bytes(range(200)), export.TOO_LARGE),
    "half a PNG": (helpers.file_of(_scene(64, 64))[:150], export.BROKEN),
    "half a JPEG": (helpers.file_of(_scene(64, 64), "JPEG")[:500], export.BROKEN),
    "a JPEG's name on noise": (b"\xff\xd8\xff" + bytes(range(200)), export.BROKEN),
    "a PNG bomb": (helpers.png_claiming(60_000, 60_000), export.TOO_LARGE),
    "a PNG just over the limit": (helpers.png_claiming(10_000, 10_001), export.TOO_LARGE),
    "a PNG whose size stands elsewhere than it says": (_png_behind_a_chunk(), export.TOO_LARGE),
    "a PNG of negative size": (helpers.png_claiming(2**32 - 1, 2**32 - 1), export.TOO_LARGE),
    "a PNG without pixels": (helpers.png_claiming(0, 10), export.TOO_LARGE),
    "a JPEG bomb": (_jpeg_claiming(60_000, 60_000), export.TOO_LARGE),
    "a JPEG of thousands of scans": (_jpeg_of_scans(2000), export.TOO_MANY_SCANS),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_a_picture_is_told_and_its_neighbours_are_tagged_and_read(tagger, name):
    bad, said = REFUSED[name]
    good = helpers.file_of(_scene(40, 60))
    tagged = _call_tag(tagger, [good, bad, good])
    assert list(tagged["status"]) == [b"", said.encode(), b""]
    assert tagged["image"][1] == b"" and tagged["image"][0] == tagged["image"][2] == _tag(tagger, [good])[0]
    found = _read(tagger, [tagged["image"][0], bad, good])
    assert list(found["status"]) == [b"", said.encode(), b""]
    assert list(found["tagged"]) == [True, False, False]
    assert found["p_value"][1] == 1 and found["score"][1] == 0
    assert not found["message"][1].any() and not found["logits"][1].any()


def test_a_graph_in_a_session_as_tensorflow_serving_runs_it_tells_the_same(directory, tagger):
    files = [helpers.file_of(_scene(40, 60)), *(bad for bad, _ in REFUSED.values())]
    mask = np.zeros([len(files), BITS], np.float32)
    expected = tagger.signatures["read"](image=tf.constant(files), key_mask=tf.constant(mask))
    with tf.Graph().as_default() as graph, tf.compat.v1.Session(graph=graph) as session:
        signature = tf.compat.v1.saved_model.load(session, ["serve"], directory).signature_def["read"]
        given = {signature.inputs["image"].name: files, signature.inputs["key_mask"].name: mask}
        names = ["status", "p_value", "logits"]
        made = session.run([signature.outputs[name].name for name in names], given)
    assert list(made[0]) == [b"", *(said.encode() for _, said in REFUSED.values())]
    for name, value in zip(names[1:], made[1:]):
        np.testing.assert_allclose(value, expected[name], rtol=1e-4, atol=1e-6)


def test_one_bad_picture_of_a_call_through_the_embedded_server_fails_none_else(directory):
    request = predict_pb2.PredictRequest()
    request.model_spec.signature_name = "read"
    files = [helpers.file_of(_scene(40, 60)), REFUSED["half a JPEG"][0]]
    request.inputs["image"].CopyFrom(tf.make_tensor_proto(files))
    request.inputs["key_mask"].CopyFrom(tf.make_tensor_proto(np.zeros([2, BITS], np.float32)))
    outputs = Servable(directory).predict(request).outputs
    assert list(outputs["status"].string_val) == [b"", export.BROKEN.encode()]
    assert outputs["logits"].float_val[0] != 0


def test_a_batch_of_nothing_but_bad_pictures_is_told(tagger):
    assert list(_call_tag(tagger, [b"", b"x" * 40])["status"]) == [export.NO_PICTURE.encode()] * 2


@pytest.mark.parametrize("strength", [float("nan"), float("inf"), -1.0, CONFIG.max_strength + 0.1])
def test_a_strength_that_is_none_is_told_and_its_neighbours_are_tagged(tagger, strength):
    good = helpers.file_of(_scene(40, 60))
    tagged = _call_tag(tagger, [good, good], strength=[1.0, strength])
    assert list(tagged["status"]) == [b"", export.NO_STRENGTH.encode()]
    assert tagged["image"][0] == _tag(tagger, [good])[0] and tagged["image"][1] == b""
    codeword = tf.constant(_coder().codeword(1)[None])
    pictures = tf.constant(images.to_float(_scene(SIZE, SIZE))[None])
    with pytest.raises(tf.errors.InvalidArgumentError, match="strength is not a number from 0 to 4"):
        tagger.signatures["encode"](images=pictures, codeword=codeword, strength=tf.constant([strength]))


@pytest.mark.parametrize("bit", [float("nan"), float("inf"), -1.0, 2.0])
def test_bits_that_are_none_are_told(tagger, bit):
    good = helpers.file_of(_scene(40, 60))
    bits = np.repeat(_coder().codeword(37)[None], 2, 0)
    bits[1, 3] = bit
    files = tf.constant([good, good])
    tagged = tagger.signatures["tag"](image=files, codeword=tf.constant(bits), strength=tf.ones([2]))
    assert list(tagged["status"].numpy()) == [b"", export.NO_BITS.encode()]
    read = tagger.signatures["read"](image=files, key_mask=tf.constant(bits))
    assert list(read["status"].numpy()) == [b"", export.NO_BITS.encode()]
    assert np.isfinite(read["logits"].numpy()).all()


def test_batches_that_are_empty_too_large_or_of_two_sizes_are_refused(tagger):
    good = helpers.file_of(_scene(16, 16))
    with pytest.raises(tf.errors.InvalidArgumentError, match="a call takes 1 to 64 pictures"):
        _read(tagger, [good] * 65)
    mask = tf.zeros([1, BITS])
    with pytest.raises(tf.errors.InvalidArgumentError, match="a call takes 1 to 64 pictures"):
        tagger.signatures["read"](image=tf.constant([], tf.string), key_mask=mask[:0])
    with pytest.raises(tf.errors.InvalidArgumentError, match="batches differ"):
        tagger.signatures["read"](image=tf.constant([good, good]), key_mask=mask)


@pytest.mark.parametrize("height, width", [(97, 50), (50, 301), (1, 40), (33, 1)])
def test_a_residual_is_added_in_strips_as_it_would_be_at_once(monkeypatch, height, width):
    monkeypatch.setattr(export, "_STRIP_PIXELS", 700)
    picture = _scene(height, width)
    residual = np.float32(np.random.default_rng(3).normal(0, 0.1, [SIZE, SIZE, 3]))
    whole = tf.image.resize(residual, [height, width], method="bicubic", antialias=True)
    expected = images.to_uint8(picture / 255.0 + whole.numpy())
    made = tf.function(export.add_residual)(tf.constant(picture), tf.constant(residual)).numpy()
    assert made.shape == expected.shape and np.abs(made.astype(int) - expected).max() <= 1
    assert np.mean(made != expected) < 0.01


# What lies beside it


def test_describe_and_the_file_beside_it_are_the_manifest(tagger, directory):
    described = tagger.signatures["describe"](request=tf.constant([b"", b"x"]))["manifest"].numpy()
    written = manifest.read(manifest.TaggerManifest, directory)
    assert len(described) == 2
    for text in described:
        assert manifest.TaggerManifest(**json.loads(text)) == written
    assert (written.message_bits, written.code_bits, written.image_size) == (6, BITS, SIZE)
    np.testing.assert_array_equal(payload.code_matrix_from_hex(written.code_matrix, written.code_bits), CODE_MATRIX)
    assert written.training == TRAINING and written.false_positive_rate == 1e-6


def test_the_warm_up_requests_parse_and_run(directory):
    path = os.path.join(directory, "assets.extra", "tf_serving_warmup_requests")
    requests = [
        prediction_log_pb2.PredictionLog.FromString(record).predict_log.request
        for record in tf.data.TFRecordDataset(path).as_numpy_iterator()
    ]
    assert sorted(request.model_spec.signature_name for request in requests) == ["describe", "read", "tag"]
    assert Servable(directory).warm_up() == 3


def test_saving_again_replaces_what_was_there_and_leaves_nothing_else(tmp_path):
    target = tmp_path / "model" / "tagger"
    target.mkdir(parents=True)
    (target / "stale").write_text("of an older model")
    export.save(*_networks(), CONFIG, TRAINING, str(target))
    assert os.listdir(tmp_path / "model") == ["tagger"]
    assert not (target / "stale").exists() and (target / "tagger.json").exists()
