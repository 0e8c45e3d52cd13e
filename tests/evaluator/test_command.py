"""The evaluator's command line from a folder of pictures to its exit status, on stub networks."""

import json
import os
import shutil
import subprocess
import sys

import apache_beam as beam
import numpy as np
import pytest
from apache_beam.options.pipeline_options import PipelineOptions

from faketagger.components.contract import files, images
from faketagger.components.evaluator.config import EvaluatorConfig, Gate
from faketagger.components.evaluator.folder_evaluation import evaluate_folder
from faketagger.components.evaluator.measure import folder, rows
from faketagger.components.example_gen import face_drawing, preprocess, sources
from faketagger.tests.stubs import SIZE, save_mixer, save_row_tagger

pytestmark = pytest.mark.slow

PICTURES = 6

# Nothing survives `grey/erased`. 6 of 6 pictures show an FMRR of 0.54, 0 of 6 a share of false positives of 0.46.
GATE = Gate(min_fmrr=0.5, ungated=("grey/erased",), min_psnr=10.0, max_false_positives=0.5, min_pictures=PICTURES)
CONFIG = EvaluatorConfig(GATE, repeats=2, black_box=("grey",), sweeps={"noise": (0.01,)}, after=("noise_0.02",))


def _write_pictures(folder, splits=None):
    """Drawn faces; with `splits`, an attributes.csv that says which split each is in."""
    os.makedirs(folder)
    for index in range(PICTURES):
        face = face_drawing.draw(face_drawing.sample_traits(0, index), SIZE)
        files.write_bytes(os.path.join(folder, f"face-{index}.png"), images.encode_png(face))
    if splits:
        lines = ["image,split", *(f"face-{index}.png,{split}" for index, split in enumerate(splits))]
        files.write_bytes(os.path.join(folder, "attributes.csv"), "\n".join(lines).encode())


