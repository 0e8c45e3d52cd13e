"""Beam pipelines on two worker processes of Dask: what they make is what one process makes, though a worker dies."""

import asyncio
import contextlib
import os
import pathlib
import re
import signal
import threading
import time

import apache_beam as beam
import numpy as np
import pytest
import tensorflow as tf
from apache_beam.io import iobase
from apache_beam.options import pipeline_options
from apache_beam.runners import runner
from apache_beam.testing import util
from dask import distributed
from PIL import Image
from pyarrow import parquet

from faketagger.components.contract import features, payload
from faketagger.components.evaluator.config import EvaluatorConfig, Gate
from faketagger.components.evaluator.evaluate import evaluate
from faketagger.components.evaluator.measure import models
from faketagger.components.example_gen import face_drawing, preprocess, sources
from faketagger.pipelines import tag_collection
from faketagger.pipelines.archive import plan
from faketagger.pipelines.dask_runner import DaskRunner
from faketagger.tests import helpers, stubs

RUNNER = "--runner=faketagger.pipelines.dask_runner.DaskRunner"
ONE_PROCESS = ["--runner=FnApiRunner"]
PICTURES = 2 * plan.PART


@pytest.fixture(scope="module")
def cluster():
    made = distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0")
    yield made
    with contextlib.suppress(asyncio.TimeoutError):  # Of workers that take their time to end.
        made.close()


@pytest.fixture
def two_workers(cluster):
    """Beam's options, with both workers up."""
    with distributed.Client(cluster) as client:
        client.wait_for_workers(2, timeout=300)
    return [RUNNER, f"--dask_client_address={cluster.scheduler_address}"]


@pytest.fixture(scope="module")
def faces(tmp_path_factory):
    folder = tmp_path_factory.mktemp("faces")
    for index in range(PICTURES):
        face = face_drawing.draw(face_drawing.sample_traits(1, index), 64)
        Image.fromarray(face).save(folder / f"{index:03d}.png")
    (folder / "broken.png").write_bytes(b"no picture")
    return folder


def _pipeline(options):
    return beam.Pipeline(options=pipeline_options.PipelineOptions(options))


def _examples(options, folder, out, before):
    """Image ids by split, as they lie in the files, and the counts; `before` is called of each picture."""
    with _pipeline(options) as pipeline:
        source = sources.ReadFolder(str(folder)) | beam.Map(before)
        preprocess.write_examples(pipeline, source, str(out), 32, eval_percent=20)
    ids = {}
    for split in ("train", "eval"):
        records = tf.data.TFRecordDataset(features.example_files(str(out), split), "GZIP").as_numpy_iterator()
        found = (tf.train.Example.FromString(each).features.feature[features.IMAGE_ID] for each in records)
        ids[split] = sorted(each.bytes_list.value[0].decode() for each in found)
    return ids, preprocess.read_counts(str(out))


@pytest.mark.slow
def test_a_worker_that_dies_midway_loses_no_example_and_doubles_none(two_workers, faces, tmp_path):
    flag = str(tmp_path / "died")

    def die_once(picture):
        if picture.image_id == "007.png" and not os.path.exists(flag):
            open(flag, "x").close()
            os.kill(os.getpid(), signal.SIGKILL)
        return picture

    made = _examples(two_workers, faces, tmp_path / "two", die_once)
    assert os.path.exists(flag)
    assert made == _examples(ONE_PROCESS, faces, tmp_path / "one", lambda picture: picture)
    assert made[1]["rejected"] == 1 and sum(made[1].values()) == PICTURES + 1
    assert not [name for name in os.listdir(tmp_path / "two" / "Split-train") if "temp" in name]


@pytest.mark.slow
def test_an_evaluation_of_some_pictures_finds_the_same_figures(two_workers, tmp_path):
    pixels = [face_drawing.draw(face_drawing.sample_traits(2, index), stubs.SIZE) for index in range(40)]
    examples = str(tmp_path / "examples")
    helpers.write_records(examples, "eval", [helpers.record(each, f"face-{it}") for it, each in enumerate(pixels)])
    stubs.save_row_tagger(str(tmp_path / "model"))
    stubs.save_mixer(str(tmp_path / "simulators"), "grey", "entire_synthesis", {"half": (0.5, 0.25)})
    config = EvaluatorConfig(Gate(min_pictures=1), sweeps={"noise": (0.01,)}, after=(), batch_size=4, limit=20)
    inputs = models.read_inputs(str(tmp_path / "model"), str(tmp_path / "simulators"), config)
    found = {
        name: evaluate(lambda options=options: _pipeline(options), examples, inputs, config, str(tmp_path / name))[0]
        for name, options in (("two", two_workers), ("one", ONE_PROCESS))
    }
    assert found["two"] == found["one"]
    assert found["two"].slices["plain"].pictures == 20


