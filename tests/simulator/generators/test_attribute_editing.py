"""The attribute editors, `stargan` and `stgan`, and what they share."""

import numpy as np
import pytest
import tensorflow as tf
from tensorflow import keras

from faketagger.components.contract import images, manifest
from faketagger.components.simulator import library
from faketagger.components.simulator.config import SimulatorConfig
from faketagger.components.simulator.generators import attribute_editing, critics, stargan, stgan
from faketagger.components.simulator.generators.base import Faces
from faketagger.components.simulator.generators.stargan import StarGAN
from faketagger.components.simulator.generators.stgan import STGAN
from faketagger.components.simulator.packing import export
from faketagger.components.simulator.quality.assess import Assessor
from faketagger.tests import helpers
from faketagger.tests.simulator.helpers import faces_of

pytestmark = pytest.mark.slow

SIZE, STEPS = 32, 60
CONFIG = SimulatorConfig(image_size=SIZE, train=(), width=8, batch_size=4, learning_rate=2e-3)
NAMES = ("Black_Hair", "Blond_Hair", "Male")


def _editor(kind, attention=False):
    if kind == "stargan":
        return StarGAN(SIZE, 8, NAMES, blocks=0, attention=attention, guided=True)
    return STGAN(SIZE, 8, NAMES, depth=2, attention=attention, guided=True)


@pytest.fixture(scope="module", params=[("stargan", False), ("stgan", False), ("stargan", True), ("stgan", True)])
def trained(request):
    """The arguments of `_editor`, the editor, trained to learn two pictures by heart, and its losses by step."""
    keras.utils.set_random_seed(7)
    editor = _editor(*request.param)
    editor.compile_for(CONFIG, STEPS)
    step = tf.function(editor.train_step)
    losses = [{name: float(value) for name, value in step(_batch()).items()} for _ in range(STEPS)]
    return request.param, editor, losses


@pytest.fixture(scope="module")
def untrained_stargan():
    return _editor("stargan")


@pytest.fixture(scope="module")
def untrained_stgan():
    return _editor("stgan")


@pytest.fixture(scope="module")
def large():
    """An editor of large pictures."""
    keras.utils.set_random_seed(5)
    return StarGAN(128, 8, ["Male"], blocks=0, guided=True)


def _mask(kind, editor):
    return (editor.generator if kind == "stargan" else editor.decoder).get_layer("attention")


def _batch():
    return tf.constant(_pictures(2)), tf.constant([[0.0, 1.0, 1.0], [1.0, 0.0, -1.0]])


def _faces(pictures=None, **labels):
    """Faces with some attributes labelled, grey unless pictures are given."""
    count = len(next(iter(labels.values()))) if labels else 4
    grey = np.full([count, SIZE, SIZE, 3], 128 / 255)
    return faces_of(grey if pictures is None else pictures, **labels)


def _pictures(count):
    """Smooth coloured gradients, each another."""
    return helpers.smooth_pictures(np.random.default_rng(3), count, SIZE)


# Which attributes, which labels


def test_only_attributes_with_enough_of_both_labels_are_edited():
    enough, too_few, unknown = [0] * 8 + [1] * 8, [1] * 9 + [0] * 7, [1] * 8 + [-1, 0] * 4
    faces = _faces(Young=enough, Bald=enough, Male=too_few, Smiling=unknown)
    assert attribute_editing.editable_attributes(faces) == ("Bald", "Young")


def test_attributes_that_hardly_any_picture_has_are_not_edited():
    rare, common = [1] * 8 + [0] * 292, [1] * 9 + [0] * 291
    assert attribute_editing.editable_attributes(_faces(Bald=rare, Male=common)) == ("Male",)


def test_faces_that_cannot_train_an_editor_are_refused_with_what_they_lack():
    with pytest.raises(ValueError, match=r"at least 8 with it and 8 without; found Male \(2 without, 1 with\)"):
        StarGAN.build_for(CONFIG, _faces(Male=[0, 0, 1]))
    with pytest.raises(ValueError, match="found no labels at all"):
        STGAN.build_for(CONFIG, _faces())


