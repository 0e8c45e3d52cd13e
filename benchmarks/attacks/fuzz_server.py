"""Somebody who can reach a server sends it what nobody should: mutated messages, tensors and picture files.

    python benchmarks/attacks/fuzz_server.py --calls=20000

A server of its own is started with the tagger, and several clients send at once, while another goes on reading a good
picture and asking for health. Counted are answers by status, calls without an answer in time (hangs), ends of the
process (crashes), the longest wait of the good calls, and the memory that the server has after each tenth of the calls.
"""

import argparse
import collections
import random
import threading
import time
from collections.abc import Callable

from faketagger.components.contract import startup

startup.quiet()  # Before TensorFlow is imported.

import grpc
import numpy as np
import tensorflow as tf
from grpc_health.v1 import health_pb2, health_pb2_grpc
from tensorflow.core.framework import tensor_pb2
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

from faketagger.benchmarks.server_process import ServerProcess, drawn_face
from faketagger.components.contract import manifest, pretrained, signatures

_SERVICE = "/tensorflow.serving"
_PREDICT = f"{_SERVICE}.PredictionService/Predict"
_METHODS = (  # Not HandleReloadConfigRequest: whoever may call it may also take every model away.
    _PREDICT,
    f"{_SERVICE}.PredictionService/GetModelMetadata",
    f"{_SERVICE}.PredictionService/Classify",
    f"{_SERVICE}.ModelService/GetModelStatus",
    "/grpc.health.v1.Health/Check",
)
_SECONDS_A_CALL = 60.0
_STRANGE_SIZES = (0, 1, 2, 64, 65, 10**5, 2**31, 2**62, -1)


class Seeds:
    """Good requests and files, from which bad ones are made.

    Args:
      code_bits: of the tagger.
      image_size: of the pictures, small ones.
    """

    def __init__(self, code_bits: int, image_size: int = 96):
        self._bits = np.zeros([1, code_bits], np.float32)
        options = (("PNG", {}), ("JPEG", {}), ("JPEG", {"progressive": True}))
        self.files = [drawn_face(image_size, 1, kind, **told) for kind, told in options]

    def request(self, signature: str, file: bytes) -> predict_pb2.PredictRequest:
        """To tag or to read one file."""
        request = predict_pb2.PredictRequest()
        request.model_spec.name = "faketagger"
        request.model_spec.signature_name = signature
        request.inputs["image"].CopyFrom(tf.make_tensor_proto([file]))
        if signature == signatures.TAG:
            request.inputs["codeword"].CopyFrom(tf.make_tensor_proto(self._bits))
            request.inputs["strength"].CopyFrom(tf.make_tensor_proto(np.ones([1], np.float32)))
        else:
            request.inputs["key_mask"].CopyFrom(tf.make_tensor_proto(self._bits))
        return request


def mutate(data: bytes, draw: random.Random) -> bytes:
    """Some bytes changed, cut out, repeated or put in."""
    changed = bytearray(data)
    for _ in range(draw.choice((1, 1, 2, 5, 30))):
        start = draw.randrange(len(changed) + 1)
        length = draw.choice((1, 2, 4, 50, len(changed)))
        piece = changed[start : start + length]
        changed[start : start + length] = draw.choice(
            (b"", piece * 2, bytes(draw.randrange(256) for _ in range(min(len(piece), 50))), b"\xff\xda" + piece)
        )
        if draw.random() < 0.5 and changed:
            changed[draw.randrange(len(changed))] = draw.randrange(256)
    return bytes(changed[:1_000_000])


def mutate_tensor(tensor: tensor_pb2.TensorProto, draw: random.Random) -> None:
    """Another type, shape, number of values, or values."""
    what = draw.randrange(4)
    if what == 0:
        tensor.dtype = draw.randrange(25)
    elif what == 1:
        del tensor.tensor_shape.dim[:]
        for _ in range(draw.randrange(4)):
            tensor.tensor_shape.dim.add(size=draw.choice(_STRANGE_SIZES))
    elif what == 2:
        tensor.tensor_content = bytes(draw.randrange(256) for _ in range(draw.choice((0, 1, 4, 400))))
    else:
        tensor.float_val[:] = [draw.choice((float("nan"), float("inf"), -1e30, 7.0))] * draw.randrange(300)


def attack(seeds: Seeds, draw: random.Random) -> tuple[str, bytes]:
    """A method and the message for it."""
    signature = draw.choice((signatures.TAG, signatures.READ))
    file = draw.choice(seeds.files)
    kind = draw.randrange(4)
    if kind == 0:
        return _PREDICT, seeds.request(signature, mutate(file, draw)).SerializeToString()
    request = seeds.request(signature, file)
    if kind == 1:
        mutate_tensor(request.inputs[draw.choice(sorted(request.inputs))], draw)
        return _PREDICT, request.SerializeToString()
    return draw.choice((_PREDICT, draw.choice(_METHODS))), mutate(request.SerializeToString(), draw)


