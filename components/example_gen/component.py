"""FaceExampleGen: photographs ▸ Beam ▸ Examples, as a step of a TFX pipeline."""

from tfx.components.example_gen.component import QueryBasedExampleGen
from tfx.dsl.components.base import executor_spec
from tfx.proto import example_gen_pb2

from faketagger.components.contract import features, files
from faketagger.components.example_gen import executor, image_folder, procedural_faces
from faketagger.components.example_gen.options import Options

_FOLDER = "image_folder"


class FaceExampleGen(QueryBasedExampleGen):
    """Makes Examples (contract/features.py) of a folder of photographs or of a TFDS data set.

    Output `examples`: an Examples artifact with the splits `train` and `eval`, the files rejected.jsonl and
    counts.json, and the custom properties `train`, `eval`, `rejected` (counts), `image_size` and `attributes` (the
    attribute list).
    TFX reuses the output of an earlier run when nothing asked for has changed, nor the folder's content.
    """

    EXECUTOR_SPEC = executor_spec.BeamExecutorSpec(executor.Executor)

    def __init__(
        self,
        dataset: str = "procedural_faces/64",
        images: str | None = None,
        manual_dir: str | None = None,
        data_dir: str | None = None,
        image_size: int = 64,
        eval_percent: int = 10,
        max_rejected: float = 0.01,
        limit: int | None = None,
        align: bool = False,
    ):
        """Construct a FaceExampleGen.

        Args:
          dataset: `procedural_faces` (its size is chosen), `procedural_faces/<size>[-<count>]`, `celeb_a_hq/<size>`, or
            any TFDS data set with a feature `image`. Not looked at when `images` is given.
          images: a folder of photographs, searched recursively, or as its attributes.csv lists them
            (image_folder.list_folder).
          manual_dir: where the archives are that TFDS must not fetch itself (`data256x256.tar` for `celeb_a_hq/256`).
          data_dir: where TFDS keeps prepared data sets; beside the step's outputs by default.
          image_size: pixels a side of the Examples' pictures, from 16 to 1024.
          eval_percent: the share of pictures for `eval`, from 1 to 99, where the source does not fix the split.
          max_rejected: the share of unusable pictures up to which the step succeeds, from 0 to 1.
          limit: use so many pictures at most, a stable sample; at least 2.
          align: cut each photograph to the square around its largest face, as CelebA-HQ's are, and set aside those in
            which none is found; otherwise the centred squares are taken, as data sets of aligned faces need it.

        Raises:
          ValueError: an option out of range, an unknown size of `procedural_faces`, a missing or empty folder, or a
            broken attributes.csv.
        """
        if images is not None:
            images, dataset = files.absolute(images), _FOLDER
            digest = image_folder.digest(images)
        elif dataset.split("/")[0] == procedural_faces.NAME:
            procedural_faces.config_for(dataset, image_size)
            digest = str(procedural_faces.ProceduralFaces.VERSION)
        else:
            digest = None
        options = Options(
            dataset=dataset,
            images=images,
            manual_dir=manual_dir and files.absolute(manual_dir),
            data_dir=data_dir and files.absolute(data_dir),
            image_size=image_size,
            eval_percent=eval_percent,
            max_rejected=max_rejected,
            limit=limit,
            align=align,
            digest=digest,
        )
        super().__init__(
            input_config=_input_config(dataset),
            output_config=_output_config(eval_percent),
            custom_config=executor.pack(options),
        )


def _input_config(dataset: str) -> example_gen_pb2.Input:
    return example_gen_pb2.Input(splits=[example_gen_pb2.Input.Split(name="photographs", pattern=dataset)])


def _output_config(eval_percent: int) -> example_gen_pb2.Output:
    # For people who read the metadata: the executor splits by identity, which TFX's own hashing does not know.
    split = example_gen_pb2.SplitConfig.Split
    splits = [
        split(name=features.TRAIN_SPLIT, hash_buckets=100 - eval_percent),
        split(name=features.EVAL_SPLIT, hash_buckets=eval_percent),
    ]
    return example_gen_pb2.Output(split_config=example_gen_pb2.SplitConfig(splits=splits))
