"""Somebody who can reach a server wants to stop it with few and small requests.

    python benchmarks/attacks/harm_server.py [--root=DIR]

With --root, another state of this project is attacked, which lies in DIR as `faketagger` (`git worktree add
DIR/faketagger COMMIT`): what it was like before. Printed are, of each attack, its answer, how long a health check and a
good read took beside it, what memory it added at its peak, and whether the process went on.
"""

import argparse
import io
import time
from collections.abc import Callable, Iterator

from faketagger.components.contract import startup

startup.quiet()  # Before TensorFlow is imported.

import grpc
import numpy as np
import tensorflow as tf
from grpc_health.v1 import health_pb2, health_pb2_grpc
from PIL import Image
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

from faketagger.benchmarks.server_process import ServerProcess, drawn_face
from faketagger.components.contract import manifest, pretrained

_PREDICT = "/tensorflow.serving.PredictionService/Predict"
_ATTACKS = ["half_open", "broken", "bomb", "scans", "sizes"]
_MOST_MEBIBYTES = 9000  # Of address space, of which TensorFlow takes some thousands by itself: nothing else is harmed.
_HALF_OPEN, _SCANS, _DECLARED = 20, 5000, 2_000_000


class Attacker:
    """Sends requests to a server.

    Args:
      address: the server's.
      code_bits: its tagger's.
      patience: seconds after which an answer is no longer waited for.
    """

    def __init__(self, address: str, code_bits: int, patience: float):
        self._patience = patience
        self._channel = grpc.insecure_channel(address, [("grpc.max_send_message_length", -1)])
        self._stub = prediction_service_pb2_grpc.PredictionServiceStub(self._channel)
        self._health = health_pb2_grpc.HealthStub(self._channel)
        self._bits = code_bits
        self._open: list = []

    def half_open(self) -> str:
        """Calls that send nothing."""

        def nothing() -> Iterator[bytes]:
            time.sleep(4 * self._patience)
            yield from ()

        self._open = [self._channel.stream_unary(_PREDICT).future(nothing()) for _ in range(_HALF_OPEN)]
        time.sleep(1)
        return f"{_HALF_OPEN} calls are open"

    def bomb(self) -> str:
        """A PNG of 10,000×10,000 pixels in 12 KB."""
        return self._read(_file_of(Image.new("1", (10_000, 10_000)), "PNG"))

    def scans(self) -> str:
        """A small JPEG of very many scans."""
        data = _file_of(Image.new("RGB", (1000, 1000)), "JPEG", progressive=True)
        last = data[data.rindex(b"\xff\xda") : -2]
        return self._read(data[:-2] + last * _SCANS + data[-2:])

    def broken(self) -> str:
        """A hundred files that are cut off."""
        data = _file_of(Image.effect_noise((1500, 1500), 90).convert("RGB"), "JPEG")
        return [self._read(data[: len(data) * 2 // 3]) for _ in range(100)][-1]

    def sizes(self) -> str:
        """A shape that declares far more values than are sent."""
        request = self._request(drawn_face(64))
        tensor = request.inputs["key_mask"]
        del tensor.float_val[:]
        tensor.ClearField("tensor_content")
        tensor.float_val.append(0.0)
        tensor.tensor_shape.dim[0].size = _DECLARED
        return self._send(request)

    def good_calls(self) -> tuple[float, float]:
        """Seconds that a health check and a read of a good picture take; infinite where they are not answered."""
        ask = health_pb2.HealthCheckRequest()
        health = _seconds(lambda: self._health.Check(ask, timeout=self._patience))
        good = self._request(drawn_face(256))
        return health, _seconds(lambda: self._stub.Predict(good, timeout=self._patience))

    def close(self) -> None:
        """Ends what it holds open."""
        for call in self._open:
            call.cancel()
        self._channel.close()

    def _read(self, file: bytes) -> str:
        return self._send(self._request(file))

    def _send(self, request: predict_pb2.PredictRequest) -> str:
        size = request.ByteSize()
        try:
            self._stub.Predict(request, timeout=self._patience)
            return f"answered ({size:,} bytes)"
        except grpc.RpcError as error:
            return f"{error.code().name} ({size:,} bytes)"

    def _request(self, file: bytes) -> predict_pb2.PredictRequest:
        request = predict_pb2.PredictRequest()
        request.model_spec.name, request.model_spec.signature_name = "faketagger", "read"
        request.inputs["image"].CopyFrom(tf.make_tensor_proto([file]))
        request.inputs["key_mask"].CopyFrom(tf.make_tensor_proto(np.zeros([1, self._bits], np.float32)))
        return request


def _file_of(picture: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def _seconds(call: Callable[[], object]) -> float:
    start = time.monotonic()
    try:
        call()
        return time.monotonic() - start
    except grpc.RpcError:
        return float("inf")


def main(arguments: argparse.Namespace) -> int:
    """Prints a row an attack; fails where one was served anything but a refusal, or stopped others."""
    bits = manifest.read(manifest.TaggerManifest, arguments.model).code_bits
    harmed = False
    print("| attack | answer | after, s | health, s | good read, s | memory added, MiB | process |")
    print("|---|---|---:|---:|---:|---:|---|", flush=True)
    with ServerProcess(arguments.model, root=arguments.root, most_mebibytes=_MOST_MEBIBYTES) as server:
        for name in arguments.attacks:
            attacker = Attacker(server.address, bits, arguments.patience)
            attacker.good_calls()
            before = server.mebibytes()
            begun = time.monotonic()
            answer = getattr(attacker, name)()
            seconds = time.monotonic() - begun
            health, good = attacker.good_calls()
            added = max(server.peak_mebibytes - before, 0)
            attacker.close()
            harmed |= not server.is_alive or health == float("inf") or good == float("inf")
            went = "goes on" if server.is_alive else "ended"
            print(f"| {name} | {answer} | {seconds:.1f} | {health:.1f} | {good:.1f} | {added} | {went} |", flush=True)
            if not server.is_alive or health == float("inf"):
                server.kill()
                server.start_again()
    return startup.FAILED if harmed else startup.OK


def make_parser() -> startup.Parser:
    """Of the flags."""
    parser = startup.Parser("python benchmarks/attacks/harm_server.py", __doc__)
    add = parser.add_argument
    add("--model", default=pretrained.TAGGER, metavar="DIR", help="the tagger; default: the shipped one")
    add("--attacks", nargs="+", default=_ATTACKS, choices=_ATTACKS, help="which")
    add("--patience", type=float, default=30.0, help="seconds after which a call counts as not answered")
    add("--root", metavar="DIR", help="a folder with another state of the project, which is attacked")
    return parser


if __name__ == "__main__":
    startup.run(main, make_parser())
