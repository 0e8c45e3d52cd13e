"""Evaluates known watermarks as taggers are: same pictures, UIDs, simulators and rows. Each at its authors' strength.

    bash benchmarks/peers/setup.sh          # once: an environment of its own, peers/.venv
    python benchmarks/baselines.py --images=DIR --out=DIR

OUT gets a folder a method, an evaluation as the evaluator writes it (evaluation.json, rows-*.parquet). Pictures, slices
and UIDs are those of `faketagger evaluate` with the same --images, --image_size, --simulators,
--black_box, --repeats and --config. The methods run in peers/watermark.py, which is handed folders of PNGs.
Exit status: 0, or 1 when it failed.
"""

import contextlib
import dataclasses
import heapq
import itertools
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence

from faketagger.components.contract import startup

startup.quiet()  # Before TensorFlow is imported.

import numpy as np
import tensorflow as tf
from absl import flags, logging
from tqdm import tqdm

from faketagger.components.contract import features, files, images, payload
from faketagger.components.evaluator.config import PLAIN, EvaluatorConfig
from faketagger.components.evaluator.measure import folder, metrics, models, parts, rows, slices
from faketagger.components.evaluator.measure.batch import (
    Draw,
    Quality,
    changes_of,
    draw,
    is_finite,
    manipulations,
    without_message,
)
from faketagger.components.evaluator.verdict import record, summary
from faketagger.components.tagger import channel_decoder

MESSAGE_BITS = 30  # The taggers'; rivaGan carries 32.
MIN_IMAGE_SIZE = 256  # invisible-watermark refuses smaller pictures.
_ORDERS = 16  # Of a Decoder: of pictures that 32 can read, 16 read nearly all.
_PEERS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "peers")


@dataclasses.dataclass(frozen=True)
class Method:
    """Attributes:
    title: for people.
    code_length: of its channel code before it is shortened (payload.code_matrix), 0 for none.
    """

    title: str
    code_length: int

    @property
    def code_matrix(self) -> np.ndarray:
        """The code matrix, uint8 [MESSAGE_BITS, n]."""
        return payload.code_matrix(MESSAGE_BITS, self.code_length)

    @property
    def label(self) -> str:
        """With its coding, for people."""
        code = (
            f"BCH({self.code_matrix.shape[1]},{MESSAGE_BITS})" if self.code_length else f"{MESSAGE_BITS} bits uncoded"
        )
        return f"{self.title}, {code}"


# By their names in peers/watermark.py. All but rivaGan repeat the codeword over the picture. Photographs of the train
# split were read better with this code than with none, BCH(63,30) or BCH(248,30).
METHODS = {
    "lsb": Method("LSB", 127),
    "dwtDct": Method("DWT-DCT", 127),
    "dwtDctSvd": Method("DWT-DCT-SVD", 127),
    "rivaGan": Method("rivaGan", 0),
}


class Peers:
    """The methods' program.

    Args:
      command: what starts it; `embed …` and `read …` are appended.

    Attributes:
      seconds: for how long it has run.
    """

    def __init__(self, command: Sequence[str]):
        self._command = list(command)
        self.seconds = 0.0

    @classmethod
    def installed(cls) -> "Peers":
        """peers/watermark.py in its environment; ValueError where that was not made."""
        python = os.path.join(_PEERS, ".venv", "bin", "python")
        if not os.path.exists(python):
            raise ValueError(f"{python} is missing: `bash {os.path.join(_PEERS, 'setup.sh')}` makes it")
        return cls([python, "-I", os.path.join(_PEERS, "watermark.py")])  # -I: this process' PYTHONPATH is not for it.

    def embed(self, method: str, pictures: np.ndarray, codewords: np.ndarray) -> np.ndarray:
        """Hides codewords [B, n] of 0 and 1 in pictures uint8 [B, H, W, 3], which come back in the same shape.

        Raises:
          ValueError: the program failed or made something else; the message has its last words.
        """
        with tempfile.TemporaryDirectory() as directory:
            given, made, bits = (os.path.join(directory, name) for name in ("given", "made", "bits.json"))
            names = save(given, "", pictures)
            files.write_json(bits, {name: _as_text(codeword) for name, codeword in zip(names, codewords)})
            self._run("embed", method, given, bits, made)
            tagged = [images.load_image(os.path.join(made, name)) for name in names]
        if any(picture.shape != pictures.shape[1:] for picture in tagged):
            raise ValueError(f"{method}: the pictures have another size than those it was given")
        return np.stack(tagged)

    def read(self, method: str, directory: str, length: int) -> dict[str, np.ndarray]:
        """What it reads in each PNG of a folder, by file name, uint8 [length]; ValueError as embed."""
        with tempfile.TemporaryDirectory() as temporary:
            out = os.path.join(temporary, "read.json")
            self._run("read", method, directory, str(length), out)
            read = files.read_json(out, f"what {method} read")
        if set(read) != set(os.listdir(directory)):
            raise ValueError(f"{method}: did not read exactly the pictures of its folder")
        if not all(re.fullmatch(f"[01]{{{length}}}", bits) for bits in read.values()):
            raise ValueError(f"{method}: expected {length} bits a picture")
        return {name: np.array(list(bits), np.uint8) for name, bits in read.items()}

    def _run(self, *arguments: str) -> None:
        begun = time.monotonic()
        done = subprocess.run([*self._command, *arguments], capture_output=True, text=True, errors="replace")
        self.seconds += time.monotonic() - begun
        if done.returncode:
            last = (done.stderr.strip() or f"exit status {done.returncode}").splitlines()[-1]
            raise ValueError(f"{' '.join(arguments[:2])}: {last}")


