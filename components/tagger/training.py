"""Trains encoder and decoder jointly through the simulators."""

import dataclasses

import tensorflow as tf
from tensorflow import keras

from faketagger.components.contract import features, manifest, payload
from faketagger.components.faces import alignment
from faketagger.components.layers import checkpoint, distribution, precision
from faketagger.components.perturbations import catalogue, draws
from faketagger.components.perturbations.geometry import Misalignment
from faketagger.components.simulator import library
from faketagger.components.tagger import losses, networks, start
from faketagger.components.tagger.config import TaggerConfig
from faketagger.components.tagger.hard_draws import HardDraws
from faketagger.components.tagger.residual import bounded
from faketagger.components.tagger.schedules import Ramp

_EPOCH_STEPS = 100  # A checkpoint, a line of progress and a point in TensorBoard each.
_LOSS_AT_CHANCE = 0.693  # Nats a bit.
_NOT_YET = -1


class TrainingStuck(RuntimeError):
    """The decoder never learned to read."""


def round_to_8_bits(images: tf.Tensor) -> tf.Tensor:
    """What saving does, the gradient passing straight through; float32 in [0, 1]."""
    return images + tf.stop_gradient(tf.round(images * 255.0) / 255.0 - images)


class TaggerTraining(keras.Model):
    """Encoder ▸ simulators ▸ decoder and their training step.

    Training has two stages. First plain pictures alone, nearly grey to begin with and with more contrast as they are
    read better, until the decoder reads real ones (the running message loss falls under `reads_below`): with contrast,
    simulators or image terms from the first step it can stick at chance. Then the simulators, and the image terms rise
    as their schedules say.

    Args:
      config: sizes, schedules and weights.
      code_bits: n.
      simulators: those in the loop; the perturbations are always there.
    """

    def __init__(self, config: TaggerConfig, code_bits: int, simulators: list[library.Simulator]):
        super().__init__()
        self._config = config
        self._code_bits = code_bits
        self._simulators = simulators
        self._groups = [group for number, each in enumerate(simulators) for group in _groups(number, each.manifest)]
        counts = [each.count for each in self._groups]
        self._draws = HardDraws(counts, config.hard_drawing) if simulators else None
        drawn = sorted(config.perturbations.items())  # In JSON they have no other order.
        self._perturbations = [catalogue.TRAINED_UNDER[name]((each.low, each.high)) for name, each in drawn]
        self._shares = [each.share for _, each in drawn]
        self._misalignment = Misalignment(config.geometry) if config.geometry.share else None
        self._perceptual = losses.perceptual_loss(config.vgg_weights)
        self.encoder = networks.build_encoder(
            config.image_size, code_bits, config.level, config.encoder_width, config.space_to_depth
        )
        self.decoder = networks.build_decoder(config.image_size, code_bits, config.decoder_width, config.space_to_depth)
        self.critic = networks.build_critic(config.image_size, config.encoder_width)
        self.critic_optimizer = keras.optimizers.Adam(
            config.optimising.critic_rate * config.learning_rate, beta_1=config.optimising.critic_beta
        )
        has_first_stage = config.reads_below < _LOSS_AT_CHANCE and not config.start_from
        self._message_loss = distribution.shared_variable(_LOSS_AT_CHANCE)
        self.contrast = distribution.shared_variable(config.first_stage.first_contrast if has_first_stage else 1.0)
        self.reads_since = distribution.shared_variable(_NOT_YET if has_first_stage else 0, tf.int64)
        names = ("loss", "plain", "perturbed", "simulated", "psnr")
        self._means = {name: keras.metrics.Mean(name) for name in names}

    @property
    def metrics(self):
        return list(self._means.values())

    @property
    def trainable_variables(self):
        """What the first optimiser trains, and averages; the critic has its own."""
        return self.encoder.trainable_variables + self.decoder.trainable_variables

    @property
    def reads(self) -> bool:
        """Whether the decoder has come to read."""
        return int(self.reads_since.numpy()) != _NOT_YET

    def compile_for(self, steps: int) -> None:
        """Sets the optimisers up for training of `steps` steps."""
        told = self._config.optimising
        schedule = keras.optimizers.schedules.CosineDecay(self._config.learning_rate, steps, alpha=told.last_rate)
        averaging = self._config.averaging
        adam = keras.optimizers.Adam(
            schedule,
            clipnorm=told.clip_norm,
            use_ema=averaging > 0,
            **({"ema_momentum": averaging} if averaging else {}),
        )
        self.compile(adam)
        self.distribute_reduction_method = "first"  # What replicas tell is the mean of all; Keras would add it up.
        self.optimizer.build(self.trainable_variables)
        self.critic_optimizer.build(self.critic.trainable_variables)

    def train_step(self, data: tuple[tf.Tensor, tf.Tensor]) -> dict[str, tf.Tensor]:
        with draws.numbered():
            return self._train_on(*data)

    def _train_on(self, images: tf.Tensor, landmarks: tf.Tensor) -> dict[str, tf.Tensor]:
        """Of this replica's part of the batch; what all replicas keep, they make of what all have read."""
        codeword = tf.cast(draws.uniform([tf.shape(images)[0], self._code_bits], 0, 2, tf.int32), tf.float32)
        images = 0.5 + self.contrast * (images - 0.5)
        variables, replicas = self.trainable_variables, distribution.replicas()
        since = self._steps_since_reading()
        with tf.GradientTape() as tape:
            made = self.encoder([images, codeword], training=True)
            residual = bounded(images, made, self._allowed_psnr(since), self._config.masking)
            strength = draws.uniform([tf.shape(images)[0], 1, 1, 1], *self._config.strengths)
            tagged = tf.clip_by_value(images + strength * residual, 0.0, 1.0)
            message, accuracies, change, counted = tf.cond(
                since < 0,
                lambda: self._read_plain(tagged, codeword),
                lambda: self._read_all(tagged, landmarks, codeword, since),
            )
            loss = self._config.message * message + self._image_terms(images, tagged, change, since)
            of_all = loss / replicas if replicas > 1 else loss  # The optimiser sums up what replicas give.
        self.optimizer.apply_gradients(zip(tape.gradient(of_all, variables), variables))
        if self._config.critic.scale:
            self._train_critic(images, tagged, self._config.critic(since) > 0)
        for each in counted:
            self._draws.take_up(*map(distribution.total, each))
        self._note_reading(distribution.mean(message))
        psnr = tf.reduce_mean(tf.image.psnr(round_to_8_bits(tagged), images, 1.0))
        told = distribution.mean(tf.stack([loss, *tf.unstack(accuracies), psnr]))
        for name, value in zip(self._means, tf.unstack(told)):
            self._means[name].update_state(value)
        return {name: mean.result() for name, mean in self._means.items()}

    def _steps_since_reading(self) -> tf.Tensor:
        """Negative before the decoder reads."""
        return tf.where(self.reads_since < 0, tf.constant(-1, tf.int64), self.optimizer.iterations - self.reads_since)

    def _allowed_psnr(self, since: tf.Tensor) -> tf.Tensor:
        share = tf.clip_by_value(tf.cast(since, tf.float32) / max(1, self._config.psnr_ramp), 0.0, 1.0)
        return self._config.start_psnr + share * (self._config.min_psnr - self._config.start_psnr)

    def _read_plain(self, tagged: tf.Tensor, codeword: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor, list]:
        logits = self.decoder(round_to_8_bits(tagged), training=True)
        none = tf.zeros_like(self._draws.bit_errors) if self._draws else None
        counted = [(none, none)] * self._config.versions if self._draws else []
        # Nothing was read through perturbations and simulators yet: chance, said as such in the progress bar.
        accuracies = tf.stack([_accuracy(codeword, logits), 0.5, 0.5])
        return losses.message_loss(codeword, logits), accuracies, tf.zeros_like(tagged), counted

    def _read_all(
        self, tagged: tf.Tensor, landmarks: tf.Tensor, codeword: tf.Tensor, since: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor, list]:
        """The message loss, mean over plain, perturbed and simulated pictures, the bit accuracy of each, how much
        the simulators changed, summed over versions, and what HardDraws counts of each version.
        """
        saved = round_to_8_bits(tagged)
        change = tf.zeros_like(saved)
        seen = [saved, self._perturb(saved, self._config.perturbed)]
        drawn = [self._draws.draw(tf.shape(saved)[0]) for _ in range(self._config.versions)] if self._draws else []
        for group, condition in drawn:
            made = self._simulate(saved, landmarks, group, condition)
            made = round_to_8_bits(tf.clip_by_value(made, 0.0, 1.0))
            change += tf.stop_gradient(tf.abs(made - saved))
            # Deepfakes are passed on like any picture.
            passed_on = draws.uniform([]) < self._config.perturbed_simulated
            seen.append(self._perturb(made, tf.cast(passed_on, tf.int32)))
        together = tf.concat(seen, 0)
        if self._misalignment:
            told = self._config.geometry
            parts = tf.constant([1.0, 1.0, *[told.deepfakes] * len(drawn)])
            part = Ramp(scale=1.0, ramp=told.ramp)(since) * tf.repeat(parts, tf.shape(saved)[0])
            together = self._misalignment(together, part, batches=len(seen))
        logits = tf.split(self.decoder(together, training=True), len(seen))
        counted = [
            self._draws.counted(*each, 1.0 - _accuracy(codeword, found, axis=1))
            for each, found in zip(drawn, logits[2:])
        ]
        message = tf.add_n([losses.message_loss(codeword, each) for each in logits]) / len(logits)
        plain, perturbed, *simulated = [_accuracy(codeword, each) for each in logits]
        of_simulated = tf.add_n(simulated) / len(simulated) if simulated else 0.5
        return message, tf.stack([plain, perturbed, of_simulated]), change, counted

    def _perturb(self, images: tf.Tensor, times: int | tf.Tensor) -> tf.Tensor:
        return catalogue.apply_random(self._perturbations, images, times, self._shares)

    def _simulate(self, images: tf.Tensor, landmarks: tf.Tensor, group: tf.Tensor, condition: tf.Tensor) -> tf.Tensor:
        def through(simulator: library.Simulator) -> tf.Tensor:
            way = tf.constant([each.first for each in self._groups])[group] + condition
            if simulator.has_gradient and simulator.manifest.name not in self._config.straight_through:
                return simulator(images, way, landmarks, fixed=False)
            made = simulator(tf.stop_gradient(images), way, landmarks, fixed=False)
            return images + tf.stop_gradient(made - images)

        branches = [lambda each=each: through(each) for each in self._simulators]
        number = tf.constant([each.simulator for each in self._groups])[group]
        return tf.ensure_shape(tf.switch_case(number, branches), images.shape)

    def _image_terms(self, images: tf.Tensor, tagged: tf.Tensor, change: tf.Tensor, since: tf.Tensor) -> tf.Tensor:
        config = self._config
        terms = config.residual(since) * losses.residual_loss(images, tagged)
        if config.perceptual.scale:
            terms += config.perceptual(since) * self._perceptual(images, tagged)
        if config.visible.scale:
            terms += config.visible(since) * losses.visibility_loss(images, tagged)
        if config.streaks.scale:
            terms += config.streaks(since) * losses.streak_loss(tagged - images)
        if config.steered.scale:
            terms += config.steered(since) * losses.steering_loss(tagged - images, change)
        if config.critic.scale:
            weight = config.critic(since)
            terms += tf.cond(weight > 0, lambda: weight * losses.fooling_loss(self.critic(tagged)), lambda: 0.0)
        return terms

    def _train_critic(self, images: tf.Tensor, tagged: tf.Tensor, begun: tf.Tensor) -> None:
        """A step of the critic's; it stays as it is until it has `begun`."""
        variables = self.critic.trainable_variables

        def gradients() -> list[tf.Tensor]:
            with tf.GradientTape() as tape:
                both = tf.concat([images, tf.stop_gradient(tagged)], 0)
                loss = losses.critic_loss(*tf.split(self.critic(both, training=True), 2)) / distribution.replicas()
            return tape.gradient(loss, variables)

        found = tf.cond(begun, gradients, lambda: [tf.zeros_like(each) for each in variables])
        # No condition holds an optimiser of several replicas: it is always called, and until then begins anew.
        self.critic_optimizer.apply_gradients(zip(found, variables))
        steps = self.critic_optimizer.iterations
        steps.assign(tf.where(begun, steps, tf.zeros_like(steps)))

    def _note_reading(self, message: tf.Tensor) -> None:
        told = self._config.first_stage
        self._message_loss.assign(told.smoothing * self._message_loss + (1.0 - told.smoothing) * message)
        reads = tf.logical_and(self.contrast >= 1.0, self._message_loss < self._config.reads_below)
        begins = tf.logical_and(self.reads_since < 0, reads)
        self.reads_since.assign(tf.where(begins, self.optimizer.iterations, self.reads_since))
        more = tf.minimum(1.0, self.contrast + told.more_contrast)
        self.contrast.assign(tf.where(self._message_loss < told.more_contrast_below, more, self.contrast))


