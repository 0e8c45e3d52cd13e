"""The client: tags and reads pictures through a server or, without one, through a SavedModel loaded in this process.

With a secret key (payload.read_key):

    client = TaggerClient(connect("localhost:8500"), key)   # or TaggerClient(load("models/faketagger"), key)
    tag = client.photograph_tag(pixels, uid=12345)   # Of each face and the rest of a photograph, uint8 [H, W, 3].
    tagged = tag.overlay.on(pixels)
    client.read_photograph(tagged).uid

    png = client.tag(jpeg, uid=12345)   # The whole picture by one call of the model, a file in and out.
    client.read(png)   # Reading(candidate=12345, tagged=True, p_value=3e-15, score=…)
"""

import abc
import dataclasses
import functools
import itertools
import json
import os
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from faketagger.components.contract import startup

startup.quiet_logs()  # Here, as TensorFlow and gRPC read it when they are loaded.

import grpc
import numpy as np
import tensorflow as tf
from tensorflow_serving.apis import (
    get_model_status_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)

from faketagger.components.contract import signatures
from faketagger.components.contract.manifest import TaggerManifest
from faketagger.components.contract.payload import Payload, fingerprint
from faketagger.components.faces.detector import Face
from faketagger.serving import exchange, retrying
from faketagger.serving.errors import (
    AlreadyTaggedError,
    NotReadError,
    OverloadedError,
    PictureError,
    RefusedError,
    TaggerError,
    VersionGoneError,
)
from faketagger.serving.exchange import Reading
from faketagger.serving.model_manager import complete_versions
from faketagger.serving.outcomes import Outcome
from faketagger.serving.photograph import search, tagging
from faketagger.serving.photograph.reading import PhotographReading, Reader
from faketagger.serving.photograph.tagging import FaceTag, Overlay, TaggedFace
from faketagger.serving.photograph.views import Photograph
from faketagger.serving.servable import SAVED_MODEL_FILE, Servable, ServingError

if TYPE_CHECKING:  # They import PyAV, which photographs do without.
    from faketagger.serving.video.clips import Clip
    from faketagger.serving.video.reading import ClipReading
    from faketagger.serving.video.tagging import ClipTag

# A tagged picture comes back as PNG, several times the size of the JPEG that went.
MAX_MESSAGE_BYTES = 256 * 1024 * 1024

_LEAST_PSNR = 20.0  # dB, of a tagged photograph: below, everyone sees it.

_Answer = TypeVar("_Answer")


@dataclasses.dataclass(frozen=True)
class PhotographTag:
    """The tag of one photograph, to be added to it.

    Attributes:
      overlay: what is to be added.
      faces: what became of each face, the largest first; none where none is in it, or none was looked for.
      replaced: what was read from it before, where it carried a tag.
      found: where the faces are, for TaggerClient.check.
    """

    overlay: Overlay
    faces: tuple[TaggedFace, ...]
    replaced: PhotographReading | None
    found: tuple[Face, ...]

    @property
    def whole(self) -> bool:
        """Whether the photograph has but the one tag over all of it."""
        return not any(each.tag is FaceTag.TAGGED for each in self.faces)


@dataclasses.dataclass(frozen=True)
class VersionStatus:
    """One version of a model: its number, START, LOADING, AVAILABLE, UNLOADING or END, and why it failed if it did."""

    version: int
    state: str
    error: str = ""


class Backend(abc.ABC):
    """Where a tagger runs."""

    @abc.abstractmethod
    def predict(
        self, signature: str, inputs: Mapping[str, np.ndarray], outputs: Sequence[str], version: int | None = None
    ) -> tuple[dict[str, np.ndarray], int]:
        """Calls a signature of a version, by default the latest; returns the outputs asked for and the version.

        Raises:
          VersionGoneError: there is no such version, any more.
          RefusedError: it refuses the inputs.
          TaggerError: anything else that failed.
        """

    @abc.abstractmethod
    def status(self) -> list[VersionStatus]:
        """Every version of the model, newest first; TaggerError where there is none."""

    def close(self) -> None:  # noqa: B027  Not every back-end holds something.
        """Lets go of what the back-end holds."""


def connect(
    address: str,
    model_name: str = "faketagger",
    timeout: float = 60.0,
    credentials: grpc.ChannelCredentials | None = None,
    label: str | None = None,
) -> Backend:
    """A back-end that calls TensorFlow Serving, or the embedded server, over gRPC. Nothing is sent yet.

    Args:
      address: host:port.
      model_name: the served model's name.
      timeout: seconds that one call may take, retries included.
      credentials: grpc.ssl_channel_credentials(…), or None for plain text.
      label: the version label to follow instead of the latest version.
    """
    return _GrpcBackend(address, model_name, timeout, credentials, label)


