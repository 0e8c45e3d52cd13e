"""The whole pipeline as its user runs it: execution, caching, refusal, serving. Minutes, not seconds."""

import argparse
import io
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import nbclient
import nbformat
import pytest
import tensorflow as tf
from absl import flags
from absl.testing import flagsaver

from faketagger.components.contract import images
from faketagger.components.example_gen import face_drawing
from faketagger.components.simulator import library
from faketagger.pipelines import local
from faketagger.pipelines import run_local as run_local_program
from faketagger.serving import client, server
from faketagger.tests.helpers import ROOT

pytestmark = pytest.mark.slow

SMALL = ["--preset=smoke", "--set", "limit=120", "--set", "simulator.steps=20"]


# Of three epochs, whatever comes of them.
UNTRAINED = ["--preset=smoke", "--set", "limit=60", "--set", "simulator.train=[]", "--set", "tagger.steps=300"]
UNTRAINED += ["--set", "tagger.reads_below=9.0", "--set", "evaluator.sweeps={}"]


def run_local(workdir, *arguments, settings=SMALL):
    command = [sys.executable, "pipelines/run_local.py", f"--workdir={workdir}", *settings, *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=900)


def states(output):
    steps = re.search(r"^steps: (.*)$", output, re.MULTILINE).group(1)
    return dict(re.findall(r"(\w+) \((\w+)\)", steps))


@pytest.fixture(scope="module")
def first_run(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("work")
    return workdir, run_local(workdir)


def versions(workdir):
    return sorted(path.name for path in Path(workdir, "serving", "faketagger").glob("*"))


def test_a_run_ends_with_a_table_a_verdict_and_a_pushed_version(first_run):
    workdir, finished = first_run
    assert finished.returncode == 0, finished.stderr
    assert set(states(finished.stdout).values()) == {"done"}
    assert re.search(
        r"^faceswap +to_group_a +identity_swap +white +\d+\.\d +[01]\.\d+ \[", finished.stdout, re.MULTILINE
    )
    assert "\nBLESSED" in finished.stdout
    (version,) = versions(workdir)
    assert f"pushed: {workdir}/serving/faketagger/{version}" in finished.stdout
    assert json.loads(Path(workdir, "serving", "faketagger", version, "tagger.json").read_text())["message_bits"] == 5


def test_a_normal_run_says_nothing_on_standard_error(first_run):
    assert first_run[1].stderr == ""


def test_the_second_run_evaluates_once_more_beside_the_blessed_tagger_and_the_third_reuses_every_step(first_run):
    workdir, _ = first_run
    second = run_local(workdir)
    assert second.returncode == 0, second.stderr
    done = {name for name, state in states(second.stdout).items() if state == "done"}
    # The first run had no blessed tagger to look up; the new blessing is pushed.
    assert done == {"TagEvaluator", "Pusher"}
    pushed = Path(workdir, "serving", "faketagger", max(versions(workdir), key=int))
    (pushed / "saved_model.pb").unlink()
    third = run_local(workdir)
    assert third.returncode == 0, third.stderr
    assert set(states(third.stdout).values()) == {"cached"}
    assert "every step was reused from the cache" in third.stdout
    assert (pushed / "saved_model.pb").stat().st_size > 0


def test_a_stricter_gate_re_runs_the_evaluator_alone_and_pushes_nothing(first_run):
    workdir, _ = first_run
    before = versions(workdir)
    refused = run_local(workdir, "--set", "evaluator.gate.min_psnr=60")
    assert refused.returncode == 2, refused.stderr
    assert states(refused.stdout)["TaggerStep"] == "cached"
    assert states(refused.stdout)["TagEvaluator"] == "done"
    assert "NOT BLESSED" in refused.stdout and "nothing was pushed" in refused.stdout
    assert versions(workdir) == before


def test_tags_laid_over_grpc_are_read_over_grpc_after_a_simulator(first_run):
    workdir, _ = first_run
    simulators = next(Path(workdir, "artifacts", "SimulatorStep", "simulators").iterdir())
    simulator = library.load(str(simulators / "perturbation"))
    running = server.start_server(str(Path(workdir, "serving", "faketagger")))
    try:
        tagger = client.TaggerClient(client.connect(f"localhost:{running.port}"), b"a key for this test")
        found = []
        for index in range(8):
            picture = images.encode_png(face_drawing.draw(face_drawing.sample_traits(7, index), 96))
            tagged = images.load_image(tagger.tag(picture, uid=19))
            assert tagged.shape == (96, 96, 3)
            small = images.to_float(images.square(tagged, simulator.manifest.image_size))
            simulated = simulator(tf.constant(small[None]), tf.constant([0]))[0].numpy()
            found.append(tagger.read(images.encode_png(images.to_uint8(simulated))))
    finally:
        running.stop()
    # A tagger of a minute: most messages are right, and none is claimed that is wrong.
    assert {reading.uid for reading in found} <= {19, None}
    assert [reading.candidate for reading in found].count(19) >= 4


def test_the_report_is_written_before_the_server_takes_the_process_s_place(tmp_path, monkeypatch):
    redirected, written = io.BytesIO(), []
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(redirected))
    monkeypatch.setattr(local, "run", lambda *_: SimpleNamespace(blessed=True))
    monkeypatch.setattr(local, "report", lambda *_: "BLESSED")
    monkeypatch.setattr(os, "execv", lambda *_: written.append(redirected.getvalue()))
    if not flags.FLAGS.is_parsed():
        flags.FLAGS.mark_as_parsed()
    with flagsaver.flagsaver(serve=True, workdir=str(tmp_path)):
        run_local_program.run(argparse.Namespace())
    assert written == [b"BLESSED\n"]