@pytest.fixture(scope="module")
def given(tmp_path_factory):
    """A directory with the Model artifact `model`, `simulators`, and `pictures`, of which one is no picture."""
    root = str(tmp_path_factory.mktemp("given"))
    save_row_tagger(os.path.join(root, "model", "Format-Serving"))
    conditions = {"half": (0.5, 0.25), "erased": (0.0, 0.5)}
    save_mixer(os.path.join(root, "simulators"), "grey", "entire_synthesis", conditions)
    _write_pictures(os.path.join(root, "pictures"))
    whole = images.encode_png(np.zeros([SIZE, SIZE, 3], np.uint8))
    files.write_bytes(os.path.join(root, "pictures", "cut-short.png"), whole[: len(whole) // 2])
    return root


def _run(given, out, *more, pictures=None, config=CONFIG):
    """The finished command."""
    flags = {"config": config.to_json(), "model": os.path.join(given, "model", "Format-Serving")}
    flags |= {"simulators": os.path.join(given, "simulators"), "out": str(out)}
    flags |= {"images": pictures or os.path.join(given, "pictures")}
    given_flags = [f"--{name}={value}" for name, value in flags.items()]
    command = [sys.executable, "-m", "faketagger.components.evaluator", *given_flags, *more]
    return subprocess.run(command, capture_output=True, text=True, timeout=600)


@pytest.fixture(scope="module")
def blessed(given, tmp_path_factory):
    """What a run left that must end well, and its directory, in which an earlier one had left rows."""
    out = tmp_path_factory.mktemp("blessed")
    (out / "rows-earlier.parquet").write_bytes(b"no rows of this run")
    return _run(given, out), out


def _read(out, name):
    return files.read_json(str(out / name), name)


def test_a_blessed_tagger_ends_with_status_0_the_table_and_all_files(blessed):
    done, out = blessed
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == (out / "table.txt").read_text().strip()
    assert done.stdout.strip().splitlines()[-1] == "BLESSED"
    names = {path.name for path in out.iterdir()}
    assert {"evaluation.json", "checks.json", "table.txt", "table.md", "rejected.jsonl"} <= names
    assert "rows-earlier.parquet" not in names and not [name for name in names if name.startswith(".")]
    assert _read(out, "checks.json")["blessed"] is True
    assert "**BLESSED**" in (out / "table.md").read_text()


def test_flags_and_config_reach_the_figures(blessed):
    evaluation = _read(blessed[1], "evaluation.json")
    slices = evaluation["slices"]
    assert {name: figures["fmrr"]["mean"] for name, figures in slices.items()} == {
        "plain": 1.0,
        "grey/half": 1.0,
        "grey/half+noise_0.02": 1.0,
        "grey/erased": 0.0,
        "grey/erased+noise_0.02": 0.0,
        "noise/0.01": 1.0,
    }
    assert evaluation["repeats"] == 2 and len(rows.read(str(blessed[1]), "plain", [])["repeat"]) == 2 * PICTURES
    assert slices["grey/half"]["black_box"] is True and evaluation["overall"]["black"]["mean"] == 0.5
    assert slices["plain"]["tpr"]["mean"] == 1.0 and evaluation["untagged"]["false_positives"] == 0


def test_an_unreadable_picture_is_left_out_counted_and_named_and_nothing_else_is_told(blessed):
    done, out = blessed
    listed = out / "rejected.jsonl"
    assert done.stderr.strip() == f"1 pictures could not be read and are left out: {listed}"
    rejected = [json.loads(line) for line in listed.read_text(encoding="utf-8").splitlines()]
    assert [each["name"] for each in rejected] == ["cut-short.png"] and rejected[0]["reason"]
    evaluation = _read(out, "evaluation.json")
    assert {figures["pictures"] for figures in evaluation["slices"].values()} == {PICTURES}


def _write_examples(given, uri):
    with beam.Pipeline(options=PipelineOptions(["--runner=FnApiRunner"])) as pipeline:
        source = sources.ReadFolder(os.path.join(given, "pictures"))
        preprocess.write_examples(pipeline, source, uri, SIZE, eval_percent=100)


def test_the_figures_are_those_of_the_pipelines_step(given, blessed, tmp_path):
    from tfx.types import standard_artifacts

    from faketagger.components.evaluator.executor import Executor
    from faketagger.components.simulator.artifact import GanSimulators

    def artifact(kind, uri):
        made = kind()
        made.uri = str(uri)
        return [made]

    _write_examples(given, str(tmp_path / "examples"))
    (tmp_path / "blessing").mkdir()
    inputs = {
        "examples": artifact(standard_artifacts.Examples, tmp_path / "examples"),
        "model": artifact(standard_artifacts.Model, os.path.join(given, "model")),
        "simulators": artifact(GanSimulators, os.path.join(given, "simulators")),
    }
    outputs = {
        "evaluation": artifact(standard_artifacts.ModelEvaluation, tmp_path / "evaluation"),
        "blessing": artifact(standard_artifacts.ModelBlessing, tmp_path / "blessing"),
    }
    Executor().Do(inputs, outputs, {"config": CONFIG.to_json()})
    assert _read(tmp_path / "evaluation", "evaluation.json") == _read(blessed[1], "evaluation.json")
    assert (tmp_path / "evaluation" / "table.txt").read_text() == (blessed[1] / "table.txt").read_text()


def test_a_tagger_that_is_not_blessed_ends_with_status_2_and_says_why(given, tmp_path):
    gate = GATE.replace(ungated=())
    newest = f"--newest_blessed={os.path.join(given, 'model', 'Format-Serving')}"
    done = _run(given, tmp_path, newest, config=CONFIG.replace(gate=gate))
    assert done.returncode == 2, done.stderr
    assert "NOT BLESSED\n  - fmrr grey/erased: lower end 0 " in done.stdout
    checks = _read(tmp_path, "checks.json")
    failed = [check["name"] for check in checks["checks"] if not check["passed"]]
    assert checks["blessed"] is False and failed == ["fmrr grey/erased"]
    compared = _read(tmp_path, "evaluation.json")["newest_blessed"]["slices"]
    assert compared["plain"] == {"worse": 0, "better": 0, "p_value": 1.0}


def test_no_tagger_is_deleted_that_lies_where_the_newest_ones_evaluation_goes(given, tmp_path):
    newest = tmp_path / "newest_blessed"
    shutil.copytree(os.path.join(given, "model", "Format-Serving"), newest)
    (tmp_path / "table.txt").write_text("of another evaluation")
    done = _run(given, tmp_path, f"--newest_blessed={newest}")
    assert done.returncode == 1 and f"{newest}: lies in {newest}, which is written anew" in done.stderr
    assert (newest / "saved_model.pb").exists() and (tmp_path / "table.txt").exists()
    (newest / "table.txt").write_text("of an earlier newest one")
    assert _run(given, tmp_path).returncode == 0
    assert (newest / "saved_model.pb").exists() and not (newest / "table.txt").exists()


def test_a_directory_that_cannot_be_written_to_is_refused_before_anything_is_measured(given, tmp_path, monkeypatch):
    (tmp_path / "out").write_text("a file")
    done = _run(given, tmp_path / "out")
    assert done.returncode == 1 and done.stderr.startswith("failed: ") and "Traceback" not in done.stderr


def test_a_directory_whose_name_is_a_pattern_is_its_own_alone(given, tmp_path):
    (tmp_path / "e1").mkdir()
    (tmp_path / "e1" / "rows-others.parquet").write_bytes(b"rows of another evaluation")
    (tmp_path / "e[12]").mkdir()
    (tmp_path / "e[12]" / "writable").write_bytes(b"somebody's")
    assert _run(given, tmp_path / "e[12]").returncode == 0
    assert (tmp_path / "e1" / "rows-others.parquet").exists() and (tmp_path / "e[12]" / "writable").exists()


def test_a_folder_without_an_eval_picture_ends_with_status_1_and_its_name(given, tmp_path):
    folder = str(tmp_path / "train-only")
    _write_pictures(folder, splits=["train"] * PICTURES)
    done = _run(given, tmp_path / "out", pictures=folder)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.strip() == f"failed: {folder}: no readable picture of the eval split"
    assert not (tmp_path / "out").exists()


def test_of_a_split_folder_what_has_no_split_is_left_out_and_told(tmp_path, capsys):
    folder_of_all = str(tmp_path / "partly")
    _write_pictures(folder_of_all, splits=["eval", "train", "", "eval", "", ""])
    folder.write_examples(folder_of_all, str(tmp_path / "examples"), SIZE, str(tmp_path))
    assert preprocess.read_counts(str(tmp_path / "examples"))["eval"] == 2
    assert capsys.readouterr().err.startswith("3 pictures are left out: attributes.csv says of others")


def test_pictures_of_another_side_than_the_simulators_take_are_refused(given, tmp_path):
    model, simulators = (os.path.join(given, each) for each in ("model/Format-Serving", "simulators"))
    pictures = os.path.join(given, "pictures")
    with pytest.raises(ValueError, match=f"image_size: expected {SIZE}, as the simulators in .* found {2 * SIZE}"):
        evaluate_folder(pictures, model, str(tmp_path), CONFIG, simulators=simulators, image_size=2 * SIZE)
    with pytest.raises(ValueError, match="image_size: expected at least 1, found 0"):
        evaluate_folder(pictures, model, str(tmp_path), CONFIG, simulators=simulators, image_size=0)


def test_the_list_of_unreadable_pictures_of_an_earlier_run_does_not_stay(tmp_path):
    _write_pictures(str(tmp_path / "pictures"))
    stale = tmp_path / preprocess.REJECTED_FILE
    stale.write_text("{}")
    folder.write_examples(str(tmp_path / "pictures"), str(tmp_path / "examples"), SIZE, str(tmp_path))
    assert not stale.exists()


def test_a_missing_folder_ends_with_status_1_and_its_name(given, tmp_path):
    done = _run(given, tmp_path / "out", pictures=str(tmp_path / "absent"))
    assert done.returncode == 1 and "absent: no such folder of photographs" in done.stderr
    assert "Traceback" not in done.stderr and not (tmp_path / "out").exists()