def save(directory: str, prefix: str, pictures: np.ndarray) -> list[str]:
    """Writes uint8 [B, H, W, 3] as `<prefix><number>.png` into a folder, made if missing; the names in order."""
    os.makedirs(directory, exist_ok=True)
    names = [f"{prefix}{number:03d}.png" for number in range(len(pictures))]
    for name, picture in zip(names, pictures):
        with open(os.path.join(directory, name), "wb") as file:
            file.write(tf.io.encode_png(picture, compression=1).numpy())  # They are thousands, and soon removed.
    return names


def _as_text(bits: np.ndarray) -> str:
    return "".join("1" if bit > 0.5 else "0" for bit in bits)


class Decoder:
    """Takes a method's channel code off.

    Hard bits are equally reliable: ordered statistics decoding would take the first for its basis. Here it tries
    several random orders, and the codeword that agrees with most bits wins (information set decoding, Prange 1962).
    """

    def __init__(self, method: Method):
        self.code_matrix = code_matrix = method.code_matrix
        self._orders = np.random.default_rng(0).uniform(1.0, 1.01, [_ORDERS, 1, code_matrix.shape[1]])
        takes = tf.TensorSpec([None, code_matrix.shape[1]], tf.float32)
        # As a graph, which is several times as fast.
        self._decode = tf.function(lambda logits: channel_decoder.decode(logits, code_matrix).message, [takes])

    def __call__(self, bits: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        """Bits uint8 [B, n], without their mask → messages uint8 [B, k] and p-values [B], None without a code."""
        message_bits, code_bits = self.code_matrix.shape
        if code_bits == message_bits:
            return bits, None
        logits = np.float32((2.0 * bits - 1.0) * self._orders).reshape(-1, code_bits)
        found = self._decode(tf.constant(logits)).numpy().astype(np.uint8)
        codewords = payload.encode_messages(found, self.code_matrix).reshape(_ORDERS, len(bits), code_bits)
        best = codewords[np.argmax(np.sum(codewords == bits, axis=2), axis=0), np.arange(len(bits))]
        hard, signs = (tf.constant(2.0 * each - 1.0, tf.float32) for each in (bits, best))
        _, p_value = channel_decoder.significance(hard, signs, message_bits)
        return best[:, :message_bits], p_value.numpy().astype(np.float64)


def judge(bits: np.ndarray, drawn: Draw, decoder: Decoder, finite: np.ndarray) -> rows.ReadColumns:
    """What comes of read bits uint8 [B, n]; where not `finite`, nothing counts.

    A method without a code has no p-value and cannot say whether a picture is tagged: any bits are a message.
    """
    messages, p_value = decoder(bits ^ drawn.masks.astype(np.uint8))
    return rows.ReadColumns(
        finite=finite,
        message_ok=finite & (messages == drawn.messages).all(axis=1),
        bit_accuracy=np.where(finite, metrics.bit_accuracy(bits - 0.5, drawn.codewords), np.nan),
        p_value=p_value,
        tagged=None if p_value is None else p_value <= summary.FALSE_POSITIVE_RATE,
    )


class Measurer:
    """Measures methods batch by batch; what measure.Measurer is for a tagger.

    Args:
      methods: of METHODS.
      peers: the methods' program.
      simulators_dir: the directory of the simulators.
      config: how.

    Raises:
      ValueError: as models.read_simulators.
    """

    def __init__(self, methods: Sequence[str], peers: Peers, simulators_dir: str, config: EvaluatorConfig):
        manifests = models.read_simulators(simulators_dir, config)
        self.image_size = next(iter(manifests.values())).image_size
        self.slices = slices.declared(manifests, config)
        self._peers, self._config = peers, config
        self._simulators = models.Simulators(simulators_dir, list(manifests))
        self._quality = Quality(config)
        self._decoders = {method: Decoder(METHODS[method]) for method in methods}

    def measure(
        self, image_ids: Sequence[str], originals: np.ndarray, landmarks: np.ndarray | None = None
    ) -> Iterator[tuple[str, list[rows.Row]]]:
        """Yields (method, rows) a repeat of one batch of pictures, uint8 [B, S, S, 3], with landmarks [B, 5, 2]."""
        changes = changes_of(self._simulators, self.slices, originals, landmarks)
        for method in self._decoders:
            for repeat in range(self._config.repeats):
                yield method, self._measure(method, repeat, image_ids, originals, landmarks, changes)

    def _measure(
        self,
        method: str,
        repeat: int,
        image_ids: Sequence[str],
        originals: np.ndarray,
        landmarks: np.ndarray | None,
        changes: dict[str, rows.ChangeColumns],
    ) -> list[rows.Row]:
        decoder = self._decoders[method]
        drawn = draw(self._config.seed, image_ids, repeat, decoder.code_matrix)
        tagged = self._peers.embed(method, originals, drawn.codewords)
        everything = np.ones(len(originals), bool)
        quality = self._quality.measure(originals, tagged, everything)
        with tempfile.TemporaryDirectory() as directory:
            saved = [(slices.ORIGINALS, save(directory, "untagged-", originals), everything)]
            for described, made, finite in manipulations(self._simulators, self.slices, tagged, landmarks):
                saved.append((described, save(directory, f"{len(saved):04d}-", made), finite))
            read = self._peers.read(method, directory, drawn.codewords.shape[1])
        found: list[rows.Row] = []
        for described, names, finite in saved:
            change = changes.get(described.name, rows.NO_CHANGE)
            columns = judge(np.stack([read[name] for name in names]), drawn, decoder, finite & is_finite(change))
            if described == slices.ORIGINALS:
                columns = without_message(columns)
            of_slice = quality if described.kind == PLAIN else rows.NO_QUALITY
            found += rows.of_batch(described, image_ids, repeat, columns, change, of_slice)
        return found


def measure_all(
    methods: Sequence[str], examples_uri: str, simulators_dir: str, config: EvaluatorConfig, out: str, peers: Peers
) -> dict[str, record.Evaluation]:
    """Measures methods on the eval split of Examples and writes `out`/<method> for each, once all of it is there.

    Args:
      methods: of METHODS.
      examples_uri: an Examples artifact, with pictures of the simulators' size.
      simulators_dir: a directory of simulators.
      config: as the evaluator's; its gate is not asked.
      out: what is there of an earlier run is replaced.
      peers: the methods' program.

    Returns:
      By method, what summary.summarise returns.
    """
    measurer = Measurer(methods, peers, simulators_dir, config)
    paths = features.example_files(examples_uri, features.EVAL_SPLIT)
    chosen = _chosen(paths, config.limit)
    temporary = {method: os.path.join(out, f".{method}.part") for method in methods}
    with contextlib.ExitStack() as stack:
        for directory in temporary.values():
            files.remove_directory(directory)
            stack.callback(files.remove_directory, directory)
        progress = stack.enter_context(tqdm(total=len(chosen) * len(methods) * config.repeats, desc="pictures"))
        for number, records in enumerate(_batches(paths, chosen, config.batch_size)):
            image_ids = [parts.image_id_of(record) for record in records]
            originals = [parts.parse_record(record, measurer.image_size) for record in records]
            for index, (method, found) in enumerate(measurer.measure(image_ids, *parts.stacked(originals))):
                with rows.RowFile(rows.path_of(temporary[method], f"{number:05d}-{index:03d}")) as file:
                    file.write(found)
                progress.update(len(records))
        evaluations = {}
        for method, directory in temporary.items():
            described = _describe(METHODS[method], measurer.image_size)
            evaluations[method] = summary.summarise(directory, config, measurer.slices, described)
            files.replace_directory(directory, os.path.join(out, method))
    return evaluations


def _chosen(paths: Sequence[str], limit: int | None) -> frozenset[str]:
    """The ids of the eval pictures; of `limit`, those that the evaluator chooses."""
    ids = [parts.image_id_of(record) for path in paths for record in parts.read_records(path)]
    if limit is not None:
        ids = heapq.nsmallest(limit, ids, key=parts.rank)
    return frozenset(ids)


def _batches(paths: Sequence[str], chosen: frozenset[str], batch_size: int) -> Iterator[list[bytes]]:
    records = (record for path in paths for record in parts.read_records(path) if parts.image_id_of(record) in chosen)
    while batch := list(itertools.islice(records, batch_size)):
        yield batch


def _describe(method: Method, image_size: int) -> record.Evaluated:
    message_bits, code_bits = method.code_matrix.shape
    tagger = record.TaggerFacts(
        message_bits=message_bits,
        code_bits=code_bits,
        image_size=image_size,
        strength=None,
        false_positive_rate=summary.FALSE_POSITIVE_RATE if code_bits > message_bits else None,
        level=None,
    )
    return record.Evaluated(label=method.label, image_size=image_size, tagger=tagger)


def _main(_) -> int:
    try:
        _run()
    except (ValueError, OSError, tf.errors.OpError) as error:
        print(f"failed: {error}", file=sys.stderr)
        return 1
    return 0


def _run() -> None:
    wanted = flags.FLAGS
    given = {"black_box": wanted.black_box, "repeats": wanted.repeats, "limit": wanted.limit}
    config = EvaluatorConfig.from_flags(wanted.config, **given)
    methods = list(dict.fromkeys(wanted.methods))
    unknown = sorted(set(methods) - set(METHODS))
    if unknown or not methods:
        raise ValueError(f"no methods {', '.join(unknown)}: there are {', '.join(METHODS)}")
    image_size = wanted.image_size or folder.side_of(wanted.simulators) or MIN_IMAGE_SIZE
    if image_size < MIN_IMAGE_SIZE and methods != ["lsb"]:
        raise ValueError(f"image_size must be at least {MIN_IMAGE_SIZE}, for invisible-watermark; got {image_size}")
    peers = Peers.installed()
    with tempfile.TemporaryDirectory() as temporary:
        examples = os.path.join(temporary, "examples")
        folder.write_examples(wanted.images, examples, image_size, wanted.out)
        made = os.path.join(temporary, "simulators")
        simulators = wanted.simulators or folder.shipped_simulators(examples, made, image_size)
        begun = time.monotonic()
        evaluations = measure_all(methods, examples, simulators, config, wanted.out, peers)
    for evaluation in evaluations.values():
        print(_line(evaluation))
    print(f"{time.monotonic() - begun:.0f} s of measuring, of which {peers.seconds:.0f} s in the methods' program")


def _line(evaluation: record.Evaluation) -> str:
    overall, quality = evaluation.overall, evaluation.quality
    rates = {"plain": evaluation.slices[PLAIN].fmrr, "white-box": overall.white, "black-box": overall.black}
    shown = ", ".join(f"{name} {figure.mean:.3f}" for name, figure in rates.items() if figure)
    return f"{evaluation.label}: PSNR {quality.psnr.mean:.1f} dB, FMRR: {shown}"


def define_flags(values: flags.FlagValues) -> None:
    """Of the command."""
    flags.DEFINE_string(
        "images", None, "a folder of photographs, with an optional attributes.csv", required=True, flag_values=values
    )
    flags.DEFINE_string(
        "simulators", None, "a directory of simulator SavedModels; by default the shipped ones", flag_values=values
    )
    flags.DEFINE_list("methods", list(METHODS), "which of them", flag_values=values)
    flags.DEFINE_integer(
        "image_size", None, f"the pictures' side; by default the simulators' or {MIN_IMAGE_SIZE}", flag_values=values
    )
    flags.DEFINE_integer("repeats", None, "how many UIDs each picture is tagged with; 1 by default", flag_values=values)
    flags.DEFINE_integer("limit", None, "at most this many pictures", flag_values=values)
    flags.DEFINE_list(
        "black_box",
        None,
        "the simulators that the taggers in the same table were not trained through",
        flag_values=values,
    )
    flags.DEFINE_string(
        "config", None, "the EvaluatorConfig of the taggers as JSON; the flags above go before it", flag_values=values
    )
    flags.DEFINE_string("out", None, "where the evaluations go", required=True, flag_values=values)


if __name__ == "__main__":
    define_flags(flags.FLAGS)
    parser = startup.Parser("python benchmarks/baselines.py", __doc__, module=sys.modules[__name__])
    startup.run(_main, parser, verbosity=logging.FATAL)
