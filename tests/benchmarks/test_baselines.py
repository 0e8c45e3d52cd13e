"""The baselines: their coding, the exchange with their program, their rows, and the real program where it is set up."""

import glob
import hashlib
import os
import subprocess
import sys
import textwrap

import numpy as np
import pytest
from absl import flags

from faketagger.benchmarks import baselines
from faketagger.components.contract import features, images, payload
from faketagger.components.evaluator.config import EvaluatorConfig
from faketagger.components.evaluator.measure import metrics, rows
from faketagger.components.evaluator.measure.batch import draw
from faketagger.components.evaluator.verdict import record
from faketagger.tests import helpers, stubs

SIZE = 24
PICTURES = 3
PEERS = os.path.join(helpers.ROOT, "benchmarks", "peers")

# Keeps each bit in the lowest bit of one sample of red; FLAW spoils what it does.
FAKE_PEER = """
    import json, os, sys
    import numpy as np
    from PIL import Image

    FLAW = "{flaw}"

    def pixels(folder, name):
        return np.array(Image.open(os.path.join(folder, name)))

    if FLAW == "fails":
        sys.exit("first words\\nthe last words")
    if sys.argv[1] == "embed":
        method, pictures, bits_file, out = sys.argv[2:]
        os.mkdir(out)
        for name, bits in json.load(open(bits_file)).items():
            picture = pixels(pictures, name)
            red = picture[..., 0].reshape(-1)
            red[: len(bits)] = red[: len(bits)] & 0xFE | np.array(list(bits), np.uint8)
            picture[..., 0] = red.reshape(picture.shape[:2])
            size = slice(1, None) if FLAW == "shrinks" else slice(None)
            Image.fromarray(picture[size]).save(os.path.join(out, name))
    else:
        method, pictures, length, out = sys.argv[2:]
        read = {{}}
        for name in os.listdir(pictures):
            bits = pixels(pictures, name)[..., 0].reshape(-1)[: int(length)] & 1
            read[name] = "".join(map(str, bits))
        if FLAW == "forgets":
            read.popitem()
        if FLAW == "short":
            read = {{name: bits[1:] for name, bits in read.items()}}
        json.dump(read, open(out, "w"))
"""


def _peers(directory, flaw=""):
    program = os.path.join(directory, "peer.py")
    with open(program, "w") as file:
        file.write(textwrap.dedent(FAKE_PEER).format(flaw=flaw))
    return baselines.Peers([sys.executable, program])


def _pictures(seed=0):
    return np.random.default_rng(seed).integers(0, 256, [PICTURES, SIZE, SIZE, 3], np.uint8)


def _drawn(method, repeat=0):
    ids = [f"picture-{number}" for number in range(PICTURES)]
    return draw(0, ids, repeat, baselines.METHODS[method].code_matrix)


def _decoder(method):
    return baselines.Decoder(baselines.METHODS[method])


def _flipped(codewords, count, seed=0):
    bits = codewords.astype(np.uint8)
    for number, row in enumerate(bits):
        row[np.random.default_rng([seed, number]).choice(bits.shape[1], count, replace=False)] ^= 1
    return bits


@pytest.mark.slow
def test_every_method_has_the_uids_of_a_tagger():
    code_matrix = payload.code_matrix(baselines.MESSAGE_BITS, 127)
    expected = draw(0, ["picture-0"], 0, code_matrix).messages[0]
    for method in baselines.METHODS:
        np.testing.assert_array_equal(_drawn(method).messages[0], expected)


@pytest.mark.parametrize("method", baselines.METHODS)
def test_a_message_comes_back_from_its_own_codeword(method):
    drawn, everything = _drawn(method), np.ones(PICTURES, bool)
    judged = baselines.judge(drawn.codewords.astype(np.uint8), drawn, _decoder(method), everything)
    assert judged.message_ok.all()
    np.testing.assert_array_equal(judged.bit_accuracy, 1.0)