def load(model_dir: str) -> Backend:
    """A back-end in this process: a tagger's SavedModel directory, or the newest in a directory of numbered versions.

    Raises:
      TaggerError: there is none, or it cannot be loaded.
    """
    return _InProcessBackend(model_dir)


def describe(backend: Backend) -> tuple[int, TaggerManifest]:
    """The version that a back-end would use now, and its numbers; TaggerError when there is none."""
    outputs, version = backend.predict(signatures.DESCRIBE, {"request": _strings(b"")}, ["manifest"])
    return version, exchange.manifest_of(outputs["manifest"][0])


class TaggerClient:
    """Tags and reads pictures with a secret key. Safe to call from several threads."""

    def __init__(self, backend: Backend, key: bytes):
        """`key` is payload.read_key's; nothing is asked of the back-end yet."""
        self._backend = backend
        self._key = key
        self._described: exchange.Described | None = None
        self._described_until = 0.0

    @functools.cached_property
    def key_fingerprint(self) -> str:
        """Which key it is, without telling it (payload.fingerprint)."""
        return fingerprint(self._key)

    def tag(self, image: bytes, uid: int, strength: float | None = None, name: str = "picture") -> bytes:
        """A picture file's bytes → a PNG of the same size that carries `uid`.

        Args:
          image: JPEG, PNG, WebP, BMP or TIFF.
          uid: 0 … 2^message_bits − 1.
          strength: the residual's factor, above 0; the model's own default.
          name: what to call the picture in errors.

        Raises:
          PictureError: not a picture, one that the model refuses, or a UID that does not fit.
          TaggerError: the back-end fails.
        """
        return only(self.tag_batch([image], [uid], strength, [name]))

    def read(self, image: bytes, name: str = "picture") -> Reading:
        """Reads a picture file's bytes; errors as for `tag`."""
        return only(self.read_batch([image], [name]))

    def tag_batch(
        self,
        files: Sequence[bytes],
        uids: Sequence[int],
        strength: float | None = None,
        names: Sequence[str] | None = None,
    ) -> list[bytes | PictureError]:
        """As `tag`, for many pictures in few calls: of each what `tag` returns, or its PictureError."""
        exchange.check_strength(strength)
        prepared = exchange.prepare_all(files, names, uids)
        return self._ask(lambda *model: self._hold(exchange.tag(prepared, strength, model), model[0]), "picture")

    def read_batch(self, files: Sequence[bytes], names: Sequence[str] | None = None) -> list[Reading | PictureError]:
        """As `read`, for many pictures in few calls: of each what `read` returns, or its PictureError."""
        prepared = exchange.prepare_all(files, names)
        return self._ask(lambda *model: self._hold(exchange.read(prepared, model), model[0]), "picture")

    def photograph_tag(
        self,
        pixels: np.ndarray,
        uid: int,
        strength: float | None = None,
        whole: bool = False,
        replace: bool = False,
        name: str = "picture",
    ) -> PhotographTag:
        """Makes a photograph's tag: on each face its own, and one on the rest, in the photograph's own resolution.

        First it is looked whether a tag of this key is where this one would go.

        Args:
          pixels: uint8 [H, W, 3], left as they are.
          uid: 0 … 2^message_bits − 1.
          strength: the residual's factor, above 0; the model's own default.
          whole: makes one tag over the whole photograph instead, and looks for no faces.
          replace: makes the tag though there is one.
          name: what to call the photograph in errors.

        Raises:
          AlreadyTaggedError: it carries a tag of this key, and `replace` is false.
          PictureError: the model refuses it, the UID does not fit, or the tag would spoil it at such a strength.
          TaggerError: the back-end fails.
          ValueError: `pixels` is no photograph.
        """
        exchange.check_strength(strength)
        photograph = Photograph(pixels, () if whole else None)

        def ask(version: int, manifest: TaggerManifest, payloads: list[Payload]) -> PhotographTag:
            replaced = self._reader(version, manifest, payloads).claim(photograph)
            if replaced and not replace:
                raise AlreadyTaggedError(name, replaced)
            factor = manifest.strength if strength is None else strength
            encode = self._encoder(version, payloads, uid, factor, replaced)
            overlay, faces = tagging.tag(photograph, encode, manifest.image_size)
            return PhotographTag(overlay, tuple(faces), replaced, tuple(photograph.faces))

        return self._ask(ask, name)

    def check(self, pixels: np.ndarray, uid: int, tag: PhotographTag, name: str = "picture") -> PhotographReading:
        """Reads a tagged photograph as it was written and read again, where the tag was put.

        Args:
          pixels: uint8 [H, W, 3].
          uid: the tag.
          tag: what was added to the photograph before it was written.
          name: what to call the photograph in errors.

        Raises:
          NotReadError: the tag is not read; other errors are photograph_tag's.
        """
        photograph = Photograph(pixels, tag.found)
        reading = self._ask(lambda *described: self._reader(*described).read(photograph, search.LOOK), name)
        _check_uid(reading, uid, name)
        return reading

    def read_photograph(
        self, pixels: np.ndarray, depth: int = search.THOROUGH, name: str = "picture"
    ) -> PhotographReading:
        """Reads a photograph, uint8 [H, W, 3], and searches it for the tag; errors as for photograph_tag.

        Args:
          pixels: the photograph.
          depth: how many stages the search has, search.LOOK to search.THOROUGH.
          name: what to call it in errors.
        """
        photograph = Photograph(pixels)
        return self._ask(lambda *described: self._reader(*described).read(photograph, depth), name)

    def agreement(self, pixels: np.ndarray, uids: Sequence[int], name: str = "picture") -> list[float]:
        """How improbable it is that a photograph without their tags agrees as well with known UIDs (Reader.agreement).

        Args:
          pixels: uint8 [H, W, 3].
          uids: those in question.
          name: what to call it in errors, which are photograph_tag's.
        """
        photograph = Photograph(pixels)
        return self._ask(lambda *described: self._reader(*described).agreement(photograph, uids), name)

    def clip_tag(self, clip: "Clip", uid: int, strength: float | None = None, replace: bool = False) -> "ClipTag":
        """Makes a clip's tag: on each face its own, moved with it, and one on the rest; photograph_tag's arguments and
        errors, and Clip.frames'.
        """
        from faketagger.serving.video import reading, tagging, tracking

        exchange.check_strength(strength)

        def ask(version: int, manifest: TaggerManifest, payloads: list[Payload]) -> "ClipTag":
            before = reading.read(clip, self._reader(version, manifest, payloads), reading.LOOK)
            replaced = before if before.outcome is Outcome.TAGGED else None
            if replaced and not replace:
                raise AlreadyTaggedError(clip.name, replaced)
            factor = manifest.strength if strength is None else strength
            encode = self._encoder(version, payloads, uid, factor, replaced)
            return dataclasses.replace(
                tagging.tag(clip, tracking.follow(clip), encode, manifest.image_size), replaced=replaced
            )

        return self._ask(ask, clip.name)

    def check_clip(self, clip: "Clip", uid: int) -> "ClipReading":
        """Reads a tagged clip as it was written; errors as `check`'s, and Clip.frames'."""
        from faketagger.serving.video import reading

        found = self.read_clip(clip, reading.LOOK)
        _check_uid(found, uid, clip.name)
        return found

    def read_clip(self, clip: "Clip", depth: int | None = None) -> "ClipReading":
        """Reads a clip, at most `depth` stages, video.reading.LOOK to THOROUGH; errors as Clip.frames' and `read`'s."""
        from faketagger.serving.video import reading

        stages = reading.THOROUGH if depth is None else depth
        return self._ask(lambda *described: reading.read(clip, self._reader(*described), stages), clip.name)

    def _encoder(
        self, version: int, payloads: list[Payload], uid: int, strength: float, replaced: PhotographReading | None
    ) -> tagging.Encode:
        """What puts a UID into views, and takes off what the tag before would have added.

        PictureError: the UID is too large. What is returned raises RefusedError where the strength would spoil a view.
        """
        codeword = exchange.codeword(payloads[0], uid)

        def encode(views: np.ndarray) -> np.ndarray:
            encoded = self._encode(version, views, codeword, strength)
            psnr = -10 * np.log10(np.square(encoded - views).mean((1, 2, 3)).max() + 1e-12)
            if psnr < _LEAST_PSNR:
                raise RefusedError(f"a strength of {strength:g} would spoil it ({psnr:.0f} dB)")
            if replaced:
                of_before = next(each for each in payloads if each.version == replaced.best.payload_version)
                encoded -= self._encode(version, views, of_before.codeword(replaced.best.candidate), strength) - views
            return encoded

        return encode

    def _encode(self, version: int, views: np.ndarray, codeword: np.ndarray, strength: float) -> np.ndarray:
        inputs = {
            "images": views,
            "codeword": np.repeat(codeword[np.newaxis], len(views), 0),
            "strength": np.full([len(views)], strength, np.float32),
        }
        # A copy: what a model answers may be read-only.
        return np.array(self._backend.predict(signatures.ENCODE, inputs, ["images"], version)[0]["images"])

    def _reader(self, version: int, manifest: TaggerManifest, payloads: list[Payload]) -> Reader:
        def decode(views: np.ndarray) -> np.ndarray:
            # Masks are taken off by the reader, after views are averaged.
            inputs = {"images": views, "key_mask": np.zeros([len(views), manifest.code_bits], np.float32)}
            return self._backend.predict(signatures.DECODE, inputs, ["logits"], version)[0]["logits"]

        return Reader(decode, payloads, self.key_fingerprint, manifest.image_size, manifest.false_positive_rate)

    def _hold(self, dialogue: exchange.Dialogue[_Answer], version: int) -> _Answer:
        """Asks a version of the back-end what a dialogue asks, and returns what comes of it."""

        def ask(question: exchange.Question) -> Mapping[str, np.ndarray]:
            return self._backend.predict(question.signature, question.inputs, (), version)[0]

        try:
            question = next(dialogue)
            while True:
                try:
                    found = ask(question)
                except RefusedError as error:
                    question = dialogue.throw(error)
                else:
                    question = dialogue.send(found)
        except StopIteration as done:
            return done.value

    def close(self) -> None:
        """Closes the back-end."""
        self._backend.close()

    def _ask(self, ask: Callable[[int, TaggerManifest, list[Payload]], _Answer], name: str) -> _Answer:
        """Calls `ask` with one version and its own code; when that version goes, once more with its successor."""
        try:
            return self._ask_once(ask, name)
        except VersionGoneError:
            self._described = None
            return self._ask_once(ask, name)

    def _ask_once(self, ask: Callable[[int, TaggerManifest, list[Payload]], _Answer], name: str) -> _Answer:
        described = self._described  # Other threads may forget it.
        if described is None or time.monotonic() > self._described_until:
            self._described_until = time.monotonic() + exchange.FOLLOWED_SECONDS
            described = self._described = self._describe()
        try:
            return ask(*described)
        except RefusedError as error:
            raise PictureError(f"{name}: {error}") from error

    def _describe(self) -> exchange.Described:
        return exchange.described(*describe(self._backend), self._key)


