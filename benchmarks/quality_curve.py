"""What is read over how well a picture is kept: FMRR by family at several PSNR, as a picture and in Markdown.

    python benchmarks/quality_curve.py --images=DIR --out=DIR

One tagger, evaluated once for each PSNR (`faketagger evaluate`), its residual made weaker or stronger to meet it.
`quality.svg` and `quality.md` are written to --out beside the evaluations.
"""

import os
import sys

from faketagger.components.contract import startup

startup.quiet()  # Before TensorFlow is imported.

from absl import flags

from faketagger.components.contract import files, pretrained
from faketagger.components.evaluator.config import BOXES, EvaluatorConfig
from faketagger.components.evaluator.folder_evaluation import evaluate_folder
from faketagger.components.evaluator.report import plots
from faketagger.components.evaluator.verdict.record import Evaluation, Figure, known

FLAGS = flags.FLAGS
flags.DEFINE_string("images", None, "a folder of photographs, of which the eval rows are used", required=True)
flags.DEFINE_string("out", None, "where all of it is written", required=True)
flags.DEFINE_string("model", pretrained.TAGGER, "the tagger's SavedModel directory")
flags.DEFINE_string("simulators", None, "a directory of simulators; the shipped ones by default")
flags.DEFINE_list("psnr", ["33", "36", "38", "40", "42"], "dB")
flags.DEFINE_integer("image_size", 256, "the side of the pictures")
flags.DEFINE_integer("limit", None, "at most this many pictures")
_FOR_THE_STRENGTH = 8  # Pictures of which the PSNR at full strength is taken.


def main(_) -> None:
    """Writes the picture and the table, and prints the table."""
    at_full = _evaluate("full", 1.0, _FOR_THE_STRENGTH)
    assert at_full.quality, "no picture was measured"
    psnr = known(at_full.quality.psnr)
    assert psnr, "the tagged pictures' PSNR is no number"
    strengths = {wanted: 10 ** ((psnr.mean - float(wanted)) / 20) for wanted in FLAGS.psnr}
    evaluations = [_evaluate(wanted, strength, FLAGS.limit) for wanted, strength in strengths.items()]
    (chart,) = plots.qualities(evaluations)
    opaque = chart.svg.replace("<svg", '<svg style="background: white"', 1)  # Its text is dark.
    files.write_bytes(os.path.join(FLAGS.out, "quality.svg"), opaque.encode())
    table = _table(evaluations)
    files.write_bytes(os.path.join(FLAGS.out, "quality.md"), table.encode())
    print(table)


def _evaluate(name: str, strength: float, limit: int | None) -> Evaluation:
    config = EvaluatorConfig(strength=strength, limit=limit, sweeps={}, after=())
    out = os.path.join(FLAGS.out, name)
    evaluation, _ = evaluate_folder(
        FLAGS.images, FLAGS.model, out, config, simulators=FLAGS.simulators, image_size=FLAGS.image_size
    )
    return evaluation


def _table(evaluations: list[Evaluation]) -> str:
    head = "| PSNR, dB | strength | SSIM | ΔE₀₀ | plain | " + " | ".join(f"{box}-box" for box in BOXES) + " |"
    lines = [head, "|---" * head.count("| ") + "|"]
    for each in evaluations:
        quality = each.quality
        cells = [_text(quality and quality.psnr, 1), f"{each.tagger.strength:.2f}", _text(quality and quality.ssim, 3)]
        cells += [_text(quality and quality.visibility, 2), _text(each.slices["plain"].fmrr, 3)]
        cells += [_text(each.overall.of(box), 3) for box in BOXES]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _text(figure: Figure | None, digits: int) -> str:
    found = known(figure)
    return f"{found.mean:.{digits}f}" if found else "unknown"


if __name__ == "__main__":
    startup.run(main, startup.Parser("python benchmarks/quality_curve.py", __doc__, module=sys.modules[__name__]))