class Counts:
    """What came of the calls, counted from several threads."""

    def __init__(self, calls: int, memory: Callable[[], int]):
        """`memory` is asked after each tenth of the calls."""
        self._lock = threading.Lock()
        self._calls, self._memory = calls, memory
        self.begun = 0
        self.memory: list[int] = []
        self.answers: collections.Counter[str] = collections.Counter()
        self.slowest = 0.0
        self.good_failed = 0

    def begin(self) -> bool:
        """Whether there is one more call to make."""
        with self._lock:
            self.begun += 1
            return self.begun <= self._calls

    @property
    def is_over(self) -> bool:
        """Whether all calls have been made."""
        return sum(self.answers.values()) >= self._calls

    def attacked(self, code: str) -> None:
        """An attack was answered so."""
        with self._lock:
            self.answers[code] += 1
            if not sum(self.answers.values()) % max(1, self._calls // 10):
                self.memory.append(self._memory())

    def good(self, call: Callable[[], object]) -> None:
        """Makes a call that must be answered."""
        start = time.monotonic()
        try:
            call()
        except grpc.RpcError:
            self.good_failed += 1
        self.slowest = max(self.slowest, time.monotonic() - start)


def _send(address: str, seeds: Seeds, seed: int, counts: Counts) -> None:
    draw = random.Random(seed)
    with grpc.insecure_channel(address, [("grpc.use_local_subchannel_pool", 1)]) as channel:
        while counts.begin():
            method, message = attack(seeds, draw)
            try:
                channel.unary_unary(method)(message, timeout=_SECONDS_A_CALL)
                counts.attacked("OK")
            except grpc.RpcError as error:
                counts.attacked(error.code().name)


def _hold_open(address: str, counts: Counts) -> None:
    """Calls that send nothing, again and again."""

    def nothing():
        while not counts.is_over:
            time.sleep(0.5)
        yield from ()

    with grpc.insecure_channel(address, [("grpc.use_local_subchannel_pool", 1)]) as channel:
        while not counts.is_over:
            calls = [channel.stream_unary(_PREDICT).future(nothing(), timeout=_SECONDS_A_CALL) for _ in range(20)]
            for call in calls:
                call.exception()
            time.sleep(0.5)


def _read_on(address: str, seeds: Seeds, counts: Counts) -> None:
    with grpc.insecure_channel(address, [("grpc.use_local_subchannel_pool", 1)]) as channel:
        predictions = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        health = health_pb2_grpc.HealthStub(channel)
        request = seeds.request(signatures.READ, seeds.files[0])
        while not counts.is_over:
            counts.good(lambda: predictions.Predict(request, timeout=_SECONDS_A_CALL))
            counts.good(lambda: health.Check(health_pb2.HealthCheckRequest(), timeout=_SECONDS_A_CALL))
            time.sleep(0.2)


def main(arguments: argparse.Namespace) -> int:
    """Prints what came of it; fails where the server did."""
    seeds = Seeds(manifest.read(manifest.TaggerManifest, arguments.model).code_bits)
    with ServerProcess(arguments.model) as server:
        counts = Counts(arguments.calls, server.mebibytes)
        start = time.monotonic()
        threads = [
            threading.Thread(target=_read_on, args=(server.address, seeds, counts)),
            threading.Thread(target=_hold_open, args=(server.address, counts)),
        ]
        for client in range(arguments.clients):
            threads.append(
                threading.Thread(target=_send, args=(server.address, seeds, arguments.seed + client, counts))
            )
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        seconds, crashed = time.monotonic() - start, not server.is_alive
    hangs, total = counts.answers["DEADLINE_EXCEEDED"], sum(counts.answers.values())
    answers = ", ".join(f"{code} {number:,}" for code, number in counts.answers.most_common())
    print(f"{total:,} calls in {seconds:.0f} s by {arguments.clients} clients: {answers}")
    good = f"of good calls {counts.good_failed} failed, the slowest took {counts.slowest:.1f} s"
    print(f"crashes {int(crashed)}, hangs {hangs}; {good}")
    print(f"memory after each tenth, MiB: {', '.join(map(str, counts.memory))}")
    return startup.FAILED if crashed or hangs or counts.good_failed else startup.OK


def make_parser() -> startup.Parser:
    """Of the flags."""
    parser = startup.Parser("python benchmarks/attacks/fuzz_server.py", __doc__)
    add = parser.add_argument
    add("--model", default=pretrained.TAGGER, metavar="DIR", help="the tagger; default: the shipped one")
    add("--calls", type=int, default=20_000, help="how many")
    add("--clients", type=int, default=4, help="how many send at once")
    add("--seed", type=int, default=1, help="of the mutations")
    return parser


if __name__ == "__main__":
    startup.run(main, make_parser())
