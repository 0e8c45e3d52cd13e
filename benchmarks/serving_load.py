"""How many pictures the embedded server tags and reads, from one client and from many at once.

    python benchmarks/serving_load.py --seconds=10

Beside it, the same signatures called in this process, with 1, 4 and 16 pictures at a time: what the server adds, and
what batching could give. Pictures are drawn faces as PNG; those that are read carry a tag, but for `read, untagged`,
which looks further before it says that there is none. Told are pictures a second and, as other work on the machine
changes the former, the processor time that a picture takes of the server, clients' excluded.
"""

import argparse
import resource
import threading
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

from faketagger.components.contract import startup

startup.quiet()  # Before TensorFlow is imported.

import numpy as np

from faketagger.benchmarks.server_process import ServerProcess, drawn_face
from faketagger.components.contract import manifest, payload, pretrained
from faketagger.serving.client import Backend, connect, load

_KEY = b"faketagger-key-2-of the benchmark of load"
_BATCHES = (1, 4, 16)


class Rate(NamedTuple):
    """Pictures a second, milliseconds of processor time a picture, and the seconds that the slowest call of 20 took."""

    pictures: float
    milliseconds: float
    slowest: float

    def __str__(self) -> str:
        return f"{self.pictures:.1f} | {self.milliseconds:.0f} | {self.slowest:.2f}"


_READ_UNTAGGED = "read, untagged"
_KINDS = ("read", _READ_UNTAGGED, "tag")


class Work:
    """Calls of one signature for pictures of one side; `kind` is one of _KINDS, `tagger` makes what is read."""

    def __init__(self, kind: str, side: int, model: str, tagger: Backend):
        numbers = manifest.read(manifest.TaggerManifest, model)
        code = payload.Payload.of_key(_KEY, payload.code_matrix_from_hex(numbers.code_matrix, numbers.code_bits))
        self.kind, self.side = kind, side
        self._signature = "tag" if kind == "tag" else "read"
        self._bits = np.float32(code.codeword(7) if kind == "tag" else code.mask)
        self._file = drawn_face(side)
        if kind == "read":
            codeword, strength = np.float32(code.codeword(7))[None], np.ones([1], np.float32)
            inputs = {"image": np.array([self._file], object), "codeword": codeword, "strength": strength}
            outputs, _ = tagger.predict("tag", inputs, ())
            self._file = outputs["image"][0]

    def ask(self, backend: Backend, pictures: int) -> None:
        """Calls it with so many pictures."""
        inputs = {"image": np.array([self._file] * pictures, object)}
        bits = np.tile(self._bits, [pictures, 1])
        if self._signature == "tag":
            inputs |= {"codeword": bits, "strength": np.ones([pictures], np.float32)}
        else:
            inputs["key_mask"] = bits
        backend.predict(self._signature, inputs, ())


def measured(call: Callable[[int], int], clients: int, seconds: float, processor: Callable[[], float]) -> Rate:
    """Makes calls from so many threads for so long.

    Args:
      call: takes the number of the thread, returns how many pictures it was for.
      clients: threads.
      seconds: how long.
      processor: the processor time taken so far.
    """
    for client in range(min(clients, 2)):  # The first of a kind builds its functions.
        call(client)
    times: list[float] = []
    pictures: list[int] = []
    start, before = time.monotonic(), processor()

    def run(client: int) -> None:
        while (begun := time.monotonic()) < start + seconds:
            pictures.append(call(client))
            times.append(time.monotonic() - begun)

    threads = [threading.Thread(target=run, args=(client,)) for client in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    taken, count = time.monotonic() - start, sum(pictures)
    return Rate(count / taken, 1000 * (processor() - before) / count, float(np.quantile(times, 0.95)))


def _own_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def in_process(works: Sequence[Work], tagger: Backend, seconds: float) -> None:
    """Prints a row a kind, side and batch."""
    print("| in process | side | pictures a call | pictures/s | ms of processor | 95% of calls within, s |")
    print("|---|---|---|---|---|---|")
    for work in works:
        for batch in _BATCHES:

            def call(_: int, work: Work = work, batch: int = batch) -> int:
                work.ask(tagger, batch)
                return batch

            rate = measured(call, 1, seconds, _own_seconds)
            print(f"| {work.kind} | {work.side} | {batch} | {rate} |", flush=True)


def served(works: Sequence[Work], model: str, seconds: float, clients: Sequence[int]) -> None:
    """Prints a row a kind, side and number of clients."""
    print("| served | side | clients | pictures/s | ms of processor | 95% of calls within, s |")
    print("|---|---|---|---|---|---|")
    with ServerProcess(model) as server:
        backends = [connect(server.address, timeout=300.0) for _ in range(max(clients))]
        for work in works:
            for count in clients:

                def call(client: int, work: Work = work) -> int:
                    work.ask(backends[client], 1)
                    return 1

                rate = measured(call, count, seconds, server.seconds)
                print(f"| {work.kind} | {work.side} | {count} | {rate} |", flush=True)
        for backend in backends:
            backend.close()


def main(arguments: argparse.Namespace) -> int:
    """Prints both tables."""
    tagger = load(arguments.model)
    works = [Work(kind, side, arguments.model, tagger) for kind in _KINDS for side in arguments.sides]
    if not arguments.only_served:
        in_process(works, tagger, arguments.seconds)
    served(works, arguments.model, arguments.seconds, arguments.clients)
    return startup.OK


def make_parser() -> startup.Parser:
    """Of the flags."""
    parser = startup.Parser("python benchmarks/serving_load.py", __doc__)
    add = parser.add_argument
    add("--model", default=pretrained.TAGGER, metavar="DIR", help="the tagger; default: the shipped one")
    add("--seconds", type=float, default=10.0, help="of each row")
    add("--clients", type=int, nargs="+", default=[1, 4, 16, 64], help="at once")
    add("--sides", type=int, nargs="+", default=[256, 1024], help="of pictures")
    add("--only_served", action="store_true", help="without the calls in this process")
    return parser


if __name__ == "__main__":
    startup.run(main, make_parser())
