"""Clients that tag and read at full load while versions are pushed, broken ones too, and the server is killed.

    python benchmarks/serving_pushes.py --seconds=600

Every --push_every seconds a version is copied in and moved to its place; the third is broken. In the middle the process
is ended as by kill -9, and started again. Each answer is looked at: a read must give the UID, what is tagged is read
here. Counted are right and wrong answers, errors by what they say, and the longest time without an answer.
"""

import argparse
import collections
import os
import shutil
import threading
import time

from faketagger.components.contract import startup

startup.quiet()  # Before TensorFlow is imported.

from faketagger.benchmarks.server_process import ServerProcess, drawn_face
from faketagger.components.contract import pretrained
from faketagger.serving.client import TaggerClient, TaggerError, connect, load

_KEY = b"faketagger-key-2-of the benchmark of pushes"
_UID, _BROKEN_PUSH = 5, 3
_SECONDS_A_CALL = 60.0


class Counts:
    """What came of the calls, counted from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.right = self.wrong = 0
        self.errors: collections.Counter[str] = collections.Counter()
        self.longest = 0.0
        self._last = time.monotonic()

    def answered(self, is_right: bool) -> None:
        """A call was answered."""
        now = time.monotonic()
        with self._lock:
            self.right, self.wrong = self.right + is_right, self.wrong + (not is_right)
            self.longest, self._last = max(self.longest, now - self._last), now

    def failed(self, error: TaggerError) -> None:
        """A call failed with a sentence."""
        with self._lock:
            self.errors[str(error).partition(";")[0].partition(" (")[0][:100]] += 1


def _use(address: str, own: TaggerClient, number: int, over: threading.Event, counts: Counts) -> None:
    """Tags and reads by turns."""
    picture = drawn_face(256, number)
    tagged = own.tag(picture, _UID)
    with_tag = number % 2
    client = TaggerClient(connect(address, timeout=_SECONDS_A_CALL), _KEY)
    while not over.is_set():
        try:
            if with_tag:
                counts.answered(own.read(client.tag(picture, _UID)).uid == _UID)
            else:
                counts.answered(client.read(tagged).uid == _UID)
        except TaggerError as error:
            counts.failed(error)
            time.sleep(0.2)
        with_tag = not with_tag
    client.close()


def _push(model: str, base_path: str, version: int, is_broken: bool) -> None:
    beside = os.path.join(base_path, "coming")
    shutil.copytree(model, beside)
    if is_broken:
        with open(os.path.join(beside, "saved_model.pb"), "r+b") as file:
            file.truncate(os.path.getsize(os.path.join(model, "saved_model.pb")) // 2)
    os.rename(beside, os.path.join(base_path, str(version)))


def _state(address: str, version: int) -> str:
    """Of a version, once the server has looked at it."""
    backend = connect(address, timeout=_SECONDS_A_CALL)
    until = time.monotonic() + _SECONDS_A_CALL
    found = ""
    while not found.startswith("END") and time.monotonic() < until:
        time.sleep(0.5)
        found = next((f"{it.state}: {it.error}" for it in backend.status() if it.version == version), "not seen")
    backend.close()
    return " ".join(found.split())[:100]


def _disturb(server: ServerProcess, arguments: argparse.Namespace, start: float) -> list[str]:
    """Pushes and kills until the time is over; what was done and when."""
    done = []
    pushes = int(arguments.seconds / arguments.push_every) - 1
    for number in range(1, pushes + 1):
        time.sleep(max(0.0, start + number * arguments.push_every - time.monotonic()))
        is_broken = number == _BROKEN_PUSH
        _push(arguments.model, server.base_path, 1 + number, is_broken)
        done.append(f"{time.monotonic() - start:.0f} s: {'broken ' if is_broken else ''}version {1 + number}")
        if is_broken:
            done.append(f"it is {_state(server.address, 1 + number)}")
        if number == max(1, pushes // 2):
            server.kill()
            server.start_again()
            done.append(f"{time.monotonic() - start:.0f} s: killed and started again")
    time.sleep(max(0.0, start + arguments.seconds - time.monotonic()))
    return done


def main(arguments: argparse.Namespace) -> int:
    """Prints what came of it; fails where an answer was wrong."""
    counts = Counts()
    own = TaggerClient(load(arguments.model), _KEY)
    with ServerProcess(arguments.model) as server:
        over = threading.Event()
        threads = [
            threading.Thread(target=_use, args=(server.address, own, number, over, counts))
            for number in range(arguments.clients)
        ]
        for thread in threads:
            thread.start()
        while not (counts.right or counts.wrong or counts.errors) and threads[0].is_alive():
            time.sleep(0.1)
        try:
            done = _disturb(server, arguments, time.monotonic())
        finally:
            over.set()
        for thread in threads:
            thread.join()
        memory = server.mebibytes()
        states = connect(server.address).status()
    print("; ".join(done))
    print(f"right {counts.right:,}, wrong {counts.wrong}, the longest time without an answer {counts.longest:.1f} s")
    for said, times in counts.errors.most_common():
        print(f"error, {times} times: {said}")
    print(f"memory at the end, MiB: {memory}; versions: {', '.join(f'{it.version} {it.state}' for it in states)}")
    return startup.FAILED if counts.wrong or not counts.right else startup.OK


def make_parser() -> startup.Parser:
    """Of the flags."""
    parser = startup.Parser("python benchmarks/serving_pushes.py", __doc__)
    add = parser.add_argument
    add("--model", default=pretrained.TAGGER, metavar="DIR", help="the tagger; default: the shipped one")
    add("--seconds", type=float, default=600.0, help="how long")
    add("--push_every", type=float, default=30.0, help="seconds between pushes")
    add("--clients", type=int, default=8, help="at once")
    return parser


if __name__ == "__main__":
    startup.run(main, make_parser())
