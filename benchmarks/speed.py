"""How long a photograph of 1024×1024 takes to be tagged on one core, after start, beside other watermarks.

    python benchmarks/speed.py --photographs=DIR

Programs are run as users run them, file in and file out, on one photograph and on many: the difference is what the
others take. Processor time is told, which other work on the machine changes little, and what it is of the first row's.
The peers are those of peers/setup.sh.
"""

import json
import os
import resource
import subprocess
import sys
import tempfile

from faketagger.components.contract import startup

startup.quiet()  # Before TensorFlow is imported.

from absl import app, flags
from PIL import Image
from tqdm import tqdm

from faketagger.components.contract import images
from faketagger.components.example_gen import image_folder
from faketagger.serving.outcomes import Outcome

FLAGS = flags.FLAGS
flags.DEFINE_string("photographs", None, "a folder of photographs, of which the centres are used", required=True)
flags.DEFINE_integer("count", 32, "how many photographs; where there are fewer, they are taken again", lower_bound=2)
flags.DEFINE_list("methods", ["dwtDctSvd", "rivaGan"], "the peers, as peers/watermark.py names them; may be empty")
_SIDE = 1024
_PEERS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "peers")
_BITS = "01" * 16  # rivaGan's 32.
_OURS = {
    "faketagger tag": [],
    "faketagger tag --no-verify": ["--no-verify"],
    "faketagger tag --whole": ["--whole"],
    "faketagger tag --whole --no-verify": ["--whole", "--no-verify"],
}
_FORMATS = {"jpg": {"quality": 90}, "png": {"compress_level": 1}}


def main(_) -> None:
    """Prints one row a method."""
    methods = [*_OURS, *FLAGS.methods]
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        for ending in _FORMATS:
            for name, count in (("one", 1), ("many", FLAGS.count)):
                _prepare(os.path.join(folder, ending, name), ending, count)
        for method in tqdm(methods):
            for ending in _FORMATS:
                one, many = (_seconds(method, os.path.join(folder, ending, name)) for name in ("one", "many"))
                found[method, ending] = (many - one) / (FLAGS.count - 1)
    print("| method | " + " | ".join(f"s, {ending} | of the first" for ending in _FORMATS) + " |")
    print("| --- |" + " ---: | ---: |" * len(_FORMATS))
    for method in methods:
        ratios = ((found[method, ending], found[methods[0], ending]) for ending in _FORMATS)
        print(f"| {method} | " + " | ".join(f"{own:.3f} | {own / first:.2f}" for own, first in ratios) + " |")


def _prepare(folder: str, ending: str, count: int) -> None:
    os.makedirs(folder)
    names = [entry.name for entry in image_folder.list_folder(FLAGS.photographs)]
    for place in range(count):
        pixels = images.load_image(os.path.join(FLAGS.photographs, names[place % len(names)]))
        square = Image.fromarray(images.square(pixels, _SIDE))
        square.save(os.path.join(folder, f"{place:03d}.{ending}"), **_FORMATS[ending])


def _seconds(method: str, folder: str) -> float:
    """Processor time that a method takes for a folder of photographs, on one core."""
    with tempfile.TemporaryDirectory() as out:
        if method in _OURS:
            key = os.path.join(out, "key")
            _run([sys.executable, "-m", "faketagger", "keygen", key])
            to = ["--out", os.path.join(out, "tagged"), "--key_file", key, "--uid", "1"]
            return _run([sys.executable, "-m", "faketagger", "tag", folder, *to, *_OURS[method]])
        bits = os.path.join(out, "bits.json")
        with open(bits, "w") as file:
            json.dump(dict.fromkeys(sorted(os.listdir(folder)), _BITS), file)
        python = os.path.join(_PEERS, ".venv", "bin", "python")
        program = [python, "-I", os.path.join(_PEERS, "watermark.py")]
        return _run([*program, "embed", method, folder, bits, os.path.join(out, "made")])


def _run(command: list[str]) -> float:
    core = min(os.sched_getaffinity(0))
    before = _children()
    pinned = ["taskset", "--cpu-list", str(core), *command]
    done = subprocess.run(pinned, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    expected = (startup.OK, startup.FAILED, Outcome.REFUSED.exit_code)  # Some tags may not hold.
    if done.returncode not in expected or "Traceback" in done.stderr:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr}")
    return _children() - before


def _children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    app.run(main)