@pytest.mark.parametrize("editor", [StarGAN, STGAN])
def test_conditions_are_named_as_in_the_papers(editor):
    halves = [0] * 8 + [1] * 8
    faces = _faces(Bald=halves, Black_Hair=halves, Male=halves, Pale_Skin=halves, Smiling=halves)
    made = editor.build_for(CONFIG, faces)
    assert made.conditions == ("bald", "black_hair", "gender", "pale_skin", "happy")
    assert made.attributes == ("Bald", "Black_Hair", "Male", "Pale_Skin", "Smiling")


def test_inverting_flips_one_attribute_and_hair_has_one_colour(untrained_stgan):
    labels = tf.constant([[1.0, 0, 0], [1, 0, 0], [1, 0, 1], [-1, 0, -1], [-1, 0, -1]])
    inverted = untrained_stgan.invert(labels, tf.constant([0, 1, 2, 2, 1]))
    np.testing.assert_array_equal(inverted, [[0, 0, 0], [0, 1, 0], [1, 0, 0], [-1, 0, -1], [0, 1, -1]])


def test_drawn_targets_are_the_own_labels_anothers_or_one_inverted(untrained_stargan):
    labels = tf.constant([[0.0, 0, 0]] * 500 + [[1.0, 1, 1]] * 500)
    changes = np.sum(np.abs(untrained_stargan.draw_targets(labels) - labels), 1)
    shares = [np.mean(changes == count) for count in range(4)]
    # An eighth stays; of the rest a quarter gets others' labels, the same or the opposite, else one is inverted.
    of_others = 0.875 / 4
    np.testing.assert_allclose(shares, [0.125 + of_others / 2, 0.875 * 0.75, 0, of_others / 2], atol=0.05)


def test_drawn_targets_keep_the_own_label_where_anothers_is_unknown(untrained_stgan):
    labels = tf.constant([[0.0, 1, -1]] * 50 + [[0.0, -1, 1]] * 50)
    targets = np.asarray(untrained_stgan.draw_targets(labels))
    assert set(targets[:50, 1]) == set(targets[50:, 2]) == {0, 1}
    assert set(targets[:50, 2]) == {-1, 1}


# Batches


def test_sampling_weights_show_both_labels_of_an_attribute_equally_often():
    weights = attribute_editing.sampling_weights(np.array([[1], [0], [0], [0], [-1]]))
    np.testing.assert_allclose(weights, [2, 2 / 3, 2 / 3, 2 / 3, 1])
    of_two = attribute_editing.sampling_weights(np.array([[1, 0], [0, 0], [0, 1], [0, 1]]))
    np.testing.assert_allclose(of_two, [1.5, 5 / 6, 5 / 6, 5 / 6])