def test_a_code_brings_a_message_back_from_as_many_wrong_bits_as_it_corrects():
    drawn, decoder = _drawn("dwtDctSvd"), _decoder("dwtDctSvd")
    everything = np.ones(PICTURES, bool)
    for seed in range(4):
        judged = baselines.judge(_flipped(drawn.codewords, 15, seed), drawn, decoder, everything)  # BCH(127,36): 15.
        assert judged.message_ok.all()
        np.testing.assert_allclose(judged.bit_accuracy, 1 - 15 / 121)
    assert not baselines.judge(_flipped(drawn.codewords, 50), drawn, decoder, everything).message_ok.any()


def test_without_a_code_one_wrong_bit_loses_the_message():
    drawn, decoder = _drawn("rivaGan"), _decoder("rivaGan")
    judged = baselines.judge(_flipped(drawn.codewords, 1), drawn, decoder, np.ones(PICTURES, bool))
    assert not judged.message_ok.any()


def test_what_was_not_finite_counts_as_lost():
    drawn, decoder = _drawn("lsb"), _decoder("lsb")
    judged = baselines.judge(drawn.codewords.astype(np.uint8), drawn, decoder, np.array([True, False, True]))
    assert judged.message_ok.tolist() == [True, False, True]
    assert np.isnan(judged.bit_accuracy).tolist() == [False, True, False]


def test_a_coded_picture_is_told_from_an_untagged_one_and_an_uncoded_one_is_not():
    drawn, decoder = _drawn("lsb"), _decoder("lsb")
    everything = np.ones(PICTURES, bool)
    assert baselines.judge(drawn.codewords.astype(np.uint8), drawn, decoder, everything).tagged.all()
    other = draw(1, ["a", "b", "c"], 0, decoder.code_matrix).codewords.astype(np.uint8)
    assert not baselines.judge(other, drawn, decoder, everything).tagged.any()
    uncoded = _drawn("rivaGan")
    judged = baselines.judge(uncoded.codewords.astype(np.uint8), uncoded, _decoder("rivaGan"), everything)
    assert judged.tagged is None and judged.p_value is None


def test_what_was_embedded_is_read_by_file_name(tmp_path):
    peers, pictures, drawn = _peers(tmp_path), _pictures(), _drawn("lsb")
    tagged = peers.embed("lsb", pictures, drawn.codewords)
    assert np.abs(tagged.astype(int) - pictures).max() == 1
    names = baselines.save(str(tmp_path / "saved"), "some-", tagged)
    read = peers.read("lsb", str(tmp_path / "saved"), drawn.codewords.shape[1])
    np.testing.assert_array_equal([read[name] for name in names], drawn.codewords)
    assert peers.seconds > 0


@pytest.mark.parametrize(
    "flaw, said", [("fails", "embed lsb: the last words"), ("shrinks", "lsb: the pictures have another size")]
)
def test_a_program_that_embeds_wrongly_is_refused(tmp_path, flaw, said):
    with pytest.raises(ValueError, match=said):
        _peers(tmp_path, flaw).embed("lsb", _pictures(), _drawn("lsb").codewords)


@pytest.mark.parametrize("flaw, said", [("forgets", "exactly the pictures"), ("short", "expected 121 bits")])
def test_a_program_that_reads_wrongly_is_refused(tmp_path, flaw, said):
    baselines.save(str(tmp_path / "saved"), "", _pictures())
    with pytest.raises(ValueError, match=said):
        _peers(tmp_path, flaw).read("lsb", str(tmp_path / "saved"), 121)


def _inputs(directory):
    """Examples of PICTURES pictures and a folder with a simulator; their paths."""
    examples, simulators = os.path.join(directory, "examples"), os.path.join(directory, "simulators")
    records = [helpers.record(picture, f"picture-{number}") for number, picture in enumerate(_pictures())]
    helpers.write_records(examples, features.EVAL_SPLIT, records)
    stubs.save_mixer(simulators, "swap", "identity_swap", {"same": (1.0, 0.0), "white": (0.0, 1.0)}, SIZE)
    return examples, simulators


