"""What is tried again is what a moment may mend; batches, and the asyncio client beside the synchronous one."""

import asyncio
import threading

import grpc
import numpy as np
import pytest

from faketagger.serving import async_client, client, exchange, retrying, servable
from faketagger.serving.server import start_server
from faketagger.tests import helpers
from faketagger.tests.serving.helpers import MANIFEST, picture, save_stub_tagger

pytestmark = pytest.mark.slow

KEY = b"a key of these tests"
BUSY = servable.ServingError(grpc.StatusCode.RESOURCE_EXHAUSTED, "overloaded: try again later", True)
OUT_OF_MEMORY = servable.ServingError(grpc.StatusCode.RESOURCE_EXHAUSTED, "OOM when allocating")


class Failure(grpc.RpcError):
    def __init__(self, code, trailing=()):
        self._code, self._trailing = code, trailing

    def code(self):
        return self._code

    def trailing_metadata(self):
        return self._trailing


PUSHBACK = (("grpc-retry-pushback-ms", "250"),)


def test_only_an_overload_that_says_so_is_tried_again_a_few_times_within_the_time_left():
    busy = Failure(grpc.StatusCode.RESOURCE_EXHAUSTED, PUSHBACK)
    for tried in range(1, retrying.MAX_TRIES):
        pauses = [retrying.pause(busy, tried, 60) for _ in range(50)]
        assert all(0.125 * 2 ** (tried - 1) <= each <= 0.375 * 2 ** (tried - 1) for each in pauses)
        assert len(set(pauses)) > 40
    assert retrying.pause(busy, retrying.MAX_TRIES, 60) is None
    assert retrying.pause(busy, 1, 0.1) is None
    for code in grpc.StatusCode:
        assert retrying.pause(Failure(code), 1, 60) is None
        if code != grpc.StatusCode.RESOURCE_EXHAUSTED:
            assert retrying.pause(Failure(code, PUSHBACK), 1, 60) is None


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    path = tmp_path_factory.mktemp("stub") / "models"
    save_stub_tagger(str(path / "1"))
    running = start_server(str(path), poll_seconds=3600)
    yield running
    running.stop(0)


class _Sync:
    """The synchronous client behind coroutines, so that tests hold for both."""

    def __init__(self, address, key):
        self._client = client.TaggerClient(client.connect(address), key)

    async def __aenter__(self):
        return self

    async def __aexit__(self, *error):
        self._client.close()

    def __getattr__(self, name):
        async def call(*arguments, **named):
            return getattr(self._client, name)(*arguments, **named)

        return call


@pytest.fixture(params=[_Sync, async_client.AsyncTaggerClient], ids=["synchronous", "asyncio"])
def run(request, server):
    """Runs a coroutine function with a client."""

    def run(work):
        async def hold():
            async with request.param(f"localhost:{server.port}", KEY) as tagger:
                return await work(tagger)

        return asyncio.run(hold())

    return run


@pytest.fixture
def failing(monkeypatch):
    """The next predictions of tag and read fail with these; the list that it returns has the signatures asked for."""
    asked, predict = [], servable.Servable.predict

    def fail(*errors):
        left = list(errors)

        def maybe(self, request):
            signature = request.model_spec.signature_name
            asked.append(signature)
            if left and signature != "describe":
                raise left.pop(0)
            return predict(self, request)

        monkeypatch.setattr(servable.Servable, "predict", maybe)
        return asked

    return fail


def test_a_tag_is_read_back(run):
    async def work(tagger):
        return await tagger.read(await tagger.tag(picture(), 9))

    assert run(work).uid == 9


def test_an_overloaded_server_is_asked_again(run, failing):
    asked = failing(BUSY, BUSY)

    async def work(tagger):
        return await tagger.tag(picture(), 9)

    assert run(work).startswith(b"\x89PNG") and asked == ["describe", "tag", "tag", "tag"]


