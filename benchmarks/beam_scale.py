"""How fast Beam's steps are with one worker and with two, and whether their memory stays flat, in Markdown.

    python benchmarks/beam_scale.py --pictures=500,2000,50000
    python benchmarks/beam_scale.py --pictures=1000,10000,100000 --step=examples --engine=dask

Procedural faces of the tagger's size, of which --faces are drawn and then repeated under new names. --step=evaluation:
each is tagged with a UID of its own by the shipped tagger and measured under two perturbations, and a line is a whole
evaluation (evaluate.evaluate: measurement, summary, gate). --step=examples: a folder of them becomes Examples
(preprocess.write_examples: read, look for the face, resize, split, write). Every line is a process of its own, on
Beam's FnApiRunner, or on as many worker processes of a Dask cluster; its seconds begin once Python and TensorFlow are
there and include the start of further workers. The peak is that of the resident memory (RSS) of this process and its
workers together, sampled every 0.2 s; what they share counts in each. The processor's seconds are theirs too: where
other work shares the machine they are what compares. TensorFlow lets one worker use all cores, so what a second one
gains is what that leaves idle; TF_NUM_INTRAOP_THREADS=1 keeps each to one.
"""

import concurrent.futures
import contextlib
import multiprocessing
import os
import sys
import tempfile
import time
from collections.abc import Callable

from faketagger.components.contract import startup

startup.quiet()  # Before TensorFlow is imported.

import apache_beam as beam
import numpy as np
import psutil
import tensorflow as tf
from absl import flags, logging
from apache_beam.options.pipeline_options import PipelineOptions
from tqdm import tqdm

from faketagger.components.contract import features, files, images, manifest, pretrained
from faketagger.components.evaluator.config import PLAIN, EvaluatorConfig
from faketagger.components.evaluator.evaluate import evaluate
from faketagger.components.evaluator.measure import models
from faketagger.components.example_gen import face_drawing, preprocess, sources
from faketagger.components.perturbations import catalogue
from faketagger.components.simulator.generators.base import Faces
from faketagger.components.simulator.packing import export
from faketagger.components.simulator.quality import assess

FLAGS = flags.FLAGS
flags.DEFINE_list("pictures", ["500", "2000", "50000"], "numbers of pictures")
flags.DEFINE_enum("step", "evaluation", ["evaluation", "examples"], "what is done with them")
flags.DEFINE_list("workers", ["1", "2"], "numbers of workers to do it with")
flags.DEFINE_enum("engine", "beam", ["beam", "dask"], "what runs it: Beam's FnApiRunner, or a Dask cluster here")
flags.DEFINE_integer("faces", 300, "how many different faces are drawn", lower_bound=1)
for _name in ("pictures", "workers"):
    flags.register_validator(
        _name,
        lambda values: bool(values) and all(value.isdecimal() and int(value) > 0 for value in values),
        "must be whole numbers above 0, with commas between",
    )

_COLUMNS = ("pictures", "workers", "seconds", "pictures/s", "ratio", "core s", "pictures/core s", "peak MB")
_CONDITIONS = ("jpeg_75", "resize_0.5")
_SHARD = 5000  # Pictures in a file of Examples.
_SAMPLED_EVERY = 0.2  # Seconds between two looks at memory.
_SEED = 0
_EVAL_PERCENT = 10


def main(_) -> None:
    """Does the step with as many pictures as --pictures says and prints time and memory."""
    size = manifest.read(manifest.TaggerManifest, pretrained.TAGGER).image_size
    traits = [face_drawing.sample_traits(_SEED, index) for index in range(FLAGS.faces)]
    faces = [face_drawing.draw(each, size) for each in tqdm(traits, desc="faces")]
    with tempfile.TemporaryDirectory() as root:
        work = {"evaluation": _evaluate, "examples": _preprocess}[FLAGS.step]
        if work is _evaluate:
            _make_simulator(root, faces)
        print("| " + " | ".join(_COLUMNS) + " |\n" + "|---:" * len(_COLUMNS) + "|", flush=True)
        for count in map(int, FLAGS.pictures):
            if work is _evaluate:
                write_examples(os.path.join(root, f"examples-{count}"), faces, count)
            else:
                _fill(os.path.join(root, f"faces-{count}"), faces, count)
            rates = []
            for workers in map(int, FLAGS.workers):
                options = _options(FLAGS.engine, workers)
                seconds, used, peak = _in_own_process(work, root, count, options)
                rates.append(count / seconds)
                row = [f"{count:,}", f"{workers}", f"{seconds:.0f}", f"{rates[-1]:.1f}", f"{rates[-1] / rates[0]:.2f}"]
                row += [f"{used:.0f}", f"{count / used:.1f}", f"{peak / 1e6:,.0f}"]
                print("| " + " | ".join(row) + " |", flush=True)