@pytest.mark.slow
def test_an_evaluation_a_method_is_written_with_figures_that_can_be_told_beforehand(tmp_path):
    examples, simulators = _inputs(tmp_path)
    config = EvaluatorConfig(batch_size=2, black_box=("swap",), sweeps={"brightness": (0.3,)}, after=("jpeg_75",))
    out = tmp_path / "out"
    (out / "lsb").mkdir(parents=True)
    (out / "lsb" / rows.path_of("", "stale")).write_bytes(b"of an earlier run")
    made = baselines.measure_all(["lsb", "rivaGan"], examples, simulators, config, str(out), _peers(tmp_path))
    assert sorted(os.listdir(out)) == ["lsb", "rivaGan"]
    for method, label, code_bits in (("lsb", "LSB, BCH(121,30)", 121), ("rivaGan", "rivaGan, 30 bits uncoded", 30)):
        evaluation = record.Evaluation.read(str(out / method / record.EVALUATION_FILE), "the evaluation")
        assert evaluation == made[method]
        assert evaluation.label == label
        assert evaluation.image_size == SIZE
        assert (evaluation.tagger.message_bits, evaluation.tagger.code_bits) == (30, code_bits)
        rates = {name: figures.fmrr.mean for name, figures in evaluation.slices.items()}
        assert rates["plain"] == rates["swap/same"] == 1.0
        assert rates["swap/white"] == rates["swap/white+jpeg_75"] == 0.0
        assert evaluation.overall.white is None and evaluation.overall.black.mean == 0.5
        assert evaluation.slices["swap/same"].pictures == PICTURES
        red = _pictures()[..., 0].reshape(PICTURES, -1)[:, :code_bits]
        changed = np.sum(red % 2 != _drawn(method).codewords, axis=1)  # Each by one level.
        psnr = 10 * np.log10(255**2 * SIZE * SIZE * 3 / changed)
        assert evaluation.quality.psnr.mean == pytest.approx(np.mean(psnr), abs=1e-3)


@pytest.mark.slow
def test_a_method_without_a_code_claims_neither_tags_nor_false_positives(tmp_path):
    examples, simulators = _inputs(tmp_path)
    config = EvaluatorConfig(sweeps={}, after=())
    out = str(tmp_path / "out")
    made = baselines.measure_all(["lsb", "rivaGan"], examples, simulators, config, out, _peers(tmp_path))
    assert made["lsb"].slices["plain"].tpr.mean == 1.0
    assert made["lsb"].untagged.share.mean == 0.0
    assert made["rivaGan"].slices["plain"].tpr.mean is None
    assert made["rivaGan"].untagged.share.mean is None
    untagged = rows.read(os.path.join(out, "rivaGan"), "untagged", ["message_ok", "tagged"])
    assert untagged["tagged"].tolist() == [None] * PICTURES


@pytest.mark.slow
def test_a_limit_chooses_the_evaluators_pictures(tmp_path):
    examples, simulators = _inputs(tmp_path)
    config = EvaluatorConfig(sweeps={}, after=(), limit=2, repeats=2)
    baselines.measure_all(["lsb"], examples, simulators, config, str(tmp_path / "out"), _peers(tmp_path))
    read = rows.read(str(tmp_path / "out" / "lsb"), "plain", ["message_ok"])
    ids = [f"picture-{number}" for number in range(PICTURES)]
    chosen = sorted(ids, key=lambda image_id: hashlib.sha256(image_id.encode()).digest())[:2]
    assert read["image_id"].tolist() == sorted(2 * chosen)
    assert read["repeat"].tolist() == [0, 1, 0, 1]
    assert read["message_ok"].all()


