"""What tests of every room may ask for; functions that they call are in helpers.py, stub networks in stubs.py."""

import os

import pytest

from faketagger.tests import helpers


@pytest.fixture(scope="session")
def photographs():
    """The folder of real photographs beside the repository; without it the test that asks for it is skipped."""
    folder = str(helpers.ROOT.parent / "shared" / "faces")
    if not os.path.isdir(folder):
        pytest.skip("no photographs in ../shared/faces")
    return folder
