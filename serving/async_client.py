"""The asyncio client: as client.py's through a server, for programs that do other things while a picture is worked on.

async with AsyncTaggerClient("localhost:8500", key) as client:
    png = await client.tag(jpeg, uid=12345)
    readings = await asyncio.gather(*(client.read(each) for each in files))
"""

import asyncio
import functools
import itertools
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

import grpc
import numpy as np
from tensorflow_serving.apis import prediction_service_pb2_grpc

from faketagger.components.contract import signatures
from faketagger.serving import client, exchange, retrying
from faketagger.serving.errors import PictureError, RefusedError, VersionGoneError
from faketagger.serving.exchange import Reading

_Answer = TypeVar("_Answer")


class AsyncTaggerClient:
    """Tags and reads pictures with a secret key, through a server. It belongs to the event loop it is made in."""

    def __init__(
        self,
        address: str,
        key: bytes,
        model_name: str = "faketagger",
        timeout: float = 60.0,
        credentials: grpc.ChannelCredentials | None = None,
        label: str | None = None,
    ):
        """Sends nothing yet; the arguments are client.connect's, `key` is payload.read_key's."""
        self._address, self._model_name, self._timeout, self._label = address, model_name, timeout, label
        self._key = key
        options = client.channel_options()
        if credentials is None:
            self._channel = grpc.aio.insecure_channel(address, options)
        else:
            self._channel = grpc.aio.secure_channel(address, credentials, options)
        self._predictions = prediction_service_pb2_grpc.PredictionServiceStub(self._channel)
        self._described: exchange.Described | None = None
        self._described_until = 0.0

    async def __aenter__(self) -> "AsyncTaggerClient":
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Closes the connection."""
        await self._channel.close()

    async def tag(self, image: bytes, uid: int, strength: float | None = None, name: str = "picture") -> bytes:
        """As TaggerClient.tag."""
        return client.only(await self.tag_batch([image], [uid], strength, [name]))

    async def read(self, image: bytes, name: str = "picture") -> Reading:
        """As TaggerClient.read."""
        return client.only(await self.read_batch([image], [name]))

    async def tag_batch(
        self,
        files: Sequence[bytes],
        uids: Sequence[int],
        strength: float | None = None,
        names: Sequence[str] | None = None,
    ) -> list[bytes | PictureError]:
        """As TaggerClient.tag_batch."""
        exchange.check_strength(strength)
        # Decoding, which says whether a file is a picture, would stop the event loop.
        prepared = await asyncio.to_thread(exchange.prepare_all, files, names, uids)
        return await self._ask(functools.partial(exchange.tag, prepared, strength))

    async def read_batch(
        self, files: Sequence[bytes], names: Sequence[str] | None = None
    ) -> list[Reading | PictureError]:
        """As TaggerClient.read_batch."""
        prepared = await asyncio.to_thread(exchange.prepare_all, files, names)
        return await self._ask(functools.partial(exchange.read, prepared))

    async def _ask(self, make: Callable[[exchange.Described], exchange.Dialogue[_Answer]]) -> _Answer:
        """Holds a dialogue with one version and its own code; when that version goes, once more with its successor."""
        try:
            return await self._hold(make)
        except VersionGoneError:
            self._described = None
            return await self._hold(make)

    async def _hold(self, make: Callable[[exchange.Described], exchange.Dialogue[_Answer]]) -> _Answer:
        model = self._described
        if model is None or time.monotonic() > self._described_until:
            self._described_until = time.monotonic() + exchange.FOLLOWED_SECONDS
            model = self._described = await self._describe()
        dialogue = make(model)
        try:
            question = next(dialogue)
            while True:
                try:
                    found, _ = await self._predict(question.signature, question.inputs, (), model[0])
                except RefusedError as error:
                    question = dialogue.throw(error)
                else:
                    question = dialogue.send(found)
        except StopIteration as done:
            return done.value

    async def _describe(self) -> exchange.Described:
        inputs = {"request": np.array([b""], object)}
        found, version = await self._predict(signatures.DESCRIBE, inputs, ["manifest"], None)
        return exchange.described(version, exchange.manifest_of(found["manifest"][0]), self._key)

    async def _predict(
        self, signature: str, inputs: Mapping[str, np.ndarray], outputs: Sequence[str], version: int | None
    ) -> tuple[dict[str, np.ndarray], int]:
        request = client.make_request(self._model_name, self._label, signature, inputs, outputs, version)
        until = time.monotonic() + self._timeout
        for tried in itertools.count(1):
            try:
                response = await self._predictions.Predict(request, timeout=max(0.0, until - time.monotonic()))
                return client.arrays_of(response), response.model_spec.version.value
            except grpc.RpcError as error:
                seconds = retrying.pause(error, tried, until - time.monotonic())
                if seconds is None:
                    client.raise_for(error, self._address, self._model_name, self._timeout, version)
                await asyncio.sleep(seconds)
        raise AssertionError("counts for ever")
