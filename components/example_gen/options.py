"""What one run of the step is asked to do; travels as JSON from the component to the executor."""

import dataclasses
import json
from typing import Any

MAX_IMAGE_SIZE = 1024


@dataclasses.dataclass(frozen=True)
class Options:
    """See FaceExampleGen for the meaning of each.

    `digest` changes when the source's content does, so that TFX's cache knows; None where the name says it all.
    """

    dataset: str
    images: str | None
    manual_dir: str | None
    data_dir: str | None
    image_size: int
    eval_percent: int
    max_rejected: float
    limit: int | None
    digest: str | None = None

    def __post_init__(self):
        _check_integer("image_size", self.image_size, 16, MAX_IMAGE_SIZE)
        _check_integer("eval_percent", self.eval_percent, 1, 99)
        if self.limit is not None:
            _check_integer("limit", self.limit, 2, None)
        if isinstance(self.max_rejected, bool) or not 0.0 <= self.max_rejected <= 1.0:
            raise ValueError(f"max_rejected must be a share from 0 to 1, got {self.max_rejected!r}")

    def to_json(self) -> str:
        """The options as one line of JSON."""
        return json.dumps(dataclasses.asdict(self), sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> "Options":
        """The reverse of to_json; ValueError when it is not what to_json wrote."""
        try:
            return cls(**json.loads(text))
        except TypeError as error:
            raise ValueError(f"not the options of this version of FaceExampleGen: {error}") from None


def _check_integer(name: str, value: Any, lowest: int, highest: int | None) -> None:
    valid = isinstance(value, int) and not isinstance(value, bool) and value >= lowest
    if not valid or (highest is not None and value > highest):
        span = f"from {lowest} to {highest}" if highest is not None else f"of at least {lowest}"
        raise ValueError(f"{name} must be a whole number {span}, got {value!r}")
