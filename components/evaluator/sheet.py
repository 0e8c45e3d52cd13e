"""One picture that shows what happens to a tag: original, tagged, residual ×10, after each simulator, what was read.

    python -m faketagger.components.evaluator.sheet --model=DIR --simulators=DIR --out=sheet.png PICTURE…

Pictures may be of any size: their centre squares are shown.
"""

from absl import app, flags

from faketagger.components.contract import files, images
from faketagger.components.evaluator.report.sheet import make_sheet


def _main(arguments: list[str]) -> None:
    pictures = [images.load_image(path) for path in arguments[1:]]
    if not pictures:
        raise app.UsageError("name at least one picture")
    wanted = flags.FLAGS
    files.write_bytes(wanted.out, make_sheet(wanted.model, wanted.simulators, pictures, wanted.slices))


if __name__ == "__main__":
    flags.DEFINE_string("model", None, "the tagger's SavedModel", required=True)
    flags.DEFINE_string("simulators", None, "a directory of simulators", required=True)
    flags.DEFINE_string("out", None, "where the PNG goes", required=True)
    flags.DEFINE_list("slices", [], "<simulator>/<condition>,…; by default the first condition of each simulator")
    app.run(_main)