def _check_uid(reading: PhotographReading, uid: int, name: str) -> None:
    if reading.uid != uid:
        found = "no tag" if reading.uid is None else f"UID {reading.uid}"
        raise NotReadError(f"{name}: the tag does not hold: UID {uid} was put in, and {found} is read")


def only(results: Sequence[_Answer | PictureError]) -> _Answer:
    """The single result of a batch, or raises it."""
    (result,) = results
    if isinstance(result, PictureError):
        raise result
    return result


def _strings(value: bytes) -> np.ndarray:
    return np.array([value], object)


class _GrpcBackend(Backend):
    def __init__(self, address, model_name, timeout, credentials, label):
        self._address = address
        self._model_name = model_name
        self._timeout = timeout
        self._label = label
        options = channel_options()
        if credentials is None:
            self._channel = grpc.insecure_channel(address, options)
        else:
            self._channel = grpc.secure_channel(address, credentials, options)
        self._predictions = prediction_service_pb2_grpc.PredictionServiceStub(self._channel)
        self._models = model_service_pb2_grpc.ModelServiceStub(self._channel)

    def predict(self, signature, inputs, outputs, version=None):
        request = make_request(self._model_name, self._label, signature, inputs, outputs, version)
        until = time.monotonic() + self._timeout
        for tried in itertools.count(1):
            try:
                response = self._predictions.Predict(request, timeout=max(0.0, until - time.monotonic()))
                return arrays_of(response), response.model_spec.version.value
            except grpc.RpcError as error:
                seconds = retrying.pause(error, tried, until - time.monotonic())
                if seconds is None:
                    raise_for(error, self._address, self._model_name, self._timeout, version)
                time.sleep(seconds)

    def status(self):
        request = get_model_status_pb2.GetModelStatusRequest()
        request.model_spec.name = self._model_name
        try:
            response = self._models.GetModelStatus(request, timeout=self._timeout)
        except grpc.RpcError as error:
            raise_for(error, self._address, self._model_name, self._timeout)
        state = get_model_status_pb2.ModelVersionStatus.State.Name
        versions = response.model_version_status
        return [VersionStatus(it.version, state(it.state), it.status.error_message) for it in versions]

    def close(self):
        self._channel.close()


