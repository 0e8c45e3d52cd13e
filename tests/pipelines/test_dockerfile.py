"""Each line of the Dockerfile is run, and what it builds runs the compiled pipelines' steps and serves."""

import json
import os
import pathlib
import signal
import socket
import subprocess
import time
import urllib.request

import numpy as np
import pytest

from faketagger.components.contract import manifest, pushed
from faketagger.pipelines import cluster, run_kubeflow, run_vertex
from faketagger.serving import client
from faketagger.tests import helpers, stubs
from faketagger.tests.pipelines import containers, dockerfile

KEY = b"a key of these tests"
_TEXT = pathlib.Path(helpers.ROOT, "Dockerfile").read_text()


def test_instructions_are_told_apart_with_lines_that_go_on_and_comments():
    text = '# One\nFROM python:3.10-slim AS first\nENV A=1 B="2 3"\n\nRUN one \\\n    # said between\n    && two\n'
    found = [(each.line, each.word, each.rest) for each in dockerfile.parse(text)]
    assert found == [
        (2, "FROM", "python:3.10-slim AS first"),
        (3, "ENV", 'A=1 B="2 3"'),
        (5, "RUN", "one && two"),
    ]
    with pytest.raises(ValueError, match="line 1: ADD is not known here"):
        dockerfile.parse("ADD https://example.org /x")


def test_a_stage_begins_with_what_another_did():
    found = dockerfile.stages(dockerfile.parse(_TEXT))
    assert list(found) == ["package", "serving", "pipeline"]  # The last is what `docker build` makes by default.
    shared = found["package"]
    assert found["serving"][: len(shared)] == found["pipeline"][: len(shared)] == shared


@pytest.mark.slow
@pytest.mark.parametrize(
    "text, told",
    [
        ("WORKDIR /x\nRUN touch here && test -f /nowhere/there", "line 2: RUN touch here .*: status 1"),
        ("WORKDIR /x\nCOPY missing .", "line 2: COPY missing: the repository has no such file"),
        ("USER somebody", "line 1: USER somebody"),
        ("FROM python:3.9-slim AS old", "line 1: python:3.9-slim AS old is not this Python"),
    ],
)
def test_an_instruction_that_fails_is_named_with_its_line(tmp_path, text, told):
    image = dockerfile.Image(tmp_path, tmp_path)
    with pytest.raises(RuntimeError, match=told):
        image.build(dockerfile.parse(text))


@pytest.mark.slow
def test_run_sees_the_images_environment_and_no_other(tmp_path, monkeypatch):
    monkeypatch.setenv("OF_THIS_MACHINE", "1")
    (tmp_path / "file").write_text("x")
    image = dockerfile.Image(tmp_path / "image", tmp_path)
    text = (
        'ARG GIVEN="yes"\nENV A=1\nWORKDIR /in\nCOPY file .\nRUN test "$A$GIVEN" = 1yes && test -f file && env > env\n'
    )
    image.build(dockerfile.parse(text + 'RUN test "$(command -v python)" = "$HOME/usr/local/bin/python"'))
    seen = (tmp_path / "image" / "in" / "env").read_text()
    assert "OF_THIS_MACHINE" not in seen and "PYTHONPATH" not in seen


@pytest.fixture(scope="module")
def image(tmp_path_factory):
    """The pipeline's image."""
    return dockerfile.build("pipeline", tmp_path_factory.mktemp("image"))


@pytest.mark.slow
def test_the_image_has_the_package_itself_and_not_the_sources(image):
    where = image.run([str(image.python), "-c", "import faketagger; print(faketagger.__file__)"], check=True).stdout
    assert where.startswith(str(image.root / "usr" / "local"))
    assert image.command == ["python", "-m", "tfx.orchestration.kubeflow.v2.container.kubeflow_v2_run_executor"]


def _compiled(runner, config, folder):
    machine = runner.MACHINE
    pipeline = cluster.create_cluster_pipeline(config, str(folder), f"{folder}/pushed", "image", machine)
    compiled = runner.compile_pipeline(pipeline, "image")
    return compiled.get("pipelineSpec", compiled)


@pytest.mark.slow
def test_every_step_of_kubeflow_runs_in_the_image_and_the_second_tagger_is_held_against_the_first(image, tmp_path):
    config = containers.shrunken(str(tmp_path / "photographs"))
    made = containers.run_steps(_compiled(run_kubeflow, config, tmp_path), str(tmp_path), typed=False, image=image)
    examples = made["face-example-gen"]["examples"]["artifacts"][0]["metadata"]
    assert examples["train"] + examples["eval"] == 40 and json.loads(examples["split_names"]) == ["train", "eval"]
    simulators = made["simulator-step"]["simulators"]["artifacts"][0]["metadata"]
    assert simulators["names"] == "perturbation, perturbation_unseen"
    assert made["tag-evaluator"]["blessing"]["artifacts"][0]["metadata"]["blessed"] == 1.0
    assert os.listdir(tmp_path / "newest-pushed" / "model") == [pushed.NONE_YET]
    version = pushed.newest(str(tmp_path / "pushed"))
    assert manifest.read(manifest.TaggerManifest, version).image_size == 32


@pytest.mark.slow
def test_every_step_of_vertex_runs_in_the_image(image, tmp_path):
    config = containers.shrunken(str(tmp_path / "photographs"))
    containers.run_steps(_compiled(run_vertex, config, tmp_path), str(tmp_path), typed=True, image=image)
    version = pushed.newest(str(tmp_path / "pushed"))  # Of a blessed tagger, or nothing.
    assert manifest.read(manifest.TaggerManifest, version).image_size == 32


@pytest.mark.slow
def test_the_serving_image_serves_a_tagger_and_a_platform(tmp_path):
    image = dockerfile.build("serving", tmp_path / "built")
    assert image.command[:4] == ["python", "-m", "faketagger", "serve"]
    stubs.save_pattern_tagger(str(tmp_path / "models" / "1"))
    port = _free_port()
    given = {"--model_base_path": str(tmp_path / "models"), "--host": "localhost", "--port": str(port)}
    with _started(image, [*image.command[1:4], *(f"{name}={value}" for name, value in given.items())]):
        _wait_for(port)
        tagger = client.TaggerClient(client.connect(f"localhost:{port}"), KEY)
        pixels = np.uint8(helpers.smooth_pictures(np.random.default_rng(7), 1, 96)[0] * 255)
        tagged = tagger.photograph_tag(pixels, 171, whole=True).overlay.on(pixels)
        assert tagger.read_photograph(tagged, depth=1).uid == 171
        tagger.close()
    port = _free_port()
    (tmp_path / "key").write_bytes(b"faketagger-key-2-of these tests alone")
    options = [f"--database=sqlite:///{tmp_path}/platform.db", f"--key_file={tmp_path}/key", f"--port={port}"]
    model = f"--model={tmp_path}/models"
    with _started(image, ["-m", "faketagger", "platform", model, *options]):
        _wait_for(port)
        with urllib.request.urlopen(f"http://localhost:{port}/", timeout=60) as answer:
            assert answer.status == 200


class _started:
    """A command of the image's Python in the background; ended as `docker stop` does."""

    def __init__(self, image, arguments):
        self._image, self._arguments = image, arguments

    def __enter__(self):
        command = [str(self._image.python), *self._arguments]
        self._process = subprocess.Popen(command, cwd=self._image.root, env=self._image.environment)

    def __exit__(self, *_):
        self._process.send_signal(signal.SIGTERM)
        assert self._process.wait(timeout=120) == 0


def _free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _wait_for(port, seconds=300):
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.5)
    raise TimeoutError(f"nothing listens on {port}")