@dataclasses.dataclass(frozen=True)
class _Group:
    """Ways of a simulator that one batch can go through together: its conditions, or one tool.

    Attributes:
      simulator: its number.
      first: the number of the first way.
      count: how many they are.
    """

    simulator: int
    first: int
    count: int


def _groups(number: int, described: manifest.SimulatorManifest) -> list[_Group]:
    conditions, ways = len(described.conditions), len(described.ways)
    return [_Group(number, 0, conditions), *(_Group(number, way, 1) for way in range(conditions, ways))]


def _accuracy(codeword: tf.Tensor, logits: tf.Tensor, axis: int | None = None) -> tf.Tensor:
    return tf.reduce_mean(tf.cast(tf.equal(logits > 0, codeword > 0.5), tf.float32), axis)


class _StopWhenStuck(keras.callbacks.Callback):
    """Ends a training whose decoder does not come to read, in words."""

    def __init__(self, steps: int, accuracy: float):
        super().__init__()
        self._steps = steps
        self._accuracy = accuracy

    def on_epoch_end(self, epoch, logs=None):
        steps = int(self.model.optimizer.iterations.numpy())
        if steps >= self._steps and not self.model.reads and logs["plain"] < self._accuracy:
            raise TrainingStuck(
                f"after {steps} steps the decoder reads plain pictures with bit "
                f"accuracy {logs['plain']:.3f} only (0.5 is chance): try a lower learning rate or start_psnr, fewer "
                "bits, a larger picture, or another seed"
            )


