"""What an archive is tagged or read with, typed: the same for every worker."""

import contextlib
import fcntl
import os
from collections.abc import Iterator

from faketagger.components.contract import files
from faketagger.components.contract.settings import Field, Settings

# Below the folder of outputs; begins with a dot, so that nobody takes what is in it for pictures.
STATE = ".faketagger-archive"
_SETTINGS_FILE, _LOCK_FILE = "archive.json", "lock"
# What must not change between a run and the one that goes on with it: outputs would differ.
_KEPT = ("reads", "key_fingerprint", "tagger", "strength", "whole", "registers")


class Backend(Settings):
    """Where the tagger runs: the flags of serving.commands.common, by their names."""

    server: str | None = None
    model: str | None = None
    model_name: str = "faketagger"
    label: str | None = None
    timeout: float = Field(60.0, gt=0)
    tls: bool = False
    tls_ca_file: str | None = None
    tls_cert_file: str | None = None
    tls_key_file: str | None = None


class ArchiveSettings(Settings):
    """Attributes:
    out: the folder of outputs, local or anything that TensorFlow can write to.
    key_file: of the secret key; every worker reads it, so that the key itself does not travel.
    key_fingerprint: of that key, by which another one is noticed.
    backend: where the tagger runs.
    tagger: a fingerprint of its manifest: what one tagger wrote another one cannot read.
    reads: tags are read, not written.
    strength, whole, replaces: as `faketagger tag` takes them.
    max_megapixels: larger pictures are refused.
    registers: tagged pictures are registered with the platform, whose database each worker's environment names: its
      password does not travel.
    """

    out: str
    key_file: str
    key_fingerprint: str
    backend: Backend = Backend()
    tagger: str = ""
    reads: bool = False
    strength: float | None = Field(None, gt=0)
    whole: bool = False
    replaces: bool = False
    max_megapixels: float = Field(200.0, gt=0)
    registers: bool = False

    @property
    def state(self) -> str:
        """The folder of what is known of the work: plan and done parts."""
        return os.path.join(self.out, STATE)

    @property
    def most(self) -> int:
        """Pixels that a picture may have."""
        return int(self.max_megapixels * 1e6)

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Within it no other run works there; ValueError where one does. Not where TensorFlow alone can write."""
        if "://" in self.out:
            yield
            return
        os.makedirs(self.state, exist_ok=True)
        with open(os.path.join(self.state, _LOCK_FILE), "w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # The system lets go of it however the run ends.
            except BlockingIOError:
                raise ValueError(
                    f"{self.out}: another run is at work there: wait for it, or choose another --out"
                ) from None
            yield

    def keep(self) -> None:
        """Writes down what the work began with; ValueError where it began with something else."""
        path = os.path.join(self.state, _SETTINGS_FILE)
        now = {name: getattr(self, name) for name in _KEPT}
        try:
            before = files.read_json(path, "what an archive began with")
        except ValueError as error:
            if files.exists(path):
                raise ValueError(f"{error}: name another folder of outputs") from error
            files.write_json(path, now)
            return
        other = [
            f"{name} {before[name]!r}, not {value!r}" for name, value in now.items() if before.get(name, value) != value
        ]
        if other:
            raise ValueError(f"{self.out}: was begun with {', '.join(other)}: go on so, or name another folder")
