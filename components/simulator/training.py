"""Makes the simulators asked for: trains them on Examples, takes shipped or foreign ones; takes up what was cut off."""

import dataclasses
import os
import time

import tensorflow as tf
from tensorflow import keras

from faketagger.components.contract import features, files, manifest, pretrained, signatures
from faketagger.components.layers import checkpoint, precision
from faketagger.components.perturbations import catalogue, unseen
from faketagger.components.simulator import landmark_swap, library
from faketagger.components.simulator.config import SimulatorConfig
from faketagger.components.simulator.generators.attribute_editing import AttributeEditor
from faketagger.components.simulator.generators.base import Faces, Generator, learnable, read_faces
from faketagger.components.simulator.generators.registry import GENERATORS
from faketagger.components.simulator.packing import export, shipped
from faketagger.components.simulator.quality import intensity
from faketagger.components.simulator.quality.assess import Assessor
from faketagger.components.simulator.quality.judge import Judge, train_judge

_EPOCH_STEPS = 100  # A checkpoint and a line of progress each.
_ASSESSED = 64  # Eval pictures.
_DONOR_CANDIDATES = 64  # Train pictures, of which the first with a face are swapped in.
_RECORDED = (
    "depth",
    "batch_size",
    "learning_rate",
    "judge_steps",
    "guide_steps",
    "change",
    "seed",
    "zoom",
    "critic",
    "bfloat16",
)  # Settings that a manifest keeps.


def make_all(
    examples_uri: str, directory: str, config: SimulatorConfig, checkpoints: str, foreign: str | None = None
) -> list[manifest.SimulatorManifest]:
    """Exports the perturbations, and the simulators of `config` or foreign ones.

    Args:
      examples_uri: the Examples artifact; trained on its train split, assessed on its eval split.
      directory: where the simulators go.
      config: what to train and what to take from the repository.
      checkpoints: a directory kept between runs, for trainings that were killed.
      foreign: a directory of simulators to use instead.

    Returns:
      Their manifests.

    Raises:
      ValueError, signatures.ContractError: a foreign simulator does not keep the contract.
      ValueError: the faces cannot train one of those asked for; none is trained then.
      assess.IdleSimulator: one is no test of a tag.
    """
    keras.utils.set_random_seed(config.seed)
    assessor = Assessor(read_faces(examples_uri, features.EVAL_SPLIT, config.image_size, _ASSESSED))
    made = _export_perturbations(directory, config, assessor)
    if foreign:
        return made + _take_in(foreign, directory, config, assessor)
    if config.landmark_swap:
        made.append(_make_landmark_swap(examples_uri, directory, config, assessor))
    made += [_expand(name, directory, config, assessor) for name in config.shipped]
    if config.train:
        faces = read_faces(examples_uri, features.TRAIN_SPLIT, config.stored_side)
        _check_trainable(faces, config)
        assessor = with_judge(assessor, faces, config)
        for name in config.train:
            print(f"training {name}")
            model, described = train(name, faces, config, os.path.join(checkpoints, name), assessor.judge)
            made.append(export.save(directory, model.simulate, described, assessor, tracked=model.variables))
    return made


def _export_perturbations(
    directory: str, config: SimulatorConfig, assessor: Assessor
) -> list[manifest.SimulatorManifest]:
    trained_under = catalogue.evaluation_perturbations()
    described = manifest.SimulatorManifest(
        name=manifest.PERTURBATION,
        family="perturbation",
        conditions=tuple(trained_under),
        image_size=config.image_size,
        training_data="none: formulas and the real JPEG codec",
        licence="the project's own",
    )
    not_trained_under = described.replace(
        name=manifest.UNSEEN,
        conditions=tuple(unseen.perturbations()),
        training_data="none: formulas and the real H.264 codec",
    )
    temporary = os.path.join(directory, f".{manifest.UNSEEN}.part")
    files.remove_directory(temporary)
    return [
        export.save(directory, catalogue.by_condition(trained_under), described, assessor),
        export.finish(temporary, os.path.join(directory, manifest.UNSEEN), not_trained_under, assessor),
    ]


def _make_landmark_swap(
    examples_uri: str, directory: str, config: SimulatorConfig, assessor: Assessor
) -> manifest.SimulatorManifest:
    described = manifest.SimulatorManifest(
        name=landmark_swap.NAME,
        family="identity_swap",
        conditions=landmark_swap.condition_names(),
        image_size=config.image_size,
        training_data=f"none: {landmark_swap.DONORS} donors of the train split, warped and blended",
        licence="that of the donors' pictures",
    )
    temporary = os.path.join(directory, f".{landmark_swap.NAME}.part")
    files.remove_directory(temporary)
    tf.io.gfile.makedirs(temporary)
    candidates = read_faces(examples_uri, features.TRAIN_SPLIT, config.image_size, _DONOR_CANDIDATES)
    landmark_swap.save_donors(candidates.pixels, temporary)
    return export.finish(temporary, os.path.join(directory, landmark_swap.NAME), described, assessor)