@pytest.mark.slow
def test_an_archive_is_tagged_once_though_a_worker_dies(cluster, two_workers, tmp_path):
    stubs.save_pattern_tagger(str(tmp_path / "model"))
    payload.make_key(str(tmp_path / "key"))
    given, out = tmp_path / "in", tmp_path / "out"
    given.mkdir()
    for index in range(PICTURES):  # Smooth ones, in which the stub's tags hold.
        pixels = helpers.smooth_pictures(np.random.default_rng(index), 1, 96)[0]
        (given / f"{index:03d}.png").write_bytes(helpers.file_of(np.uint8(pixels * 255)))
    (given / "broken.png").write_bytes(b"no picture")

    def kill_one():
        until = time.monotonic() + 500
        while not list(out.glob("*.png")) and time.monotonic() < until:
            time.sleep(0.01)
        os.kill(cluster.workers[0].pid, signal.SIGKILL)

    killer = threading.Thread(target=kill_one)
    killer.start()
    flags = [f"--out={out}", f"--key_file={tmp_path}/key", f"--model={tmp_path}/model"]
    flags += [f"--beam_args={each}" for each in two_workers]
    code = tag_collection.run(tag_collection.make_parser().parse(["archive", str(given), *flags]))
    killer.join()
    rows = parquet.read_table(out / "manifest.parquet").to_pylist()
    assert code == 1 and sorted(row["uid"] for row in rows) == list(range(1, PICTURES + 2))
    outcomes = {os.path.basename(row["path"]): row["outcome"] for row in rows}
    assert outcomes.pop("broken.png") == "damaged file" and set(outcomes.values()) == {"tagged"}
    assert len(outcomes) == len(list(out.glob("*.png"))) == PICTURES


@pytest.mark.slow
def test_an_element_goes_through_all_steps_before_the_next_one_is_begun(two_workers, tmp_path):
    path = str(tmp_path / "steps")

    def told(step):
        def tell(number):
            with open(path, "a") as file:
                file.write(f"{step}{number} ")
            return number

        return beam.Map(tell)

    with _pipeline(two_workers) as pipeline:
        numbers = pipeline | beam.Create([range(3)]) | beam.FlatMap(iter)
        numbers | "First" >> told("a") | "Second" >> told("b")
    assert pathlib.Path(path).read_text().split() == ["a0", "b0", "a1", "b1", "a2", "b2"]


@pytest.mark.slow
def test_all_of_a_step_is_there_before_it_is_the_side_input_of_a_step_beside_it(two_workers):
    with _pipeline(two_workers) as pipeline:
        numbers = pipeline | beam.Create([range(3)]) | beam.FlatMap(iter)
        tens = numbers | "Tens" >> beam.Map(lambda number: 10 * number)
        sums = numbers | "Sums" >> beam.Map(lambda number, all_tens: number + sum(all_tens), beam.pvalue.AsList(tens))
        util.assert_that(sums, util.equal_to([30, 31, 32]))


@pytest.mark.slow
def test_as_many_workers_are_started_as_are_asked_for(tmp_path):
    def process(_):
        time.sleep(0.05)  # Long enough for another worker to take some.
        return os.getpid()

    options = pipeline_options.PipelineOptions([RUNNER, "--dask_workers=1"])
    with beam.Pipeline(options=options) as pipeline:
        spread = pipeline | beam.Create(range(16)) | beam.Reshuffle()
        _ = spread | beam.Map(process) | beam.io.WriteToText(str(tmp_path / "processes"), num_shards=1)
    (written,) = tmp_path.iterdir()
    assert len(set(written.read_text().split())) == 1


def test_what_is_not_run_on_dask_is_refused_and_what_a_worker_raises_is_raised_here(two_workers):
    with pytest.raises(NotImplementedError, match="Read: _Read is not run on Dask here"):
        with _pipeline(two_workers) as pipeline:
            pipeline | beam.io.Read(iobase.BoundedSource())

    def fail(value):
        raise ValueError(f"no {value}")

    with pytest.raises(ValueError, match="no 3"), _pipeline(two_workers) as pipeline:
        pipeline | beam.Create([3]) | beam.Map(fail)


def _documented():
    """The options of each engine in docs/scale.md, by its name."""
    page = (pathlib.Path(helpers.ROOT) / "docs" / "scale.md").read_text()
    engines = {}
    for block in re.findall(r"((?:    .*--beam_args=.*\n)+)", page):
        options = re.findall(r"--beam_args=(\S+)", block)
        engines[next(each for each in options if each.startswith("--runner")).rpartition("=")[2]] = options
    return engines


@pytest.mark.parametrize(
    "name, kind, expected",
    [
        ("DataflowRunner", pipeline_options.GoogleCloudOptions, {"project": "PROJECT", "region": "REGION"}),
        ("FlinkRunner", pipeline_options.FlinkRunnerOptions, {"flink_master": "HOST:8081", "parallelism": 16}),
        ("SparkRunner", pipeline_options.SparkRunnerOptions, {"spark_master_url": "spark://HOST:7077"}),
    ],
)
def test_the_documented_options_of_other_engines_are_beam_s(name, kind, expected):
    options = pipeline_options.PipelineOptions(_documented()[name])
    found = options.view_as(kind).get_all_options(drop_default=True, current_only=True)
    assert {key: found[key] for key in expected} == expected
    left = options.get_all_options(drop_default=True, retain_unknown_options=False)
    given = {re.match(r"--(\w+)", each)[1] for each in _documented()[name]}
    assert given <= set(left)
    assert type(runner.create_runner(name)).__name__ == name


def test_the_documented_options_of_dask_are_those_that_the_tests_use():
    (name,) = [each for each in _documented() if "dask" in each]
    assert f"--runner={name}" == RUNNER and isinstance(runner.create_runner(name), DaskRunner)
