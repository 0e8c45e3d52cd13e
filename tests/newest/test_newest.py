"""The newest pushed tagger is found, and none where there is no other than the candidate."""

import os

import pytest
from tfx.types import standard_artifacts

from faketagger.components.contract import pushed
from faketagger.components.newest.executor import Executor

pytestmark = pytest.mark.slow


def _saved(path, content, whole=True):
    os.makedirs(path / "variables")
    (path / "variables" / "data").write_bytes(content)
    if whole:
        (path / "saved_model.pb").write_bytes(b"graph")
    return path


def _looked_up(tmp_path):
    """The artifact that the step makes, of the base path `pushed` and the candidate `made`."""
    candidate, model = standard_artifacts.Model(), standard_artifacts.Model()
    candidate.uri, model.uri = str(tmp_path / "made"), str(tmp_path / "found")
    Executor().Do({"candidate": [candidate]}, {"model": [model]}, {"base_path": str(tmp_path / "pushed")})
    return model


def test_the_highest_whole_version_is_copied(tmp_path):
    _saved(tmp_path / "made" / "Format-Serving", b"new")
    for version, content in ((9, b"first"), (10, b"second")):
        _saved(tmp_path / "pushed" / str(version), content)
    _saved(tmp_path / "pushed" / "11", b"half", whole=False)  # As a push that was cut off leaves it.
    os.makedirs(tmp_path / "pushed" / "notes")
    model = _looked_up(tmp_path)
    assert (tmp_path / "found" / "Format-Serving" / "variables" / "data").read_bytes() == b"second"
    assert model.get_string_custom_property("pushed_from") == str(tmp_path / "pushed" / "10")
    assert not os.path.exists(tmp_path / "found" / pushed.NONE_YET)


@pytest.mark.parametrize("before", [None, b"new"])
def test_before_anything_was_pushed_or_where_it_is_the_candidate_itself_there_is_none(tmp_path, before):
    _saved(tmp_path / "made" / "Format-Serving", b"new")
    if before:
        _saved(tmp_path / "pushed" / "3", before)
    _looked_up(tmp_path)
    assert os.listdir(tmp_path / "found") == [pushed.NONE_YET]
