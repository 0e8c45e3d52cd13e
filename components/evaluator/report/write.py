"""Writes an evaluation's page and tables, with pictures where the tagger is given."""

import dataclasses
import os
import tempfile
from collections.abc import Sequence

from faketagger.components.contract import files
from faketagger.components.evaluator.measure import folder
from faketagger.components.evaluator.report import gallery, html
from faketagger.components.evaluator.report.text import format_markdown
from faketagger.components.evaluator.verdict.record import Evaluation


@dataclasses.dataclass(frozen=True)
class GallerySource:
    """Where the page's pictures come from: one of the last three.

    Attributes:
      model: the evaluated tagger's SavedModel directory.
      simulators: a directory of those it was evaluated with; None for the shipped ones.
      images: the folder of photographs that was evaluated.
      examples: the Examples that were evaluated.
      others: other Examples, whose pictures may be shown.
    """

    model: str
    simulators: str | None = None
    images: str | None = None
    examples: str | None = None
    others: str | None = None


def write_report(
    evaluation: str, out: str, markdown: str | None, compare: Sequence[str], source: GallerySource | None
) -> None:
    """Writes the page, and says on standard output what was written.

    Args:
      evaluation: the evaluation's directory.
      out: where the page goes.
      markdown: where its tables go in Markdown; None for nowhere.
      compare: other evaluations, each LABEL=DIR.
      source: None for a page without pictures.

    Raises:
      ValueError: what is read is missing or does not fit.
    """
    loaded = html.load(evaluation)
    comparisons = html.load_comparisons(compare)
    rejected_to = os.path.dirname(out)
    pictures, sentence = _make_gallery(source, evaluation, loaded.evaluation, rejected_to) if source else ([], "")
    page = html.make_page(loaded.evaluation, loaded.decision, comparisons, pictures, sentence).encode()
    files.write_bytes(out, page)
    print(f"{out}: {len(page):,} bytes")
    if markdown:
        text = format_markdown(loaded.evaluation, loaded.decision, comparisons)
        files.write_bytes(markdown, text.encode())
        print(f"{markdown}: {len(text):,} characters")


def _make_gallery(
    source: GallerySource, directory: str, evaluation: Evaluation, rejected_to: str
) -> tuple[list[gallery.Picture], str]:
    """The pictures and a sentence on whose they are."""
    size = evaluation.image_size
    with tempfile.TemporaryDirectory() as temporary:
        examples = source.others or source.examples or os.path.join(temporary, "examples")
        if source.images:
            folder.write_examples(source.images, examples, size, rejected_to)
        made = os.path.join(temporary, "simulators")
        simulators = source.simulators or folder.shipped_simulators(examples, made, size)
        maker = gallery.Maker(evaluation, source.model, simulators)
        if source.others:
            return maker.of_others(examples), "Not of the pictures measured above: of others that may be shown."
        return maker.of_evaluation(directory, examples), "Of the pictures measured above."