def channel_options() -> list[tuple[str, Any]]:
    """Of a channel to a server."""
    return [
        ("grpc.service_config", json.dumps(retrying.SERVICE_CONFIG)),
        # gRPC's own is two minutes: a server that was away for one would not be found for another.
        ("grpc.max_reconnect_backoff_ms", 5000),
        ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
        ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
        # What does not fit into this buffer is not retried, and pictures do not fit into its default.
        ("grpc.per_rpc_retry_buffer_size", MAX_MESSAGE_BYTES),
    ]


def make_request(
    model_name: str,
    label: str | None,
    signature: str,
    inputs: Mapping[str, np.ndarray],
    outputs: Sequence[str],
    version: int | None,
) -> predict_pb2.PredictRequest:
    """To a version, else to a label, else to the latest."""
    request = predict_pb2.PredictRequest(output_filter=outputs)
    request.model_spec.name = model_name
    request.model_spec.signature_name = signature
    if version is not None:
        request.model_spec.version.value = version
    elif label is not None:
        request.model_spec.version_label = label
    for name, value in inputs.items():
        request.inputs[name].CopyFrom(tf.make_tensor_proto(value))
    return request


def arrays_of(response: predict_pb2.PredictResponse) -> dict[str, np.ndarray]:
    """The outputs."""
    return {name: tf.make_ndarray(proto) for name, proto in response.outputs.items()}