def test_batches_hold_pictures_with_their_own_labels_the_rare_ones_more_often(untrained_stgan):
    rare = np.array([0, 0, 1, 0, 0])
    pictures = np.zeros([5, SIZE, SIZE, 3], np.float32)
    for number in range(5):
        pictures[number, : 6 * number + 3] = 0.5  # A shift by two pixels does not hide which picture it is.
    drawn = list(untrained_stgan.batches(_faces(pictures, **dict.fromkeys(NAMES, rare)), CONFIG).take(50))
    assert drawn[0][0].shape == [4, SIZE, SIZE, 3]
    shown = np.concatenate([np.sum(images[:, :, 0, 0] > 0.25, 1) // 6 for images, _ in drawn])
    labels = np.concatenate([labels[:, 0] for _, labels in drawn])
    np.testing.assert_array_equal(labels, rare[shown])
    assert set(shown) == {0, 1, 2, 3, 4} and 0.35 < np.mean(labels) < 0.65


def test_a_shifted_picture_is_the_same_a_few_pixels_away():
    picture = _pictures(1)[0]
    shifted = [np.asarray(attribute_editing.shift(tf.constant(picture))) for _ in range(20)]
    padded = np.pad(picture, [[2, 2], [2, 2], [0, 0]], "reflect")
    places = [(row, column) for row in range(5) for column in range(5)]
    crops = [padded[row : row + SIZE, column : column + SIZE] for row, column in places]
    found = [[np.array_equal(each, crop) for crop in crops].index(True) for each in shifted]
    assert len(set(found)) > 3


def test_a_tinted_picture_has_its_channels_scaled():
    picture = np.float32(np.random.default_rng(1).uniform(0.1, 0.8, [8, 8, 3]))
    scales = np.array([np.asarray(attribute_editing.tint(tf.constant(picture))) / picture for _ in range(20)])
    np.testing.assert_allclose(scales, scales[:, :1, :1] * np.ones([1, 8, 8, 1]), rtol=1e-5)
    assert 0.85 <= scales.min() < 0.95 and 1.05 < scales.max() <= 1.15
    assert attribute_editing.tint(tf.ones([8, 8, 3])).numpy().max() <= 1.0


# Losses and critics


def test_realness_of_a_value_is_taken_by_the_label():
    shown = tf.constant([[[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]])
    np.testing.assert_array_equal(attribute_editing.of_value(shown, tf.constant([[1.0, 0.0, -1.0]])), [[2, 3, 5]])


def test_the_critics_judge_edits_by_what_was_changed_and_photographs_by_all_that_is_known(untrained_stargan):
    realness = [tf.constant([1.0, 1.0, -1.0, -1.0])]  # Real, real, made, made: the hinge asks no more.
    shown = np.zeros([4, 3, 2], np.float32)
    shown[0, 0, 0], shown[2, 0, 1] = 0.25, 2.0
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(untrained_stargan, "_judge", lambda images, training: (realness, tf.constant(shown)))
        labels, targets = tf.constant([[0.0, -1, -1], [-1.0, -1, -1]]), tf.constant([[1.0, -1, -1], [-1.0, -1, 1]])
        pictures = tf.constant(_pictures(2))
        loss = untrained_stargan._critics_loss(pictures, labels, pictures, targets)
    assert float(loss) == pytest.approx((1 - 0.25) + (1 + 2.0))


def test_the_hinge_loss_asks_real_over_one_and_made_under_minus_one():
    first = np.float32([[2.0], [0.5], [-3.0], [0.0]])  # Real, real, made, made.
    second = np.float32([[1.0], [1.0], [1.0], [-2.0]])
    expected = ((0 + 0.5) / 2 + (0 + 1) / 2 + 0 + (2 + 0) / 2) / 2
    assert critics.hinge_loss([first, second]).numpy() == pytest.approx(expected)


def test_a_spectral_convolution_divides_its_kernel_by_the_largest_singular_value():
    layer = critics.SpectralConv2D(4, 1)
    unit_pictures = tf.reshape(tf.eye(6), [6, 1, 1, 6])  # What it makes of them is its matrix.
    layer(unit_pictures)
    kernel = np.random.default_rng(5).normal(size=[6, 4]).astype(np.float32)
    layer.kernel.assign(kernel[None, None])
    for _ in range(60):
        trained = layer(unit_pictures, training=True)
    expected = kernel / np.linalg.svd(kernel, compute_uv=False)[0]
    np.testing.assert_allclose(trained[:, 0, 0], expected, atol=1e-4)
    np.testing.assert_allclose(layer(unit_pictures)[:, 0, 0], expected, atol=1e-4)


def test_the_critic_sees_large_pictures_at_64_pixels(large):
    pictures = tf.constant(np.random.default_rng(2).uniform(size=[4, 128, 128, 3]), tf.float32)
    realness, shown = large._whole_face(pictures, training=False)
    expected = large.critic(tf.image.resize(pictures, [64, 64], antialias=True))
    np.testing.assert_allclose(realness, expected[0], atol=1e-5)
    np.testing.assert_allclose(shown, expected[1], atol=1e-5)
    assert shown.shape == [4, 1, 2]


def test_the_guides_say_what_pictures_and_their_mirror_images_show_at_64_pixels(large):
    pictures = tf.constant(np.random.default_rng(2).uniform(size=[20, 128, 128, 3]), tf.float32)
    small = tf.image.resize(pictures, [64, 64], antialias=True)
    for layer in large.guide.layers:
        if isinstance(layer, keras.layers.Dense):
            _randomise(layer, 5.0)
    logits = np.mean([large.guide(each) for each in (small, small[:, :, ::-1])], (0, 2))
    bias = [layer for layer in large.guide.layers if isinstance(layer, keras.layers.Dense)][0].bias
    bias.assign(bias - 2 * np.median(logits))  # Of one of two guides: half have the attribute now.
    np.testing.assert_array_equal(large.estimate_labels(pictures), logits > np.median(logits))


# The networks' formulas


def _conv(x, kernel, stride=1):
    """A convolution of [h, w, in] as PyTorch computes it: zero padding of (size − 1) // 2 on all sides."""
    size = kernel.shape[0]
    padded = np.pad(x, [[(size - 1) // 2] * 2] * 2 + [[0, 0]])
    side = (padded.shape[0] - size) // stride + 1
    starts = stride * np.arange(side)
    patches = [[padded[row : row + size, column : column + size] for column in starts] for row in starts]
    return np.einsum("rcijk,ijkl->rcl", np.array(patches), kernel)


def _transposed_conv(x, kernel):
    """As PyTorch's with kernel 4, stride 2, padding 1; `kernel` [4, 4, out, in]."""
    side = x.shape[0]
    made = np.zeros([2 * side + 2, 2 * side + 2, kernel.shape[2]])
    for row in range(side):
        for column in range(side):
            made[2 * row : 2 * row + 4, 2 * column : 2 * column + 4] += kernel @ x[row, column]
    return made[1:-1, 1:-1]


def _instance_norm(x, scale, offset):
    return (x - x.mean((0, 1))) / np.sqrt(x.var((0, 1)) + 1e-5) * scale + offset


def _randomise(layer, scale=0.5):
    """Other weights than zeros and ones everywhere."""
    rng = np.random.default_rng(11)
    layer.set_weights([rng.normal(scale=scale, size=each.shape) for each in layer.get_weights()])


def test_stargan_paints_what_the_official_layers_paint():
    generator = stargan.build_generator(width=2, attributes=1, blocks=1)
    _randomise(generator)
    weight = {each.name.removesuffix(":0"): each.numpy().astype(np.float64) for each in generator.weights}

    def norm(x, name):
        return _instance_norm(x, weight[f"{name}/gamma"], weight[f"{name}/beta"])

    planes = np.random.default_rng(2).uniform(-1, 1, [8, 8, 4])
    x = np.maximum(norm(_conv(planes, weight["main.0/kernel"]), "main.1"), 0)
    x = np.maximum(norm(_conv(x, weight["main.3/kernel"], 2), "main.4"), 0)
    x = np.maximum(norm(_conv(x, weight["main.6/kernel"], 2), "main.7"), 0)
    inner = np.maximum(norm(_conv(x, weight["main.9.main.0/kernel"]), "main.9.main.1"), 0)
    x = x + norm(_conv(inner, weight["main.9.main.3/kernel"]), "main.9.main.4")
    x = np.maximum(norm(_transposed_conv(x, weight["main.10/kernel"]), "main.11"), 0)
    x = np.maximum(norm(_transposed_conv(x, weight["main.13/kernel"]), "main.14"), 0)
    expected = np.tanh(_conv(x, weight["main.16/kernel"]))
    np.testing.assert_allclose(generator(np.float32(planes)[None])[0], expected, atol=1e-4)


def test_stargan_at_the_papers_size_has_the_official_weights_by_name_and_shape():
    generator = stargan.build_generator(width=64, attributes=5, blocks=6)
    shapes = {each.name.removesuffix(":0"): tuple(each.shape) for each in generator.weights}
    kernels = {name.removesuffix("/kernel"): shape for name, shape in shapes.items() if name.endswith("/kernel")}
    blocks = {f"main.{place}.main.{inner}": (3, 3, 256, 256) for place in range(9, 15) for inner in (0, 3)}
    ends = {"main.0": (7, 7, 8, 64), "main.3": (4, 4, 64, 128), "main.6": (4, 4, 128, 256), "main.21": (7, 7, 64, 3)}
    assert kernels == {**ends, **blocks, "main.15": (4, 4, 128, 256), "main.18": (4, 4, 64, 128)}
    assert not any(name.endswith("bias") for name in shapes)
    assert generator.count_params() == 8_430_528


def test_stargan_begins_with_pytorchs_weights():
    generator = stargan.build_generator(width=8, attributes=2, blocks=0)
    for name, inputs in (("main.3", 16 * 8), ("main.9", 16 * 16)):
        weights = generator.get_layer(name).get_weights()[0]
        assert 0.95 < np.abs(weights).max() * np.sqrt(inputs) <= 1.0, name


def test_a_selective_transfer_unit_computes_the_papers_equations():
    unit = stgan.SelectiveTransferUnit(2)
    rng = np.random.default_rng(4)
    encoded, deeper, difference = rng.normal(size=[4, 4, 2]), rng.normal(size=[2, 2, 3]), np.array([1.0, -1.0])
    inputs = [np.float32(each)[None] for each in (encoded, deeper, difference)]
    unit(inputs)
    _randomise(unit)
    up, up_bias, gates, gates_bias, candidate, candidate_bias = (np.float64(each.numpy()) for each in unit.weights)
    with_difference = np.concatenate([deeper, np.broadcast_to(difference, [2, 2, 2])], -1)
    upsampled = _transposed_conv(with_difference, up) + up_bias
    gate = 1 / (1 + np.exp(-_conv(np.concatenate([encoded, upsampled], -1), gates) - gates_bias))
    state = gate[..., :2] * upsampled
    remade = np.tanh(_conv(np.concatenate([encoded, state], -1), candidate) + candidate_bias)
    output = (1 - gate[..., 2:]) * upsampled + gate[..., 2:] * remade
    made = unit(inputs)
    np.testing.assert_allclose(made[0][0], output, atol=1e-5)
    np.testing.assert_allclose(made[1][0], state, atol=1e-5)


def test_stgan_is_as_deep_as_the_paper_where_the_picture_is_large_enough():
    assert {size: stgan.depth_for(size) for size in (32, 48, 64, 128, 256)} == {32: 3, 48: 3, 64: 4, 128: 5, 256: 5}


def test_stargan_counts_the_cycle_and_what_should_have_stayed_unchanged(untrained_stargan):
    images = tf.constant(_pictures(2))
    labels, targets = tf.constant([[0.0, 1, 1], [1, 0, -1]]), tf.constant([[0.0, 1, 1], [0, 1, -1]])
    made, loss = untrained_stargan.edit_and_reconstruct(images, labels, targets)
    expected = untrained_stargan.edit(images, labels, tf.constant([[0.0, 1, 1], [0, 1, 0.5]]))
    np.testing.assert_allclose(made, expected, atol=1e-5)
    restored = untrained_stargan.edit(made[:1], targets[:1], tf.constant([[0.0, 1, 1]]))  # One, a quarter rounded up.
    expected = 2 * np.mean(np.abs(images[:1] - restored)) + 2 * np.mean(np.abs(images[0] - made[0]))
    assert loss.numpy() == pytest.approx(expected, rel=1e-4)


def test_stgan_counts_what_no_change_does_to_the_picture_and_takes_unknown_labels_for_no_change(untrained_stgan):
    images = tf.constant(_pictures(2))
    labels, targets = tf.constant([[0.0, -1, -1]] * 2), tf.constant([[0.0, 1, 0], [-1, -1, 1]])
    made, loss = untrained_stgan.edit_and_reconstruct(images, labels, targets)
    assert loss.numpy() == pytest.approx(2 * np.mean(np.abs(images - made)), rel=1e-4)


# Training and simulating


def test_the_critics_loss_falls_when_two_pictures_are_learnt_by_heart(trained):
    _, _, losses = trained
    # The generator's terms are ramped in over these steps: they rise though they are learnt.
    early, late = (np.mean([each["critic"] for each in part]) for part in (losses[:5], losses[-10:]))
    assert late < 0.75 * early


def test_each_condition_makes_another_picture_and_a_mixed_batch_gives_each_its_own(trained):
    _, editor, _ = trained
    picture = tf.constant(_pictures(1))
    alone = [editor.simulate(picture, tf.constant([index])) for index in range(3)]
    assert min(np.abs(alone[one] - alone[other]).max() for one, other in ((0, 1), (0, 2), (1, 2))) > 1e-3
    assert min(np.min(each) for each in alone) >= 0 and max(np.max(each) for each in alone) <= 1
    mixed = editor.simulate(tf.repeat(picture, 4, 0), tf.constant([1, 0, 2, 1]))
    np.testing.assert_allclose(mixed, tf.concat([alone[1], alone[0], alone[2], alone[1]], 0), atol=1e-5)


def test_simulating_inverts_what_the_guides_see_as_intensely_as_chosen(trained):
    _, editor, _ = trained
    pictures = tf.constant(_pictures(2))
    seen = editor.estimate_labels(pictures)
    whole = editor.edit(pictures, seen, tf.stack([seen[:, 0], seen[:, 1], 1 - seen[:, 2]], 1))
    editor.intensities = (1.0, 1.0, 0.5)
    made = editor.simulate(pictures, tf.constant([2, 2]))
    editor.intensities = (1.0, 1.0, 1.0)
    np.testing.assert_allclose(made, (pictures + whole) / 2, atol=1e-6)


def test_conditions_are_the_attributes_that_are_offered(trained):
    (kind, attention), editor, _ = trained
    pictures = tf.constant(_pictures(2))
    expected = editor.simulate(pictures, tf.constant([2, 0]))
    editor.offer(["Male", "Black_Hair"])
    assert editor.conditions == ("black_hair", "gender")
    np.testing.assert_allclose(editor.simulate(pictures, tf.constant([1, 0])), expected, atol=1e-6)
    assert type(editor)(**editor.settings).conditions == ("black_hair", "gender")
    editor.offer(NAMES)


def test_an_exported_editor_makes_the_same_pictures_and_passes_gradients(trained, tmp_path):
    (kind, attention), editor, _ = trained
    if attention:  # So few steps teach little change: the exporter refuses it.
        _mask(kind, editor).bias.assign([2.0])
    described = manifest.SimulatorManifest(kind, editor.FAMILY, list(editor.conditions), SIZE, "none", "ours")
    assessor = Assessor(Faces(images.to_uint8(_pictures(2)), np.full([2, 40], -1)))
    export.save(str(tmp_path), editor.simulate, described, assessor, tracked=editor.variables)
    simulator = library.load(str(tmp_path / kind))
    pictures, condition = tf.constant(_pictures(3)), tf.constant([0, 1, 2])
    with tf.GradientTape() as tape:
        tape.watch(pictures)
        made = simulator(pictures, condition)
        value = tf.reduce_mean(tf.square(made))
    np.testing.assert_allclose(made, editor.simulate(pictures, condition), atol=1e-4)
    gradient = np.asarray(tape.gradient(value, pictures))
    assert np.all(np.isfinite(gradient)) and np.mean(gradient != 0) > 0.9


def test_a_checkpoint_holds_both_networks_and_both_optimisers(trained, tmp_path):
    arguments, editor, _ = trained
    path = tf.train.Checkpoint(model=editor).write(str(tmp_path / "kept"))
    resumed = _editor(*arguments)
    resumed.compile_for(CONFIG, STEPS)
    tf.train.Checkpoint(model=resumed).read(path).assert_consumed()
    assert int(resumed.optimizer.iterations) == int(resumed.critic_optimizer.iterations) == STEPS
    for part in ("generator", "critic", "patch_critic", "optimizer", "critic_optimizer"):
        before, after = ([np.asarray(each) for each in _variables(getattr(one, part))] for one in (editor, resumed))
        assert len(before) == len(after) > 0
        assert all(np.array_equal(*pair) for pair in zip(before, after)), part


def _variables(part):
    return part.variables if isinstance(part, keras.Model) else part.variables[1:]  # Not the learning rate.


def test_each_optimiser_trains_its_own_network_alone():
    editor = _editor("stgan")
    editor.compile_for(CONFIG, STEPS)
    of_generator, of_critic = editor.generator.trainable_variables, editor.critic_variables
    for still, moving in (("optimizer", of_critic), ("critic_optimizer", of_generator)):
        kept = getattr(editor, still)
        setattr(editor, still, keras.optimizers.SGD(0.0))
        before = [(each, each.numpy()) for each in of_generator + of_critic]
        editor.train_step(_batch())
        changed = {each.ref() for each, old in before if not np.array_equal(each.numpy(), old)}
        assert changed <= {each.ref() for each in moving} and len(changed) > 0.8 * len(moving)
        setattr(editor, still, kept)


@pytest.mark.parametrize(("kind", "own"), [("stargan", 8.0), ("stgan", 16.0)])
def test_changing_costs_what_the_settings_say_or_else_what_the_editor_does(kind, own):
    editor, (pictures, labels) = _editor(kind), _batch()

    def cost(settings):
        editor.compile_for(settings, STEPS)
        editor.optimizer.iterations.assign(STEPS)  # It is not counted from the first step on.
        made, losses = editor._edit(pictures, labels, 1.0 - tf.abs(labels))
        return losses["change"].numpy() / np.mean(np.abs(made - pictures))

    assert cost(CONFIG) == pytest.approx(own, rel=1e-4)
    assert cost(CONFIG.replace(change=2.5)) == pytest.approx(2.5, rel=1e-4)


@pytest.mark.parametrize("kind", [StarGAN, STGAN])
def test_what_was_trained_without_guides_sees_by_its_critic_and_multiplies_labels(kind):
    editor = kind(SIZE, 8, NAMES, 2, intensities=[1.0, 1.0, 1.5])
    assert [each.name for each in editor.networks] == ["generator", "critic"]
    pictures = tf.constant(_pictures(2))
    (head,) = [layer for layer in editor.critic.layers if isinstance(layer, keras.layers.Dense)]
    _randomise(head)
    logits = np.asarray(editor.critic(pictures)[1])
    seen = np.float32(logits > 0)
    np.testing.assert_array_equal(editor.estimate_labels(pictures), seen)
    targets = np.stack([seen[:, 0], seen[:, 1], seen[:, 2] + 1.5 * (1 - 2 * seen[:, 2])], 1)
    if kind is STGAN:
        made = editor.generator([2 * pictures - 1, targets - seen])
    else:
        planes = targets[:, None, None] * np.ones([2, SIZE, SIZE, 1], np.float32)
        made = editor.generator(tf.concat([2 * pictures - 1, planes], -1))
    np.testing.assert_allclose(editor.simulate(pictures, tf.constant([2, 2])), (made + 1) / 2, atol=1e-5)


@pytest.mark.parametrize("kind", ["stargan", "stgan"])
def test_attention_leaves_the_picture_alone_where_its_mask_is_shut(kind):
    model = _editor(kind, attention=True)
    mask = _mask(kind, model)
    mask.set_weights([np.zeros(mask.kernel.shape), np.array([-20.0])])
    pictures, labels = tf.random.stateless_uniform([2, 32, 32, 3], [1, 2]), tf.zeros([2, 3])
    np.testing.assert_allclose(model.edit(pictures, labels, 1 - labels), pictures, atol=1e-5)
    mask.set_weights([np.zeros(mask.kernel.shape), np.array([20.0])])
    assert np.abs(model.edit(pictures, labels, 1 - labels) - pictures).max() > 0.1


def test_with_attention_the_change_is_made_at_half_the_side_and_enlarged(untrained_stargan):
    model = _editor("stargan", attention=True)
    pictures = tf.constant(_pictures(2))
    given = model.as_input(pictures)
    np.testing.assert_allclose(given[0, 3, 5], 2 * np.mean(pictures[0, 6:8, 10:12], (0, 1)) - 1, atol=1e-5)
    made = tf.constant(np.random.default_rng(4).uniform(0, 1, [2, 16, 16, 4]), tf.float32)
    enlarged = tf.image.resize(made, [32, 32])
    colours, mask = (enlarged[..., :3] + 1) / 2, enlarged[..., 3:]
    np.testing.assert_allclose(model.compose(pictures, made), (1 - mask) * pictures + mask * colours, atol=1e-5)
    assert untrained_stargan.as_input(pictures).shape == pictures.shape


def test_stgan_is_refused_where_half_the_side_cannot_be_halved_so_often():
    halves = [0] * 8 + [1] * 8
    with pytest.raises(ValueError, match="image_size: stgan of depth 5 works at 16, which is no multiple of 32"):
        STGAN.build_for(CONFIG.replace(train=("stgan",), attention=True, depth=5), _faces(Male=halves))