def _make_simulator(root: str, faces: list[np.ndarray]) -> None:
    """Exports a simulator of few perturbations; `faces` are those that its change is measured on."""
    size, few = len(faces[0]), faces[:16]
    described = manifest.SimulatorManifest(
        manifest.PERTURBATION, "perturbation", tuple(_CONDITIONS), size, "none: formulas", "the project's own"
    )
    simulate = catalogue.by_condition({name: catalogue.at(name) for name in _CONDITIONS})
    unknown = np.array([features.attributes_from({})] * len(few))
    export.save(_simulators(root), simulate, described, assess.Assessor(Faces(np.stack(few), unknown)))


def _simulators(root: str) -> str:
    return os.path.join(root, "simulators")


def write_examples(uri: str, faces: list[np.ndarray], count: int) -> None:
    """Writes an Examples artifact whose eval split holds `count` pictures, `faces` repeated as often as need be."""
    folder = os.path.join(uri, f"Split-{features.EVAL_SPLIT}")
    os.makedirs(folder)
    size, unknown, pngs = len(faces[0]), features.attributes_from({}), [images.encode_png(face) for face in faces]
    shards = -(-count // _SHARD)
    for shard in range(shards):
        path = os.path.join(folder, f"data_tfrecord-{shard:05d}-of-{shards:05d}.gz")
        with tf.io.TFRecordWriter(path, "GZIP") as writer:
            for index in range(shard * _SHARD, min(count, (shard + 1) * _SHARD)):
                png = pngs[index % len(pngs)]
                example = features.make_example(png, f"face-{index:07d}", "drawn", unknown, size, size)
                writer.write(example.SerializeToString())


def _fill(folder: str, faces: list[np.ndarray], count: int) -> None:
    """A folder of `count` picture files, `faces` under new names as often as need be."""
    os.makedirs(folder)
    for index in range(count):
        path = os.path.join(folder, f"{index:07d}.png")
        if index < len(faces):
            files.write_bytes(path, images.encode_png(faces[index]))
        else:
            os.link(os.path.join(folder, f"{index % len(faces):07d}.png"), path)


def _options(engine: str, workers: int) -> list[str]:
    """For Beam."""
    if engine == "dask":
        return ["--runner=faketagger.pipelines.dask_runner.DaskRunner", f"--dask_workers={workers}"]
    several = [f"--direct_num_workers={workers}", "--direct_running_mode=multi_processing"]
    return ["--runner=FnApiRunner", *(several if workers > 1 else [])]


def _in_own_process(work: Callable, *arguments) -> tuple[float, float, int]:
    """Runs `work` in a new process.

    Returns:
      What it returns, and of it and its children together the processor's seconds and the peak of memory in bytes.
    """
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(max_workers=1, mp_context=context) as pool:
        done, peak, used = pool.submit(work, *arguments), 0, {}
        while not done.done():
            memory = 0
            for child in psutil.Process().children(recursive=True):
                with contextlib.suppress(psutil.NoSuchProcess):  # It ended meanwhile.
                    memory += child.memory_info().rss
                    times = child.cpu_times()
                    used[child.pid] = times.user + times.system
            peak = max(peak, memory)
            time.sleep(_SAMPLED_EVERY)
        return done.result(), sum(used.values()), peak


def _evaluate(root: str, count: int, options: list[str]) -> float:
    """Evaluates the `count` pictures; returns the seconds. Raises RuntimeError where not all of them were measured."""
    startup.show_log_from(logging.ERROR)  # In a process of its own: Beam's warnings are none of the user's.
    examples, out = os.path.join(root, f"examples-{count}"), tempfile.mkdtemp(dir=root)
    config = EvaluatorConfig(sweeps={}, after=())
    inputs = models.read_inputs(pretrained.TAGGER, _simulators(root), config)
    begun = time.perf_counter()
    evaluation, _ = evaluate(lambda: beam.Pipeline(options=PipelineOptions(options)), examples, inputs, config, out)
    seconds = time.perf_counter() - begun
    measured = evaluation.slices[PLAIN].pictures
    if measured != count:
        raise RuntimeError(f"{measured} of {count} pictures were measured")
    return seconds


def _preprocess(root: str, count: int, options: list[str]) -> float:
    """Makes Examples of the `count` files; returns the seconds. Raises RuntimeError where not all became one."""
    startup.show_log_from(logging.ERROR)
    folder, out = os.path.join(root, f"faces-{count}"), tempfile.mkdtemp(dir=root)
    size = manifest.read(manifest.TaggerManifest, pretrained.TAGGER).image_size
    begun = time.perf_counter()
    with beam.Pipeline(options=PipelineOptions(options)) as pipeline:
        preprocess.write_examples(pipeline, sources.ReadFolder(folder), out, size, _EVAL_PERCENT)
    seconds = time.perf_counter() - begun
    counts = preprocess.read_counts(out)
    if counts[preprocess.REJECTED] or sum(counts.values()) != count:
        raise RuntimeError(f"of {count} pictures became {counts}")
    return seconds


if __name__ == "__main__":
    startup.run(main, startup.Parser("python benchmarks/beam_scale.py", __doc__, module=sys.modules[__name__]))