@pytest.mark.slow
def test_a_failure_leaves_what_was_there_and_nothing_half_written(tmp_path):
    examples, simulators = _inputs(tmp_path)
    config, out = EvaluatorConfig(sweeps={}, after=()), tmp_path / "out"
    baselines.measure_all(["lsb"], examples, simulators, config, str(out), _peers(tmp_path))
    before = (out / "lsb" / record.EVALUATION_FILE).read_bytes()
    with pytest.raises(ValueError, match="the last words"):
        baselines.measure_all(["lsb"], examples, simulators, config, str(out), _peers(tmp_path, "fails"))
    assert (out / "lsb" / record.EVALUATION_FILE).read_bytes() == before
    assert os.listdir(out) == ["lsb"]


def _peer_python():
    python = os.path.join(PEERS, ".venv", "bin", "python")
    if not os.path.exists(python):
        pytest.skip("benchmarks/peers/.venv is absent: bash benchmarks/peers/setup.sh")
    return python


@pytest.fixture
def photograph(photographs):
    """A real face, uint8 [1, 256, 256, 3]: made-up pictures are not what the methods were made for."""
    path = min(glob.glob(os.path.join(photographs, "celeba_hq", "*.jpg")))
    return images.square(images.load_image(path), baselines.MIN_IMAGE_SIZE)[None]


@pytest.mark.parametrize("method", baselines.METHODS)
def test_the_real_program_reads_what_it_embedded(tmp_path, method, photograph):
    _peer_python()
    peers, decoder = baselines.Peers.installed(), _decoder(method)
    drawn = draw(0, ["picture-0"], 0, decoder.code_matrix)
    tagged = peers.embed(method, photograph, drawn.codewords)
    assert 30 < metrics.psnr(photograph, tagged)[0] < 60
    (name,) = baselines.save(str(tmp_path / "saved"), "", tagged)
    read = peers.read(method, str(tmp_path / "saved"), decoder.code_matrix.shape[1])[name]
    assert baselines.judge(read[None], drawn, decoder, np.ones(1, bool)).message_ok.all()


def test_the_real_program_names_a_picture_it_cannot_read(tmp_path):
    python = _peer_python()
    (tmp_path / "pictures").mkdir()
    (tmp_path / "pictures" / "broken.png").write_bytes(images.encode_png(_pictures()[0])[:100])
    program, out = os.path.join(PEERS, "watermark.py"), tmp_path / "out.json"
    done = subprocess.run(
        [python, program, "read", "lsb", tmp_path / "pictures", "30", out], capture_output=True, text=True
    )
    assert done.returncode == 1
    assert "broken.png: not a readable picture" in done.stderr
    assert not out.exists()


@pytest.mark.parametrize(
    "given, expected",
    [
        ([], (3, ("stgan_2",), 7)),
        (["--repeats=2", "--black_box=a,b", "--limit=5"], (2, ("a", "b"), 5)),
        (["--black_box="], (3, (), 7)),
    ],
)
def test_the_config_holds_where_no_flag_says_otherwise(tmp_path, monkeypatch, given, expected):
    values, seen = flags.FlagValues(), []
    baselines.define_flags(values)
    config = '{"repeats": 3, "black_box": ["stgan_2"], "limit": 7}'
    paths = [f"--{name}={tmp_path}" for name in ("images", "simulators", "out")]
    values(["baselines", *paths, f"--image_size={baselines.MIN_IMAGE_SIZE}", f"--config={config}", *given])
    monkeypatch.setattr(flags, "FLAGS", values)
    monkeypatch.setattr(baselines.Peers, "installed", lambda: _peers(tmp_path))
    monkeypatch.setattr(baselines.folder, "write_examples", lambda *_: None)
    monkeypatch.setattr(
        baselines, "measure_all", lambda methods, examples, simulators, config, *_: seen.append(config) or {}
    )
    baselines._run()
    assert [(each.repeats, each.black_box, each.limit) for each in seen] == [expected]
