"""An evaluation as one self-contained HTML page: the verdict first, tables and curves beside the papers', pictures.

    python -m faketagger.components.evaluator.html_report --evaluation=DIR --out=report.html
        [--markdown=report.md] [--compare=LABEL=DIR …]
        [--model=DIR [--simulators=DIR] (--images=DIR | --examples=DIR | --gallery_images=DIR)]

`--compare` takes other evaluations: other methods, or the tagger at another message length, embedding level or picture
size. With the tagger the page shows each slice's best, median and worst picture: of the photographs that were evaluated
(a folder, or Examples), or of `--gallery_images`, Examples of pictures that may be shown. `--markdown` is where the
same tables go in Markdown. Exit status: 0, 1 failed.
"""

import os
import sys
import tempfile
import warnings
from collections.abc import Sequence
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # Before TensorFlow is imported.
warnings.simplefilter("ignore")

import tensorflow as tf
from absl import app, flags, logging

from faketagger.components.contract import files
from faketagger.components.evaluator.measure import folder
from faketagger.components.evaluator.report import gallery, html
from faketagger.components.evaluator.report.tables import Evaluation
from faketagger.components.evaluator.report.text import format_markdown


def _write_report(wanted: Any) -> None:
    loaded = html.load(wanted.evaluation)
    comparisons = html.load_comparisons(wanted.compare)
    pictures, sentence = _make_gallery(wanted, loaded.evaluation) if wanted.model else ([], "")
    page = html.make_page(loaded.evaluation, loaded.decision, comparisons, pictures, sentence).encode()
    files.write_bytes(wanted.out, page)
    print(f"{wanted.out}: {len(page):,} bytes")
    if wanted.markdown:
        text = format_markdown(loaded.evaluation, loaded.decision, comparisons)
        files.write_bytes(wanted.markdown, text.encode())
        print(f"{wanted.markdown}: {len(text):,} characters")


def _make_gallery(wanted: Any, evaluation: Evaluation) -> tuple[list[gallery.Picture], str]:
    """The pictures and a sentence on whose they are."""
    given = [each for each in (wanted.images, wanted.examples, wanted.gallery_images) if each]
    if len(given) != 1:
        raise ValueError("--model is for a gallery: give one of --images, --examples and --gallery_images with it")
    size = evaluation["image_size"]
    with tempfile.TemporaryDirectory() as temporary:
        examples = given[0]
        if wanted.images:
            examples = os.path.join(temporary, "examples")
            folder.write_examples(wanted.images, examples, size, rejected_to=os.path.dirname(wanted.out))
        made = os.path.join(temporary, "simulators")
        simulators = wanted.simulators or folder.shipped_simulators(examples, made, size)
        maker = gallery.Maker(evaluation, wanted.model, simulators)
        if wanted.gallery_images:
            return maker.of_others(examples), "Not of the pictures measured above: of others that may be shown."
        return maker.of_evaluation(wanted.evaluation, examples), "Of the pictures measured above."


def _main(_: Sequence[str]) -> int:
    logging.set_verbosity(logging.FATAL)  # Failures are told below, in a sentence.
    try:
        _write_report(flags.FLAGS)
    except (ValueError, OSError, tf.errors.OpError) as error:
        print(f"failed: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    flags.DEFINE_string("evaluation", None, "the evaluation's directory", required=True)
    flags.DEFINE_string("out", None, "where the page goes", required=True)
    flags.DEFINE_string("markdown", None, "where its tables go in Markdown; without it they are not written")
    flags.DEFINE_multi_string("compare", [], "LABEL=DIR, another evaluation and what to call it")
    flags.DEFINE_string("model", None, "the evaluated tagger's SavedModel directory, for the pictures")
    flags.DEFINE_string("simulators", None, "the simulators it was evaluated with; by default the shipped ones")
    flags.DEFINE_string("images", None, "the folder of photographs that was evaluated")
    flags.DEFINE_string("examples", None, "the Examples that were evaluated")
    flags.DEFINE_string("gallery_images", None, "other Examples, whose pictures may be shown")
    app.run(_main)