def test_what_ran_out_of_memory_is_not_asked_again(run, failing):
    asked = failing(OUT_OF_MEMORY)

    async def work(tagger):
        with pytest.raises(client.PictureError, match="OOM when allocating"):
            await tagger.tag(picture(), 9)

    run(work)
    assert asked == ["describe", "tag"]


def test_a_server_that_stays_overloaded_is_told_apart_from_a_bad_picture(run, failing, monkeypatch):
    monkeypatch.setattr(retrying, "MAX_TRIES", 2)
    failing(*[BUSY] * 9)

    async def work(tagger):
        with pytest.raises(client.OverloadedError, match="too much to do; try again later"):
            await tagger.read_batch([picture()])

    run(work)


def test_one_bad_picture_or_uid_of_a_batch_fails_none_else(run, failing):
    asked = failing()
    good, broken = picture(), helpers.file_of(np.zeros([16, 16, 3], np.uint8), "JPEG")[:300]

    async def work(tagger):
        tagged = await tagger.tag_batch([good, broken, good, good], [1, 2, 99, 4], names=["a", "b", "c", "d"])
        return tagged, await tagger.read_batch([tagged[0], broken, tagged[3]])

    tagged, read = run(work)
    assert asked == ["describe", "tag", "read"]
    assert [isinstance(each, client.PictureError) for each in tagged] == [False, True, True, False]
    assert str(tagged[1]).startswith("b: not a readable picture") and str(tagged[2]).startswith("c: ")
    assert (read[0].uid, read[2].uid) == (1, 4) and str(read[1]).startswith("picture 2: ")


def test_a_picture_that_only_the_server_refuses_is_found_by_asking_in_halves(run, server, monkeypatch):
    predict = servable.Servable.predict

    def refuse(self, request):
        if "image" in request.inputs and b"bad" in b"".join(request.inputs["image"].string_val):
            raise servable.invalid_argument("image is broken")
        return predict(self, request)

    monkeypatch.setattr(servable.Servable, "predict", refuse)
    files = [helpers.file_of(np.full([16, 16, 3], shade, np.uint8)) for shade in range(5)]
    monkeypatch.setattr(exchange.images, "to_network_bytes", lambda data, name: data)

    async def work(tagger):
        return await tagger.tag_batch([*files[:3], files[3] + b"bad", files[4]], range(5))

    made = run(work)
    assert [isinstance(each, client.PictureError) for each in made] == [False, False, False, True, False]
    assert "picture 4: " in str(made[3]) and "image is broken" in str(made[3])


def test_batches_are_sent_in_calls_that_servers_take(monkeypatch):
    small, large = picture(), helpers.png_claiming(4000, 4000)
    files = [exchange.File(data, "", 0) for data in [small] * 10 + [large, large, small]]
    calls = exchange._calls(list(range(13)), files)[::-1]
    assert calls == [list(range(8)), [8, 9, 10], [11, 12]]


def test_a_status_of_a_picture_is_its_error_and_no_reading():
    class Told(client.Backend):
        def predict(self, signature, inputs, outputs, version=None):
            if signature == "describe":
                return {"manifest": np.array([MANIFEST.to_json()], object)}, 1
            rows = len(inputs["image"])
            status = np.array([b"", b"image is broken"][:rows], object)
            return {"image": np.array([b"png"] * rows, object), "status": status}, 1

        def status(self):
            return []

    made = client.TaggerClient(Told(), KEY).tag_batch([picture()] * 2, [1, 2])
    assert made[0] == b"png" and str(made[1]) == "picture 2: image is broken"


def test_many_coroutines_share_a_client(server):
    async def work():
        async with async_client.AsyncTaggerClient(f"localhost:{server.port}", KEY) as tagger:
            tagged = await asyncio.gather(*(tagger.tag(picture(), uid) for uid in range(16)))
            return [each.uid for each in await asyncio.gather(*map(tagger.read, tagged))]

    assert asyncio.run(work()) == list(range(16))
    assert threading.active_count() < 60
