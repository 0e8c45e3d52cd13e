"""The attacks on a platform's key: what they are said to do, they do to the shipped tagger, on drawn faces."""

import importlib

import pytest

from faketagger.benchmarks.attacks import target
from faketagger.components.contract import payload

pytestmark = pytest.mark.slow


def _rows(name, capsys, count):
    """The cells of the table that an attack prints, by the first of each row."""
    attack = importlib.import_module(f"faketagger.benchmarks.attacks.{name}")
    arguments = target.make_parser(name, attack.__doc__).parse([name, f"--count={count}", "--image_size=96"])
    attack.main(arguments)
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def test_a_known_uid_opens_version_1_and_not_version_2(capsys, monkeypatch):
    monkeypatch.setattr(importlib.import_module("faketagger.benchmarks.attacks.known_uid"), "MESSAGES", 10)
    first, second = _rows("known_uid", capsys, 5)
    assert first[:3] == ["1", "4 of 4", "4 of 4"]
    assert second[:3] == ["2", "4 of 4", "0 of 4"]


def test_a_codeword_is_copied_without_the_key(capsys):
    with_networks, with_original, blurred, stronger = _rows("copy_tag", capsys, 4)
    assert with_networks[1:3] == with_original[1:3] == ["4 of 4", "4 of 4"]
    assert float(blurred[3]) > float(stronger[3]) + 5  # Twice is 6 dB.


def test_a_complement_erases_what_a_weak_one_leaves(capsys):
    rows = {(what, strength): still for what, strength, still, *_ in _rows("erase_tag", capsys, 3)}
    assert rows["complement", "0.25"] == "3 of 3" and rows["complement", "1.0"] == "0 of 3"


def test_the_mean_of_tagged_pictures_forges_their_uid(capsys):
    rows = {(count, strength): forged for count, strength, forged, *_ in _rows("average_tags", capsys, 16)}
    assert rows["10", "2.0"] == "4 of 4"
    assert not [key for key in rows if key[0] == "40"]  # Fewer pictures than that were given.


def test_a_platform_reads_its_own_tags_and_no_other_platforms():
    networks = target.Networks(target.pretrained.TAGGER)
    pictures = target.pictures_of(target.make_parser("", "").parse(["", "--count=2", "--image_size=96"]))
    tagged = target.Platform(networks, 1).tag(pictures, [5, 6])
    own, other = (target.Platform(networks, seed).read(tagged) for seed in (1, 2))
    assert own.uids.tolist() == [5, 6] and own.tagged.all() and not other.tagged.any()
    assert not target.Platform(networks, 1, payload.VERSIONS[0]).read(tagged).tagged.any()


def test_a_server_answers_mutated_requests_and_goes_on(capsys):
    fuzz = importlib.import_module("faketagger.benchmarks.attacks.fuzz_server")
    assert fuzz.main(fuzz.make_parser().parse(["fuzz_server", "--calls=100", "--clients=2"])) == 0
    calls, ends, memory = capsys.readouterr().out.splitlines()
    assert "INVALID_ARGUMENT" in calls and ends.startswith("crashes 0, hangs 0; of good calls 0 failed")
    assert calls.startswith("100 calls") and len(memory.split(", ")) == 11


def test_what_does_not_answer_or_ends_fails_the_fuzz(monkeypatch, capsys):
    fuzz = importlib.import_module("faketagger.benchmarks.attacks.fuzz_server")
    monkeypatch.setattr(fuzz, "_SECONDS_A_CALL", 0.0)
    assert fuzz.main(fuzz.make_parser().parse(["fuzz_server", "--calls=20", "--clients=1"])) == 1
    assert "hangs 0" not in capsys.readouterr().out
