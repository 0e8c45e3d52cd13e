"""What one run of the step is asked to do; travels as JSON from the component to the executor."""

from faketagger.components.contract.manifest import MAX_IMAGE_SIZE, MIN_IMAGE_SIZE
from faketagger.components.contract.settings import Field, Settings


class Options(Settings):
    """See FaceExampleGen for the meaning of each.

    `digest` changes when the source's content does, so that TFX's cache knows; None where the name says it all.
    """

    dataset: str
    images: str | None = None
    manual_dir: str | None = None
    data_dir: str | None = None
    image_size: int = Field(..., ge=MIN_IMAGE_SIZE, le=MAX_IMAGE_SIZE)
    eval_percent: int = Field(..., ge=1, le=99)
    max_rejected: float = Field(..., ge=0, le=1)
    limit: int | None = Field(None, ge=2)
    align: bool = False
    digest: str | None = None