def raise_for(
    error: grpc.RpcError, address: str, model_name: str, timeout: float, version: int | None = None
) -> NoReturn:
    """Raises the TaggerError of a failed call to a server, of a version if it asked for one."""
    code = error.code()
    if version is not None and code == grpc.StatusCode.NOT_FOUND:
        raise VersionGoneError(f"{address}: version {version} is no longer served") from error
    if retrying.is_overload(error):
        raise OverloadedError(f"{address}: too much to do; try again later") from error
    if code == grpc.StatusCode.UNAVAILABLE:
        hint = "`faketagger serve --model_base_path=DIR` starts one"
        raise TaggerError(f"{address}: no server can be reached; {hint}") from error
    if code == grpc.StatusCode.DEADLINE_EXCEEDED:
        raise TaggerError(f"{address}: no answer within {timeout:g} s") from error
    if code == grpc.StatusCode.NOT_FOUND:
        wrong = f"no version of a model '{model_name}' is served there"
        raise TaggerError(f"{address}: {wrong} ({_first_line(error.details())})") from error
    _raise_refusal(address, code, error.details(), error)


class _InProcessBackend(Backend):
    def __init__(self, model_dir: str):
        self._path, self._version = _newest(model_dir)
        try:
            self._servable = Servable(self._path)
        except Exception as error:  # Broken files raise many kinds; all mean that this model cannot be used.
            raise TaggerError(f"{self._path}: not a loadable SavedModel ({_first_line(str(error))})") from error

    def predict(self, signature, inputs, outputs, version=None):
        try:
            results = self._servable.run(signature, inputs, outputs)
        except ServingError as error:
            _raise_refusal(self._path, error.code, error.message, error)
        return {name: np.asarray(tensor) for name, tensor in results.items()}, self._version

    def status(self):
        return [VersionStatus(self._version, "AVAILABLE")]


def _newest(model_dir: str) -> tuple[str, int]:
    try:
        if tf.io.gfile.exists(os.path.join(model_dir, SAVED_MODEL_FILE)):
            return model_dir, 0
        versions = complete_versions(model_dir)
    except tf.errors.OpError as error:
        raise TaggerError(f"{model_dir}: cannot be listed: {_first_line(error.message)}") from error
    if not versions:
        raise TaggerError(f"{model_dir}: neither a SavedModel nor a directory of numbered versions of one")
    return versions[max(versions)], max(versions)


def _raise_refusal(where: str, code: grpc.StatusCode, details: str, cause: Exception) -> NoReturn:
    if code in (grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.RESOURCE_EXHAUSTED):
        raise RefusedError(f"{where} refuses it: {_first_line(details)}") from cause
    if code == grpc.StatusCode.FAILED_PRECONDITION:
        raise TaggerError(f"{where}: not a tagger: {_first_line(details)}") from cause
    raise TaggerError(f"{where}: {code.name}: {_first_line(details)}") from cause


def _first_line(text: str | None) -> str:
    lines = [line.strip() for line in (text or "").splitlines() if line.strip()]
    return lines[0][:300] if lines else "no details"
