"""An embedded server in a process of its own, for benchmarks and attacks, and pictures for it."""

import io
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence

from PIL import Image

from faketagger.components.example_gen import face_drawing

_TICKS = os.sysconf("SC_CLK_TCK")


def drawn_face(side: int, number: int = 1, kind: str = "PNG", **options: object) -> bytes:
    """A picture's file; `options` are Pillow's."""
    buffer = io.BytesIO()
    Image.fromarray(face_drawing.draw(face_drawing.sample_traits(7, number), side)).save(buffer, kind, **options)
    return buffer.getvalue()


class ServerProcess:
    """Serves a copy of a tagger as version 1; a context.

    Attributes:
      base_path: where versions are looked for.
      address: host and port.
    """

    def __init__(
        self, model: str, flags: Sequence[str] = (), root: str | None = None, most_mebibytes: int | None = None
    ):
        """Starts it and waits until it serves.

        Args:
          model: the tagger's directory.
          flags: of `faketagger serve`.
          root: a folder that holds another state of this project as `faketagger`, which is then run.
          most_mebibytes: of address space that it may take.
        """
        self._folder = tempfile.TemporaryDirectory()
        self.base_path = self._folder.name
        shutil.copytree(model, os.path.join(self.base_path, "1"))
        self._flags, self._root, self._most_mebibytes = list(flags), root, most_mebibytes
        self._start("--port=0")

    def __enter__(self) -> "ServerProcess":
        return self

    def __exit__(self, *error: object) -> None:
        self._process.terminate()
        try:
            self._process.wait(60)
        except subprocess.TimeoutExpired:
            self.kill()
        self._folder.cleanup()

    @property
    def is_alive(self) -> bool:
        """Whether the process is still there."""
        return self._process.poll() is None

    @property
    def peak_mebibytes(self) -> int:
        """The most that it has had in memory; 0 where it is gone."""
        try:
            with open(f"/proc/{self._process.pid}/status") as file:
                found = [line.split()[1] for line in file if line.startswith("VmHWM")]
        except OSError:
            found = []
        return int(found[0]) // 1024 if found else 0

    def kill(self) -> None:
        """Ends it as kill -9 does."""
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()

    def start_again(self) -> None:
        """After its end, at the same address."""
        self._start(f"--port={self.address.rpartition(':')[2]}")

    def mebibytes(self) -> int:
        """What it has in memory; 0 where it is gone."""
        try:
            with open(f"/proc/{self._process.pid}/statm") as file:
                return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") // 2**20
        except (OSError, IndexError):
            return 0

    def seconds(self) -> float:
        """Of processor time that it has taken."""
        with open(f"/proc/{self._process.pid}/stat") as file:
            fields = file.read().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS

    def _start(self, port: str) -> None:
        command = [
            sys.executable,
            "-m",
            "faketagger",
            "serve",
            f"--model_base_path={self.base_path}",
            port,
            *self._flags,
        ]
        environment = {**os.environ, **({"PYTHONPATH": os.path.abspath(self._root)} if self._root else {})}
        most = (self._most_mebibytes * 2**20,) * 2 if self._most_mebibytes else (resource.RLIM_INFINITY,) * 2
        self._process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=environment,
            cwd=self.base_path,
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, most),
        )
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the server did not start: {' '.join(command)}")
        self.address = f"localhost:{int(line.rpartition(':')[2])}"
