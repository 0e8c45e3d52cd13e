"""The data set `procedural_faces`: drawn faces with known attributes, for when there are no photographs at hand."""

import dataclasses
import re

import numpy as np
import tensorflow_datasets as tfds

from faketagger.components.example_gen import face_drawing

NAME = "procedural_faces"
SIZES = (64, 128, 256)
DEFAULT_COUNT = 1200
MAX_COUNT = 1_000_000
_SEED = 0


@dataclasses.dataclass(eq=False)
class ProceduralFacesConfig(tfds.core.BuilderConfig):
    """How large the pictures are, in pixels a side, and how many."""

    size: int = SIZES[0]
    count: int = DEFAULT_COUNT


def config_for(dataset: str, image_size: int) -> ProceduralFacesConfig:
    """The config that a data set name asks for.

    Args:
      dataset: `procedural_faces` (the smallest size that is at least `image_size`, or else the largest),
        `procedural_faces/<size>`, or `procedural_faces/<size>-<count>` for another number of pictures than 1200.
      image_size: pixels a side that the pictures will be resized to.

    Raises:
      ValueError: another size, or a count that is not from 1 to 1,000,000.
    """
    if dataset == NAME:
        dataset = f"{NAME}/{min((size for size in SIZES if size >= image_size), default=SIZES[-1])}"
    match = re.fullmatch(rf"{NAME}/(\d{{1,4}})(?:-(\d{{1,7}}))?", dataset)
    size, count = (int(match[1]), int(match[2] or DEFAULT_COUNT)) if match else (0, 0)
    if size not in SIZES or not 1 <= count <= MAX_COUNT:
        sizes = ", ".join(f"{NAME}/{size}" for size in SIZES)
        raise ValueError(f"'{dataset}': expected {sizes}, or one of these with -<count>, 1 to {MAX_COUNT:,}")
    name = f"{size}" if count == DEFAULT_COUNT else f"{size}-{count}"
    return ProceduralFacesConfig(
        name=name, description=f"{count} faces of {size}×{size} pixels", size=size, count=count
    )


class ProceduralFaces(tfds.core.GeneratorBasedBuilder):
    """Faces from face_drawing.draw, the same in every run; features named as in TFDS's own `celeb_a`."""

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "First release."}
    BUILDER_CONFIGS = [config_for(f"{NAME}/{size}", size) for size in SIZES]

    @classmethod
    def get_builder_config(cls, name, version=None):
        """Finds the config of any size and count by its name, where TFDS itself knows those listed alone."""
        del version  # There is one.
        return config_for(f"{NAME}/{name}", SIZES[0])

    def _info(self) -> tfds.core.DatasetInfo:
        size = self.builder_config.size
        features = {
            "image": tfds.features.Image(shape=(size, size, 3), encoding_format="png"),
            "image/filename": tfds.features.Text(),
            "attributes": {name: tfds.features.Scalar(np.bool_) for name in face_drawing.LABEL_NAMES},
        }
        return tfds.core.DatasetInfo(
            builder=self,
            description="Drawn faces with known attributes.",
            features=tfds.features.FeaturesDict(features),
        )

    def _split_generators(self, dl_manager: tfds.download.DownloadManager):
        del dl_manager  # Nothing to fetch.
        return {"train": self._generate_examples()}

    def _generate_examples(self):
        for index in range(self.builder_config.count):
            traits = face_drawing.sample_traits(_SEED, index)
            name = f"{index:06d}.png"
            yield (
                name,
                {
                    "image": face_drawing.draw(traits, self.builder_config.size),
                    "image/filename": name,
                    "attributes": {label: bool(value) for label, value in traits.labels().items()},
                },
            )