def _take_in(
    foreign: str, directory: str, config: SimulatorConfig, assessor: Assessor
) -> list[manifest.SimulatorManifest]:
    """Checks foreign simulators, measures their change here, and copies them beside our own."""
    taken = []
    for name in library.names(foreign):
        if name in (manifest.PERTURBATION, manifest.UNSEEN):
            continue
        described = library.load(os.path.join(foreign, name)).manifest
        if described.image_size != config.image_size:
            raise signatures.ContractError(
                f"{foreign}/{name}: expected pictures of {config.image_size}×{config.image_size}, as the pipeline's; "
                f"found {described.image_size}×{described.image_size}"
            )
        temporary = os.path.join(directory, f".{name}.part")
        files.copy_directory(os.path.join(foreign, name), temporary)
        taken.append(export.finish(temporary, os.path.join(directory, name), described, assessor))
    return taken


def _expand(name: str, directory: str, config: SimulatorConfig, assessor: Assessor) -> manifest.SimulatorManifest:
    """A shipped simulator as SavedModel, for pictures of the pipeline's size."""
    source = os.path.join(pretrained.SIMULATORS, name)
    model = shipped.unpack(source)
    described = library.read(source).replace(
        image_size=config.image_size, tools=model.TOOLS, tool_conditions=model.TOOL_CONDITIONS
    )
    simulate = export.resized(model.simulate, model.image_size, config.image_size)
    return export.save(directory, simulate, described, assessor, tracked=model.variables)


def _check_trainable(faces: Faces, config: SimulatorConfig) -> None:
    """Builds each generator to train, one at a time: ValueError now, and not after hours spent on the one before it."""
    for name in config.train:
        GENERATORS[name].build_for(config, faces)


def with_judge(assessor: Assessor, faces: Faces, config: SimulatorConfig) -> Assessor:
    """The assessor with a judge trained on `faces`, where they have labels enough to train one."""
    if not learnable(faces):
        return assessor
    return dataclasses.replace(assessor, judge=train_judge(faces, config.judge_steps, config.seed))


class _Clock(keras.callbacks.Callback):
    """Counts the seconds of training in a variable of the model, so that a checkpoint brings back those before a kill.

    Its place is before the callback that saves.
    """

    def set_model(self, model: keras.Model) -> None:
        super().set_model(model)
        model.seconds = tf.Variable(0.0, trainable=False)

    def on_train_begin(self, logs=None) -> None:
        self._counted_at = time.monotonic()

    def on_epoch_end(self, epoch: int, logs=None) -> None:
        now = time.monotonic()
        self.model.seconds.assign_add(now - self._counted_at)
        self._counted_at = now


def checkpoint_directory(root: str, name: str, config: SimulatorConfig, examples_uri: str) -> str:
    """Where below `root` to keep the checkpoints of one simulator: apart from those of other settings or Examples."""
    made_from = files.fingerprint(config.to_json(), files.directory_fingerprint(examples_uri))
    return os.path.join(root, f"{name}-{made_from}")


def train(
    generator: str, faces: Faces, config: SimulatorConfig, checkpoints: str, judge: Judge | None = None
) -> tuple[Generator, manifest.SimulatorManifest]:
    """Trains one generator; a training that was killed goes on from its last checkpoint.

    Args:
      generator: of registry.GENERATORS.
      faces: the train split.
      config: the settings.
      checkpoints: a directory that outlives the process, for these faces and settings alone: what it holds is taken up
        unchecked.
      judge: says how far an attribute editor must go for its edits to be seen.

    Returns:
      The trained model and its manifest, without what an assessor measures.
    """
    model = GENERATORS[generator].build_for(config, faces)
    epoch_steps = min(_EPOCH_STEPS, config.steps)
    epochs = -(-config.steps // epoch_steps)
    steps = epochs * epoch_steps  # The last epoch is completed.
    model.compile_for(config, steps)
    drawing = config
    if taken := checkpoint.steps_taken(checkpoints, epoch_steps):  # Else it would draw what it drew first once more.
        drawing = config.replace(seed=config.seed + taken)
        tf.random.set_seed(drawing.seed)
    with precision.bfloat16(config.bfloat16):
        model.prepare(faces, config)
        model.fit(
            model.batches(faces, drawing).prefetch(4),
            epochs=epochs,
            steps_per_epoch=epoch_steps,
            callbacks=[_Clock(), keras.callbacks.BackupAndRestore(checkpoints, delete_checkpoint=False)],
        )
    if judge and isinstance(model, AttributeEditor):
        intensity.calibrate(model, faces, judge)
    described = manifest.SimulatorManifest(
        name=generator,
        family=model.FAMILY,
        conditions=tuple(model.conditions),
        tools=model.TOOLS,
        tool_conditions=model.TOOL_CONDITIONS,
        image_size=config.image_size,
        training_data=f"{len(faces.pixels)} pictures of the train split, {steps} steps",
        licence="that of the training pictures",
        training=manifest.SimulatorRecord(
            generator=generator,
            settings=model.settings,
            pictures=len(faces.pixels),
            **{name: getattr(config, name) for name in _RECORDED},
            steps=steps,
            seconds_a_step=float(model.seconds) / steps,
            parameters=int(sum(tf.size(each) for network in model.networks for each in network.variables)),
        ),
    )
    return model, described