def test_a_killed_training_goes_on_where_it_stopped(tmp_path):
    command = [sys.executable, "pipelines/run_local.py", f"--workdir={tmp_path}", *UNTRAINED]
    checkpoints = tmp_path / "checkpoints"
    started = subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True
    )
    try:
        deadline = time.monotonic() + 600
        while not list(checkpoints.glob("*/chief/checkpoint")):  # Written last: it names the others.
            assert started.poll() is None and time.monotonic() < deadline, started.stdout.read().decode()[-2000:]
            time.sleep(0.2)
    finally:
        os.killpg(started.pid, signal.SIGKILL)
        started.wait()
    finished = run_local(tmp_path, settings=UNTRAINED)
    assert finished.returncode == 0, finished.stderr
    assert states(finished.stdout)["SimulatorStep"] == "cached"
    epochs = [int(number) for number in re.findall(r"^Epoch (\d+)/3$", finished.stdout, re.MULTILINE)]
    assert epochs[0] > 1 and epochs[-1] == 3
    assert not list(checkpoints.glob("*"))


# Runs a script, and dies where the Pusher would copy `saved_model.pb`, the last file.
KILLED_WHILE_PUSHING = """
import os, runpy, signal, sys
from tfx.utils import io_utils
io_utils.copy_file = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def test_a_killed_push_leaves_no_version_to_load_and_the_next_run_pushes_anew(first_run):
    workdir, _ = first_run
    before = versions(workdir)
    # Another gate, so that the tagger is judged and pushed once more.
    arguments = [f"--workdir={workdir}", *SMALL, "--set", "evaluator.gate.min_psnr=19"]
    killed = subprocess.run(
        [sys.executable, "-c", KILLED_WHILE_PUSHING, "pipelines/run_local.py", *arguments],
        cwd=ROOT,
        capture_output=True,
    )
    assert killed.returncode == -signal.SIGKILL
    (unfinished,) = set(versions(workdir)) - set(before)
    assert not Path(workdir, "serving", "faketagger", unfinished, "saved_model.pb").exists()
    finished = run_local(workdir, *arguments[-2:])
    assert finished.returncode == 0, finished.stderr
    assert states(finished.stdout)["TagEvaluator"] == "cached" and states(finished.stdout)["Pusher"] == "done"
    newest = max(set(versions(workdir)) - {unfinished}, key=int)
    assert newest not in before
    running = server.start_server(str(Path(workdir, "serving", "faketagger")))
    try:
        assert list(running.manager.available("faketagger")) == [int(newest)]
    finally:
        running.stop()


def test_a_folder_without_pictures_fails_with_a_sentence(tmp_path):
    (tmp_path / "empty").mkdir()
    failed = run_local(tmp_path / "work", f"--images={tmp_path / 'empty'}")
    assert failed.returncode == 1
    assert str(tmp_path / "empty") in failed.stderr and "Traceback" not in failed.stderr


def test_the_notebook_runs_on_a_finished_run(first_run, monkeypatch):
    monkeypatch.setenv("FAKETAGGER_WORKDIR", str(first_run[0]))
    notebook = nbformat.read(ROOT / "notebooks" / "tag_and_read.ipynb", as_version=4)
    nbclient.NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(ROOT / "notebooks")}}).execute()
    printed = "".join(output.get("text", "") for cell in notebook.cells for output in cell.get("outputs", []))
    assert re.search(r"^faceswap: change \d+\.\d dB, UID", printed, re.MULTILINE)
    pictures = [
        output for cell in notebook.cells for output in cell.get("outputs", []) if "image/png" in output.get("data", {})
    ]
    assert len(pictures) == 2
