"""Files that may take long are decoded in processes, which are ended when they do, or when nobody waits any more."""

import asyncio
import itertools
import os
import struct
import time
import zlib

import grpc
import numpy as np
import pytest

from faketagger.serving import decoding, limits
from faketagger.serving.servable import Servable, ServingError
from faketagger.serving.workers import Workers
from faketagger.tests import helpers
from faketagger.tests.serving.helpers import N, picture, save_stub_tagger


def test_what_a_function_returns_or_raises_comes_back():
    assert decoding.apart(divmod, 7, 2) == (3, 1)
    with pytest.raises(ValueError, match="math domain error"):
        decoding.apart(__import__("math").sqrt, -1)
    large = os.urandom(3_000_000)
    assert decoding.apart(zlib.crc32, large) == zlib.crc32(large)


@pytest.mark.parametrize(
    "function, argument", [(max, itertools.count()), (os._exit, 0), (os.abort, None), (bytes, 2**40)]
)
def test_what_never_ends_breaks_down_or_takes_all_memory_is_an_error(function, argument):
    with pytest.raises(decoding.EndedError):
        decoding.apart(function, *([] if argument is None else [argument]), seconds=1)


def test_of_several_calls_those_before_the_endless_one_are_answered():
    calls = [(1, 2), (3, 4), (itertools.count(),), (5, 6)]
    assert decoding.each_apart(max, calls[:2]) == [2, 4]
    assert decoding.each_apart(max, calls, seconds=1) == [2, 4]
    with pytest.raises(TypeError):
        decoding.each_apart(max, [(1, 2), (None, 3)])


@pytest.fixture
def nobody_waits():
    token = decoding.is_given_up.set(lambda: True)
    yield
    decoding.is_given_up.reset(token)


def test_a_process_is_ended_when_nobody_waits_for_it(nobody_waits):
    begun = time.monotonic()
    with pytest.raises(decoding.EndedError):
        decoding.apart(time.sleep, 600)
    assert time.monotonic() - begun < 300


def test_what_runs_for_a_caller_who_goes_finds_that_it_is_given_up():
    async def run():
        workers, begun, over = Workers("test", 1, 2, 100), asyncio.Event(), asyncio.Event()
        loop = asyncio.get_running_loop()

        def work(_):
            loop.call_soon_threadsafe(begun.set)
            while not decoding.is_given_up.get()():
                time.sleep(0.01)
            loop.call_soon_threadsafe(over.set)

        calling = asyncio.ensure_future(workers.run(work, b""))
        await begun.wait()
        assert not over.is_set()
        calling.cancel()
        await asyncio.wait_for(over.wait(), 60)
        # Its successor in the same thread is not taken for given up.
        assert await workers.run(lambda _: decoding.is_given_up.get()(), b"") is False
        workers.stop()

    asyncio.run(run())


# Which files are decoded so


def _chunk(kind, content=b""):
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def _jpeg(**options):
    noise = np.random.default_rng(1).integers(0, 256, [64, 64, 3], np.uint8)
    return helpers.file_of(noise, "JPEG", **options)


def _with_many_fillings():
    """Each is a step of Pillow's, in Python."""
    data = _jpeg()
    at = data.rindex(b"\xff\xc4")
    return data[:at] + b"\xff" * 2000 + data[at:]


def _with_rubbish():
    data = _jpeg()
    at = data.rindex(b"\xff\xc4")
    return data[:at] + b"\xff\xd9" + bytes(100) + data[at:]


def _with_many_chunks():
    data = picture()
    return data[:33] + _chunk(b"aaAa") * 30_000 + data[33:]


@pytest.mark.parametrize(
    "data, is_quick",
    [
        (_jpeg(), True),
        (_jpeg(progressive=True), True),
        (_jpeg(exif=b"Exif\0\0" + bytes(60_000)), True),
        (picture(), True),
        (_with_many_fillings(), False),
        (_with_rubbish(), False),
        (_with_many_chunks(), False),
        (_jpeg() + bytes(9 * 2**20), False),
        (helpers.png_claiming(5000, 5000), False),
        (helpers.file_of(np.zeros([64, 64, 3], np.uint8), "WEBP"), False),
        (b"", False),
    ],
    ids=["jpeg", "scans", "metadata", "png", "fillings", "rubbish", "chunks", "bytes", "pixels", "webp", "empty"],
)
def test_quick_is_what_cannot_have_been_made_to_take_long(data, is_quick):
    assert limits.is_quick(data) == is_quick


@pytest.mark.parametrize("data", [_with_many_fillings(), _with_many_chunks()])
def test_odd_files_that_decode_are_taken_as_they_are_and_broken_ones_not(data):
    assert limits.checked([picture(), data]) == [picture(), data]
    taken = limits.checked([data[: len(data) - 60], data], each_is_told=True)
    assert taken[0] != data[: len(data) - 60] and taken[1] == data