def _photographs(
    examples_uri: str, config: TaggerConfig, taken: int = 0, context: tf.distribute.InputContext | None = None
) -> tf.data.Dataset:
    """Endless shuffled batches of the train split, mirrored and cropped at random: float32 [B, S, S, 3], and landmarks
    float32 [B, 5, 2] as shares of the side, NaN where no face was found.

    What is drawn for a photograph depends on its number alone, so that workers, whose `context` it is, have their
    parts of the very batches that one would have, and a training that goes on after steps that were `taken` has those
    that it would have had.
    """
    photographs = features.read_dataset(examples_uri, features.TRAIN_SPLIT, config.image_size)
    # All of them stay in memory: as 8 bits, which they are, they take a quarter of it.
    photographs = photographs.map(_packed).cache()
    numbered = photographs.shuffle(4096, seed=config.seed).repeat().enumerate()
    batch_size = config.batch_size
    numbered = numbered.skip(taken * batch_size)
    if context and context.num_input_pipelines > 1:
        part = batch_size // context.num_input_pipelines
        numbered = numbered.filter(lambda number, _: number % batch_size // part == context.input_pipeline_id)
    batch_size = context.get_per_replica_batch_size(batch_size) if context else batch_size
    varied = numbered.map(
        lambda number, example: _varied(number, _unpacked(example), config), num_parallel_calls=tf.data.AUTOTUNE
    )
    return varied.batch(batch_size, drop_remainder=True).prefetch(4)


def _packed(example: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
    return {**example, features.IMAGE: tf.cast(tf.round(example[features.IMAGE] * 255.0), tf.uint8)}


def _unpacked(example: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
    return {**example, features.IMAGE: tf.cast(example[features.IMAGE], tf.float32) / 255.0}


def _varied(number: tf.Tensor, example: dict[str, tf.Tensor], config: TaggerConfig) -> tuple[tf.Tensor, tf.Tensor]:
    """A photograph as it is trained on where it is the `number`-th."""
    size, told = config.image_size, config.augmentation
    least, most = (int(share * size) for share in told.crop)
    seeds = iter(tf.unstack(tf.random.split(tf.stack([tf.constant(config.seed, tf.int64), number]), 6)))

    def uniform(shape: list[int], low: float = 0.0, high: float = 1.0, dtype: tf.DType = tf.float32) -> tf.Tensor:
        return tf.random.stateless_uniform(shape, next(seeds), low, high, dtype)

    image, landmarks = example[features.IMAGE], example[features.LANDMARKS]
    mirrored = uniform([]) < 0.5
    if told.flip and mirrored:
        image, landmarks = tf.image.flip_left_right(image), alignment.mirror(landmarks)
    side = uniform([], max(1, least), max(1, most) + 1, tf.int32)
    top, left = tf.unstack(uniform([2], 0, size - side + 1, tf.int32))
    cropped = image[top : top + side, left : left + side]
    corner = tf.cast(tf.stack([left, top]), tf.float32)
    landmarks = (landmarks * size - corner) / tf.cast(side, tf.float32)
    resized = tf.image.resize(cropped, [size, size], antialias=True)
    varied = tf.image.stateless_random_brightness(resized, told.brightness, next(seeds))
    varied = tf.image.adjust_saturation(varied, uniform([], *told.saturation))
    varied = tf.image.adjust_contrast(varied, uniform([], *told.contrast))
    # Rounded as a photograph is: the tagger must not learn from values that no file holds.
    varied = tf.round(tf.clip_by_value(varied, 0.0, 1.0) * 255.0) / 255.0
    return tf.ensure_shape(varied, [size, size, 3]), landmarks


def _of_one_replica(model: TaggerTraining, config: TaggerConfig, code_bits: int) -> TaggerTraining:
    """A trained model whose variables are plain ones, for the export."""
    plain = TaggerTraining(config, code_bits, [])
    for mine, trained in ((plain.encoder, model.encoder), (plain.decoder, model.decoder), (plain.critic, model.critic)):
        mine.set_weights(trained.get_weights())
    plain.reads_since.assign(int(model.reads_since.numpy()))
    return plain


def white_box(simulators: list[library.Simulator], config: TaggerConfig) -> list[library.Simulator]:
    """Those of the simulators that train: all but the black-box ones and `perturbation`, which training draws itself.

    Raises:
      ValueError: the configuration calls a simulator black-box, or straight-through, that is not there.
    """
    names = [simulator.manifest.name for simulator in simulators]
    for field in ("black_box", "straight_through"):
        unknown = sorted(set(getattr(config, field)) - set(names))
        if unknown:
            raise ValueError(f"{field} names {', '.join(unknown)}, but the simulators are {', '.join(names)}")
    return [
        simulator
        for simulator in simulators
        if simulator.manifest.family != "perturbation" and simulator.manifest.name not in config.black_box
    ]


def steps_of(config: TaggerConfig) -> int:
    """How many steps a training takes: as many as are asked for, and those that complete its last epoch."""
    epochs, epoch_steps = _epochs(config)
    return epochs * epoch_steps


def record_of(
    config: TaggerConfig,
    in_loop: list[library.Simulator],
    last: dict[str, float],
    before: manifest.TaggerRecord | None,
) -> manifest.TaggerRecord:
    """Of this training and of the one `before` that it went on from: what either saw is not black-box."""
    earlier, steps = (before.simulators, before.steps) if before else ((), 0)
    return manifest.TaggerRecord(
        steps=steps + steps_of(config),
        level=config.level,
        weights=manifest.LossWeights(message=config.message, residual=config.residual.scale),
        black_box=config.black_box,
        simulators=tuple(dict.fromkeys([*earlier, *(simulator.manifest.name for simulator in in_loop)])),
        last=last,
    )


def _epochs(config: TaggerConfig) -> tuple[int, int]:
    """How many epochs a training has, and the steps of each."""
    epoch_steps = min(_EPOCH_STEPS, config.steps)
    return -(-config.steps // epoch_steps), epoch_steps


def train(
    examples_uri: str,
    simulators: list[library.Simulator],
    config: TaggerConfig,
    checkpoints: str,
    logs: str | None = None,
    strategy: tf.distribute.Strategy | None = None,
) -> tuple[TaggerTraining, dict[str, float]]:
    """Trains a tagger; a training that was killed goes on from its last checkpoint.

    Several replicas do what one would with the same batches, to rounding, which training amplifies.

    Args:
      examples_uri: the Examples artifact, of which the train split is used.
      simulators: those in the loop; perturbations are there anyway.
      config: the settings.
      checkpoints: a directory that outlives the process; the caller removes it once the export is done.
      logs: where TensorBoard's logs go.
      strategy: layers/distribution.py's, in whose scope the simulators were loaded; by default the current one.

    Returns:
      The trained model and the last epoch's means: loss, bit accuracies (plain, perturbed, simulated), PSNR; none where
      the process was killed between its last step and the export.

    Raises:
      TrainingStuck: the decoder never came to read.
      ValueError: the batches cannot be divided among the replicas.
    """
    strategy = strategy or tf.distribute.get_strategy()
    replicas = strategy.num_replicas_in_sync
    if config.batch_size % replicas:
        raise ValueError(f"batch_size: expected a multiple of the {replicas} replicas, found {config.batch_size}")
    keras.utils.set_random_seed(config.seed)
    code_bits = payload.code_matrix(config.message_bits, config.code_length).shape[1]
    epochs, epoch_steps = _epochs(config)
    with strategy.scope():
        model = TaggerTraining(config, code_bits, simulators)
        if directory := start.directory_of(config):
            start.load_networks(model.encoder, model.decoder, config, directory)
        model.compile_for(steps_of(config))  # Now: the weights' average begins with what they are.
    tf.io.gfile.makedirs(checkpoints)
    callbacks = [
        keras.callbacks.BackupAndRestore(checkpoints, delete_checkpoint=False),
        _StopWhenStuck(config.stuck_after, config.first_stage.stuck_below),
    ]
    if logs and distribution.is_chief():
        callbacks.append(keras.callbacks.TensorBoard(logs, write_graph=False))
    taken = checkpoint.steps_taken(checkpoints, epoch_steps)
    photographs = _photographs(examples_uri, config, taken)
    if replicas > 1:
        photographs = strategy.distribute_datasets_from_function(
            lambda context: _photographs(examples_uri, config, taken, context)
        )
    if taken:
        tf.random.set_seed(config.seed + taken)  # Else it would draw what it drew first once more.
    with precision.bfloat16(config.bfloat16):
        history = model.fit(photographs, epochs=epochs, steps_per_epoch=epoch_steps, callbacks=callbacks)
    if replicas > 1:
        model = _of_one_replica(model, config, code_bits)
    last = {name: values[-1] for name, values in history.history.items()}
    # One that reads a little goes on to the evaluator: whether it reads well enough is the gate's business.
    if not model.reads and last.get("plain", 0.0) < config.first_stage.stuck_below:
        raise TrainingStuck(f"{config.steps} steps were too few for the decoder to read: ask for more")
    return model, last
