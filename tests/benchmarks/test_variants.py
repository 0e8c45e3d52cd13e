"""The benchmark of variants: which checkpoints a killed one goes on from."""

import json
import os
import subprocess
import sys

import pytest

# In a process of its own: its flags bear the names of other programs'.
PROGRAM = """
import json, os, sys, types
from faketagger.benchmarks import variants
from faketagger.components.contract import files
from faketagger.components.tagger.config import TaggerConfig

class Killed(Exception):
    pass

def train(examples, through, config, checkpoints):
    seen.append((os.path.relpath(checkpoints, "variant"), files.exists(checkpoints)))
    files.write_bytes(f"{checkpoints}/saved", b"trained")
    return types.SimpleNamespace(encoder=None, decoder=None), {}

def evaluate(*_):
    if killed:
        raise Killed

seen, left = [], []
variants.training.train, variants.evaluate = train, evaluate
variants.library.load_all = lambda directory: []
variants.export.save = variants.models.read_inputs = lambda *_: None
variants.FLAGS(["variants", "--examples=examples", "--simulators=simulators", "--out=."])
for steps, name, killed in ((5, None, True), (5, None, True), (6, None, True), (5, "examples", True),
                            (5, "simulators", True), (5, None, False)):
    if name:
        files.write_bytes(f"{name}/more", b"more")
    try:
        variants._make(TaggerConfig(steps=steps), "variant")
    except Killed:
        pass
    left.append(os.path.exists("variant/checkpoints"))
print(json.dumps([seen, left]))
"""


@pytest.mark.slow
def test_a_killed_variant_goes_on_from_what_was_made_of_the_same_and_leaves_nothing_in_the_end(tmp_path):
    for name in ("examples", "simulators"):
        os.mkdir(tmp_path / name)
    made = subprocess.run([sys.executable, "-c", PROGRAM], cwd=tmp_path, capture_output=True, text=True)
    assert made.returncode == 0, made.stderr[-2000:]
    seen, left = json.loads(made.stdout.splitlines()[-1])
    places, went_on = zip(*seen)
    assert went_on == (False, True, False, False, False, True)
    assert len(set(places)) == 4 and {os.path.dirname(each) for each in places} == {"checkpoints"}
    assert left == [True] * 5 + [False]