def test_of_a_call_what_takes_too_long_is_broken_and_what_is_quick_is_not(monkeypatch):
    monkeypatch.setattr(decoding, "each_apart", lambda function, calls: [])
    taken = limits.checked([_with_many_fillings(), picture()], each_is_told=True)
    assert len(taken[0]) < 100 and taken[1] == picture()
    with pytest.raises(ValueError, match="cannot be decoded"):
        limits.checked([_with_many_fillings(), picture()])


def test_a_file_that_takes_too_long_does_not_fail_its_neighbours(monkeypatch):
    slow = [_with_many_fillings() + bytes(number) for number in range(8)]
    endless, processes = {slow[1], slow[2]}, []

    def until_endless(function, calls):
        processes.append(calls)
        return [function(*call) for call in itertools.takewhile(lambda call: call[0] not in endless, calls)]

    monkeypatch.setattr(decoding, "each_apart", until_endless)
    taken = limits.checked([picture(), *slow], each_is_told=True)
    assert [one == other for one, other in zip(taken, [picture(), *slow])] == [True, True, False, False, *[True] * 5]
    endless, processes = set(slow), []
    assert set(limits.checked(slow, each_is_told=True)).isdisjoint(slow) and len(processes) == 4


def test_pixels_are_found_behind_segments_of_all_kinds():
    data = _jpeg(exif=b"Exif\0\0" + bytes(100), comment=b"c" * 500)
    assert limits.pixels_of(data) == 64 * 64
    assert limits.pixels_of(data[:2] + b"\xff" * 100 + data[2:]) == 64 * 64
    assert limits.pixels_of(data[:2] + b"\xff" * 2_000_000 + data[2:]) is None


def test_a_picture_whose_header_states_no_size_does_not_reach_the_model():
    data, png = _jpeg(progressive=True), picture()
    commented = data[:2] + b"\xff\xfe\x00\x02" * 1001 + data[2:]
    sizes = _chunk(b"aaAa", struct.pack(">II", 8, 8))
    behind = png[:8] + sizes + png[8:]
    text = b"no picture"
    taken = limits.checked([data, commented, behind, text], each_is_told=True)
    assert taken[0] == data and taken[3] == text and {commented, behind}.isdisjoint(taken)
    # The model is shown more scans than it decodes, or a file that breaks at once.
    assert taken[1].count(b"\xff\xda") > limits.MAX_SCANS and len(taken[2]) < 100


def test_a_jpeg_whose_scans_take_too_long_is_one_that_the_model_refuses(monkeypatch):
    data = _jpeg(progressive=True)
    monkeypatch.setattr(limits, "MAX_SCANNED_PIXELS", 64 * 64)
    (taken,) = limits.checked([data], each_is_told=True)
    assert taken.count(b"\xff\xda") > limits.MAX_SCANS


def _segment(marker, content):
    return b"\xff" + bytes([marker]) + struct.pack(">H", 2 + len(content)) + content


def test_a_motion_photo_is_taken_as_the_picture_that_stands_before_its_clip():
    clip = b"\xff\xda" * 200 + bytes(5000)
    thumbnail = _segment(0xE1, b"\xff\xda" * 200 + b"\xff\xd9")
    plain = _jpeg()
    for photo in (plain + clip, plain[:2] + thumbnail + plain[2:], plain[:2] + thumbnail + plain[2:] + clip):
        assert limits.too_many_scans(photo, 64 * 64) == "" and limits.is_quick(photo)
        assert limits.checked([photo]) == [photo]


@pytest.mark.parametrize(
    "disguise",
    [
        b"",
        _segment(0xFE, b"\xff\xd9"),
        _segment(0xFE, b"") * 5000,
        b"\xff\x01\xff\xff",  # As if it had content.
        b"\xff\xbf\xff\xff",
        b"\xff\xd3\xff\xff",
        b"\xff\x00\xff\xff",
    ],
    ids=["none", "a comment of an end", "segments", "01", "BF", "a restart", "stuffing"],
)
def test_scans_that_decoders_come_upon_are_counted_whatever_is_before_them(disguise):
    data = _jpeg(progressive=True)
    last = data.rindex(b"\xff\xda")
    many = data[:last] + disguise + data[last:-2] * 200 + data[-2:]
    assert "more than are decoded" in limits.too_many_scans(many, 64 * 64)


@pytest.mark.slow
def test_a_model_is_not_called_for_who_has_gone(tmp_path, nobody_waits):
    save_stub_tagger(str(tmp_path / "stub"))
    inputs = {"image": np.array([picture()], object), "key_mask": np.zeros([1, N], np.float32)}
    with pytest.raises(ServingError) as raised:
        Servable(str(tmp_path / "stub")).call("read", inputs)
    assert raised.value.code is grpc.StatusCode.CANCELLED
