"""What tests of every room may ask for; functions that they call are in helpers.py, stub networks in stubs.py."""

import os

import pytest


@pytest.fixture(scope="session")
def photographs():
    """The folder of photographs that FAKETAGGER_PHOTOGRAPHS names; without it the test that asks for it is skipped."""
    folder = os.environ.get("FAKETAGGER_PHOTOGRAPHS", "")
    if not os.path.isdir(folder):
        pytest.skip("FAKETAGGER_PHOTOGRAPHS names no folder of photographs")
    return folder
